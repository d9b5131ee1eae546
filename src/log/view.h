/*
 * A log directory as anybody may look at it: settings, floor, shared words, proof of life.
 *
 * Everything here works without write permission. Appending (log.h), readers and inspection all
 * start from a view.
 */
#ifndef LOG_VIEW_H
#define LOG_VIEW_H

#include "segment/segment.h"
#include "sys/file.h"

#define NAME_SETTINGS "settings"
#define NAME_OWNERS   "owners"
#define NAME_LIVE     "live"
#define NAME_FLOOR    "floor"

struct log_view {
    int dirfd;
    int owners_fd; /* read-only, for probing; -1: not there yet */
    struct settings_facts settings;
    struct boot_facts boot; /* id of this boot; dev and ino unset */
    struct fs_facts fs;
    struct live_file *live; /* NULL: not there yet */
    bool live_writable;
};

/*
 * Look at a log. 0; -ENOENT (no directory, or empty: no log); SEGLOG_ENOTLOG; SEGLOG_EFS;
 * what settings_decode() says; -EACCES, -EIO ...
 */
int log_view_open(const char *dir, bool force_fs, struct log_view *out);
void log_view_close(struct log_view *view);

/* Is there nothing in a directory but what a creation that was cut short left, and the file system's
 * own? 1, 0 or a status. */
int log_dir_is_empty(int dirfd);

/* Is there a floor as only create.c makes it? Without settings a creation was cut short. */
bool log_floor_is_left(int dirfd);

/* The settings as they are stored now. */
int log_view_settings(const struct log_view *view, struct settings_facts *out);

/* Try again to map `live` and open `owners` if they were not there. A `live` that was removed or
 * replaced is let go: only for who holds no pointer into it. */
void log_view_refresh(struct log_view *view);

/* Is `live` of this boot, this log and this inode? Whoever removed it took all proof along. */
bool log_view_has_live(const struct log_view *view);

/* The same, and has its first opener finished? Where the boot is not known: is somebody attached? */
bool log_view_is_live(const struct log_view *view);

/* Is any appending handle attached? Without proof of life to ask: false. */
bool log_view_attached(const struct log_view *view);

/* Is the producer that claimed as (slot, gen) proved dead? Only if log_view_is_live(). */
bool log_view_owner_is_dead(const struct log_view *view, uint32_t slot, uint32_t gen);

/* 0 and the first kept segment; number 0 when nothing was ever removed. SEGLOG_ECORRUPT, -EIO */
int log_view_floor(const struct log_view *view, struct floor_facts *out);

/* Does the segment lie below the floor? 1, 0 or a status. */
int log_view_is_removed(const struct log_view *view, uint64_t number);

/* ---- verdicts: what an unfinished or bad frame in an unsealed segment means -------------------- */

enum claim_verdict {
    CLAIM_WAIT, /* its producer lives */
    CLAIM_DEAD, /* its producer is dead: void, step over */
    CLAIM_END,  /* a power cut left it: the log ends here until a recovery cuts it */
    CLAIM_ROT,  /* below the durable mark all was resolved: no claim, but damage */
};
enum claim_verdict log_view_claim(const struct log_view *view, const struct segment *seg,
                                  uint64_t offset, const struct word_facts *claim);

enum bad_verdict {
    BAD_DAMAGE, /* it was good once: report the range and go on behind it */
    BAD_END,    /* never durable: the ordinary end of a log after a power cut */
};
enum bad_verdict log_view_bad(const struct log_view *view, const struct segment *seg,
                              uint64_t offset);

#endif
