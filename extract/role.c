#include "extract/role.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* Layers that have a role. */
enum place { PLACE_MODEL, PLACE_LAYER, PLACE_DENSE, PLACE_MOE, PLACE_EXPERT };

/* Sizes that shapes are made of; ONE row: a vector. */
enum size {
    ONE,
    D_MODEL,
    VOCAB,
    Q_WIDTH,
    KV_WIDTH,
    Q_NORM,
    K_NORM,
    D_FF,
    EXPERTS,
    D_EXPERT,
    D_SHARED,
    SINGLE /* a matrix of one row */
};

static const struct {
    enum place place;
    enum size rows, cols;
} roles[OL_N_ROLES] = {
    [OL_ROLE_EMBEDDING] = {PLACE_MODEL, VOCAB, D_MODEL},
    [OL_ROLE_FINAL_NORM] = {PLACE_MODEL, ONE, D_MODEL},
    [OL_ROLE_LM_HEAD] = {PLACE_MODEL, VOCAB, D_MODEL},
    [OL_ROLE_ATTN_NORM] = {PLACE_LAYER, ONE, D_MODEL},
    [OL_ROLE_Q] = {PLACE_LAYER, Q_WIDTH, D_MODEL},
    [OL_ROLE_K] = {PLACE_LAYER, KV_WIDTH, D_MODEL},
    [OL_ROLE_V] = {PLACE_LAYER, KV_WIDTH, D_MODEL},
    [OL_ROLE_O] = {PLACE_LAYER, D_MODEL, Q_WIDTH},
    [OL_ROLE_Q_BIAS] = {PLACE_LAYER, ONE, Q_WIDTH},
    [OL_ROLE_K_BIAS] = {PLACE_LAYER, ONE, KV_WIDTH},
    [OL_ROLE_V_BIAS] = {PLACE_LAYER, ONE, KV_WIDTH},
    [OL_ROLE_O_BIAS] = {PLACE_LAYER, ONE, D_MODEL},
    [OL_ROLE_Q_NORM] = {PLACE_LAYER, ONE, Q_NORM},
    [OL_ROLE_K_NORM] = {PLACE_LAYER, ONE, K_NORM},
    [OL_ROLE_MLP_NORM] = {PLACE_LAYER, ONE, D_MODEL},
    [OL_ROLE_GATE] = {PLACE_DENSE, D_FF, D_MODEL},
    [OL_ROLE_UP] = {PLACE_DENSE, D_FF, D_MODEL},
    [OL_ROLE_DOWN] = {PLACE_DENSE, D_MODEL, D_FF},
    [OL_ROLE_ROUTER] = {PLACE_MOE, EXPERTS, D_MODEL},
    [OL_ROLE_ROUTER_CORRECTION] = {PLACE_MOE, ONE, EXPERTS},
    [OL_ROLE_SHARED_GATE] = {PLACE_MOE, D_SHARED, D_MODEL},
    [OL_ROLE_SHARED_UP] = {PLACE_MOE, D_SHARED, D_MODEL},
    [OL_ROLE_SHARED_DOWN] = {PLACE_MOE, D_MODEL, D_SHARED},
    [OL_ROLE_SHARED_SWITCH] = {PLACE_MOE, SINGLE, D_MODEL},
    [OL_ROLE_EXPERT_GATE] = {PLACE_EXPERT, D_EXPERT, D_MODEL},
    [OL_ROLE_EXPERT_UP] = {PLACE_EXPERT, D_EXPERT, D_MODEL},
    [OL_ROLE_EXPERT_DOWN] = {PLACE_EXPERT, D_MODEL, D_EXPERT},
};

static int64_t size_of(const struct ol_spec *spec, enum size size)
{
    const struct ol_attention_spec *a = &spec->attention;
    const bool flat = a->qk_norm == OL_QK_NORM_FLAT;
    switch (size) {
    case ONE:
    case SINGLE:
        return 1;
    case D_MODEL:
        return spec->d_model;
    case VOCAB:
        return spec->vocab_size;
    case Q_WIDTH:
        return (int64_t)a->n_heads * a->head_dim;
    case KV_WIDTH:
        return (int64_t)a->n_kv_heads * a->head_dim;
    case Q_NORM:
        return (int64_t)(flat ? a->n_heads : 1) * a->head_dim;
    case K_NORM:
        return (int64_t)(flat ? a->n_kv_heads : 1) * a->head_dim;
    case D_FF:
        return spec->d_ff;
    case EXPERTS:
        return spec->router.n_experts;
    case D_EXPERT:
        return spec->d_expert;
    case D_SHARED:
        return spec->d_shared;
    }
    assert(false && "a size of no kind");
    return 0;
}

bool ol_role_has_layer(enum ol_role role)
{
    return roles[role].place != PLACE_MODEL;
}

bool ol_role_has_expert(enum ol_role role)
{
    return roles[role].place == PLACE_EXPERT;
}

bool ol_role_exists(const struct ol_spec *spec, enum ol_role role, int layer)
{
    if (spec->names[role] == NULL || (role == OL_ROLE_LM_HEAD && spec->tied_embeddings))
        return false;
    switch (roles[role].place) {
    case PLACE_MODEL:
    case PLACE_LAYER:
        return true;
    case PLACE_DENSE:
        return !spec->layers[layer].moe;
    case PLACE_MOE:
    case PLACE_EXPERT:
        return spec->layers[layer].moe;
    }
    return false;
}

/* The template with {l} and {e} replaced. Templates come from the families' source, so
 * one that does not fit is a mistake there. */
static void expand(const char *template, struct ol_role_tensor *t)
{
    size_t used = 0;
    while (*template != '\0') {
        const size_t room = sizeof t->name - used;
        const bool layer = strncmp(template, "{l}", 3) == 0;
        int n = 1;
        if (layer || strncmp(template, "{e}", 3) == 0) {
            n = snprintf(t->name + used, room, "%d", layer ? t->layer : t->expert);
            template += 3;
        } else {
            t->name[used] = *template ++;
        }
        used += (size_t)n;
        assert(used < sizeof t->name);
    }
    t->name[used] = '\0';
}

/* The place after this one, whether or not the model has a tensor there: first all roles
 * of the model, then per layer all roles of layers, then per expert all of experts. */
static bool advance(struct ol_role_tensor *t)
{
    if (!t->started) {
        t->started = true;
        t->role = 0;
        t->layer = t->expert = 0;
        return true;
    }
    t->role++;
    if (t->role < OL_N_ROLES)
        return true;
    t->role = OL_ROLE_EXPERT_GATE;
    if (t->spec->layers[t->layer].moe && ++t->expert < t->spec->router.n_experts)
        return true;
    t->expert = 0;
    t->role = OL_ROLE_ATTN_NORM;
    return ++t->layer < t->spec->n_layers;
}

bool ol_role_next(struct ol_role_tensor *t)
{
    do {
        if (!advance(t))
            return false;
    } while (!ol_role_exists(t->spec, t->role, t->layer));
    t->vector = roles[t->role].rows == ONE;
    t->n_rows = size_of(t->spec, roles[t->role].rows);
    t->n_cols = size_of(t->spec, roles[t->role].cols);
    expand(t->spec->names[t->role], t);
    return true;
}
