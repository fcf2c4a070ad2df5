/* Nemotron-H (Nemotron-H, Nano 2, Nemotron 3): every block is ONE of Mamba-2, attention,
 * an MLP or experts, behind one norm, which for us is a layer that is a mixer or an MLP
 * alone. Attention has no positions. MLPs and experts are relu(up)^2 without a gate;
 * experts may see and give vectors of a latent of their own. */
#include "extract/model/families/families.h"

#include <math.h>
#include <string.h>

/* As published, and as transformers calls it. */
static const struct ol_name_form forms[] = {
    {"backbone.", ""}, {"model.", ""}, {NULL, NULL}};
static const char *const left_out[] = {"mtp.", NULL};
static const struct ol_wrapper wrapper = {.forms = forms, .left_out = left_out};

#define BLOCK "model.layers.{l}."
#define MIXER BLOCK "mixer."

/* ---- which block is what ---- */

/* The names that hybrid_override_pattern, and lists before transformers 5.2 and since,
 * have for it. */
static const struct {
    char letter;
    const char *old_name, *name;
    enum ol_attention_kind attention;
    bool moe, no_mlp;
} kinds[] = {
    {'M', "mamba", "linear_attention", OL_ATTENTION_MAMBA, false, true},
    {'*', "attention", "full_attention", OL_ATTENTION_FULL, false, true},
    {'E', "moe", "moe", OL_ATTENTION_NONE, true, false},
    {'-', "mlp", "mlp", OL_ATTENTION_NONE, false, false},
};
enum { N_KINDS = sizeof kinds / sizeof kinds[0] };

static bool is_kind(int kind, const char *name, bool letter)
{
    return letter ? name[0] == kinds[kind].letter
                  : strcmp(name, kinds[kind].old_name) == 0 ||
                        strcmp(name, kinds[kind].name) == 0;
}

static int set_kind(struct ol_config config, const char *key, const char *name,
                    bool letter, int layer, struct ol_spec *spec, struct ol_error *err)
{
    int kind = 0;
    while (kind < N_KINDS && !is_kind(kind, name, letter))
        kind++;
    if (kind == N_KINDS)
        return ol_fail(err,
                       letter ? "%s: %s: block %d is \"%.1s\", expected M, *, E or -"
                              : "%s: %s[%d] is \"%s\", expected \"mamba\" or "
                                "\"linear_attention\", \"attention\" or "
                                "\"full_attention\", \"moe\" or \"mlp\"",
                       config.file, key, layer, name);
    spec->layers[layer].attention = kinds[kind].attention;
    spec->layers[layer].moe = kinds[kind].moe;
    spec->layers[layer].no_mlp = kinds[kind].no_mlp;
    spec->layers[layer].no_rope = true;
    return 0;
}

/* A list counts before the pattern, as in transformers. */
static int read_blocks(struct ol_config config, struct ol_spec *spec,
                       struct ol_error *err)
{
    static const char *const keys[] = {"layers_block_type", "layer_types"};
    const char *key = "hybrid_override_pattern", *pattern;
    const struct ol_json *list = NULL;
    int64_t n;
    if (ol_config_string_or(config, key, "", &pattern, err) != 0)
        return -1;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        const struct ol_json *value = ol_config_whole(config, keys[i]);
        if (list != NULL || ol_json_kind(value) == OL_JSON_NULL)
            continue;
        list = value;
        key = keys[i];
    }
    if (list != NULL && ol_json_kind(list) != OL_JSON_ARRAY)
        return ol_fail(err, "%s: %s: expected an array of strings", config.file, key);
    n = list != NULL ? (int64_t)ol_json_length(list) : (int64_t)strlen(pattern);
    if (n < 1 || n > OL_MAX_LAYERS)
        return ol_fail(err, "%s: %s: %lld blocks, expected 1 to %d", config.file, key,
                       (long long)n, OL_MAX_LAYERS);
    int64_t stated;
    if (ol_config_int_or(config, "num_hidden_layers", 1, OL_MAX_LAYERS, n, &stated,
                         err) != 0)
        return -1;
    if (stated != n)
        return ol_fail(err, "%s: num_hidden_layers is %lld, but %s has %lld blocks",
                       config.file, (long long)stated, key, (long long)n);
    spec->n_layers = (int)n;
    spec->layers = ol_xcalloc((size_t)n, sizeof *spec->layers);
    for (int l = 0; l < spec->n_layers; l++) {
        const struct ol_json *item = ol_json_at(list, (size_t)l);
        const char *name = list == NULL ? pattern + l
                           : ol_json_kind(item) == OL_JSON_STRING
                               ? ol_json_string(item, NULL)
                               : "no string";
        if (set_kind(config, key, name, list == NULL, l, spec, err) != 0)
            return -1;
    }
    return 0;
}

