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

const char *ol_summary_site_name(enum ol_summary_site site)
{
    static const char *const names[OL_N_SUMMARY_SITES] = {
        [OL_SUMMARY_LN_ATTN] = "ln_attn",
        [OL_SUMMARY_LN_MLP] = "ln_mlp",
        [OL_SUMMARY_OUTPUT] = "output",
    };
    return names[site];
}

const char *ol_input_name(enum ol_input input)
{
    static const char *const names[OL_N_INPUTS] = {
        [OL_INPUT_MIXED] = "mixed",
        [OL_INPUT_QUERY_LATENT] = "query_latent",
        [OL_INPUT_KEY_LATENT] = "key_latent",
        [OL_INPUT_QUERIES] = "queries",
        [OL_INPUT_VALUES] = "values",
        [OL_INPUT_MLP_DOWN] = "mlp_down",
        [OL_INPUT_SHARED_DOWN] = "shared_down",
        [OL_INPUT_EXPERTS] = "experts",
        [OL_INPUT_EXPERTS_DOWN] = "experts_down",
    };
    return names[input];
}

int64_t ol_activation_n_inputs(int64_t n_experts, enum ol_input input)
{
    return input == OL_INPUT_EXPERTS || input == OL_INPUT_EXPERTS_DOWN ? n_experts : 1;
}

enum ol_summary_site ol_summary_site_of(enum ol_site site)
{
    return site == OL_SITE_LN_ATTN  ? OL_SUMMARY_LN_ATTN
           : site == OL_SITE_LN_MLP ? OL_SUMMARY_LN_MLP
                                    : OL_N_SUMMARY_SITES;
}

int ol_activation_n_parts(const struct ol_activation_layer *layer, int64_t n_experts)
{
    return layer->moe ? layer->top_k + (layer->n_units > n_experts) : 1;
}

int64_t ol_activation_position_bytes(const struct ol_activation_layout *layout)
{
    return (layout->n_tokens + 7) / 8;
}

void ol_activation_outliers_clear(struct ol_activation_outliers *o)
{
    free(o->positions);
    free(o->features);
    free(o->codes);
    free(o->counts);
    *o = (struct ol_activation_outliers){0};
}

/* ---- attributes ---- */

/* LATER_TEXT: that files of the first versions do not have; "" then. */
enum kind { TEXT, LATER_TEXT, INTEGER, BOOLEAN };

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
    {"/", "processor", LATER_TEXT, AT(processor)},
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

static bool is_text(const struct attribute *a)
{
    return a->kind == TEXT || a->kind == LATER_TEXT;
}

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
        if (is_text(&attributes[i]))
            free(*(char *const *)member(info, &attributes[i]));
    *info = (struct ol_activation_info){0};
}

/* As they are written. */
static bool same_text(const char *a, const char *b)
{
    char *x = ol_utf8_lossy(a, strlen(a), NULL), *y = ol_utf8_lossy(b, strlen(b), NULL);
    const bool same = strcmp(x, y) == 0;
    free(x);
    free(y);
    return same;
}

