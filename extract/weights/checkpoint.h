/* Checkpoints: a directory of safetensors files, validated whole before anything is used,
 * and mapped read-only. */
#ifndef OL_CHECKPOINT_H
#define OL_CHECKPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/dtype.h"
#include "common/error.h"
#include "common/sha256.h"

enum { OL_TENSOR_MAX_RANK = 8 };

/* The index of a checkpoint in several files, and the only file of another. */
#define OL_CHECKPOINT_INDEX  "model.safetensors.index.json"
#define OL_CHECKPOINT_SINGLE "model.safetensors"

struct ol_checkpoint;

/* A tensor as its file describes it; owned by the checkpoint. */
struct ol_stored_tensor {
    const char *name;
    const char *dtype_name; /* as in the header: "BF16", "F8_E4M3", ... */
    int rank;
    int64_t shape[OL_TENSOR_MAX_RANK];
    int file;        /* index of the file it is in */
    uint64_t offset; /* from the start of that file */
    uint64_t bytes;
    const void *data; /* mapped; may be unaligned for its type */
};

/* Open directory/model.safetensors.index.json when it is there, else
 * directory/model.safetensors, and check every header (length, JSON, dtypes, offsets
 * without gap or overlap, shape x dtype = bytes, file length, names that occur twice,
 * index entries that point outside the directory, files that are not there). Of a tensor
 * that several files hold the index says which counts. Reads headers only. NULL on
 * failure. */
struct ol_checkpoint *ol_checkpoint_open(const char *directory, struct ol_error *err);
void ol_checkpoint_close(struct ol_checkpoint *c);

/* The same, of which some shards are elsewhere and their headers alone are at hand, [n],
 * borrowed meanwhile. The index, where there is one, is in the directory. */
struct ol_safetensors_header;
struct ol_checkpoint *
ol_checkpoint_open_headers(const char *directory,
                           const struct ol_safetensors_header *headers, size_t n,
                           struct ol_error *err);
/* Whether all bytes of the tensors are there; else those of some are zeros as yet. */
bool ol_checkpoint_has_bytes(const struct ol_checkpoint *c);
/* The files, in the order of their names, and where the bytes of one are mapped. */
int ol_checkpoint_n_files(const struct ol_checkpoint *c);
const void *ol_checkpoint_map(const struct ol_checkpoint *c, int file, uint64_t *bytes);

/* 1 when all files are there that the index names, or model.safetensors; 0 when they are
 * not, with *missing where there is an index; -1 with err when that cannot be read. */
int ol_checkpoint_is_complete(const char *directory, struct ol_error *missing,
                              struct ol_error *err);

/* The names of the files that the directory's index lists, sorted, each once: an array of
 * *n strings, both to be freed; NULL on failure. */
char **ol_checkpoint_shards(const char *directory, size_t *n, struct ol_error *err);

/* The file in which the index lists a tensor of that name, or NULL; and how many of its
 * entries name a tensor that the file has not, with the first of them. */
const char *ol_checkpoint_listed(const struct ol_checkpoint *c, const char *name);
int64_t ol_checkpoint_n_absent(const struct ol_checkpoint *c, const char **first);

/* The tensor of that name, or NULL. */
const struct ol_stored_tensor *ol_checkpoint_find(const struct ol_checkpoint *c,
                                                  const char *name);
int64_t ol_checkpoint_n_tensors(const struct ol_checkpoint *c);
const struct ol_stored_tensor *ol_checkpoint_tensor(const struct ol_checkpoint *c,
                                                    int64_t i);
const char *ol_checkpoint_directory(const struct ol_checkpoint *c);
const char *ol_checkpoint_path(const struct ol_checkpoint *c, int file);

/* What tells these weights from others: SHA-256 over the digest (64 hexadecimal digits)
 * of each file's header (its 8 length bytes and its JSON) and the file's size (8 bytes,
 * little endian), in file-name order; then 64 bytes from the middle of the tensors, or of
 * 2048 of them where there are more, by file and offset. Reads them: -1 on failure. */
int ol_checkpoint_sha256(const struct ol_checkpoint *c, char hex[OL_SHA256_HEX_BYTES],
                         struct ol_error *err);

/* What tells them from others wherever their bytes are: the same over the headers and the
 * digests that the files are said to have, in place of bytes. Of a checkpoint of which
 * some bytes are elsewhere it is ol_checkpoint_sha256 too. "" where nobody says it of
 * some file. */
void ol_checkpoint_claim(struct ol_checkpoint *c, int file, const char *digest);
void ol_checkpoint_claims_sha256(const struct ol_checkpoint *c,
                                 char hex[OL_SHA256_HEX_BYTES]);

#endif
