/*
 * Damage below the watermark: a bit of one record that an image says was once durable is turned.
 */
#ifndef TEST_POWERCUT_HARM_H
#define TEST_POWERCUT_HARM_H

#include "powercut/oracle.h"

/* Damage a record of the log in dir, of the given UUID. false: none there was ever synced. */
bool harm_image(const char *dir, const uint8_t uuid[16], struct dice *d, struct harmed *out);

#endif
