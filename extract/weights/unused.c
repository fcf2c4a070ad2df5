/* A tensor is used when some weight's bytes begin within it. */
#include "extract/weights/unused.h"

#include <stdlib.h>
#include <string.h>

#include "extract/model/role.h"

/* The beginnings of all bytes that weights are made of. */
struct begins {
    uintptr_t *at;
    size_t n, room;
};

static void add(struct begins *b, const void *data)
{
    if (b->n == b->room) {
        b->room = 2 * b->room + 1024;
        b->at = ol_xrealloc_array(b->at, b->room, sizeof *b->at);
    }
    b->at[b->n++] = (uintptr_t)data;
}

static int compare(const void *a, const void *b)
{
    const uintptr_t x = *(const uintptr_t *)a, y = *(const uintptr_t *)b;
    return (x > y) - (x < y);
}

static struct begins collect(const struct ol_weights *w, const struct ol_spec *spec)
{
    struct begins b = {0};
    struct ol_role_tensor t = {.spec = spec};
    while (ol_role_next(&t)) {
        const struct ol_weight weight = ol_weights_get(w, t.role, t.layer, t.expert);
        for (int i = 0; i < OL_WEIGHT_SPANS; i++)
            if (weight.spans[i].data != NULL)
                add(&b, weight.spans[i].data);
    }
    if (b.n > 0)
        qsort(b.at, b.n, sizeof *b.at, compare);
    return b;
}

static bool is_used(const struct begins *b, const struct ol_stored_tensor *t)
{
    const uintptr_t begin = (uintptr_t)t->data;
    size_t low = 0, high = b->n;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (b->at[middle] < begin)
            low = middle + 1;
        else
            high = middle;
    }
    return low < b->n && b->at[low] - begin < t->bytes;
}

static bool begins_with(const char *name, const char *beginning)
{
    return strncmp(name, beginning, strlen(beginning)) == 0;
}

/* Of "model.layers.7.mlp..." the 7; -1: of no layer. */
static long layer_of(const struct ol_spec *spec, const char *name)
{
    static const char layers[] = "layers.";
    const char *body = spec->form.body != NULL ? spec->form.body : "model.";
    if (!begins_with(name, body) || !begins_with(name + strlen(body), layers))
        return -1;
    const char *number = name + strlen(body) + sizeof layers - 1;
    char *end;
    const long layer = strtol(number, &end, 10);
    return end != number && *end == '.' && layer >= 0 ? layer : -1;
}

/* Of a layer that borrows keys: what would make some of its own, which some files have.
 */
static bool makes_keys(const struct ol_spec *spec, int layer, const char *name)
{
    static const enum ol_role roles[] = {OL_ROLE_K, OL_ROLE_V, OL_ROLE_K_BIAS,
                                         OL_ROLE_V_BIAS, OL_ROLE_K_NORM};
    if (!spec->layers[layer].borrows_keys)
        return false;
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
        struct ol_role_tensor t;
        if (spec->names[roles[i]] == NULL)
            continue;
        ol_role_at(spec, roles[i], layer, 0, &t);
        const size_t module = strlen(t.name) - strlen(strrchr(t.name, '.'));
        if (strncmp(name, t.name, module + 1) == 0)
            return true;
    }
    return false;
}

/* Whether a tensor that nothing uses is worth a word. Layers behind the last predict
 * later tokens. Of a wrapper it is known what else there may be. */
static bool should_be_used(const struct ol_spec *spec, const char *name)
{
    const long layer = layer_of(spec, name);
    if (layer >= 0 || spec->wrapper == NULL)
        return layer >= 0 && layer < spec->n_layers &&
               !makes_keys(spec, (int)layer, name);
    for (const char *const *part = spec->wrapper->left_out; *part != NULL; part++)
        if (begins_with(name, *part))
            return false;
    return true;
}

