/* DeepSeek-V4: four residual streams (hyper-connections), one key for all heads with
 * entries in the place of earlier ones, all layers MoE, the first ones by a table of
 * tokens. Names are those of the Hub's files, which have no "model.". */
#include "extract/model/families/families.h"

#include <math.h>
#include <string.h>

/* As published, and as transformers 5 writes them. */
static const struct ol_name_form forms[] = {{"", ""}, {"model.", ""}, {NULL, NULL}};
/* The prediction of later tokens. */
static const char *const left_out[] = {"mtp.", NULL};
static const struct ol_wrapper wrapper = {.forms = forms, .left_out = left_out};

static const struct ol_config_range above_zero = {0, 1e6, true};

static void name_attention(struct ol_spec *spec)
{
    const char **names = spec->names;
    names[OL_ROLE_V] = NULL;
    names[OL_ROLE_Q_A] = "model.layers.{l}.attn.wq_a.weight";
    names[OL_ROLE_Q_A_NORM] = "model.layers.{l}.attn.q_norm.weight";
    names[OL_ROLE_Q] = "model.layers.{l}.attn.wq_b.weight";
    names[OL_ROLE_K] = "model.layers.{l}.attn.wkv.weight";
    names[OL_ROLE_K_NORM] = "model.layers.{l}.attn.kv_norm.weight";
    names[OL_ROLE_SINKS] = "model.layers.{l}.attn.attn_sink";
    names[OL_ROLE_O_A] = "model.layers.{l}.attn.wo_a.weight";
    names[OL_ROLE_O] = "model.layers.{l}.attn.wo_b.weight";
    names[OL_ROLE_ENTRY_VALUES] = "model.layers.{l}.attn.compressor.wkv.weight";
    names[OL_ROLE_ENTRY_GATES] = "model.layers.{l}.attn.compressor.wgate.weight";
    names[OL_ROLE_ENTRY_PLACES] = "model.layers.{l}.attn.compressor.ape";
    names[OL_ROLE_ENTRY_NORM] = "model.layers.{l}.attn.compressor.norm.weight";
    names[OL_ROLE_INDEX_Q] = "model.layers.{l}.attn.indexer.wq_b.weight";
    names[OL_ROLE_INDEX_WEIGHTS] = "model.layers.{l}.attn.indexer.weights_proj.weight";
    names[OL_ROLE_INDEX_K] = "model.layers.{l}.attn.indexer.compressor.wkv.weight";
    names[OL_ROLE_INDEX_GATES] = "model.layers.{l}.attn.indexer.compressor.wgate.weight";
    names[OL_ROLE_INDEX_PLACES] = "model.layers.{l}.attn.indexer.compressor.ape";
    names[OL_ROLE_INDEX_K_NORM] = "model.layers.{l}.attn.indexer.compressor.norm.weight";
}

