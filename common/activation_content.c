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
        [OL_INPUT_EXPERTS_SUM] = "experts_sum",
        [OL_INPUT_OUT_LATENT] = "out_latent",
        [OL_INPUT_LAYER_GATE] = "layer_gate",
        [OL_INPUT_LAYER_OUT] = "layer_out",
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

enum ol_summary_site ol_activation_first_site(const struct ol_activation_layer *layer)
{
    return strcmp(layer->attention, "none") == 0 ? OL_SUMMARY_LN_MLP : OL_SUMMARY_LN_ATTN;
}

bool ol_activation_has_writes(const struct ol_activation_layer *layer)
{
    return layer->n_units > 0 ||
           (layer->no_mlp && layer->summary_sites[OL_SUMMARY_OUTPUT]);
}

int ol_activation_n_slots(const struct ol_activation_layer *layer, int64_t n_experts)
{
    return layer->moe ? layer->top_k + (layer->n_units > n_experts) : !layer->no_mlp;
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

/* LATER_TEXT: that files of the first versions do not have; "" then. PART: of files that
 * hold a part of a run alone; 0 or "" in others. RUN: how one run was of several that
 * give the same, and where its inputs lay; written last, into room that does not depend
 * on its length. */
enum kind {
    TEXT,
    LATER_TEXT,
    RUN_TEXT,
    LATER_RUN_TEXT,
    INTEGER,
    BOOLEAN,
    PART_TEXT,
    PART_INTEGER
};

static const struct attribute {
    const char *object, *name;
    enum kind kind;
    size_t offset; /* in struct ol_activation_info */
} attributes[] = {
#define AT(member) offsetof(struct ol_activation_info, member)
    {"/", "tool", TEXT, AT(tool)},
    {"/", "tool_version", TEXT, AT(tool_version)},
    {"/", "command_line", RUN_TEXT, AT(command_line)},
    {"/", "created", RUN_TEXT, AT(created)},
    {"/", "backend", TEXT, AT(backend)},
    {"/", "precision", TEXT, AT(precision)},
    {"/", "device", RUN_TEXT, AT(device)},
    {"/", "processor", LATER_RUN_TEXT, AT(processor)},
    {"/model", "name", RUN_TEXT, AT(model.name)},
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
    {"/model", "shards_sha256", LATER_RUN_TEXT, AT(model.shards_sha256)},
    {"/model", "layers_json", TEXT, AT(model.layers_json)},
    {"/model", "activations_config", LATER_TEXT, AT(model.activations_config)},
    {"/input", "source", RUN_TEXT, AT(input.source)},
    {"/input", "text_sha256", TEXT, AT(input.text_sha256)},
    {"/input", "tokenizer_file", LATER_RUN_TEXT, AT(input.tokenizer_file)},
    {"/input", "tokenizer_sha256", TEXT, AT(input.tokenizer_sha256)},
    {"/input", "windowing", TEXT, AT(input.windowing)},
    {"/input", "bos", BOOLEAN, AT(input.bos)},
    {"/input", "part", PART_INTEGER, AT(part.number)},
    {"/input", "n_parts", PART_INTEGER, AT(part.n_parts)},
    {"/input", "first_sequence", PART_INTEGER, AT(part.first_sequence)},
    {"/input", "run_sequences", PART_INTEGER, AT(part.run_sequences)},
    {"/input", "run_sha256", PART_TEXT, AT(part.run_sha256)},
#undef AT
};
enum { N_ATTRIBUTES = sizeof attributes / sizeof attributes[0] };

static bool is_of_run(const struct attribute *a)
{
    return a->kind == RUN_TEXT || a->kind == LATER_RUN_TEXT;
}

static bool is_text(const struct attribute *a)
{
    return a->kind == TEXT || a->kind == LATER_TEXT || a->kind == PART_TEXT ||
           is_of_run(a);
}

static bool is_integer(const struct attribute *a)
{
    return a->kind == INTEGER || a->kind == PART_INTEGER;
}

static bool is_of_part(const struct attribute *a)
{
    return a->kind == PART_TEXT || a->kind == PART_INTEGER;
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
        /* What a run is told by; of the weights one digest does it, and the other one
         * depends on where they lie. */
        if (strcmp(at->name, "created") == 0 || strcmp(at->name, "command_line") == 0 ||
            strcmp(at->name, "shards_sha256") == 0)
            continue;
        if (is_text(at)      ? !same_text(text_of(a, at), text_of(b, at))
            : is_integer(at) ? *(const int64_t *)x != *(const int64_t *)y
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
                          bool of_run, struct ol_error *err)
{
    for (int i = 0; i < N_ATTRIBUTES; i++) {
        const struct attribute *a = &attributes[i];
        const void *value = member(info, a);
        int status = 0;
        if (is_of_run(a) != of_run || (is_of_part(a) && info->part.n_parts == 0))
            continue;
        if (is_text(a))
            status = put_text(h, a->object, a->name, text_of(info, a), err);
        else if (is_integer(a))
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
        if ((a->kind == LATER_TEXT || a->kind == LATER_RUN_TEXT || is_of_part(a)) &&
            ol_h5_has_attribute(h, a->object, a->name, &there, err) != 0)
            return -1;
        if (!there && is_text(a))
            *(char **)(void *)value = ol_xstrdup("");
        else if (!there)
            *(int64_t *)(void *)value = 0;
        else if (is_text(a))
            status = ol_h5_get_text(h, a->object, a->name, (char **)(void *)value, err);
        else if (is_integer(a))
            status = ol_h5_get_int(h, a->object, a->name, (int64_t *)(void *)value, err);
        else
            status = ol_h5_get_bool(h, a->object, a->name, (bool *)(void *)value, err);
        if (status != 0)
            return -1;
    }
    return 0;
}

/* ---- tables ---- */

static bool stores_tensors(const struct ol_activation_layout *a)
{
    for (int l = 0; l < a->n_layers; l++)
        for (int site = 0; site < OL_N_SITES; site++)
            if (a->layers[l].sites[site])
                return true;
    return false;
}

static const char *layer_difference(const struct ol_activation_layer *a,
                                    const struct ol_activation_layer *b)
{
    if (a->number != b->number)
        return "choice of --layers";
    if (memcmp(a->sites, b->sites, sizeof a->sites) != 0 ||
        memcmp(a->summary_sites, b->summary_sites, sizeof a->summary_sites) != 0)
        return "choice of --sites";
    if (memcmp(a->input_widths, b->input_widths, sizeof a->input_widths) != 0)
        return "choice of --imatrix";
    return a->moe == b->moe && a->no_mlp == b->no_mlp && a->top_k == b->top_k &&
                   a->n_units == b->n_units && a->n_heads == b->n_heads &&
                   a->n_mixed == b->n_mixed && a->n_streams == b->n_streams &&
                   a->n_rounded == b->n_rounded &&
                   strcmp(a->attention, b->attention) == 0 &&
                   memcmp(a->down_widths, b->down_widths, sizeof a->down_widths) == 0 &&
                   a->n_sampled == b->n_sampled
               ? NULL
               : "list of recorded tables";
}

const char *ol_activation_layers_difference(const struct ol_activation_layout *a,
                                            const struct ol_activation_layout *b)
{
    const char *what = NULL;
    if (a->n_layers != b->n_layers)
        return "choice of --layers";
    if (stores_tensors(a) != stores_tensors(b) ||
        (stores_tensors(a) && a->dtype != b->dtype))
        return "choice of --store";
    for (int l = 0; l < a->n_layers && what == NULL; l++)
        what = layer_difference(&a->layers[l], &b->layers[l]);
    return what;
}

/* Bytes of the smallest mapped chunk: everything from that size on is aligned. */
static int64_t smallest_chunk(const struct ol_activation_content *c)
{
    int64_t smallest = OL_ACTIVATION_ALIGNMENT;
    for (struct ol_table_place p = {0}; ol_tables_next(c, &p);) {
        if (ol_table_storage(p.table) != OL_STORED_ROWS)
            continue;
        const int64_t bytes = (int64_t)ol_table_chunk_bytes(c, p.layer, p.table);
        smallest = bytes < smallest ? bytes : smallest;
    }
    return smallest;
}

/* ---- writing ---- */

/* The groups that a table lies in. */
static int make_groups(struct ol_h5 *h, const char *path, struct ol_error *err)
{
    char group[OL_TABLE_PATH];
    for (const char *at = strchr(path + 1, '/'); at != NULL; at = strchr(at + 1, '/')) {
        bool there;
        snprintf(group, sizeof group, "%.*s", (int)(at - path), path);
        if (ol_h5_exists(h, group, &there, err) != 0 ||
            (!there && ol_h5_make_group(h, group, err) != 0))
            return -1;
    }
    return 0;
}

static void path_of(char path[OL_TABLE_PATH], const struct ol_table_place *p)
{
    ol_table_path(path, p->layer != NULL ? p->layer->number : 0, p->table);
}

static int make_table(struct ol_h5 *h, const struct ol_activation_content *c,
                      const struct ol_table_place *p, struct ol_error *err)
{
    const struct ol_h5_shape shape = ol_table_shape(c, p->layer, p->table);
    char path[OL_TABLE_PATH];
    path_of(path, p);
    return make_groups(h, path, err) != 0 ? -1 : ol_h5_make_dataset(h, path, &shape, err);
}

static int write_table(struct ol_h5 *h, const struct ol_activation_content *c,
                       const struct ol_table_place *p, struct ol_error *err)
{
    const struct ol_h5_shape shape = ol_table_shape(c, NULL, p->table);
    const char *path = ol_table_file_path(p->table);
    bool there;
    /* There already when an earlier try was cut off before the file was complete. */
    if (ol_h5_exists(h, path, &there, err) != 0 ||
        (there && ol_h5_remove(h, path, err) != 0) || make_table(h, c, p, err) != 0)
        return -1;
    /* In a plan what is not known has its room alone. */
    const void *memory = *ol_table_memory(c, p->table);
    return shape.dims[0] == 0 || memory == NULL
               ? 0
               : ol_h5_write(h, path, shape.type, memory, err);
}

int ol_activation_write_tables(struct ol_h5 *h, const struct ol_activation_content *c,
                               enum ol_table_storage storage, struct ol_error *err)
{
    for (struct ol_table_place p = {0}; ol_tables_next(c, &p);)
        if (ol_table_storage(p.table) == storage && write_table(h, c, &p, err) != 0)
            return -1;
    return 0;
}

/* Those of a layer, or with NULL of the whole file, that are written as they come: the
 * groups, then the tables. */
static int make_tables(struct ol_h5 *h, const struct ol_activation_content *c,
                       const struct ol_activation_layer *layer, struct ol_error *err)
{
    for (int groups = 1; groups >= 0; groups--)
        for (struct ol_table_place p = {0}; ol_tables_next(c, &p);) {
            const enum ol_table_storage storage = ol_table_storage(p.table);
            char path[OL_TABLE_PATH];
            if (p.layer != layer ||
                (storage != OL_STORED_ROWS && storage != OL_STORED_WHOLE))
                continue;
            path_of(path, &p);
            if ((groups ? make_groups(h, path, err) : make_table(h, c, &p, err)) != 0)
                return -1;
        }
    return 0;
}

static int write_layer(struct ol_h5 *h, const struct ol_activation_content *c,
                       const struct ol_activation_layer *layer, struct ol_error *err)
{
    char path[OL_TABLE_PATH];
    snprintf(path, sizeof path, "/layers/%03d", layer->number);
    if (ol_h5_make_group(h, path, err) != 0 ||
        ol_h5_put_text(h, path, "kind",
                       layer->no_mlp ? "none"
                       : layer->moe  ? "moe"
                                     : "dense",
                       err) != 0 ||
        ol_h5_put_text(h, path, "attention", layer->attention, err) != 0)
        return -1;
    return make_tables(h, c, layer, err);
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
        put_attributes(h, &c->info, false, err) != 0 ||
        ol_activation_list_write(h, &c->list, err) != 0 ||
        ol_activation_write_tables(h, c, OL_STORED_BEGUN, err) != 0 ||
        make_tables(h, c, NULL, err) != 0)
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

/* Behind all else, so that nothing lies elsewhere for a longer command line or name: what
 * sealing adds begins at the same byte for all that fit into the first step. */
static int write_of_run(const char *path, const struct ol_activation_info *info,
                        struct ol_error *err)
{
    enum { STEP = 16 * OL_ACTIVATION_ALIGNMENT };
    uint64_t begin, end;
    struct ol_h5 *h = ol_h5_open(path, true, err);
    if (h == NULL)
        return -1;
    if (ol_h5_end(h, &begin, err) == 0 && put_attributes(h, info, true, err) == 0 &&
        ol_h5_end(h, &end, err) == 0 &&
        ol_h5_extend(h, STEP - (end - begin) % STEP, err) == 0)
        return ol_h5_close(h, err);
    ol_h5_free(h);
    return -1;
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
        ol_activation_sum(&c, OL_STORED_BEGUN);
    int status = write_all(h, &c, err);
    ol_activation_list_clear(&c.list);
    if (status != 0)
        ol_h5_free(h);
    return status == 0 && ol_h5_close(h, err) == 0 ? write_of_run(path, info, err) : -1;
}
