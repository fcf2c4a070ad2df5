#include "analyze/imatrix.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/atomic_file.h"

enum { ALIGNMENT = 32, VERSION = 3, KV_UINT32 = 4, KV_STRING = 8, KV_ARRAY = 9, F32 = 0 };

/* Where a weight's input is known from: an ln site's columns, or an input's squares. */
enum { LN_ATTN = OL_N_INPUTS, LN_MLP };

/* Weights by the names that llama.cpp's architectures have for them, without "blk.N." and
 * ".weight", and what they multiply. A name that a model has not (conversions differ) is
 * passed over by its reader. */
struct weight {
    const char *name;
    int source;
    bool gates; /* a GLU's gate: no weight of an MLP that is none */
};

static const struct weight attention[] = {{"attn_qkv", LN_ATTN, false},
                                          {"attn_q", LN_ATTN, false},
                                          {"attn_k", LN_ATTN, false},
                                          {"attn_v", LN_ATTN, false},
                                          {"attn_output", OL_INPUT_MIXED, false},
                                          {NULL, 0, false}};
static const struct weight latent[] = {
    {"attn_kv_a_mqa", LN_ATTN, false},      {"attn_kv_b", OL_INPUT_KEY_LATENT, false},
    {"attn_k_b", OL_INPUT_QUERIES, false},  {"attn_v_b", OL_INPUT_VALUES, false},
    {"attn_output", OL_INPUT_MIXED, false}, {NULL, 0, false}};
static const struct weight latent_queries[] = {{"attn_q_a", LN_ATTN, false},
                                               {"attn_q_b", OL_INPUT_QUERY_LATENT, false},
                                               {NULL, 0, false}};
static const struct weight plain_queries[] = {{"attn_q", LN_ATTN, false},
                                              {NULL, 0, false}};
/* Where an indexer chooses keys; layers without one have their choice from another. */
static const struct weight indexer[] = {
    {"indexer.attn_q_b", OL_INPUT_QUERY_LATENT, false},
    {"indexer.attn_k", LN_ATTN, false},
    {"indexer.proj", LN_ATTN, false},
    {NULL, 0, false}};

/* DeepSeek-V4's. The first of its two output projections (attn_output_a) multiplies
 * groups of heads, each by itself, but is one matrix in a file of llama.cpp, to which
 * importances of one group's width belong: these would not be its. */
static const struct weight shared_key[] = {{"attn_q_a", LN_ATTN, false},
                                           {"attn_q_b", OL_INPUT_QUERY_LATENT, false},
                                           {"attn_kv", LN_ATTN, false},
                                           {"attn_output_b", OL_INPUT_OUT_LATENT, false},
                                           {NULL, 0, false}};
static const struct weight compressed[] = {
    {"attn_compressor_kv", LN_ATTN, false},
    {"attn_compressor_gate", LN_ATTN, false},
    {"indexer_compressor_kv", LN_ATTN, false},
    {"indexer_compressor_gate", LN_ATTN, false},
    {"indexer.attn_q_b", OL_INPUT_QUERY_LATENT, false},
    {"indexer.proj", LN_ATTN, false},
    {NULL, 0, false}};
static const struct weight delta_net[] = {
    {"ssm_in", LN_ATTN, false},         {"attn_qkv", LN_ATTN, false},
    {"attn_gate", LN_ATTN, false},      {"ssm_ba", LN_ATTN, false},
    {"ssm_alpha", LN_ATTN, false},      {"ssm_beta", LN_ATTN, false},
    {"ssm_out", OL_INPUT_MIXED, false}, {NULL, 0, false}};
static const struct weight mamba[] = {
    {"ssm_in", LN_ATTN, false}, {"ssm_out", OL_INPUT_MIXED, false}, {NULL, 0, false}};
static const struct weight dense[] = {{"ffn_gate", LN_MLP, true},
                                      {"ffn_up", LN_MLP, false},
                                      {"ffn_down", OL_INPUT_MLP_DOWN, false},
                                      {NULL, 0, false}};
static const struct weight router[] = {{"ffn_gate_inp", LN_MLP, false}, {NULL, 0, false}};
static const struct weight experts[] = {{"ffn_gate_exps", OL_INPUT_EXPERTS, true},
                                        {"ffn_up_exps", OL_INPUT_EXPERTS, false},
                                        {"ffn_gate_up_exps", OL_INPUT_EXPERTS, true},
                                        {"ffn_down_exps", OL_INPUT_EXPERTS_DOWN, false},
                                        {NULL, 0, false}};
