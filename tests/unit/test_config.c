/* Keys of config.json: no published or golden configuration raises a false alarm, and
 * what changes the computation is refused by name wherever a family does not read it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "extract/model/spec.h"

enum { MOST_BYTES = 1 << 20 }; /* of a configuration */

static struct ol_json *load(const char *path)
{
    struct ol_error err = {0};
    char *text = ol_xmalloc(MOST_BYTES);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    const size_t n = fread(text, 1, MOST_BYTES, file);
    assert_true(n < MOST_BYTES && fclose(file) == 0);
    struct ol_json *json = ol_config_parse(text, n, path, &err);
    free(text);
    if (json == NULL)
        fail_msg("%s", err.text);
    return json;
}

static void no_false_alarm(void **state)
{
    (void)state;
    static const char *const patterns[] = {"data/models/*.json", "data/*/config.json",
                                           "tests/golden/models/*/config.json"};
    int n = 0;
    for (size_t p = 0; p < sizeof patterns / sizeof patterns[0]; p++) {
        glob_t found;
        assert_int_equal(glob(patterns[p], 0, NULL, &found), 0);
        for (size_t i = 0; i < found.gl_pathc; i++, n++) {
            struct ol_error err = {0};
            struct ol_spec spec;
            struct ol_config_notes notes;
            struct ol_json *json = load(found.gl_pathv[i]);
            const struct ol_json *inner = ol_json_get(json, "config");
            const struct ol_json_section s = {found.gl_pathv[i],
                                              inner != NULL ? inner : json};
            if (ol_spec_read(s, &spec, &notes, &err) != 0)
                fail_msg("%s", err.text);
            if (notes.unknown != NULL)
                fail_msg("%s: nothing is known of %s", found.gl_pathv[i], notes.unknown);
            ol_config_notes_clear(&notes);
            ol_spec_clear(&spec);
            ol_json_free(json);
        }
        globfree(&found);
    }
    assert_true(n > 50);
}

/* The text part of a wrapper, or the configuration itself. */
static struct ol_json *text_part(struct ol_json *json)
{
    struct ol_json *inner = ol_json_get(json, "config");
    json = inner != NULL ? inner : json;
    struct ol_json *text = ol_json_get(json, "text_config");
    return text != NULL ? text : json;
}

/* Whether `key` is one of `names`, joined by ", ". */
static bool is_named(const char *names, const char *key)
{
    const size_t n = strlen(key);
    for (const char *at = names; at != NULL && (at = strstr(at, key)) != NULL; at++)
        if ((at == names || at[-1] == ' ') && (at[n] == '\0' || at[n] == ','))
            return true;
    return false;
}

/* The same key, with the same value, where it is not there yet. */
static void give(const char *path, const char *key, const struct ol_json *value)
{
    struct ol_error err = {0};
    struct ol_spec spec;
    struct ol_config_notes notes;
    struct ol_json *json = load(path), *text = text_part(json);
    if (ol_json_get(text, key) == NULL) {
        ol_json_set(text, key, ol_json_new_copy(value));
        ol_spec_read((struct ol_json_section){path, json}, &spec, &notes, &err);
        if (is_named(notes.unknown, key))
            fail_msg("%s: nothing is known of %s, which another family has", path, key);
        ol_config_notes_clear(&notes);
        ol_spec_clear(&spec);
    }
    ol_json_free(json);
}

/* What one family's configurations hold is known in every family: it is read there, or
 * harmless, or refused. */
