/*
 * Going through a log and printing what was selected: the work of `cat` and `tail`.
 */
#ifndef CLI_SCAN_H
#define CLI_SCAN_H

#include "select.h"

/* Print the first sel->count records of the interval (with sel->reverse the last ones, the last
 * one first). returns the exit status */
int scan_cat(const struct selection *sel);

/* Print the last sel->count records of the interval, and with sel->follow what comes after them.
 * returns the exit status */
int scan_tail(const struct selection *sel);

#endif
