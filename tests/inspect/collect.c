/*
 * What verify says of a log, collected. See collect.h.
 */
#include "inspect/collect.h"

#include "support/check.h"

static int collect_damage(void *context, const struct seglog_damage *damage)
{
    struct collected *c = context;

    if (c->count < COLLECT_MAX)
        c->damage[c->count++] = *damage;
    return 0;
}

struct collected collect(const char *dir, uint32_t flags)
{
    struct collected c = {0};
    const struct seglog_verify_options options = {
        .flags = flags, .on_damage = collect_damage, .context = &c};

    c.rc = seglog_verify(dir, &options, &c.report);
    return c;
}

#define SAY(d)                                                                           \
    "segment %llu offset %llu lost %llu..%llu %s: %s", (unsigned long long)(d)->segment, \
        (unsigned long long)(d)->offset, (unsigned long long)(d)->first_seq,             \
        (unsigned long long)(d)->last_seq, seglog_status_name((d)->status), (d)->cause

void expect_sound(const char *dir, uint64_t records)
{
    const struct collected c = collect(dir, 0);

    cr_assert(c.count == 0, SAY(&c.damage[0]));
    cr_assert_status(c.rc, 0);
    cr_assert_eq(c.report.records, records, "%llu records", (unsigned long long)c.report.records);
    cr_assert_eq(c.report.damage_count, 0);
}

void expect_one(const char *dir, uint64_t segment, uint64_t offset, uint64_t first, uint64_t last,
                int status)
{
    const struct collected c = collect(dir, 0);
    const struct seglog_damage *d = &c.damage[0];

    cr_assert_status(c.rc, 1);
    if (c.count > 1)
        d = &c.damage[1];
    cr_assert(c.count == 1, SAY(d));
    cr_assert_eq(c.report.damage_count, 1);
    cr_assert_eq(d->segment, segment, SAY(d));
    cr_assert_eq(d->offset, offset, SAY(d));
    cr_assert_eq(d->status, status, SAY(d));
    if (first > last)
        cr_assert_gt(d->first_seq, d->last_seq, SAY(d));
    else
        cr_assert(d->first_seq == first && d->last_seq == last, SAY(d));
}