static void keys_of_other_families(void **state)
{
    (void)state;
    static const char *const patterns[] = {"data/models/*.json",
                                           "tests/golden/models/*/config.json"};
    static const char *const readers[] = {"llama",       "mixtral", "gpt2",
                                          "qwen3_5",     "gemma3",  "deepseek_v2",
                                          "deepseek_v4", "llama4",  "nemotron_h"};
    int n = 0;
    struct ol_json *tried = ol_json_new_object();
    for (size_t p = 0; p < sizeof patterns / sizeof patterns[0]; p++) {
        glob_t found;
        assert_int_equal(glob(patterns[p], 0, NULL, &found), 0);
        for (size_t i = 0; i < found.gl_pathc; i++) {
            struct ol_json *json = load(found.gl_pathv[i]), *text = text_part(json);
            for (void *it = ol_json_first(text); it != NULL;
                 it = ol_json_next(text, it)) {
                const char *key = ol_json_key(it);
                if (ol_json_kind(ol_json_value(it)) == OL_JSON_NULL ||
                    ol_json_get(tried, key) != NULL)
                    continue;
                ol_json_set(tried, key, ol_json_new_int(++n));
                for (size_t r = 0; r < sizeof readers / sizeof readers[0]; r++) {
                    char *path =
                        ol_xasprintf("tests/golden/models/%s/config.json", readers[r]);
                    give(path, key, ol_json_value(it));
                    free(path);
                }
            }
            ol_json_free(json);
        }
        globfree(&found);
    }
    ol_json_free(tried);
    assert_true(n > 150);
}

/* A golden model with one more key, or another value of it. `outcome`: what the message
 * must hold; or "unknown NAME"; or "" where it is read or ignored in silence. */
struct change {
    const char *model, *section, *key, *value, *outcome;
};

