/*
 * A persistent struct: fields in a file, declared once, used in place by any number of processes.
 *
 *     #define GAME_FIELDS(F, S)                        \
 *         F(uint32_t, level)                           \
 *         F(SEGLOG_ATOMIC(uint64_t), score)            \
 *         F(SEGLOG_STRING(32), player)                 \
 *         F(SEGLOG_VEC(uint32_t, 10), best)            \
 *         F(SEGLOG_ARRAY2(uint8_t, 50, 100), board)    \
 *         F(SEGLOG_SEGMENTED(uint64_t), events)        \
 *         S(point, position)
 *     SEGLOG_STRUCT(game, GAME_FIELDS)
 *
 * makes `struct game`, and SEGLOG_SCHEMA(game) to open files with. F is a field of a type, S one that is another struct declared
 * so. The file stores the schema: opening it with another one is refused, and the first field that
 * differs is named.
 *
 * Who may do what: fields of SEGLOG_ATOMIC types may be used by everybody at once (they are C11 atomics,
 * free of locks, across processes). Everything else has one writer at a time, who holds
 * seglog_struct_lock(); who reads beside him may see a field half changed, but for the count of a
 * segmented vector: elements below it are whole.
 *
 * Stores are visible at once and survive the death of every process. They survive a power cut once
 * seglog_struct_flush() has returned 0 after them; until then any part of them may. The count of a
 * segmented vector may then be any that it has had since, and of elements that were not flushed words
 * may be zero, or all of the last ones missing: SEGLOG_SEGMENTED_AT gives NULL. Pushing goes on behind.
 *
 * Whatever is in the file was perhaps written by a stranger: lengths and counts are checked against
 * their bounds each time they are used, and answered with SEGLOG_ECORRUPT.
 *
 * fork(), and a file that others cut: as for seglog/map.h. Not for C++.
 */
#ifndef SEGLOG_STRUCT_H
#define SEGLOG_STRUCT_H

#include <seglog/status.h>

#ifndef __cplusplus /* which has no _Atomic, and lays structs out by rules of its own */

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/* ---- declaring ------------------------------------------------------------------------------- */

struct seglog_schema;

struct seglog_field {
    const char *type; /* as it was written */
    const char *name;
    uint64_t offset;
    uint64_t size;
    const struct seglog_schema *(*inner)(void); /* of an S field */
};

struct seglog_schema {
    const char *name;
    uint64_t size;
    uint64_t count;
    const struct seglog_field *fields;
};

