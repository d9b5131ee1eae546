/*
 * Status codes: what every call of the library answers with.
 *
 * One number line. 0 or more is good; -1 to -4095 is the negative errno of the system call that
 * failed, untouched; below that are the failures that errno has no word for. There is no global
 * error variable and no thread-local message: a status and, where a place matters, a report struct.
 */
#ifndef SEGLOG_STATUS_H
#define SEGLOG_STATUS_H

#include <stdint.h>

#if defined(__GNUC__)
#define SEGLOG_API __attribute__((visibility("default")))
#else
#define SEGLOG_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Failures of our own, all below -4095, the last errno the kernel can return. */
enum seglog_status {
    SEGLOG_ECORRUPT = -5001,   /* stored or shared bytes fail a check; a report says where */
    SEGLOG_ENOTLOG = -5002,    /* this directory or file is not a seglog log or ring */
    SEGLOG_EVERSION = -5003,   /* written by a newer format, or with a feature unknown here */
    SEGLOG_EENDIAN = -5004,    /* written with the other byte order */
    SEGLOG_EMISMATCH = -5005,  /* the settings asked for differ from those stored in the log */
    SEGLOG_ETRIMMED = -5006,   /* retention removed what the reader wanted next */
    SEGLOG_EREWOUND = -5007,   /* the place lies beyond what a recovery after a crash cut off */
    SEGLOG_EPOISONED = -5008,  /* a sync failed earlier; nothing later is appended or durable */
    SEGLOG_EEVICTED = -5009,   /* the claim was open past the log's deadline and was taken away */
    SEGLOG_EFORKED = -5010,    /* the handle was made before fork(); open one of your own */
    SEGLOG_EFS = -5011,        /* this file system cannot carry a log (network or FUSE) */
    SEGLOG_EVOLATILE = -5012,  /* this file system keeps nothing across a power cut */
    SEGLOG_EREADONLY = -5013,  /* has a feature that allows reading only */
    SEGLOG_EMISSING = -5014,   /* a segment file that must exist is not there */
    SEGLOG_ETRUNCATED = -5015, /* somebody made the file shorter than what is mapped of it */
    SEGLOG_ELAPPED = -5016,    /* messages of a ring gave way before this consumer had read them */
};

/*
 * The text for a status, in plain words, without a final full stop.
 *
 * status   any value a seglog call returned; a good one gives "success", an unknown one
 *          "unknown status"
 * returns  a static string, never NULL
 * threads  any; blocks never
 */
SEGLOG_API const char *seglog_strerror(int status);

/*
 * The symbolic name of a status, such as "SEGLOG_ECORRUPT" or "ENOSPC".
 *
 * returns  a static string, never NULL; "0" for a good status, "?" for an unknown one
 * threads  any; blocks never
 */
SEGLOG_API const char *seglog_status_name(int status);

#ifdef __cplusplus
}
#endif
#endif