/* Of what the name says that it changes nothing here. */
static bool is_known(const struct ol_stored_tensor *t)
{
    static const char *const suffixes[] = {
        ".inv_freq",    ".input_scale",        ".output_scale", ".k_scale",
        ".v_scale",     ".input_global_scale", ".q_scale",      ".weight_shape",
        ".kv_scale",    ".activation_scale",   "_input_scale",  "_activation_scale",
        ".prob_scale",  ".k_zero_point",       ".v_zero_point", ".input_zero_point",
        ".masked_bias", ".output_zero_point",  ".attn.bias", /* GPT-2's mask */
    };
    const size_t length = strlen(t->name);
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        const size_t n = strlen(suffixes[i]);
        if (length >= n && strcmp(t->name + length - n, suffixes[i]) == 0)
            return true;
    }
    return false;
}

/* Of larger ones it is not asked whether they are zeros. */
static bool is_small(const struct ol_stored_tensor *t)
{
    enum { MOST_BYTES = 1 << 20 };
    return t->bytes <= MOST_BYTES;
}

static bool is_zeros(const struct ol_stored_tensor *t)
{
    for (uint64_t i = 0; i < t->bytes; i++)
        if (((const uint8_t *)t->data)[i] != 0)
            return false;
    return true;
}

/* Tensors by name unused: [n], in the checkpoint's order. The caller frees. */
static const struct ol_stored_tensor **list(const struct ol_weights *w,
                                            const struct ol_spec *spec,
                                            const struct ol_checkpoint *c, int64_t *n)
{
    struct begins b = collect(w, spec);
    const int64_t all = ol_checkpoint_n_tensors(c);
    const struct ol_stored_tensor **found = ol_xcalloc((size_t)all, sizeof *found);
    *n = 0;
    for (int64_t i = 0; i < all; i++) {
        const struct ol_stored_tensor *t = ol_checkpoint_tensor(c, i);
        if (should_be_used(spec, t->name) && !is_used(&b, t) && !is_known(t))
            found[(*n)++] = t;
    }
    free(b.at);
    return found;
}

/* Small ones whose bytes come from elsewhere, side by side; nobody waits long for what
 * is a warning: the first few of them, *n. Those behind count as they are. */
static int fetch(struct ol_source *source, const struct ol_stored_tensor **tensors,
                 int64_t *n, struct ol_error *err)
{
    enum { MOST_FETCHED = 512 };
    int status = 0;
    *n = *n < MOST_FETCHED ? *n : MOST_FETCHED;
    for (int64_t i = 0; i < *n; i++)
        if (is_small(tensors[i]) && tensors[i]->bytes > 0)
            source->op->prefetch(
                source, &(struct ol_span){tensors[i]->data, (size_t)tensors[i]->bytes});
    for (int64_t i = 0; i < *n && status == 0; i++)
        if (is_small(tensors[i]) && tensors[i]->bytes > 0)
            status = source->op->read(
                source, &(struct ol_span){tensors[i]->data, (size_t)tensors[i]->bytes},
                err);
    return status;
}

static void release(struct ol_source *source, const struct ol_stored_tensor **tensors,
                    int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (is_small(tensors[i]) && tensors[i]->bytes > 0)
            source->op->release(
                source, &(struct ol_span){tensors[i]->data, (size_t)tensors[i]->bytes});
}

int ol_unused_count(const struct ol_weights *w, const struct ol_unused_request *r,
                    int64_t *n, const char **first, struct ol_error *err)
{
    int64_t n_listed, n_there;
    const struct ol_stored_tensor **tensors = list(w, r->spec, r->checkpoint, &n_listed);
    int status = 0;
    *n = 0;
    *first = NULL;
    n_there = n_listed;
    if (r->source != NULL)
        status = fetch(r->source, tensors, &n_there, err);
    for (int64_t i = 0; i < n_listed && status == 0; i++) {
        if (i < n_there && is_small(tensors[i]) && is_zeros(tensors[i]))
            continue;
        if ((*n)++ == 0)
            *first = tensors[i]->name;
    }
    if (r->source != NULL && status == 0)
        release(r->source, tensors, n_there);
    free(tensors);
    return status;
}
