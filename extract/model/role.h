/* Which tensors a spec asks for: every (role, layer, expert) with its name and shape. */
#ifndef OL_ROLE_H
#define OL_ROLE_H

#include <stdbool.h>
#include <stdint.h>

#include "extract/model/spec.h"

enum { OL_ROLE_NAME_BYTES = 256 };

/* What weights are for, roughly: a plan counts them by it. */
enum ol_role_kind {
    OL_WEIGHTS_EMBEDDING,
    OL_WEIGHTS_NORM,
    OL_WEIGHTS_MIXER,
    OL_WEIGHTS_DENSE, /* the MLP of a dense layer */
    OL_WEIGHTS_ROUTER,
    OL_WEIGHTS_SHARED, /* experts that are chosen always */
    OL_WEIGHTS_ROUTED,
    OL_WEIGHTS_HEAD,
    OL_N_ROLE_KINDS
};

/* One tensor of a model, and the place of the walk over all of them. */
struct ol_role_tensor {
    const struct ol_spec *spec; /* set by the caller before the first step */
    bool started;               /* internal: false before the first */
    enum ol_role role;
    int layer, expert; /* 0 where the role has none */
    bool vector;       /* rank 1, [n_cols]; else [n_rows, n_cols] */
    int64_t n_rows, n_cols;
    char name[OL_ROLE_NAME_BYTES];
    /* Its name where all experts of a layer lie in one tensor, as transformers 5 writes
     * them; "": no other name. */
    char fused_name[OL_ROLE_NAME_BYTES];
};

/* Go to the next tensor: the model's, then layer by layer the layer's and its experts'.
 * Start from {.spec = spec}; false after the last one.
 *
 *     struct ol_role_tensor t = {.spec = spec};
 *     while (ol_role_next(&t))
 *         use(t.name, t.n_rows, t.n_cols);
 */
bool ol_role_next(struct ol_role_tensor *t);

/* The one of a role, where the model has it: layer and expert are 0 where the role has
 * none. */
void ol_role_at(const struct ol_spec *spec, enum ol_role role, int layer, int expert,
                struct ol_role_tensor *t);

/* Its parameters: integers are none, nor is a head that config.json ties. */
int64_t ol_role_parameters(const struct ol_role_tensor *t);

enum ol_role_kind ol_role_kind(enum ol_role role);
/* Whether products are made with it: a device need not have others before their use. */
bool ol_role_is_multiplied(enum ol_role role);

bool ol_role_has_layer(enum ol_role role);
bool ol_role_has_expert(enum ol_role role);
/* Whether its tensors are of a convolution by channels: [n_rows, 1, n_cols]. */
bool ol_role_convolves(enum ol_role role);

/* Whether that layer of the model has such a tensor (layer is ignored by roles without).
 */
bool ol_role_exists(const struct ol_spec *spec, enum ol_role role, int layer);

#endif
