#include "extract/model/role.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* Where in the model a role is, and in which layers. */
enum place {
    PLACE_EMBEDDING,
    PLACE_MODEL, /* a norm behind the layers */
    PLACE_HEAD,
    PLACE_LAYER,     /* what scales a layer's stream */
    PLACE_MIXER,     /* a norm of layers with a mixer */
    PLACE_ATTENTION, /* layers with attention */
    PLACE_KEYS,      /* of these, where keys are no other layer's */
    PLACE_VALUES,    /* of these, where keys are not values too */
    PLACE_LINEAR,    /* layers with a delta net in its place */
    PLACE_MAMBA,     /* layers with Mamba-2 in its place */
    PLACE_INDEX,     /* layers with an indexer */
    PLACE_ENTRIES,   /* layers whose earlier keys are entries */
    PLACE_MLP,       /* a norm of layers with an MLP */
    PLACE_INPUT,     /* what a layer takes of an input of its own */
    PLACE_DENSE,
    PLACE_MOE,
    PLACE_GIVEN,  /* of these, where a table says who is chosen, */
    PLACE_CHOSEN, /* and the others */
    PLACE_SHARED,
    PLACE_EXPERTS, /* what the routed experts of a layer have in common */
    PLACE_EXPERT,
};

/* Sizes that shapes are made of; ONE row: a vector. */
enum size {
    ONE,
    D_MODEL,
    VOCAB,
    POSITIONS,
    INPUT_ROWS,
    INPUTS, /* of all layers */
    D_INPUT,
    Q_OUT, /* Q_WIDTH, and as much for gates */
    Q_IN,
    KV_WIDTH,
    QKV_OUT,
    O_IN,
    Q_NORM,
    K_NORM,
    HEADS,
    Q_RANK,
    KV_RANK,
    KV_A_OUT,
    KV_B_OUT,
    INDEX_HEADS,
    INDEX_HEAD_DIM,
    INDEX_KEY, /* INDEX_HEAD_DIM, and as much where entries overlap */
    INDEX_OUT,
    RATE,
    ENTRY_OUT, /* a head's values, and as many where entries overlap */
    ENTRY_DIM,
    O_A_OUT,
    O_A_IN,
    STREAM, /* of all streams */
    STREAMS,
    MIXING, /* STREAMS (2 + STREAMS) */
    MIXING_KINDS,
    TOP_K,
    DELTA_QKVZ,
    DELTA_CHANNELS,
    DELTA_KERNEL,
    DELTA_VALUES, /* of all value heads */
    DELTA_VALUE_DIM,
    DELTA_HEADS,
    DELTA_BA,
    MAMBA_IN,
    MAMBA_CHANNELS,
    MAMBA_KERNEL,
    MAMBA_HEADS,
    MAMBA_WIDTH, /* of all heads */
    D_FF,
    TWICE_D_FF,
    EXPERTS,
    D_EXPERT,
    D_SHARED,
    D_LATENT,
    EXPERT_IO, /* D_LATENT or D_MODEL */
    SINGLE     /* a matrix of one row */
};

