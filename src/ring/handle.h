/*
 * The handles of a ring, and what its files share.
 *
 * Four kinds and three ways to deal with overload are put together from few parts. What differs is
 * who may claim (one producer, or whoever holds put_lock), where the room begins that may be used
 * again (`enum ring_floor`), and how a consumer goes on (`enum ring_way`).
 */
#ifndef RING_HANDLE_H
#define RING_HANDLE_H

#include "format/blocks.h"
#include "format/ring.h"
#include "sys/file.h"
#include "sys/owner.h"

#include <seglog/ring.h>

#include <pthread.h>
#include <stdbool.h>

/* Whose word frees room for producers. */
enum ring_floor {
    FLOOR_CONSUMER, /* the one consumer's: what it has released */
    FLOOR_READERS,  /* the slowest of the broadcast's: producers move the floor up to it */
    FLOOR_ANY,      /* nobody's: producers move the floor as they need, over whole messages */
    FLOOR_DONE,     /* work: producers move the floor over what is done */
};

struct seglog_ring {
    struct ring_facts facts;
    struct ring_ctrl *ctrl;
    const uint8_t *data;   /* mapped read-only, twice; NULL: the ring has no size yet */
    uint8_t *data_rw;      /* the same for writing, once somebody needs it */
    uint64_t ctrl_size;    /* as mapped */
    uint64_t page;         /* of this file's mappings */
    const uint64_t *guard; /* reads 0 in a forked child */
    struct owner attach;
    int fd;
    uint32_t flags; /* SEGLOG_RING_* */
    enum ring_floor floor;
    bool many_producers;
    bool many_consumers;
    bool fence;           /* the kernel has no membarrier for us: fence after each publication */
    bool stale;           /* of another boot, opened read-only */
    pthread_mutex_t lock; /* data_rw, users */
    unsigned users;       /* producers and consumers */
};

/* Place, lock and generation of a producer or consumer. */
struct ring_seat {
    struct owner owner;
    struct ring_place *place; /* NULL: an observer, which has none */
    uint32_t index;
    uint32_t gen;
};

/* An open claim: [pos, pos + span). */
struct ring_claim {
    uint64_t pos;
    uint64_t span;
    uint32_t count; /* 0: none is open */
    bool stamped;
};

struct seglog_producer {
    /* What every put reads. */
    const uint64_t *guard;
    uint8_t *data;
    uint64_t mask;
    uint64_t size;
    uint64_t tail;       /* one producer: where the next message goes */
    uint64_t floor_seen; /* room begins at or behind it */
    uint64_t soft_end;   /* one producer: a message that ends here or before needs no look */
    struct ring_shared *shared;
    struct ring_claim claim;
    uint64_t lock_word; /* many: who we are in put_lock */
    bool many;
    bool fence;
    /* The rest. */
    struct seglog_ring *ring;
    struct ring_seat seat;
    uint64_t max_len;
    uint64_t probe_ns; /* when the dead were asked for last */
    uint32_t wait;
};

/* How a consumer goes on. */
enum ring_way {
    WAY_MARK,  /* the one consumer: releases by its mark */
    WAY_PLACE, /* broadcast that waits or drops: releases by its place */
    WAY_COPY,  /* may be lapped: copies, then checks that what it copied was still there */
    WAY_WORK,  /* takes under take_lock, and marks what is done */
};

struct ring_event; /* event.c */
struct ring_tally; /* order.h */

