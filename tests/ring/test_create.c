/*
 * Making rings, opening and removing them; and headers that are not what they should be.
 */
#include "ring/rings.h"

#include "sys/clock.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

Test(ring_create, what_makes_no_ring_is_refused)
{
    const struct seglog_ring_options bad[] = {
        {.size = 5000},
        {.size = 2048},
        {.size = UINT64_C(2) << 30},
        {.kind = SEGLOG_RING_WORK + 1},
        {.overload = SEGLOG_OVERLOAD_OVERWRITE + 1},
        {.kind = SEGLOG_RING_WORK, .overload = SEGLOG_OVERLOAD_OVERWRITE},
        {.mode = 01000},
        {.flags = SEGLOG_RING_READ_ONLY},
    };
    char *dir = tmpdir_make(), *path = tmpdir_path(dir, "ring"),
         *none = tmpdir_path(dir, "no/ring");

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        cr_assert_status(seglog_ring_create(path, &bad[i]), -EINVAL);
        cr_assert_status(seglog_ring_create_memfd(&bad[i]), -EINVAL);
    }
    cr_assert_status(seglog_ring_create(none, NULL), -ENOENT);
    cr_assert_status(seglog_ring_create("", NULL), -ENOENT);
    cr_assert_neq(access(path, F_OK), 0);
    cr_assert_ok(seglog_ring_create(path, NULL));
    cr_assert_status(seglog_ring_create(path, NULL), -EEXIST);
    free(none);
    free(path);
    tmpdir_remove(dir);
}

Test(ring_create, size_mode_and_kind_are_what_was_asked_for)
{
    const struct seglog_ring_options options = {
        .size = 65536, .kind = SEGLOG_RING_MPSC, .overload = SEGLOG_OVERLOAD_DROP, .mode = 0604};
    const uint64_t before = clock_wall_ns();
    struct seglog_ring_info info;
    struct ring_at r = {0};
    struct stat st;

    r.dir = tmpdir_make();
    r.path = tmpdir_path(r.dir, "ring");
    (void)umask(077);
    cr_assert_ok(seglog_ring_create(r.path, &options));
    cr_assert_ok(seglog_ring_open(r.path, 0, &r.ring));
    cr_assert_ok(seglog_ring_inspect(r.ring, &info));
    cr_assert(info.size == 65536 && info.kind == SEGLOG_RING_MPSC && info.mode == 0604);
    cr_assert(info.overload == SEGLOG_OVERLOAD_DROP && info.max_message == 32760);
    cr_assert(info.created_ns >= before && info.created_ns <= clock_wall_ns());
    cr_assert(info.head == 0 && info.tail == 0 && info.used == 0 && info.records == 0);
    cr_assert(info.producers == 0 && info.consumers == 0 && info.stale == 0);
    cr_assert_eq(stat(r.path, &st), 0);
    cr_assert_eq(st.st_mode & 07777, 0604);
    cr_assert_geq((uint64_t)st.st_blocks * 512, 65536, "room must be reserved");
    ring_at_remove(&r);
}

Test(ring_create, lies_in_dev_shm_as_well)
{
    char path[64];
    struct seglog_ring *ring;

    snprintf(path, sizeof(path), "/dev/shm/seglog-test-%d", (int)getpid());
    cr_assert_ok(seglog_ring_create(path, NULL));
    cr_assert_ok(seglog_ring_open(path, 0, &ring));
    cr_assert_ok(seglog_ring_close(ring));
    cr_assert_ok(seglog_ring_remove(path, 0));
    cr_assert_neq(access(path, F_OK), 0);
}

Test(ring_create, a_ring_without_a_name_is_opened_by_its_descriptor)
{
    const struct seglog_ring_options options = {.size = 4096};
    struct seglog_ring *a, *b;
    struct seglog_producer *p;
    struct seglog_consumer *c;
    const int fd = seglog_ring_create_memfd(&options);

    cr_assert_ok(fd);
    cr_assert_eq(ftruncate(fd, 0), -1, "nobody changes its size");
    cr_assert_ok(seglog_ring_open_fd(fd, 0, &a));
    cr_assert_ok(seglog_ring_open_fd(fd, 0, &b));
    cr_assert_eq(close(fd), 0);
    cr_assert_status(seglog_ring_open_fd(-1, 0, &a), -EBADF);
    cr_assert_ok(seglog_producer_open(a, NULL, &p));
    cr_assert_ok(seglog_consumer_open(b, NULL, &c));
    cr_assert_ok(put_text(p, "through"));
    expect_text(c, "through");
    cr_assert_ok(seglog_producer_close(p));
    cr_assert_ok(seglog_consumer_close(c));
    cr_assert_ok(seglog_ring_close(a));
    cr_assert_ok(seglog_ring_close(b));
}

