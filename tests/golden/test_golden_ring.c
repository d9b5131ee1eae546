/*
 * What format 1.0 wrote as a ring can be read for ever.
 *
 * The file in v1/ring was written once, by
 *     SEGLOG_GOLDEN_WRITE=tests/golden/v1 test_golden --filter golden_ring/write
 * and is never written again: see README.md. Anywhere but where it was made it is a copy, which is
 * shown as it is to those who only look, and emptied by the first who attaches.
 */
#include "golden/make_golden.h"

#include "ring/handle.h"
#include "support/check.h"
#include "support/tmpdir.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define STORED "/ring/ring.hex"
#define START  (UINT64_MAX - 199) /* the second batch lies across the wrap */
#define BATCH  4

static const char *const texts[] = {"plain",
                                    "",
                                    "with time and tag",
                                    "of a batch",
                                    "of a batch, longer than a line of a cache, that is, 64 bytes",
                                    "x",
                                    "the last of it"};
#define TEXTS (sizeof(texts) / sizeof(texts[0]))

static char *expand(const char *dir)
{
    FILE *from = fopen(SEGLOG_TEST_SOURCE_DIR "/golden/v1" STORED, "re"), *to;
    char *path = tmpdir_path(dir, "ring");
    uint8_t *bytes;
    size_t size;

    cr_assert_not_null(from, "%s", strerror(errno));
    cr_assert_eq(golden_text_read(from, &bytes, &size), 0);
    (void)fclose(from);
    to = fopen(path, "wbe");
    cr_assert_not_null(to);
    cr_assert_eq(fwrite(bytes, 1, size, to), size);
    cr_assert_eq(fclose(to), 0);
    free(bytes);
    return path;
}

Test(golden_ring, its_messages_are_shown)
{
    const struct seglog_consumer_options look = {.flags = SEGLOG_CONSUMER_OBSERVE};
    char *dir = tmpdir_make(), *path = expand(dir);
    struct seglog_ring_info info;
    struct seglog_consumer *c;
    struct seglog_ring *ring;
    struct seglog_view view;

    cr_assert_ok(seglog_ring_open(path, SEGLOG_RING_READ_ONLY, &ring));
    cr_assert_ok(seglog_ring_inspect(ring, &info));
    cr_assert(info.kind == SEGLOG_RING_MPSC && info.overload == SEGLOG_OVERLOAD_DROP);
    cr_assert(info.size == 4096 && info.mode == 0600 && info.stale == 1);
    cr_assert_ok(seglog_consumer_open(ring, &look, &c));
    for (size_t i = 0; i < TEXTS; i++) {
        cr_assert_status(seglog_consumer_next(c, &view), 0);
        cr_assert_eq(view.seq, i + 1, "one was taken before");
        cr_assert(view.len == strlen(texts[i]) && memcmp(view.data, texts[i], view.len) == 0,
                  "message %zu", i);
        cr_assert_eq(view.time_ns, i == 2 ? UINT64_C(1700000000123456789) : 0);
        cr_assert_eq(view.tag, i == 2 ? 77u : 0u);
        seglog_consumer_release(c);
    }
    /* The claim that was open: nobody can tell any more whose it was. */
    cr_assert_status(seglog_consumer_next(c, &view), -EAGAIN);
    cr_assert_ok(seglog_consumer_close(c));
    cr_assert_ok(seglog_ring_close(ring));
    free(path);
    tmpdir_remove(dir);
}

Test(golden_ring, it_is_used_anew)
{
    char *dir = tmpdir_make(), *path = expand(dir);
    struct seglog_ring_info info;
    struct seglog_producer *p;
    struct seglog_consumer *c;
    struct seglog_ring *ring;
    struct seglog_view view;

    cr_assert_ok(seglog_ring_open(path, 0, &ring));
    cr_assert_ok(seglog_ring_inspect(ring, &info));
    cr_assert(info.records == 0 && info.stale == 0);
    cr_assert_ok(seglog_producer_open(ring, NULL, &p));
    cr_assert_ok(seglog_consumer_open(ring, NULL, &c));
    for (int i = 0; i < 1000; i++) {
        cr_assert_ok(seglog_producer_put(p, &i, sizeof(i), 0));
        cr_assert_status(seglog_consumer_next(c, &view), 0);
        cr_assert(view.len == sizeof(i) && memcmp(view.data, &i, sizeof(i)) == 0);
        seglog_consumer_release(c);
    }
    cr_assert_ok(seglog_producer_close(p));
    cr_assert_ok(seglog_consumer_close(c));
    cr_assert_ok(seglog_ring_close(ring));
    free(path);
    tmpdir_remove(dir);
}

