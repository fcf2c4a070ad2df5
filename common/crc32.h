/* CRC-32 as gzip, zlib and PNG have it (polynomial 0xedb88320, ISO 3309), in parts that
 * may come in any order.
 *
 * A sum is linear in its bytes once what depends on their number alone is left out:
 *     crc32(A, zeros, B) = ol_crc32_of_zeros(all)
 *                          ^ part of A, shifted by what is behind it ^ part of B */
#ifndef OL_CRC32_H
#define OL_CRC32_H

#include <stddef.h>
#include <stdint.h>

/* What bytes contribute that end `behind` bytes before the end. */
uint32_t ol_crc32_part(const void *bytes, size_t n, uint64_t behind);

/* The same of bytes that are looked at piece by piece: start from {0}; go on by
 * ol_crc32_go_on, or by the steps of common/crc32_fold.h, not by both; ask for the
 * part. */
enum { OL_CRC32_FOLDED = 128 };
struct ol_crc32_run {
    unsigned char folded[OL_CRC32_FOLDED]; /* these come to what all steps came to */
    uint32_t c;                            /* the register, without steps */
};
void ol_crc32_go_on(struct ol_crc32_run *run, const void *bytes, size_t n);
uint32_t ol_crc32_run_part(const struct ol_crc32_run *run, uint64_t behind);

/* The sum of n bytes that are 0: what contributions are added to, by exclusive or. */
uint32_t ol_crc32_of_zeros(uint64_t n);

/* The sum of all bytes. */
uint32_t ol_crc32(const void *bytes, size_t n);

#endif
