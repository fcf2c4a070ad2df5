/* GPT-2 (LLM.int8's control): embeddings of positions, norms with mean and bias, q, k and
 * v in one matrix, an MLP without a gate; matrices are stored [in, out]. */
#include "extract/model/families/families.h"

#include <math.h>

/* As published, and as transformers writes it. */
static const struct ol_name_form forms[] = {{"", ""}, {"transformer.", ""}, {NULL, NULL}};
static const char *const left_out[] = {NULL};
static const struct ol_wrapper wrapper = {.forms = forms, .left_out = left_out};

static void name_tensors(struct ol_spec *spec)
{
    const char **names = spec->names;
    names[OL_ROLE_EMBEDDING] = "model.wte.weight";
    names[OL_ROLE_POSITIONS] = "model.wpe.weight";
    names[OL_ROLE_FINAL_NORM] = "model.ln_f.weight";
    names[OL_ROLE_FINAL_NORM_BIAS] = "model.ln_f.bias";
    names[OL_ROLE_LM_HEAD] = "lm_head.weight";
    names[OL_ROLE_ATTN_NORM] = "model.h.{l}.ln_1.weight";
    names[OL_ROLE_ATTN_NORM_BIAS] = "model.h.{l}.ln_1.bias";
    names[OL_ROLE_QKV] = "model.h.{l}.attn.c_attn.weight";
    names[OL_ROLE_QKV_BIAS] = "model.h.{l}.attn.c_attn.bias";
    names[OL_ROLE_O] = "model.h.{l}.attn.c_proj.weight";
    names[OL_ROLE_O_BIAS] = "model.h.{l}.attn.c_proj.bias";
    names[OL_ROLE_MLP_NORM] = "model.h.{l}.ln_2.weight";
    names[OL_ROLE_MLP_NORM_BIAS] = "model.h.{l}.ln_2.bias";
    names[OL_ROLE_UP] = "model.h.{l}.mlp.c_fc.weight";
    names[OL_ROLE_UP_BIAS] = "model.h.{l}.mlp.c_fc.bias";
    names[OL_ROLE_DOWN] = "model.h.{l}.mlp.c_proj.weight";
    names[OL_ROLE_DOWN_BIAS] = "model.h.{l}.mlp.c_proj.bias";
}

static int read_attention(struct ol_config config, struct ol_spec *spec,
                          struct ol_error *err)
{
    struct ol_attention_spec *a = &spec->attention;
    int64_t n_heads;
    bool scaled;
    if (ol_config_need_int(config, "n_head", 1, OL_MAX_DIM, &n_heads, err) != 0 ||
        ol_config_bool_or(config, "scale_attn_weights", true, &scaled, err) != 0 ||
        ol_config_expect_bool(config, "scale_attn_by_inverse_layer_idx", false, err) != 0)
        return -1;
    const int64_t head_dim = spec->d_model / n_heads;
    if (head_dim * n_heads != spec->d_model || head_dim % 2 != 0 ||
        head_dim > OL_MAX_HEAD_DIM)
        return ol_fail(err,
                       "%s: n_embd is %d for %lld heads: expected an even number for "
                       "each, up to %d",
                       config.file, spec->d_model, (long long)n_heads, OL_MAX_HEAD_DIM);
    a->n_heads = a->n_kv_heads = (int)n_heads;
    a->head_dim = a->value_dim = (int)head_dim;
    a->scale = scaled ? 1 / sqrt((double)head_dim) : 1;
    a->rope = (struct ol_rope_spec){
        .kind = OL_ROPE_HALF, .rotary_dim = (int)head_dim, .theta = 10000};
    for (int l = 0; l < spec->n_layers; l++)
        spec->layers[l].no_rope = true;
    return 0;
}

/* GPTQ's and AWQ's words are of a matrix as it multiplies; what other formats would make
 * of one that is stored turned, nobody publishes. */
static int check_quantization(struct ol_config config, const struct ol_spec *spec,
                              struct ol_error *err)
{
    switch (spec->quantization.method) {
    case OL_QUANTIZATION_NONE:
    case OL_QUANTIZATION_GPTQ:
    case OL_QUANTIZATION_AWQ:
        return 0;
    default:
        return ol_fail(err,
                       "%s: quantised weights of model_type gpt2, whose matrices are "
                       "stored [in, out], are supported as gptq and awq alone",
                       config.file);
    }
}

static int read(struct ol_config config, struct ol_spec *spec, struct ol_error *err)
{
    const struct ol_config_range eps = {0, 1, false};
    int64_t n_layers, d_model, d_ff, vocab_size, n_positions;
    if (ol_config_need_int(config, "n_layer", 1, OL_MAX_LAYERS, &n_layers, err) != 0 ||
        ol_config_need_int(config, "n_embd", 1, OL_MAX_DIM / 4, &d_model, err) != 0 ||
        ol_config_int_or(config, "n_inner", 1, OL_MAX_DIM, 4 * d_model, &d_ff, err) !=
            0 ||
        ol_config_need_int(config, "vocab_size", 1, OL_MAX_VOCAB, &vocab_size, err) !=
            0 ||
        ol_config_int_or(config, "n_positions", 1, INT32_MAX, 1024, &n_positions, err) !=
            0 ||
        ol_config_real_or(config, "layer_norm_epsilon", eps, 1e-5, &spec->norm_eps,
                          err) != 0 ||
        ol_config_bool_or(config, "tie_word_embeddings", true, &spec->tied_embeddings,
                          err) != 0 ||
        ol_config_expect_string(config, "activation_function", "gelu_new", err) != 0 ||
        ol_family_read_quantization(config, &spec->quantization, err) != 0 ||
        check_quantization(config, spec, err) != 0)
        return -1;
    spec->n_layers = (int)n_layers;
    spec->d_model = (int)d_model;
    spec->d_ff = (int)d_ff;
    spec->vocab_size = (int)vocab_size;
    spec->n_positions = (int)n_positions;
    spec->norm = OL_NORM_LAYER;
    spec->glu = (struct ol_glu_spec){.function = OL_GLU_GELU_TANH, .alone = true};
    spec->turned_matrices = true;
    spec->layers = ol_xcalloc((size_t)n_layers, sizeof *spec->layers);
    name_tensors(spec);
    ol_family_set_wrapper(spec, &wrapper);
    return read_attention(config, spec, err);
}

const struct ol_family ol_family_gpt2 = {"gpt2", read};