static const struct weight latent_experts[] = {
    {"ffn_latent_down", LN_MLP, false},
    {"ffn_latent_up", OL_INPUT_EXPERTS_SUM, false},
    {NULL, 0, false}};
static const struct weight shared[] = {{"ffn_gate_inp_shexp", LN_MLP, false},
                                       {"ffn_gate_shexp", LN_MLP, true},
                                       {"ffn_up_shexp", LN_MLP, false},
                                       {"ffn_down_shexp", OL_INPUT_SHARED_DOWN, false},
                                       {NULL, 0, false}};

/* Gemma 4 has a dense MLP beside its experts, and a router that sees something else. */
static const struct weight beside[] = {{"ffn_gate", LN_MLP, true},
                                       {"ffn_up", LN_MLP, false},
                                       {"ffn_down", OL_INPUT_SHARED_DOWN, false},
                                       {NULL, 0, false}};

/* What Gemma 4's layers get besides the stream. */
static const struct weight layer_input[] = {{"inp_gate", OL_INPUT_LAYER_GATE, false},
                                            {"proj", OL_INPUT_LAYER_OUT, false},
                                            {NULL, 0, false}};

/* Whose MLPs and experts have no gate; and where an indexer chooses keys. */
static const char *const without_gate[] = {"gpt2", "nemotron_h", NULL};
static const char *const with_indexer[] = {"deepseek_v32", "glm_moe_dsa", NULL};

/* One tensor pair of the file. */
struct entry {
    char *name; /* owned: blk.N.NAME.weight */
    int i_layer, source;
    int64_t n_matrices, width;
};

struct imatrix {
    const struct ol_parts *parts;
    struct entry *entries;
    size_t n;
};

/* ---- what is in it ---- */

static int64_t width_of(const struct ol_parts *parts,
                        const struct ol_activation_layer *layer, int source)
{
    return source < OL_N_INPUTS ? layer->input_widths[source]
                                : ol_parts_layout(parts)->d_model;
}

static bool is_among(const struct imatrix *m, const char *const *families)
{
    const char *family = ol_parts_info(m->parts)->model.family;
    while (*families != NULL && strcmp(*families, family) != 0)
        families++;
    return *families != NULL;
}

static void add_all(struct imatrix *m, int i_layer, const struct weight *weights)
{
    const bool gated = !is_among(m, without_gate);
    const struct ol_activation_layer *layer = &ol_parts_layout(m->parts)->layers[i_layer];
    const int64_t n_experts = ol_parts_info(m->parts)->model.n_experts;
    for (; weights->name != NULL; weights++) {
        if (weights->gates && !gated)
            continue;
        m->entries = ol_xrealloc_array(m->entries, m->n + 1, sizeof *m->entries);
        m->entries[m->n++] = (struct entry){
            .name = ol_xasprintf("blk.%d.%s.weight", layer->number, weights->name),
            .i_layer = i_layer,
            .source = weights->source,
            .n_matrices =
                weights->source < OL_N_INPUTS
                    ? ol_activation_n_inputs(n_experts, (enum ol_input)weights->source)
                    : 1,
            .width = width_of(m->parts, layer, weights->source),
        };
    }
}

static int check_layer(const struct imatrix *m, const struct ol_activation_layer *layer,
                       struct ol_error *err)
{
    const char *path = ol_activation_path(m->parts->files[0]);
    const bool mixes = strcmp(layer->attention, "none") != 0;
    static const char *const two_projections[] = {"deepseek_v4", NULL};
    const enum ol_input some = is_among(m, two_projections) ? OL_INPUT_OUT_LATENT
                               : mixes                      ? OL_INPUT_MIXED
                               : layer->moe                 ? OL_INPUT_EXPERTS_DOWN
                                                            : OL_INPUT_MLP_DOWN;
    if (layer->input_widths[some] == 0)
        return ol_fail(err,
                       "%s: layer %d has no squares of inputs: they are gathered by "
                       "ol-extract --imatrix",
                       path, layer->number);
    if ((mixes && !layer->summary_sites[OL_SUMMARY_LN_ATTN]) ||
        (!layer->no_mlp && !layer->summary_sites[OL_SUMMARY_LN_MLP]))
        return ol_fail(err, "%s: layer %d has no summary of ln_attn and ln_mlp", path,
                       layer->number);
    return 0;
}