static const struct change changes[] = {
    /* keys that a family does not read */
    {"deepseek_v2", "", "mlp_bias", "true", "key \"mlp_bias\" is true: it changes"},
    {"deepseek_v2", "", "mlp_bias", "false", ""},
    {"deepseek_v2", "", "norm_topk_prob", "true", "expected false"},
    {"qwen3_moe", "", "mlp_bias", "true", "key \"mlp_bias\" is true"},
    {"mixtral", "", "attention_bias", "true", "key \"attention_bias\" is true"},
    {"mixtral", "", "attention_bias", "null", ""},
    {"nemotron_h", "", "use_bias", "true", "expected false"},
    {"nemotron_h", "", "mlp_bias", "true", "expected false"},
    {"nemotron_h", "", "mamba_proj_bias", "true", "expected false"},
    {"nemotron_h", "", "attention_bias", "true", "expected false"},
    {"nemotron_h", "", "residual_in_fp32", "true", "expected false"},
    {"nemotron_h", "", "mlp_hidden_act", "\"silu\"", "expected \"relu2\""},
    {"nemotron_h", "", "mamba_hidden_act", "\"gelu\"", "expected \"silu\""},
    {"nemotron_h", "", "n_shared_experts", "2", "n_shared_experts"},
    {"nemotron_h", "", "sliding_window", "16", "\"sliding_window\" is 16"},
    {"nemotron_h", "", "sliding_window", "null", ""},
    {"nemotron_h", "", "n_groups", "4", "expected a multiple of the groups"},
    {"nemotron_h", "", "time_step_limit", "[0.0, 0.1]", "only [0.0, Infinity]"},
    {"nemotron_h", "", "time_step_limit", "[0.0, Infinity]", ""},
    {"nemotron_h", "", "time_step_limit", "[0.0, {\"__float__\": \"Infinity\"}]", ""},
    {"nemotron_h", "", "time_step_limit", "[0.0, { \"__float__\"\n: \"NaN\" }]",
     "only [0.0, Infinity]"},
    {"nemotron_h", "", "time_step_min", "{\"__float__\": \"Infinity\"}",
     "\"time_step_min\" is Infinity, expected"},
    {"nemotron_h", "", "time_step_min", "{\"__float__\": \"1\"}", "time_step_min"},
    {"nemotron_h", "", "time_step_limit", "[0.1, \"Infinity\"]", "only [0.0, Infinity]"},
    {"nemotron_h", "", "num_hidden_layers", "7", "hybrid_override_pattern has 6 blocks"},
    {"nemotron_h", "", "hybrid_override_pattern", "\"MX\"", "block 1 is \"X\""},
    {"nemotron_h", "", "layers_block_type", "[\"mamba\", \"rwkv\"]", "[1] is \"rwkv\""},
    {"nemotron_h", "", "norm_eps", "1e-6", "norm_eps is 1e-06, but"},
    {"nemotron_h-dense", "", "n_shared_experts", "1", ""},
    {"nemotron_h-dense", "", "norm_topk_prob", "true", ""},
    {"nemotron_h", "", "rope_theta", "10000", ""},
    {"nemotron_h", "", "time_step_max", "0.1", ""},
    {"nemotron_h", "", "mtp_hybrid_override_pattern", "\"*E\"", ""},
    {"qwen3_moe", "", "layer_types",
     "[\"full_attention\", \"sliding_attention\", \"full_attention\"]",
     "key \"layer_types\" is [\"full_attention\",\"sliding_attention\""},
    {"qwen3_moe", "", "layer_types", "[\"full_attention\", \"full_attention\"]", ""},
    {"llama", "", "sliding_window", "4096", "key \"sliding_window\" is 4096"},
    {"qwen3_next", "", "use_sliding_window", "true", "\"use_sliding_window\" is true"},
    {"llama", "", "num_experts", "8", "key \"num_experts\" is 8"},
    {"llama", "", "final_logit_softcapping", "30.0", "softcapping\" is 30.0"},
    {"llama", "", "residual_multiplier", "0.22", "residual_multiplier\" is 0.22"},
    {"llama", "", "residual_multiplier", "1", ""},
    {"phi3", "", "rope_scaling", "{\"type\": \"su\", \"short_factor\": [1, 1, 1]}",
     "long_factor: expected an array of 3 numbers"},
    {"phi3", "", "rope_scaling",
     "{\"type\": \"su\", \"short_factor\": [1, 1, 1], \"long_factor\": [1, 2, 4]}", ""},
    {"phi3", "", "rope_scaling", "{\"type\": \"linear\", \"factor\": 2}",
     "no types of rope but"},
    {"phi3-longrope", "rope_scaling", "short_factor", "[1, 2]", "an array of 3 numbers"},
    {"phi3-longrope", "rope_scaling", "short_factor", "[1, 2, 0]",
     "an array of 3 numbers"},
    {"phi3-longrope", "rope_scaling", "long_factor", "[1, 2, 3]", ""},
    {"phi3-longrope", "rope_scaling", "long_factor", "[1, 2, 3, 4]",
     "long_factor: expected an array of 3 numbers"},
    {"phi3-longrope", "", "original_max_position_embeddings", "1", "embeddings above 1"},
    {"phi3", "", "attention_bias", "true", "key \"attention_bias\" is true"},
    {"qwen2", "", "attention_bias", "true", "key \"attention_bias\" is true"},
    {"mistral", "", "layer_types",
     "[\"full_attention\", \"sliding_attention\", \"full_attention\"]",
     "key \"layer_types\" is [\"full_attention\",\"sliding_attention\""},
    {"gpt2", "", "scale_attn_by_inverse_layer_idx", "true", "expected false"},
    {"gpt2", "", "add_cross_attention", "true", "key \"add_cross_attention\" is true"},
    {"gpt2", "", "activation_function", "\"relu\"", "expected \"gelu_new\""},
    {"gpt2", "", "n_head", "5", "expected an even number"},
    {"gpt2", "", "summary_type", "\"cls_index\"", ""},
    {"gemma3-text", "", "hidden_activation", "\"silu\"",
     "expected \"gelu_pytorch_tanh\""},
    {"gemma3-text", "", "use_bidirectional_attention", "true", "expected false"},
    {"gemma3-text", "", "attn_logit_softcapping", "50.0", "softcapping\" is 50.0"},
    {"gemma4", "text_config", "hidden_size_per_layer_input", "256", ""},
    {"gemma4", "text_config", "hidden_size_per_layer_input", "null", ""},
    {"gemma4-e2b", "text_config", "vocab_size_per_layer_input", "130",
     "\"vocab_size_per_layer_input\" is 130, expected 131 to"},
    {"gemma4", "text_config", "num_kv_shared_layers", "2", ""},
    {"gemma4", "text_config", "num_kv_shared_layers", "3",
     "no layer before these has keys for the full attention of layer 1"},
    {"gemma4", "text_config", "num_kv_shared_layers", "4", "is 4, expected 0 to 3"},
    {"gemma4", "text_config", "use_bidirectional_attention", "\"all\"",
     "use_bidirectional_attention is \"all\""},
    {"gemma4", "text_config", "per_layer_config", "{\"0\": {\"head_dim\": 4}}",
     "\"per_layer_config.0\": expected the number of a layer with full attention"},
    {"gemma4-text", "", "per_layer_config",
     "{\"00\": {\"head_dim\": 16}, \"03\": {\"head_dim\": 16}}", ""},
    {"gemma4-text", "", "per_layer_config", "{}", ""},
    {"gemma4-text", "", "per_layer_config", "{\"3\": {\"head_dim\": 16}}",
     "per_layer_config has 1 layers, expected all 2 with full attention"},
    {"gemma4-text", "", "per_layer_config",
     "{\"0\": {\"head_dim\": 16}, \"3\": {\"num_key_value_heads\": 3}}",
     "\"per_layer_config.3\" differs from those before"},
    {"gemma4-text", "", "per_layer_config", "{\"3\": {\"sliding_window\": 9}}",
     "\"per_layer_config.3.sliding_window\": only head_dim and num_key_value_heads"},
    {"gemma4-text", "", "per_layer_config",
     "{\"0\": {\"head_dim\": 7}, \"3\": {\"head_dim\": 7}}",
     "is 7: expected an even number"},
    {"gemma4-text", "", "per_layer_config", "[3]",
     "per_layer_config: expected an object"},
    {"gemma4", "text_config", "num_global_key_value_heads", "4", "multiple of"},
    {"gemma4", "text_config", "top_k_experts", "12", "top_k_experts is 12"},
    {"olmo3-types", "rope_parameters", "colour", "1", "unknown rope_parameters.colour"},
    {"glm4_moe", "", "scoring_func", "\"softmax\"", "expected \"sigmoid\""},
    {"olmoe", "", "scoring_func", "\"sigmoid\"", "\"scoring_func\" is \"sigmoid\""},
    {"glm4_moe_lite", "", "mlp_layer_types", "[\"sparse\", \"dense\", \"sparse\"]",
     "mlp_layer_types[0] is \"sparse\", but first_k_dense_replace is 1"},
    {"glm4_moe_lite", "", "mlp_layer_types", "[\"dense\", \"sparse\", \"sparse\"]", ""},
    {"glm4_moe_lite", "", "mlp_layer_types", "[\"dense\", \"sparse\"]",
     "an array of 3 strings"},
    {"glm4_moe_lite", "", "mlp_layer_types", "[\"dense\", \"moe\", \"sparse\"]",
     "mlp_layer_types[1] is \"moe\", expected"},
    {"minimax_m2", "", "rotary_dim", "5", "rotary_dim is 5, expected an even number"},
    {"minimax_m2", "", "rotary_dim", "12", "\"rotary_dim\" is 12"},
    {"minimax_m2", "", "use_routing_bias", "false", "expected true"},
    {"minimax_m2", "", "qk_norm_type", "\"per_head\"", "expected \"per_layer\""},
    {"minimax_m2", "", "shared_intermediate_size", "1024", "size\" is 1024"},
    {"minimax_m2", "", "attn_type_list", "[1, 0, 1]", "attn_type_list\" is [1,0,1]"},
    {"minimax_m2", "", "layernorm_mlp_beta", "3.5", "layernorm_mlp_beta\" is 3.5"},
    {"deepseek_v32", "", "rope_interleave", "false", "expected true"},
    {"glm_moe_dsa", "", "layer_types",
     "[\"indexed_attention\", \"full_attention\", \"indexed_attention\"]",
     "layer_types[1] is \"full_attention\", expected \"indexed_attention\""},
    {"glm_moe_dsa", "", "indexer_types", "[\"shared\", \"full\", \"full\"]",
     "the indexer of layer 0 is \"shared\", expected \"full\""},
    {"glm_moe_dsa", "", "indexer_types", "[\"full\", \"shared\"]",
     "the indexer of layer 2 is \"no string\", expected \"full\""},
    {"deepseek_v32", "", "index_topk_pattern", "\"FSX\"",
     "the indexer of layer 2 is \"none of F and S\""},
    {"deepseek_v32", "", "index_topk_pattern", "\"FSF\"", ""},
    {"glm_moe_dsa", "", "q_lora_rank", "null", "\"q_lora_rank\": expected a number"},
    {"deepseek_v4", "", "scoring_func", "\"sigmoid\"", "expected \"sqrtsoftplus\""},
    {"deepseek_v4", "", "compress_ratios", "[0, 4, 64, 4]",
     "compress_ratios[2]: expected 0, 4 or 128"},
    {"deepseek_v4", "", "compress_ratios", "[0, 4, 128]", "compress_ratios[3]: expected"},
    {"deepseek_v4", "", "compress_ratios", "null", ""},
    {"deepseek_v4", "", "num_key_value_heads", "2",
     "num_key_value_heads is 2, expected 1"},
    {"deepseek_v4", "", "o_groups", "4", "o_groups is 4"},
    {"deepseek_v4", "", "index_head_dim", "5", "at least the 6 that are rotated"},
    {"deepseek_v4", "", "hc_mult", "9", "hc_mult"},
    {"deepseek_v4", "", "hc_sinkhorn_iters", "0", "hc_sinkhorn_iters"},
    {"deepseek_v4", "", "n_shared_experts", "2", "n_shared_experts"},
    {"deepseek_v4", "", "norm_topk_prob", "false", "expected true"},
    {"deepseek_v4", "", "n_group", "2", "key \"n_group\" is 2"},
    {"deepseek_v4", "", "mlp_bias", "true", "key \"mlp_bias\" is true"},
    {"deepseek_v4-fp4", "quantization_config", "expert_dtype", "\"fp4\"", ""},
    {"deepseek_v4-fp4", "quantization_config", "expert_dtype", "\"fp2\"",
     "expert_dtype is \"fp2\""},
    {"deepseek_v4", "", "expert_dtype", "\"int4\"", "expected \"fp4\" or \"fp8\""},
    {"deepseek_v4", "", "layer_types", "[\"full_attention\"]",
     "layer_types[0]: expected \"sliding_attention\""},
    {"deepseek_v4-nested", "", "mlp_layer_types", "[\"moe\", \"dense\", \"moe\"]",
     "mlp_layer_types[1] is \"dense\", expected \"hash_moe\""},
    {"deepseek_v4-nested", "compress_rates", "compressed_sparse_attention", "0",
     "compressed_sparse_attention"},
    {"kimi_k25", "text_config", "mlp_bias", "true",
     "key \"text_config.mlp_bias\" is true"},
    {"deepseek_v3", "", "index_topk", "2048", "key \"index_topk\" is 2048"},
    {"qwen2_moe", "", "layer_types", "[\"full_attention\"]", "an array of 3 strings"},
    {"qwen2_moe", "", "layer_types",
     "[\"sliding_attention\", \"full_attention\", \"full_attention\"]",
     "layer_types[0] is \"sliding_attention\", but use_sliding_window is not true"},
    {"qwen3_moe", "", "n_routed_experts", "12",
     "num_experts is 9, but n_routed_experts is 12"},
    /* in sections */
    {"llama4", "text_config", "mlp_bias", "true", "key \"text_config.mlp_bias\" is true"},
    {"qwen3_5_moe", "text_config", "attn_output_gate", "false", "expected true"},
    {"qwen3_5_moe", "text_config", "norm_topk_prob", "false", "expected true"},
    {"qwen3_5_moe", "text_config", "mamba_ssm_dtype", "\"bfloat16\"", "is \"bfloat16\""},
    {"qwen3_5_moe", "text_config", "mamba_ssm_dtype", "\"float32\"", ""},
    {"qwen3_5_moe", "text_config", "use_sliding_window", "true",
     "sliding_window\" is true"},
    {"qwen3_vl_moe", "text_config", "norm_topk_prob", "false", "expected true"},
    {"qwen3_vl_moe", "text_config", "use_sliding_window", "true", "window\" is true"},
    {"glm4v_moe", "text_config", "use_qk_norm", "true", "use_qk_norm\" is true"},
    {"ernie4_5_moe", "", "use_bias", "true", "expected false"},
    {"ernie4_5_moe", "", "compression_ratio", "2.0", "compression_ratio\" is 2"},
    {"ernie4_5_moe", "", "moe_gate", "\"top2_fused\"", "moe_gate\" is"},
    {"ernie4_5_moe", "", "moe_k", "10", "moe_k is 10, but there are only 9"},
    {"hy_v3", "", "mlp_bias", "true", "mlp_bias\" is true"},
    {"hy_v3", "", "qk_norm", "false", "expected true"},
    {"hy_v3-types", "", "first_k_dense_replace", "2", "mlp_layer_types[0] is"},
    {"mistral4", "text_config", "model_type", "\"pixtral\"",
     "expected \"mistral\", \"ministral3\" or"},
    {"mistral4", "text_config", "rope_parameters", "{\"rope_type\": \"default\"}",
     "expected an object of type \"yarn\""},
    {"mistral4", "text_config", "rope_parameters",
     "{\"rope_type\": \"yarn\", \"factor\": 4.0, \"partial_rotary_factor\": 0.25, "
     "\"original_max_position_embeddings\": 3}",
     "0.25, but 6 of 16 values of a head are rotated"},
    {"mistral4", "text_config", "scoring_func", "\"sigmoid\"", "expected \"softmax\""},
    {"llama", "rope_scaling", "full_attention", "{\"rope_theta\": 1}",
     "key \"rope_scaling.full_attention\" is {"},
    {"llama", "rope_scaling", "beta_fast", "32", ""},
    {"llama", "rope_scaling", "llama_4_scaling_beta", "0.1", "scaling_beta\" is 0.1"},
    {"llama", "rope_scaling", "compress", "{\"rope_theta\": 1.0}",
     "rope_scaling.compress\" is {\"rope_theta\":1.0}"},
    {"llama", "rope_scaling", "colour", "1", "unknown rope_scaling.colour"},
    {"qwen3_moe-fp8", "quantization_config", "fmt", "\"e5m2\"", "config.fmt\" is \"e5m2"},
    {"qwen3_moe-gptq", "quantization_config", "rotation", "\"hadamard\"",
     "quantization_config.rotation\" is \"hadamard\""},
    {"qwen3_moe", "", "online_rotation", "true", "online_rotation\" is true"},
    {"qwen3_moe", "", "use_hadamard", "{\"size\": 64}", "use_hadamard\" is {"},
    {"qwen3_moe", "", "online_rotation", "false", "unknown online_rotation"},
    {"qwen3_moe", "", "transformer_engine", "1", "unknown transformer_engine"},
    {"qwen3_moe-gptq", "quantization_config", "dynamic", "{\"+:.*\": {\"bits\": 8}}",
     "a \"dynamic\" rule of its own for +:.*"},
    {"qwen3_moe-gptq", "quantization_config", "dynamic", "{\"-:lm_head\": {}}", ""},
    {"qwen3_moe-int4", "quantization_config", "transform_config",
     "{\"config_groups\": {\"R3\": {\"apply\": [{\"location\": \"q_attn\"}]}}}",
     "\"R3\" is applied at location \"q_attn\" while the model runs"},
    {"qwen3_moe-int4", "quantization_config", "transform_config",
     "{\"config_groups\": {\"R1\": {\"apply\": [{\"location\": \"weight_input\"}]}}}",
     ""},
    {"qwen3_moe-int4", "quantization_config", "sparsity_config",
     "{\"format\": \"sparse-24-bitmask\"}", "sparsity_config.format sparse-24-bitmask"},
    {"qwen3_moe-int4", "quantization_config", "config_groups",
     "{\"a\": {\"weights\": {\"num_bits\": 4, \"strategy\": \"group\", \"group_size\": "
     "4}}, \"b\": {\"weights\": {\"num_bits\": 4, \"strategy\": \"group\", "
     "\"group_size\": 8}}}",
     "the weights of \"a\" and \"b\" are quantised in different ways"},
    {"qwen3_moe-int4", "quantization_config", "config_groups",
     "{\"a\": {\"weights\": {\"num_bits\": 4, \"strategy\": \"group\", \"group_size\": "
     "4}}, \"kv\": {\"weights\": null}}",
     ""},
    {"qwen3_moe-int4", "quantization_config", "config_groups",
     "{\"a\": {\"weights\": {\"num_bits\": 4, \"strategy\": \"group\", \"group_size\": "
     "4, \"dynamic\": true}}}",
     "quantization_config.config_groups.a.weights.dynamic\" is true"},
    {"llama4-fp8", "quantization_config", "config_groups",
     "{\"a\": {\"weights\": {\"num_bits\": 8, \"type\": \"float\", \"symmetric\": "
     "false}}}",
     "with symmetric false are not supported"},
    {"llama4-fp8", "quantization_config", "config_groups",
     "{\"a\": {\"weights\": {\"num_bits\": 8, \"type\": \"float\", \"strategy\": "
     "\"block\"}}}",
     "block_structure: expected two positive integers"},
    {"qwen3_moe-awq", "quantization_config", "zero_point", "false",
     "zero_point\" is false"},
    /* numbers out of range */
    {"glm4_moe", "", "partial_rotary_factor", "1e30",
     "is 1e+30, expected a number above"},
    {"glm4_moe", "", "partial_rotary_factor", "-0.5", "is -0.5, expected a number above"},
    {"llama", "", "rope_theta", "1e300", "\"rope_theta\" is 1e+300"},
    {"llama", "", "rope_theta", "5e-324", "\"rope_theta\" is 4.94066e-324"},
    {"llama", "rope_scaling", "factor", "5e-324", "\"factor\" is 4.94066e-324"},
    {"deepseek_v3", "rope_scaling", "factor", "5e-324", "\"factor\" is 4.94066e-324"},
    {"llama", "", "rope_theta", "0", "\"rope_theta\" is 0"},
    {"llama", "", "rms_norm_eps", "-1", "\"rms_norm_eps\" is -1"},
    {"llama", "rope_scaling", "factor", "1e300", "\"factor\" is 1e+300"},
    {"llama", "rope_scaling", "high_freq_factor", "-1", "\"high_freq_factor\" is -1"},
    {"deepseek_v3", "", "routed_scaling_factor", "-1e38", "is -1e+38"},
    {"deepseek_v3", "rope_scaling", "mscale_all_dim", "1e300", "is 1e+300"},
    {"deepseek_v3", "rope_scaling", "beta_slow", "1e300", "is 1e+300"},
    {"olmoe", "", "clip_qkv", "-1", "\"clip_qkv\" is -1"},
    {"gpt_oss", "", "swiglu_limit", "-7", "\"swiglu_limit\" is -7"},
    {"llama4", "text_config", "floor_scale", "1e300", "\"floor_scale\" is 1e+300"},
    {"llama", "", "num_hidden_layers", "100000000000",
     "\"num_hidden_layers\" is 1000000"},
    /* keys of other families */
    {"qwen3_moe", "", "time_step_limit", "[0.0, Infinity]", ""},
    {"qwen3_moe", "", "time_step_limit", "[0.0, 0.1]", "\"time_step_limit\" is [0.0,"},
    {"llama", "", "hybrid_override_pattern", "\"M*\"",
     "\"hybrid_override_pattern\" is \"M*\""},
    {"llama", "", "v_head_dim", "64", "\"v_head_dim\" is 64"},
    {"llama", "", "moe_intermediate_size", "64", ""},
    {"mixtral", "", "moe_layer_start_index", "1", "\"moe_layer_start_index\" is 1"},
    {"mixtral", "", "moe_layer_start_index", "0", ""},
    {"gpt2", "", "num_hidden_layers", "12", "\"num_hidden_layers\" is 12"},
    {"gpt2", "", "rope_theta", "10000", "\"rope_theta\" is 10000"},
    {"llama", "", "text_config", "{\"hidden_size\": 4}", "\"text_config\""},
    {"llama", "rope_scaling", "compress", "{\"rope_theta\": 1.0}",
     "rope_scaling.compress\" is {\"rope_theta\":1.0}"},
    {"llama", "rope_scaling", "colour", "1", "unknown rope_scaling.colour"},
    /* harmless, and of which nothing is known */
    {"llama", "", "use_cache", "false", ""},
    {"llama", "", "attention_dropout", "0.1", ""},
    {"llama", "", "initializer_range", "0.5", ""},
    {"llama", "", "vision_config", "{\"mlp_bias\": true}", ""},
    {"llama", "", "colour", "\"blue\"", "unknown colour"},
};

