/*
 * Persistent structs: the file, and the schema that it is opened with.
 *
 * The schema is stored as text, a line a field, and compared as text: equal texts mean the same names,
 * types and places. What differs can be shown to people, and nothing has to be parsed.
 */
#include "state/struct.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "state/place.h"
#include "sys/clock.h"
#include "sys/file.h"
#include "sys/map.h"

#define TEXT_MAX   (UINT64_C(1) << 20)
#define STRUCT_MAX (UINT64_C(1) << 40)
#define DEPTH_MAX  16

/* ---- the schema as text ------------------------------------------------------------------------ */

/* "OFFSET SIZE TYPE NAME" for each field, those of inner structs by their full name. false: structs lie
 * too deep in one another, or a name gets too long. */
static bool write_fields(FILE *out, const struct seglog_schema *schema, const char *prefix,
                         uint64_t base, int depth)
{
    for (uint64_t i = 0; i < schema->count; i++) {
        const struct seglog_field *f = &schema->fields[i];
        char name[512];
        int n;

        (void)fprintf(out, "%llu %llu %s %s%s\n", (unsigned long long)(base + f->offset),
                      (unsigned long long)f->size, f->type, prefix, f->name);
        if (!f->inner)
            continue;
        n = snprintf(name, sizeof(name), "%s%s.", prefix, f->name);
        if (depth == DEPTH_MAX || n < 0 || (size_t)n >= sizeof(name) ||
            !write_fields(out, f->inner(), name, base + f->offset, depth + 1))
            return false;
    }
    return true;
}

/* *text is the caller's. */
static int schema_text(const struct seglog_schema *schema, char **text, size_t *len)
{
    FILE *out = open_memstream(text, len);
    bool fits;
    int failed;

    if (!out)
        return -ENOMEM;
    (void)fprintf(out, "struct %s %llu\n", schema->name, (unsigned long long)schema->size);
    fits = write_fields(out, schema, "", 0, 0);
    failed = ferror(out);
    if (fclose(out) != 0 || failed) {
        free(*text);
        return -ENOMEM;
    }
    if (fits && *len <= TEXT_MAX)
        return 0;
    free(*text);
    return -EINVAL;
}

static void copy_line(char *out, size_t cap, const char *text, size_t len)
{
    size_t n = 0;

    while (n < len && n < cap - 1 && text[n] != '\n') {
        out[n] = text[n];
        n++;
    }
    out[n] = 0;
}

/* The first lines that differ. */
static void explain(struct seglog_struct_mismatch *out, const char *stored, size_t stored_len,
                    const char *asked, size_t asked_len)
{
    size_t line = 0, i = 0;

    if (!out)
        return;
    for (; i < stored_len && i < asked_len && stored[i] == asked[i]; i++) {
        if (stored[i] == '\n')
            line = i + 1;
    }
    copy_line(out->stored, sizeof(out->stored), stored + line, stored_len - line);
    copy_line(out->asked, sizeof(out->asked), asked + line, asked_len - line);
}

/* ---- the file -------------------------------------------------------------------------------- */

static uint64_t body_offset(uint64_t text_len)
{
    return align_up(STATE_OFF_DATA + text_len, PAGE_BYTES);
}

struct making {
    struct state_facts facts;
    const char *text;
};

static int fill(void *context, int fd)
{
    const struct making *making = context;
    struct state_header page;
    int rc;

    state_header_encode(&page, MAGIC_STRUCT, &making->facts);
    rc = file_pwrite(fd, &page, sizeof(page), 0);
    return rc < 0 ? rc : file_pwrite(fd, making->text, making->facts.extent, STATE_OFF_DATA);
}

static int make(const struct place *place, const struct seglog_struct_options *o, uint64_t size,
                const char *text, size_t text_len)
{
    struct making making = {
        .facts =
            {
                .schema = ~crc32c(~0u, text, text_len),
                .size = size,
                .created_ns = clock_wall_ns(),
                .extent = (uint32_t)text_len,
            },
        .text = text,
    };
    int rc = random_bytes(making.facts.uuid, sizeof(making.facts.uuid));

    if (rc == 0)
        rc = random_bytes(&making.facts.generation, sizeof(making.facts.generation));
    if (rc < 0)
        return rc;
    making.facts.generation |= 1;
    return place_create(place, o->file_mode ? o->file_mode : 0640,
                        align_up(body_offset(text_len) + size, PAGE_BYTES), fill, &making);
}

/* Is it ours, and of this schema? */
static int check_file(int fd, const struct seglog_struct_options *o, uint64_t size,
                      const char *text, size_t text_len, uint64_t *file_size)
{
    struct state_header page;
    struct state_facts facts;
    struct file_facts file;
    char *stored;
    int rc = file_facts(fd, &file);

    if (rc == 0)
        rc = file_pread(fd, &page, sizeof(page), 0);
    if (rc == 0)
        rc = state_header_decode(&page, MAGIC_STRUCT, &facts);
    if (rc < 0)
        return rc == -ENODATA ? SEGLOG_ENOTLOG : rc;
    if (facts.extent == 0 || facts.extent > TEXT_MAX || facts.size > STRUCT_MAX)
        return SEGLOG_ECORRUPT;
    if (file.size < body_offset(facts.extent) + facts.size)
        return SEGLOG_ETRUNCATED;
    stored = malloc(facts.extent);
    if (!stored)
        return -ENOMEM;
    rc = file_pread(fd, stored, facts.extent, STATE_OFF_DATA);
    if (rc == 0 && ~crc32c(~0u, stored, facts.extent) != facts.schema)
        rc = SEGLOG_ECORRUPT;
    if (rc == 0 && (facts.extent != text_len || memcmp(stored, text, text_len) != 0)) {
        explain(o->mismatch, stored, facts.extent, text, text_len);
        rc = SEGLOG_EMISMATCH;
    }
    if (rc == 0 && facts.size != size)
        rc = SEGLOG_ECORRUPT;
    free(stored);
    *file_size = file.size;
    return rc;
}

