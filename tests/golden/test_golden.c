/*
 * What format 1.0 wrote can be read for ever, and is still what is written.
 *
 * The files in v1/ were written once, by
 *     SEGLOG_GOLDEN_WRITE=tests/golden/v1 test_golden --filter golden/write
 * and are never written again: see README.md.
 */
#include "golden/make_golden.h"

#include <seglog/inspect.h>
#include <seglog/log.h>
#include <seglog/reader.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/check.h"
#include "support/tmpdir.h"

#define V1 SEGLOG_TEST_SOURCE_DIR "/golden/v1"

/* A log expanded from its stored text, and the list of its records. */
struct stored {
    char *dir;
    struct golden_record records[GOLDEN_RECORDS];
    size_t count;
};

static FILE *open_stored(const char *log, const char *name, const char *ending)
{
    char path[512];
    FILE *file;

    snprintf(path, sizeof(path), V1 "/%s/%s%s", log, name, ending);
    file = fopen(path, "re");
    cr_assert(file != NULL, "%s: %s", path, strerror(errno));
    return file;
}

static void read_stored(const char *log, const char *name, uint8_t **bytes, size_t *size)
{
    FILE *file = open_stored(log, name, ".hex");

    cr_assert(golden_text_read(file, bytes, size) == 0, "%s/%s.hex is not as it should be", log,
              name);
    fclose(file);
}

static void expand(const struct golden_log *made, struct stored *out)
{
    for (size_t i = 0; i < made->file_count; i++) {
        char *path = tmpdir_path(out->dir, made->files[i].name);
        FILE *file = fopen(path, "wbe");
        uint8_t *bytes;
        size_t size;

        cr_assert(file != NULL);
        read_stored(made->name, made->files[i].name, &bytes, &size);
        cr_assert_eq(fwrite(bytes, 1, size, file), size);
        cr_assert_eq(fclose(file), 0);
        free(bytes);
        free(path);
    }
}

/* "SEQ TIME TAG LENGTH TEXT", one a line. */
static void read_records(const char *log, struct stored *out)
{
    FILE *file = open_stored(log, "records", ".txt");
    struct golden_record r;

    while (fscanf(file, "%" SCNu64 " %" SCNu64 " %" SCNu32 " %" SCNu32, &r.seq, &r.time_ns, &r.tag,
                  &r.len) == 4) {
        cr_assert(out->count < GOLDEN_RECORDS && r.len < sizeof(r.text));
        cr_assert_eq(fgetc(file), ' ');
        cr_assert_eq(fread(r.text, 1, r.len, file), r.len);
        r.text[r.len] = 0;
        cr_assert_eq(fgetc(file), '\n');
        out->records[out->count++] = r;
    }
    cr_assert(feof(file));
    fclose(file);
}

static struct stored *stored_log(unsigned which)
{
    struct stored *s = calloc(1, sizeof(*s));
    struct golden_log *made = golden_make(which);

    cr_assert(s != NULL);
    s->dir = tmpdir_make();
    expand(made, s);
    read_records(made->name, s);
    golden_free(made);
    return s;
}

static void stored_free(struct stored *s)
{
    tmpdir_remove(s->dir);
    free(s);
}

static void expect_record(const struct seglog_view *view, const struct golden_record *r)
{
    cr_assert_eq(view->seq, r->seq, "%" PRIu64 " is not %" PRIu64, view->seq, r->seq);
    cr_assert(view->time_ns == r->time_ns && view->tag == r->tag && view->len == r->len &&
                  memcmp(view->data, r->text, r->len) == 0,
              "record %" PRIu64, r->seq);
}

/* ---- the files are what we write ------------------------------------------------------------ */

Test(golden, a_log_made_today_is_the_same_byte_for_byte)
{
    for (unsigned which = 0; which < GOLDEN_LOGS; which++) {
        struct golden_log *made = golden_make(which);
        struct stored list = {0};

        for (size_t i = 0; i < made->file_count; i++) {
            uint8_t *bytes;
            size_t size;

            read_stored(made->name, made->files[i].name, &bytes, &size);
            cr_assert_eq(size, made->files[i].size);
            for (size_t at = 0; at < size; at++)
                cr_assert(bytes[at] == made->files[i].bytes[at],
                          "%s/%s: byte %zx: the format has changed", made->name,
                          made->files[i].name, at);
            free(bytes);
        }
        read_records(made->name, &list);
        cr_assert_eq(list.count, made->record_count);
        golden_free(made);
    }
}

