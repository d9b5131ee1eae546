/*
 * seglog: memory-mapped event logs and rings. This header includes all the others.
 */
#ifndef SEGLOG_SEGLOG_H
#define SEGLOG_SEGLOG_H

#include <seglog/archive.h>
#include <seglog/cell.h>
#include <seglog/cursor.h>
#include <seglog/inspect.h>
#include <seglog/keyed.h>
#include <seglog/log.h>
#include <seglog/map.h>
#include <seglog/reader.h>
#include <seglog/ring.h>
#include <seglog/status.h>
#include <seglog/struct.h>
#include <seglog/table.h>
#include <seglog/table_typed.h>

/* The release, and the on-disk format that it writes. */
#define SEGLOG_VERSION_MAJOR 0
#define SEGLOG_VERSION_MINOR 1
#define SEGLOG_VERSION_PATCH 0
#define SEGLOG_VERSION       "0.1.0"
#define SEGLOG_FORMAT_MAJOR  1
#define SEGLOG_FORMAT_MINOR  0

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The version of the library that is linked, which may differ from SEGLOG_VERSION of the header.
 *
 * returns  a static string such as "0.1.0"
 * threads  any; blocks never
 */
SEGLOG_API const char *seglog_version(void);

#ifdef __cplusplus
}
#endif
#endif
