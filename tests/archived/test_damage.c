/*
 * Archives that rotted, were cut short, or lie: found out, and never handed out as records.
 */
#include "archived/logs.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "format/archive.h"
#include "segment/archive.h"
#include "support/build_log.h"
#include "sys/file.h"

#define RECORDS 300u

/* One archive, and an active segment behind it. */
struct one {
    char *dir;
    char *path;
    uint8_t *bytes;
    size_t size;
    uint64_t records;
};

static struct one one_make(void)
{
    struct one one = {.dir = archived_log(RECORDS, SEGLOG_SEGMENT_SIZE_MIN)};
    unsigned damages;

    cr_assert_ok(seglog_archive(one.dir, NULL, NULL));
    one.path = archived_path(one.dir, 0, "arc");
    one.bytes = archived_load(one.path, &one.size);
    one.records = archived_read(one.dir, 0, &damages);
    cr_assert_eq(damages, 0);
    cr_assert_eq(seglog_verify(one.dir, NULL, NULL), 0);
    return one;
}

static void one_free(struct one *one)
{
    tmpdir_remove(one->dir);
    free(one->path);
    free(one->bytes);
}

/* What verify does for each archive, and does not say before it has looked three times. */
static int check(const struct one *one)
{
    const struct archive_header *header = (const struct archive_header *)one->bytes;
    const int dirfd = dir_open(one->dir);
    struct footer_facts footer;
    struct segment *seg;
    const char *why;
    uint64_t offset;
    int rc = segment_open_archive(dirfd, 0, header->head.uuid, &seg, &why);

    file_close(dirfd);
    if (rc < 0)
        return rc;
    rc = segment_footer(seg, &footer, &why);
    if (rc == 0)
        rc = archive_check(seg, &offset, &why);
    segment_close(seg);
    return rc;
}

Test(archived_damage, any_bit_is_found_and_no_wrong_record_comes_of_it)
{
    static const uint32_t flags[] = {0, SEGLOG_READER_COPY, SEGLOG_READER_NO_VERIFY};
    struct one one = one_make();
    const bool quick = getenv("SEGLOG_TEST_QUICK") != NULL;
    const int fd = file_open(AT_FDCWD, one.path, O_RDWR, 0);
    unsigned damages;

    cr_assert_geq(fd, 0);
    cr_assert_ok(check(&one));
    for (size_t bit = 0; bit < one.size * 8; bit += quick ? 61 : 1) {
        const uint8_t was = one.bytes[bit / 8], is = (uint8_t)(was ^ 1u << bit % 8);

        cr_assert_ok(file_pwrite(fd, &is, 1, bit / 8));
        cr_assert_lt(check(&one), 0, "bit %zu of byte %zu is not found", bit % 8, bit / 8);
        if (bit % 64 == bit / 64 % 8)
            cr_assert_leq(archived_read(one.dir, flags[bit % 3], &damages), one.records);
        if (bit % 5003 == 0)
            cr_assert_eq(seglog_verify(one.dir, NULL, NULL), 1);
        cr_assert_ok(file_pwrite(fd, &was, 1, bit / 8));
    }
    file_close(fd);
    cr_assert_eq(seglog_verify(one.dir, NULL, NULL), 0);
    one_free(&one);
}

Test(archived_damage, a_cut_at_any_length_is_found)
{
    struct one one = one_make();
    unsigned damages;

    for (size_t size = one.size; size-- > 0; size -= size > 400 ? 399 : 0) {
        cr_assert_eq(truncate(one.path, (off_t)size), 0);
        cr_assert_eq(seglog_verify(one.dir, NULL, NULL), 1, "cut to %zu bytes", size);
        (void)archived_read(one.dir, 0, &damages);
        cr_assert_gt(damages, 0);
    }
    one_free(&one);
}

Test(archived_damage, bytes_behind_the_end_are_found)
{
    struct one one = one_make();

    cr_assert_eq(truncate(one.path, (off_t)one.size + 1), 0);
    cr_assert_eq(seglog_verify(one.dir, NULL, NULL), 1);
    one_free(&one);
}

/* Rot in one record's literals costs that record and no other. */
Test(archived_damage, a_rotten_block_gives_the_records_that_are_left)
{
    struct one one = one_make();
    const size_t at = sizeof(struct archive_header) + LZ4F_HEAD_BYTES + 4 + 3000;
    unsigned damages;
    uint64_t left;

    one.bytes[at] ^= 0x55;
    archived_store(one.path, one.bytes, one.size);
    left = archived_read(one.dir, 0, &damages);
    cr_assert(left > one.records / 4 && left < one.records, "%" PRIu64 " of %" PRIu64, left,
              one.records);
    cr_assert_gt(damages, 0);
    one_free(&one);
}