static void try(const struct change *change)
{
    struct ol_error err = {0};
    struct ol_spec spec;
    struct ol_config_notes notes;
    char *path = ol_xasprintf("tests/golden/models/%s/config.json", change->model);
    struct ol_json *json = load(path), *section = json;
    if (change->section[0] != '\0')
        section = ol_json_get(json, change->section);
    assert_non_null(section);
    char *text = ol_xasprintf("{\"value\": %s}", change->value);
    struct ol_json *value = ol_config_parse(text, strlen(text), change->value, &err);
    assert_non_null(value);
    ol_json_set(section, change->key, ol_json_new_copy(ol_json_get(value, "value")));
    const int status =
        ol_spec_read((struct ol_json_section){path, json}, &spec, &notes, &err);
    const char *found = status != 0 ? err.text : notes.unknown;
    const char *want = change->outcome;
    const bool expects_unknown = strncmp(want, "unknown ", 8) == 0;
    want += expects_unknown ? 8 : 0;
    const bool right = want[0] == '\0' ? found == NULL
                                       : found != NULL && strstr(found, want) != NULL &&
                                             (status == 0) == expects_unknown;
    if (!right)
        fail_msg("%s, %s %s = %s: %s; expected: %s", change->model, change->section,
                 change->key, change->value, found != NULL ? found : "accepted", want);
    ol_spec_clear(&spec);
    ol_config_notes_clear(&notes), free(text), free(path);
    ol_json_free(value);
    ol_json_free(json);
}