static bool has(const struct ol_spec *spec, enum ol_attention_kind attention, bool moe)
{
    for (int l = 0; l < spec->n_layers; l++)
        if (spec->layers[l].attention == attention && spec->layers[l].moe == moe)
            return true;
    return false;
}

/* ---- Mamba-2 ---- */

static int read_sizes(struct ol_config config, struct ol_mamba_spec *m,
                      struct ol_error *err)
{
    int64_t n_heads, head_dim, n_groups, state_dim, kernel;
    if (ol_config_int_or(config, "mamba_num_heads", 1, OL_MAX_DIM, 128, &n_heads, err) !=
            0 ||
        ol_config_int_or(config, "mamba_head_dim", 1, OL_MAX_HEAD_DIM, 64, &head_dim,
                         err) != 0 ||
        ol_config_int_or(config, "n_groups", 1, OL_MAX_DIM, 8, &n_groups, err) != 0 ||
        ol_config_int_or(config, "ssm_state_size", 1, OL_MAX_HEAD_DIM, 128, &state_dim,
                         err) != 0 ||
        ol_config_int_or(config, "conv_kernel", 1, 64, 4, &kernel, err) != 0)
        return -1;
    if (n_heads % n_groups != 0 ||
        2 * (n_heads * head_dim + n_groups * state_dim) + n_heads > OL_MAX_DIM)
        return ol_fail(err,
                       "%s: %lld Mamba heads of %lld values in %lld groups with states "
                       "of %lld: expected a multiple of the groups, and at most %d "
                       "values in all",
                       config.file, (long long)n_heads, (long long)head_dim,
                       (long long)n_groups, (long long)state_dim, OL_MAX_DIM);
    m->n_heads = (int)n_heads;
    m->head_dim = (int)head_dim;
    m->n_groups = (int)n_groups;
    m->state_dim = (int)state_dim;
    m->kernel = (int)kernel;
    return 0;
}

/* A time step is at least time_step_min and has no upper limit in the reference, which
 * does not look at time_step_limit: published files have [0, Infinity] there. */
static int read_limits(struct ol_config config, struct ol_mamba_spec *m,
                       struct ol_error *err)
{
    const struct ol_config_range range = {0, 1e9, false};
    const struct ol_json *limit = ol_config_whole(config, "time_step_limit"),
                         *low = ol_json_at(limit, 0), *high = ol_json_at(limit, 1);
    m->most_step = INFINITY;
    if (ol_config_real_or(config, "time_step_min", range, 0.001, &m->least_step, err) !=
        0)
        return -1;
    if (ol_json_kind(limit) == OL_JSON_NULL)
        return 0;
    const bool from_zero =
        (ol_json_kind(low) == OL_JSON_INT || ol_json_kind(low) == OL_JSON_REAL) &&
        ol_json_real(low) <= m->least_step;
    const bool endless = ol_json_kind(high) == OL_JSON_STRING &&
                         strcmp(ol_json_string(high, NULL), "Infinity") == 0;
    return ol_json_kind(limit) == OL_JSON_ARRAY && ol_json_length(limit) == 2 &&
                   from_zero && endless
               ? 0
               : ol_fail(err,
                         "%s: time_step_limit: only [0.0, Infinity] is supported, time "
                         "steps have no limit but time_step_min",
                         config.file);
}

static int read_mamba(struct ol_config config, struct ol_spec *spec, struct ol_error *err)
{
    const char **names = spec->names;
    bool biased;
    if (read_sizes(config, &spec->mamba, err) != 0 ||
        read_limits(config, &spec->mamba, err) != 0 ||
        ol_config_bool_or(config, "use_conv_bias", true, &biased, err) != 0 ||
        ol_config_expect_bool(config, "use_bias", false, err) != 0 ||
        ol_config_expect_bool(config, "mamba_proj_bias", false, err) != 0 ||
        ol_config_expect_string(config, "mamba_hidden_act", "silu", err) != 0)
        return -1;
    if (!has(spec, OL_ATTENTION_MAMBA, false))
        spec->mamba.n_heads = 0;
    names[OL_ROLE_MAMBA_IN] = MIXER "in_proj.weight";
    names[OL_ROLE_MAMBA_CONV] = MIXER "conv1d.weight";
    names[OL_ROLE_MAMBA_CONV_BIAS] = biased ? MIXER "conv1d.bias" : NULL;
    names[OL_ROLE_MAMBA_DT_BIAS] = MIXER "dt_bias";
    names[OL_ROLE_MAMBA_A_LOG] = MIXER "A_log";
    names[OL_ROLE_MAMBA_SKIP] = MIXER "D";
    names[OL_ROLE_MAMBA_NORM] = MIXER "norm.weight";
    names[OL_ROLE_MAMBA_OUT] = MIXER "out_proj.weight";
    return 0;
}