/* A record that begins in a good block and goes on in a bad one, which is unpacked for it. */
Test(archived_damage, a_record_that_goes_on_in_a_bad_block_is_looked_at_too)
{
    char *dir = archived_log(4000, 2 * SEGLOG_SEGMENT_SIZE_MIN);
    uint64_t forward, backward;
    unsigned damages, hurt = 0;
    char *path;
    size_t size, at = sizeof(struct archive_header) + LZ4F_HEAD_BYTES;
    uint8_t *bytes;

    cr_assert_ok(seglog_archive(dir, NULL, NULL));
    path = archived_path(dir, 0, "arc");
    bytes = archived_load(path, &size);
    at += LZ4F_BLOCK_MORE + le32_get((const le32 *)(const void *)(bytes + at)) + 4;
    for (size_t i = 0; i < 64; i++) {
        bytes[at + i] ^= 0x21;
        archived_store(path, bytes, size);
        forward = archived_read(dir, i % 2 ? SEGLOG_READER_NO_VERIFY : 0, &damages);
        hurt += damages;
        backward = archived_read_back(dir, &damages);
        cr_assert_geq(backward, forward, "byte %zu", i);
        bytes[at + i] ^= 0x21;
    }
    cr_assert_gt(hurt, 0);
    free(bytes);
    free(path);
    tmpdir_remove(dir);
}

/* There the frames' own checksums decide, though the block is as it was written. */
Test(archived_damage, what_was_sealed_around_damage_is_not_vouched_for)
{
    struct build_log log;
    struct build_segment a, b;
    struct seglog_reader *reader;
    struct seglog_damage damage;
    struct seglog_view view;
    uint64_t at;

    build_log_make(&log);
    build_begin(&log, NULL, &a);
    build_records(&a, 10);
    at = build_record(&a, "not as it was", 10, 0);
    build_records(&a, 4);
    build_damage(&a, at + FRAME_HEADER);
    build_seal_damaged(&a, NULL);
    build_begin(&log, &a, &b);
    build_records(&b, 5);
    cr_assert_ok(seglog_archive(log.dir, NULL, NULL));
    cr_assert(archived_has(log.dir, 0, "arc"));
    cr_assert_ok(seglog_reader_open(log.dir, NULL, &reader));
    for (uint64_t seq = 0; seq < 20; seq++) {
        if (seq == 10) {
            cr_assert_eq(seglog_reader_next(reader, &view), SEGLOG_ECORRUPT);
            cr_assert_ok(seglog_reader_damage(reader, &damage));
            cr_assert(damage.first_seq == 10 && damage.last_seq == 10 && damage.offset == at);
            continue;
        }
        cr_assert_ok(seglog_reader_next(reader, &view));
        cr_assert_eq(view.seq, seq);
    }
    cr_assert_eq(seglog_reader_next(reader, &view), -EAGAIN);
    seglog_reader_close(reader);
    build_close(&a);
    build_close(&b);
    build_log_remove(&log);
}

/* Backward over the same: no record that forward gives is missed, and there is an end. */
Test(archived_damage, a_rotten_block_is_met_going_backward_too)
{
    struct one one = one_make();
    const size_t at = sizeof(struct archive_header) + LZ4F_HEAD_BYTES + 4 + 3000;
    uint64_t forward;
    unsigned damages;

    one.bytes[at] ^= 0x55;
    archived_store(one.path, one.bytes, one.size);
    forward = archived_read(one.dir, 0, &damages);
    cr_assert_eq(archived_read_back(one.dir, &damages), forward);
    cr_assert_gt(damages, 0);
    one_free(&one);
}

Test(archived_damage, without_the_table_the_blocks_are_found_one_by_one)
{
    struct one one = one_make();
    unsigned damages;
    const struct archive_end *end =
        (const struct archive_end *)(one.bytes + one.size - sizeof(*end));

    one.bytes[le64_get(&end->table_off) + LZ4F_SKIP_BYTES] ^= 1;
    archived_store(one.path, one.bytes, one.size);
    cr_assert_eq(archived_read(one.dir, 0, &damages), one.records);
    cr_assert_eq(damages, 0);
    cr_assert_eq(seglog_verify(one.dir, NULL, NULL), 1);
    one_free(&one);
}

/* ---- values that nobody wrote ---------------------------------------------------------------- */

static void end_seal(struct archive_end *end)
{
    le32_put(&end->crc, ~crc32c(~0u, end, offsetof(struct archive_end, crc)));
}

static void expect_harmless(struct one *one, const char *what)
{
    unsigned damages;

    archived_store(one->path, one->bytes, one->size);
    cr_assert_eq(seglog_verify(one->dir, NULL, NULL), 1, "%s", what);
    (void)archived_read(one->dir, 0, &damages);
}

