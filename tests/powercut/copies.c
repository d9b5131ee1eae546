/*
 * Copies of a log under power cuts: see copies.h. The commands run in this process, without the thread
 * that helps a log: what they ask of the disk comes through calls.c, one by one.
 */
#include "powercut/copies.h"

#include "cli/cli.h"
#include "powercut/disk.h"
#include "powercut/harm.h"

#include <seglog/inspect.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <xxhash.h>

#define IMAGES      4u /* of one moment */
#define PATH_BYTES  600
#define FIRST_BYTES 256 /* different first bytes, by which compaction goes here */

enum command { SALVAGE, IMPORT, COMPACT };

/* A record that is to be copied. */
struct due {
    uint64_t seq, hash;
};

struct copying {
    struct copies *c;
    enum command command;
    char stream[PATH_BYTES]; /* what import reads */
    struct due due[ORACLE_SEQS];
    size_t count;
    uint64_t next; /* number, once all is copied */
    bool is_over;  /* the command has ended */
};

/* ---- running a command ---------------------------------------------------------------------- */

int __real_seglog_log_open(const char *dir, const struct seglog_log_options *options,
                           struct seglog_log **out);
int __wrap_seglog_log_open(const char *dir, const struct seglog_log_options *options,
                           struct seglog_log **out);

/* Everything in this thread, as in work.c. */
int __wrap_seglog_log_open(const char *dir, const struct seglog_log_options *options,
                           struct seglog_log **out)
{
    struct seglog_log_options o = options ? *options : (struct seglog_log_options){0};

    o.flags |= SEGLOG_LOG_NO_HELPER;
    o.io = SEGLOG_IO_THREADS;
    return __real_seglog_log_open(dir, &o, out);
}

/* Put another file in the place of descriptor `fd`; give what was there. */
static int redirect(int fd, const char *path)
{
    const int before = fcntl(fd, F_DUPFD_CLOEXEC, 10);
    const int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    fflush(NULL);
    disk_must(before >= 0 && file >= 0 && dup2(file, fd) == fd, path);
    close(file);
    return before;
}

static void give_back(int fd, int before)
{
    fflush(NULL);
    disk_must(dup2(before, fd) == fd, "dup2");
    close(before);
}

/* Its exit status. */
static int run(const struct copying *m, const char *out)
{
    static const char *const names[] = {"salvage", "import", "compact"};
    static int (*const commands[])(struct cli *, int, char **) = {cmd_salvage, cmd_import,
                                                                  cmd_compact};
    struct cli cli = {.command = names[m->command], .quiet = true};
    char name[16], dir[PATH_BYTES], to[PATH_BYTES], stream[PATH_BYTES], key[] = "--key",
                                                                        rule[] = "bytes:0:1";
    char *argv[] = {name, dir, to, key, rule, NULL};
    int rc, before;

    snprintf(name, sizeof(name), "%s", cli.command);
    snprintf(dir, sizeof(dir), "%s", m->c->dir);
    snprintf(to, sizeof(to), "%s", out);
    snprintf(stream, sizeof(stream), "%s", m->stream);
    if (m->command == IMPORT) {
        argv[1] = to;
        argv[2] = stream;
    }
    if (m->command != COMPACT)
        argv[3] = NULL;
    before = redirect(STDOUT_FILENO, "/dev/null");
    rc = commands[m->command](&cli, m->command == COMPACT ? 5 : 3, argv);
    give_back(STDOUT_FILENO, before);
    return rc;
}

/* The same where it may have something to say about it. */
static int run_quietly(const struct copying *m, const char *out)
{
    const int before = redirect(STDERR_FILENO, "/dev/null");
    const int rc = run(m, out);

    give_back(STDERR_FILENO, before);
    return rc;
}

static void export_all(const struct copying *m)
{
    struct cli cli = {.command = "export", .quiet = true};
    char name[] = "export", dir[PATH_BYTES];
    char *argv[] = {name, dir, NULL};
    int before, rc;

    snprintf(dir, sizeof(dir), "%s", m->c->dir);
    before = redirect(STDOUT_FILENO, m->stream);
    rc = cmd_export(&cli, 2, argv);
    give_back(STDOUT_FILENO, before);
    ORACLE_MUST(m->c->o, rc == 0, "export gave %d", rc);
}

