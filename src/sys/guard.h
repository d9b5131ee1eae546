/*
 * Living through a mapping whose bytes are gone: the file was cut short by somebody, or its medium
 * failed. The kernel answers a touch of such a page with SIGBUS.
 *
 * While at least one range is guarded, a handler for SIGBUS is installed in the process. For an address in
 * a guarded range it puts a page of zeros there, notes the hit, and lets the touch go on; any other
 * SIGBUS goes to whoever handled it before.
 */
#ifndef SYS_GUARD_H
#define SYS_GUARD_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct guard;

/*
 * Guard [base, base + size), mapped with these PROT_* bits in pages of this size. *hits counts the
 * pages that were lost; it must outlive the guard. 0, -ENOMEM.
 */
int guard_add(void *base, size_t size, int prot, size_t page, _Atomic uint32_t *hits,
              struct guard **out);
/* Before the range is unmapped. guard may be NULL. */
void guard_drop(struct guard *guard);

#endif