/* ---- writing it, once --------------------------------------------------------------------------- */

static void store(const char *to, const char *ring)
{
    char path[512];
    FILE *from = fopen(ring, "rbe"), *file;
    struct stat st;
    uint8_t *bytes;

    cr_assert_not_null(from);
    cr_assert_eq(fstat(fileno(from), &st), 0);
    bytes = malloc((size_t)st.st_size);
    cr_assert_not_null(bytes);
    cr_assert_eq(fread(bytes, 1, (size_t)st.st_size, from), (size_t)st.st_size);
    (void)fclose(from);
    snprintf(path, sizeof(path), "%s/ring", to);
    (void)mkdir(path, 0755);
    snprintf(path, sizeof(path), "%s%s", to, STORED);
    file = fopen(path, "wxe"); /* never over one that is there */
    cr_assert_not_null(file, "%s: %s", path, strerror(errno));
    golden_text_write(file, bytes, (size_t)st.st_size);
    cr_assert_eq(fclose(file), 0);
    free(bytes);
}

Test(golden_ring, write)
{
    const struct seglog_ring_options options = {
        .size = 4096, .kind = SEGLOG_RING_MPSC, .overload = SEGLOG_OVERLOAD_DROP, .mode = 0600};
    const char *to = getenv("SEGLOG_GOLDEN_WRITE");
    struct seglog_record records[BATCH];
    struct seglog_producer *p, *other;
    struct seglog_consumer *c;
    struct seglog_claim claim;
    struct seglog_ring *ring;
    struct seglog_view view;
    char *dir, *path;

    if (!to)
        return;
    dir = tmpdir_make();
    path = tmpdir_path(dir, "ring");
    cr_assert_ok(ring_create_at(path, &options, START));
    cr_assert_ok(seglog_ring_open(path, 0, &ring));
    cr_assert_ok(seglog_producer_open(ring, NULL, &p));
    cr_assert_ok(seglog_producer_open(ring, NULL, &other));
    cr_assert_ok(seglog_consumer_open(ring, NULL, &c));
    cr_assert_ok(seglog_producer_put(p, "taken", 5, 0));
    for (size_t i = 0; i < 3; i++) {
        const struct seglog_record r = {.data = texts[i],
                                        .len = strlen(texts[i]),
                                        .time_ns = i == 2 ? UINT64_C(1700000000123456789) : 0,
                                        .tag = i == 2 ? 77 : 0};

        cr_assert_ok(seglog_producer_put_record(p, &r, 0));
    }
    cr_assert_ok(seglog_producer_claim(p, 40, &claim, 0));
    memset(claim.data, 0xab, 40);
    cr_assert_ok(seglog_producer_abort(p));
    for (size_t i = 0; i < BATCH; i++)
        records[i] = (struct seglog_record){.data = texts[3 + i], .len = strlen(texts[3 + i])};
    cr_assert_ok(seglog_producer_put_batch(p, records, BATCH, 0));
    cr_assert_ok(seglog_producer_claim(p, 24, &claim, 0));
    memset(claim.data, 0xcd, 24);
    cr_assert_ok(seglog_producer_put(other, "behind an open claim", 20, 0));
    cr_assert_ok(seglog_consumer_next(c, &view));
    seglog_consumer_release(c);
    store(to, path);
    cr_assert_ok(seglog_producer_close(p));
    cr_assert_ok(seglog_producer_close(other));
    cr_assert_ok(seglog_consumer_close(c));
    cr_assert_ok(seglog_ring_close(ring));
    free(path);
    tmpdir_remove(dir);
}
