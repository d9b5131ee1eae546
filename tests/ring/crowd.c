/*
 * A crowd on a ring. See crowd.h.
 */
#include "ring/crowd.h"

#include "sys/clock.h"

#include <sched.h>

#define MESSAGE_MAX 240u
#define PATIENCE_NS UINT64_C(60000000000)

struct message {
    uint32_t life;
    uint32_t index;
};

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

static uint32_t message_len(uint32_t life, uint32_t index)
{
    uint32_t seed = life * 31 + index / 4; /* some in a row are as long */

    return (uint32_t)sizeof(struct message) + next_random(&seed) % (MESSAGE_MAX - 8);
}

static void message_fill(void *to, uint32_t life, uint32_t index)
{
    const struct message m = {.life = life, .index = index};
    const uint32_t len = message_len(life, index);
    uint8_t *bytes = to;

    memcpy(bytes, &m, sizeof(m));
    for (uint32_t i = sizeof(m); i < len; i++)
        bytes[i] = (uint8_t)(life + index * 7 + i);
}

static bool message_is_sound(const struct seglog_view *v, struct message *out)
{
    const uint8_t *bytes = v->data;

    if (v->len < sizeof(*out))
        return false;
    memcpy(out, bytes, sizeof(*out));
    if (out->life >= CROWD_LIVES || out->index >= CROWD_MESSAGES ||
        v->len != message_len(out->life, out->index))
        return false;
    for (uint32_t i = sizeof(*out); i < v->len; i++) {
        if (bytes[i] != (uint8_t)(out->life + out->index * 7 + i))
            return false;
    }
    return true;
}

/* ---- producers -------------------------------------------------------------------------------- */

struct producing {
    struct seglog_producer *p;
    const struct crowd_producer *how;
    uint32_t life;
    uint32_t index;
    uint32_t seed;
};

static int put_in_place(struct producing *s, bool keep)
{
    struct seglog_claim claim;
    const uint32_t len = message_len(s->life, s->index);
    int rc = seglog_producer_claim(s->p, len + next_random(&s->seed) % 20, &claim, PATIENCE_NS);

    if (rc < 0)
        return rc;
    message_fill(claim.data, s->life, s->index);
    if (s->how->dawdles && next_random(&s->seed) % 8 == 0)
        clock_sleep_ns(200000);
    if (keep)
        return seglog_producer_commit(s->p, &claim, len);
    rc = seglog_producer_abort(s->p);
    return rc < 0 ? rc : -ECANCELED;
}

static int put_many(struct producing *s, uint32_t n, bool in_place)
{
    static _Thread_local uint8_t bytes[CROWD_AT_ONCE][MESSAGE_MAX];
    struct seglog_record records[CROWD_AT_ONCE];
    struct seglog_claim claims[CROWD_AT_ONCE];
    size_t lens[CROWD_AT_ONCE];
    int rc;

    for (uint32_t i = 0; i < n; i++) {
        lens[i] = message_len(s->life, s->index + i);
        message_fill(bytes[i], s->life, s->index + i);
        records[i] =
            (struct seglog_record){.data = bytes[i], .len = lens[i], .tag = i % 3 == 0 ? 7 : 0};
    }
    if (!in_place)
        return seglog_producer_put_batch(s->p, records, n, PATIENCE_NS);
    rc = seglog_producer_claim_batch(s->p, lens, n, claims, PATIENCE_NS);
    if (rc < 0)
        return rc;
    for (uint32_t i = 0; i < n; i++)
        memcpy(claims[i].data, bytes[i], lens[i]);
    return seglog_producer_commit_batch(s->p, claims, n);
}

/* As many of the next as have one length, and are wanted. */
static int put_array(struct producing *s, uint32_t *n)
{
    static _Thread_local uint8_t bytes[CROWD_AT_ONCE * MESSAGE_MAX];
    const uint32_t len = message_len(s->life, s->index), most = *n;

    for (*n = 0; *n < most && message_len(s->life, s->index + *n) == len; ++*n)
        message_fill(bytes + *n * len, s->life, s->index + *n);
    return seglog_producer_put_array(s->p, bytes, len, *n, PATIENCE_NS);
}

static int put_somehow(struct producing *s, uint32_t *n)
{
    static _Thread_local uint8_t bytes[MESSAGE_MAX];
    const uint32_t len = message_len(s->life, s->index);
    const uint32_t left = s->how->messages - s->index;

    *n = 1;
    message_fill(bytes, s->life, s->index);
    switch (next_random(&s->seed) % 8) {
    case 0:
        return put_in_place(s, true);
    case 1:
        return put_in_place(s, false);
    case 2:
    case 3:
        *n = next_random(&s->seed) % CROWD_AT_ONCE + 1;
        if (*n > left)
            *n = left;
        return put_many(s, *n, next_random(&s->seed) % 2 == 0);
    case 4: {
        const struct iovec iov[] = {{.iov_base = bytes, .iov_len = 8},
                                    {.iov_base = bytes + 8, .iov_len = len - 8}};

        return seglog_producer_putv(s->p, iov, 2, 5, 0, PATIENCE_NS);
    }
    case 5:
        *n = left < CROWD_AT_ONCE ? left : CROWD_AT_ONCE;
        return put_array(s, n);
    default:
        return seglog_producer_put(s->p, bytes, len, PATIENCE_NS);
    }
}

