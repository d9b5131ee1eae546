/*
 * One operation: an attempt at it, and the verdict on what came out.
 *
 * The hard part is to tell what failed from what was not done. A short transfer goes on where it
 * stopped; ECANCELED, EINTR and EAGAIN mean that nothing was done; anything else is the result.
 */
#include "io/engine.h"

#include <errno.h>

#include "sys/clock.h"
#include "sys/file.h"
#include "sys/map.h"

/* Attempts in a row that may come back untouched: from the ring, and at all. */
#define TRIES_RING 3u
#define TRIES_MAX  100u

/* What one system call transfers at most, on every kernel. */
#define SPAN_MAX (UINT64_C(1) << 30)

static bool is_transfer(const struct io_op *op)
{
    return op->kind == IO_WRITE || op->kind == IO_READ;
}

uint64_t op_span(const struct io_op *op)
{
    uint64_t span = op->len - op->done;

    if (op->fault == OP_SHORT)
        span /= 2;
    return span < SPAN_MAX ? span : SPAN_MAX;
}

void op_reset(struct io_op *op, struct io_chain *chain)
{
    op->result = 0;
    op->chain = chain;
    op->done = 0;
    op->raw = 0;
    op->tries = 0;
    op->fault = 0;
    op->plain = false;
    op->state = OP_TODO;
}

void op_cancel(struct io_op *op)
{
    op->result = -ECANCELED;
    op->state = OP_DONE;
}

void op_begin(struct io_engine *engine, struct io_op *op)
{
    struct io_fault *fault = &engine->fault;

    op->fault = 0;
    if (fault->times == 0 || (fault->kind != IO_ANY_KIND && fault->kind != (int)op->kind))
        return;
    if (fault->nth > 1) {
        fault->nth--;
        return;
    }
    fault->times--;
    if (fault->error < 0)
        op->fault = fault->error;
    else if (is_transfer(op) && op->len - op->done >= 2)
        op->fault = OP_SHORT;
}

/* All of a range, as far as the kernel can be told; the whole file otherwise. sync_file_range() is
 * no sync: the device keeps what is in its cache. */
static int sync_range(const struct io_op *op)
{
    const uintptr_t into_page = (uintptr_t)op->data & (map_page_size() - 1);

    if (!op->data)
        return file_datasync(op->fd);
    return map_sync((uint8_t *)op->data - into_page, into_page, into_page + op->len);
}

static int64_t perform(const struct io_op *op)
{
    const uint64_t span = op_span(op), at = op->offset + op->done;
    int rc;

    switch (op->kind) {
    case IO_DATASYNC:
        return file_datasync(op->fd);
    case IO_SYNC_RANGE:
        return sync_range(op);
    case IO_WRITE:
        rc = file_pwrite(op->fd, (const uint8_t *)op->from + op->done, span, at);
        return rc < 0 ? rc : (int64_t)span;
    case IO_READ:
        rc = file_pread(op->fd, (uint8_t *)op->data + op->done, span, at);
        return rc < 0 ? rc : (int64_t)span;
    case IO_ALLOCATE:
        return file_lengthen(op->fd, op->offset, op->len);
    case IO_MADVISE:
        return map_advise(op->data, op->len, op->advice);
    case IO_FADVISE:
        return file_advise(op->fd, op->offset, op->len, op->advice);
    case IO_RENAME_NEW:
        return file_rename_new(op->fd, op->name, op->to);
    case IO_UNLINK:
        return file_unlink(op->fd, op->name);
    case IO_KINDS:
        break;
    }
    return -EINVAL;
}

void op_perform(struct io_op *op)
{
    op->raw = op->fault < 0 ? op->fault : perform(op);
}

static enum op_state result_is(struct io_op *op, int64_t result)
{
    op->result = result;
    return OP_DONE;
}

static enum op_state judge_transfer(struct io_op *op)
{
    if (op->raw > (int64_t)(op->len - op->done))
        return result_is(op, -EIO); /* more than was asked for: nobody knows what it is */
    if (op->raw == 0 && op->done < op->len)
        return result_is(op, op->kind == IO_READ ? -ENODATA : -EIO);
    op->done += (uint64_t)op->raw;
    op->tries = 0;
    return op->done < op->len ? OP_TODO : result_is(op, (int64_t)op->done);
}

static bool is_untouched(int64_t raw)
{
    return raw == -ECANCELED || raw == -EINTR || raw == -EAGAIN;
}

enum op_state op_judge(struct io_engine *engine, struct io_op *op)
{
    if (engine && op->raw != -ECANCELED)
        engine->performed[op->kind]++;
    if (is_untouched(op->raw) && op->tries < TRIES_MAX) {
        op->plain = ++op->tries >= TRIES_RING;
        return OP_TODO;
    }
    /* No RENAME_NOREPLACE on this file system: the plain way knows another. */
    if ((op->raw == -EINVAL || op->raw == -ENOSYS) && op->kind == IO_RENAME_NEW && !op->plain &&
        op->fault == 0) {
        op->plain = true;
        return OP_TODO;
    }
    if (op->raw == -ENOSYS && op->kind == IO_ALLOCATE)
        return result_is(op, -EOPNOTSUPP);
    if (op->raw < 0)
        return result_is(op, op->raw);
    return is_transfer(op) ? judge_transfer(op) : result_is(op, 0);
}

void op_finish(struct io_engine *engine, struct io_op *op)
{
    while (op->state != OP_DONE) {
        op->plain = true;
        if (engine) {
            op_begin(engine, op);
            pthread_mutex_unlock(&engine->lock);
        }
        op_perform(op);
        if (is_untouched(op->raw) && op->tries > TRIES_RING)
            clock_sleep_ns(1000000); /* the kernel is short of something */
        if (engine)
            pthread_mutex_lock(&engine->lock);
        op->state = (uint8_t)op_judge(engine, op);
    }
}

void op_finish_all(struct io_engine *engine, struct io_chain *chain)
{
    bool failed = false;

    for (uint32_t i = 0; i < chain->count; i++) {
        if (failed)
            op_cancel(&chain->ops[i]);
        else
            op_finish(engine, &chain->ops[i]);
        failed = chain->linked && chain->ops[i].result < 0;
    }
}
