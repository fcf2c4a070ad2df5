/* What h5.c, h5_dataset.c and h5_chunks.c share: they alone know the library. */
#ifndef OL_H5_PRIVATE_H
#define OL_H5_PRIVATE_H

#include <hdf5.h>

#include "common/h5.h"

struct ol_h5 {
    hid_t file;
    char *path;
};

/* FILE: OBJECT: what could not be done: the library's reason, on one line. Returns -1. */
int ol_h5_fail(struct ol_error *err, const char *file, const char *object,
               const char *what);

/* Close a handle that was perhaps never had. Whatever the library holds back is written
 * then: a failure is the write's. */
bool ol_h5_closed(hid_t id, herr_t (*close_id)(hid_t));

/* A new handle; the caller closes it. */
hid_t ol_h5_make_type(enum ol_h5_type type);

/* A handle that the caller closes; H5I_INVALID_HID on failure, also when it is missing.
 */
hid_t ol_h5_open_dataset(const struct ol_h5 *h, const char *path, struct ol_error *err);

#endif
