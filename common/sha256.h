/* SHA-256 in pieces, and the SHA-1 by which git names a file (the only file that knows
 * the cryptography library). */
#ifndef OL_SHA256_H
#define OL_SHA256_H

#include <stddef.h>
#include <stdint.h>

#define OL_SHA256_HEX_BYTES    65 /* 64 hexadecimal digits and the terminating zero */
#define OL_SHA256_BASE64_BYTES 45 /* 44 characters and the terminating zero */

struct ol_sha256;

struct ol_sha256 *ol_sha256_new(void);
/* Of a file of so many bytes, the name of its blob in git, of 40 digits: SHA-1 over "blob
 * BYTES", a zero, and the bytes. Used and freed like the other. */
struct ol_sha256 *ol_sha256_new_git(uint64_t bytes);
void ol_sha256_update(struct ol_sha256 *sha, const void *data, size_t bytes);

/* Write the digest as lower-case hexadecimal digits and free the state. */
void ol_sha256_finish(struct ol_sha256 *sha, char hex[OL_SHA256_HEX_BYTES]);

/* The same in base 64 (RFC 4648), as web pages want it. */
void ol_sha256_finish_base64(struct ol_sha256 *sha, char text[OL_SHA256_BASE64_BYTES]);

#endif
