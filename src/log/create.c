/*
 * Creating a log: a directory becomes one by the name `settings` appearing in it.
 *
 * That is the last step and it is atomic, so a creation that was cut short leaves a directory with
 * nothing but temporary files, which the next creation takes as empty. A log whose first number is
 * not 0 needs a floor to say so, which must lie there before; such a creation has the directory to
 * itself (flock), or the floor of one could come under the settings of another.
 */
#include <seglog/archive.h>

#include "log/handle.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/clock.h"

#define TAKE_LOOKS   5000
#define TAKE_LOOK_NS UINT64_C(1000000)

/* Read permission on a directory is of no use without search permission. */
static mode_t directory_mode(uint32_t mode)
{
    return (mode_t)(mode | 0700 | (mode & 0444) >> 2);
}

int log_check_options(const struct seglog_log_options *o)
{
    if (o->segment_size != 0 && !segment_size_is_legal(o->segment_size))
        return -EINVAL;
    if (o->sync > SEGLOG_SYNC_RECORD || (o->mode & ~0777u) != 0 || o->io > SEGLOG_IO_THREADS)
        return -EINVAL;
    if (o->sync_interval_ns != 0 &&
        (o->sync != SEGLOG_SYNC_INTERVAL || o->sync_interval_ns < SEGLOG_SYNC_INTERVAL_MIN ||
         o->sync_interval_ns > SEGLOG_SYNC_INTERVAL_MAX))
        return -EINVAL;
    if ((o->flags & ~(SEGLOG_LOG_CREATE | SEGLOG_LOG_NO_HELPER | SEGLOG_LOG_FORCE_FS)) != 0)
        return -EINVAL;
    if (o->mode != 0 && (o->mode & 0600) != 0600)
        return -EINVAL; /* the owner must be able to use it */
    if (o->archive_level > SEGLOG_ARCHIVE_LEVEL_MAX || o->reserved != 0)
        return -EINVAL;
    if (o->first_seq > SEGLOG_FIRST_SEQ_MAX)
        return -EINVAL;
    return 0;
}

/* Is there a log? One that somebody attached to has more files, listed in any order. */
static bool has_settings(int dirfd)
{
    const int fd = file_open(dirfd, NAME_SETTINGS, O_RDONLY, 0);

    file_close(fd);
    return fd != -ENOENT;
}

static int fill_settings(const void *page, int fd)
{
    const int rc = file_pwrite(fd, page, sizeof(struct settings_page), 0);

    /* C1: a temporary file in a directory that is otherwise empty: no log. */
    return rc < 0 ? rc : file_sync(fd);
}

static int fill_floor(const void *slots, int fd)
{
    const int rc = file_pwrite(fd, slots, 2 * sizeof(struct floor_slot), 0);

    return rc < 0 ? rc : file_sync(fd);
}

/* As if all numbers before had been removed. */
static int create_floor(int dirfd, const struct settings_facts *settings, uint64_t first_seq)
{
    const struct floor_facts facts = {.counter = 1, .first_seq = first_seq};
    struct floor_slot slots[2];
    int rc;

    memset(slots, 0, sizeof(slots));
    floor_encode(&slots[1], settings->uuid, &facts);
    rc = file_make_whole(dirfd, NAME_FLOOR, (mode_t)settings->mode, fill_floor, slots);
    /* C0: a floor and nothing else: no log. It must not come later than the settings. */
    return rc < 0 ? rc : dir_sync(dirfd);
}

