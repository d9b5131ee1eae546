/*
 * A whole log directory: the golden logs, changed as the input says, laid out in a directory and
 * looked at by readers, info and verify, and opened for appending. Nothing may crash, hang, or give
 * an undefined status. (That no wrong record comes out is tests/hostile's to say: here checksums may
 * be made right.)
 *
 * Input: mode (bit 0 which log, bit 1 readers by read(2), bit 2 this boot, bit 3 open for appending),
 * then edits: what to do, to which file, where (in units of 16 bytes), how much, and the bytes.
 */
#include <errno.h>
#include <seglog/inspect.h>
#include <seglog/log.h>
#include <seglog/reader.h>
#include <sys/stat.h>

#include "fuzz/fuzz.h"
#include "fuzz/scratch.h"
#include "golden/make_golden.h"
#include "log/view.h"
#include "sys/clock.h"

#define FILES (GOLDEN_FILES + 2u)

struct file {
    char name[40];
    uint8_t *bytes;
    size_t size;
    size_t room;
};

static const char *dir;

/* ---- the files ------------------------------------------------------------------------------ */

static void file_make(struct file *file, const char *name, const uint8_t *bytes, size_t size)
{
    snprintf(file->name, sizeof(file->name), "%s", name);
    file->size = size;
    file->room = 2 * size;
    file->bytes = calloc(1, file->room);
    must(file->bytes != NULL);
    if (bytes)
        memcpy(file->bytes, bytes, size);
}

static size_t files_make(struct file *files, unsigned which)
{
    struct golden_log *log = golden_make(which);
    const size_t n = log->file_count;

    for (size_t i = 0; i < n; i++)
        file_make(&files[i], log->files[i].name, log->files[i].bytes, log->files[i].size);
    golden_free(log);
    file_make(&files[n], NAME_LIVE, NULL, sizeof(struct live_file));
    memcpy(files[n].bytes, MAGIC_LIVE, 8);
    memcpy(files[n].bytes + 8, files[0].bytes + offsetof(struct file_head, uuid), 16);
    files[n].bytes[offsetof(struct live_file, ready)] = 1;
    file_make(&files[n + 1], NAME_OWNERS, NULL, PAGE_BYTES);
    return n + 2;
}

static void file_write(const struct file *file)
{
    if (file->name[0])
        scratch_write(file->name, file->bytes, file->size);
}

/* Let it say that it was written here and now. */
static void file_settle(struct file *file)
{
    struct boot_facts now = {.known = true};
    uint64_t number;
    struct stat st;
    size_t at;

    if (strcmp(file->name, NAME_LIVE) == 0)
        at = offsetof(struct live_file, boot);
    else if (segment_name_parse(file->name, &number))
        at = OFF_TAIL + offsetof(struct tail_page, boot);
    else
        return;
    must(stat(scratch_path(file->name), &st) == 0 && boot_id_read(now.boot_id) == 0);
    now.dev = st.st_dev;
    now.ino = st.st_ino;
    boot_mark_encode((struct boot_mark *)(void *)(file->bytes + at), &now);
}

/* ---- edits ---------------------------------------------------------------------------------- */

/* Make the checksums right of whatever block or frame lies here. */
static void repair(struct file *file, size_t at)
{
    struct segment_facts seg;
    const size_t page = at & ~(size_t)(PAGE_BYTES - 1);
    uint8_t *p = file->bytes + page;

    if (page + PAGE_BYTES > file->size)
        return;
    if (file->size < SEGMENT_SIZE_MIN || page == OFF_HEADER ||
        page == file->size - PAGE_BYTES) { /* pages that end in their checksum */
        le32_put((le32 *)(void *)(p + PAGE_BYTES - 4), crc_of(p, PAGE_BYTES - 4));
        return;
    }
    if (segment_header_decode((struct segment_header *)(void *)file->bytes, &seg, NULL) < 0)
        return;
    if (page == OFF_ACTIVATION) {
        le32_put((le32 *)(void *)(p + 36), crc_of(p, 36));
    } else if (page == OFF_MARK0 || page == OFF_MARK1) {
        le32_put((le32 *)(void *)(p + 60), crc_of(p, 60));
    } else if (page == OFF_TAIL) {
        struct tail_page *tail = (struct tail_page *)(void *)p;

        le32_put(&tail->boot.crc, crc_of(&tail->boot, 36));
        checkpoint_store(tail, &seg.space, word_load(&tail->checkpoint, memory_order_relaxed));
    } else {
        struct frame_header *header;
        uint64_t word;

        at &= ~(size_t)(FRAME_ALIGN - 1);
        header = (struct frame_header *)(void *)(file->bytes + at);
        word = word_load(&header->word, memory_order_relaxed);
        if ((word & 7) > WORD_DATA && (word & 7) <= WORD_ROLL)
            word = word_checked(&seg.space, at, (enum word_state)(word & 7), word >> 28 & COUNT_MAX,
                                (word >> 40) * FRAME_ALIGN);
        word_store(&header->word, word, memory_order_relaxed);
        if ((word & 7) == WORD_DATA) { /* seeds and order as in FORMAT */
            uint32_t crc = frame_seed(&seg.space, at);
            const uint8_t *bytes = (const uint8_t *)header;

            crc = crc32c(crc, bytes, 8);
            crc = crc32c(crc, bytes + 16, 16);
            crc = crc32c(crc, bytes + 8, 4);
            le32_put(&header->hcrc, ~crc);
        }
    }
}