int crowd_produce_on(struct seglog_ring *ring, const struct crowd_producer *how)
{
    struct crowd *crowd = how->crowd;
    struct producing s = {.how = how, .life = atomic_fetch_add(&crowd->lives, 1)};
    int rc;

    if (s.life >= CROWD_LIVES)
        return -E2BIG;
    s.seed = s.life * 77777 + 1;
    rc = seglog_producer_open(ring, NULL, &s.p);
    while (rc >= 0 && s.index < how->messages) {
        uint32_t n;

        rc = put_somehow(&s, &n);
        if (rc == 0) {
            s.index += n;
            atomic_store(&crowd->acked[s.life], s.index);
        } else if (rc == -ENOBUFS) {
            atomic_fetch_add(&crowd->dropped[s.life], n);
            rc = 0; /* it is tried again under the same number */
            sched_yield();
        } else if (rc == -ECANCELED) {
            rc = 0;
        }
    }
    seglog_producer_close(s.p);
    return rc;
}

int crowd_produce(struct child *parent, void *producer)
{
    const struct crowd_producer *how = producer;
    struct seglog_ring *ring;

    (void)parent;
    child_must(seglog_ring_open(how->crowd->path, 0, &ring));
    child_must(crowd_produce_on(ring, how));
    child_must(seglog_ring_close(ring));
    return 0;
}

/* ---- consumers -------------------------------------------------------------------------------- */

struct consuming {
    struct crowd *crowd;
    bool counts;
    uint32_t next[CROWD_LIVES]; /* of each life: at least this comes next */
    bool met[CROWD_LIVES];
};

/* 0, or what is wrong. */
static int check_view(struct consuming *s, const struct seglog_view *v)
{
    struct crowd *crowd = s->crowd;
    const bool again = v->flags & SEGLOG_VIEW_REDELIVERED;
    struct message m;

    if (!message_is_sound(v, &m))
        return -EBADMSG;
    if (s->counts)
        atomic_fetch_add(again ? &crowd->again[m.life][m.index] : &crowd->seen[m.life][m.index], 1);
    if (again)
        return 0;
    /* In its producer's order; without a gap, but where messages may be passed or go elsewhere. */
    if (s->met[m.life] && m.index < s->next[m.life])
        return -EILSEQ;
    if (s->met[m.life] && m.index != s->next[m.life] && crowd->kind != SEGLOG_RING_WORK &&
        crowd->overload != SEGLOG_OVERLOAD_OVERWRITE)
        return -EPROTO;
    s->met[m.life] = true;
    s->next[m.life] = m.index + 1;
    return 0;
}

/* Up to max messages, as a batch or as a run. As seglog_consumer_batch() */
static int take_somehow(struct seglog_consumer *c, struct seglog_view *views, int max, bool run)
{
    struct seglog_run alike;
    int n;

    if (!run)
        return seglog_consumer_batch(c, views, max);
    n = seglog_consumer_run(c, &alike, max);
    for (int i = 0; i < n; i++) {
        views[i] = alike.first;
        views[i].data = (const uint8_t *)alike.first.data + (size_t)i * alike.stride;
    }
    return n;
}

static int check_loss(struct consuming *s, struct seglog_consumer *c, uint64_t *lost)
{
    struct seglog_ring_loss loss;

    seglog_consumer_lost(c, &loss);
    if (s->crowd->overload != SEGLOG_OVERLOAD_OVERWRITE || loss.records == 0 ||
        loss.records_total != *lost + loss.records)
        return -EPROTO;
    *lost = loss.records_total;
    return 0;
}

int crowd_consume_on(struct seglog_ring *ring, const struct crowd_consumer *how)
{
    struct crowd *crowd = how->crowd;
    struct consuming *s = calloc(1, sizeof(*s));
    struct seglog_view views[24];
    struct seglog_consumer *c = NULL;
    uint64_t lost = 0, seen = 0;
    uint32_t seed = 99;
    int rc = s ? seglog_consumer_open(ring, NULL, &c) : -ENOMEM;

    if (rc < 0) {
        free(s);
        return rc;
    }
    *s = (struct consuming){.crowd = crowd, .counts = how->counts};
    while (rc == 0) {
        const bool done = atomic_load(&crowd->done);
        const uint32_t random = next_random(&seed);
        int n = take_somehow(c, views, (int)(random % 24) + 1, random >> 8 & 1);

        if (n == SEGLOG_ELAPPED) {
            rc = check_loss(s, c, &lost);
            continue;
        }
        if (n == -EAGAIN) {
            /* What the dead left in the way is passed within 100 ms. */
            n = seglog_consumer_wait(c, 100000000);
            if (n == -ETIMEDOUT && done)
                break;
            if (n < 0 && n != -ETIMEDOUT && n != -EINTR)
                rc = n;
            continue;
        }
        if (n < 0)
            rc = n;
        for (int i = 0; i < n && rc == 0; i++)
            rc = check_view(s, &views[i]);
        seen += n > 0 ? (uint64_t)n : 0;
        if (how->dawdles && next_random(&seed) % 64 == 0)
            clock_sleep_ns(300000);
        seglog_consumer_release(c);
    }
    atomic_fetch_add(&crowd->seen_total, seen);
    atomic_fetch_add(&crowd->lost_total, lost);
    seglog_consumer_close(c);
    free(s);
    return rc;
}

int crowd_consume(struct child *parent, void *consumer)
{
    const struct crowd_consumer *how = consumer;
    struct seglog_ring *ring;

    (void)parent;
    child_must(seglog_ring_open(how->crowd->path, 0, &ring));
    child_must(crowd_consume_on(ring, how));
    child_must(seglog_ring_close(ring));
    return 0;
}
