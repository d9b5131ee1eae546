/*
 * Tables of numbers and strings: keys and values of table.h with a type.
 *
 * A number is a uint64_t in the order of the machine, a string its bytes without the NUL. They are
 * functions in this header and nothing else: a table may be used with and without them. A table does
 * not know its types; give it a `schema` for that.
 */
#ifndef SEGLOG_TABLE_TYPED_H
#define SEGLOG_TABLE_TYPED_H

#include <seglog/table.h>

#include <errno.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Names for numbers. Values as seglog_table_put() and seglog_table_get(): str gets a NUL behind it, for
 * which cap must have room (else -EMSGSIZE). */
static inline int seglog_table_put_u64_str(struct seglog_table *table, uint64_t key,
                                           const char *str)
{
    return seglog_table_put(table, &key, sizeof(key), str, strlen(str));
}

static inline int seglog_table_get_str_(struct seglog_table *table, const void *key, size_t key_len,
                                        char *str, size_t cap)
{
    size_t len = 0;
    const int rc = seglog_table_get(table, key, key_len, str, cap > 0 ? cap - 1 : 0, &len);

    if (rc == 0 && cap > 0)
        str[len] = 0;
    return rc == 0 && cap == 0 ? -EMSGSIZE : rc;
}

static inline int seglog_table_get_u64_str(struct seglog_table *table, uint64_t key, char *str,
                                           size_t cap)
{
    return seglog_table_get_str_(table, &key, sizeof(key), str, cap);
}

/* Strings for strings. */
static inline int seglog_table_put_str_str(struct seglog_table *table, const char *key,
                                           const char *str)
{
    return seglog_table_put(table, key, strlen(key), str, strlen(str));
}

static inline int seglog_table_get_str_str(struct seglog_table *table, const char *key, char *str,
                                           size_t cap)
{
    return seglog_table_get_str_(table, key, strlen(key), str, cap);
}

/* Numbers for names. SEGLOG_EMISMATCH: what is there is no number. */
static inline int seglog_table_put_str_u64(struct seglog_table *table, const char *key,
                                           uint64_t value)
{
    return seglog_table_put(table, key, strlen(key), &value, sizeof(value));
}

static inline int seglog_table_get_str_u64(struct seglog_table *table, const char *key,
                                           uint64_t *value)
{
    uint64_t found;
    size_t len = sizeof(found);
    const int rc = seglog_table_get(table, key, strlen(key), &found, sizeof(found), &len);

    if (rc == 0 && len == sizeof(found))
        *value = found;
    if (rc == -EMSGSIZE || (rc == 0 && len != sizeof(found)))
        return SEGLOG_EMISMATCH;
    return rc;
}

#ifdef __cplusplus
}
#endif
#endif
