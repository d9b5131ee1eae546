/*
 * Reading an image: see oracle.h.
 */
#include "powercut/oracle.h"

#include <errno.h>
#include <string.h>

/* The next number that must have a record. */
static uint64_t skip_void(const struct oracle *o, uint64_t seq)
{
    while (seq < o->limit && o->marks[seq] == 0)
        seq++;
    return seq;
}

static void check_record(const struct oracle *o, const struct seglog_view *view, uint64_t seq,
                         const char *when)
{
    uint8_t want[DICE_BYTES];
    size_t len;

    ORACLE_MUST(o, view->seq == seq && seq < o->limit,
                "%s: record %llu where %llu was due (of %llu)", when, (unsigned long long)view->seq,
                (unsigned long long)seq, (unsigned long long)o->limit);
    len = dice_payload(o->marks[seq], want);
    ORACLE_MUST(o,
                view->len == len && memcmp(view->data, want, len) == 0 &&
                    view->tag == (uint32_t)o->marks[seq],
                "%s: record %llu is not what was appended", when, (unsigned long long)seq);
}

/* Damage was met: it must be the one that was made. */
static void check_damage(const struct oracle *o, const struct seglog_reader *reader,
                         struct harmed *harmed, uint64_t seq, const char *when)
{
    struct seglog_damage damage = {0};

    (void)seglog_reader_damage(reader, &damage);
    ORACLE_MUST(
        o, harmed && harmed->seq == seq && damage.first_seq <= seq && damage.last_seq == seq,
        "%s: damage at %llu, %llu to %llu lost: %s", when, (unsigned long long)seq,
        (unsigned long long)damage.first_seq, (unsigned long long)damage.last_seq, damage.cause);
    harmed->reported = true;
}

struct found oracle_read(const struct oracle *o, const char *dir, struct harmed *harmed,
                         const char *when)
{
    struct seglog_reader *reader;
    struct seglog_view view;
    struct found found = {0};
    uint64_t seq;
    int rc;

    ORACLE_OK(o, seglog_reader_open(dir, NULL, &reader));
    ORACLE_OK(o, seglog_reader_bounds(reader, &found.first, NULL));
    seq = found.first;
    for (;;) {
        rc = seglog_reader_next(reader, &view);
        if (rc != 0 && rc != SEGLOG_ECORRUPT)
            break;
        seq = skip_void(o, seq);
        if (rc == 0)
            check_record(o, &view, seq, when);
        else
            check_damage(o, reader, harmed, seq, when);
        seglog_reader_release(reader);
        seq++;
    }
    ORACLE_MUST(o, rc == -EAGAIN, "%s: %s at %llu", when, seglog_status_name(rc),
                (unsigned long long)seq);
    seglog_reader_close(reader);
    found.end = seq;
    return found;
}

void oracle_check_durable(const struct oracle *o, struct found found, const char *when)
{
    for (uint64_t seq = found.end; seq < o->durable; seq++)
        ORACLE_MUST(
            o, o->marks[seq] == 0, "%s: durable record %llu is gone (end %llu, durable %llu)", when,
            (unsigned long long)seq, (unsigned long long)found.end, (unsigned long long)o->durable);
    ORACLE_MUST(o, found.first >= o->floor && found.first <= o->floor_may,
                "%s: the first record is %llu, dropped were those below %llu", when,
                (unsigned long long)found.first, (unsigned long long)o->floor);
}
