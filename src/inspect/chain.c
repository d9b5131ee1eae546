/*
 * Looking at all segments of a log. See chain.h.
 *
 * The order of looking is what keeps a moving log consistent: names before the floor (retention
 * stores the floor before it unlinks), and seals happen in order, so that whoever looks at an entry
 * again after having seen a later one sealed must find it sealed too. Segments are made and removed in
 * order as well, but readdir() promises nothing about names that come and go meanwhile: a gap between
 * two names is one only if the file cannot be opened either.
 */
#include "inspect/chain.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "segment/archive.h"
#include "segment/build.h"
#include "segment/scan.h"
#include "sys/clock.h"

#define LOOKS   4
#define LOOK_NS UINT64_C(1000000)

/* Segments that chain_extend() takes at once. */
#define EXTENSION 64

/* Failures that are this process's, not the file's. */
static bool is_ours(int rc)
{
    return rc == -ENOMEM || rc == -EMFILE || rc == -ENFILE || rc == -EACCES || rc == -EPERM;
}

static int sight_blocks(struct sight *sight)
{
    sight->act_rc = segment_activation(sight->seg, &sight->act);
    sight->footer_rc = segment_footer(sight->seg, &sight->footer, &sight->why);
    sight->mark_rc = segment_mark(sight->seg, &sight->mark);
    if (sight->act_rc == SEGLOG_ECORRUPT || sight->footer_rc == SEGLOG_ECORRUPT)
        return -EAGAIN;
    return 0;
}

int sight_take(const struct log_view *view, uint64_t number, struct sight *out)
{
    *out = (struct sight){.act_rc = -EAGAIN, .footer_rc = -EAGAIN, .mark_rc = -EAGAIN};
    out->open_rc =
        segment_open(view->dirfd, number, view->settings.uuid, SEGMENT_PREAD, &out->seg, &out->why);
    if (out->open_rc < 0) {
        out->seg = NULL;
        return is_ours(out->open_rc) ? out->open_rc : 0;
    }
    /* Reading by pread has no order towards stores: a block met half stored is whole soon. */
    for (int i = 0; i < LOOKS && sight_blocks(out) == -EAGAIN; i++)
        clock_sleep_ns(LOOK_NS);
    return 0;
}

void sight_drop(struct sight *sight)
{
    segment_close(sight->seg);
    sight->seg = NULL;
}

/* ---- entries -------------------------------------------------------------------------------- */

static void entry_fill(struct chain_entry *entry, const struct sight *sight)
{
    *entry = (struct chain_entry){
        .number = entry->number,
        .is_readable = sight->open_rc == 0,
        .is_sealed = sight->footer_rc == 0,
        .is_based = sight->footer_rc == 0 || sight->act_rc == 0,
    };
    if (!entry->is_readable)
        return;
    entry->base_seq = entry->is_sealed ? sight->footer.base_seq : sight->act.base_seq;
    entry->bytes =
        (entry->is_sealed ? sight->footer.frames_end : sight->seg->facts.space.frames_end) -
        OFF_FRAMES;
}

int chain_look(struct chain *chain, size_t i)
{
    struct chain_entry *entry = &chain->entries[i];
    struct sight sight;
    const int rc = sight_take(chain->view, entry->number, &sight);

    if (rc < 0)
        return rc;
    entry_fill(entry, &sight);
    if (entry->is_sealed && i >= chain->sealed_end)
        chain->sealed_end = i + 1;
    if ((entry->is_sealed || sight.mark_rc == 0) && i >= chain->durable_end)
        chain->durable_end = i + 1;
    sight_drop(&sight);
    return 0;
}

/* Make room for a new entry i and look at it. */
static int chain_insert(struct chain *chain, size_t i, uint64_t number)
{
    struct chain_entry *entries = chain->entries;

    if (chain->count == chain->capacity) {
        const size_t capacity = chain->capacity ? 2 * chain->capacity : 64;

        entries = realloc(entries, capacity * sizeof(*entries));
        if (!entries)
            return -ENOMEM;
        chain->entries = entries;
        chain->capacity = capacity;
    }
    memmove(&entries[i + 1], &entries[i], (chain->count - i) * sizeof(*entries));
    entries[i] = (struct chain_entry){.number = number};
    chain->count++;
    if (chain->sealed_end > i)
        chain->sealed_end++;
    if (chain->durable_end > i)
        chain->durable_end++;
    return chain_look(chain, i);
}