Test(archived_damage, hostile_values_with_good_checksums_are_refused)
{
    static const uint64_t values[] = {0, 1, 8, 0x7FFFFFFF, 0x80000000, UINT32_MAX, UINT64_MAX};
    struct one one = one_make();
    struct archive_end *end = (struct archive_end *)(one.bytes + one.size - sizeof(*end));
    const struct archive_end good = *end;
    struct archive_entry *table =
        (struct archive_entry *)(one.bytes + le64_get(&end->table_off) + LZ4F_SKIP_BYTES);
    const struct archive_entry entry = *table;

    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        le64_put(&end->table_off, values[i]);
        end_seal(end);
        expect_harmless(&one, "table_off");
        *end = good;
        le32_put(&end->index_count, (uint32_t)values[i] + 3);
        end_seal(end);
        expect_harmless(&one, "index_count");
        *end = good;
        le32_put(&end->block_count, (uint32_t)values[i] + 3);
        end_seal(end);
        expect_harmless(&one, "block_count");
        *end = good;
        le32_put(&table->stored, (uint32_t)values[i]);
        le32_put(&end->table_crc, ~crc32c(~0u, table, sizeof(*table)));
        end_seal(end);
        expect_harmless(&one, "size of a block");
        *table = entry;
        *end = good;
    }
    one_free(&one);
}

Test(archived_damage, of_another_log_or_number_is_not_taken)
{
    struct one one = one_make(), other = one_make();

    archived_store(one.path, other.bytes, other.size);
    cr_assert_eq(seglog_verify(one.dir, NULL, NULL), 1);
    one_free(&one);
    one_free(&other);
}

/* ---- both files ------------------------------------------------------------------------------ */

Test(archived_damage, a_sealed_segment_wins_and_a_broken_one_does_not)
{
    char *dir = archived_log(RECORDS, SEGLOG_SEGMENT_SIZE_MIN);
    char *segment = archived_path(dir, 0, "seg"), *archive = archived_path(dir, 0, "arc");
    uint8_t *bytes, junk[64];
    unsigned damages;
    size_t size;
    const uint64_t records = archived_read(dir, 0, &damages);

    memset(junk, 0x77, sizeof(junk));
    bytes = archived_load(segment, &size);
    cr_assert_ok(seglog_archive(dir, NULL, NULL));
    cr_assert_not(archived_has(dir, 0, "seg"));

    /* As a power cut leaves it: both, and the archive is finished by the next call. */
    archived_store(segment, bytes, size);
    cr_assert_eq(seglog_verify(dir, NULL, NULL), 0);
    cr_assert_eq(archived_read(dir, 0, &damages), records);
    cr_assert_ok(seglog_archive(dir, NULL, NULL));
    cr_assert_not(archived_has(dir, 0, "seg"));
    cr_assert_eq(archived_read(dir, 0, &damages), records);

    /* The segment is broken: the archive counts. */
    memset(bytes + size - 4096, 0x77, 4096);
    archived_store(segment, bytes, size);
    cr_assert_eq(archived_read(dir, 0, &damages), records);
    cr_assert_eq(damages, 0);
    memset(bytes, 0x77, 4096);
    archived_store(segment, bytes, size);
    cr_assert_eq(archived_read(dir, 0, &damages), records);
    cr_assert_eq(damages, 0);
    cr_assert_eq(unlink(segment), 0);

    /* The archive is broken, the segment whole: archived anew. */
    free(bytes);
    free(segment);
    free(archive);
    tmpdir_remove(dir);
}

Test(archived_damage, a_broken_archive_beside_its_segment_is_made_anew)
{
    char *dir = archived_log(RECORDS, SEGLOG_SEGMENT_SIZE_MIN);
    char *archive = archived_path(dir, 0, "arc");
    unsigned damages;
    const uint64_t records = archived_read(dir, 0, &damages);

    archived_store(archive, (const uint8_t *)"no archive", 10);
    cr_assert_eq(seglog_verify(dir, NULL, NULL), 0);
    cr_assert_ok(seglog_archive(dir, NULL, NULL));
    cr_assert_not(archived_has(dir, 0, "seg"));
    cr_assert_eq(archived_read(dir, 0, &damages), records);
    cr_assert_eq(seglog_verify(dir, NULL, NULL), 0);
    free(archive);
    tmpdir_remove(dir);
}

Test(archived_damage, a_damaged_segment_stays_as_it_is)
{
    char *dir = archived_log(2000, SEGLOG_SEGMENT_SIZE_MIN);
    char *segment = archived_path(dir, 1, "seg");
    struct seglog_archive_report report;
    size_t size;
    uint8_t *bytes = archived_load(segment, &size);

    bytes[0x5000 + 2000] ^= 1;
    archived_store(segment, bytes, size);
    cr_assert_eq(seglog_archive(dir, NULL, &report), SEGLOG_ECORRUPT);
    cr_assert_eq(report.damaged, 1);
    cr_assert_gt(report.segments, 1);
    cr_assert(archived_has(dir, 1, "seg"));
    cr_assert_not(archived_has(dir, 1, "arc"));
    cr_assert_not(archived_has(dir, 0, "seg"));
    free(bytes);
    free(segment);
    tmpdir_remove(dir);
}
