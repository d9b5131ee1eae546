/*
 * Creating logs, and opening what is none: every refusal, and a crowd that creates one log together.
 */
#include "log/logs.h"
#include "log/steps.h"

#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char *place_make(const char *name, char **parent)
{
    *parent = tmpdir_make();
    return tmpdir_path(*parent, name);
}

static void file_make(const char *dir, const char *name, const void *bytes, size_t n)
{
    char *path = tmpdir_path(dir, name);
    const int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0640);

    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, bytes, n), (ssize_t)n);
    close(fd);
    free(path);
}

static mode_t mode_of(const char *dir, const char *name)
{
    char *path = tmpdir_path(dir, name);
    struct stat st;

    cr_assert(stat(path, &st) == 0);
    free(path);
    return st.st_mode & 07777;
}

Test(create, makes_the_directory_and_files_with_their_mode)
{
    const struct seglog_log_options options = {.mode = 0660,
                                               .segment_size = SEGLOG_SEGMENT_SIZE_MIN};
    struct seglog_log_settings settings;
    struct seglog_log *log;
    char *parent, *dir = place_make("log", &parent);

    umask(077);
    cr_assert_ok(seglog_log_create(dir, &options));
    cr_assert_eq(mode_of(dir, "."), 0770);
    cr_assert_eq(mode_of(dir, "settings"), 0660);
    log = log_attach(dir);
    cr_assert_eq(mode_of(dir, "live"), 0660);
    cr_assert_eq(mode_of(dir, "owners"), 0660);
    cr_assert_eq(mode_of(dir, "0000000000000000.seg"), 0660);
    cr_assert_ok(seglog_log_settings(log, &settings));
    cr_assert_eq(settings.mode, 0660);
    cr_assert_eq(settings.sync, SEGLOG_SYNC_SEALED);
    cr_assert_eq(settings.segment_size, SEGLOG_SEGMENT_SIZE_MIN);
    cr_assert_eq(settings.max_record, SEGLOG_SEGMENT_SIZE_MIN / 4 - 32);
    cr_assert_neq(settings.created_ns, 0);
    cr_assert_ok(seglog_log_close(log));
    free(dir);
    tmpdir_remove(parent);
}

Test(create, refuses_what_is_out_of_range_and_leaves_nothing)
{
    static const struct seglog_log_options bad[] = {
        {.segment_size = 1},
        {.segment_size = SEGLOG_SEGMENT_SIZE_MIN / 2},
        {.segment_size = SEGLOG_SEGMENT_SIZE_MIN + 4096},
        {.segment_size = SEGLOG_SEGMENT_SIZE_MAX * 2},
        {.sync = 5},
        {.sync_interval_ns = SEGLOG_SYNC_INTERVAL_DEFAULT}, /* of a level that has none */
        {.sync = SEGLOG_SYNC_RECORD, .sync_interval_ns = SEGLOG_SYNC_INTERVAL_DEFAULT},
        {.sync = SEGLOG_SYNC_INTERVAL, .sync_interval_ns = SEGLOG_SYNC_INTERVAL_MIN - 1},
        {.sync = SEGLOG_SYNC_INTERVAL, .sync_interval_ns = SEGLOG_SYNC_INTERVAL_MAX + 1},
        {.mode = 01777},
        {.mode = 0400},
        {.flags = 8},
        {.io = 3},
        {.first_seq = SEGLOG_FIRST_SEQ_MAX + 1},
    };
    char *parent, *dir = place_make("log", &parent);

    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        cr_assert_status(seglog_log_create(dir, &bad[i]), -EINVAL);
        cr_assert(access(dir, F_OK) != 0);
    }
    free(dir);
    tmpdir_remove(parent);
}

