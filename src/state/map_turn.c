/*
 * One flush of a map at a time, waited for or not.
 *
 * The kernel tells the failure of a write to one sync of an open file, whichever comes first. Two syncs
 * at a time could therefore both be about the same pages, and one of them return 0. So they take turns,
 * and the verdict of one stands before the next begins.
 *
 * A flush that nobody waits for is a chain of one operation for the io engine. Those asked for while a
 * turn is taken are done together by the next turn. Their *tickets* count up, so a range of them shares
 * an outcome: up to `done` they are judged, from `bad_from` on they failed.
 *
 * Nothing runs by itself here: whoever asks, polls or waits drives the turns on.
 */
#include "state/map.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "sys/clock.h"

#define NS_PER_S UINT64_C(1000000000)

/* The outcome of a sync. */
static void judge(struct seglog_map *map, int rc)
{
    struct map_turn *turn = &map->flush.turn;

    map->flush.flushes++;
    if (rc < 0 && atomic_load(&map->flush.failed) == 0) {
        turn->bad_from = turn->done + 1;
        turn->bad_to = turn->begun; /* none of them, if it was not the engine's turn */
        atomic_store(&map->flush.failed, rc);
    }
}

/* Let the engine do what was asked for. The turn is free; the lock is given up meanwhile. */
static void begin(struct seglog_map *map)
{
    struct map_turn *turn = &map->flush.turn;
    struct map_flight *flight = turn->flight;

    if (atomic_load(&map->flush.failed) != 0) {
        turn->done = turn->begun = turn->asked; /* poisoned, each of them */
        (void)pthread_cond_broadcast(&turn->over);
        return;
    }
    flight->op = (struct io_op){
        .kind = IO_SYNC_RANGE,
        .fd = map->fd,
        .data = map_at(map, turn->from, turn->to - turn->from),
        .offset = map->region.options.offset + map->skip + turn->from,
        .len = turn->to - turn->from,
    };
    flight->chain = (struct io_chain){.ops = &flight->op, .count = 1};
    turn->begun = turn->asked;
    turn->to = 0;
    turn->holder = TURN_ENGINE;
    turn->is_driven = true;
    (void)pthread_mutex_unlock(&map->flush.lock);
    if (io_submit(flight->engine, &flight->chain) < 0)
        (void)io_run_here(flight->engine, &flight->chain);
    (void)pthread_mutex_lock(&map->flush.lock);
    turn->is_driven = false;
    (void)pthread_cond_broadcast(&turn->over);
}

/* A turn is over. The next goes to whoever waits for one, else to the engine. */
static void next(struct seglog_map *map)
{
    struct map_turn *turn = &map->flush.turn;

    turn->done = turn->begun;
    turn->holder = TURN_FREE;
    (void)pthread_cond_broadcast(&turn->over);
    if (turn->asked > turn->begun && turn->queue == 0)
        begin(map);
}

static void sleep_until(struct seglog_map *map, uint64_t deadline_ns)
{
    const struct timespec until = {.tv_sec = (time_t)(deadline_ns / NS_PER_S),
                                   .tv_nsec = (long)(deadline_ns % NS_PER_S)};

    if (deadline_ns == UINT64_MAX)
        (void)pthread_cond_wait(&map->flush.turn.over, &map->flush.lock);
    else
        (void)pthread_cond_timedwait(&map->flush.turn.over, &map->flush.lock, &until);
}

/* Under the lock, which is given up meanwhile: let the turn that is taken come to its end, or the
 * deadline. */
static void drive(struct seglog_map *map, uint64_t deadline_ns)
{
    struct map_turn *turn = &map->flush.turn;
    uint64_t now;
    int rc;

    if (turn->holder != TURN_ENGINE || turn->is_driven) {
        sleep_until(map, deadline_ns);
        return;
    }
    turn->is_driven = true;
    (void)pthread_mutex_unlock(&map->flush.lock);
    now = clock_monotonic_ns();
    rc = io_wait_for(turn->flight->engine, &turn->flight->chain,
                     deadline_ns == UINT64_MAX ? UINT64_MAX
                     : deadline_ns > now       ? deadline_ns - now
                                               : 0);
    (void)pthread_mutex_lock(&map->flush.lock);
    turn->is_driven = false;
    (void)pthread_cond_broadcast(&turn->over);
    if (rc != 1)
        return;
    judge(map, turn->flight->chain.status);
    next(map);
}