/* ---- what is to be copied ------------------------------------------------------------------- */

static uint64_t hash_of(const struct seglog_view *view)
{
    return XXH3_64bits_withSeed(view->data, view->len, view->time_ns + view->tag);
}

/* A key with a newer record takes this one's place among what is due. */
static void take(struct copying *m, const struct seglog_view *view, size_t newest[FIRST_BYTES])
{
    const uint8_t key = *(const uint8_t *)view->data;

    if (m->command == COMPACT && newest[key] != 0)
        m->due[newest[key] - 1].hash = 0; /* goes */
    m->due[m->count++] = (struct due){.seq = view->seq, .hash = hash_of(view) | 1};
    newest[key] = m->count;
}

/* Every record of the log that can be read. */
static void find_due(struct copying *m)
{
    const struct seglog_reader_options options = {.flags =
                                                      SEGLOG_READER_COPY | SEGLOG_READER_SKIP_BAD};
    size_t newest[FIRST_BYTES] = {0}, kept = 0;
    struct seglog_reader *reader;
    struct seglog_view view;
    int rc;

    m->count = 0;
    ORACLE_OK(m->c->o, seglog_reader_open(m->c->dir, &options, &reader));
    while ((rc = seglog_reader_next(reader, &view)) == 0 || rc == SEGLOG_ECORRUPT) {
        if (rc == 0)
            take(m, &view, newest);
        seglog_reader_release(reader);
    }
    ORACLE_MUST(m->c->o, rc == -EAGAIN, "to be copied: %s", seglog_status_name(rc));
    ORACLE_OK(m->c->o, seglog_reader_position(reader, &m->next, NULL));
    seglog_reader_close(reader);
    for (size_t i = 0; i < m->count; i++)
        if (m->due[i].hash != 0)
            m->due[kept++] = m->due[i];
    m->count = kept;
}

/* Of all names and bytes in a directory. */
static uint64_t hash_of_dir(const char *path)
{
    DIR *dir = opendir(path);
    uint64_t hash = 0;

    disk_must(dir != NULL, path);
    for (struct dirent *e; (e = readdir(dir));) {
        const int fd = openat(dirfd(dir), e->d_name, O_RDONLY | O_CLOEXEC);
        struct stat st;
        void *at;

        if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
            at = st.st_size > 0 ? mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0)
                                : NULL;
            disk_must(at != MAP_FAILED, e->d_name);
            hash += XXH3_64bits_withSeed(at, (size_t)st.st_size,
                                         XXH3_64bits(e->d_name, strlen(e->d_name)));
            if (at)
                munmap(at, (size_t)st.st_size);
        }
        if (fd >= 0)
            close(fd);
    }
    closedir(dir);
    return hash;
}

/* ---- one image ------------------------------------------------------------------------------ */

/* The first of what is due, and nothing else; gives how many. */
static size_t check_records(const struct copying *m, struct seglog_reader *reader)
{
    const struct oracle *o = m->c->o;
    struct seglog_view view;
    size_t n = 0;
    int rc;

    while ((rc = seglog_reader_next(reader, &view)) == 0) {
        ORACLE_MUST(
            o, n < m->count && view.seq == m->due[n].seq && (hash_of(&view) | 1) == m->due[n].hash,
            "a copy cut half way has record %llu, %zu of %zu that were to come",
            (unsigned long long)view.seq, n, m->count);
        n++;
        seglog_reader_release(reader);
    }
    ORACLE_MUST(o, rc == -EAGAIN, "a copy cut half way: %s", seglog_status_name(rc));
    return n;
}