static const struct {
    enum place place;
    enum size rows, cols;
} roles[OL_N_ROLES] = {
    [OL_ROLE_EMBEDDING] = {PLACE_EMBEDDING, VOCAB, D_MODEL},
    [OL_ROLE_POSITIONS] = {PLACE_EMBEDDING, POSITIONS, D_MODEL},
    [OL_ROLE_INPUT_TABLE] = {PLACE_EMBEDDING, INPUT_ROWS, INPUTS},
    [OL_ROLE_INPUT_PROJECTION] = {PLACE_EMBEDDING, INPUTS, D_MODEL},
    [OL_ROLE_INPUT_NORM] = {PLACE_MODEL, ONE, D_INPUT},
    [OL_ROLE_FINAL_NORM_BIAS] = {PLACE_MODEL, ONE, D_MODEL},
    [OL_ROLE_FINAL_NORM] = {PLACE_MODEL, ONE, D_MODEL},
    [OL_ROLE_HEAD_CONNECTION] = {PLACE_HEAD, STREAMS, STREAM},
    [OL_ROLE_HEAD_CONNECTION_BASE] = {PLACE_HEAD, ONE, STREAMS},
    [OL_ROLE_HEAD_CONNECTION_SCALE] = {PLACE_HEAD, ONE, SINGLE},
    [OL_ROLE_LM_HEAD] = {PLACE_HEAD, VOCAB, D_MODEL},
    [OL_ROLE_INDEX_Q] = {PLACE_INDEX, INDEX_OUT, Q_RANK},
    [OL_ROLE_INDEX_K] = {PLACE_INDEX, INDEX_KEY, D_MODEL},
    [OL_ROLE_INDEX_GATES] = {PLACE_INDEX, INDEX_KEY, D_MODEL},
    [OL_ROLE_INDEX_PLACES] = {PLACE_INDEX, RATE, INDEX_KEY},
    [OL_ROLE_INDEX_K_NORM] = {PLACE_INDEX, ONE, INDEX_HEAD_DIM},
    [OL_ROLE_INDEX_K_NORM_BIAS] = {PLACE_INDEX, ONE, INDEX_HEAD_DIM},
    [OL_ROLE_INDEX_WEIGHTS] = {PLACE_INDEX, INDEX_HEADS, D_MODEL},
    [OL_ROLE_ATTN_NORM_BIAS] = {PLACE_MIXER, ONE, D_MODEL},
    [OL_ROLE_ATTN_NORM] = {PLACE_MIXER, ONE, D_MODEL},
    [OL_ROLE_ATTN_CONNECTION] = {PLACE_MIXER, MIXING, STREAM},
    [OL_ROLE_ATTN_CONNECTION_BASE] = {PLACE_MIXER, ONE, MIXING},
    [OL_ROLE_ATTN_CONNECTION_SCALE] = {PLACE_MIXER, ONE, MIXING_KINDS},
    [OL_ROLE_Q_A] = {PLACE_ATTENTION, Q_RANK, D_MODEL},
    [OL_ROLE_Q_A_BIAS] = {PLACE_ATTENTION, ONE, Q_RANK},
    [OL_ROLE_Q_A_NORM] = {PLACE_ATTENTION, ONE, Q_RANK},
    [OL_ROLE_Q] = {PLACE_ATTENTION, Q_OUT, Q_IN},
    [OL_ROLE_K] = {PLACE_KEYS, KV_WIDTH, D_MODEL},
    [OL_ROLE_V] = {PLACE_VALUES, KV_WIDTH, D_MODEL},
    [OL_ROLE_QKV_BIAS] = {PLACE_ATTENTION, ONE, QKV_OUT},
    [OL_ROLE_QKV] = {PLACE_ATTENTION, QKV_OUT, D_MODEL},
    [OL_ROLE_KV_A] = {PLACE_ATTENTION, KV_A_OUT, D_MODEL},
    [OL_ROLE_KV_A_BIAS] = {PLACE_ATTENTION, ONE, KV_A_OUT},
    [OL_ROLE_KV_A_NORM] = {PLACE_ATTENTION, ONE, KV_RANK},
    [OL_ROLE_KV_B] = {PLACE_ATTENTION, KV_B_OUT, KV_RANK},
    [OL_ROLE_ENTRY_VALUES] = {PLACE_ENTRIES, ENTRY_OUT, D_MODEL},
    [OL_ROLE_ENTRY_GATES] = {PLACE_ENTRIES, ENTRY_OUT, D_MODEL},
    [OL_ROLE_ENTRY_PLACES] = {PLACE_ENTRIES, RATE, ENTRY_OUT},
    [OL_ROLE_ENTRY_NORM] = {PLACE_ENTRIES, ONE, ENTRY_DIM},
    [OL_ROLE_O_A] = {PLACE_ATTENTION, O_A_OUT, O_A_IN},
    [OL_ROLE_O] = {PLACE_ATTENTION, D_MODEL, O_IN},
    [OL_ROLE_Q_BIAS] = {PLACE_ATTENTION, ONE, Q_OUT},
    [OL_ROLE_K_BIAS] = {PLACE_KEYS, ONE, KV_WIDTH},
    [OL_ROLE_V_BIAS] = {PLACE_VALUES, ONE, KV_WIDTH},
    [OL_ROLE_O_BIAS] = {PLACE_ATTENTION, ONE, D_MODEL},
    [OL_ROLE_Q_NORM] = {PLACE_ATTENTION, ONE, Q_NORM},
    [OL_ROLE_K_NORM] = {PLACE_KEYS, ONE, K_NORM},
    [OL_ROLE_SINKS] = {PLACE_ATTENTION, ONE, HEADS},
    [OL_ROLE_DELTA_QKVZ] = {PLACE_LINEAR, DELTA_QKVZ, D_MODEL},
    [OL_ROLE_DELTA_BA] = {PLACE_LINEAR, DELTA_BA, D_MODEL},
    [OL_ROLE_DELTA_QKV] = {PLACE_LINEAR, DELTA_CHANNELS, D_MODEL},
    [OL_ROLE_DELTA_Z] = {PLACE_LINEAR, DELTA_VALUES, D_MODEL},
    [OL_ROLE_DELTA_B] = {PLACE_LINEAR, DELTA_HEADS, D_MODEL},
    [OL_ROLE_DELTA_A] = {PLACE_LINEAR, DELTA_HEADS, D_MODEL},
    [OL_ROLE_DELTA_CONV] = {PLACE_LINEAR, DELTA_CHANNELS, DELTA_KERNEL},
    [OL_ROLE_DELTA_DT_BIAS] = {PLACE_LINEAR, ONE, DELTA_HEADS},
    [OL_ROLE_DELTA_A_LOG] = {PLACE_LINEAR, ONE, DELTA_HEADS},
    [OL_ROLE_DELTA_NORM] = {PLACE_LINEAR, ONE, DELTA_VALUE_DIM},
    [OL_ROLE_DELTA_OUT] = {PLACE_LINEAR, D_MODEL, DELTA_VALUES},
    [OL_ROLE_MAMBA_IN] = {PLACE_MAMBA, MAMBA_IN, D_MODEL},
    [OL_ROLE_MAMBA_CONV] = {PLACE_MAMBA, MAMBA_CHANNELS, MAMBA_KERNEL},
    [OL_ROLE_MAMBA_CONV_BIAS] = {PLACE_MAMBA, ONE, MAMBA_CHANNELS},
    [OL_ROLE_MAMBA_DT_BIAS] = {PLACE_MAMBA, ONE, MAMBA_HEADS},
    [OL_ROLE_MAMBA_A_LOG] = {PLACE_MAMBA, ONE, MAMBA_HEADS},
    [OL_ROLE_MAMBA_SKIP] = {PLACE_MAMBA, ONE, MAMBA_HEADS},
    [OL_ROLE_MAMBA_NORM] = {PLACE_MAMBA, ONE, MAMBA_WIDTH},
    [OL_ROLE_MAMBA_OUT] = {PLACE_MAMBA, D_MODEL, MAMBA_WIDTH},
    [OL_ROLE_ATTN_POST_NORM] = {PLACE_MIXER, ONE, D_MODEL},
    [OL_ROLE_MLP_NORM_BIAS] = {PLACE_MLP, ONE, D_MODEL},
    [OL_ROLE_MLP_NORM] = {PLACE_MLP, ONE, D_MODEL},
    [OL_ROLE_MLP_CONNECTION] = {PLACE_MLP, MIXING, STREAM},
    [OL_ROLE_MLP_CONNECTION_BASE] = {PLACE_MLP, ONE, MIXING},
    [OL_ROLE_MLP_CONNECTION_SCALE] = {PLACE_MLP, ONE, MIXING_KINDS},
    [OL_ROLE_LAYER_SCALE] = {PLACE_LAYER, ONE, SINGLE},
    [OL_ROLE_INPUT_GATE] = {PLACE_INPUT, D_INPUT, D_MODEL},
    [OL_ROLE_INPUT_OUT] = {PLACE_INPUT, D_MODEL, D_INPUT},
    [OL_ROLE_INPUT_POST_NORM] = {PLACE_LAYER, ONE, D_MODEL},
    [OL_ROLE_MLP_POST_NORM] = {PLACE_MLP, ONE, D_MODEL},
    [OL_ROLE_GATE] = {PLACE_DENSE, D_FF, D_MODEL},
    [OL_ROLE_UP] = {PLACE_DENSE, D_FF, D_MODEL},
    [OL_ROLE_UP_BIAS] = {PLACE_DENSE, ONE, D_FF},
    [OL_ROLE_DOWN_BIAS] = {PLACE_DENSE, ONE, D_MODEL},
    [OL_ROLE_GATE_UP] = {PLACE_DENSE, TWICE_D_FF, D_MODEL},
    [OL_ROLE_DOWN] = {PLACE_DENSE, D_MODEL, D_FF},
    [OL_ROLE_ROUTER] = {PLACE_MOE, EXPERTS, D_MODEL},
    [OL_ROLE_ROUTER_BIAS] = {PLACE_MOE, ONE, EXPERTS},
    [OL_ROLE_ROUTER_NORM] = {PLACE_MOE, ONE, D_MODEL},
    [OL_ROLE_ROUTER_GAINS] = {PLACE_MOE, ONE, EXPERTS},
    [OL_ROLE_EXPERT_NORM] = {PLACE_MOE, ONE, D_MODEL},
    [OL_ROLE_EXPERT_POST_NORM] = {PLACE_MOE, ONE, D_MODEL},
    [OL_ROLE_ROUTER_TABLE] = {PLACE_GIVEN, VOCAB, TOP_K},
    [OL_ROLE_ROUTER_CORRECTION] = {PLACE_CHOSEN, ONE, EXPERTS},
    [OL_ROLE_LATENT_DOWN] = {PLACE_EXPERTS, D_LATENT, D_MODEL},
    [OL_ROLE_LATENT_UP] = {PLACE_EXPERTS, D_MODEL, D_LATENT},
    [OL_ROLE_SHARED_GATE] = {PLACE_SHARED, D_SHARED, D_MODEL},
    [OL_ROLE_SHARED_UP] = {PLACE_SHARED, D_SHARED, D_MODEL},
    [OL_ROLE_SHARED_DOWN] = {PLACE_SHARED, D_MODEL, D_SHARED},
    [OL_ROLE_SHARED_POST_NORM] = {PLACE_SHARED, ONE, D_MODEL},
    [OL_ROLE_SHARED_SWITCH] = {PLACE_SHARED, SINGLE, D_MODEL},
    [OL_ROLE_EXPERT_GATE] = {PLACE_EXPERT, D_EXPERT, EXPERT_IO},
    [OL_ROLE_EXPERT_UP] = {PLACE_EXPERT, D_EXPERT, EXPERT_IO},
    [OL_ROLE_EXPERT_DOWN] = {PLACE_EXPERT, EXPERT_IO, D_EXPERT},
    [OL_ROLE_EXPERT_GATE_BIAS] = {PLACE_EXPERT, ONE, D_EXPERT},
    [OL_ROLE_EXPERT_UP_BIAS] = {PLACE_EXPERT, ONE, D_EXPERT},
    [OL_ROLE_EXPERT_DOWN_BIAS] = {PLACE_EXPERT, ONE, EXPERT_IO},
};

