/*
 * A page that the medium does not give, in the midst of frames: what lies there is lost, and no more.
 *
 * pread() is defined here for the whole test program, so that one page of one file can fail.
 */
#include "reading.h"

#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RECORDS 400u
#define PAGE    4096

static struct {
    ino_t ino;
    off_t from, to; /* offsets that fail; to == 0: none */
} bad;

ssize_t pread(int fd, void *buf, size_t n, off_t offset)
{
    struct stat st;

    if (bad.to != 0 && offset < bad.to && offset + (off_t)n > bad.from && fstat(fd, &st) == 0 &&
        st.st_ino == bad.ino) {
        errno = EIO;
        return -1;
    }
    return syscall(SYS_pread64, fd, buf, n, offset);
}

struct holed {
    struct build_log log;
    struct build_segment a, b;
    uint64_t at[RECORDS + 1];
};

static void holed_make(struct holed *h, bool sealed)
{
    struct stat st;

    build_log_make(&h->log);
    build_log_live(&h->log);
    build_begin(&h->log, NULL, &h->a);
    for (unsigned i = 0; i < RECORDS; i++) {
        h->at[i] = h->a.at;
        build_records(&h->a, 1);
    }
    h->at[RECORDS] = h->a.at;
    build_roll(&h->a);
    if (sealed)
        build_seal(&h->a, NULL);
    build_begin(&h->log, &h->a, &h->b);
    build_records(&h->b, 10);
    cr_assert_eq(fstat(h->a.seg->fd, &st), 0);
    bad.ino = st.st_ino;
}

static void holed_remove(struct holed *h)
{
    bad.to = 0;
    build_close(&h->a);
    build_close(&h->b);
    build_log_remove(&h->log);
}

static bool is_lost(const struct holed *h, uint64_t seq)
{
    return seq < RECORDS && h->at[seq] < (uint64_t)bad.to && h->at[seq + 1] > (uint64_t)bad.from;
}

/* All that does not lie there is read, and of the rest each number is told. */
static void expect_the_rest(const struct holed *h, struct seglog_reader *reader, bool back)
{
    bool seen[RECORDS + 10] = {false}, told[RECORDS + 10] = {false};
    struct seglog_view view;
    int rc;

    for (unsigned calls = 0; calls < 2 * RECORDS; calls++) {
        struct seglog_damage damage;

        rc = back ? seglog_reader_prev(reader, &view) : seglog_reader_next(reader, &view);
        if (rc == (back ? -ENODATA : -EAGAIN))
            break;
        if (rc == 0) {
            expect_view(&view, view.seq);
            seen[view.seq] = true;
            continue;
        }
        cr_assert_status(rc, SEGLOG_ECORRUPT);
        cr_assert_ok(seglog_reader_damage(reader, &damage));
        if (!back) /* backward it is only known that no frame is there */
            cr_assert_not_null(strstr(damage.cause, "medium"), "%s", damage.cause);
        for (uint64_t seq = damage.first_seq; seq <= damage.last_seq; seq++)
            told[seq] = true;
    }
    cr_assert_status(rc, back ? -ENODATA : -EAGAIN);
    for (uint64_t seq = 0; seq < RECORDS + 10; seq++) {
        cr_assert_eq(seen[seq], !is_lost(h, seq), "%llu", (unsigned long long)seq);
        cr_assert_eq(told[seq], is_lost(h, seq), "%llu", (unsigned long long)seq);
    }
}

static void try_page(bool sealed, off_t page, off_t pages)
{
    struct holed h;
    struct seglog_reader *reader;

    holed_make(&h, sealed);
    reader = reader_on(&h.log, SEGLOG_READER_COPY | SEGLOG_READER_SKIP_BAD);
    bad.from = ((off_t)h.at[0] / PAGE + page) * PAGE;
    bad.to = bad.from + pages * PAGE;
    expect_the_rest(&h, reader, false);
    expect_the_rest(&h, reader, true);
    seglog_reader_close(reader);
    holed_remove(&h);
}

Test(holes, cost_the_records_that_lie_there_in_a_sealed_segment)
{
    try_page(true, 0, 1);
    try_page(true, 3, 1);
    try_page(true, 4, 2);
}

Test(holes, cost_the_records_that_lie_there_in_one_not_sealed)
{
    try_page(false, 3, 1);
    try_page(false, 4, 2);
}

Test(holes, are_passed_only_by_readers_that_copy_and_verify)
{
    static const uint32_t flags[] = {
        SEGLOG_READER_SKIP_BAD, SEGLOG_READER_SKIP_BAD | SEGLOG_READER_NO_VERIFY,
        SEGLOG_READER_SKIP_BAD | SEGLOG_READER_COPY | SEGLOG_READER_NO_VERIFY};
    struct holed h;

    holed_make(&h, true);
    for (int i = 0; i < 3; i++) {
        const struct seglog_reader_options options = {.flags = flags[i]};
        struct seglog_reader *reader;

        cr_assert_status(seglog_reader_open(h.log.dir, &options, &reader), -EINVAL);
    }
    holed_remove(&h);
}