static void edit(struct file *files, size_t count, struct input *in)
{
    const uint64_t what = take_int(in, 1);
    struct file *file = &files[take_int(in, 1) % count];
    struct file *other;
    size_t at = take_int(in, 2) * 16;
    uint8_t n = (uint8_t)take_int(in, 1);

    at = file->size > 0 ? at % file->size : 0;
    switch (what % 10) {
    case 0:
    case 1:
    case 2:           /* write, and perhaps repair */
        at += n >> 4; /* anywhere in the 16 bytes */
        n = n % 16 + 1;
        if (at + n > file->room)
            n = 0;
        take(in, file->bytes + at, n);
        if (what % 10 > 0)
            repair(file, at);
        break;
    case 3:
        if (at < file->size)
            file->bytes[at + n % 16] ^= (uint8_t)(1u << n / 16 % 8);
        break;
    case 4: /* zeros: n units of 256 bytes */
        memset(file->bytes + at, 0, at + n * 256u < file->size ? n * 256u : file->size - at);
        break;
    case 5:
        file->size = at + n % 2;
        break;
    case 6:
        file->name[0] = 0;
        break;
    case 7:
        other = &files[n % count];
        if (other != file) {
            char name[sizeof(file->name)];

            memcpy(name, file->name, sizeof(name));
            memcpy(file->name, other->name, sizeof(name));
            memcpy(other->name, name, sizeof(name));
        }
        break;
    case 8: /* a copy under another number */
        snprintf(file->name, sizeof(file->name), "%016llx.seg",
                 n < 128 ? (unsigned long long)n : (unsigned long long)UINT64_MAX - (n - 128));
        break;
    default:
        other = &files[n % count];
        if (other->size - (other->size ? 1 : 0) >= at && other->size >= at + PAGE_BYTES &&
            file->size >= at + PAGE_BYTES)
            memmove(file->bytes + at, other->bytes + at, PAGE_BYTES);
    }
}

/* ---- looking at it -------------------------------------------------------------------------- */

static void defined(int rc)
{
    must(rc >= 0 || strcmp(seglog_status_name(rc), "?") != 0);
}

static void read_all(uint32_t flags)
{
    const struct seglog_reader_options options = {.flags = flags};
    struct seglog_reader *reader;
    uint64_t sum = 0;
    int rc = seglog_reader_open(dir, &options, &reader);

    defined(rc);
    if (rc < 0)
        return;
    for (int back = 0; back < 2; back++) {
        for (unsigned calls = 0;; calls++) {
            struct seglog_view view;

            rc = back ? seglog_reader_prev(reader, &view) : seglog_reader_next(reader, &view);
            must(calls < 100000);
            defined(rc);
            if (rc == 0) /* every byte of it must be there */
                for (uint64_t i = 0; i < view.len; i++)
                    sum += ((const uint8_t *)view.data)[i];
            else if (rc != SEGLOG_ECORRUPT && rc != SEGLOG_EMISSING)
                break;
        }
    }
    for (uint32_t kind = SEGLOG_PLACE_FIRST; kind <= SEGLOG_PLACE_TIME; kind++) {
        const struct seglog_place place = {.kind = kind, .value = 105 + sum % 2};

        defined(seglog_reader_seek(reader, &place));
    }
    seglog_reader_close(reader);
}

static void append_some(void)
{
    const struct seglog_log_options options = {.flags = SEGLOG_LOG_NO_HELPER,
                                               .open_timeout_ns = 1000000};
    struct seglog_appender *appender;
    struct seglog_log *log;
    int rc = seglog_log_open(dir, &options, &log);

    defined(rc);
    if (rc < 0)
        return;
    rc = seglog_appender_open(log, NULL, &appender);
    defined(rc);
    if (rc == 0) {
        defined(seglog_appender_append(appender, "new", 3, NULL));
        must(seglog_appender_close(appender) == 0);
    }
    defined(seglog_log_seal(log, 0));
    must(seglog_log_close(log) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct input in = input_of(data, len);
    const uint64_t mode = take_int(&in, 1);
    struct file files[FILES];
    const size_t count = files_make(files, mode & 1);
    struct seglog_verify_report report;
    struct seglog_info info;
    int rc;

    dir = scratch_empty();
    for (int i = 0; i < 16 && in.left > 0; i++)
        edit(files, count, &in);
    for (size_t i = 0; i < count; i++) {
        file_write(&files[i]);
        if ((mode & 4) && files[i].size >= SEGMENT_SIZE_MIN) {
            file_settle(&files[i]);
            file_write(&files[i]);
        }
    }
    read_all(mode & 2 ? SEGLOG_READER_COPY : 0);
    rc = seglog_info_read(dir, &info);
    defined(rc);
    if (rc == 0)
        seglog_info_free(&info);
    defined(seglog_verify(dir, NULL, &report));
    if (mode & 8) {
        append_some();
        read_all(0);
    }
    for (size_t i = 0; i < count; i++)
        free(files[i].bytes);
    return 0;
}
