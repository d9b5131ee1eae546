/*
 * What commands do about a log that others hold up, trim or cut meanwhile: states that no command
 * brings about, so the library's own parts do.
 *
 * A command runs in a forked child, its output in files.
 */
#include "cli/cli.h"

#include <seglog/log.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "log/handle.h"
#include "support/build_log.h"
#include "support/check.h"
#include "support/child.h"
#include "support/tmpdir.h"
#include "sys/clock.h"

#define PATIENCE_MS 60000

struct command {
    int (*run)(struct cli *cli, int argc, char **argv);
    char *argv[8];
    const char *scratch; /* a directory for what it prints */
    struct child child;
};

static void redirect(const char *dir, const char *name, int to)
{
    const int dirfd = dir_open(dir);
    const int fd = openat(dirfd, name, O_CREAT | O_TRUNC | O_WRONLY, 0600);

    child_assert(fd >= 0 && dup2(fd, to) == to);
}

static int command_main(struct child *parent, void *arg)
{
    struct command *command = arg;
    struct cli cli = {.command = command->argv[0]};
    int argc = 0;

    (void)parent;
    redirect(command->scratch, "out", STDOUT_FILENO);
    redirect(command->scratch, "err", STDERR_FILENO);
    while (command->argv[argc])
        argc++;
    return command->run(&cli, argc, command->argv);
}

static void command_start(struct command *command)
{
    child_start(&command->child, command_main, command);
}

/* What it printed so far; at most so much as a test may want to know. */
static const char *printed(const struct command *command, const char *name)
{
    static char text[4096];
    char *path = tmpdir_path(command->scratch, name);
    FILE *file = fopen(path, "r");
    size_t n = 0;

    if (file) {
        n = fread(text, 1, sizeof(text) - 1, file);
        (void)fclose(file);
    }
    text[n] = 0;
    free(path);
    return text;
}

static void wait_for(const struct command *command, const char *name, const char *text)
{
    for (int ms = 0; ms < PATIENCE_MS; ms += 2) {
        if (strstr(printed(command, name), text))
            return;
        clock_sleep_ns(2000000);
    }
    cr_assert(false, "%s never says \"%s\", but \"%s\"", command->argv[0], text,
              printed(command, name));
}

static void command_stop(struct command *command, int want)
{
    cr_assert(kill(command->child.pid, SIGTERM) == 0);
    cr_assert_eq(child_status(&command->child), want);
}

/* ---- held up ---------------------------------------------------------------------------------- */

static char *log_make(void)
{
    const struct seglog_log_options options = {.segment_size = SEGLOG_SEGMENT_SIZE_MIN};
    char *dir = tmpdir_make();

    cr_assert_ok(seglog_log_create(dir, &options));
    return dir;
}

static struct seglog_log *log_attach(const char *dir)
{
    const struct seglog_log_options options = {.flags = SEGLOG_LOG_NO_HELPER};
    struct seglog_log *log;

    cr_assert_ok(seglog_log_open(dir, &options, &log));
    return log;
}

Test(seal, that_a_living_producer_holds_up_is_to_be_tried_again)
{
    char *dir = log_make(), *scratch = tmpdir_make();
    char timeout[] = "--timeout", no_time[] = "50ms", name[] = "seal";
    struct command seal = {
        .run = cmd_seal, .argv = {name, dir, timeout, no_time}, .scratch = scratch};
    struct seglog_log *log = log_attach(dir);
    struct seglog_appender *ap;
    struct seglog_claim claim;
    char want[128];

    cr_assert_ok(seglog_appender_open(log, NULL, &ap));
    cr_assert_ok(seglog_appender_append(ap, "before", 6, NULL));
    cr_assert_ok(seglog_appender_claim(ap, 100, &claim));
    command_start(&seal);
    cr_assert_eq(child_status(&seal.child), EX_TEMPFAIL, "%s", printed(&seal, "err"));
    snprintf(want, sizeof(want), "process %d has begun record 1 and not finished it", getpid());
    cr_assert(strstr(printed(&seal, "err"), want), "not \"%s\" but \"%s\"", want,
              printed(&seal, "err"));

    /* Finished, nothing holds it up any more. */
    memset(claim.data, 'x', 100);
    cr_assert_ok(seglog_appender_commit(ap, &claim, 100));
    command_start(&seal);
    child_end(&seal.child);
    cr_assert_ok(seglog_appender_close(ap));
    cr_assert_ok(seglog_log_close(log));
    tmpdir_remove(dir);
    tmpdir_remove(scratch);
}