static int64_t size_of(const struct ol_spec *spec, enum size size, int layer)
{
    const struct ol_attention_spec *a = ol_spec_attention(spec, layer);
    const struct ol_delta_net_spec *d = &spec->delta_net;
    const struct ol_mamba_spec *m = &spec->mamba;
    const int64_t mamba_width = (int64_t)m->n_heads * m->head_dim;
    const int64_t mamba_groups = (int64_t)m->n_groups * m->state_dim;
    const int64_t n = spec->connection.n_streams;
    const bool flat = a->qk_norm == OL_QK_NORM_FLAT;
    const int64_t delta_keys = (int64_t)d->n_key_heads * d->key_dim;
    const int64_t delta_values = (int64_t)d->n_value_heads * d->value_dim;
    switch (size) {
    case ONE:
    case SINGLE:
        return 1;
    case D_MODEL:
        return spec->d_model;
    case VOCAB:
        return spec->vocab_size;
    case POSITIONS:
        return spec->n_positions;
    case INPUT_ROWS:
        return spec->n_input_rows;
    case INPUTS:
        return (int64_t)spec->n_layers * spec->d_input;
    case D_INPUT:
        return spec->d_input;
    case Q_OUT:
        return (int64_t)a->n_heads * a->head_dim * (a->gated ? 2 : 1);
    case Q_IN:
        return a->q_rank > 0 ? a->q_rank : spec->d_model;
    case O_IN:
        return a->out_groups > 0 ? (int64_t)a->out_groups * a->out_rank
                                 : (int64_t)a->n_heads * a->value_dim;
    case O_A_OUT:
        return (int64_t)a->out_groups * a->out_rank;
    case O_A_IN:
        return (int64_t)a->n_heads * a->value_dim / a->out_groups;
    case HEADS:
        return a->n_heads;
    case Q_RANK:
        return a->q_rank;
    case KV_RANK:
        return a->kv_rank;
    case KV_A_OUT:
        return a->kv_rank + a->rope.rotary_dim;
    case KV_B_OUT:
        return (int64_t)a->n_heads * (a->head_dim - a->rope.rotary_dim + a->value_dim);
    case INDEX_HEADS:
        return a->index.n_heads;
    case INDEX_HEAD_DIM:
        return a->index.head_dim;
    case INDEX_KEY:
        return a->index.head_dim * (spec->layers[layer].overlaps ? 2 : 1);
    case RATE:
        return spec->layers[layer].rate;
    case ENTRY_OUT:
        return a->head_dim * (spec->layers[layer].overlaps ? 2 : 1);
    case ENTRY_DIM:
        return a->head_dim;
    case STREAM:
        return ol_spec_stream_width(spec);
    case STREAMS:
        return n;
    case MIXING:
        return n * (2 + n);
    case MIXING_KINDS:
        return 3;
    case TOP_K:
        return spec->router.top_k;
    case INDEX_OUT:
        return (int64_t)a->index.n_heads * a->index.head_dim;
    case DELTA_QKVZ:
        return 2 * (delta_keys + delta_values);
    case DELTA_CHANNELS:
        return 2 * delta_keys + delta_values;
    case DELTA_KERNEL:
        return d->kernel;
    case DELTA_VALUES:
        return delta_values;
    case DELTA_VALUE_DIM:
        return d->value_dim;
    case DELTA_HEADS:
        return d->n_value_heads;
    case DELTA_BA:
        return 2 * (int64_t)d->n_value_heads;
    case MAMBA_IN:
        return 2 * (mamba_width + mamba_groups) + m->n_heads;
    case MAMBA_CHANNELS:
        return mamba_width + 2 * mamba_groups;
    case MAMBA_KERNEL:
        return m->kernel;
    case MAMBA_HEADS:
        return m->n_heads;
    case MAMBA_WIDTH:
        return mamba_width;
    case KV_WIDTH:
        return (int64_t)a->n_kv_heads * a->head_dim;
    case QKV_OUT:
        return ((int64_t)a->n_heads + 2 * a->n_kv_heads) * a->head_dim;
    case Q_NORM:
        return (int64_t)(flat ? a->n_heads : 1) * a->head_dim;
    case K_NORM:
        return (int64_t)(flat ? a->n_kv_heads : 1) * a->head_dim;
    case D_FF:
        return ol_spec_d_ff(spec, layer);
    case TWICE_D_FF:
        return 2 * (int64_t)ol_spec_d_ff(spec, layer);
    case EXPERTS:
        return spec->router.n_experts;
    case D_EXPERT:
        return spec->d_expert;
    case D_SHARED:
        return spec->d_shared;
    case D_LATENT:
        return spec->d_latent;
    case EXPERT_IO:
        return ol_spec_expert_io(spec);
    }
    assert(false && "a size of no kind");
    return 0;
}

