/*
 * Chains: order, failure, what is carried on and what is submitted again, each way the same.
 */
#include "io/ways.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define LONG_CHAIN 200u /* more than a ring holds */

static struct io_op write_op(const struct bench *b, const void *from, uint64_t len, uint64_t offset)
{
    return (struct io_op){
        .kind = IO_WRITE, .fd = b->fd, .from = from, .len = len, .offset = offset};
}

/* A long chain in which each operation reads what the one before wrote. */
static void ordered(struct bench *b)
{
    struct io_op *ops = calloc(LONG_CHAIN, sizeof(*ops));
    struct io_chain chain = {.ops = ops, .count = LONG_CHAIN, .linked = true};
    uint32_t numbers[LONG_CHAIN], back[LONG_CHAIN] = {0};

    for (uint32_t i = 0; i < LONG_CHAIN; i += 2) {
        numbers[i] = i * 7 + 1;
        ops[i] = write_op(b, &numbers[i], sizeof(numbers[i]), 0);
        ops[i + 1] =
            (struct io_op){.kind = IO_READ, .fd = b->fd, .data = &back[i], .len = sizeof(back[i])};
    }
    cr_assert_eq(bench_run(b, &chain), 0);
    for (uint32_t i = 0; i < LONG_CHAIN; i += 2) {
        cr_assert_eq(back[i], numbers[i], "%s: operation %u", way_name(b->way), i);
        cr_assert_eq(ops[i].result, 4);
        cr_assert_eq(ops[i + 1].result, 4);
    }
    free(ops);
}

Test(chain, linked_operations_happen_one_after_the_other)
{
    each_way(ordered);
}

static void unlinked(struct bench *b)
{
    struct io_op *ops = calloc(LONG_CHAIN, sizeof(*ops));
    struct io_chain chain = {.ops = ops, .count = LONG_CHAIN};
    uint8_t bytes[LONG_CHAIN], back[LONG_CHAIN];

    for (uint32_t i = 0; i < LONG_CHAIN; i++) {
        bytes[i] = (uint8_t)(i + 1);
        ops[i] = write_op(b, &bytes[i], 1, i);
    }
    ops[50].fd = -1;
    ops[100].fd = -1;
    cr_assert_status(bench_run(b, &chain), -EBADF);
    for (uint32_t i = 0; i < LONG_CHAIN; i++)
        cr_assert_eq(ops[i].result, i == 50 || i == 100 ? -EBADF : 1);
    cr_assert_ok(file_pread(b->fd, back, sizeof(back), 0));
    bytes[50] = bytes[100] = 0;
    cr_assert_arr_eq(back, bytes, sizeof(back));
    free(ops);
}

Test(chain, in_an_unlinked_one_a_failure_is_its_own)
{
    each_way(unlinked);
}

static void nothing(struct bench *b)
{
    struct io_chain chain = {.linked = true};

    cr_assert_eq(bench_run(b, &chain), 0);
    cr_assert(chain.is_done);
}

Test(chain, of_nothing_is_done_at_once)
{
    each_way(nothing);
}

/* ---- failures ---------------------------------------------------------------------------------- */

/* The shape of a seal: sync, two writes, sync, write. */
#define SEAL_OPS 5u

struct sealing {
    struct io_op ops[SEAL_OPS];
    struct io_chain chain;
    char bytes[3][100];
};

static struct io_chain *sealing(struct sealing *s, const struct bench *b)
{
    memset(s->bytes[0], 'i', sizeof(s->bytes[0]));
    memset(s->bytes[1], 'f', sizeof(s->bytes[1]));
    memset(s->bytes[2], 'm', sizeof(s->bytes[2]));
    s->ops[0] = (struct io_op){.kind = IO_DATASYNC, .fd = b->fd};
    s->ops[1] = write_op(b, s->bytes[0], 100, 1000);
    s->ops[2] = write_op(b, s->bytes[1], 100, 2000);
    s->ops[3] = (struct io_op){.kind = IO_DATASYNC, .fd = b->fd};
    s->ops[4] = write_op(b, s->bytes[2], 100, 0);
    s->chain = (struct io_chain){.ops = s->ops, .count = SEAL_OPS, .linked = true};
    return &s->chain;
}