Test(seal, with_a_deadline_takes_the_record_away)
{
    char *dir = log_make(), *scratch = tmpdir_make();
    char evict[] = "--evict-after", age[] = "50ms", name[] = "seal";
    struct command seal = {.run = cmd_seal, .argv = {name, dir, evict, age}, .scratch = scratch};
    struct seglog_log *log = log_attach(dir);
    struct seglog_appender *ap;
    struct seglog_claim claim;

    cr_assert_ok(seglog_appender_open(log, NULL, &ap));
    cr_assert_ok(seglog_appender_claim(ap, 100, &claim));
    command_start(&seal);
    child_end(&seal.child);
    cr_assert_status(seglog_appender_commit(ap, &claim, 100), SEGLOG_EEVICTED);
    cr_assert_ok(seglog_appender_close(ap));
    cr_assert_ok(seglog_log_close(log));
    tmpdir_remove(dir);
    tmpdir_remove(scratch);
}

/* ---- followers that lose their place ---------------------------------------------------------- */

Test(tail, that_retention_overtook_says_so_and_goes_on)
{
    char *dir = log_make(), *scratch = tmpdir_make();
    char name[] = "tail", follow[] = "-f", count[] = "-n", ten[] = "10";
    struct command tail = {
        .run = cmd_tail, .argv = {name, follow, count, ten, dir}, .scratch = scratch};
    struct seglog_log *log = log_attach(dir);
    static const char large[8000];
    struct seglog_appender *ap;
    uint64_t first = 0;
    char want[64];

    cr_assert_ok(seglog_appender_open(log, NULL, &ap));
    cr_assert_ok(seglog_appender_append(ap, "seen", 4, NULL));
    command_start(&tail);
    wait_for(&tail, "out", "seen\n");
    /* Stopped, while the log goes on and its first segments are removed. */
    child_stop(&tail.child);
    for (int i = 0; i < 40; i++)
        cr_assert_ok(seglog_appender_append(ap, large, sizeof(large), NULL));
    cr_assert_ok(seglog_log_seal(log, UINT64_C(60000000000)));
    cr_assert_ok(log_drop_oldest(log));
    cr_assert_ok(log_drop_oldest(log));
    cr_assert_ok(seglog_appender_append(ap, "later", 5, NULL));
    {
        struct floor_facts floor;

        cr_assert_ok(log_view_floor(&log->view, &floor));
        first = floor.first_seq;
    }
    cr_assert_gt(first, 1);
    child_continue(&tail.child);
    snprintf(want, sizeof(want), "going on at record %llu\n", (unsigned long long)first);
    wait_for(&tail, "err", want);
    cr_assert(strstr(printed(&tail, "err"), "seglog: tail: "));
    command_stop(&tail, 0);
    cr_assert_ok(seglog_appender_close(ap));
    cr_assert_ok(seglog_log_close(log));
    tmpdir_remove(dir);
    tmpdir_remove(scratch);
}

Test(tail, that_stands_beyond_a_cut_says_so_and_goes_on)
{
    char *scratch = tmpdir_make();
    char name[] = "tail", follow[] = "-f";
    struct command tail = {.run = cmd_tail, .argv = {name, follow}, .scratch = scratch};
    struct build_segment seg, next;
    struct build_log log;

    build_log_make(&log);
    build_begin(&log, NULL, &seg);
    build_records(&seg, 6);
    tail.argv[2] = log.dir;
    command_start(&tail);
    wait_for(&tail, "out", "5\n");
    child_stop(&tail.child);
    /* As after a power cut: 4 and 5 never were, and others have their numbers. */
    seg.at -= 2 * frame_span(1);
    seg.seq_rel -= 2;
    build_cut(&seg, NULL);
    build_begin(&log, &seg, &next);
    build_record(&next, "new 4", 4, 0);
    child_continue(&tail.child);
    wait_for(&tail, "out", "5\nnew 4\n");
    wait_for(&tail, "err", "; going on at record 4\n");
    command_stop(&tail, 0);
    build_close(&seg);
    build_close(&next);
    build_log_remove(&log);
    tmpdir_remove(scratch);
}