int64_t ol_role_parameters(const struct ol_role_tensor *t)
{
    const bool counted = t->role == OL_ROLE_LM_HEAD && t->spec->tied_embeddings;
    return t->role == OL_ROLE_ROUTER_TABLE || counted ? 0 : t->n_rows * t->n_cols;
}

enum ol_role_kind ol_role_kind(enum ol_role role)
{
    switch (roles[role].place) {
    case PLACE_EMBEDDING:
        return OL_WEIGHTS_EMBEDDING;
    case PLACE_MODEL:
    case PLACE_LAYER:
    case PLACE_MIXER:
    case PLACE_MLP:
        return OL_WEIGHTS_NORM;
    case PLACE_ATTENTION:
    case PLACE_KEYS:
    case PLACE_VALUES:
    case PLACE_LINEAR:
    case PLACE_MAMBA:
    case PLACE_INDEX:
    case PLACE_ENTRIES:
        return OL_WEIGHTS_MIXER;
    case PLACE_INPUT:
    case PLACE_DENSE:
        return OL_WEIGHTS_DENSE;
    case PLACE_MOE:
    case PLACE_GIVEN:
    case PLACE_CHOSEN:
        return OL_WEIGHTS_ROUTER;
    case PLACE_SHARED:
        return OL_WEIGHTS_SHARED;
    case PLACE_EXPERTS:
    case PLACE_EXPERT:
        return OL_WEIGHTS_ROUTED;
    case PLACE_HEAD:
        break;
    }
    return OL_WEIGHTS_HEAD;
}