Test(ring_open, says_what_is_no_ring)
{
    struct seglog_ring *ring = NULL;
    struct ring_at r;
    char *other;
    int fd;

    ring_at_make(&r, (struct ring_make){.size = 0});
    other = tmpdir_path(r.dir, "other");
    cr_assert_status(seglog_ring_open(other, 0, &ring), -ENOENT);
    cr_assert_status(seglog_ring_open(r.dir, 0, &ring), SEGLOG_ENOTLOG);
    fd = open(other, O_RDWR | O_CREAT, 0600);
    cr_assert_status(seglog_ring_open(other, 0, &ring), SEGLOG_ENOTLOG);
    cr_assert_eq(ftruncate(fd, 100000), 0);
    cr_assert_status(seglog_ring_open(other, 0, &ring), SEGLOG_ENOTLOG);
    cr_assert_status(seglog_ring_remove(other, 1), SEGLOG_ENOTLOG);
    cr_assert_eq(access(other, F_OK), 0);
    cr_assert_status(seglog_ring_open(r.path, 4, &ring), -EINVAL);
    cr_assert_null(ring);
    (void)close(fd);
    free(other);
    ring_at_remove(&r);
}

/* Every byte of the header that is turned is noticed; sizes that do not fit the file too. */
Test(ring_open, a_damaged_header_is_refused)
{
    struct ring_header *page;
    struct ring_facts facts;
    struct seglog_ring *ring = NULL;
    struct ring_at r;
    int fd;

    ring_at_make(&r, (struct ring_make){.size = 0});
    fd = open(r.path, O_RDWR);
    page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    cr_assert_neq((void *)page, MAP_FAILED);
    for (size_t i = 0; i < 4096; i += i < 104 ? 1 : 61) {
        ((uint8_t *)page)[i] ^= 0x10;
        cr_assert_status(seglog_ring_open(r.path, 0, &ring),
                         i < 8 ? SEGLOG_ENOTLOG : SEGLOG_ECORRUPT);
        ((uint8_t *)page)[i] ^= 0x10;
    }
    cr_assert_ok(ring_header_decode(page, &facts, NULL));
    facts.size *= 2;
    ring_header_encode(page, &facts);
    cr_assert_status(seglog_ring_open(r.path, 0, &ring), SEGLOG_ECORRUPT);
    facts.size /= 2;
    for (int i = 0; i < 5; i++) {
        struct ring_facts f = facts;

        f.size = i == 0 ? 12345 : i == 1 ? 1 : facts.size;
        f.data_off = i == 2 ? 4096 : facts.data_off;
        f.start = i == 3 ? 4 : 0;
        f.kind = i == 4 ? 9 : 0;
        ring_header_encode(page, &f);
        cr_assert_status(seglog_ring_open(r.path, 0, &ring), SEGLOG_ECORRUPT);
    }
    ring_header_encode(page, &facts);
    cr_assert_ok(ftruncate(fd, (off_t)(facts.data_off + facts.size - 1)));
    cr_assert_status(seglog_ring_open(r.path, 0, &ring), SEGLOG_ECORRUPT);
    cr_assert_ok(ftruncate(fd, (off_t)(facts.data_off + facts.size)));
    cr_assert_ok(seglog_ring_open(r.path, 0, &r.ring));
    (void)munmap(page, 4096);
    (void)close(fd);
    ring_at_remove(&r);
}

static void header_crc_again(struct ring_header *page)
{
    le32_put(&page->crc, ~crc32c(~0u, page, offsetof(struct ring_header, crc)));
}