/* ---- they can be read ----------------------------------------------------------------------- */

static void read_through(const struct stored *s, uint32_t flags)
{
    const struct seglog_reader_options options = {.flags = flags};
    struct seglog_reader *reader;
    struct seglog_view view;

    cr_assert_ok(seglog_reader_open(s->dir, &options, &reader));
    for (size_t i = 0; i < s->count; i++) {
        cr_assert_ok(seglog_reader_next(reader, &view));
        expect_record(&view, &s->records[i]);
    }
    cr_assert_status(seglog_reader_next(reader, &view), -EAGAIN);
    for (size_t i = s->count; i-- > 0;) {
        cr_assert_ok(seglog_reader_prev(reader, &view));
        expect_record(&view, &s->records[i]);
    }
    cr_assert_status(seglog_reader_prev(reader, &view), -ENODATA);
    for (size_t i = 0; i < s->count; i++) {
        const struct seglog_place place = {.kind = SEGLOG_PLACE_SEQ, .value = s->records[i].seq};

        cr_assert_ok(seglog_reader_seek(reader, &place));
        cr_assert_ok(seglog_reader_next(reader, &view));
        expect_record(&view, &s->records[i]);
    }
    seglog_reader_close(reader);
}

Test(golden, every_record_is_read_forward_backward_and_by_number)
{
    for (unsigned which = 0; which < GOLDEN_LOGS; which++) {
        struct stored *s = stored_log(which);

        read_through(s, 0);
        read_through(s, SEGLOG_READER_COPY);
        stored_free(s);
    }
}

/* Segments 1 and 2 of the small log, as they were archived once. Other releases of LZ4 may pack them to
 * other bytes; what they unpack to is the same for ever. */
Test(golden, archives_are_read_in_place_of_their_segments)
{
    static const char *const names[] = {"0000000000000001", "0000000000000002"};
    struct stored *s = stored_log(0);
    struct seglog_verify_report report;

    for (size_t i = 0; i < 2; i++) {
        char name[32], *segment, *archive;
        uint8_t *bytes;
        size_t size;
        FILE *file;

        snprintf(name, sizeof(name), "%s.seg", names[i]);
        segment = tmpdir_path(s->dir, name);
        snprintf(name, sizeof(name), "%s.arc", names[i]);
        archive = tmpdir_path(s->dir, name);
        read_stored("archived", name, &bytes, &size);
        file = fopen(archive, "wbe");
        cr_assert(file && fwrite(bytes, 1, size, file) == size && fclose(file) == 0);
        cr_assert_eq(unlink(segment), 0);
        free(bytes);
        free(archive);
        free(segment);
    }
    read_through(s, 0);
    read_through(s, SEGLOG_READER_COPY);
    cr_assert_status(seglog_verify(s->dir, NULL, &report), 0);
    cr_assert_eq(report.records, s->count);
    stored_free(s);
}

Test(golden, a_tag_is_found_by_the_filters)
{
    struct stored *s = stored_log(0);

    for (uint32_t tag = 0; tag < 10; tag++) {
        const struct seglog_reader_options options = {.flags = SEGLOG_READER_TAG, .tag = tag};
        struct seglog_reader *reader;
        struct seglog_view view;

        cr_assert_ok(seglog_reader_open(s->dir, &options, &reader));
        for (size_t i = 0; i < s->count; i++) {
            if (s->records[i].tag != tag)
                continue;
            cr_assert_ok(seglog_reader_next(reader, &view));
            expect_record(&view, &s->records[i]);
        }
        cr_assert_status(seglog_reader_next(reader, &view), -EAGAIN);
        seglog_reader_close(reader);
    }
    stored_free(s);
}

static int print_damage(void *context, const struct seglog_damage *damage)
{
    (void)context;
    fprintf(stderr, "segment %" PRIu64 " offset %" PRIx64 ": %s\n", damage->segment, damage->offset,
            damage->cause);
    return 0;
}