static void name_fused(struct ol_spec *spec)
{
#define LAYER     "model.layers.{l}."
#define ATTENTION LAYER "self_attn."
#define ENTRIES   ATTENTION "compressor."
#define INDEX     ENTRIES "indexer."
#define MLP       LAYER "mlp."
    static const struct {
        enum ol_role role;
        const char *name;
    } all[] = {
        {OL_ROLE_EMBEDDING, "model.embed_tokens.weight"},
        {OL_ROLE_FINAL_NORM, "model.norm.weight"},
        {OL_ROLE_LM_HEAD, "lm_head.weight"},
        {OL_ROLE_HEAD_CONNECTION, "model.hc_head.hc_fn"},
        {OL_ROLE_HEAD_CONNECTION_BASE, "model.hc_head.hc_base"},
        {OL_ROLE_HEAD_CONNECTION_SCALE, "model.hc_head.hc_scale"},
        {OL_ROLE_ATTN_NORM, LAYER "input_layernorm.weight"},
        {OL_ROLE_MLP_NORM, LAYER "post_attention_layernorm.weight"},
        {OL_ROLE_ATTN_CONNECTION, LAYER "attn_hc.fn"},
        {OL_ROLE_ATTN_CONNECTION_BASE, LAYER "attn_hc.base"},
        {OL_ROLE_ATTN_CONNECTION_SCALE, LAYER "attn_hc.scale"},
        {OL_ROLE_MLP_CONNECTION, LAYER "ffn_hc.fn"},
        {OL_ROLE_MLP_CONNECTION_BASE, LAYER "ffn_hc.base"},
        {OL_ROLE_MLP_CONNECTION_SCALE, LAYER "ffn_hc.scale"},
        {OL_ROLE_Q_A, ATTENTION "q_a_proj.weight"},
        {OL_ROLE_Q_A_NORM, ATTENTION "q_a_norm.weight"},
        {OL_ROLE_Q, ATTENTION "q_b_proj.weight"},
        {OL_ROLE_K, ATTENTION "kv_proj.weight"},
        {OL_ROLE_K_NORM, ATTENTION "kv_norm.weight"},
        {OL_ROLE_SINKS, ATTENTION "sinks"},
        {OL_ROLE_O_A, ATTENTION "o_a_proj.weight"},
        {OL_ROLE_O, ATTENTION "o_b_proj.weight"},
        {OL_ROLE_ENTRY_VALUES, ENTRIES "kv_proj.weight"},
        {OL_ROLE_ENTRY_GATES, ENTRIES "gate_proj.weight"},
        {OL_ROLE_ENTRY_PLACES, ENTRIES "position_bias"},
        {OL_ROLE_ENTRY_NORM, ENTRIES "kv_norm.weight"},
        {OL_ROLE_INDEX_Q, INDEX "q_b_proj.weight"},
        {OL_ROLE_INDEX_WEIGHTS, INDEX "scorer.weights_proj.weight"},
        {OL_ROLE_INDEX_K, INDEX "kv_proj.weight"},
        {OL_ROLE_INDEX_GATES, INDEX "gate_proj.weight"},
        {OL_ROLE_INDEX_PLACES, INDEX "position_bias"},
        {OL_ROLE_INDEX_K_NORM, INDEX "kv_norm.weight"},
        {OL_ROLE_ROUTER, MLP "gate.weight"},
        {OL_ROLE_ROUTER_TABLE, MLP "gate.tid2eid"},
        {OL_ROLE_ROUTER_CORRECTION, MLP "gate.e_score_correction_bias"},
        {OL_ROLE_EXPERT_GATE, MLP "experts.gate_up_proj"},
        {OL_ROLE_EXPERT_UP, MLP "experts.gate_up_proj"},
        {OL_ROLE_EXPERT_DOWN, MLP "experts.down_proj"},
        {OL_ROLE_SHARED_GATE, MLP "shared_experts.gate_proj.weight"},
        {OL_ROLE_SHARED_UP, MLP "shared_experts.up_proj.weight"},
        {OL_ROLE_SHARED_DOWN, MLP "shared_experts.down_proj.weight"},
    };
#undef LAYER
#undef ATTENTION
#undef ENTRIES
#undef INDEX
#undef MLP
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        spec->fused_names[all[i].role] = all[i].name;
}

static void name_tensors(struct ol_spec *spec)
{
    const char **names = spec->names;
    names[OL_ROLE_EMBEDDING] = "embed.weight";
    names[OL_ROLE_FINAL_NORM] = "norm.weight";
    names[OL_ROLE_LM_HEAD] = "head.weight";
    names[OL_ROLE_HEAD_CONNECTION] = "hc_head_fn";
    names[OL_ROLE_HEAD_CONNECTION_BASE] = "hc_head_base";
    names[OL_ROLE_HEAD_CONNECTION_SCALE] = "hc_head_scale";
    names[OL_ROLE_ATTN_NORM] = "model.layers.{l}.attn_norm.weight";
    names[OL_ROLE_MLP_NORM] = "model.layers.{l}.ffn_norm.weight";
    names[OL_ROLE_ATTN_CONNECTION] = "model.layers.{l}.hc_attn_fn";
    names[OL_ROLE_ATTN_CONNECTION_BASE] = "model.layers.{l}.hc_attn_base";
    names[OL_ROLE_ATTN_CONNECTION_SCALE] = "model.layers.{l}.hc_attn_scale";
    names[OL_ROLE_MLP_CONNECTION] = "model.layers.{l}.hc_ffn_fn";
    names[OL_ROLE_MLP_CONNECTION_BASE] = "model.layers.{l}.hc_ffn_base";
    names[OL_ROLE_MLP_CONNECTION_SCALE] = "model.layers.{l}.hc_ffn_scale";
    names[OL_ROLE_ROUTER] = "model.layers.{l}.ffn.gate.weight";
    names[OL_ROLE_ROUTER_TABLE] = "model.layers.{l}.ffn.gate.tid2eid";
    names[OL_ROLE_ROUTER_CORRECTION] = "model.layers.{l}.ffn.gate.bias";
    names[OL_ROLE_EXPERT_GATE] = "model.layers.{l}.ffn.experts.{e}.w1.weight";
    names[OL_ROLE_EXPERT_UP] = "model.layers.{l}.ffn.experts.{e}.w3.weight";
    names[OL_ROLE_EXPERT_DOWN] = "model.layers.{l}.ffn.experts.{e}.w2.weight";
    names[OL_ROLE_SHARED_GATE] = "model.layers.{l}.ffn.shared_experts.w1.weight";
    names[OL_ROLE_SHARED_UP] = "model.layers.{l}.ffn.shared_experts.w3.weight";
    names[OL_ROLE_SHARED_DOWN] = "model.layers.{l}.ffn.shared_experts.w2.weight";
    name_attention(spec);
    name_fused(spec);
    ol_family_set_wrapper(spec, &wrapper);
}

