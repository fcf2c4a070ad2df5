/* One array of weights per role: [1], [n_layers] or [n_layers, n_experts]. */
#include "extract/weights.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "extract/role.h"

enum { N_MISSING_NAMED = 5 };

struct ol_weights {
    const struct ol_spec *spec;
    struct ol_weight *roles[OL_N_ROLES]; /* NULL: this model has none */
};

/* What was looked for in vain. */
struct missing {
    int64_t n, n_sought;
    char names[N_MISSING_NAMED * (OL_ROLE_NAME_BYTES + 2)];
};

static struct ol_weight *place(const struct ol_weights *w, enum ol_role role, int layer,
                               int expert)
{
    if (w->roles[role] == NULL)
        return NULL;
    size_t i = 0;
    if (ol_role_has_layer(role))
        i = (size_t)layer;
    if (ol_role_has_expert(role))
        i = i * (size_t)w->spec->router.n_experts + (size_t)expert;
    return &w->roles[role][i];
}

static int read_dtype(const struct ol_checkpoint *c, const struct ol_stored_tensor *t,
                      enum ol_dtype *dtype, struct ol_error *err)
{
    static const enum ol_dtype known[] = {OL_DTYPE_BF16, OL_DTYPE_F16, OL_DTYPE_F32};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(t->dtype_name, ol_dtype_name(known[i])) == 0) {
            *dtype = known[i];
            return 0;
        }
    }
    return ol_fail(err, "%s: tensor %s has type %s, expected BF16, F16 or F32",
                   ol_checkpoint_path(c, t->file), t->name, t->dtype_name);
}

static int check_shape(const struct ol_checkpoint *c, const struct ol_stored_tensor *t,
                       const struct ol_role_tensor *want, struct ol_error *err)
{
    if (want->vector
            ? t->rank == 1 && t->shape[0] == want->n_cols
            : t->rank == 2 && t->shape[0] == want->n_rows && t->shape[1] == want->n_cols)
        return 0;
    char found[OL_TENSOR_MAX_RANK * 24] = "", expected[64];
    for (int i = 0; i < t->rank; i++) {
        const size_t used = strlen(found);
        snprintf(found + used, sizeof found - used, "%s%" PRId64, i > 0 ? ", " : "",
                 t->shape[i]);
    }
    if (want->vector)
        snprintf(expected, sizeof expected, "%" PRId64, want->n_cols);
    else
        snprintf(expected, sizeof expected, "%" PRId64 ", %" PRId64, want->n_rows,
                 want->n_cols);
    return ol_fail(
        err, "%s: tensor %s has shape [%s], expected [%s] from config.json (%s)",
        ol_checkpoint_path(c, t->file), t->name, found, expected, want->spec->family);
}

static void note_missing(struct missing *missing, const char *name)
{
    const size_t used = strlen(missing->names);
    if (missing->n < N_MISSING_NAMED)
        snprintf(missing->names + used, sizeof missing->names - used, "%s%s",
                 used > 0 ? ", " : "", name);
    missing->n++;
}

static int bind(struct ol_weights *w, const struct ol_checkpoint *c,
                const struct ol_role_tensor *want, struct missing *missing,
                struct ol_error *err)
{
    missing->n_sought++;
    const struct ol_stored_tensor *t = ol_checkpoint_find(c, want->name);
    if (t == NULL) {
        note_missing(missing, want->name);
        return 0;
    }
    enum ol_dtype dtype = OL_DTYPE_F32;
    if (read_dtype(c, t, &dtype, err) != 0 || check_shape(c, t, want, err) != 0)
        return -1;
    *place(w, want->role, want->layer, want->expert) = (struct ol_weight){
        .data = t->data,
        .dtype = dtype,
        .n_rows = want->n_rows,
        .n_cols = want->n_cols,
    };
    return 0;
}

static void allocate(struct ol_weights *w)
{
    for (enum ol_role role = 0; role < OL_N_ROLES; role++) {
        const struct ol_spec *spec = w->spec;
        size_t n = 1;
        if (ol_role_has_layer(role))
            n = (size_t)spec->n_layers;
        if (ol_role_has_expert(role))
            n *= (size_t)spec->router.n_experts;
        if (spec->names[role] != NULL && n > 0)
            w->roles[role] = ol_xcalloc(n, sizeof *w->roles[role]);
    }
}

struct ol_weights *ol_weights_bind(const struct ol_spec *spec,
                                   const struct ol_checkpoint *c, struct ol_error *err)
{
    struct ol_weights *w = ol_xcalloc(1, sizeof *w);
    w->spec = spec;
    allocate(w);
    struct missing missing = {0};
    struct ol_role_tensor want = {.spec = spec};
    while (ol_role_next(&want))
        if (bind(w, c, &want, &missing, err) != 0)
            goto fail;
    if (missing.n > 0) {
        ol_fail(err,
                "%s: %" PRId64 " of the %" PRId64 " tensors that model_type %s with this "
                "config.json has are missing (the checkpoint has %" PRId64
                " tensors); looked for: %s%s",
                ol_checkpoint_directory(c), missing.n, missing.n_sought, spec->family,
                ol_checkpoint_n_tensors(c), missing.names,
                missing.n > N_MISSING_NAMED ? ", ..." : "");
        goto fail;
    }
    return w;
fail:
    ol_weights_free(w);
    return NULL;
}

void ol_weights_free(struct ol_weights *w)
{
    if (w == NULL)
        return;
    for (int role = 0; role < OL_N_ROLES; role++)
        free(w->roles[role]);
    free(w);
}

struct ol_weight ol_weights_get(const struct ol_weights *w, enum ol_role role, int layer,
                                int expert)
{
    if (role == OL_ROLE_LM_HEAD && w->spec->tied_embeddings)
        role = OL_ROLE_EMBEDDING;
    const struct ol_weight *weight = place(w, role, layer, expert);
    return weight != NULL ? *weight : (struct ol_weight){0};
}

void ol_weights_parameters(const struct ol_weights *w, int64_t *total, int64_t *active)
{
    *total = *active = 0;
    struct ol_role_tensor t = {.spec = w->spec};
    while (ol_role_next(&t)) {
        const int64_t n = t.n_rows * t.n_cols;
        *total += n;
        /* All experts of a layer are of one size: any top_k of them stand for those
         * chosen. */
        if (!ol_role_has_expert(t.role) || t.expert < w->spec->router.top_k)
            *active += n;
    }
}

char *ol_weights_format(const struct ol_weights *w)
{
    enum { N_TYPES = OL_DTYPE_I32 + 1 };
    int64_t bytes[N_TYPES] = {0};
    struct ol_role_tensor t = {.spec = w->spec};
    while (ol_role_next(&t)) {
        const enum ol_dtype dtype = place(w, t.role, t.layer, t.expert)->dtype;
        bytes[dtype] += t.n_rows * t.n_cols * (int64_t)ol_dtype_size(dtype);
    }
    char *text = ol_xstrdup("");
    for (;;) {
        int most = 0;
        for (int i = 1; i < N_TYPES; i++)
            if (bytes[i] > bytes[most])
                most = i;
        if (bytes[most] == 0)
            return text;
        bytes[most] = 0;
        char *longer = ol_xasprintf("%s%s%s", text, *text != '\0' ? "+" : "",
                                    ol_dtype_name((enum ol_dtype)most));
        free(text);
        text = longer;
    }
}