struct seglog_consumer {
    const uint64_t *guard;
    const uint8_t *data;
    uint64_t mask;
    uint64_t size;
    uint64_t pos;       /* of the next message */
    uint64_t released;  /* what the others were told */
    uint64_t out;       /* views that were handed out and not released */
    uint64_t records;   /* messages before pos */
    uint64_t bytes;     /* their payload */
    uint64_t turn;      /* of our mark */
    uint64_t word_seen; /* always that of a message, and its span: seglog_consumer_next() */
    uint64_t span_seen;
    struct ring_shared *shared;
    struct ring_place *place;
    enum ring_way way;
    bool fence;
    /* The rest. */
    struct seglog_ring *ring;
    struct ring_seat seat;
    uint32_t wait;
    uint32_t flags;
    uint64_t probe_ns;
    uint64_t from, to; /* WAY_WORK: handed out */
    uint32_t calls;    /* WAY_WORK: until the dead are asked for */
    bool again;        /* WAY_WORK: what is handed out was handed out before */
    bool kept;         /* WAY_WORK: it was given back and is to be handed out once more */
    bool saves;        /* WAY_COPY: the one consumer's mark is moved */
    uint8_t *arena;    /* WAY_COPY: where copies go */
    uint64_t arena_used;
    struct seglog_ring_loss loss;
    struct ring_event *event;
};

/* ---- open.c --------------------------------------------------------------------------------- */
int ring_attach(struct seglog_ring *ring);
/* Map the data for writing, once. */
int ring_map_writable(struct seglog_ring *ring);
/* Count a producer or consumer in or out. */
void ring_user(struct seglog_ring *ring, int change);

static inline bool ring_fs_refused(const struct fs_facts *fs, uint32_t flags)
{
    return fs->is_refused && !fs->maps_only && !(flags & SEGLOG_RING_FORCE_FS);
}

/* ---- create.c ------------------------------------------------------------------------------- */
/* As seglog_ring_create(), with the position of the first message: for tests of what wraps. */
int ring_create_at(const char *path, const struct seglog_ring_options *options, uint64_t start);

/* ---- places.c ------------------------------------------------------------------------------- */
/* Take a place, with `from` in it; sole: the lock that only one may have (0: none).
 * 0, -EBUSY, -EUSERS ... */
int ring_seat_take(struct seglog_ring *ring, uint32_t role, uint64_t sole, uint64_t from,
                   struct ring_seat *out);
/* dirty: leave what the place says for others, as if we had died. */
void ring_seat_give(struct ring_seat *seat, bool dirty);
/* Is the holder of this place in that generation proved dead? */
bool ring_is_dead(const struct seglog_ring *ring, uint32_t place, uint32_t gen);
/* What a claim in the way means. true: its producer is dead; step over it. */
static inline bool ring_claim_is_dead(const struct seglog_ring *ring,
                                      const struct ring_word_facts *claim)
{
    return ring_is_dead(ring, claim->place, claim->gen);
}

/* ---- lock.c --------------------------------------------------------------------------------- */
/*
 * Take put_lock or take_lock, for a few stores. Its holder is named in it, so that one who died
 * holding it is found out by proof; then 1, and *dead is that place: finish what it may have begun.
 * 0; -EAGAIN: a living process holds it and does not run; SEGLOG_ECORRUPT
 */
int ring_lock(struct seglog_ring *ring, _Atomic uint64_t *lock, const struct ring_seat *seat,
              uint32_t *dead);
static inline uint64_t ring_lock_word(const struct ring_seat *seat)
{
    return (uint64_t)seat->gen << 32 | (seat->index + 1);
}
/* The look before the swap keeps the line with its holder. */
static inline bool ring_lock_try(_Atomic uint64_t *lock, uint64_t mine)
{
    uint64_t seen = atomic_load_explicit(lock, memory_order_relaxed);

    return seen == 0 && atomic_compare_exchange_strong_explicit(
                            lock, &seen, mine, memory_order_acquire, memory_order_relaxed);
}
static inline void ring_unlock(_Atomic uint64_t *lock)
{
    atomic_store_explicit(lock, 0, memory_order_release);
}

/* ---- room.c --------------------------------------------------------------------------------- */
/*
 * Is there room for span bytes at `at`, and a word behind? Moves the floor where that is the
 * producer's to do (then the caller is the one producer, or holds put_lock). *floor_seen is brought
 * up to date. probe: ask whether those in the way have died. 0, -EAGAIN, SEGLOG_ECORRUPT
 */
int ring_room(struct seglog_ring *ring, uint64_t at, uint64_t span, bool probe,
              uint64_t *floor_seen);