/* ---- layers ---- */

enum kind { SLIDING, SPARSE, HEAVY, N_KINDS, UNKNOWN = -1 };

static const char *const types[N_KINDS] = {
    "sliding_attention", "compressed_sparse_attention", "heavily_compressed_attention"};
static const int64_t ratios[N_KINDS] = {0, 4, 128};

/* layer_types, or compress_ratios, or two HEAVY ones and then these and SPARSE in turn;
 * what is listed may go on behind the last layer. */
static int kind_of(struct ol_config config, int l, enum kind *kind, struct ol_error *err)
{
    const struct ol_json *named = ol_config_whole(config, "layer_types"),
                         *counted = ol_config_whole(config, "compress_ratios");
    const bool is_named = ol_json_kind(named) != OL_JSON_NULL;
    const struct ol_json *item = ol_json_at(is_named ? named : counted, (size_t)l);
    if (!is_named && ol_json_kind(counted) == OL_JSON_NULL) {
        *kind = l < 2 || l % 2 == 0 ? HEAVY : SPARSE;
        return 0;
    }
    *kind = UNKNOWN;
    for (int i = 0; i < N_KINDS; i++)
        if (is_named
                ? ol_json_kind(item) == OL_JSON_STRING &&
                      strcmp(ol_json_string(item, NULL), types[i]) == 0
                : ol_json_kind(item) == OL_JSON_INT && ol_json_int(item) == ratios[i])
            *kind = (enum kind)i;
    if (*kind != UNKNOWN)
        return 0;
    return is_named
               ? ol_fail(err, "%s: layer_types[%d]: expected \"%s\", \"%s\" or \"%s\"",
                         config.file, l, types[0], types[1], types[2])
               : ol_fail(err, "%s: compress_ratios[%d]: expected 0, 4 or 128",
                         config.file, l);
}

/* compress_rates by the layers' type, or a key of its own for each, which wins. */
static int read_rate(struct ol_config config, enum kind kind, int64_t *rate,
                     struct ol_error *err)
{
    struct ol_config rates;
    return ol_config_section(config, "compress_rates", &rates, err) != 0 ||
                   ol_config_int_or(rates, types[kind], 1, INT32_MAX / 2, ratios[kind],
                                    rate, err) != 0
               ? -1
               : ol_config_int_or(
                     config, kind == SPARSE ? "compress_rate_csa" : "compress_rate_hca",
                     1, INT32_MAX / 2, *rate, rate, err);
}

/* Whether a table of tokens gives the layer's experts. */
static int read_given(struct ol_config config, int l, bool *given, struct ol_error *err)
{
    const struct ol_json *listed = ol_config_whole(config, "mlp_layer_types"),
                         *item = ol_json_at(listed, (size_t)l);
    int64_t n;
    if (ol_config_int_or(config, "num_hash_layers", 0, OL_MAX_LAYERS, 3, &n, err) != 0)
        return -1;
    const char *type = ol_json_kind(listed) == OL_JSON_NULL ? (l < n ? "hash_moe" : "moe")
                       : ol_json_kind(item) == OL_JSON_STRING ? ol_json_string(item, NULL)
                                                              : "no string";
    *given = strcmp(type, "hash_moe") == 0;
    return *given || strcmp(type, "moe") == 0
               ? 0
               : ol_fail(err,
                         "%s: mlp_layer_types[%d] is \"%s\", expected \"hash_moe\" or "
                         "\"moe\"",
                         config.file, l, type);
}