Test(ring_open, newer_and_foreign_formats_are_named)
{
    const struct ring_facts facts = {.size = 4096, .data_off = 65536};
    struct ring_header page;
    struct ring_facts out;
    const char *why = NULL;

    ring_header_encode(&page, &facts);
    le16_put(&page.head.major, FORMAT_MAJOR + 1);
    header_crc_again(&page);
    cr_assert_status(ring_header_decode(&page, &out, &why), SEGLOG_EVERSION);
    cr_assert_not_null(why);
    ring_header_encode(&page, &facts);
    le64_put(&page.head.incompat, 1);
    header_crc_again(&page);
    cr_assert_status(ring_header_decode(&page, &out, NULL), SEGLOG_EVERSION);
    ring_header_encode(&page, &facts);
    le32_put(&page.head.endian, __builtin_bswap32(le32_get(&page.head.endian)));
    header_crc_again(&page);
    cr_assert_status(ring_header_decode(&page, &out, NULL), SEGLOG_EENDIAN);
}

Test(ring_open, a_ring_of_another_boot_is_shown_read_only_and_emptied_by_who_attaches)
{
    const struct seglog_consumer_options all = {.flags = SEGLOG_CONSUMER_OBSERVE};
    struct seglog_ring_info info;
    struct seglog_ring *looking;
    struct seglog_consumer *c;
    struct ring_ctrl *ctrl;
    struct ring_at r;
    int fd;

    ring_at_open(&r, .size = 4096);
    cr_assert_ok(put_text(r.producer, "kept"));
    cr_assert_ok(seglog_producer_close(r.producer));
    cr_assert_ok(seglog_consumer_close(r.consumer));
    cr_assert_ok(seglog_ring_close(r.ring));
    fd = open(r.path, O_RDWR);
    ctrl = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    cr_assert_neq((void *)ctrl, MAP_FAILED);
    ctrl->shared.boot.boot_id[3] ^= 1;
    le32_put(&ctrl->shared.boot.crc,
             ~crc32c(~0u, &ctrl->shared.boot, offsetof(struct boot_mark, crc)));

    cr_assert_ok(seglog_ring_open(r.path, SEGLOG_RING_READ_ONLY, &looking));
    cr_assert_ok(seglog_ring_inspect(looking, &info));
    cr_assert(info.stale == 1 && info.records == 1 && info.producers == 0);
    cr_assert_ok(seglog_consumer_open(looking, &all, &c));
    expect_text(c, "kept");
    expect_nothing(c);
    cr_assert_ok(seglog_consumer_close(c));
    cr_assert_ok(seglog_ring_close(looking));

    cr_assert_ok(seglog_ring_open(r.path, 0, &r.ring));
    cr_assert_ok(seglog_producer_open(r.ring, NULL, &r.producer));
    cr_assert_ok(seglog_consumer_open(r.ring, NULL, &r.consumer));
    expect_nothing(r.consumer);
    cr_assert_ok(put_text(r.producer, "new"));
    expect_text(r.consumer, "new");
    (void)munmap(ctrl, 65536);
    (void)close(fd);
    ring_at_remove(&r);
}

Test(ring_open, in_a_forked_child_handles_fail_and_closing_them_harms_nobody)
{
    struct ring_at r;
    int status;
    pid_t pid;

    ring_at_open(&r, .size = 4096);
    cr_assert_ok(put_text(r.producer, "parent's"));
    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        struct seglog_ring_info info;
        struct seglog_claim claim;
        struct seglog_view view;

        child_must_be(put_text(r.producer, "x"), SEGLOG_EFORKED);
        child_must_be(seglog_producer_claim(r.producer, 1, &claim, 0), SEGLOG_EFORKED);
        child_must_be(seglog_producer_commit(r.producer, &claim, 1), SEGLOG_EFORKED);
        child_must_be(seglog_producer_abort(r.producer), SEGLOG_EFORKED);
        child_must_be(seglog_producer_wait(r.producer, 1, 0), SEGLOG_EFORKED);
        child_must_be(seglog_consumer_next(r.consumer, &view), SEGLOG_EFORKED);
        child_must_be(seglog_consumer_wait(r.consumer, 0), SEGLOG_EFORKED);
        child_must_be(seglog_consumer_fd(r.consumer), SEGLOG_EFORKED);
        child_must_be(seglog_ring_inspect(r.ring, &info), SEGLOG_EFORKED);
        seglog_consumer_release(r.consumer);
        child_must(seglog_producer_close(r.producer));
        child_must(seglog_consumer_close(r.consumer));
        child_must(seglog_ring_close(r.ring));
        _exit(0);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert_eq(status, 0);
    expect_text(r.consumer, "parent's");
    cr_assert_status(seglog_ring_remove(r.path, 0), -EBUSY);
    cr_assert_ok(seglog_ring_remove(r.path, 1));
    cr_assert_ok(put_text(r.producer, "on"));
    expect_text(r.consumer, "on");
    ring_at_remove(&r);
}