static int create_settings(int dirfd, const struct seglog_log_options *o)
{
    struct settings_facts facts = {
        .segment_size = o->segment_size ? o->segment_size : SEGMENT_SIZE_DEFAULT,
        .created_ns = clock_wall_ns(),
        .sync = o->sync ? o->sync : SEGLOG_SYNC_SEALED,
        .mode = o->mode ? o->mode : 0640,
        .discipline = DISCIPLINE_MAPPED,
        .keep_size = o->keep_size,
        .keep_age_ns = o->keep_age_ns,
        .keep_segments = o->keep_segments,
        .archive_after_ns = o->archive_after_ns,
        .archive_level = o->archive_level,
    };
    struct settings_page page;
    int rc;

    if (facts.sync == SEGLOG_SYNC_INTERVAL)
        facts.sync_interval_ns =
            o->sync_interval_ns ? o->sync_interval_ns : SEGLOG_SYNC_INTERVAL_DEFAULT;
    rc = random_bytes(facts.uuid, sizeof(facts.uuid));
    if (rc < 0)
        return rc;
    settings_encode(&page, &facts);
    if (o->first_seq != 0) {
        rc = create_floor(dirfd, &facts, o->first_seq);
        if (rc < 0)
            return rc;
    }
    rc = file_make_whole(dirfd, NAME_SETTINGS, (mode_t)facts.mode, fill_settings, &page);
    if (rc < 0 && o->first_seq != 0)
        file_unlink(dirfd, NAME_FLOOR);
    /* C2: a log, though a power cut may still take the name. */
    if (rc == -ENOENT && has_settings(dirfd))
        rc = -EEXIST; /* others were faster, and have swept away what looked left over */
    return rc < 0 ? rc : dir_sync(dirfd);
}

/* Others may be creating here too: beside us, unless one of them makes a floor. */
static int dir_take(int dirfd, bool alone)
{
    int rc = file_lock(dirfd, alone);

    for (int i = 0; i < TAKE_LOOKS && rc == -EAGAIN; i++) {
        clock_sleep_ns(TAKE_LOOK_NS);
        rc = file_lock(dirfd, alone);
    }
    if (rc == -EAGAIN)
        return -EBUSY;
    return alone ? rc
                 : 0; /* a file system without such locks is refused for what needs them only */
}

/* Nothing is there, or a log is made by others meanwhile, who leave us no floor of theirs to remove. */
static int dir_clear(int dirfd, bool alone)
{
    int rc = dir_take(dirfd, alone);

    if (rc == 0 && !alone && log_floor_is_left(dirfd))
        rc = dir_take(dirfd, true);
    if (rc == 0)
        rc = log_dir_is_empty(dirfd);
    if (rc == 1 && log_floor_is_left(dirfd))
        return file_unlink(dirfd, NAME_FLOOR);
    return rc < 0 ? rc : rc == 1 ? 0 : -ENOTEMPTY;
}

/* Where the name of the directory lies, to make that survive too. -EACCES: not ours to sync. */
static int parent_open(const char *dir)
{
    char *up = malloc(strlen(dir) + 4);
    int fd;

    if (!up)
        return -ENOMEM;
    sprintf(up, "%s/..", dir);
    fd = dir_open(up);
    free(up);
    return fd;
}

int seglog_log_create(const char *dir, const struct seglog_log_options *options)
{
    static const struct seglog_log_options plain;
    const struct seglog_log_options *o = options ? options : &plain;
    const mode_t mode = directory_mode(o->mode ? o->mode : 0640);
    struct fs_facts fs;
    bool made;
    int dirfd, parent, rc = log_check_options(o);

    if (rc < 0)
        return rc;
    made = mkdir(dir, mode) == 0;
    if (!made && errno != EEXIST)
        return -errno;
    dirfd = dir_open(dir);
    if (dirfd < 0)
        return dirfd;
    rc = fs_facts(dirfd, &fs);
    if (rc == 0 && fs.is_refused && !(o->flags & SEGLOG_LOG_FORCE_FS))
        rc = SEGLOG_EFS;
    if (rc == 0 && fs.is_volatile && o->sync >= SEGLOG_SYNC_INTERVAL)
        rc = SEGLOG_EVOLATILE;
    if (rc == 0 && made && fchmod(dirfd, mode) < 0)
        rc = -errno;
    if (rc == 0)
        rc = dir_clear(dirfd, o->first_seq != 0);
    if (rc == -ENOTEMPTY && has_settings(dirfd))
        rc = -EEXIST;
    /* All that can be wanting is had before the log is one. */
    parent = rc == 0 ? parent_open(dir) : -1;
    if (rc == 0 && parent < 0 && parent != -EACCES)
        rc = parent;
    if (rc == 0)
        rc = create_settings(dirfd, o);
    if (rc == 0 && parent >= 0)
        rc = dir_sync(parent); /* whoever made the directory */
    file_close(parent);
    file_close(dirfd);
    if (rc < 0 && made && rc != -EEXIST)
        rmdir(dir); /* only succeeds while nobody put anything there */
    return rc;
}
