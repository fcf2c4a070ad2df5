/* A file that is read and checked. Only the files that read its description include
 * this. */
#ifndef OL_ACTIVATION_CHECK_H
#define OL_ACTIVATION_CHECK_H

#include "common/activation_content.h"

struct ol_activation_check {
    const char *path;
    struct ol_h5 *h;
    uint64_t file_bytes;
    struct ol_activation_content *c; /* which is filled in */
};

/* The layers of the layout (activation_layers.c), after what is said of the model. */
int ol_activation_check_layers(const struct ol_activation_check *r, struct ol_error *err);

#endif