static void list_mixer(struct imatrix *m, int l, const struct ol_activation_layer *layer)
{
    if (strcmp(layer->attention, "none") == 0)
        return;
    if (strcmp(layer->attention, "linear") == 0) {
        add_all(m, l, delta_net);
    } else if (strcmp(layer->attention, "mamba") == 0) {
        add_all(m, l, mamba);
    } else if (layer->input_widths[OL_INPUT_OUT_LATENT] > 0) {
        add_all(m, l, shared_key);
        if (strcmp(layer->attention, "compressed") == 0)
            add_all(m, l, compressed);
    } else if (layer->input_widths[OL_INPUT_KEY_LATENT] > 0) {
        add_all(m, l,
                layer->input_widths[OL_INPUT_QUERY_LATENT] > 0 ? latent_queries
                                                               : plain_queries);
        add_all(m, l, latent);
        if (is_among(m, with_indexer))
            add_all(m, l, indexer);
    } else {
        add_all(m, l, attention);
    }
}

static void list_mlp(struct imatrix *m, int l, const struct ol_activation_layer *layer)
{
    const bool parallel =
        strncmp(ol_parts_info(m->parts)->model.family, "gemma4", 6) == 0;
    if (layer->no_mlp)
        return;
    if (layer->moe && !parallel)
        add_all(m, l, router);
    if (layer->input_widths[OL_INPUT_EXPERTS_SUM] > 0)
        add_all(m, l, latent_experts);
    add_all(m, l, layer->moe ? experts : dense);
    if (layer->moe && layer->input_widths[OL_INPUT_SHARED_DOWN] > 0)
        add_all(m, l, parallel ? beside : shared);
}

static int list_entries(struct imatrix *m, struct ol_error *err)
{
    const struct ol_activation_layout *layout = ol_parts_layout(m->parts);
    for (int l = 0; l < layout->n_layers; l++) {
        const struct ol_activation_layer *layer = &layout->layers[l];
        if (check_layer(m, layer, err) != 0)
            return -1;
        list_mixer(m, l, layer);
        list_mlp(m, l, layer);
        if (layer->input_widths[OL_INPUT_LAYER_GATE] > 0)
            add_all(m, l, layer_input);
    }
    return 0;
}

/* Tokens of each routed expert, added up over all files. */
static void add_expert_tokens(const struct imatrix *m, const struct entry *e,
                              double *counts)
{
    const struct ol_activation_layer *layer =
        &ol_parts_layout(m->parts)->layers[e->i_layer];
    double *units = ol_xcalloc((size_t)layer->n_units * OL_N_UNIT_COLUMNS, sizeof *units);
    for (int i = 0; i < m->parts->n_files; i++) {
        ol_activation_copy(m->parts->files[i], OL_TABLE_UNITS, e->i_layer, units);
        for (int64_t k = 0; k < e->n_matrices; k++)
            counts[k] += units[k * OL_N_UNIT_COLUMNS + OL_UNIT_TOKENS];
    }
    free(units);
}

/* Sums of squares [n_matrices, width] over all files, and tokens [n_matrices]. */
static void read_entry(const struct imatrix *m, const struct entry *e, double *sums,
                       double *counts)
{
    const size_t n = (size_t)(e->n_matrices * e->width);
    const size_t n_columns = (size_t)(OL_N_COLUMN_ROWS * e->width);
    double *some = ol_xcalloc(n > n_columns ? n : n_columns, sizeof *some);
    for (int i = 0; i < m->parts->n_files; i++) {
        const struct ol_activation_file *f = m->parts->files[i];
        const double *from = some;
        if (e->source < OL_N_INPUTS) {
            ol_activation_copy(f, ol_table_of_input((enum ol_input)e->source), e->i_layer,
                               some);
        } else {
            const struct ol_activation_summary summary = {.columns = some};
            ol_activation_read_summary(
                f, e->i_layer,
                e->source == LN_ATTN ? OL_SUMMARY_LN_ATTN : OL_SUMMARY_LN_MLP, &summary);
            from = some + OL_COLUMN_SUM_SQUARES * e->width;
        }
        for (size_t k = 0; k < n; k++)
            sums[k] += from[k];
    }
    if (e->n_matrices > 1)
        add_expert_tokens(m, e, counts);
    else
        counts[0] = (double)m->parts->n_tokens;
    free(some);
}

/* ---- GGUF ---- */

