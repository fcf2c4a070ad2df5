#include "extract/model/spec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "extract/model/families/families.h"

#define OL_FAMILY(name) extern const struct ol_family ol_family_##name;
#include "extract/model/families/list.h"

const struct ol_family *const ol_families[] = {
#define OL_FAMILY(name) &ol_family_##name,
#include "extract/model/families/list.h"
    NULL};

static const struct ol_family *find_family(const char *file, const char *type,
                                           struct ol_error *err)
{
    char *known = ol_xstrdup("");
    for (int i = 0; ol_families[i] != NULL; i++) {
        if (strcmp(ol_families[i]->model_type, type) == 0) {
            free(known);
            return ol_families[i];
        }
        char *longer =
            ol_xasprintf("%s%s%s", known, i > 0 ? ", " : "", ol_families[i]->model_type);
        free(known);
        known = longer;
    }
    ol_fail(err, "%s: model_type \"%s\" is not supported; known: %s", file, type, known);
    free(known);
    return NULL;
}

static int read_spec(struct ol_config config, struct ol_spec *spec,
                     struct ol_config_notes *notes, struct ol_error *err)
{
    const char *type;
    if (ol_config_string_or(config, "model_type", NULL, &type, err) != 0)
        return -1;
    if (type == NULL)
        return ol_fail(err, "%s: key \"model_type\" is missing", config.file);
    const struct ol_family *family = find_family(config.file, type, err);
    if (family == NULL)
        return -1;
    spec->family = family->model_type;
    return family->read(config, spec, err) == 0
               ? ol_config_check(config, spec->family, notes, err)
               : -1;
}

int ol_spec_read(struct ol_json_section config, struct ol_spec *spec,
                 struct ol_config_notes *notes, struct ol_error *err)
{
    *spec = (struct ol_spec){0};
    *notes = (struct ol_config_notes){0};
    struct ol_config_reads *reads = ol_config_reads_new();
    const int status =
        read_spec((struct ol_config){config.file, config.json, reads}, spec, notes, err);
    ol_config_reads_free(reads);
    return status;
}

int ol_spec_check_length(const struct ol_spec *spec, int64_t length, struct ol_error *err)
{
    if (spec->n_positions > 0 && length > spec->n_positions)
        return ol_fail(err,
                       "sequences of %lld tokens: model_type %s has embeddings for %d "
                       "positions; give -l %d or less",
                       (long long)length, spec->family, spec->n_positions,
                       spec->n_positions);
    return 0;
}

bool ol_spec_chooses(const struct ol_spec *spec, int64_t longest)
{
    const struct ol_index_spec *index = &spec->attention.index;
    const int64_t n_keys = index->rate > 0 ? longest / index->rate : longest;
    return index->top_k > 0 && n_keys > index->top_k;
}

int64_t ol_spec_stream_width(const struct ol_spec *spec)
{
    const int64_t n = spec->connection.n_streams > 0 ? spec->connection.n_streams : 1;
    return n * spec->d_model;
}

void ol_spec_clear(struct ol_spec *spec)
{
    free(spec->layers);
    *spec = (struct ol_spec){0};
}

bool ol_spec_has_apart(const struct ol_spec *spec)
{
    return spec->names[OL_ROLE_ROUTER_NORM] != NULL ||
           spec->names[OL_ROLE_EXPERT_NORM] != NULL;
}

bool ol_spec_mixes(const struct ol_spec *spec, int layer)
{
    return spec->layers[layer].attention != OL_ATTENTION_NONE;
}

bool ol_spec_attends(const struct ol_spec *spec, int layer)
{
    switch (spec->layers[layer].attention) {
    case OL_ATTENTION_FULL:
    case OL_ATTENTION_SLIDING:
    case OL_ATTENTION_CHUNKED:
    case OL_ATTENTION_COMPRESSED:
        return true;
    case OL_ATTENTION_LINEAR:
    case OL_ATTENTION_MAMBA:
    case OL_ATTENTION_NONE:
        return false;
    }
    return false;
}

bool ol_spec_shares_table(const struct ol_spec *spec)
{
    return spec->tied_embeddings && !spec->head_stored;
}

int ol_spec_expert_io(const struct ol_spec *spec)
{
    return spec->d_latent > 0 ? spec->d_latent : spec->d_model;
}

const char *ol_spec_layer_kind(const struct ol_spec *spec, int layer)
{
    const struct ol_layer_spec *l = &spec->layers[layer];
    return l->no_mlp ? "none" : l->moe ? "moe" : "dense";
}

int ol_spec_d_ff(const struct ol_spec *spec, int layer)
{
    const struct ol_layer_spec *l = &spec->layers[layer];
    return l->moe || l->no_mlp ? 0 : spec->d_ff * (l->wide ? 2 : 1);
}

int ol_spec_widest_d_ff(const struct ol_spec *spec)
{
    int widest = 0;
    for (int l = 0; l < spec->n_layers; l++)
        widest = ol_spec_d_ff(spec, l) > widest ? ol_spec_d_ff(spec, l) : widest;
    return widest;
}

const struct ol_attention_spec *ol_spec_attention(const struct ol_spec *spec, int layer)
{
    const bool own = spec->layers[layer].attention == OL_ATTENTION_SLIDING &&
                     spec->sliding.n_heads > 0;
    return own ? &spec->sliding : &spec->attention;
}