Test(golden, verify_finds_them_sound)
{
    for (unsigned which = 0; which < GOLDEN_LOGS; which++) {
        const struct seglog_verify_options options = {.on_damage = print_damage};
        struct stored *s = stored_log(which);
        struct seglog_verify_report report;

        cr_assert_status(seglog_verify(s->dir, &options, &report), 0);
        cr_assert_eq(report.damage_count, 0);
        cr_assert_eq(report.records, s->count);
        stored_free(s);
    }
}

Test(golden, info_tells_the_states_of_segments)
{
    static const uint32_t states[] = {SEGLOG_SEGMENT_SEALED, SEGLOG_SEGMENT_SEALED,
                                      SEGLOG_SEGMENT_FULL, SEGLOG_SEGMENT_ACTIVE,
                                      SEGLOG_SEGMENT_SPARE};
    struct stored *s = stored_log(0);
    struct seglog_info info;

    cr_assert_ok(seglog_info_read(s->dir, &info));
    cr_assert_eq(info.segment_count, 5);
    for (size_t i = 0; i < 5; i++) {
        cr_assert_eq(info.segments[i].number, i + 1);
        cr_assert_eq(info.segments[i].state, states[i], "segment %zu", i + 1);
        cr_assert_eq(info.segments[i].torn, i == 1);
    }
    cr_assert_eq(info.records, s->count);
    cr_assert_eq(info.first_seq, 100);
    cr_assert_eq(info.epoch, 1);
    seglog_info_free(&info);
    stored_free(s);
}

/* ---- and go on ------------------------------------------------------------------------------ */

Test(golden, they_can_be_recovered_and_appended_to)
{
    for (unsigned which = 0; which < GOLDEN_LOGS; which++) {
        const struct seglog_log_options options = {.flags = SEGLOG_LOG_NO_HELPER};
        struct stored *s = stored_log(which);
        struct seglog_log *log;
        struct seglog_appender *appender;
        struct seglog_reader *reader;
        struct seglog_view view;

        cr_assert_ok(seglog_log_open(s->dir, &options, &log));
        cr_assert_ok(seglog_appender_open(log, NULL, &appender));
        for (unsigned i = 0; i < 100; i++)
            cr_assert_ok(seglog_appender_append(appender, "new", 3, NULL));
        cr_assert_ok(seglog_appender_close(appender));
        cr_assert_ok(seglog_log_seal(log, 0));
        cr_assert_ok(seglog_log_close(log));
        cr_assert_ok(seglog_reader_open(s->dir, NULL, &reader));
        for (size_t i = 0; i < s->count + 100; i++) {
            cr_assert_ok(seglog_reader_next(reader, &view));
            if (i < s->count)
                expect_record(&view, &s->records[i]);
            else
                cr_assert(view.len == 3 && memcmp(view.data, "new", 3) == 0);
        }
        cr_assert_status(seglog_reader_next(reader, &view), -EAGAIN);
        seglog_reader_close(reader);
        stored_free(s);
    }
}

/* ---- writing them, once --------------------------------------------------------------------- */

static FILE *create_stored(const char *to, const char *log, const char *name, const char *ending)
{
    char path[512];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", to, log);
    (void)mkdir(path, 0755);
    snprintf(path, sizeof(path), "%s/%s/%s%s", to, log, name, ending);
    file = fopen(path, "wxe"); /* never over what is there */
    cr_assert(file != NULL, "%s: %s", path, strerror(errno));
    return file;
}

Test(golden, write)
{
    const char *to = getenv("SEGLOG_GOLDEN_WRITE");

    if (!to)
        return;
    for (unsigned which = 0; which < GOLDEN_LOGS; which++) {
        struct golden_log *log = golden_make(which);
        FILE *file;

        for (size_t i = 0; i < log->file_count; i++) {
            file = create_stored(to, log->name, log->files[i].name, ".hex");
            golden_text_write(file, log->files[i].bytes, log->files[i].size);
            cr_assert_eq(fclose(file), 0);
        }
        file = create_stored(to, log->name, "records", ".txt");
        for (size_t i = 0; i < log->record_count; i++) {
            const struct golden_record *r = &log->records[i];

            fprintf(file, "%" PRIu64 " %" PRIu64 " %" PRIu32 " %" PRIu32 " %s\n", r->seq,
                    r->time_ns, r->tag, r->len, r->text);
        }
        cr_assert_eq(fclose(file), 0);
        golden_free(log);
    }
}