static void changed_keys(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++)
        try(&changes[i]);
}

/* Larger heads of Gemma 4's full layers as published, and as transformers 5.24 saves it.
 */
static void heads_of_layers(void **state)
{
    (void)state;
    static const char path[] = "tests/golden/models/gemma4-text/config.json",
                      text[] = "{\"00\": {\"head_dim\": 16, \"num_key_value_heads\": 3}, "
                               "\"03\": {\"head_dim\": 16, \"num_key_value_heads\": 3}}";
    struct ol_error err = {0};
    struct ol_spec spec;
    struct ol_config_notes notes;
    struct ol_json *json = load(path);
    ol_json_set(json, "global_head_dim",
                ol_json_new_int(4)); /* not looked at beside it */
    ol_json_set(json, "per_layer_config",
                ol_json_load_text(text, strlen(text), "text", &err));
    if (ol_spec_read((struct ol_json_section){path, json}, &spec, &notes, &err) != 0)
        fail_msg("%s", err.text);
    assert_int_equal(spec.attention.head_dim, 16);
    assert_int_equal(spec.attention.rope.rotary_dim, 16);
    assert_int_equal(spec.attention.n_kv_heads, 3);
    assert_int_equal(spec.sliding.head_dim, 8);
    assert_int_equal(spec.sliding.n_kv_heads, 2);
    ol_spec_clear(&spec);
    ol_config_notes_clear(&notes);
    ol_json_free(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads_of_layers),
        cmocka_unit_test(no_false_alarm),
        cmocka_unit_test(keys_of_other_families),
        cmocka_unit_test(changed_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
