/* What stands where, and writing it. */
#include "common/activation_content.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/utf8.h"

const char *ol_site_name(enum ol_site site)
{
    static const char *const names[OL_N_SITES] = {
        [OL_SITE_LN_ATTN] = "ln_attn",
        [OL_SITE_LN_MLP] = "ln_mlp",
        [OL_SITE_RESIDUAL_ATTN] = "residual_attn",
        [OL_SITE_RESIDUAL_MLP] = "residual_mlp",
    };
    return names[site];
}

/* ---- attributes ---- */

enum kind { TEXT, INTEGER, BOOLEAN };

static const struct attribute {
    const char *object, *name;
    enum kind kind;
    size_t offset; /* in struct ol_activation_info */
} attributes[] = {
#define AT(member) offsetof(struct ol_activation_info, member)
    {"/", "tool", TEXT, AT(tool)},
    {"/", "tool_version", TEXT, AT(tool_version)},
    {"/", "command_line", TEXT, AT(command_line)},
    {"/", "created", TEXT, AT(created)},
    {"/", "backend", TEXT, AT(backend)},
    {"/", "precision", TEXT, AT(precision)},
    {"/", "device", TEXT, AT(device)},
    {"/model", "name", TEXT, AT(model.name)},
    {"/model", "family", TEXT, AT(model.family)},
    {"/model", "config_json", TEXT, AT(model.config_json)},
    {"/model", "n_layers", INTEGER, AT(model.n_layers)},
    {"/model", "d_model", INTEGER, AT(model.d_model)},
    {"/model", "vocab_size", INTEGER, AT(model.vocab_size)},
    {"/model", "n_experts", INTEGER, AT(model.n_experts)},
    {"/model", "top_k", INTEGER, AT(model.top_k)},
    {"/model", "total_parameters", INTEGER, AT(model.total_parameters)},
    {"/model", "active_parameters", INTEGER, AT(model.active_parameters)},
    {"/model", "weight_format", TEXT, AT(model.weight_format)},
    {"/model", "config_sha256", TEXT, AT(model.config_sha256)},
    {"/model", "weights_sha256", TEXT, AT(model.weights_sha256)},
    {"/model", "layers_json", TEXT, AT(model.layers_json)},
    {"/input", "source", TEXT, AT(input.source)},
    {"/input", "text_sha256", TEXT, AT(input.text_sha256)},
    {"/input", "tokenizer_sha256", TEXT, AT(input.tokenizer_sha256)},
    {"/input", "windowing", TEXT, AT(input.windowing)},
    {"/input", "bos", BOOLEAN, AT(input.bos)},
#undef AT
};
enum { N_ATTRIBUTES = sizeof attributes / sizeof attributes[0] };

static const void *member(const struct ol_activation_info *info,
                          const struct attribute *a)
{
    return (const char *)info + a->offset;
}

static const char *text_of(const struct ol_activation_info *info,
                           const struct attribute *a)
{
    const char *text = *(char *const *)member(info, a);
    return text != NULL ? text : "";
}

void ol_activation_info_clear(struct ol_activation_info *info)
{
    for (int i = 0; i < N_ATTRIBUTES; i++)
        if (attributes[i].kind == TEXT)
            free(*(char *const *)member(info, &attributes[i]));
    *info = (struct ol_activation_info){0};
}

const char *ol_activation_info_difference(const struct ol_activation_info *a,
                                          const struct ol_activation_info *b)
{
    for (int i = 0; i < N_ATTRIBUTES; i++) {
        const struct attribute *at = &attributes[i];
        const void *x = member(a, at), *y = member(b, at);
        if (strcmp(at->name, "created") == 0 || strcmp(at->name, "command_line") == 0)
            continue;
        if (at->kind == TEXT      ? strcmp(text_of(a, at), text_of(b, at)) != 0
            : at->kind == INTEGER ? *(const int64_t *)x != *(const int64_t *)y
                                  : *(const bool *)x != *(const bool *)y)
            return at->name;
    }
    return NULL;
}

/* What is not UTF-8 (a file name may be anything) is written with U+FFFD. */
static int put_text(struct ol_h5 *h, const char *object, const char *name,
                    const char *text, struct ol_error *err)
{
    char *clean = ol_utf8_lossy(text, strlen(text), NULL);
    const int status = ol_h5_put_text(h, object, name, clean, err);
    free(clean);
    return status;
}