/* ---- attention ---- */

static int read_attention(struct ol_config config, struct ol_spec *spec,
                          struct ol_error *err)
{
    struct ol_attention_spec *a = &spec->attention;
    const char **names = spec->names;
    int64_t n_heads, n_kv_heads, head_dim;
    if (ol_config_int_or(config, "num_attention_heads", 1, OL_MAX_DIM, 32, &n_heads,
                         err) != 0 ||
        ol_config_int_or(config, "num_key_value_heads", 1, n_heads,
                         n_heads < 8 ? n_heads : 8, &n_kv_heads, err) != 0 ||
        ol_config_int_or(config, "head_dim", 2, OL_MAX_HEAD_DIM, 128, &head_dim, err) !=
            0 ||
        ol_config_expect_bool(config, "attention_bias", false, err) != 0)
        return -1;
    if (n_heads % n_kv_heads != 0 || head_dim % 2 != 0 || n_heads * head_dim > OL_MAX_DIM)
        return ol_fail(err,
                       "%s: %lld heads of %lld values with %lld for keys: expected a "
                       "multiple of these, an even number of values, and at most %d in "
                       "all heads",
                       config.file, (long long)n_heads, (long long)head_dim,
                       (long long)n_kv_heads, OL_MAX_DIM);
    a->n_heads = (int)n_heads;
    a->n_kv_heads = (int)n_kv_heads;
    a->head_dim = a->value_dim = (int)head_dim;
    a->scale = 1 / sqrt((double)head_dim);
    a->rope = (struct ol_rope_spec){
        .kind = OL_ROPE_HALF, .rotary_dim = (int)head_dim, .theta = 10000};
    names[OL_ROLE_Q] = MIXER "q_proj.weight";
    names[OL_ROLE_K] = MIXER "k_proj.weight";
    names[OL_ROLE_V] = MIXER "v_proj.weight";
    names[OL_ROLE_O] = MIXER "o_proj.weight";
    return 0;
}

/* ---- MLPs and experts ---- */

static int read_dense(struct ol_config config, struct ol_spec *spec, struct ol_error *err)
{
    int64_t d_ff;
    if (ol_config_int_or(config, "intermediate_size", 1, OL_MAX_DIM, 21504, &d_ff, err) !=
        0)
        return -1;
    if (!has(spec, OL_ATTENTION_NONE, false))
        return 0;
    spec->d_ff = (int)d_ff;
    spec->names[OL_ROLE_UP] = MIXER "up_proj.weight";
    spec->names[OL_ROLE_DOWN] = MIXER "down_proj.weight";
    return 0;
}

static void name_experts(struct ol_spec *spec)
{
    const char **names = spec->names;
    names[OL_ROLE_ROUTER] = MIXER "gate.weight";
    names[OL_ROLE_ROUTER_CORRECTION] = MIXER "gate.e_score_correction_bias";
    names[OL_ROLE_EXPERT_UP] = MIXER "experts.{e}.up_proj.weight";
    names[OL_ROLE_EXPERT_DOWN] = MIXER "experts.{e}.down_proj.weight";
    spec->fused_names[OL_ROLE_EXPERT_UP] = MIXER "experts.up_proj";
    spec->fused_names[OL_ROLE_EXPERT_DOWN] = MIXER "experts.down_proj";
    names[OL_ROLE_SHARED_UP] = MIXER "shared_experts.up_proj.weight";
    names[OL_ROLE_SHARED_DOWN] = MIXER "shared_experts.down_proj.weight";
    if (spec->d_latent == 0)
        return;
    names[OL_ROLE_LATENT_DOWN] = MIXER "fc1_latent_proj.weight";
    names[OL_ROLE_LATENT_UP] = MIXER "fc2_latent_proj.weight";
}

