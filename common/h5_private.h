/* What h5.c and h5_*.c share: they alone know the library. */
#ifndef OL_H5_PRIVATE_H
#define OL_H5_PRIVATE_H

#include <hdf5.h>

#include "common/h5.h"

/* What was asked for last: most questions are about the same group and dataset. */
struct ol_h5_last {
    hid_t group, dataset; /* or H5I_INVALID_HID */
    char *group_path, *dataset_path;
};

struct ol_h5 {
    hid_t file;
    char *path;
    struct ol_h5_last *last;
};

/* FILE: OBJECT: what could not be done: the library's reason, on one line. Returns -1. */
int ol_h5_fail(struct ol_error *err, const char *file, const char *object,
               const char *what);

/* Close a handle that was perhaps never had. Whatever the library holds back is written
 * then: a failure is the write's. */
bool ol_h5_closed(hid_t id, herr_t (*close_id)(hid_t));

/* A new handle; the caller closes it. */
hid_t ol_h5_make_type(enum ol_h5_type type);

/* A dataset that stays open until another one is asked for or it is let go;
 * H5I_INVALID_HID on failure, also when it is missing. */
hid_t ol_h5_find_dataset(const struct ol_h5 *h, const char *path, struct ol_error *err);

/* Close the dataset that was found last: before it is removed, and so that what was
 * written there is. */
bool ol_h5_let_go(const struct ol_h5 *h);

/* The group that holds the end of a path, which has that name in it, open until another
 * group is asked for; 0: it is not there, below 0: it cannot be read. */
htri_t ol_h5_enter(const struct ol_h5 *h, const char *path, hid_t *group,
                   const char **name);

/* Of a type that is not BF16, TEXT or OTHER: the library's own, which nobody closes. */
hid_t ol_h5_standard_type(enum ol_h5_type type);

#endif