int ol_spec_mixed_heads(const struct ol_spec *spec, int layer)
{
    switch (spec->layers[layer].attention) {
    case OL_ATTENTION_FULL:
    case OL_ATTENTION_SLIDING:
    case OL_ATTENTION_CHUNKED:
    case OL_ATTENTION_COMPRESSED:
        return ol_spec_attention(spec, layer)->n_heads;
    case OL_ATTENTION_LINEAR:
        return spec->delta_net.n_value_heads;
    case OL_ATTENTION_MAMBA:
        return spec->mamba.n_heads;
    case OL_ATTENTION_NONE:
        break;
    }
    return 0;
}

const char *ol_attention_kind_name(enum ol_attention_kind kind)
{
    static const char *const names[] = {
        [OL_ATTENTION_FULL] = "full",
        [OL_ATTENTION_SLIDING] = "sliding",
        [OL_ATTENTION_CHUNKED] = "chunked",
        [OL_ATTENTION_LINEAR] = "linear",
        [OL_ATTENTION_MAMBA] = "mamba",
        [OL_ATTENTION_NONE] = "none",
        [OL_ATTENTION_COMPRESSED] = "compressed",
    };
    return names[kind];
}

struct ol_json *ol_spec_layers_json(const struct ol_spec *spec)
{
    static const char *const scores[] = {
        [OL_ROUTER_SOFTMAX] = "softmax",
        [OL_ROUTER_SIGMOID] = "sigmoid",
        [OL_ROUTER_SQRT_SOFTPLUS] = "sqrt_softplus",
    };
    struct ol_json *layers = ol_json_new_array();
    for (int l = 0; l < spec->n_layers; l++) {
        const struct ol_layer_spec *layer = &spec->layers[l];
        struct ol_json *object = ol_json_new_object();
        ol_json_set(object, "layer", ol_json_new_int(l));
        ol_json_set(object, "kind", ol_json_new_string(ol_spec_layer_kind(spec, l)));
        ol_json_set(object, "attention",
                    ol_json_new_string(ol_attention_kind_name(layer->attention)));
        if (layer->window > 0)
            ol_json_set(object, "window", ol_json_new_int(layer->window));
        if (layer->rate > 0)
            ol_json_set(object, "rate", ol_json_new_int(layer->rate));
        if (layer->moe) {
            ol_json_set(object, "n_experts", ol_json_new_int(spec->router.n_experts));
            ol_json_set(object, "top_k", ol_json_new_int(spec->router.top_k));
            ol_json_set(
                object, "router",
                ol_json_new_string(layer->given ? "given" : scores[spec->router.score]));
            if (spec->d_latent > 0)
                ol_json_set(object, "experts_read", ol_json_new_string("latent"));
            else if (spec->names[OL_ROLE_EXPERT_NORM] != NULL)
                ol_json_set(object, "experts_read", ol_json_new_string("own norm"));
            if (spec->router.n_group > 1) {
                ol_json_set(object, "n_group", ol_json_new_int(spec->router.n_group));
                ol_json_set(object, "topk_group",
                            ol_json_new_int(spec->router.topk_group));
            }
        }
        ol_json_append(layers, object);
    }
    return layers;
}

/* The most keys and entries that a query of a layer sees; 0 where there are no entries.
 */
static int64_t compressed_keys(const struct ol_spec *spec, int layer, int64_t longest)
{
    const struct ol_layer_spec *l = &spec->layers[layer];
    if (!spec->attention.shared_key)
        return 0;
    const bool chosen = l->indexer && ol_spec_chooses(spec, longest);
    const int64_t entries = chosen        ? spec->attention.index.top_k
                            : l->rate > 0 ? longest / l->rate
                                          : 0;
    return (l->window < longest ? l->window : longest) + entries;
}

struct ol_product_sizes ol_spec_products(const struct ol_spec *spec, int64_t n_rows,
                                         int64_t longest)
{
    const struct ol_attention_spec *a = &spec->attention, *sliding = &spec->sliding;
    const struct ol_delta_net_spec *d = &spec->delta_net;
    const struct ol_mamba_spec *m = &spec->mamba;
    const int64_t depths[] = {spec->d_model,
                              (int64_t)a->n_heads * a->value_dim /
                                  (a->out_groups > 0 ? a->out_groups : 1),
                              (int64_t)a->out_groups * a->out_rank,
                              (int64_t)sliding->n_heads * sliding->value_dim /
                                  (sliding->out_groups > 0 ? sliding->out_groups : 1),
                              ol_spec_widest_d_ff(spec),
                              spec->d_input,
                              spec->d_expert,
                              spec->d_shared,
                              a->q_rank,
                              a->kv_rank,
                              spec->d_latent,
                              (int64_t)m->n_heads * m->head_dim,
                              (int64_t)d->n_value_heads * d->value_dim};
    const int top_k = spec->router.top_k;
    struct ol_product_sizes sizes = {.rows = n_rows * (top_k > 1 ? top_k : 1),
                                     .head_depth = spec->d_model,
                                     .head_rows = spec->vocab_size};
    for (size_t i = 0; i < sizeof depths / sizeof depths[0]; i++)
        sizes.deepest = depths[i] > sizes.deepest ? depths[i] : sizes.deepest;
    for (int l = 0; l < spec->n_layers; l++) {
        const int64_t keys = compressed_keys(spec, l, longest);
        if (keys > sizes.compressed_keys)
            sizes.compressed_keys = keys;
    }
    if (sizes.compressed_keys > 0) {
        sizes.compressed_heads = a->n_heads;
        sizes.compressed_dim = a->head_dim;
    }
    return sizes;
}