static void put_bytes(FILE *out, uint64_t value, int n)
{
    for (int i = 0; i < n; i++)
        fputc((int)(value >> 8 * i & 0xff), out);
}

static void put_string(FILE *out, const char *text)
{
    put_bytes(out, strlen(text), 8);
    fputs(text, out);
}

static int64_t padded(int64_t bytes)
{
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static void pad(FILE *out, int64_t from)
{
    for (int64_t i = from; i < padded(from); i++)
        fputc(0, out);
}

static void put_u32(FILE *out, const char *key, uint32_t value)
{
    put_string(out, key);
    put_bytes(out, KV_UINT32, 4);
    put_bytes(out, value, 4);
}

static int64_t longest(const struct ol_parts *parts)
{
    int64_t most = 0;
    for (int64_t i = 0; i < parts->n_sequences; i++)
        most = parts->lengths[i] > most ? parts->lengths[i] : most;
    return most;
}

static void put_header(const struct imatrix *m, FILE *out)
{
    fputs("GGUF", out);
    put_bytes(out, VERSION, 4);
    put_bytes(out, 2 * m->n, 8);
    put_bytes(out, 4, 8);
    put_string(out, "general.type");
    put_bytes(out, KV_STRING, 4);
    put_string(out, "imatrix");
    put_string(out, "imatrix.datasets");
    put_bytes(out, KV_ARRAY, 4);
    put_bytes(out, KV_STRING, 4);
    const int n_inputs = ol_parts_n_inputs(m->parts);
    put_bytes(out, (uint64_t)n_inputs, 8);
    for (int i = 0; i < n_inputs; i++)
        put_string(out, ol_activation_info(m->parts->files[i])->input.source);
    put_u32(out, "imatrix.chunk_count", (uint32_t)m->parts->n_sequences);
    put_u32(out, "imatrix.chunk_size", (uint32_t)longest(m->parts));
}

/* Dimensions with the innermost first; *offset goes past the tensor. */
static void put_info(FILE *out, const char *name, const char *suffix, int64_t width,
                     int64_t n, int64_t *offset)
{
    char *full = ol_xasprintf("%s.%s", name, suffix);
    put_string(out, full);
    put_bytes(out, 2, 4);
    put_bytes(out, (uint64_t)width, 8);
    put_bytes(out, (uint64_t)n, 8);
    put_bytes(out, F32, 4);
    put_bytes(out, (uint64_t)*offset, 8);
    *offset += padded(width * n * 4);
    free(full);
}

static void put_floats(FILE *out, const double *values, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        const float value = (float)values[i];
        uint32_t bits;
        memcpy(&bits, &value, sizeof bits);
        put_bytes(out, bits, 4);
    }
    pad(out, 4 * n);
}

/* A quantiser would take such a weight for one that nothing matters to. */
static int check_finite(const struct imatrix *m, const struct entry *e,
                        const double *sums, struct ol_error *err)
{
    for (int64_t i = 0; i < e->n_matrices * e->width; i++)
        if (!isfinite((float)sums[i]))
            return ol_fail(err, "%s: %s: the squares of input column %lld add up to %g",
                           ol_activation_path(m->parts->files[0]), e->name,
                           (long long)(i % e->width), sums[i]);
    return 0;
}

/* ---- experts that no token chose ---- */

/* Text that grows to a limit. */
struct list {
    char text[OL_ERROR_TEXT_BYTES / 2];
    size_t used;
    int64_t left_out; /* experts for which there was no room */
};

static void list_add(struct list *list, int64_t n_experts, const char *words)
{
    const size_t n = strlen(words);
    if (list->left_out > 0 || list->used + n >= sizeof list->text) {
        list->left_out += n_experts;
        return;
    }
    memcpy(list->text + list->used, words, n + 1);
    list->used += n;
}

/* "layer 3: 5, 7-9", and how many they are. */
static int64_t list_layer(struct list *list, int layer, const double *tokens,
                          int64_t n_experts)
{
    int64_t n = 0;
    for (int64_t e = 0; e < n_experts; e++) {
        const int64_t first = e;
        char words[96];
        if (tokens[e] > 0)
            continue;
        while (e + 1 < n_experts && !(tokens[e + 1] > 0))
            e++;
        int used = n > 0 ? snprintf(words, sizeof words, ",")
                         : snprintf(words, sizeof words,
                                    "%slayer %d:", list->used > 0 ? "; " : "", layer);
        used += snprintf(words + used, sizeof words - (size_t)used, " %lld",
                         (long long)first);
        if (e > first)
            snprintf(words + used, sizeof words - (size_t)used, "-%lld", (long long)e);
        list_add(list, e - first + 1, words);
        n += e - first + 1;
    }
    return n;
}