#define SEGLOG_STRUCT(name_, FIELDS)                                                             \
    struct name_ {                                                                               \
        FIELDS(SEGLOG_DECLARE_F_, SEGLOG_DECLARE_S_)                                             \
    };                                                                                           \
    static inline const struct seglog_schema *seglog_schema_##name_(void)                        \
    {                                                                                            \
        typedef struct name_ seglog_this_;                                                       \
        static const struct seglog_field fields_[] = {FIELDS(SEGLOG_TABLE_F_, SEGLOG_TABLE_S_)}; \
        static const struct seglog_schema schema_ = {                                            \
            #name_, sizeof(struct name_), sizeof(fields_) / sizeof(fields_[0]), fields_};        \
        return &schema_;                                                                         \
    }                                                                                            \
    struct name_ /* the semicolon is the user's */

#define SEGLOG_SCHEMA(name_) seglog_schema_##name_()

#define SEGLOG_DECLARE_F_(type_, name_)  type_ name_;
#define SEGLOG_DECLARE_S_(inner_, name_) struct inner_ name_;
#define SEGLOG_TABLE_F_(type_, name_) \
    {#type_, #name_, offsetof(seglog_this_, name_), sizeof(((seglog_this_ *)0)->name_), NULL},
#define SEGLOG_TABLE_S_(inner_, name_)                                                   \
    {#inner_, #name_, offsetof(seglog_this_, name_), sizeof(((seglog_this_ *)0)->name_), \
     seglog_schema_##inner_},

/* A number that everybody may change at once: atomic_fetch_add(), atomic_compare_exchange_strong() ... */
#define SEGLOG_ATOMIC(type_) _Atomic(type_)
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2 && ATOMIC_INT_LOCK_FREE == 2 &&
                   ATOMIC_SHORT_LOCK_FREE == 2 && ATOMIC_CHAR_LOCK_FREE == 2 &&
                   ATOMIC_BOOL_LOCK_FREE == 2,
               "atomics that take a lock do not work between processes");

/* Bytes, as they are. */
#define SEGLOG_BYTES(n_) \
    struct {             \
        uint8_t at[n_];  \
    }

/* UTF-8 of at most n_ bytes, not ended by a zero. */
#define SEGLOG_STRING(n_) \
    struct {              \
        uint32_t len;     \
        char text[n_];    \
    }

/* count_ such strings. */
#define SEGLOG_STRINGS(count_, n_)    \
    struct {                          \
        SEGLOG_STRING(n_) at[count_]; \
    }

/* At most n_ elements. */
#define SEGLOG_VEC(type_, n_) \
    struct {                  \
        uint32_t len;         \
        type_ at[n_];         \
    }

/* As many elements as the disk holds. Each keeps its address, and is found in constant time. */
#define SEGLOG_SEGMENTED(type_)                        \
    struct {                                           \
        struct seglog_segmented head;                  \
        type_ *type; /* of use to the compiler only */ \
    }

#define SEGLOG_ARRAY1(type_, a_) \
    struct {                     \
        type_ at[a_];            \
    }
#define SEGLOG_ARRAY2(type_, a_, b_) \
    struct {                         \
        type_ at[a_][b_];            \
    }
#define SEGLOG_ARRAY3(type_, a_, b_, c_) \
    struct {                             \
        type_ at[a_][b_][c_];            \
    }

/* Part k holds 64 << k elements; its offset in the file, 0: not there yet. */
#define SEGLOG_PARTS 40
struct seglog_segmented {
    _Atomic uint64_t count;
    _Atomic uint64_t parts[SEGLOG_PARTS];
};

/* ---- files ----------------------------------------------------------------------------------- */

struct seglog_struct;

/* Bits of seglog_struct_options.flags. */
#define SEGLOG_STRUCT_WRITE    (1u << 0)
#define SEGLOG_STRUCT_CREATE   (1u << 1) /* make it, all zeros, if it is not there; needs WRITE */
#define SEGLOG_STRUCT_NO_GUARD (1u << 2) /* no handler of SIGBUS */
#define SEGLOG_STRUCT_FORCE_FS (1u << 3) /* accept a network or FUSE file system */

/* Where two schemas part: "OFFSET SIZE TYPE NAME" of the first field that differs; "" for none. */
struct seglog_struct_mismatch {
    char stored[120];
    char asked[120];
};

struct seglog_struct_options {
    uint32_t flags;                          /* SEGLOG_STRUCT_* */
    uint32_t file_mode;                      /* CREATE: permission bits; 0: 0640 */
    struct seglog_struct_mismatch *mismatch; /* may be NULL; filled with SEGLOG_EMISMATCH */
};

/*
 * Open the file of a struct.
 *
 * options  may be NULL: for reading
 * returns  0; *out belongs to the caller: seglog_struct_close()
 *          SEGLOG_EMISMATCH  it was made with another schema; nothing is converted
 *          SEGLOG_ENOTLOG    no file of a struct; SEGLOG_EVERSION, SEGLOG_EENDIAN, SEGLOG_ECORRUPT
 *          SEGLOG_ETRUNCATED it is shorter than the struct
 *          -EINVAL           flags; or structs lie in one another more than 16 deep, or their names,
 *                            put one behind the other, take more than 510 bytes
 *          -ENOENT, -ENOSPC, SEGLOG_EFS, -EACCES, -EMFILE, -ENOMEM ... as the system says
 * blocks   on the disk
 */
SEGLOG_API int seglog_struct_open(const char *path, const struct seglog_schema *schema,
                                  const struct seglog_struct_options *options,
                                  struct seglog_struct **out);

/* Close; addresses become invalid. s may be NULL. Flushes nothing. */
SEGLOG_API void seglog_struct_close(struct seglog_struct *s);

/* The struct in its place, until close; NULL in a forked child. Read-only without WRITE. */
SEGLOG_API void *seglog_struct_data(struct seglog_struct *s);

/* Is the file whole? returns 0, SEGLOG_ETRUNCATED, -EIO, SEGLOG_EFORKED */
SEGLOG_API int seglog_struct_check(struct seglog_struct *s);

/* Make all that was stored before durable. Errors as seglog_map_flush(). */
SEGLOG_API int seglog_struct_flush(struct seglog_struct *s);

/* Be the one writer of what is not atomic, against other handles. As seglog_map_lock(), exclusive. */
SEGLOG_API int seglog_struct_lock(struct seglog_struct *s, uint64_t timeout_ns);
SEGLOG_API int seglog_struct_unlock(struct seglog_struct *s);

/* ---- strings --------------------------------------------------------------------------------- */

/*
 * field: a pointer to a SEGLOG_STRING. A process that is killed meanwhile leaves the old, the new or
 * no text.
 *
 * SEGLOG_STRING_SET  0; -EMSGSIZE: longer than the field; -EILSEQ: not UTF-8. Then it is unchanged
 * SEGLOG_STRING_GET  0, *text and *len; SEGLOG_ECORRUPT: what is there is no such string
 */
#define SEGLOG_STRING_SET(field, from, n) \
    seglog_string_set(&(field)->len, (field)->text, sizeof((field)->text), (from), (n))
#define SEGLOG_STRING_GET(field, text_, len_) \
    seglog_string_get(&(field)->len, (field)->text, sizeof((field)->text), (text_), (len_))
/* For SEGLOG_STRINGS; -ERANGE: there is no string i. */
#define SEGLOG_STRINGS_SET(field, i, from, n)                     \
    ((uint64_t)(i) < sizeof((field)->at) / sizeof((field)->at[0]) \
         ? SEGLOG_STRING_SET(&(field)->at[i], from, n)            \
         : seglog_out_of_range())
#define SEGLOG_STRINGS_GET(field, i, text_, len_)                 \
    ((uint64_t)(i) < sizeof((field)->at) / sizeof((field)->at[0]) \
         ? SEGLOG_STRING_GET(&(field)->at[i], text_, len_)        \
         : seglog_out_of_range())

SEGLOG_API int seglog_string_set(uint32_t *field_len, char *field_text, size_t cap,
                                 const char *text, size_t len);
SEGLOG_API int seglog_string_get(const uint32_t *field_len, const char *field_text, size_t cap,
                                 const char **text, size_t *len);
/* The longest prefix of text, of at most cap bytes, that does not end inside a code point. */
SEGLOG_API size_t seglog_string_cut(const char *text, size_t len, size_t cap);
/* -ERANGE: for the macros. */
SEGLOG_API int seglog_out_of_range(void);

/* ---- vectors --------------------------------------------------------------------------------- */

/*
 * field: a pointer to a SEGLOG_VEC; value: a pointer to an element.
 *
 * SEGLOG_VEC_LEN   elements there; 0 if what is stored cannot be
 * SEGLOG_VEC_PUSH  0; -ENOBUFS: full; SEGLOG_ECORRUPT
 * SEGLOG_VEC_POP   0; -ENODATA: empty; SEGLOG_ECORRUPT
 * SEGLOG_VEC_AT    a pointer to element i, or NULL: -ERANGE in other words
 */
#define SEGLOG_VEC_CAP_(field) (sizeof((field)->at) / sizeof((field)->at[0]))
#define SEGLOG_VEC_LEN(field)  seglog_vec_len(&(field)->len, SEGLOG_VEC_CAP_(field))
#define SEGLOG_VEC_PUSH(field, value)                                   \
    seglog_vec_push(&(field)->len, (field)->at, SEGLOG_VEC_CAP_(field), \
                    1 ? sizeof((field)->at[0]) : sizeof((field)->at[0] = *(value)), (value))
#define SEGLOG_VEC_POP(field, value)                                   \
    seglog_vec_pop(&(field)->len, (field)->at, SEGLOG_VEC_CAP_(field), \
                   1 ? sizeof((field)->at[0]) : sizeof(*(value) = (field)->at[0]), (value))
#define SEGLOG_VEC_AT(field, i) \
    ((uint64_t)(i) < SEGLOG_VEC_LEN(field) ? &(field)->at[(uint64_t)(i)] : NULL)

SEGLOG_API uint32_t seglog_vec_len(const uint32_t *field_len, size_t cap);
SEGLOG_API int seglog_vec_push(uint32_t *field_len, void *at, size_t cap, size_t size,
                               const void *value);
SEGLOG_API int seglog_vec_pop(uint32_t *field_len, const void *at, size_t cap, size_t size,
                              void *value);

/* ---- arrays ---------------------------------------------------------------------------------- */

/* A pointer to the element, or NULL when an index is out of range. */
#define SEGLOG_AT1(field, i) ((uint64_t)(i) < SEGLOG_DIM_((field)->at) ? &(field)->at[i] : NULL)
#define SEGLOG_AT2(field, i, j)                                                              \
    ((uint64_t)(i) < SEGLOG_DIM_((field)->at) && (uint64_t)(j) < SEGLOG_DIM_((field)->at[0]) \
         ? &(field)->at[i][j]                                                                \
         : NULL)
#define SEGLOG_AT3(field, i, j, k)                                                              \
    ((uint64_t)(i) < SEGLOG_DIM_((field)->at) && (uint64_t)(j) < SEGLOG_DIM_((field)->at[0]) && \
             (uint64_t)(k) < SEGLOG_DIM_((field)->at[0][0])                                     \
         ? &(field)->at[i][j][k]                                                                \
         : NULL)
#define SEGLOG_DIM_(array) (sizeof(array) / sizeof((array)[0]))

/* ---- segmented vectors ----------------------------------------------------------------------- */

/*
 * field: a pointer to a SEGLOG_SEGMENTED of the struct that s is the file of.
 *
 * SEGLOG_SEGMENTED_COUNT  elements there; they are whole, also beside the writer
 * SEGLOG_SEGMENTED_PUSH   0; -ENOSPC: no room on the disk; -EPERM; SEGLOG_ECORRUPT, SEGLOG_EFORKED ...;
 *                         -EIO ...: a sync failed, and SEGLOG_EPOISONED from then on when it grows. When
 *                         a part begins (the 1st, 65th, 193rd, 449th ... element) it waits for the disk
 * SEGLOG_SEGMENTED_AT     the address of element i, a void pointer that is good until close; NULL: there is none
 */
#define SEGLOG_SEGMENTED_COUNT(field) \
    atomic_load_explicit(&(field)->head.count, memory_order_acquire)
#define SEGLOG_SEGMENTED_PUSH(s, field, value) \
    seglog_segmented_push((s), &(field)->head, \
                          1 ? sizeof(*(field)->type) : sizeof(*(field)->type = *(value)), (value))
#define SEGLOG_SEGMENTED_AT(s, field, i) \
    seglog_segmented_at((s), &(field)->head, sizeof(*(field)->type), (i))

SEGLOG_API int seglog_segmented_push(struct seglog_struct *s, struct seglog_segmented *head,
                                     size_t size, const void *value);
SEGLOG_API void *seglog_segmented_at(struct seglog_struct *s, struct seglog_segmented *head,
                                     size_t size, uint64_t i);

#endif
#endif