/* Which of the three writes are in the file as a whole: a bit each. */
static unsigned written(const struct bench *b)
{
    static const uint64_t places[3] = {1000, 2000, 0};
    unsigned found = 0;

    for (unsigned i = 0; i < 3; i++) {
        char back[100];

        cr_assert_ok(file_pread(b->fd, back, sizeof(back), places[i]));
        if (back[0] == "ifm"[i] && memcmp(back, back + 1, 99) == 0)
            found |= 1u << i;
    }
    return found;
}

static void blank(const struct bench *b)
{
    static const char zeros[4096];

    cr_assert_ok(file_pwrite(b->fd, zeros, sizeof(zeros), 0));
}

static void failing(struct bench *b)
{
    static const int errors[] = {-EIO, -ENOSPC, -EDQUOT};
    static const unsigned before[SEAL_OPS] = {0, 0, 1, 3, 3};

    for (uint32_t at = 0; at < SEAL_OPS; at++) {
        for (size_t e = 0; e < sizeof(errors) / sizeof(errors[0]); e++) {
            const struct io_fault fault = {.kind = IO_ANY_KIND, .nth = at + 1, .error = errors[e]};
            const uint64_t syncs = io_performed(b->engine, IO_DATASYNC);
            const uint64_t writes = io_performed(b->engine, IO_WRITE);
            struct sealing s;

            blank(b);
            io_inject(b->engine, &fault);
            cr_assert_status(bench_run(b, sealing(&s, b)), errors[e]);
            for (uint32_t i = 0; i < SEAL_OPS; i++) {
                const int64_t bytes = s.ops[i].kind == IO_WRITE ? 100 : 0;

                cr_assert_eq(s.ops[i].result,
                             i < at    ? bytes
                             : i == at ? errors[e]
                                       : -ECANCELED,
                             "%s: fault at %u: result %u is %lld", way_name(b->way), at, i,
                             (long long)s.ops[i].result);
            }
            cr_assert_eq(written(b), before[at]);
            /* Once each: what failed was not tried again. */
            cr_assert_eq(io_performed(b->engine, IO_DATASYNC) - syncs, at < 3 ? 1 : 2);
            cr_assert_eq(io_performed(b->engine, IO_WRITE) - writes, at == 0   ? 0
                                                                     : at < 3  ? at
                                                                     : at == 3 ? 2
                                                                               : 3);
        }
    }
}

Test(chain, a_failure_is_final_and_cancels_the_rest)
{
    each_way(failing);
}

static void untouched(struct bench *b)
{
    static const int errors[] = {-EINTR, -EAGAIN, -ECANCELED};
    static const uint32_t times[] = {1, 2, 7};

    for (uint32_t at = 0; at < SEAL_OPS; at++) {
        for (size_t i = 0; i < 9; i++) {
            const struct io_fault fault = {
                .kind = IO_ANY_KIND, .nth = at + 1, .times = times[i / 3], .error = errors[i % 3]};
            struct sealing s;

            blank(b);
            io_inject(b->engine, &fault);
            cr_assert_status(bench_run(b, sealing(&s, b)), 0);
            cr_assert_eq(written(b), 7);
        }
    }
}

Test(chain, what_was_not_performed_is_submitted_again)
{
    each_way(untouched);
}

static void untouched_for_ever(struct bench *b)
{
    const struct io_fault fault = {
        .kind = IO_DATASYNC, .nth = 2, .times = UINT32_MAX, .error = -EAGAIN};
    struct sealing s;

    blank(b);
    io_inject(b->engine, &fault);
    cr_assert_status(bench_run(b, sealing(&s, b)), -EAGAIN);
    cr_assert_eq(written(b), 3);
    cr_assert_eq(s.ops[4].result, -ECANCELED);
}