Test(create, says_what_is_in_the_way)
{
    char *parent, *dir = place_make("log", &parent), *under = tmpdir_path(dir, "log");

    cr_assert_status(seglog_log_create(under, NULL), -ENOENT);
    file_make(parent, "log", "x", 1);
    cr_assert_status(seglog_log_create(under, NULL), -ENOTDIR);
    cr_assert_status(seglog_log_create(dir, NULL), -ENOTDIR);
    cr_assert_status(seglog_log_create(parent, NULL), -ENOTEMPTY);
    cr_assert(unlink(dir) == 0);
    cr_assert_ok(seglog_log_create(dir, NULL));
    cr_assert_status(seglog_log_create(dir, NULL), -EEXIST);
    free(under);
    free(dir);
    tmpdir_remove(parent);
}

/* Whatever order the directory lists its files in. */
Test(create, finds_a_log_in_use_to_be_one)
{
    static const char *const places[] = {NULL, "/dev/shm"};

    for (size_t i = 0; i < 2; i++) {
        char *dir;

        if (places[i])
            cr_assert(setenv("TMPDIR", places[i], 1) == 0);
        dir = log_dir_make(SEGLOG_SYNC_SEALED);
        log_append_alone(dir, 1500);
        cr_assert_status(seglog_log_create(dir, NULL), -EEXIST);
        tmpdir_remove(dir);
    }
}

Test(create, one_that_was_cut_short_is_as_if_never_begun)
{
    char *dir = tmpdir_make();
    struct seglog_log *log;

    file_make(dir, "settings-0123456789abcdef.tmp", "half", 4);
    cr_assert_status(seglog_log_open(dir, NULL, &log), -ENOENT);
    cr_assert_ok(seglog_log_create(dir, NULL));
    log = log_attach(dir);
    cr_assert_eq(tally_dir(dir, false).temps, 0);
    cr_assert_ok(seglog_log_close(log));
    tmpdir_remove(dir);
}

struct creator {
    const char *dir;
    uint64_t die_at;
    uint64_t first_seq;
};

static int create_and_die(struct child *parent, void *arg)
{
    const struct creator *c = arg;
    const struct seglog_log_options options = {.first_seq = c->first_seq};

    (void)parent;
    steps_reset();
    atomic_store(&steps.die_at, c->die_at);
    child_must(seglog_log_create(c->dir, &options));
    return 0;
}

Test(create, killed_before_any_step_can_be_called_again)
{
    char *parent, *dir = place_make("log", &parent);
    int status = 1;

    for (uint64_t die_at = 1; status != 0; die_at++) {
        struct creator c = {.dir = dir, .die_at = die_at};
        struct child child;
        int rc;

        child_start(&child, create_and_die, &c);
        status = child_status(&child);
        rc = seglog_log_create(dir, NULL);
        cr_assert(rc == 0 || rc == -EEXIST, "step %llu: %d", (unsigned long long)die_at, rc);
        cr_assert_ok(seglog_log_close(log_attach(dir)));
        tmpdir_remove(dir);
        dir = tmpdir_path(parent, "log");
    }
    free(dir);
    tmpdir_remove(parent);
}

/* Attach, and see which number the next record gets. */
static void expect_next(const char *dir, uint64_t next)
{
    struct seglog_log *log = log_attach(dir);
    struct seglog_appender *ap = log_appender(log, SEGLOG_SHARED);
    uint64_t seq;

    cr_assert_ok(seglog_appender_append(ap, "x", 1, &seq));
    cr_assert_eq(seq, next);
    log_detach(log, ap);
}