void map_turn_take(struct seglog_map *map)
{
    struct map_turn *turn = &map->flush.turn;

    turn->queue++;
    while (turn->holder != TURN_FREE)
        drive(map, UINT64_MAX);
    turn->queue--;
    turn->holder = TURN_CALLER;
}

void map_turn_give(struct seglog_map *map, bool synced, int rc)
{
    if (synced)
        judge(map, rc);
    next(map);
}

int map_turn_end(struct seglog_map *map)
{
    struct map_turn *turn = &map->flush.turn;
    const uint64_t asked = turn->asked;

    if (turn->done == asked)
        return 0;
    while (turn->done < asked)
        drive(map, UINT64_MAX);
    return turn->bad_from != 0 && turn->bad_from <= asked ? atomic_load(&map->flush.failed) : 0;
}

void map_turn_free(struct seglog_map *map)
{
    struct map_flight *flight = map->flush.turn.flight;

    if (!flight)
        return;
    io_engine_close(flight->engine); /* in a forked child: memory only */
    free(flight);
}

/* ---- what users call ------------------------------------------------------------------------- */

/* Under the lock, at the first flush that is not waited for. */
static int flight_make(struct map_turn *turn)
{
    struct map_flight *flight;
    int rc;

    if (turn->flight)
        return 0;
    flight = calloc(1, sizeof(*flight));
    if (!flight)
        return -ENOMEM;
    rc = io_engine_open(&(struct io_options){.choice = IO_AUTO}, &flight->engine);
    if (rc < 0)
        free(flight);
    else
        turn->flight = flight;
    return rc;
}

int seglog_map_flush_start(struct seglog_map *map, uint64_t offset, uint64_t len, uint64_t *ticket)
{
    struct map_flush *f = &map->flush;
    struct map_turn *turn = &f->turn;
    int rc = map_usable(map);

    if (rc < 0)
        return rc;
    if (map->mode != SEGLOG_MAP_WRITE)
        return -EPERM;
    if (len == 0 || !map_at(map, offset, len))
        return len == 0 ? -EINVAL : -ERANGE;
    if (atomic_load(&f->failed) != 0)
        return SEGLOG_EPOISONED;
    (void)pthread_mutex_lock(&f->lock);
    rc = flight_make(turn);
    if (rc == 0) {
        turn->from = turn->to == 0 || offset < turn->from ? offset : turn->from;
        turn->to = offset + len > turn->to ? offset + len : turn->to;
        *ticket = ++turn->asked;
        if (f->dirty_to != 0 && offset <= f->dirty_from && offset + len >= f->dirty_to)
            map_flush_taken(f);
        if (turn->holder == TURN_FREE)
            begin(map);
    }
    (void)pthread_mutex_unlock(&f->lock);
    return rc;
}

/* Under the lock: what became of a ticket that is judged. */
static int outcome(struct seglog_map *map, uint64_t ticket)
{
    struct map_turn *turn = &map->flush.turn;

    if (region_is_hit(&map->region))
        return map_lost(map);
    if (turn->bad_from != 0 && ticket >= turn->bad_from)
        return ticket <= turn->bad_to ? atomic_load(&map->flush.failed) : SEGLOG_EPOISONED;
    return map->is_volatile ? SEGLOG_EVOLATILE : 0;
}

int seglog_map_flush_wait(struct seglog_map *map, uint64_t ticket, uint64_t timeout_ns)
{
    struct map_flush *f = &map->flush;
    uint64_t now, deadline;
    bool looked = false;
    int rc = map_usable(map);

    if (rc < 0)
        return rc;
    now = clock_monotonic_ns();
    deadline = timeout_ns > UINT64_MAX - now ? UINT64_MAX : now + timeout_ns;
    (void)pthread_mutex_lock(&f->lock);
    if (ticket == 0 || ticket > f->turn.asked)
        rc = -EINVAL;
    while (rc == 0 && f->turn.done < ticket) {
        if (looked && clock_monotonic_ns() >= deadline)
            rc = -ETIMEDOUT;
        else
            drive(map, deadline);
        looked = true;
    }
    if (rc == 0)
        rc = outcome(map, ticket);
    (void)pthread_mutex_unlock(&f->lock);
    return rc;
}

int seglog_map_flush_poll(struct seglog_map *map, uint64_t ticket)
{
    const int rc = seglog_map_flush_wait(map, ticket, 0);

    return rc == -ETIMEDOUT ? -EAGAIN : rc;
}
