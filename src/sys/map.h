/*
 * Memory mappings of files.
 */
#ifndef SYS_MAP_H
#define SYS_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The machine's page size, in bytes: mappings begin at multiples of it. */
size_t map_page_size(void);

/* The same for mappings of this file, whose pages may be huge ones. */
size_t map_page_size_of(int fd);

/* Map size bytes of fd, shared. *out is untouched on failure. */
int map_file(int fd, uint64_t offset, size_t size, bool writable, void **out);
void map_drop(void *base, size_t size);

/*
 * Map size bytes of fd twice in a row, so that what begins near the end of the first goes on into the
 * second. page: the page size of the file's mappings, of which offset and size are multiples.
 * map_drop(base, 2 * size) ends it.
 */
int map_file_twice(int fd, uint64_t offset, size_t size, size_t page, bool writable, void **out);

/* Bring pages in for reading (MADV_POPULATE_READ). A hint: failures do not matter. */
void map_prefault(void *base, size_t size);

/* size bytes of memory of our own, zeros, that take no room before they are written. */
int map_memory(size_t size, void **out);

/* Fault pages in for writing (MADV_POPULATE_WRITE); touches them one by one where the kernel cannot.
 * Only for memory whose blocks are reserved. */
int map_populate(void *base, size_t size);

/* The same for reading: what the page cache has is mapped, and a store costs the smaller fault of a page
 * that is written to for the first time since it was synced. */
void map_populate_read(void *base, size_t size);

/* Write what changed in bytes [from, to) of a mapping to the file's medium, and what is needed to read
 * it back: fdatasync of that range. blocks on the disk */
int map_sync(void *base, uint64_t from, uint64_t to);

/* madvise(2): advice is one of MADV_*. */
int map_advise(void *base, size_t size, int advice);

/*
 * A word that reads 1 in the process that made it and 0 in every child of fork()
 * (MADV_WIPEONFORK). NULL when out of memory.
 */
const uint64_t *fork_guard_new(void);
void fork_guard_free(const uint64_t *guard);

#endif