static int read_layers(struct ol_config config, struct ol_spec *spec,
                       struct ol_error *err)
{
    int64_t window, rates[N_KINDS] = {0};
    if (ol_config_int_or(config, "sliding_window", 1, INT32_MAX, 128, &window, err) !=
            0 ||
        read_rate(config, SPARSE, &rates[SPARSE], err) != 0 ||
        read_rate(config, HEAVY, &rates[HEAVY], err) != 0)
        return -1;
    for (int l = 0; l < spec->n_layers; l++) {
        struct ol_layer_spec *layer = &spec->layers[l];
        enum kind kind;
        if (kind_of(config, l, &kind, err) != 0 ||
            read_given(config, l, &layer->given, err) != 0)
            return -1;
        layer->moe = true;
        layer->attention =
            kind == SLIDING ? OL_ATTENTION_SLIDING : OL_ATTENTION_COMPRESSED;
        layer->window = (int)window;
        layer->rate = (int)rates[kind];
        layer->overlaps = layer->indexer = kind == SPARSE;
    }
    spec->attention.index.rate = (int)rates[SPARSE];
    return 0;
}

/* ---- attention ---- */

/* One rope for SLIDING layers and one, which may be stretched, for all others. A
 * stretched one does not change the magnitude, unless config.json has the form of
 * transformers 5, which says it. */
static int read_ropes(struct ol_config config, const struct ol_family_defaults *d,
                      struct ol_spec *spec, struct ol_error *err)
{
    struct ol_attention_spec *a = &spec->attention;
    const struct ol_config_range theta_range = {1, 1e15, false};
    struct ol_rope_spec *main = &spec->sliding.rope, *other = &a->rope;
    struct ol_config flat;
    double theta, compressed;
    bool found, both;
    if (ol_config_real_or(config, "rope_theta", theta_range, 10000, &theta, err) != 0 ||
        ol_config_real_or(config, "compress_rope_theta", theta_range, 160000, &compressed,
                          err) != 0 ||
        ol_family_rope_section(config, &flat, err) != 0)
        return -1;
    *main = (struct ol_rope_spec){
        .kind = OL_ROPE_PAIRS_ONCE, .rotary_dim = other->rotary_dim, .theta = theta};
    other->kind = OL_ROPE_PAIRS_ONCE;
    other->theta = compressed;
    if (ol_json_kind(ol_json_get(flat.json, "attention_factor")) == OL_JSON_NULL)
        other->magnitude = 1;
    struct ol_rope_spec nested[2] = {
        {.kind = OL_ROPE_PAIRS_ONCE, .rotary_dim = a->head_dim},
        {.kind = OL_ROPE_PAIRS_ONCE, .rotary_dim = a->head_dim}};
    if (ol_family_read_rope_of(config, "main", d, &nested[0], &found, err) != 0 ||
        ol_family_read_rope_of(config, "compress", d, &nested[1], &both, err) != 0)
        return -1;
    if (found && both) {
        *main = nested[0];
        *other = nested[1];
    }
    return main->rotary_dim == other->rotary_dim
               ? 0
               : ol_fail(err, "%s: rope_parameters: %d and %d values are rotated",
                         config.file, main->rotary_dim, other->rotary_dim);
}

static int read_attention(struct ol_config config, const struct ol_family_defaults *d,
                          struct ol_spec *spec, struct ol_error *err)
{
    struct ol_attention_spec *a = &spec->attention;
    int64_t q_rank, groups, rank, index_heads, index_dim;
    if (ol_config_int_or(config, "q_lora_rank", 1, OL_MAX_DIM, 1024, &q_rank, err) != 0 ||
        ol_config_int_or(config, "o_groups", 1, a->n_heads, 8, &groups, err) != 0 ||
        ol_config_int_or(config, "o_lora_rank", 1, OL_MAX_DIM, 1024, &rank, err) != 0 ||
        ol_config_int_or(config, "index_topk", 1, INT32_MAX, 512, &a->index.top_k, err) !=
            0 ||
        ol_config_int_or(config, "index_n_heads", 1, OL_MAX_DIM, 64, &index_heads, err) !=
            0 ||
        ol_config_int_or(config, "index_head_dim", 1, OL_MAX_HEAD_DIM, 128, &index_dim,
                         err) != 0)
        return -1;
    if (a->n_kv_heads != 1)
        return ol_fail(err, "%s: num_key_value_heads is %d, expected 1", config.file,
                       a->n_kv_heads);
    if (a->n_heads % groups != 0 || groups * rank > OL_MAX_DIM)
        return ol_fail(err,
                       "%s: o_groups is %lld, with o_lora_rank %lld: expected a divisor "
                       "of num_attention_heads (%d), and at most %d values",
                       config.file, (long long)groups, (long long)rank, a->n_heads,
                       OL_MAX_DIM);
    if (index_heads * index_dim > OL_MAX_INDEX_WIDTH || index_dim < a->rope.rotary_dim)
        return ol_fail(err,
                       "%s: %lld heads of an indexer of %lld values: expected at least "
                       "the %d that are rotated and %d in all",
                       config.file, (long long)index_heads, (long long)index_dim,
                       a->rope.rotary_dim, OL_MAX_INDEX_WIDTH);
    a->shared_key = true;
    a->q_rank = (int)q_rank;
    a->out_groups = (int)groups;
    a->out_rank = (int)rank;
    a->index.n_heads = (int)index_heads;
    a->index.head_dim = (int)index_dim;
    spec->sliding = *a;
    return read_ropes(config, d, spec, err);
}