/* ---- waiting -------------------------------------------------------------------------------- */

static void *put_later(void *producer)
{
    clock_sleep_ns(30000000);
    cr_assert_ok(put_text(producer, "late"));
    return NULL;
}

static void *release_later(void *consumer)
{
    clock_sleep_ns(30000000);
    seglog_consumer_release(consumer);
    return NULL;
}

Test(ring_wait, a_sleeper_is_woken_by_a_message_and_by_room)
{
    for (uint32_t policy = SEGLOG_WAIT_AUTO; policy <= SEGLOG_WAIT_SLEEP; policy++) {
        for (size_t i = 0; i < RING_PAIRS; i++) {
            const struct seglog_producer_options po = {.wait = policy};
            const struct seglog_consumer_options co = {.wait = policy};
            struct seglog_view v;
            struct ring_at r;
            pthread_t thread;

            ring_at_make(&r, ring_pairs[i]);
            cr_assert_ok(seglog_ring_open(r.path, 0, &r.ring));
            cr_assert_ok(seglog_producer_open(r.ring, &po, &r.producer));
            cr_assert_ok(seglog_consumer_open(r.ring, &co, &r.consumer));
            cr_assert_status(seglog_consumer_wait(r.consumer, 0), -ETIMEDOUT);
            cr_assert_status(seglog_consumer_wait(r.consumer, 100000), -ETIMEDOUT);
            cr_assert_eq(pthread_create(&thread, NULL, put_later, r.producer), 0);
            cr_assert_ok(seglog_consumer_wait(r.consumer, UINT64_MAX));
            expect_text(r.consumer, "late");
            pthread_join(thread, NULL);
            if (ring_pairs[i].overload == SEGLOG_OVERLOAD_WAIT) {
                while (put_text(r.producer, "fill") == 0)
                    continue;
                cr_assert_ok(seglog_consumer_next(r.consumer, &v));
                cr_assert_eq(pthread_create(&thread, NULL, release_later, r.consumer), 0);
                cr_assert_ok(seglog_producer_put(r.producer, "fits", 4, UINT64_MAX));
                pthread_join(thread, NULL);
            }
            ring_at_remove(&r);
        }
    }
}

Test(ring_wait, epoll_waits_for_messages)
{
    for (size_t i = 0; i < RING_PAIRS; i++) {
        struct epoll_event event = {.events = EPOLLIN};
        struct ring_at r;
        pthread_t thread;
        int epoll = epoll_create1(0), fd;

        ring_at_open_(&r, ring_pairs[i]);
        fd = seglog_consumer_fd(r.consumer);
        cr_assert_ok(fd);
        cr_assert_eq(seglog_consumer_fd(r.consumer), fd);
        cr_assert_eq(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), 0);
        for (int round = 0; round < 3; round++) {
            /* What is there already counts. */
            cr_assert_ok(put_text(r.producer, "early"));
            cr_assert_eq(epoll_wait(epoll, &event, 1, 10000), 1);
            expect_text(r.consumer, "early");
            expect_nothing(r.consumer);
            cr_assert_eq(epoll_wait(epoll, &event, 1, 0), 0, "readable with nothing there");
            cr_assert_eq(pthread_create(&thread, NULL, put_later, r.producer), 0);
            cr_assert_eq(epoll_wait(epoll, &event, 1, 10000), 1);
            expect_text(r.consumer, "late");
            expect_nothing(r.consumer);
            pthread_join(thread, NULL);
        }
        (void)close(epoll);
        ring_at_remove(&r);
    }
}