/* Their counts are 0: a quantiser has nothing to weigh their errors by. */
static void tell_unused_experts(const struct imatrix *m)
{
    struct list list = {.used = 0};
    int64_t n_unused = 0, n_all = 0;
    for (size_t i = 0; i < m->n; i++) {
        const struct entry *e = &m->entries[i];
        if (e->source != OL_INPUT_EXPERTS_DOWN)
            continue;
        double *counts = ol_xcalloc((size_t)e->n_matrices, sizeof *counts);
        add_expert_tokens(m, e, counts);
        n_all += e->n_matrices;
        n_unused +=
            list_layer(&list, ol_parts_layout(m->parts)->layers[e->i_layer].number,
                       counts, e->n_matrices);
        free(counts);
    }
    if (n_unused == 0)
        return;
    char more[64] = "";
    if (list.left_out > 0)
        snprintf(more, sizeof more, "; and %lld more", (long long)list.left_out);
    ol_warn("--imatrix: %lld of %lld experts have no tokens in this text, and so no "
            "importance (counts 0): %s%s",
            (long long)n_unused, (long long)n_all, list.text, more);
}

static int put_entry(const struct imatrix *m, const struct entry *e, FILE *out,
                     struct ol_error *err)
{
    const int64_t n = e->n_matrices * e->width;
    double *sums = ol_xcalloc((size_t)n, sizeof *sums),
           *counts = ol_xcalloc((size_t)e->n_matrices, sizeof *counts);
    read_entry(m, e, sums, counts);
    const int status = check_finite(m, e, sums, err);
    if (status == 0) {
        put_floats(out, sums, n);
        put_floats(out, counts, e->n_matrices);
    }
    free(counts);
    free(sums);
    return status;
}

static int64_t string_bytes(const char *text)
{
    return 8 + (int64_t)strlen(text);
}

/* Of everything before the tensors' data: standard output cannot tell. */
static int64_t header_bytes(const struct imatrix *m)
{
    enum { INFO = 4 + 2 * 8 + 4 + 8 }; /* a tensor's, without its name */
    int64_t n = 4 + 4 + 8 + 8;
    n += string_bytes("general.type") + 4 + string_bytes("imatrix");
    n += string_bytes("imatrix.datasets") + 4 + 4 + 8;
    for (int i = 0; i < ol_parts_n_inputs(m->parts); i++)
        n += string_bytes(ol_activation_info(m->parts->files[i])->input.source);
    n += string_bytes("imatrix.chunk_count") + 8 + string_bytes("imatrix.chunk_size") + 8;
    for (size_t i = 0; i < m->n; i++)
        n += 2 * (string_bytes(m->entries[i].name) + INFO) +
             (int64_t)(strlen(".in_sum2") + strlen(".counts"));
    return n;
}

static int put_all(const struct imatrix *m, FILE *out, struct ol_error *err)
{
    int64_t offset = 0;
    put_header(m, out);
    for (size_t i = 0; i < m->n; i++) {
        const struct entry *e = &m->entries[i];
        put_info(out, e->name, "in_sum2", e->width, e->n_matrices, &offset);
        put_info(out, e->name, "counts", 1, e->n_matrices, &offset);
    }
    pad(out, header_bytes(m));
    for (size_t i = 0; i < m->n; i++)
        if (put_entry(m, &m->entries[i], out, err) != 0)
            return -1;
    return 0;
}

int ol_imatrix_write(const struct ol_parts *parts, const char *path, struct ol_error *err)
{
    struct imatrix m = {.parts = parts};
    struct ol_atomic_file *file = NULL;
    int status = list_entries(&m, err);
    if (status == 0) {
        file = ol_atomic_open(path, err);
        status = file != NULL ? 0 : -1;
    }
    if (status == 0) {
        status = put_all(&m, ol_atomic_stream(file), err);
        if (status == 0)
            status = ol_parts_intact(parts, err);
        if (status == 0)
            status = ol_atomic_commit(file, err);
        else
            ol_atomic_discard(file);
    }
    if (status == 0)
        tell_unused_experts(&m);
    for (size_t i = 0; i < m.n; i++)
        free(m.entries[i].name);
    free(m.entries);
    return status;
}