bool ol_role_is_multiplied(enum ol_role role)
{
    switch (role) {
    case OL_ROLE_HEAD_CONNECTION:
    case OL_ROLE_ATTN_CONNECTION:
    case OL_ROLE_MLP_CONNECTION:
    case OL_ROLE_ENTRY_PLACES:
    case OL_ROLE_INDEX_PLACES:
    case OL_ROLE_ROUTER_TABLE:
        return false;
    default:
        return roles[role].rows != ONE;
    }
}

bool ol_role_has_layer(enum ol_role role)
{
    return roles[role].place >= PLACE_LAYER;
}

bool ol_role_has_expert(enum ol_role role)
{
    return roles[role].place == PLACE_EXPERT;
}

bool ol_role_convolves(enum ol_role role)
{
    return role == OL_ROLE_DELTA_CONV || role == OL_ROLE_MAMBA_CONV;
}

bool ol_role_exists(const struct ol_spec *spec, enum ol_role role, int layer)
{
    if (spec->names[role] == NULL ||
        (role == OL_ROLE_LM_HEAD && ol_spec_shares_table(spec)))
        return false;
    const struct ol_layer_spec *l = &spec->layers[layer];
    switch (roles[role].place) {
    case PLACE_EMBEDDING:
    case PLACE_MODEL:
    case PLACE_HEAD:
    case PLACE_LAYER:
    case PLACE_INPUT:
        return true;
    case PLACE_MIXER:
        return ol_spec_mixes(spec, layer);
    case PLACE_ATTENTION:
        return ol_spec_attends(spec, layer);
    case PLACE_KEYS:
        return ol_spec_attends(spec, layer) && !l->borrows_keys;
    case PLACE_VALUES:
        return ol_spec_attends(spec, layer) && !l->borrows_keys &&
               !ol_spec_attention(spec, layer)->keys_are_values;
    case PLACE_LINEAR:
        return l->attention == OL_ATTENTION_LINEAR;
    case PLACE_MAMBA:
        return l->attention == OL_ATTENTION_MAMBA;
    case PLACE_INDEX:
        return l->indexer;
    case PLACE_MLP:
        return !l->no_mlp;
    case PLACE_ENTRIES:
        return l->rate > 0;
    case PLACE_GIVEN:
        return l->given;
    case PLACE_CHOSEN:
        return l->moe && !l->given;
    case PLACE_DENSE:
        return !l->no_mlp && !l->moe;
    case PLACE_MOE:
    case PLACE_SHARED:
    case PLACE_EXPERTS:
    case PLACE_EXPERT:
        return l->moe;
    }
    return false;
}

