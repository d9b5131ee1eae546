/*
 * What a life keeps beside its records. Each call gives a status and may be made again.
 */
#ifndef TEST_FAULTS_KEEP_H
#define TEST_FAULTS_KEEP_H

#include "faults/life.h"

int keep_cursor_open(struct life *life);
int keep_cursor_move(struct life *life);
int keep_cursor_commit(struct life *life);
int keep_cursor_close(struct life *life);
int keep_cursor_look(struct life *life);
int keep_archive(struct life *life);
int keep_trim(struct life *life);
int keep_cursor_remove(struct life *life);

#endif