static int put_attributes(struct ol_h5 *h, const struct ol_activation_info *info,
                          struct ol_error *err)
{
    for (int i = 0; i < N_ATTRIBUTES; i++) {
        const struct attribute *a = &attributes[i];
        const void *value = member(info, a);
        int status = 0;
        if (a->kind == TEXT)
            status = put_text(h, a->object, a->name, text_of(info, a), err);
        else if (a->kind == INTEGER)
            status = ol_h5_put_int(h, a->object, a->name, *(const int64_t *)value, err);
        else
            status = ol_h5_put_bool(h, a->object, a->name, *(const bool *)value, err);
        if (status != 0)
            return -1;
    }
    return 0;
}

int ol_activation_get_attributes(const struct ol_h5 *h, struct ol_activation_info *info,
                                 struct ol_error *err)
{
    for (int i = 0; i < N_ATTRIBUTES; i++) {
        const struct attribute *a = &attributes[i];
        char *value = (char *)info + a->offset;
        int status = 0;
        if (a->kind == TEXT)
            status = ol_h5_get_text(h, a->object, a->name, (char **)(void *)value, err);
        else if (a->kind == INTEGER)
            status = ol_h5_get_int(h, a->object, a->name, (int64_t *)(void *)value, err);
        else
            status = ol_h5_get_bool(h, a->object, a->name, (bool *)(void *)value, err);
        if (status != 0)
            return -1;
    }
    return 0;
}

/* ---- tables ---- */

bool ol_activation_same_layers(const struct ol_activation_layout *a,
                               const struct ol_activation_layout *b)
{
    if (a->n_layers != b->n_layers)
        return false;
    for (int l = 0; l < a->n_layers; l++)
        if (a->layers[l].number != b->layers[l].number ||
            a->layers[l].moe != b->layers[l].moe ||
            a->layers[l].top_k != b->layers[l].top_k ||
            strcmp(a->layers[l].attention, b->layers[l].attention) != 0 ||
            memcmp(a->layers[l].sites, b->layers[l].sites, sizeof a->layers[l].sites) !=
                0)
            return false;
    return true;
}

static const char *table_name(int table)
{
    switch (table) {
    case OL_TABLE_ROUTER_IDS:
        return "router_ids";
    case OL_TABLE_ROUTER_WEIGHTS:
        return "router_weights";
    default:
        return ol_site_name((enum ol_site)table);
    }
}

void ol_activation_table_path(char path[64], int layer, int table)
{
    snprintf(path, 64, "/layers/%03d/%s", layer, table_name(table));
}

bool ol_activation_has_table(const struct ol_activation_layer *layer, int table)
{
    return table < OL_N_SITES ? layer->sites[table] : layer->top_k > 0;
}

static enum ol_h5_type table_type(const struct ol_activation_layout *layout, int table)
{
    switch (table) {
    case OL_TABLE_ROUTER_IDS:
        return OL_H5_U16;
    case OL_TABLE_ROUTER_WEIGHTS:
        return OL_H5_F32;
    default:
        return layout->dtype == OL_DTYPE_F32 ? OL_H5_F32 : OL_H5_BF16;
    }
}

struct ol_h5_shape ol_activation_table_shape(const struct ol_activation_layout *layout,
                                             const struct ol_activation_layer *layer,
                                             int table)
{
    const int64_t width = table < OL_N_SITES ? layout->d_model : layer->top_k;
    return (struct ol_h5_shape){
        .type = table_type(layout, table),
        .rank = 3,
        .dims = {layout->n_sequences, layout->n_tokens, width},
        .chunked = true,
        .chunk = {1, layout->n_tokens, width},
    };
}

struct ol_h5_shape ol_activation_nll_shape(const struct ol_activation_layout *layout)
{
    return (struct ol_h5_shape){
        .type = OL_H5_F32,
        .rank = 2,
        .dims = {layout->n_sequences, layout->n_tokens},
        .chunked = true,
        .chunk = {1, layout->n_tokens},
    };
}

static size_t type_bytes(enum ol_h5_type type)
{
    return type == OL_H5_F32 || type == OL_H5_I32 ? 4 : 2;
}

size_t ol_activation_row_bytes(const struct ol_activation_layout *layout,
                               const struct ol_activation_layer *layer, int table)
{
    const struct ol_h5_shape shape = ol_activation_table_shape(layout, layer, table);
    return (size_t)shape.dims[2] * type_bytes(shape.type);
}

/* Bytes of the smallest chunk: everything from that size on is aligned. */
static int64_t smallest_chunk(const struct ol_activation_layout *layout)
{
    int64_t smallest = layout->nll ? layout->n_tokens * 4 : OL_ACTIVATION_ALIGNMENT;
    for (int l = 0; l < layout->n_layers; l++)
        for (int t = 0; t < OL_N_TABLES; t++) {
            const struct ol_activation_layer *layer = &layout->layers[l];
            if (!ol_activation_has_table(layer, t))
                continue;
            const int64_t bytes =
                layout->n_tokens * (int64_t)ol_activation_row_bytes(layout, layer, t);
            smallest = bytes < smallest ? bytes : smallest;
        }
    return smallest;
}