Test(create, a_log_may_begin_at_any_number)
{
    static const uint64_t firsts[] = {1, 1000, SEGLOG_FIRST_SEQ_MAX};

    for (size_t i = 0; i < sizeof(firsts) / sizeof(*firsts); i++) {
        const struct seglog_log_options options = {.segment_size = SEGLOG_SEGMENT_SIZE_MIN,
                                                   .first_seq = firsts[i]};
        char *parent, *dir = place_make("log", &parent);
        struct seglog_log *log;

        cr_assert_status(seglog_log_open(dir, &options, &log), -EINVAL);
        cr_assert_ok(seglog_log_create(dir, &options));
        cr_assert_status(seglog_log_create(dir, &options), -EEXIST);
        cr_assert_ok(seglog_log_close(log_attach(dir)));
        expect_next(dir, firsts[i]);
        log_reboot(dir);
        expect_next(dir, firsts[i] + 1);
        log = log_attach(dir);
        cr_assert_eq(seglog_log_seal(log, 0), 1);
        cr_assert_ok(seglog_log_close(log));
        expect_next(dir, firsts[i] + 2);
        cr_assert_eq(tally_dir(dir, true).first_seq, firsts[i]);
        cr_assert_eq(tally_dir(dir, true).records, 3);
        free(dir);
        tmpdir_remove(parent);
    }
}

/* A floor without settings is what a creation left, and no log's. */
Test(create, killed_before_any_step_it_begins_at_the_number_asked_for_next)
{
    char *parent, *dir = place_make("log", &parent);
    int status = 1;

    for (uint64_t die_at = 1; status != 0; die_at++) {
        const uint64_t next = die_at % 2 * 7; /* with and without a floor of its own */
        const struct seglog_log_options options = {.first_seq = next};
        struct creator c = {.dir = dir, .die_at = die_at, .first_seq = 5};
        struct child child;
        struct seglog_log *log;
        uint64_t first = next;
        int rc;

        child_start(&child, create_and_die, &c);
        status = child_status(&child);
        cr_assert(status == 0 || log_has_file(dir, "settings") ||
                  seglog_log_open(dir, NULL, &log) == -ENOENT);
        rc = seglog_log_create(dir, &options);
        cr_assert(rc == 0 || rc == -EEXIST, "step %llu: %d", (unsigned long long)die_at, rc);
        if (rc == -EEXIST)
            first = 5;
        expect_next(dir, first);
        tmpdir_remove(dir);
        dir = tmpdir_path(parent, "log");
    }
    free(dir);
    tmpdir_remove(parent);
}

Test(create, a_file_of_somebody_else_by_the_name_of_the_floor_stays)
{
    char *parent, *dir = place_make("log", &parent);

    cr_assert_eq(mkdir(dir, 0700), 0);
    file_make(dir, "floor", "plan", 4);
    cr_assert_status(seglog_log_create(dir, NULL), -ENOTEMPTY);
    cr_assert(log_has_file(dir, "floor"));
    free(dir);
    tmpdir_remove(parent);
}

Test(create, one_that_fails_leaves_nothing)
{
    static const struct {
        enum step kind;
        uint32_t skip;
    } fails[] = {{STEP_PWRITE, 0}, {STEP_SYNC, 0}, {STEP_NAME, 0}};
    char *parent, *dir = place_make("log", &parent);

    for (size_t i = 0; i < sizeof(fails) / sizeof(*fails); i++) {
        atomic_store(&steps.fail_errno, EIO);
        atomic_store(&steps.skip, fails[i].skip);
        atomic_store(&steps.fail, fails[i].kind);
        cr_assert_status(seglog_log_create(dir, NULL), -EIO);
        atomic_store(&steps.fail, STEP_NONE);
        /* The name may not have been taken back when taking names back fails. */
        cr_assert(fails[i].kind == STEP_NAME || access(dir, F_OK) != 0);
        cr_assert_ok(seglog_log_create(dir, NULL));
        tmpdir_remove(dir);
        dir = tmpdir_path(parent, "log");
    }
    free(dir);
    tmpdir_remove(parent);
}

/* ---- as somebody who may not ------------------------------------------------------------------ */