static void struct_free(struct seglog_struct *s)
{
    file_close(s->fd);
    fork_guard_free(s->guard);
    free(s);
}

/* Take fd over; it is closed on failure. */
static int struct_make(int fd, const struct seglog_struct_options *o, uint64_t file_size,
                       uint64_t body, uint64_t size, bool is_volatile, struct seglog_struct **out)
{
    const struct region_options region = {
        .size = file_size,
        .writable = (o->flags & SEGLOG_STRUCT_WRITE) != 0,
        .guarded = !(o->flags & SEGLOG_STRUCT_NO_GUARD),
    };
    struct seglog_struct *s = calloc(1, sizeof(*s));
    int rc;

    if (!s) {
        file_close(fd);
        return -ENOMEM;
    }
    s->fd = fd;
    s->is_writable = region.writable;
    s->is_volatile = is_volatile;
    s->guard = fork_guard_new();
    rc = s->guard ? region_open(&s->region, fd, &region) : -ENOMEM;
    if (rc < 0) {
        struct_free(s);
        return rc;
    }
    /* The first mapping stays, whatever the file grows to. */
    s->body = region_at(&s->region, body, 0);
    s->body_end = align_up(body + size, PAGE_BYTES);
    state_lock_init(&s->lock, fd, region.writable);
    *out = s;
    return 0;
}

static int open_file(const struct place *place, const struct seglog_struct_options *o,
                     uint64_t size, const char *text, size_t text_len, struct seglog_struct **out)
{
    const bool writable = (o->flags & SEGLOG_STRUCT_WRITE) != 0;
    int fd = place_find(place, writable);
    uint64_t file_size;
    int rc;

    if (fd == -ENOENT && (o->flags & SEGLOG_STRUCT_CREATE)) {
        fd = make(place, o, size, text, text_len);
        if (fd == -EEXIST)
            fd = place_find(place, true); /* others were faster */
    }
    if (fd < 0)
        return fd;
    rc = check_file(fd, o, size, text, text_len, &file_size);
    if (rc < 0) {
        file_close(fd);
        return rc;
    }
    return struct_make(fd, o, file_size, body_offset(text_len), size, place->is_volatile, out);
}

int seglog_struct_open(const char *path, const struct seglog_schema *schema,
                       const struct seglog_struct_options *options, struct seglog_struct **out)
{
    static const struct seglog_struct_options plain;
    const struct seglog_struct_options *o = options ? options : &plain;
    const uint32_t all = SEGLOG_STRUCT_WRITE | SEGLOG_STRUCT_CREATE | SEGLOG_STRUCT_NO_GUARD |
                         SEGLOG_STRUCT_FORCE_FS;
    struct place place;
    size_t text_len;
    char *text;
    int rc;

    if ((o->flags & ~all) || o->file_mode > 0777 || schema->size == 0 ||
        schema->size > STRUCT_MAX ||
        ((o->flags & SEGLOG_STRUCT_CREATE) && !(o->flags & SEGLOG_STRUCT_WRITE)))
        return -EINVAL;
    rc = schema_text(schema, &text, &text_len);
    if (rc < 0)
        return rc;
    rc = place_open(path, o->flags & SEGLOG_STRUCT_FORCE_FS, &place);
    if (rc == 0) {
        rc = open_file(&place, o, schema->size, text, text_len, out);
        place_close(&place);
    }
    free(text);
    return rc;
}

void seglog_struct_close(struct seglog_struct *s)
{
    if (!s)
        return;
    if (!struct_is_forked(s))
        state_lock_end(&s->lock);
    region_close(&s->region);
    struct_free(s);
}

/* ---- the whole ------------------------------------------------------------------------------- */

void *seglog_struct_data(struct seglog_struct *s)
{
    return struct_is_forked(s) ? NULL : s->body;
}

int seglog_struct_check(struct seglog_struct *s)
{
    struct file_facts facts;
    int rc;

    if (struct_is_forked(s))
        return SEGLOG_EFORKED;
    rc = file_facts(s->fd, &facts);
    if (rc < 0)
        return rc;
    if (facts.size < atomic_load(&s->region.size))
        return SEGLOG_ETRUNCATED;
    return region_is_hit(&s->region) ? -EIO : 0;
}

int struct_sync(struct seglog_struct *s)
{
    const int rc = file_datasync(s->fd);

    if (rc < 0)
        atomic_store(&s->failed, rc);
    return rc;
}

int seglog_struct_flush(struct seglog_struct *s)
{
    int rc = seglog_struct_check(s);

    if (rc < 0)
        return rc;
    if (!s->is_writable)
        return -EPERM;
    if (atomic_load(&s->failed) != 0)
        return SEGLOG_EPOISONED;
    rc = struct_sync(s);
    return rc == 0 && s->is_volatile ? SEGLOG_EVOLATILE : rc;
}

int seglog_struct_lock(struct seglog_struct *s, uint64_t timeout_ns)
{
    return struct_is_forked(s) ? SEGLOG_EFORKED : state_lock_take(&s->lock, true, timeout_ns);
}

int seglog_struct_unlock(struct seglog_struct *s)
{
    return struct_is_forked(s) ? SEGLOG_EFORKED : state_lock_drop(&s->lock);
}
