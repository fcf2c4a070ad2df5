/* HDF5 as far as the activation file needs it. Only h5*.c know the library.
 * Objects and datasets are named by their path in the file; every failure names the file,
 * the object and what the library says. Not thread-safe. */
#ifndef OL_H5_H
#define OL_H5_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"

enum ol_h5_type {
    OL_H5_BF16, /* sign bit 15, exponent 7..14 with bias 127, mantissa 0..6 */
    OL_H5_F32,
    OL_H5_I32,
    OL_H5_U16,
    OL_H5_U32,
    OL_H5_U8,
    OL_H5_I64,
    OL_H5_F64,
    OL_H5_TEXT, /* variable-length UTF-8 */
    OL_H5_OTHER,
};
const char *ol_h5_type_name(enum ol_h5_type type);

enum { OL_H5_MAX_RANK = 3 };

struct ol_h5_shape {
    enum ol_h5_type type;
    int rank;
    int64_t dims[OL_H5_MAX_RANK];
    bool chunked;
    int64_t chunk[OL_H5_MAX_RANK]; /* when chunked */
    bool compressed;               /* by deflate; only when chunked */
    bool filtered;                 /* by anything else (only when read) */
    bool elsewhere;                /* in other files (only when read) */
};

struct ol_h5;

/* Whether the first block of a file (its superblock) is one that the library can be
 * given: it believes sizes and counts there. What is no HDF5 file is left to ol_h5_open.
 */
int ol_h5_check(const char *path, struct ol_error *err);

/* Write into path, which is there, anew; objects of align_from bytes and more begin on
 * multiples of 4096. Or open it. Both: NULL on failure. Neither locks the file. */
struct ol_h5 *ol_h5_create(const char *path, int64_t align_from, struct ol_error *err);
struct ol_h5 *ol_h5_open(const char *path, bool writable, struct ol_error *err);
/* Where all that was put into the file so far ends; and leave so many bytes free there.
 */
int ol_h5_end(const struct ol_h5 *h, uint64_t *end, struct ol_error *err);
int ol_h5_extend(struct ol_h5 *h, uint64_t bytes, struct ol_error *err);
/* Write out and free, also after a failure. ol_h5_free gives up what is not written. */
int ol_h5_close(struct ol_h5 *h, struct ol_error *err);
void ol_h5_free(struct ol_h5 *h);

/* ---- groups and attributes ---- */

int ol_h5_make_group(struct ol_h5 *h, const char *path, struct ol_error *err);
/* Whether a path is there, from its first group to its end; a question that fails is no
 * "no". */
int ol_h5_exists(const struct ol_h5 *h, const char *path, bool *there,
                 struct ol_error *err);
int ol_h5_has_attribute(const struct ol_h5 *h, const char *object, const char *name,
                        bool *there, struct ol_error *err);
/* Remove a dataset. */
int ol_h5_remove(struct ol_h5 *h, const char *path, struct ol_error *err);
/* Names of a group's members, ascending. The caller frees each and the array. */
int ol_h5_members(const struct ol_h5 *h, const char *path, char ***names, int64_t *n,
                  struct ol_error *err);

int ol_h5_put_text(struct ol_h5 *h, const char *object, const char *name,
                   const char *text, struct ol_error *err);
int ol_h5_put_int(struct ol_h5 *h, const char *object, const char *name, int64_t value,
                  struct ol_error *err);
/* Stored as uint8. All but texts replace an attribute of that name, where it is. */
int ol_h5_put_bool(struct ol_h5 *h, const char *object, const char *name, bool value,
                   struct ol_error *err);
int ol_h5_put_real(struct ol_h5 *h, const char *object, const char *name, double value,
                   struct ol_error *err);
int ol_h5_get_text(const struct ol_h5 *h, const char *object, const char *name,
                   char **text, struct ol_error *err);
int ol_h5_get_int(const struct ol_h5 *h, const char *object, const char *name,
                  int64_t *value, struct ol_error *err);
int ol_h5_get_bool(const struct ol_h5 *h, const char *object, const char *name,
                   bool *value, struct ol_error *err);
int ol_h5_get_real(const struct ol_h5 *h, const char *object, const char *name,
                   double *value, struct ol_error *err);

/* ---- datasets ---- */

/* With all its room in the file allocated, unwritten; what is compressed gets its room
 * when it is written. */
int ol_h5_make_dataset(struct ol_h5 *h, const char *path, const struct ol_h5_shape *shape,
                       struct ol_error *err);
int ol_h5_describe(const struct ol_h5 *h, const char *path, struct ol_h5_shape *shape,
                   struct ol_error *err);
/* A whole dataset from / to memory; OL_H5_TEXT: char *[], read strings are the caller's.
 */
int ol_h5_write(struct ol_h5 *h, const char *path, enum ol_h5_type type, const void *data,
                struct ol_error *err);
int ol_h5_read(const struct ol_h5 *h, const char *path, enum ol_h5_type type, void *data,
               struct ol_error *err);
/* Where a dataset that is not chunked begins in the file. */
int ol_h5_offset(const struct ol_h5 *h, const char *path, uint64_t *offset,
                 struct ol_error *err);
/* Where chunk i along the first dimension (it spans all others) lies in the file. */
int ol_h5_chunks(const struct ol_h5 *h, const char *path, int64_t n, uint64_t *offsets,
                 uint64_t *bytes, struct ol_error *err);

#endif
