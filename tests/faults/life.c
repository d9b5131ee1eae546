/*
 * A life, told. See life.h.
 */
#include "faults/keep.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log/handle.h"
#include "support/check.h"
#include "support/tmpdir.h"

#define LEN      15000u
#define PATIENCE UINT64_C(60000000000)

/* ---- meeting the fault ------------------------------------------------------------------------- */

static bool has_met(const struct life *life)
{
    if (life->fault.kind >= IO_ANY_KIND)
        return true; /* the engine does not say */
    return calls_met() != CALL_ANY;
}

static const char *name_of(const struct life *life)
{
    static char name[80];

    snprintf(name, sizeof(name), "%s with %d, call %llu", calls_name(calls_met()),
             life->calls.error ? life->calls.error : life->fault.error,
             (unsigned long long)(life->calls.nth + life->fault.nth));
    return name;
}

enum life_next life_after(struct life *life, int rc, const char *what)
{
    if (rc >= 0)
        return LIFE_ON;
    cr_assert(has_met(life), "%s gave %s, and nothing had failed", what, seglog_status_name(rc));
    if (rc == SEGLOG_EPOISONED) {
        life->is_poisoned = true;
        return LIFE_END;
    }
    cr_assert(!life->is_told, "%s gave %s again, after %s by %s (%s)", what, seglog_status_name(rc),
              seglog_status_name(life->status), life->what, name_of(life));
    cr_assert(life->calls.error != EINTR && life->calls.error != CALL_SHORT, "%s gave %s at %s",
              what, seglog_status_name(rc), name_of(life));
    cr_assert(strcmp(seglog_status_name(rc), "?") != 0, "%s gave %d", what, rc);
    life->is_told = true;
    life->status = rc;
    life->what = what;
    return LIFE_AGAIN;
}

#define must(life_, call_) life_must(life_, call_)

/* ---- appending --------------------------------------------------------------------------------- */

/* Each try has bytes of its own, so that one that failed is told from the one that followed. */
static const void *bytes_of(uint32_t index)
{
    static char bytes[LEN];

    memset(bytes, 'a' + (int)(index % 26), sizeof(bytes));
    memcpy(bytes, &index, sizeof(index));
    return bytes;
}

static void acked(struct life *life, uint64_t seq, uint32_t index)
{
    cr_assert_lt(life->acked, LIFE_RECORDS);
    life->seqs[life->acked] = seq;
    life->indices[life->acked++] = index;
}

static int append_plain(struct life *life)
{
    const uint32_t index = life->tries++;
    uint64_t seq;
    const int rc = seglog_appender_append(life->ap, bytes_of(index), LEN, &seq);

    if (rc == 0)
        acked(life, seq, index);
    return rc;
}

static int append_waited(struct life *life)
{
    const uint32_t index = life->tries++;
    const struct seglog_record record = {
        .data = bytes_of(index), .len = LEN, .tag = index, .sync = SEGLOG_SYNC_RECORD};
    uint64_t seq;
    const int rc = seglog_appender_append_record(life->ap, &record, &seq);

    if (rc == 0)
        acked(life, seq, index);
    return rc;
}

static int append_gathered(struct life *life)
{
    const uint32_t index = life->tries++;
    const uint8_t *bytes = bytes_of(index);
    struct iovec iov[2] = {{(void *)(uintptr_t)bytes, 7},
                           {(void *)(uintptr_t)(bytes + 7), LEN - 7}};
    uint64_t seq;
    const int rc = seglog_appender_appendv(life->ap, iov, 2, 0, 0, &seq);

    if (rc == 0)
        acked(life, seq, index);
    return rc;
}

static int append_batch(struct life *life)
{
    const uint32_t index = life->tries;
    const struct seglog_record records[2] = {{.data = &index, .len = sizeof(index)},
                                             {.data = &life->tries, .len = sizeof(index)}};
    uint64_t seq;
    int rc;

    life->tries = index + 1;
    rc = seglog_appender_append_batch(life->ap, records, 2, &seq);
    if (rc == 0) {
        acked(life, seq, index);
        acked(life, seq + 1, index + 1);
    }
    life->tries = index + 2;
    return rc;
}

static int append_in_place(struct life *life)
{
    const uint32_t index = life->tries++;
    struct seglog_claim claim;
    int rc = seglog_appender_claim(life->ap, LEN + 100, &claim);

    if (rc < 0)
        return rc;
    memcpy(claim.data, bytes_of(index), LEN);
    rc = seglog_appender_commit(life->ap, &claim, LEN);
    if (rc == 0)
        acked(life, claim.seq, index);
    return rc;
}

static int append_batch_in_place(struct life *life)
{
    const size_t lens[3] = {sizeof(uint32_t), 10, 10};
    const uint32_t index = life->tries++;
    struct seglog_claim claims[3];
    int rc = seglog_appender_claim_batch(life->ap, lens, 3, claims);

    if (rc < 0)
        return rc;
    memcpy(claims[0].data, &index, sizeof(index));
    rc = seglog_appender_commit_batch(life->ap, claims, 1);
    if (rc == 0)
        acked(life, claims[0].seq, index);
    return rc;
}

