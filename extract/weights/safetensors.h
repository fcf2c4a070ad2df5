/* One safetensors file: its header read and checked whole, its bytes mapped read-only. */
#ifndef OL_SAFETENSORS_H
#define OL_SAFETENSORS_H

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
/* The same of a file of which the header alone is at hand, as it begins the file: n
 * bytes, its length field and its JSON. The data of its tensors are zeros, which say
 * nothing. */
struct ol_safetensors_header {
    char *path; /* where the file would be */
    unsigned char *bytes;
    size_t n;
    uint64_t file_bytes;
};
struct ol_safetensors *
ol_safetensors_from_header(const struct ol_safetensors_header *header, int file,
                           struct ol_sha256 *sha, struct ol_error *err);
void ol_safetensors_close(struct ol_safetensors *s);

/* All tensors by rising offset; owned by s. */
const struct ol_stored_tensor *ol_safetensors_tensors(const struct ol_safetensors *s,
                                                      int64_t *n);
/* Add a few bytes from the middle of every step-th tensor, the first among them, to *sha:
 * headers alone do not tell two trainings of one model apart. */
int ol_safetensors_sample(const struct ol_safetensors *s, int64_t step,
                          struct ol_sha256 *sha, struct ol_error *err);
const char *ol_safetensors_path(const struct ol_safetensors *s);

#endif
