/*
 * Looking at a log from outside: what is in it, is it sound, what does this machine offer.
 *
 * Everything here reads, needs no write permission and disturbs nobody.
 */
#ifndef SEGLOG_INSPECT_H
#define SEGLOG_INSPECT_H

#include <seglog/reader.h>
#include <seglog/status.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum seglog_segment_state {
    SEGLOG_SEGMENT_SPARE = 0, /* prepared, unused */
    SEGLOG_SEGMENT_ACTIVE,    /* being appended to */
    SEGLOG_SEGMENT_FULL,      /* rolled over, not sealed */
    SEGLOG_SEGMENT_SEALED,    /* never changes again */
    SEGLOG_SEGMENT_DAMAGED,   /* its header cannot be read */
    SEGLOG_SEGMENT_ARCHIVED,  /* sealed, and compressed since */
};

struct seglog_segment_info {
    uint64_t number;
    uint32_t state; /* enum seglog_segment_state */
    uint32_t torn;  /* 1: sealed at a recovery's cut */
    uint64_t epoch;
    uint64_t first_seq;
    uint64_t next_seq;
    uint64_t records;     /* data records */
    uint64_t void_count;  /* numbers lost to aborts */
    uint64_t bytes;       /* payload bytes of the records */
    uint64_t min_time_ns; /* 0 with records == 0 */
    uint64_t max_time_ns;
};

struct seglog_info {
    uint8_t uuid[16];
    uint64_t created_ns;
    uint64_t segment_size;
    uint64_t max_record;
    uint64_t sync_interval_ns; /* SEGLOG_SYNC_INTERVAL; else 0 */
    uint32_t sync;             /* enum seglog_sync */
    uint32_t mode;
    uint64_t records;
    uint64_t void_count;
    uint64_t bytes; /* payload bytes of the records counted */
    uint64_t first_seq;
    uint64_t next_seq;
    uint64_t durable_seq; /* all numbers below it are durable or void */
    uint64_t epoch;
    uint32_t appenders;         /* attached now */
    uint32_t exclusive;         /* 1: the one attached is exclusive */
    uint32_t poisoned;          /* 1: a sync failed in this boot */
    int32_t prepare_error;      /* why no segment could be prepared when last tried (-ENOSPC ...);
                                   else 0 */
    uint32_t io_engine;         /* enum seglog_io: URING or THREADS, of the process that attached
                                   last; with none attached, what one here would get; 0: none */
    uint32_t volatile_fs;       /* 1: on a file system that a power cut empties */
    uint32_t has_waiting_claim; /* 1: the fields below tell what holds up seal and durability */
    uint32_t waiting_slot;      /* the producer's place */
    uint32_t waiting_pid;       /* its process, as it named itself */
    uint32_t waiting_dead;      /* 1: that process is proved dead */
    uint64_t waiting_segment;
    uint64_t waiting_offset;
    uint64_t waiting_seq;
    uint64_t files_aside; /* segment files that recoveries took out of the log; no part of it */
    size_t segment_count;
    struct seglog_segment_info *segments; /* oldest first */
};

/*
 * Gather what is known about a log. A moving log gives a picture that was true at some moment for
 * each segment.
 *
 * *out     filled on success; its array belongs to the caller: seglog_info_free()
 * returns  0; -ENOENT, SEGLOG_ENOTLOG, SEGLOG_EVERSION, SEGLOG_EENDIAN, SEGLOG_ECORRUPT (the settings),
 *          -EACCES, -EIO, -ENOMEM ...
 * threads  any; blocks on the disk; reads unsealed segments whole
 */
SEGLOG_API int seglog_info_read(const char *dir, struct seglog_info *out);

/* Free what seglog_info_read() allocated. */
SEGLOG_API void seglog_info_free(struct seglog_info *info);

#define SEGLOG_VERIFY_FAST (1u << 0) /* footers and their chain only, not every record */