Test(chain, what_never_gets_performed_fails_in_the_end)
{
    each_way(untouched_for_ever);
}

static void shortened(struct bench *b)
{
    for (uint32_t at = 0; at < SEAL_OPS; at++) {
        for (uint32_t times = 1; times <= 3; times++) {
            const struct io_fault fault = {.kind = IO_WRITE, .nth = at + 1, .times = times};
            struct sealing s;

            blank(b);
            io_inject(b->engine, &fault);
            cr_assert_status(bench_run(b, sealing(&s, b)), 0);
            cr_assert_eq(written(b), 7, "%s: short write %u", way_name(b->way), at);
            for (uint32_t i = 0; i < SEAL_OPS; i++)
                cr_assert_eq(s.ops[i].result, s.ops[i].kind == IO_WRITE ? 100 : 0);
        }
    }
}

Test(chain, short_writes_are_carried_on)
{
    each_way(shortened);
}

/* What stands behind a short write must not happen before the rest of it: a name cannot be given
 * twice. */
static void published(struct bench *b)
{
    const struct io_fault fault = {.kind = IO_WRITE, .nth = 1};
    struct io_op ops[2] = {
        write_op(b, "all of it", 9, 0),
        {.kind = IO_RENAME_NEW, .fd = b->dirfd, .name = "data", .to = "final"},
    };
    struct io_chain chain = {.ops = ops, .count = 2, .linked = true};

    io_inject(b->engine, &fault);
    cr_assert_status(bench_run(b, &chain), 0);
    cr_assert_eq(io_performed(b->engine, IO_WRITE), 2);
    cr_assert_eq(io_performed(b->engine, IO_RENAME_NEW), 1);
}

Test(chain, nothing_overtakes_a_short_write)
{
    each_way(published);
}

/* The kernel itself cuts a write short at this limit, and refuses the rest. */
static void limited(struct bench *b)
{
    struct rlimit before, limit;
    struct sealing s;

    blank(b);
    cr_assert_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = (struct rlimit){.rlim_cur = 8192 + 60, .rlim_max = before.rlim_max};
    sealing(&s, b);
    s.ops[2].offset = 8192;
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    (void)bench_run(b, &s.chain);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
    cr_assert_status(s.chain.status, -EFBIG);
    cr_assert_eq(s.ops[1].result, 100);
    cr_assert_status(s.ops[2].result, -EFBIG);
    cr_assert_status(s.ops[3].result, -ECANCELED);
    cr_assert_status(s.ops[4].result, -ECANCELED);
    cr_assert_eq(lseek(b->fd, 0, SEEK_END), 8192 + 60);
    cr_assert_eq(written(b), 1);
}

Test(chain, a_real_short_write_severs_the_links)
{
    cr_assert_neq(signal(SIGXFSZ, SIG_IGN), SIG_ERR);
    each_way(limited);
}

static void independent(struct bench *b)
{
    static const int errors[] = {-EIO, -EAGAIN, 0};
    struct sealing s;

    for (uint32_t at = 0; at < SEAL_OPS; at++) {
        for (size_t e = 0; e < 3; e++) {
            const struct io_fault fault = {.kind = IO_WRITE, .nth = at % 3 + 1, .error = errors[e]};

            blank(b);
            io_inject(b->engine, &fault);
            sealing(&s, b)->linked = false;
            cr_assert_status(bench_run(b, &s.chain), errors[e] == -EIO ? -EIO : 0);
            cr_assert_eq(__builtin_popcount(written(b)), errors[e] == -EIO ? 2 : 3);
        }
    }
}

Test(chain, faults_in_an_unlinked_one_touch_nobody_else)
{
    each_way(independent);
}
