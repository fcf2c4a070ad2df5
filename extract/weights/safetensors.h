/* One safetensors file: its header read and checked whole, its bytes mapped read-only. */
#ifndef OL_SAFETENSORS_H
#define OL_SAFETENSORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/sha256.h"
#include "extract/weights/checkpoint.h"

/* The format's own limit on the length of a header. */
#define OL_SAFETENSORS_MAX_HEADER 100000000

struct ol_safetensors;

/* Open and check path; every tensor gets `file` as its file number. The length field and
 * the header's bytes, then the file's size (8 bytes, little endian), are added to *sha.
 * NULL on failure. */
struct ol_safetensors *ol_safetensors_open(const char *path, int file,
                                           struct ol_sha256 *sha, struct ol_error *err);
/* The same of a file of which the beginning alone is at hand: n bytes, its length field,
 * its JSON and maybe more. The data of its tensors are zeros, in memory of this process
 * alone, until somebody writes there what they are. */
struct ol_safetensors_header {
    char *path; /* where the file would be */
    unsigned char *bytes;
    size_t n;
    uint64_t file_bytes;
    const char *claimed; /* the digest that whoever has the file says it has; borrowed;
                            NULL: none */
};
struct ol_safetensors *
ol_safetensors_from_header(const struct ol_safetensors_header *header, int file,
                           struct ol_sha256 *sha, struct ol_error *err);
void ol_safetensors_close(struct ol_safetensors *s);

/* All tensors by rising offset; owned by s. */
const struct ol_stored_tensor *ol_safetensors_tensors(const struct ol_safetensors *s,
                                                      int64_t *n);
/* Add a few bytes from the middle of every step-th tensor, the first among them, to *sha:
 * headers alone do not tell two trainings of one model apart. Of a file whose header
 * alone is at hand it is the digest that is claimed of it. */
int ol_safetensors_sample(const struct ol_safetensors *s, int64_t step,
                          struct ol_sha256 *sha, struct ol_error *err);
/* What digest the file is said to have, where nobody has said it yet; NULL: nobody does.
 * Add it to *sha: false, and nothing added, where there is none. */
void ol_safetensors_claim(struct ol_safetensors *s, const char *digest);
bool ol_safetensors_add_claim(const struct ol_safetensors *s, struct ol_sha256 *sha);
const char *ol_safetensors_path(const struct ol_safetensors *s);
/* Where its bytes are mapped. */
const void *ol_safetensors_map(const struct ol_safetensors *s, uint64_t *bytes);

#endif