struct seglog_verify_options {
    uint32_t flags; /* SEGLOG_VERIFY_* */
    uint32_t reserved;
    /* Called for each damage found, in order; return nonzero to stop. May be NULL. */
    int (*on_damage)(void *context, const struct seglog_damage *damage);
    /* Called now and then with bytes checked and bytes to check in all. May be NULL. */
    void (*on_progress)(void *context, uint64_t done, uint64_t total);
    void *context;
};

struct seglog_verify_report {
    uint64_t segments;
    uint64_t records; /* that check out */
    uint64_t void_count;
    uint64_t bytes; /* payload bytes that check out */
    uint64_t damage_count;
    /* 1: the log ends in an unfinished or cut-off place, which is sound: an open claim, what a power
     * cut left, or a recovery's cut behind which no record has been appended yet. */
    uint32_t torn_tail;
    uint32_t reserved;
    uint64_t torn_segment;
    uint64_t torn_offset;
};

/*
 * Check every checksum of a log, reading by pread, and that everything is there.
 *
 * Each damage is told once, at the place where it begins, with the numbers lost by it; where damage
 * reaches to the end of a log the numbers are those that are known of. A medium that does not give
 * its bytes (-EIO) is damage too. The log may be in use: what only moves is never called damaged.
 *
 * report   may be NULL
 * returns  0                 sound (a torn tail is sound)
 *          1                 damage was found; see the report and on_damage
 *          -ECANCELED        on_damage asked to stop
 *          -EINVAL           unknown flags
 *          as seglog_info_read() when the log cannot be read at all
 * threads  any; blocks on the disk
 */
SEGLOG_API int seglog_verify(const char *dir, const struct seglog_verify_options *options,
                             struct seglog_verify_report *report);

/* What this machine and a place on it offer. */
struct seglog_probe {
    char fs_name[32];         /* "ext4", "tmpfs", ... or its number in hex */
    uint32_t fs_ok;           /* 1: a log may live there */
    uint32_t fs_volatile;     /* 1: a power cut empties it */
    uint32_t fs_reserves;     /* 1: fallocate guarantees later stores (no SIGBUS when full) */
    uint32_t fallocate;       /* 1: works there (0 also when the place cannot be written) */
    uint32_t ofd_locks;       /* 1: proof of life works there */
    uint32_t membarrier;      /* 1: appenders need no fence for sleeping readers */
    uint32_t populate_write;  /* 1: MADV_POPULATE_WRITE */
    uint32_t boot_id;         /* 1: /proc tells which boot this is */
    uint32_t crc32c_hardware; /* 1: checksums by instruction */
    uint32_t io_uring;        /* 1: this process may use it, and it has all that is needed */
    int32_t io_uring_status;  /* why not: negative errno; -EOPNOTSUPP: something is missing in it */
    int32_t io_uring_sysctl;  /* kernel.io_uring_disabled; -1: there is no such sysctl */
    char io_uring_why_not[96]; /* the same in words; "" when it can be used */
    uint32_t io_engine;        /* enum seglog_io: what a log opened here would use, $SEGLOG_IO
                                 considered; 0: it could not be opened */
    uint32_t writable;         /* 1: the place can be written */
    uint32_t cpus;
    uint64_t page_size;
    uint64_t free_bytes;     /* on the place's file system, for this user */
    uint64_t huge_page_size; /* 0: none configured */
    uint64_t huge_pages_total;
    uint64_t memlock_limit; /* UINT64_MAX: none */
    uint64_t nofile_limit;
    uint64_t max_map_count;
};

/*
 * Find out what this machine offers to a log at path (a directory; NULL: the current one).
 *
 * returns  0, -ENOENT, -EACCES ...
 * threads  any; makes and removes a temporary file at path when that is writable
 */
SEGLOG_API int seglog_probe(const char *path, struct seglog_probe *out);

#ifdef __cplusplus
}
#endif
#endif