static int create_as_nobody(struct child *parent, void *arg)
{
    const struct seglog_log_options create = {.flags = SEGLOG_LOG_CREATE};
    struct seglog_log *log;
    char path[4200];

    (void)parent;
    child_assert(setgid(65534) == 0 && setuid(65534) == 0);
    snprintf(path, sizeof(path), "%s/new", (const char *)arg);
    child_must_be(seglog_log_create(path, NULL), -EACCES);
    child_must_be(seglog_log_open(path, &create, &log), -EACCES);
    snprintf(path, sizeof(path), "%s/old", (const char *)arg);
    child_must_be(seglog_log_open(path, NULL, &log), -EACCES);
    snprintf(path, sizeof(path), "%s/closed", (const char *)arg);
    child_must_be(seglog_log_open(path, NULL, &log), -EACCES);
    return 0;
}

Test(create, without_permission_says_so)
{
    const struct seglog_log_options open_to_read = {.mode = 0644};
    char *parent = tmpdir_make(), *old = tmpdir_path(parent, "old"),
         *closed = tmpdir_path(parent, "closed");
    struct child child;

    if (geteuid() != 0)
        cr_skip("needs root to become somebody else\n");
    cr_assert(chmod(parent, 0755) == 0);
    cr_assert_ok(seglog_log_create(old, &open_to_read));
    cr_assert_ok(seglog_log_create(closed, NULL));
    cr_assert_ok(seglog_log_close(log_attach(old)));
    child_start(&child, create_as_nobody, parent);
    child_end(&child);
    free(old);
    free(closed);
    tmpdir_remove(parent);
}

/* ---- together --------------------------------------------------------------------------------- */

#define CREATORS 8

struct together {
    const char *dir;
    _Atomic uint32_t ready;
    _Atomic uint32_t go;
    struct seglog_log_options options[CREATORS];
    _Atomic uint32_t next;
    _Atomic int status[CREATORS];
    uint8_t uuid[CREATORS][16];
};

static int create_together(struct child *parent, void *arg)
{
    struct together *t = arg;
    const uint32_t me = atomic_fetch_add(&t->next, 1);
    struct seglog_log_settings settings;
    struct seglog_appender *ap;
    struct seglog_log *log;
    int rc;

    (void)parent;
    atomic_fetch_add(&t->ready, 1);
    while (!atomic_load(&t->go))
        ;
    rc = seglog_log_open(t->dir, &t->options[me], &log);
    atomic_store(&t->status[me], rc);
    if (rc < 0)
        return 0;
    child_must(seglog_log_settings(log, &settings));
    memcpy(t->uuid[me], settings.uuid, 16);
    child_must(seglog_appender_open(log, NULL, &ap));
    child_must(seglog_appender_append(ap, "x", 1, NULL));
    child_must(seglog_appender_close(ap));
    child_must(seglog_log_close(log));
    return 0;
}

static void run_together(struct together *t, const char *dir)
{
    struct child children[CREATORS];

    t->dir = dir;
    for (int i = 0; i < CREATORS; i++)
        child_start(&children[i], create_together, t);
    while (atomic_load(&t->ready) < CREATORS)
        clock_sleep_ns(MS / 10);
    atomic_store(&t->go, 1);
    for (int i = 0; i < CREATORS; i++)
        child_end(&children[i]);
}

static void create_in(const char *where, int rounds)
{
    if (where)
        cr_assert(setenv("TMPDIR", where, 1) == 0);
    for (int round = 0; round < rounds; round++) {
        struct together *t = child_shared(sizeof(*t));
        char *parent, *dir = place_make("log", &parent);

        for (int i = 0; i < CREATORS; i++)
            t->options[i] =
                (struct seglog_log_options){.flags = SEGLOG_LOG_CREATE | SEGLOG_LOG_NO_HELPER,
                                            .segment_size = SEGLOG_SEGMENT_SIZE_MIN};
        run_together(t, dir);
        for (int i = 0; i < CREATORS; i++) {
            cr_assert_ok(atomic_load(&t->status[i]));
            cr_assert_arr_eq(t->uuid[i], t->uuid[0], 16);
        }
        cr_assert_eq(tally_dir(dir, true).records, CREATORS);
        free(dir);
        tmpdir_remove(parent);
    }
}

