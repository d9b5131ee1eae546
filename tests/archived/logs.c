/*
 * See logs.h.
 */
#include "archived/logs.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

bool archived_is_void(uint64_t seq)
{
    return seq % 50 == 49;
}

/* Not in the order of the numbers. */
uint64_t archived_time(uint64_t seq)
{
    return TIME0 + seq * 1000 - seq % 7 * 2500;
}

static size_t text_of(uint64_t seq, char out[512])
{
    int n = snprintf(out, 512, "record %" PRIu64, seq);

    for (uint64_t i = 0; i < seq * 37 % 90; i++)
        n += snprintf(out + n, 512 - (size_t)n, " %02x", (unsigned)(seq * i % 256));
    return (size_t)n;
}

static void append_one(struct seglog_appender *ap, uint64_t seq)
{
    char text[512];
    struct seglog_record record = {
        .data = text, .len = text_of(seq, text), .time_ns = archived_time(seq)};
    struct seglog_claim claim;
    uint64_t got;

    record.tag = (uint32_t)(seq / 200); /* so that segments differ */
    if (archived_is_void(seq)) {
        cr_assert_ok(seglog_appender_claim(ap, 64, &claim));
        memset(claim.data, 0xEE, claim.len);
        cr_assert_eq(claim.seq, seq);
        cr_assert_ok(seglog_appender_abort(ap));
        return;
    }
    cr_assert_ok(seglog_appender_append_record(ap, &record, &got));
    cr_assert_eq(got, seq);
}

char *archived_log(uint64_t records, uint64_t segment_size)
{
    const struct seglog_log_options options = {.segment_size = segment_size,
                                               .flags = SEGLOG_LOG_CREATE | SEGLOG_LOG_NO_HELPER};
    char *dir = tmpdir_make();
    struct seglog_appender *ap;
    struct seglog_log *log;

    cr_assert_ok(seglog_log_open(dir, &options, &log));
    cr_assert_ok(seglog_appender_open(log, NULL, &ap));
    for (uint64_t seq = 0; seq < records; seq++)
        append_one(ap, seq);
    cr_assert_ok(seglog_appender_close(ap));
    cr_assert_geq(seglog_log_seal(log, 0), 0);
    cr_assert_ok(seglog_log_close(log));
    return dir;
}

void archived_expect(const struct seglog_view *view)
{
    char text[512];
    const size_t n = text_of(view->seq, text);

    cr_assert(!archived_is_void(view->seq));
    cr_assert(view->len == n && memcmp(view->data, text, n) == 0,
              "record %" PRIu64 " is not what was appended", view->seq);
    cr_assert_eq(view->time_ns, archived_time(view->seq));
    cr_assert_eq(view->tag, view->seq / 200);
}

uint64_t archived_read(const char *dir, uint32_t flags, unsigned *damages)
{
    const struct seglog_reader_options options = {.flags = flags};
    struct seglog_reader *reader;
    struct seglog_view view;
    uint64_t count = 0, last = 0;
    int rc = seglog_reader_open(dir, &options, &reader);

    *damages = 0;
    cr_assert_ok(rc);
    while ((rc = seglog_reader_next(reader, &view)) != -EAGAIN && *damages < 1000) {
        if (rc < 0) {
            (*damages)++;
            continue;
        }
        cr_assert(count == 0 || view.seq > last);
        last = view.seq;
        archived_expect(&view);
        count++;
        seglog_reader_release(reader);
    }
    seglog_reader_close(reader);
    return count;
}

uint64_t archived_read_back(const char *dir, unsigned *damages)
{
    const struct seglog_reader_options options = {.from = {.kind = SEGLOG_PLACE_END}};
    struct seglog_reader *reader;
    struct seglog_view view;
    uint64_t count = 0, last = UINT64_MAX;
    int rc = seglog_reader_open(dir, &options, &reader);

    *damages = 0;
    cr_assert_ok(rc);
    while ((rc = seglog_reader_prev(reader, &view)) != -ENODATA && *damages < 1000) {
        cr_assert(rc == 0 || rc == SEGLOG_ECORRUPT, "status %d", rc);
        if (rc < 0) {
            (*damages)++;
            continue;
        }
        cr_assert_lt(view.seq, last);
        last = view.seq;
        archived_expect(&view);
        count++;
        seglog_reader_release(reader);
    }
    cr_assert_eq(rc, -ENODATA);
    seglog_reader_close(reader);
    return count;
}

char *archived_path(const char *dir, uint64_t number, const char *ending)
{
    char name[32];

    snprintf(name, sizeof(name), "%016" PRIx64 ".%s", number, ending);
    return tmpdir_path(dir, name);
}

bool archived_has(const char *dir, uint64_t number, const char *ending)
{
    char *path = archived_path(dir, number, ending);
    struct stat st;
    const bool has = stat(path, &st) == 0;

    free(path);
    return has;
}

uint8_t *archived_load(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rbe");
    struct stat st;
    uint8_t *bytes;

    cr_assert(file && fstat(fileno(file), &st) == 0);
    *size = (size_t)st.st_size;
    bytes = malloc(*size);
    cr_assert(bytes && fread(bytes, 1, *size, file) == *size);
    fclose(file);
    return bytes;
}

void archived_store(const char *path, const uint8_t *bytes, size_t size)
{
    FILE *file = fopen(path, "wbe");

    cr_assert(file && fwrite(bytes, 1, size, file) == size && fclose(file) == 0);
}
