/*
 * The life of a table with a log of its changes, and of a view of that log by keys, told while a system
 * call of it fails. As life.h: what was acknowledged is there, also when the table is made anew.
 */
#ifndef TEST_FAULTS_TABLE_H
#define TEST_FAULTS_TABLE_H

#include "faults/life.h"

bool table_tell(struct life *life);

#endif