Test(create, eight_at_once_make_one_log)
{
    create_in(NULL, 60);
}

Test(create, eight_at_once_make_one_log_in_memory)
{
    create_in("/dev/shm", 60);
}

Test(create, those_who_want_other_settings_are_told)
{
    struct together *t = child_shared(sizeof(*t));
    char *parent, *dir = place_make("log", &parent);
    int ok[2] = {0, 0};

    for (int i = 0; i < CREATORS; i++)
        t->options[i] =
            (struct seglog_log_options){.flags = SEGLOG_LOG_CREATE | SEGLOG_LOG_NO_HELPER,
                                        .segment_size = i % 2 ? 1 << 17 : 1 << 16};
    run_together(t, dir);
    for (int i = 0; i < CREATORS; i++) {
        const int rc = atomic_load(&t->status[i]);

        cr_assert(rc == 0 || rc == SEGLOG_EMISMATCH, "%d", rc);
        ok[i % 2] += rc == 0;
    }
    cr_assert((ok[0] == 4 && ok[1] == 0) || (ok[0] == 0 && ok[1] == 4), "%d and %d", ok[0], ok[1]);
    free(dir);
    tmpdir_remove(parent);
}

/* ---- opening what is none, or not for us ------------------------------------------------------ */

Test(open, what_is_no_log)
{
    const struct seglog_log_options create = {.flags = SEGLOG_LOG_CREATE};
    char *dir = tmpdir_make(), *missing = tmpdir_path(dir, "missing"),
         *file = tmpdir_path(dir, "file");
    struct seglog_log *log = NULL;

    cr_assert_status(seglog_log_open(missing, NULL, &log), -ENOENT);
    cr_assert_status(seglog_log_open(dir, NULL, &log), -ENOENT);
    file_make(dir, "file", "x", 1);
    cr_assert_status(seglog_log_open(dir, NULL, &log), SEGLOG_ENOTLOG);
    cr_assert_status(seglog_log_open(dir, &create, &log), SEGLOG_ENOTLOG);
    cr_assert_status(seglog_log_open(file, NULL, &log), -ENOTDIR);
    cr_assert_null(log);
    free(missing);
    free(file);
    tmpdir_remove(dir);
}

Test(open, settings_that_differ)
{
    static const struct seglog_log_options other[] = {
        {.segment_size = 1 << 17}, {.sync = SEGLOG_SYNC_NONE}, {.mode = 0600}};
    const struct seglog_log_options same = {.segment_size = 1 << 16,
                                            .sync = SEGLOG_SYNC_SEALED,
                                            .mode = 0640,
                                            .flags = SEGLOG_LOG_CREATE};
    char *dir = log_dir_make(SEGLOG_SYNC_SEALED);
    struct seglog_log *log;

    for (size_t i = 0; i < 3; i++)
        cr_assert_status(seglog_log_open(dir, &other[i], &log), SEGLOG_EMISMATCH);
    cr_assert_ok(seglog_log_open(dir, &same, &log));
    cr_assert_ok(seglog_log_close(log));
    tmpdir_remove(dir);
}

/* Change a head's field and make the page's checksum right again. */
static void page_change(const char *dir, const char *name, uint64_t field, uint64_t n,
                        uint64_t value)
{
    const int dirfd = dir_open(dir);
    const int fd = file_open(dirfd, name, O_RDWR, 0);
    uint8_t page[PAGE_BYTES];
    le32 crc;

    cr_assert_ok(fd);
    cr_assert_ok(file_pread(fd, page, sizeof(page), 0));
    for (uint64_t i = 0; i < n; i++)
        page[field + i] = (uint8_t)(value >> 8 * i);
    le32_put(&crc, ~crc32c(~0u, page, PAGE_BYTES - 4));
    memcpy(page + PAGE_BYTES - 4, &crc, 4);
    cr_assert_ok(file_pwrite(fd, page, sizeof(page), 0));
    file_close(fd);
    file_close(dirfd);
}