static bool chain_has_file(const struct chain *chain, uint64_t number)
{
    char name[SEGMENT_NAME_BYTES];
    int fd;

    segment_name(number, name);
    fd = file_open(chain->view->dirfd, name, O_PATH, 0);
    file_close(fd);
    return fd >= 0 || archive_exists(chain->view->dirfd, number);
}

static int chain_add_list(struct chain *chain)
{
    struct segment_list list;
    int rc = segment_list_read(chain->view->dirfd, &list);

    if (rc < 0)
        return rc;
    rc = chain_refloor(chain);
    for (size_t i = 0; i < list.count && rc == 0; i++) {
        if (list.numbers[i] >= chain->floor.number)
            rc = chain_insert(chain, chain->count, list.numbers[i]);
    }
    segment_list_free(&list);
    return rc;
}

int chain_refloor(struct chain *chain)
{
    const int rc = log_view_floor(chain->view, &chain->floor);

    chain->floor_is_bad = rc == SEGLOG_ECORRUPT;
    if (!chain->floor_is_bad)
        return rc;
    chain->floor = (struct floor_facts){0};
    return 0;
}

int chain_read(struct chain *chain, const struct log_view *view)
{
    int rc;

    *chain = (struct chain){.view = view};
    rc = chain_add_list(chain);
    if (rc < 0)
        chain_free(chain);
    return rc;
}

int chain_fill(struct chain *chain, size_t i, uint64_t from)
{
    int filled = 0;

    if (from < chain->floor.number)
        from = chain->floor.number;
    /* The first that is not there ends it: what was taken away is taken from the front. */
    while (from < chain->entries[i].number && filled < INT32_MAX && chain_has_file(chain, from)) {
        const int rc = chain_insert(chain, i, from);

        if (rc < 0)
            return rc;
        filled++;
        i++;
        from++;
    }
    return filled;
}

int chain_extend(struct chain *chain)
{
    if (chain->count == 0)
        return chain_add_list(chain);
    for (int i = 0; i < EXTENSION; i++) {
        const uint64_t last = chain->entries[chain->count - 1].number;
        int rc;

        if (last < chain->floor.number) /* all of them were removed meanwhile */
            return chain_add_list(chain);
        if (last == UINT64_MAX || !chain_has_file(chain, last + 1))
            return 0;
        rc = chain_insert(chain, chain->count, last + 1);
        if (rc < 0)
            return rc;
    }
    return 0;
}

void chain_free(struct chain *chain)
{
    free(chain->entries);
    chain->entries = NULL;
    chain->count = chain->capacity = 0;
}

bool chain_base_after(const struct chain *chain, size_t i, uint64_t *base)
{
    for (size_t k = i + 1; k < chain->count; k++) {
        if (chain->entries[k].is_based) {
            *base = chain->entries[k].base_seq;
            return true;
        }
    }
    return false;
}

bool chain_goes_on_after(const struct chain *chain, size_t i)
{
    if (i + 1 < chain->durable_end)
        return true;
    return i + 1 < chain->count && chain->entries[i + 1].is_based;
}

bool chain_has_shrunk(const struct chain *chain, uint64_t number)
{
    struct segment_list list;
    bool has_none;

    if (segment_list_read(chain->view->dirfd, &list) < 0)
        return false;
    has_none = list.count == 0 || list.numbers[list.count - 1] < number;
    segment_list_free(&list);
    return has_none;
}

/* ---- what a power cut leaves ---------------------------------------------------------------- */

void chain_link_begin(const struct chain *chain, struct chain_link *link)
{
    *link = (struct chain_link){
        .next_seq = chain->floor.first_seq,
        .has_next = !chain->floor_is_bad,
        .has_generation = !chain->floor_is_bad && chain->floor.number == 0,
        .has_seal = !chain->floor_is_bad && chain->floor.number == 0,
    };
}

