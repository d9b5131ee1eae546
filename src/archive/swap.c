/*
 * The swap: the archive takes the segment's place. ARCHITECTURE, "Crash table", rows A1 to A4.
 *
 * While both names are there the segment counts, if it is sealed; so whatever a kill or a power cut
 * leaves, one whole copy is found. Whoever comes next finds both and goes on from there.
 */
#include "archive/archive.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "sys/clock.h"
#include "sys/file.h"

/* A file that nobody sees before it is whole: without a name, or where that cannot be had under one
 * that the next recovery sweeps. */
struct draft {
    int fd;
    bool is_hidden;
    char name[SEGMENT_NAME_BYTES + 24];
};

static int draft_open(int dirfd, const struct archive_order *order, struct draft *draft)
{
    draft->is_hidden = true;
    draft->fd = file_create_hidden(dirfd, (mode_t)order->mode);
    if (draft->fd != -EOPNOTSUPP && draft->fd != -ENOENT && draft->fd != -EISDIR)
        return draft->fd < 0 ? draft->fd : 0;
    draft->is_hidden = false;
    snprintf(draft->name, sizeof(draft->name), "%016llx-%llx.arc.tmp",
             (unsigned long long)order->number, (unsigned long long)clock_monotonic_ns());
    draft->fd = file_create(dirfd, draft->name, (mode_t)order->mode);
    return draft->fd < 0 ? draft->fd : 0;
}

static int draft_publish(int dirfd, struct draft *draft, const char *name)
{
    int rc;

    if (!draft->is_hidden)
        return file_rename_new(dirfd, draft->name, name);
    rc = file_publish(draft->fd, dirfd, name);
    return rc == -EOPNOTSUPP || rc == -ENOENT ? -EOPNOTSUPP : rc;
}

static void draft_close(int dirfd, const struct draft *draft)
{
    if (!draft->is_hidden)
        file_unlink(dirfd, draft->name); /* gone already, if it has been published */
    file_close(draft->fd);
}

/* The archive under its name: is it this segment's? In full: every byte, as somebody else wrote it. */
static int look_again(int dirfd, const struct archive_order *order, const struct segment *seg,
                      bool in_full)
{
    struct footer_facts is, was;
    uint64_t offset;
    struct segment *arc;
    int rc = segment_open_archive(dirfd, order->number, order->uuid, &arc, NULL);

    if (rc < 0)
        return rc;
    if (in_full)
        rc = archive_check(arc, &offset, NULL);
    if (rc == 0)
        rc = segment_footer(arc, &is, NULL);
    if (rc == 0)
        rc = segment_footer(seg, &was, NULL);
    if (rc == 0 && (arc->facts.generation != seg->facts.generation ||
                    memcmp(is.seal_hash, was.seal_hash, sizeof(is.seal_hash)) != 0))
        rc = SEGLOG_ECORRUPT;
    segment_close(arc);
    return rc;
}

static int publish(int dirfd, const struct archive_order *order, const struct segment *seg,
                   struct archive_result *out)
{
    char name[SEGMENT_NAME_BYTES];
    struct draft draft;
    int rc = draft_open(dirfd, order, &draft);

    if (rc < 0)
        return rc;
    segment_archive_name(order->number, name);
    rc = archive_pack(seg, order, draft.fd, out);
    /* A1: whole and on the disk, without a name. Killed here, nothing is left of it. */
    if (rc == 0)
        rc = draft_publish(dirfd, &draft, name);
    draft_close(dirfd, &draft);
    /* A2: both are there, the segment counts. A power cut may take the name again. */
    return rc;
}

int archive_swap(int dirfd, const struct archive_order *order, struct archive_result *out)
{
    char name[SEGMENT_NAME_BYTES], archive_name[SEGMENT_NAME_BYTES];
    struct segment *seg;
    int rc = segment_open(dirfd, order->number, order->uuid, SEGMENT_PREAD, &seg, NULL);

    if (rc < 0)
        return rc;
    *out = (struct archive_result){.segment_size = seg->facts.size};
    segment_name(order->number, name);
    segment_archive_name(order->number, archive_name);
    if (seg->arc) { /* it is done; or what is left under the segment's name is good for nothing */
        segment_close(seg);
        return -EALREADY;
    }
    if (archive_exists(dirfd, order->number)) {
        out->was_there = look_again(dirfd, order, seg, true) == 0;
        rc = out->was_there ? 0 : file_unlink(dirfd, archive_name);
    }
    if (rc == 0 && !out->was_there)
        rc = publish(dirfd, order, seg, out);
    if (rc == 0)
        rc = look_again(dirfd, order, seg, false);
    segment_close(seg);
    if (rc == 0)
        rc = dir_sync(dirfd);
    /* A3: the archive's name is on the disk too. */
    if (rc == 0)
        rc = file_unlink(dirfd, name);
    /* A4: the archive alone. A power cut may bring the segment back: both, as at A2. */
    return rc == -ENOENT ? 0 : rc;
}