/* ---- streams, experts ---- */

static int read_streams(struct ol_config config, struct ol_spec *spec,
                        struct ol_error *err)
{
    struct ol_connection_spec *c = &spec->connection;
    int64_t n, n_iterations;
    if (ol_config_int_or(config, "hc_mult", 1, OL_MAX_STREAMS, 4, &n, err) != 0 ||
        ol_config_int_or(config, "hc_sinkhorn_iters", 1, 1000, 20, &n_iterations, err) !=
            0 ||
        ol_config_real_or(config, "hc_eps", (struct ol_config_range){0, 1, false}, 1e-6,
                          &c->eps, err) != 0)
        return -1;
    c->n_streams = (int)n;
    c->n_iterations = (int)n_iterations;
    return 0;
}

static int read_experts(struct ol_config config, struct ol_spec *spec,
                        struct ol_error *err)
{
    struct ol_router_spec *r = &spec->router;
    int64_t n_shared;
    if (ol_family_read_experts(config, "moe_intermediate_size", spec, err) != 0 ||
        ol_config_expect_string(config, "scoring_func", "sqrtsoftplus", err) != 0 ||
        ol_config_expect_string(config, "topk_method", "noaux_tc", err) != 0 ||
        ol_config_expect_bool(config, "norm_topk_prob", true, err) != 0 ||
        ol_config_int_or(config, "n_shared_experts", 1, 1, 1, &n_shared, err) != 0 ||
        ol_config_real_or(config, "routed_scaling_factor", above_zero, 1.5, &r->scale,
                          err) != 0 ||
        ol_config_real_or(config, "swiglu_limit", above_zero, 10, &spec->glu.limit,
                          err) != 0)
        return -1;
    r->score = OL_ROUTER_SQRT_SOFTPLUS;
    r->float_logits = r->renormalize = true;
    spec->d_shared = spec->d_expert;
    return 0;
}

/* Routed experts are in four bits where expert_dtype, with the model's keys or (V4.1)
 * with the format's, says so. */
static int read_expert_type(struct ol_config config, struct ol_spec *spec,
                            struct ol_error *err)
{
    struct ol_config q;
    const char *type;
    if (ol_config_section(config, "quantization_config", &q, err) != 0 ||
        ol_config_string_or(config, "expert_dtype", "fp8", &type, err) != 0 ||
        (q.json != NULL && ol_config_string_or(q, "expert_dtype", type, &type, err) != 0))
        return -1;
    spec->quantization.fp4_experts = strcmp(type, "fp4") == 0;
    return spec->quantization.fp4_experts || strcmp(type, "fp8") == 0
               ? 0
               : ol_fail(err, "%s: expert_dtype is \"%s\", expected \"fp4\" or \"fp8\"",
                         config.file, type);
}

static int read(struct ol_config config, struct ol_spec *spec, struct ol_error *err)
{
    struct ol_family_defaults defaults = {
        .n_kv_heads = 1, .head_dim = 512, .norm_eps = 1e-6, .rope_theta = 10000};
    int64_t head_dim, rotary;
    if (ol_config_int_or(config, "head_dim", 2, OL_MAX_HEAD_DIM, 512, &head_dim, err) !=
            0 ||
        ol_config_int_or(config, "qk_rope_head_dim", 2, head_dim, head_dim / 8, &rotary,
                         err) != 0)
        return -1;
    defaults.partial_rotary = (double)rotary / (double)head_dim;
    if (ol_family_read_common(config, &defaults, spec, err) != 0 ||
        read_attention(config, &defaults, spec, err) != 0 ||
        read_layers(config, spec, err) != 0 || read_streams(config, spec, err) != 0 ||
        read_experts(config, spec, err) != 0 || read_expert_type(config, spec, err) != 0)
        return -1;
    spec->norm = OL_NORM_RMS_STORED;
    name_tensors(spec);
    return 0;
}

const struct ol_family ol_family_deepseek_v4 = {"deepseek_v4", read};
