/*
 * A segment whose header page rotted: all that the page said, from elsewhere.
 *
 * The header holds only what was known when the file was made: the size is the log's, the number is
 * in the name, the layout follows from the size, and the generation stands in the activation block
 * too, under a checksum of its own. When the file was made is lost, and nobody needs it.
 */
#include "segment/build.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "sys/file.h"

/* Is there rot? A page that checks out says what it says: of another log, say, or a newer release. */
static int header_is_rotten(int fd)
{
    struct segment_header page;
    const int rc = file_pread(fd, &page, sizeof(page), OFF_HEADER);

    return rc < 0 ? rc : !segment_header_is_whole(&page);
}

static int rebuild_facts(struct segment *seg, const struct settings_facts *settings,
                         struct activation_facts *act)
{
    union {
        struct activation_block block;
        uint8_t bytes[sizeof(struct activation_block)];
    } copy;
    uint64_t generation;
    int rc = file_pread(seg->fd, copy.bytes, sizeof(copy.bytes), OFF_ACTIVATION);

    if (rc < 0)
        return rc;
    generation = le64_get(&copy.block.generation);
    if (generation == 0 || activation_load(&copy.block, generation, act) < 0)
        return SEGLOG_ECORRUPT;
    memcpy(seg->facts.uuid, settings->uuid, sizeof(seg->facts.uuid));
    seg->facts.size = settings->segment_size;
    seg->facts.generation = generation;
    seg->facts.discipline = settings->discipline;
    segment_shape(seg->facts.size, &seg->facts.shape);
    frame_space_init(&seg->facts.space, seg->facts.size, generation);
    return 0;
}

int segment_rebuild(int dirfd, const struct settings_facts *settings, uint64_t number,
                    enum segment_access access, struct segment **out, struct activation_facts *act)
{
    struct segment *seg = calloc(1, sizeof(*seg));
    char name[SEGMENT_NAME_BYTES];
    struct file_facts file;
    int rc;

    if (!seg)
        return -ENOMEM;
    segment_name(number, name);
    seg->facts.number = number;
    seg->access = access;
    seg->fd = file_open(dirfd, name, access == SEGMENT_PREAD_WRITE ? O_RDWR : O_RDONLY, 0);
    rc = seg->fd < 0 ? seg->fd : file_facts(seg->fd, &file);
    if (rc == 0 && (!file.is_regular || file.size != settings->segment_size))
        rc = SEGLOG_ECORRUPT;
    if (rc == 0) {
        rc = header_is_rotten(seg->fd);
        rc = rc < 0 ? rc : rc == 1 ? 0 : SEGLOG_ECORRUPT;
    }
    if (rc == 0)
        rc = rebuild_facts(seg, settings, act);
    if (rc < 0) {
        segment_close(seg);
        return rc;
    }
    seg->dev = file.dev;
    seg->ino = file.ino;
    *out = seg;
    return 0;
}

int segment_header_write(const struct segment *seg)
{
    struct segment_header page;

    segment_header_encode(&page, &seg->facts);
    return file_pwrite(seg->fd, &page, sizeof(page), OFF_HEADER);
}