const char *ol_activation_info_difference(const struct ol_activation_info *a,
                                          const struct ol_activation_info *b)
{
    for (int i = 0; i < N_ATTRIBUTES; i++) {
        const struct attribute *at = &attributes[i];
        const void *x = member(a, at), *y = member(b, at);
        if (strcmp(at->name, "created") == 0 || strcmp(at->name, "command_line") == 0)
            continue;
        if (is_text(at)           ? !same_text(text_of(a, at), text_of(b, at))
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
        if (is_text(a))
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
        bool there = true;
        int status = 0;
        if (a->kind == LATER_TEXT &&
            ol_h5_has_attribute(h, a->object, a->name, &there, err) != 0)
            return -1;
        if (!there)
            *(char **)(void *)value = ol_xstrdup("");
        else if (is_text(a))
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

static bool same_layer(const struct ol_activation_layer *a,
                       const struct ol_activation_layer *b)
{
    return a->number == b->number && a->moe == b->moe && a->top_k == b->top_k &&
           a->n_units == b->n_units && strcmp(a->attention, b->attention) == 0 &&
           memcmp(a->sites, b->sites, sizeof a->sites) == 0 &&
           memcmp(a->summary_sites, b->summary_sites, sizeof a->summary_sites) == 0 &&
           memcmp(a->input_widths, b->input_widths, sizeof a->input_widths) == 0;
}

bool ol_activation_same_layers(const struct ol_activation_layout *a,
                               const struct ol_activation_layout *b)
{
    if (a->n_layers != b->n_layers)
        return false;
    for (int l = 0; l < a->n_layers; l++)
        if (!same_layer(&a->layers[l], &b->layers[l]))
            return false;
    return true;
}

/* Which site's summary, and which of its tables. */
static enum ol_summary_site site_of(int table)
{
    return (enum ol_summary_site)((table - OL_TABLE_SUMMARIES) / OL_N_SUMMARY_TABLES);
}

static enum ol_summary_table kind_of(int table)
{
    return (enum ol_summary_table)((table - OL_TABLE_SUMMARIES) % OL_N_SUMMARY_TABLES);
}

void ol_activation_table_path(char path[64], int layer, int table)
{
    static const char *const names[OL_TABLE_SUMMARIES] = {
        [OL_TABLE_ROUTER_IDS] = "router_ids",
        [OL_TABLE_ROUTER_WEIGHTS] = "router_weights",
        [OL_TABLE_TOP_FEATURES] = "summary/top_features",
        [OL_TABLE_WRITES] = "summary/writes",
        [OL_TABLE_UNITS] = "summary/units",
    };
    static const char *const kinds[OL_N_SUMMARY_TABLES] = {
        [OL_SUMMARY_HISTOGRAM] = "histogram",
        [OL_SUMMARY_COLUMNS] = "columns",
        [OL_SUMMARY_COUNTS] = "counts",
        [OL_SUMMARY_MAXIMA] = "maxima",
    };
    if (table >= OL_TABLE_INPUTS)
        snprintf(path, 64, "/layers/%03d/summary/squares/%s", layer,
                 ol_input_name((enum ol_input)(table - OL_TABLE_INPUTS)));
    else if (table >= OL_TABLE_SUMMARIES)
        snprintf(path, 64, "/layers/%03d/summary/%s/%s", layer,
                 ol_summary_site_name(site_of(table)), kinds[kind_of(table)]);
    else
        snprintf(path, 64, "/layers/%03d/%s", layer,
                 table < OL_N_SITES ? ol_site_name((enum ol_site)table) : names[table]);
}

bool ol_activation_has_table(const struct ol_activation_layer *layer, int table)
{
    if (table < OL_N_SITES)
        return layer->sites[table];
    if (table < OL_TABLE_TOP_FEATURES)
        return layer->top_k > 0;
    if (table < OL_TABLE_SUMMARIES)
        return layer->n_units > 0;
    if (table >= OL_TABLE_INPUTS)
        return layer->input_widths[table - OL_TABLE_INPUTS] > 0;
    return layer->summary_sites[site_of(table)] &&
           (site_of(table) != OL_SUMMARY_OUTPUT || kind_of(table) < OL_SUMMARY_COUNTS);
}

static struct ol_h5_shape per_sequence(const struct ol_activation_layout *layout,
                                       enum ol_h5_type type, int64_t width)
{
    return (struct ol_h5_shape){.type = type,
                                .rank = 3,
                                .dims = {layout->n_sequences, layout->n_tokens, width},
                                .chunked = true,
                                .chunk = {1, layout->n_tokens, width}};
}

static struct ol_h5_shape whole(enum ol_h5_type type, int64_t n, int64_t width)
{
    return (struct ol_h5_shape){.type = type,
                                .rank = 2,
                                .dims = {n, width},
                                .chunked = true,
                                .chunk = {n, width}};
}

static struct ol_h5_shape summary_shape(const struct ol_activation_layout *layout,
                                        int table)
{
    switch (kind_of(table)) {
    case OL_SUMMARY_COLUMNS:
        return whole(OL_H5_F64, OL_N_COLUMN_ROWS, layout->d_model);
    case OL_SUMMARY_COUNTS:
        return whole(OL_H5_I32, layout->n_sequences, layout->d_model);
    case OL_SUMMARY_MAXIMA:
        return whole(OL_H5_F32, layout->n_sequences, layout->d_model);
    default:
        return (struct ol_h5_shape){.type = OL_H5_I64,
                                    .rank = 1,
                                    .dims = {OL_N_CODES},
                                    .chunked = true,
                                    .chunk = {OL_N_CODES}};
    }
}

struct ol_h5_shape ol_activation_table_shape(const struct ol_activation_content *c,
                                             const struct ol_activation_layer *layer,
                                             int table)
{
    const struct ol_activation_layout *layout = &c->layout;
    const int n_parts = ol_activation_n_parts(layer, c->info.model.n_experts);
    switch (table) {
    case OL_TABLE_ROUTER_IDS:
        return per_sequence(layout, OL_H5_U16, layer->top_k);
    case OL_TABLE_ROUTER_WEIGHTS:
        return per_sequence(layout, OL_H5_F32, layer->top_k);
    case OL_TABLE_TOP_FEATURES:
        return per_sequence(layout, OL_H5_U16, OL_TOP_FEATURES);
    case OL_TABLE_WRITES:
        return per_sequence(layout, OL_H5_F32,
                            (int64_t)OL_TOP_FEATURES * (OL_WRITES_PER_TOP + n_parts));
    case OL_TABLE_UNITS:
        return whole(OL_H5_F64, layer->n_units, OL_N_UNIT_COLUMNS);
    default:
        if (table >= OL_TABLE_INPUTS)
            return whole(OL_H5_F64,
                         ol_activation_n_inputs(c->info.model.n_experts,
                                                (enum ol_input)(table - OL_TABLE_INPUTS)),
                         layer->input_widths[table - OL_TABLE_INPUTS]);
        return table >= OL_TABLE_SUMMARIES
                   ? summary_shape(layout, table)
                   : per_sequence(layout,
                                  layout->dtype == OL_DTYPE_F32 ? OL_H5_F32 : OL_H5_BF16,
                                  layout->d_model);
    }
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
    switch (type) {
    case OL_H5_I64:
    case OL_H5_F64:
        return 8;
    case OL_H5_F32:
    case OL_H5_I32:
    case OL_H5_U32:
        return 4;
    case OL_H5_U8:
        return 1;
    default:
        return 2;
    }
}

size_t ol_activation_row_bytes(const struct ol_activation_content *c,
                               const struct ol_activation_layer *layer, int table)
{
    const struct ol_h5_shape shape = ol_activation_table_shape(c, layer, table);
    return (size_t)shape.dims[2] * type_bytes(shape.type);
}

size_t ol_activation_chunk_bytes(const struct ol_activation_content *c,
                                 const struct ol_activation_layer *layer, int table)
{
    const struct ol_h5_shape shape = ol_activation_table_shape(c, layer, table);
    size_t bytes = type_bytes(shape.type);
    for (int i = 0; i < shape.rank; i++)
        bytes *= (size_t)shape.chunk[i];
    return bytes;
}

/* Bytes of the smallest mapped chunk: everything from that size on is aligned. */
static int64_t smallest_chunk(const struct ol_activation_content *c)
{
    const struct ol_activation_layout *layout = &c->layout;
    int64_t smallest = layout->nll ? layout->n_tokens * 4 : OL_ACTIVATION_ALIGNMENT;
    for (int l = 0; l < layout->n_layers; l++)
        for (int t = 0; t < OL_TABLE_WHOLE; t++) {
            const struct ol_activation_layer *layer = &layout->layers[l];
            if (!ol_activation_has_table(layer, t))
                continue;
            const int64_t bytes = (int64_t)ol_activation_chunk_bytes(c, layer, t);
            smallest = bytes < smallest ? bytes : smallest;
        }
    return smallest;
}

/* ---- outliers ---- */

const char *ol_activation_outlier_path(int table)
{
    static const char *const paths[OL_N_OUTLIER_TABLES] = {
        [OL_OUTLIER_POSITIONS] = "/summary/positions",
        [OL_OUTLIER_FEATURES] = "/summary/value_features",
        [OL_OUTLIER_CODES] = "/summary/value_codes",
        [OL_OUTLIER_COUNTS] = "/summary/value_counts",
    };
    return paths[table];
}

struct ol_h5_shape ol_activation_outlier_shape(const struct ol_activation_layout *layout,
                                               int64_t n_values, int table)
{
    static const enum ol_h5_type types[OL_N_OUTLIER_TABLES] = {
        [OL_OUTLIER_POSITIONS] = OL_H5_U8,
        [OL_OUTLIER_FEATURES] = OL_H5_I32,
        [OL_OUTLIER_CODES] = OL_H5_U16,
        [OL_OUTLIER_COUNTS] = OL_H5_I64,
    };
    const int64_t bytes = ol_activation_position_bytes(layout);
    if (table == OL_OUTLIER_POSITIONS)
        return (struct ol_h5_shape){
            .type = OL_H5_U8,
            .rank = 3,
            .dims = {layout->n_sequences, layout->d_model, bytes},
            .chunked = true,
            .chunk = {1, layout->d_model, bytes},
            .compressed = true,
        };
    return (struct ol_h5_shape){.type = types[table],
                                .rank = 1,
                                .dims = {n_values},
                                .chunked = n_values > 0,
                                .chunk = {n_values},
                                .compressed = n_values > 0};
}

int ol_activation_outliers_write(struct ol_h5 *h,
                                 const struct ol_activation_layout *layout,
                                 const struct ol_activation_outliers *outliers,
                                 struct ol_error *err)
{
    const void *const data[OL_N_OUTLIER_TABLES] = {
        [OL_OUTLIER_POSITIONS] = outliers->positions,
        [OL_OUTLIER_FEATURES] = outliers->features,
        [OL_OUTLIER_CODES] = outliers->codes,
        [OL_OUTLIER_COUNTS] = outliers->counts,
    };
    for (int t = 0; t < OL_N_OUTLIER_TABLES; t++) {
        const struct ol_h5_shape shape =
            ol_activation_outlier_shape(layout, outliers->n_values, t);
        const char *path = ol_activation_outlier_path(t);
        /* There already when an earlier try was cut off before the file was complete. */
        bool there;
        if (ol_h5_exists(h, path, &there, err) != 0 ||
            (there && ol_h5_remove(h, path, err) != 0))
            return -1;
        if (ol_h5_make_dataset(h, path, &shape, err) != 0 ||
            (shape.dims[0] > 0 && ol_h5_write(h, path, shape.type, data[t], err) != 0))
            return -1;
    }
    return 0;
}

/* ---- writing ---- */

/* NULL: they have their room, and are not known. */
static int write_ids(struct ol_h5 *h, const char *path, const int32_t *ids,
                     struct ol_error *err)
{
    return ids != NULL ? ol_h5_write(h, path, OL_H5_I32, ids, err) : 0;
}

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
        write_ids(h, "/input/token_ids", input->token_ids, err) != 0 ||
        ol_h5_make_dataset(h, "/input/lengths", &lengths, err) != 0 ||
        write_ids(h, "/input/lengths", input->lengths, err) != 0)
        return -1;
    if (input->n_pieces > 0 &&
        (ol_h5_make_dataset(h, "/input/piece_ids", &piece_ids, err) != 0 ||
         ol_h5_write(h, "/input/piece_ids", OL_H5_I32, input->piece_ids, err) != 0 ||
         ol_h5_make_dataset(h, "/input/pieces", &pieces, err) != 0 ||
         ol_h5_write(h, "/input/pieces", OL_H5_TEXT, input->pieces, err) != 0))
        return -1;
    return layout->nll ? ol_h5_make_dataset(h, "/input/nll", &nll, err) : 0;
}

static int write_groups(struct ol_h5 *h, const struct ol_activation_layer *layer,
                        struct ol_error *err)
{
    char path[64];
    snprintf(path, sizeof path, "/layers/%03d", layer->number);
    if (ol_h5_make_group(h, path, err) != 0 ||
        ol_h5_put_text(h, path, "kind", layer->moe ? "moe" : "dense", err) != 0 ||
        ol_h5_put_text(h, path, "attention", layer->attention, err) != 0)
        return -1;
    if (layer->n_units == 0)
        return 0;
    snprintf(path, sizeof path, "/layers/%03d/summary", layer->number);
    if (ol_h5_make_group(h, path, err) != 0)
        return -1;
    bool squares = false;
    for (int input = 0; input < OL_N_INPUTS; input++)
        squares = squares || layer->input_widths[input] > 0;
    snprintf(path, sizeof path, "/layers/%03d/summary/squares", layer->number);
    if (squares && ol_h5_make_group(h, path, err) != 0)
        return -1;
    for (int site = 0; site < OL_N_SUMMARY_SITES; site++) {
        if (!layer->summary_sites[site])
            continue;
        snprintf(path, sizeof path, "/layers/%03d/summary/%s", layer->number,
                 ol_summary_site_name((enum ol_summary_site)site));
        if (ol_h5_make_group(h, path, err) != 0)
            return -1;
    }
    return 0;
}

static int write_layer(struct ol_h5 *h, const struct ol_activation_content *c,
                       const struct ol_activation_layer *layer, struct ol_error *err)
{
    char path[64];
    if (write_groups(h, layer, err) != 0)
        return -1;
    for (int t = 0; t < OL_N_TABLES; t++) {
        if (!ol_activation_has_table(layer, t))
            continue;
        const struct ol_h5_shape shape = ol_activation_table_shape(c, layer, t);
        ol_activation_table_path(path, layer->number, t);
        if (ol_h5_make_dataset(h, path, &shape, err) != 0)
            return -1;
    }
    return 0;
}

static int write_all(struct ol_h5 *h, const struct ol_activation_content *c,
                     struct ol_error *err)
{
    const struct ol_activation_layout *layout = &c->layout;
    if (ol_h5_put_text(h, "/", "format", OL_ACTIVATION_FORMAT, err) != 0 ||
        ol_h5_put_int(h, "/", "format_version", OL_ACTIVATION_VERSION, err) != 0 ||
        ol_h5_put_bool(h, "/", "complete", false, err) != 0 ||
        ol_h5_make_group(h, "/model", err) != 0 ||
        ol_h5_make_group(h, "/input", err) != 0 ||
        ol_h5_make_group(h, "/layers", err) != 0 ||
        ol_h5_make_group(h, "/receipt", err) != 0 ||
        ol_activation_receipt_write(h, &c->receipt, err) != 0 ||
        put_attributes(h, &c->info, err) != 0 ||
        ol_activation_list_write(h, &c->list, err) != 0 ||
        write_input(h, layout, &c->input, err) != 0)
        return -1;
    if (layout->summary &&
        (ol_h5_make_group(h, "/summary", err) != 0 ||
         ol_h5_put_real(h, "/summary", "threshold", layout->threshold, err) != 0))
        return -1;
    for (int l = 0; l < layout->n_layers; l++)
        if (write_layer(h, c, &layout->layers[l], err) != 0)
            return -1;
    return 0;
}

int ol_activation_content_write(const char *path, const struct ol_activation_info *info,
                                const struct ol_activation_layout *layout,
                                const struct ol_activation_input *input,
                                struct ol_error *err)
{
    struct ol_activation_content c = {.info = *info, .layout = *layout, .input = *input};
    if (layout->n_layers > 0 &&
        layout->layers[layout->n_layers - 1].number > OL_ACTIVATION_MAX_LAYER)
        return ol_fail(err, "%s: layer %d cannot be recorded, the format ends at %d",
                       path, layout->layers[layout->n_layers - 1].number,
                       OL_ACTIVATION_MAX_LAYER);
    if (layout->summary && layout->d_model >= OL_NO_FEATURE)
        return ol_fail(err,
                       "%s: summaries count at most %d dimensions, the model has %lld",
                       path, OL_NO_FEATURE - 1, (long long)layout->d_model);
    struct ol_h5 *h = ol_h5_create(path, smallest_chunk(&c), err);
    if (h == NULL)
        return -1;
    ol_activation_list_make(&c);
    if (input->token_ids != NULL)
        ol_activation_sum_input(&c);
    int status = write_all(h, &c, err);
    ol_activation_list_clear(&c.list);
    if (status == 0)
        return ol_h5_close(h, err);
    ol_h5_free(h);
    return -1;
}