/* The template with {l} and {e} replaced, in text [OL_ROLE_NAME_BYTES]. Templates come
 * from the families' source, so one that does not fit is a mistake there. */
static void expand(const char *template, const struct ol_role_tensor *t, char *text)
{
    static const char body[] = "model.";
    const struct ol_name_form *form = &t->spec->form;
    size_t used = 0;
    if (form->body != NULL) {
        const bool of_body = strncmp(template, body, sizeof body - 1) == 0;
        used = (size_t)snprintf(text, OL_ROLE_NAME_BYTES, "%s",
                                of_body ? form->body : form->head);
        template += of_body ? sizeof body - 1 : 0;
    }
    while (*template != '\0') {
        const size_t room = OL_ROLE_NAME_BYTES - used;
        const bool layer = strncmp(template, "{l}", 3) == 0;
        int n = 1;
        if (layer || strncmp(template, "{e}", 3) == 0) {
            n = snprintf(text + used, room, "%d", layer ? t->layer : t->expert);
            template += 3;
        } else {
            text[used] = *template ++;
        }
        used += (size_t)n;
        assert(used < OL_ROLE_NAME_BYTES);
    }
    text[used] = '\0';
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
    t->role = OL_ROLE_INDEX_Q;
    return ++t->layer < t->spec->n_layers;
}

static void describe(struct ol_role_tensor *t)
{
    t->vector = roles[t->role].rows == ONE;
    t->n_rows = size_of(t->spec, roles[t->role].rows, t->layer);
    t->n_cols = size_of(t->spec, roles[t->role].cols, t->layer);
    expand(t->spec->names[t->role], t, t->name);
    t->fused_name[0] = '\0';
    if (t->spec->fused_names[t->role] != NULL)
        expand(t->spec->fused_names[t->role], t, t->fused_name);
}

bool ol_role_next(struct ol_role_tensor *t)
{
    do {
        if (!advance(t))
            return false;
    } while (!ol_role_exists(t->spec, t->role, t->layer));
    describe(t);
    return true;
}

void ol_role_at(const struct ol_spec *spec, enum ol_role role, int layer, int expert,
                struct ol_role_tensor *t)
{
    *t = (struct ol_role_tensor){.spec = spec,
                                 .started = true,
                                 .role = role,
                                 .layer = ol_role_has_layer(role) ? layer : 0,
                                 .expert = ol_role_has_expert(role) ? expert : 0};
    describe(t);
}