/* It is a log like others: it goes on behind what it has. */
static void go_on(const struct copying *m, const char *image)
{
    const struct seglog_record record = {.data = "on", .len = 2, .sync = SEGLOG_SYNC_NONE};
    const struct oracle *o = m->c->o;
    struct seglog_verify_report report;
    struct seglog_appender *ap;
    struct seglog_log *log;
    uint64_t next, seq;

    ORACLE_OK(o, seglog_log_open(image, NULL, &log));
    ORACLE_OK(o, seglog_log_progress(log, NULL, &next));
    ORACLE_MUST(o, m->is_over ? next == m->next : next <= m->next,
                "a copy goes on at %llu, the log at %llu", (unsigned long long)next,
                (unsigned long long)m->next);
    ORACLE_OK(o, seglog_appender_open(log, NULL, &ap));
    ORACLE_OK(o, seglog_appender_append_record(ap, &record, &seq));
    ORACLE_OK(o, seglog_appender_close(ap));
    ORACLE_OK(o, seglog_log_close(log));
    ORACLE_MUST(o, seglog_verify(image, NULL, &report) == 0, "a copy has %llu damages",
                (unsigned long long)report.damage_count);
}

static void check_image(const struct copying *m, const char *image)
{
    const struct oracle *o = m->c->o;
    struct seglog_reader *reader;
    size_t n;
    int rc = seglog_reader_open(image, NULL, &reader);

    if (rc < 0) { /* no log yet */
        ORACLE_MUST(o, !m->is_over, "a copy that was made: %s", seglog_status_name(rc));
        rc = run(m, image);
        ORACLE_MUST(o, rc == 0, "a copy begun again gave %d", rc);
        ORACLE_OK(o, seglog_reader_open(image, NULL, &reader));
        n = check_records(m, reader);
        ORACLE_MUST(o, n == m->count, "a copy begun again has %zu of %zu records", n, m->count);
        seglog_reader_close(reader);
        return;
    }
    n = check_records(m, reader);
    seglog_reader_close(reader);
    ORACLE_MUST(o, n == m->count || !m->is_over, "a copy that was made has %zu of %zu records", n,
                m->count);
    rc = run_quietly(m, image);
    ORACLE_MUST(o, rc == EX_CANTCREAT, "a copy into what is there gave %d", rc);
    go_on(m, image);
}

static void cut_now(void *context)
{
    const struct copying *m = context;
    char image[300];

    for (unsigned i = 0; i < IMAGES; i++) {
        if (!m->c->image(m->c->context, image, i))
            continue;
        m->c->images++;
        check_image(m, image);
        m->c->remove(image);
    }
}

/* ---- the whole ------------------------------------------------------------------------------ */

/* Make the copy; cut: at this event, 0: once it is made. Gives how many events there were. */
static uint64_t make(struct copying *m, uint64_t cut)
{
    char out[PATH_BYTES];
    uint64_t events;
    int rc;

    snprintf(out, sizeof(out), "%s/copy", m->c->top);
    disk_must(mkdir(out, 0750) == 0, out);
    disk_push(out, dice_roll(m->c->dice));
    disk_cut_at(cut, cut_now, m);
    m->is_over = false;
    rc = run(m, out);
    ORACLE_MUST(m->c->o, rc == 0 || (rc == 1 && m->count == 0), "a copy gave %d", rc);
    events = disk_events();
    disk_cut_at(0, NULL, NULL);
    m->is_over = true;
    if (cut == 0)
        cut_now(m);
    disk_pop();
    m->c->remove(out);
    return events;
}

void copies_try(struct copies *c)
{
    static struct copying m;
    struct seglog_log_settings settings;
    struct harmed harmed;
    uint64_t before, events;

    m.c = c;
    m.command = (enum command)dice_below(c->dice, 3);
    ORACLE_OK(c->o, seglog_settings_read(c->dir, &settings));
    if (m.command == SALVAGE && dice_below(c->dice, 2) == 0)
        (void)harm_image(c->dir, settings.uuid, c->dice, &harmed);
    find_due(&m);
    snprintf(m.stream, sizeof(m.stream), "%s/stream", c->top);
    if (m.command == IMPORT)
        export_all(&m);
    before = hash_of_dir(c->dir);
    events = make(&m, 0);
    if (events > 0)
        (void)make(&m, 1 + dice_below(c->dice, events));
    ORACLE_MUST(c->o, hash_of_dir(c->dir) == before, "what was copied has been changed");
    (void)unlink(m.stream);
}