/* Walk from the floor to the end, counting the messages that are there. Others may be at work: what
 * they take away meanwhile is left out. 0, SEGLOG_ECORRUPT */
int ring_walk_to_end(const struct seglog_ring *ring, struct ring_tally *floor,
                     struct ring_tally *end);

/* ---- produce.c ------------------------------------------------------------------------------ */
/* Room for span bytes by what the ring does at overload. 0 and *pos; as seglog_producer_put() */
int ring_claim_take(struct seglog_producer *p, uint64_t span, uint32_t count, uint64_t timeout_ns,
                    uint64_t *pos);

/* ---- consume.c, copy.c, work.c, array.c ----------------------------------------------------- */
/* Up to max messages. As seglog_consumer_batch(); alike: as seglog_consumer_run(), and only the
 * first gets a view. */
int ring_take(struct seglog_consumer *c, struct seglog_view *out, int max, bool alike);
int ring_next_direct(struct seglog_consumer *c, struct seglog_view *out, int max);
int ring_run_direct(struct seglog_consumer *c, struct seglog_view *out, int max);
int ring_next_copy(struct seglog_consumer *c, struct seglog_view *out, int max, bool alike);
int ring_next_work(struct seglog_consumer *c, struct seglog_view *out, int max, bool alike);
/* At c->pos is *word, which is no message: step over it. 0: c->pos is at one, whose word is *word;
 * -EAGAIN: there is none, and what was passed is given back; SEGLOG_ECORRUPT */
int ring_find_direct(struct seglog_consumer *c, uint64_t *word);
/* Would a call say something else than -EAGAIN? 0, or -EAGAIN. probe: ask for the dead. */
int ring_look_direct(struct seglog_consumer *c, bool probe);
int ring_look_copy(struct seglog_consumer *c, bool probe);
int ring_look_work(struct seglog_consumer *c, bool probe);
int ring_look(void *consumer, bool probe);
void ring_release_work(struct seglog_consumer *c);
/* What the last call handed out was not used: the next call hands it out again. */
void ring_keep_work(struct seglog_consumer *c);
/* May the message with this word follow in a run that began with the word `first`? One with a time or
 * tag is a run by itself: another's would have to be told, too. */
static inline bool ring_is_alike(uint64_t first, uint64_t word)
{
    return word == first && !(word & RING_STAMPED);
}
/* Make views: the message at pos whose word this is, its bytes at `at`. */
static inline void ring_view(struct seglog_view *out, uint64_t word, const uint8_t *at,
                             uint64_t seq)
{
    out->data = at + RING_WORD;
    out->len = word >> 32;
    out->seq = seq;
    out->time_ns = 0;
    out->tag = 0;
    out->flags = 0;
    if (__builtin_expect(word & RING_STAMPED, 0)) {
        memcpy(&out->time_ns, at + RING_WORD, sizeof(out->time_ns));
        memcpy(&out->tag, at + RING_WORD + 8, sizeof(out->tag));
        out->data = at + RING_WORD + RING_STAMP;
    }
}

/* ---- wait.c --------------------------------------------------------------------------------- */
struct ring_wait {
    struct seglog_ring *ring;
    struct bell *bell;
    uint32_t policy;                        /* enum seglog_wait */
    int (*look)(void *context, bool probe); /* -EAGAIN: wait on. probe: ask for the dead */
    bool (*may_sleep_in)(void *context);    /* nothing but the bell can end this; NULL: never so */
    void *context;
};
/* Wait until look() gives something else than -EAGAIN, which is given back; -ETIMEDOUT, -EINTR. */
int ring_wait(const struct ring_wait *wait, uint64_t timeout_ns);
/* true once every few ms, so that asking for the dead costs nothing while polling. */
bool ring_probe_is_due(uint64_t *probe_ns);

/* ---- event.c -------------------------------------------------------------------------------- */
/* next() found nothing: make the descriptor unreadable until there is something. */
void ring_event_arm(struct seglog_consumer *c);
void ring_event_free(struct ring_event *event);

static inline bool ring_is_forked(const uint64_t *guard)
{
    return *guard != 1;
}

#endif