/* ---- writing ---- */

static int write_input(struct ol_h5 *h, const struct ol_activation_layout *layout,
                       const struct ol_activation_input *input, struct ol_error *err)
{
    const struct ol_h5_shape ids = {
        .type = OL_H5_I32, .rank = 2, .dims = {layout->n_sequences, layout->n_tokens}};
    const struct ol_h5_shape lengths = {
        .type = OL_H5_I32, .rank = 1, .dims = {layout->n_sequences}};
    const struct ol_h5_shape piece_ids = {
        .type = OL_H5_I32, .rank = 1, .dims = {input->n_pieces}};
    const struct ol_h5_shape pieces = {
        .type = OL_H5_TEXT, .rank = 1, .dims = {input->n_pieces}};
    const struct ol_h5_shape nll = ol_activation_nll_shape(layout);
    if (ol_h5_make_dataset(h, "/input/token_ids", &ids, err) != 0 ||
        ol_h5_write(h, "/input/token_ids", OL_H5_I32, input->token_ids, err) != 0 ||
        ol_h5_make_dataset(h, "/input/lengths", &lengths, err) != 0 ||
        ol_h5_write(h, "/input/lengths", OL_H5_I32, input->lengths, err) != 0)
        return -1;
    if (input->n_pieces > 0 &&
        (ol_h5_make_dataset(h, "/input/piece_ids", &piece_ids, err) != 0 ||
         ol_h5_write(h, "/input/piece_ids", OL_H5_I32, input->piece_ids, err) != 0 ||
         ol_h5_make_dataset(h, "/input/pieces", &pieces, err) != 0 ||
         ol_h5_write(h, "/input/pieces", OL_H5_TEXT, input->pieces, err) != 0))
        return -1;
    return layout->nll ? ol_h5_make_dataset(h, "/input/nll", &nll, err) : 0;
}

static int write_layer(struct ol_h5 *h, const struct ol_activation_layout *layout,
                       const struct ol_activation_layer *layer, struct ol_error *err)
{
    char path[64];
    snprintf(path, sizeof path, "/layers/%03d", layer->number);
    if (ol_h5_make_group(h, path, err) != 0 ||
        ol_h5_put_text(h, path, "kind", layer->moe ? "moe" : "dense", err) != 0 ||
        ol_h5_put_text(h, path, "attention", layer->attention, err) != 0)
        return -1;
    for (int t = 0; t < OL_N_TABLES; t++) {
        if (!ol_activation_has_table(layer, t))
            continue;
        const struct ol_h5_shape shape = ol_activation_table_shape(layout, layer, t);
        ol_activation_table_path(path, layer->number, t);
        if (ol_h5_make_dataset(h, path, &shape, err) != 0)
            return -1;
    }
    return 0;
}

static int write_all(struct ol_h5 *h, const struct ol_activation_info *info,
                     const struct ol_activation_layout *layout,
                     const struct ol_activation_input *input, struct ol_error *err)
{
    if (ol_h5_put_text(h, "/", "format", OL_ACTIVATION_FORMAT, err) != 0 ||
        ol_h5_put_int(h, "/", "format_version", OL_ACTIVATION_VERSION, err) != 0 ||
        ol_h5_put_bool(h, "/", "complete", false, err) != 0 ||
        ol_h5_make_group(h, "/model", err) != 0 ||
        ol_h5_make_group(h, "/input", err) != 0 ||
        ol_h5_make_group(h, "/layers", err) != 0 || put_attributes(h, info, err) != 0 ||
        write_input(h, layout, input, err) != 0)
        return -1;
    for (int l = 0; l < layout->n_layers; l++)
        if (write_layer(h, layout, &layout->layers[l], err) != 0)
            return -1;
    return 0;
}

int ol_activation_content_write(const char *path, const struct ol_activation_info *info,
                                const struct ol_activation_layout *layout,
                                const struct ol_activation_input *input,
                                struct ol_error *err)
{
    if (layout->n_layers > 0 &&
        layout->layers[layout->n_layers - 1].number > OL_ACTIVATION_MAX_LAYER)
        return ol_fail(err, "%s: layer %d cannot be recorded, the format ends at %d",
                       path, layout->layers[layout->n_layers - 1].number,
                       OL_ACTIVATION_MAX_LAYER);
    struct ol_h5 *h = ol_h5_create(path, smallest_chunk(layout), err);
    if (h == NULL)
        return -1;
    if (write_all(h, info, layout, input, err) != 0) {
        ol_h5_free(h);
        return -1;
    }
    return ol_h5_close(h, err);
}