/* Of a model without experts, as the reference does. */
static void pass_over_experts(struct ol_config config)
{
    static const char *const keys[] = {"n_routed_experts",
                                       "num_experts_per_tok",
                                       "moe_intermediate_size",
                                       "n_group",
                                       "topk_group",
                                       "routed_scaling_factor",
                                       "norm_topk_prob",
                                       "n_shared_experts",
                                       "moe_latent_size",
                                       "moe_shared_expert_intermediate_size"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        (void)ol_config_whole(config, keys[i]);
}

/* The reference has one shared expert, whatever n_shared_experts says. */
static int read_experts(struct ol_config config, struct ol_spec *spec,
                        struct ol_error *err)
{
    const struct ol_family_groups groups = {1, 1, 1};
    int64_t d_shared, n_shared, d_latent;
    if (!has(spec, OL_ATTENTION_NONE, true)) {
        pass_over_experts(config);
        return 0;
    }
    if (ol_family_read_sigmoid_router(config, &groups, spec, err) != 0 ||
        ol_config_int_or(config, "moe_shared_expert_intermediate_size", 1, OL_MAX_DIM,
                         7688, &d_shared, err) != 0 ||
        ol_config_int_or(config, "n_shared_experts", 1, 1, 1, &n_shared, err) != 0 ||
        ol_config_int_or(config, "moe_latent_size", 1, OL_MAX_DIM, 0, &d_latent, err) !=
            0)
        return -1;
    spec->router.float_weight = true;
    spec->d_shared = (int)d_shared;
    spec->d_latent = (int)d_latent;
    name_experts(spec);
    return 0;
}

/* ---- the frame ---- */

static int read_frame(struct ol_config config, struct ol_spec *spec, struct ol_error *err)
{
    const struct ol_config_range eps = {0, 1, false};
    const char **names = spec->names;
    int64_t d_model, vocab_size;
    double same_eps;
    if (ol_config_need_int(config, "hidden_size", 1, OL_MAX_DIM, &d_model, err) != 0 ||
        ol_config_int_or(config, "vocab_size", 1, OL_MAX_VOCAB, 131072, &vocab_size,
                         err) != 0 ||
        ol_config_real_or(config, "layer_norm_epsilon", eps, 1e-5, &spec->norm_eps,
                          err) != 0 ||
        ol_config_real_or(config, "norm_eps", eps, spec->norm_eps, &same_eps, err) != 0 ||
        ol_config_bool_or(config, "tie_word_embeddings", false, &spec->tied_embeddings,
                          err) != 0 ||
        ol_config_expect_bool(config, "mlp_bias", false, err) != 0 ||
        ol_config_expect_bool(config, "residual_in_fp32", false, err) != 0 ||
        ol_config_expect_string(config, "mlp_hidden_act", "relu2", err) != 0 ||
        ol_family_read_quantization(config, &spec->quantization, err) != 0)
        return -1;
    if (same_eps != spec->norm_eps)
        return ol_fail(err, "%s: norm_eps is %g, but layer_norm_epsilon is %g",
                       config.file, same_eps, spec->norm_eps);
    spec->d_model = (int)d_model;
    spec->vocab_size = (int)vocab_size;
    spec->norm = OL_NORM_RMS_ONCE;
    spec->glu = (struct ol_glu_spec){.function = OL_GLU_RELU2, .alone = true};
    names[OL_ROLE_EMBEDDING] = "model.embeddings.weight";
    names[OL_ROLE_FINAL_NORM] = "model.norm_f.weight";
    names[OL_ROLE_LM_HEAD] = "lm_head.weight";
    names[OL_ROLE_ATTN_NORM] = names[OL_ROLE_MLP_NORM] = BLOCK "norm.weight";
    ol_family_set_wrapper(spec, &wrapper);
    return 0;
}

/* Of what the classes do not read, or read for training and for other engines alone: no
 * layer has positions, so that nothing of a rope counts. */
static void pass_over(struct ol_config config)
{
    static const char *const keys[] = {"rope_theta",
                                       "partial_rotary_factor",
                                       "rope_scaling",
                                       "rope_parameters",
                                       "expand",
                                       "chunk_size",
                                       "use_mamba_kernels",
                                       "mamba_ssm_cache_dtype",
                                       "mamba_ssm_dtype",
                                       "time_step_floor",
                                       "time_step_max",
                                       "rescale_prenorm_residual",
                                       "num_logits_to_keep",
                                       "moe_shared_expert_overlap",
                                       "mtp_hybrid_override_pattern",
                                       "mtp_layers_block_type",
                                       "keep_mtp_spec_in_bf16",
                                       "max_position_embeddings"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        (void)ol_config_whole(config, keys[i]);
}

static int read(struct ol_config config, struct ol_spec *spec, struct ol_error *err)
{
    pass_over(config);
    if (read_frame(config, spec, err) != 0 || read_blocks(config, spec, err) != 0 ||
        read_mamba(config, spec, err) != 0 || read_attention(config, spec, err) != 0 ||
        read_dense(config, spec, err) != 0)
        return -1;
    return read_experts(config, spec, err);
}

const struct ol_family ol_family_nemotron_h = {"nemotron_h", read};