static bool sight_continues(const struct sight *sight, const struct chain_link *link)
{
    uint64_t word = 0;

    if (sight->act_rc == 0) {
        return (!link->has_next || sight->act.base_seq == link->next_seq) &&
               (!link->has_generation || sight->act.pred_generation == link->generation) &&
               sight->act.epoch >= link->epoch + (link->is_torn ? 1 : 0);
    }
    /* Beyond a cut, frames without a word on their place are those that were cut off. */
    return !link->is_torn ||
           (file_pread(sight->seg->fd, &word, sizeof(word), OFF_FRAMES) == 0 && word == 0);
}

bool chain_is_leftover(const struct chain *chain, size_t i, const struct sight *sight,
                       const struct chain_link *link)
{
    if (i < chain->durable_end || sight_continues(sight, link))
        return false;
    return !log_view_is_live(chain->view) ||
           segment_boot_relation(sight->seg, &chain->view->boot) != BOOT_SAME;
}

/* Neither the checksum at its end nor the magic at its beginning, one sector each, ever came. */
static bool page_is_unwritten(const uint8_t page[PAGE_BYTES])
{
    const size_t sector = 512;

    return bytes_are_zero(page, sector) || bytes_are_zero(page + PAGE_BYTES - sector, sector);
}

static bool file_begins_with_zeros(int fd, uint64_t size)
{
    uint8_t head[sizeof(((struct file_head *)0)->magic)];
    const size_t n = size < sizeof(head) ? (size_t)size : sizeof(head);

    return file_pread(fd, head, n, 0) == 0 && bytes_are_zero(head, n);
}

static bool file_is_unwritten(int fd)
{
    static const uint64_t blocks[] = {OFF_HEADER, OFF_MARK0, OFF_MARK1};
    struct file_facts file;
    uint8_t page[PAGE_BYTES];

    if (file_facts(fd, &file) < 0 || !file.is_regular)
        return false;
    for (size_t i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++) {
        /* A file has its whole size before its header. One that was cut begins with a header. */
        if (file.size < blocks[i] + sizeof(page))
            return blocks[i] != OFF_HEADER || file_begins_with_zeros(fd, file.size);
        if (file_pread(fd, page, sizeof(page), blocks[i]) < 0)
            return false;
        /* A mark is written behind a sync of everything. */
        if (blocks[i] == OFF_HEADER ? !page_is_unwritten(page)
                                    : !bytes_are_zero(page, sizeof(struct mark_slot)))
            return false;
    }
    return true;
}

bool chain_is_unwritten(const struct chain *chain, size_t i)
{
    char name[SEGMENT_NAME_BYTES];
    bool is_unwritten;
    int fd;

    if (i < chain->durable_end || log_view_is_live(chain->view))
        return false;
    segment_name(chain->entries[i].number, name);
    fd = file_open(chain->view->dirfd, name, O_RDONLY, 0);
    if (fd < 0)
        return false;
    is_unwritten = file_is_unwritten(fd);
    file_close(fd);
    return is_unwritten;
}

/* ---- without a header ----------------------------------------------------------------------- */

static uint64_t ghost_walk(const struct segment *seg)
{
    struct source src;
    struct scan scan;
    struct scan_frame frame;
    uint64_t lost;
    int rc;

    source_init(&src, seg);
    scan_begin(&scan, &src, false);
    do {
        rc = scan_next(&scan, &frame);
        if (rc == SEGLOG_ECORRUPT)
            rc = scan_resync(&scan, &lost);
    } while (rc == 1);
    source_free(&src);
    return scan.seq_rel;
}

bool chain_guess_next(const struct chain *chain, size_t i, uint64_t *next)
{
    struct activation_facts act;
    struct footer_facts footer;
    struct segment *seg;

    if (segment_rebuild(chain->view->dirfd, &chain->view->settings, chain->entries[i].number,
                        SEGMENT_PREAD, &seg, &act) < 0)
        return false;
    if (segment_footer(seg, &footer, NULL) == 0)
        *next = footer.next_seq;
    else
        *next = act.base_seq + ghost_walk(seg);
    segment_close(seg);
    return true;
}
