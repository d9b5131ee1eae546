/*
 * CRC-32C (Castagnoli, reflected polynomial 0x82F63B78), as in RFC 3720, by instruction (SSE4.2,
 * ARMv8 CRC) where the processor has it and by tables where not.
 *
 * The functions work on the raw register: the caller inverts before and after. The checksum of
 * "123456789" is ~crc32c(~0u, "123456789", 9) == 0xE3069283.
 */
#ifndef BASE_CRC32C_H
#define BASE_CRC32C_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Advance the register over n bytes. */
uint32_t crc32c(uint32_t state, const void *data, size_t n);

/* Copy n bytes (not overlapping) and advance the register over them, in one pass. */
uint32_t crc32c_copy(uint32_t state, void *restrict dst, const void *restrict src, size_t n);

/* The portable twin, for processors without the instruction and for the tests. */
uint32_t crc32c_portable(uint32_t state, const void *data, size_t n);

/* true when the functions above use an instruction. */
bool crc32c_is_hardware(void);

#endif
