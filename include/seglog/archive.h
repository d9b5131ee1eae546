/*
 * Archives: sealed segments compressed with LZ4, in place of the originals.
 *
 * An archived segment is read like any other: by number, time and tag, forward and backward. Its file
 * is one that the stock `lz4 -d` unpacks, to the segment.
 */
#ifndef SEGLOG_ARCHIVE_H
#define SEGLOG_ARCHIVE_H

#include <seglog/status.h>

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SEGLOG_ARCHIVE_LEVEL_DEFAULT 1u
#define SEGLOG_ARCHIVE_LEVEL_MAX     12u

/* One segment that was archived, or could not be. */
struct seglog_archived {
    uint64_t number;
    uint64_t segment_bytes; /* of its file */
    uint64_t archive_bytes; /* of the file in its place; 0 with a status */
    int32_t status;         /* 0; SEGLOG_ECORRUPT: the segment is damaged, and stays as it is */
    uint32_t reserved;
};

/* All zero: every sealed segment, fast. */
struct seglog_archive_options {
    uint64_t older_than_ns; /* only what was sealed at least so long ago */
    uint64_t keep;          /* leave so many of the newest sealed segments as they are */
    uint32_t level;         /* 1, 2: fast; 3 to 12: LZ4's high compression, ever slower; 0: 1 */
    uint32_t reserved;      /* zero */
    /* Called after each segment; return nonzero to stop. May be NULL. */
    int (*on_segment)(void *context, const struct seglog_archived *archived);
    /* Called now and then with bytes done and bytes to do in all; return nonzero to stop. May be NULL. */
    int (*on_progress)(void *context, uint64_t done, uint64_t total);
    void *context;
};

struct seglog_archive_report {
    uint64_t segments;      /* archived by this call */
    uint64_t segment_bytes; /* of their files before */
    uint64_t archive_bytes; /* and after */
    uint64_t damaged;       /* left as they are */
};

/*
 * Archive the sealed segments of a log, oldest first.
 *
 * Appenders and readers need not stop: only sealed segments are touched, and readers find one of the
 * two files at any time. Each archive is checked and synced before its segment is removed; killed or
 * cut at any moment, one of the two is whole. Memory: some megabytes, or what the largest record takes.
 * With a processor to spare a second thread compresses and checks, which ends with the call; callbacks
 * are called in the caller's.
 *
 * report   may be NULL; filled also on failure
 * returns  0
 *          SEGLOG_ECORRUPT   some segments are damaged and stay as they are; the others are done
 *          -EBUSY            another process is archiving here
 *          -ECANCELED        a callback asked to stop; what was done is done
 *          -EINVAL           level or reserved
 *          SEGLOG_EFS, SEGLOG_ENOTLOG, SEGLOG_EVERSION, SEGLOG_EENDIAN, -ENOENT, -EACCES, -EROFS,
 *          -ENOSPC, -EIO, -ENOMEM ...
 * threads  any; blocks on the disk
 */
SEGLOG_API int seglog_archive(const char *dir, const struct seglog_archive_options *options,
                              struct seglog_archive_report *report);

#ifdef __cplusplus
}
#endif
#endif
