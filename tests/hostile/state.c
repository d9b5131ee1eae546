/*
 * The stage on which files of state are spoiled. See state.h.
 */
#include "hostile/state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "format/state.h"
#include "support/tmpdir.h"
#include "sys/clock.h"
#include "sys/file.h"

static void make(struct state_stage *stage)
{
    switch (stage->kind) {
    case STATE_CELL:
        state_cell_make(stage);
        break;
    case STATE_STRUCT:
        state_struct_make(stage);
        break;
    default:
        state_table_make(stage);
    }
}

static size_t boot_at(enum state_kind kind)
{
    return STATE_OFF_HOT + (kind == STATE_CELL ? offsetof(struct cell_hot, boot)
                                               : offsetof(struct table_hot, boot));
}

void state_stage_open(struct state_stage *stage, enum state_kind kind, enum state_boot boot)
{
    struct file_facts facts;

    *stage = (struct state_stage){.kind = kind, .boot = boot, .dir = tmpdir_make()};
    stage->path = tmpdir_path(stage->dir, "state");
    stage->log = tmpdir_path(stage->dir, "log");
    make(stage);
    if (kind == STATE_WITH_LOG)
        stage->log_files = image_take(stage->log);
    stage->fd = file_open(AT_FDCWD, stage->path, O_RDWR, 0);
    must(stage->fd >= 0 && file_facts(stage->fd, &facts) == 0);
    stage->size = stage->left = facts.size;
    stage->truth = malloc(stage->size);
    stage->bytes = malloc(stage->size);
    must(stage->truth != NULL && stage->bytes != NULL);
    must(file_pread(stage->fd, stage->truth, stage->size, 0) == 0);
    if (boot == STATE_REBOOTED && kind != STATE_STRUCT)
        stage->truth[boot_at(kind)] ^= 0xff;
    memcpy(stage->bytes, stage->truth, stage->size);
    must(state_judge(stage) == STATE_HARMLESS);
}

void state_stage_close(struct state_stage *stage)
{
    file_close(stage->fd);
    if (stage->log_files)
        image_free(stage->log_files);
    free(stage->truth);
    free(stage->bytes);
    free(stage->path);
    free(stage->log);
    tmpdir_remove(stage->dir);
}

/* A file knows its boot by its inode, too, and making it anew gave it another. */
static void settle(struct state_stage *stage)
{
    struct boot_facts now = {.known = true};
    struct file_facts ours, named;

    must(file_facts(stage->fd, &ours) == 0);
    if (file_facts_named(AT_FDCWD, stage->path, &named) == 0 && named.ino == ours.ino)
        return;
    must(stage->kind == STATE_WITH_LOG);
    file_close(stage->fd);
    stage->fd = file_open(AT_FDCWD, stage->path, O_RDWR | O_CREAT, 0640);
    must(stage->fd >= 0 && file_facts(stage->fd, &ours) == 0 && boot_id_read(now.boot_id) == 0);
    now.dev = ours.dev;
    now.ino = ours.ino;
    if (stage->boot == STATE_REBOOTED)
        now.boot_id[0] ^= 0xff;
    boot_mark_encode((void *)(stage->truth + boot_at(stage->kind)), &now);
}

static void lay_out(struct state_stage *stage)
{
    must(ftruncate(stage->fd, 0) == 0); /* so that nothing remains behind what is written */
    must(file_pwrite(stage->fd, stage->bytes, stage->left, 0) == 0);
    if (stage->log_files)
        image_write(stage->log_files, stage->log);
}

enum state_verdict state_judge(struct state_stage *stage)
{
    enum state_verdict verdict;

    lay_out(stage);
    stage->told = stage->gone = 0;
    stage->why = "";
    switch (stage->kind) {
    case STATE_CELL:
        verdict = state_cell_judge(stage);
        break;
    case STATE_STRUCT:
        verdict = state_struct_judge(stage);
        break;
    default:
        verdict = state_table_judge(stage);
    }
    settle(stage);
    memcpy(stage->bytes, stage->truth, stage->size);
    stage->left = stage->size;
    if (verdict == STATE_WRONG)
        return verdict;
    return stage->told > 0 ? STATE_TOLD : stage->gone > 0 ? STATE_OTHER : verdict;
}

bool state_told(struct state_stage *stage, int rc)
{
    if (rc >= 0)
        return false;
    must_status(rc, rc != -EAGAIN && rc != -EFAULT && rc != -EBADF && rc != -EDEADLK);
    stage->told++;
    return true;
}

/* ---- what is where ------------------------------------------------------------------------------- */

struct area {
    enum state_kind kind;
    size_t from, to;
};

static bool is_in(const struct area *areas, size_t count, enum state_kind kind, size_t at)
{
    if (kind == STATE_WITH_LOG)
        kind = STATE_TABLE;
    for (size_t i = 0; i < count; i++)
        if (areas[i].kind == kind && at >= areas[i].from && at < areas[i].to)
            return true;
    return false;
}

bool state_is_structure(const struct state_stage *stage, size_t at)
{
    static const struct area areas[] = {
        {STATE_CELL, STATE_OFF_HOT, STATE_OFF_HOT + 192},
        {STATE_CELL, STATE_OFF_HOT + 512, STATE_OFF_HOT + 512 + 3 * 64},
        {STATE_STRUCT, STATE_OFF_DATA, STATE_OFF_DATA + PAGE_BYTES + 700},
        {STATE_TABLE, STATE_OFF_HOT, STATE_OFF_HOT + 160},
        {STATE_TABLE, STATE_OFF_DATA, STATE_OFF_DATA + 384},
        {STATE_TABLE, STATE_OFF_DATA + 512, STATE_OFF_DATA + 512 + 384},
    };

    if (at < STATE_OFF_HOT)
        return at < offsetof(struct state_header, zero) || at >= offsetof(struct state_header, crc);
    /* Slots and entries begin behind the shards; where bytes are zero there is room. */
    if (at > STATE_OFF_DATA + PAGE_BYTES && stage->kind >= STATE_TABLE)
        return stage->truth[at] != 0;
    return is_in(areas, sizeof(areas) / sizeof(areas[0]), stage->kind, at);
}

bool state_may_be_other(const struct state_stage *stage, size_t at)
{
    switch (stage->kind) {
    case STATE_STRUCT:
        return true;
    case STATE_CELL:
        /* After a reboot the newest version that is whole counts. */
        return stage->boot == STATE_REBOOTED ||
               (at >= STATE_OFF_HOT && at < STATE_OFF_HOT + sizeof(uint64_t));
    default:
        /* Slots that cannot be found count for nothing then; a log has all of it. */
        return stage->kind == STATE_TABLE && stage->boot == STATE_REBOOTED && at >= STATE_OFF_DATA;
    }
}