static int give_up(struct life *life)
{
    struct seglog_claim claim;
    const int rc = seglog_appender_claim(life->ap, 100, &claim);

    return rc < 0 ? rc : seglog_appender_abort(life->ap);
}

/* ---- the parts of a life ----------------------------------------------------------------------- */

static bool open_log(struct life *life)
{
    const struct seglog_log_options options = {.flags = SEGLOG_LOG_NO_HELPER | life->log_flags,
                                               .io = life->io};

    must(life, seglog_log_open(life->dir, &options, &life->log));
    if (life->fault.kind >= IO_ANY_KIND)
        io_inject(life->log->io, &life->fault);
    return true;
}

static int create(struct life *life)
{
    static const struct seglog_log_options options = {.segment_size = SEGLOG_SEGMENT_SIZE_MIN,
                                                      .sync = SEGLOG_SYNC_SEALED};
    const int rc = seglog_log_create(life->dir, &options);

    /* It failed in its last sync: the log is there. */
    return rc == -EEXIST && life->is_told ? 0 : rc;
}

static bool append_all(struct life *life)
{
    for (int i = 0; i < 2; i++) {
        must(life, append_plain(life));
        must(life, append_waited(life));
        must(life, append_gathered(life));
        must(life, append_batch(life));
        must(life, append_in_place(life));
        must(life, append_batch_in_place(life));
        must(life, give_up(life));
        must(life, seglog_log_sync(life->log, NULL));
        must(life, append_waited(life));
        must(life, seglog_log_tend(life->log));
    }
    must(life, seglog_log_wait_durable(life->log, life->seqs[life->acked - 1], PATIENCE));
    must(life, seglog_log_seal(life->log, PATIENCE));
    must(life, append_plain(life));
    must(life, append_plain(life));
    return true;
}

static bool write_part(struct life *life)
{
    static const struct seglog_appender_options alone = {.mode = SEGLOG_EXCLUSIVE,
                                                         .sync = SEGLOG_SYNC_INTERVAL};

    if (!open_log(life))
        return false;
    must(life, seglog_appender_open(life->log, NULL, &life->ap));
    if (!append_all(life))
        return false;
    must(life, seglog_appender_close(life->ap));
    life->ap = NULL;
    must(life, seglog_appender_open(life->log, &alone, &life->ap));
    must(life, append_plain(life));
    must(life, append_in_place(life));
    must(life, seglog_appender_close(life->ap));
    life->ap = NULL;
    must(life, seglog_log_tend(life->log));
    return true;
}

static bool close_log(struct life *life)
{
    struct seglog_log *log = life->log;

    life->log = NULL;
    return life_after(life, seglog_log_close(log), "close") != LIFE_END;
}

static bool read_part(struct life *life, uint32_t flags)
{
    const struct seglog_reader_options options = {.flags = flags};
    const struct seglog_place middle = {.kind = SEGLOG_PLACE_SEQ, .value = life->seqs[3]};
    struct seglog_damage damage;
    struct seglog_view view = {0};
    uint64_t first, end;

    must(life, seglog_reader_open(life->dir, &options, &life->reader));
    must(life, seglog_reader_bounds(life->reader, &first, &end));
    for (uint32_t i = 0; i < life->acked; i++) {
        do
            must(life, seglog_reader_next(life->reader, &view));
        while (view.seq < life->seqs[i]);
        cr_assert_eq(view.seq, life->seqs[i]);
        cr_assert_eq(memcmp(view.data, &life->indices[i], sizeof(uint32_t)), 0);
    }
    must(life, seglog_reader_prev(life->reader, &view));
    must(life, seglog_reader_seek(life->reader, &middle));
    must(life, seglog_reader_next(life->reader, &view));
    cr_assert_eq(view.seq, life->seqs[3]);
    if (life->is_told && strncmp(life->what, "seglog_reader", 13) == 0)
        (void)seglog_reader_damage(life->reader, &damage);
    seglog_reader_close(life->reader);
    life->reader = NULL;
    return true;
}

static int verify(struct life *life)
{
    struct seglog_verify_report report;
    const int rc = seglog_verify(life->dir, NULL, &report);

    /* A medium that does not give its bytes is damage too. */
    return rc == 1 && has_met(life) && !life->is_told ? -EIO : rc;
}

static bool inspect_part(struct life *life)
{
    struct seglog_info info;

    must(life, seglog_info_read(life->dir, &info));
    seglog_info_free(&info);
    must(life, verify(life));
    return true;
}

static bool keep_part(struct life *life)
{
    must(life, keep_cursor_open(life));
    for (uint32_t i = 0; i < life->acked / 2; i++)
        must(life, keep_cursor_move(life));
    must(life, keep_cursor_commit(life));
    if (life_after(life, keep_cursor_close(life), "keep_cursor_close") == LIFE_END)
        return false;
    must(life, keep_cursor_look(life));
    must(life, keep_archive(life));
    if (!read_part(life, 0) || !open_log(life))
        return false;
    must(life, keep_trim(life));
    if (!close_log(life))
        return false;
    must(life, keep_cursor_look(life));
    must(life, keep_cursor_remove(life));
    return true;
}