static void open_changed(const char *name, uint64_t field, uint64_t n, uint64_t value, int want)
{
    char *dir = log_dir_make(SEGLOG_SYNC_SEALED);
    struct seglog_log *log;

    log_append_alone(dir, 3);
    page_change(dir, name, field, n, value);
    cr_assert_status(seglog_log_open(dir, NULL, &log), want);
    /* Nothing was touched. */
    cr_assert(log_has_file(dir, "0000000000000000.seg"));
    tmpdir_remove(dir);
}

Test(open, formats_of_other_releases)
{
    static const char *const names[] = {"settings", "0000000000000000.seg"};

    for (size_t i = 0; i < 2; i++) {
        open_changed(names[i], offsetof(struct file_head, major), 2, FORMAT_MAJOR + 1,
                     SEGLOG_EVERSION);
        open_changed(names[i], offsetof(struct file_head, incompat), 8, UINT64_C(1) << 63,
                     SEGLOG_EVERSION);
        open_changed(names[i], offsetof(struct file_head, endian), 4,
                     __builtin_bswap32(ENDIAN_MARK), SEGLOG_EENDIAN);
        open_changed(names[i], offsetof(struct file_head, ro_compat), 8, 1, SEGLOG_EREADONLY);
    }
    /* A power cut does not make anybody forget. */
}

Test(open, a_later_minor_version_and_compatible_features_do_not_matter)
{
    static const struct {
        uint64_t field, n;
    } changes[] = {{offsetof(struct file_head, minor), 2}, {offsetof(struct file_head, compat), 8}};

    for (size_t i = 0; i < 2; i++) {
        char *dir = log_dir_make(SEGLOG_SYNC_SEALED);

        log_append_alone(dir, 3);
        page_change(dir, "settings", changes[i].field, changes[i].n, 9);
        page_change(dir, "0000000000000000.seg", changes[i].field, changes[i].n, 9);
        log_append_alone(dir, 3);
        cr_assert_eq(tally_dir(dir, false).records, 6);
        tmpdir_remove(dir);
    }
}

Test(open, damaged_settings)
{
    char *dir = log_dir_make(SEGLOG_SYNC_SEALED);
    struct seglog_log *log;
    uint8_t page[PAGE_BYTES] = {0};

    file_make(dir, "settings", page, 100);
    cr_assert_status(seglog_log_open(dir, NULL, &log), SEGLOG_ECORRUPT);
    file_make(dir, "settings", page, sizeof(page));
    cr_assert_status(seglog_log_open(dir, NULL, &log), SEGLOG_ENOTLOG);
    tmpdir_remove(dir);
}

Test(open, waits_while_another_process_recovers_and_then_gives_up)
{
    const struct seglog_log_options options = {.open_timeout_ns = 150 * MS};
    char *dir = log_dir_make(SEGLOG_SYNC_SEALED);
    struct owner recovering = OWNER_NONE;
    struct seglog_log *log;
    uint64_t start;
    int dirfd;

    log_append_alone(dir, 3);
    dirfd = dir_open(dir);
    cr_assert_ok(owner_open(dirfd, NAME_OWNERS, &recovering));
    cr_assert_ok(owner_lock(&recovering, OWNERS_BYTE_ATTACH, true));
    start = clock_monotonic_ns();
    cr_assert_status(seglog_log_open(dir, &options, &log), -EBUSY);
    cr_assert_geq(clock_monotonic_ns() - start, 150 * MS);
    owner_close(&recovering);
    cr_assert_ok(seglog_log_open(dir, &options, &log));
    cr_assert_ok(seglog_log_close(log));
    file_close(dirfd);
    tmpdir_remove(dir);
}