/* As after the copy of a log: nothing is known of its boot. */
static bool reopen_as_copy(struct life *life)
{
    char *path = tmpdir_path(life->dir, "live");

    calls_rest();
    cr_assert_eq(remove(path), 0);
    free(path);
    life->calls.nth -= calls_counted() < life->calls.nth ? calls_counted() : life->calls.nth;
    if (calls_met() == CALL_ANY)
        calls_arm(&life->calls);
    return open_log(life);
}

static bool tell_all(struct life *life)
{
    const bool pretends = life->calls.pretends;

    must(life, create(life));
    if (!write_part(life) || !close_log(life) || !read_part(life, 0) ||
        !read_part(life, SEGLOG_READER_COPY) || !inspect_part(life) || !keep_part(life) ||
        !inspect_part(life) || !open_log(life) || !close_log(life))
        return false;
    if (calls_met() != CALL_ANY || !pretends)
        return open_log(life);
    return reopen_as_copy(life);
}

/* ---- afterwards -------------------------------------------------------------------------------- */

static void end(struct life *life)
{
    if (life->reader)
        seglog_reader_close(life->reader);
    (void)keep_cursor_close(life);
    if (life->ap)
        cr_assert_ok(seglog_appender_close(life->ap));
    if (life->log)
        (void)seglog_log_close(life->log);
    life->log = NULL;
    life->ap = NULL;
    life->reader = NULL;
}

static void read_acked(const struct life *life)
{
    struct seglog_reader *reader;
    struct seglog_view view;
    uint64_t first, end;
    uint32_t found = 0;
    int rc;

    cr_assert_ok(seglog_reader_open(life->dir, NULL, &reader));
    cr_assert_ok(seglog_reader_bounds(reader, &first, &end));
    cr_assert(first <= (life->may_trim ? life->cursor_done : 0));
    while (found < life->acked && life->seqs[found] < first)
        found++; /* trimmed */
    while ((rc = seglog_reader_next(reader, &view)) == 0) {
        if (found == life->acked || view.seq != life->seqs[found])
            continue;
        cr_assert_eq(memcmp(view.data, &life->indices[found], sizeof(uint32_t)), 0);
        found++;
    }
    cr_assert_status(rc, -EAGAIN);
    seglog_reader_close(reader);
    cr_assert_eq(found, life->acked, "%u of %u acknowledged records are there after %s", found,
                 life->acked, name_of(life));
}

static void go_on(struct life *life)
{
    const struct seglog_log_options options = {.flags = SEGLOG_LOG_NO_HELPER};
    const int rc = seglog_log_open(life->dir, &options, &life->log);

    if (life->is_poisoned) {
        cr_assert_status(rc, SEGLOG_EPOISONED);
        return;
    }
    cr_assert(rc == 0, "opening gives %s after %s, told as %s by %s", seglog_status_name(rc),
              name_of(life), seglog_status_name(life->status), life->what ? life->what : "nobody");
    cr_assert_ok(seglog_appender_open(life->log, NULL, &life->ap));
    cr_assert_ok(append_plain(life));
    cr_assert_ok(seglog_log_seal(life->log, PATIENCE));
    end(life);
}

unsigned life_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned count = 0;

    cr_assert(dir != NULL);
    while (readdir(dir))
        count++;
    (void)closedir(dir);
    return count;
}

static bool is_mapped(const char *dir)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[4500];
    bool found = false;

    cr_assert(maps != NULL);
    while (fgets(line, sizeof(line), maps))
        found = found || strstr(line, dir) != NULL;
    (void)fclose(maps);
    return found;
}

void life_holds_nothing(const struct life *life, unsigned before)
{
    cr_assert_eq(life_descriptors(), before, "descriptors stay open after %s", name_of(life));
    cr_assert_not(is_mapped(life->dir), "mappings stay after %s", name_of(life));
}

static bool is_sync(enum call call)
{
    return call == CALL_FDATASYNC || call == CALL_FSYNC || call == CALL_MSYNC;
}

bool life_tell(struct life *life)
{
    const unsigned before = life_descriptors();
    struct calls_plan plain = {.pretends = life->calls.pretends};
    bool met;

    life->calls.only = CALL_ANY;
    calls_arm(life->fault.kind >= IO_ANY_KIND ? &plain : &life->calls);
    (void)tell_all(life);
    end(life);
    calls_rest();
    met = calls_met() != CALL_ANY;
    if (is_sync(calls_met()) && life->calls.error == EIO)
        cr_assert(life->is_told || life->is_poisoned, "nobody told of %s", name_of(life));
    life_holds_nothing(life, before);
    read_acked(life);
    cr_assert_status(seglog_verify(life->dir, NULL, NULL), 0);
    go_on(life);
    cr_assert_status(seglog_verify(life->dir, NULL, NULL), 0);
    return met;
}
