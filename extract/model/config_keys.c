/* Tables: keys that are harmless, keys that change the computation with the values that
 * leave it as it is, and keys about activations. A key that some family reads may stand
 * here too: the tables are asked only where nobody read it. They follow the configuration
 * classes of Hugging Face transformers and the files that are published. */
#include "extract/model/config_keys.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Names are separated by spaces; a name that ends in "*" stands for all that begin so. */
static const char *const harmless[] = {
    /* tokens, of which the forward pass knows only numbers */
    "bos_token_id eos_token_id pad_token_id sep_token_id cls_token_id unk_token_id "
    "mask_token_id decoder_start_token_id image_token_id image_token_index "
    "video_token_id video_token_index vision_start_token_id vision_end_token_id "
    "image_start_token_id image_end_token_id video_start_token_id video_end_token_id "
    "media_placeholder_token_id vision_token_id audio_token_id boi_token_index "
    "eoi_token_index boi_token_id "
    "eoi_token_id forced_bos_token_id forced_eos_token_id suppress_tokens "
    "begin_suppress_tokens bad_words_ids tokenizer_class prefix",
    /* where the file comes from, and how others load it */
    "_name_or_path name_or_path architectures auto_map dtype torch_dtype "
    "transformers_version transformers.js_config _commit_hash _attn_implementation "
    "_attn_implementation_autoset _attn_implementation_internal attn_implementation "
    "_experts_implementation torchscript unsloth_version unsloth_fixed license "
    "finetuning_task task_specific_params problem_type id2label label2id num_labels "
    "return_dict use_return_dict for_llm_compressor model_type base_model",
    /* training and sampling */
    "initializer_range initializer_factor rescale_prenorm_residual time_step_min "
    "time_step_max time_step_floor router_aux_loss_coef router_z_loss_coef "
    "z_loss_coefficient aux_loss_alpha aux_loss_coef moe_aux_loss_coeff seq_aux "
    "moe_capacity moe_use_aux_free router_jitter_noise attention_dropout attn_pdrop "
    "embd_pdrop resid_pdrop dropout "
    "hidden_dropout hidden_dropout_prob attention_probs_dropout_prob "
    "classifier_dropout router_dropout gradient_checkpointing output_attentions "
    "output_hidden_states output_router_logits output_scores output_past "
    "return_dict_in_generate use_cache cache_implementation temperature top_k top_p "
    "typical_p do_sample max_length min_length max_new_tokens num_beams "
    "num_beam_groups diversity_penalty repetition_penalty length_penalty "
    "no_repeat_ngram_size encoder_no_repeat_ngram_size num_return_sequences "
    "early_stopping exponential_decay_length_penalty remove_invalid_values "
    "renormalize_logits",
    /* how the same numbers are computed */
    "use_flash_attn use_flash_attention use_flash_attention_2 _flash_attn_2_enabled "
    "pretraining_tp ep_size expert_parallel chunk_size_feed_forward pruned_heads "
    "reorder_and_upcast_attn n_ctx use_mamba_kernels mamba_ssm_cache_dtype "
    "moe_shared_expert_overlap num_logits_to_keep keep_mtp_spec_in_bf16 "
    "summary_activation summary_first_dropout "
    "summary_proj_to_labels summary_type summary_use_proj "
    "tie_encoder_decoder is_decoder cross_attention_hidden_size",
    /* parts that are not run: vision, sound, the prediction of later tokens */
    "spatial_merge_size vision_config audio_config use_unified_vision_chunk "
    "video_placeholder image_size "
    "num_nextn_predict_layers num_mtp_layers mtp_num_layers mtp_num_hidden_layers "
    "mtp_use_dedicated_embeddings num_mtp_modules mtp_transformer_layers use_mtp "
    "mtp_hybrid_override_pattern mtp_layers_block_type index_share_for_mtp_iteration "
    "vision_feature_layer "
    "vision_feature_select_strategy projector_hidden_act multimodal_projector_bias",
    /* read by every family where they count, or derived from what is read */
    "intermediate_size head_dim num_key_value_heads qk_head_dim max_window_layers "
    "max_position_embeddings original_max_position_embeddings initial_context_length "
    "n_positions moe_intermediate_size moe_shared_expert_intermediate_size "
    "num_experts_per_tok moe_k top_k_experts expert_dtype "
    "experts_per_token mlp_intermediate_size shared_moe_mode intermediate_size_mlp "
    "decoder_sparse_step mlp_only_layers "
    "rope_parameters rope_scaling sliding_window_pattern _sliding_window_pattern "
    "vocab_size_per_layer_input num_global_key_value_heads global_head_dim "
    "mm_tokens_per_image vision_soft_tokens_per_image boa_token_id boa_token_index "
    "eoa_token_id eoa_token_index",
    /* of another type of rope than the one that is chosen; positions of pictures */
    "rope.rope_theta rope.factor rope.original_max_position_embeddings rope.beta_fast "
    "rope.beta_slow rope.mscale rope.mscale_all_dim rope.low_freq_factor "
    "rope.high_freq_factor rope.attention_factor rope.truncate rope.mrope_section "
    "rope.mrope_interleaved rope.type rope.rope_type rope.max_position_embeddings",
    /* where sums of float numbers are rounded */
    "enable_moe_fp32_combine enable_lm_head_fp32 enable_attention_fp32_softmax",
    /* which tensors are quantised is seen in the checkpoint */
    "quantization_config.modules_to_not_convert quantization_config.ignored_layers "
    "quantization_config.ignore quantization_config.exclude_modules "
    "quantization_config.quantization_status "
    "quantization_config.global_compression_ratio quantization_config.version "
    "quantization_config.producer quantization_config.dequantize "
    "quantization_config.has_zero_point quantization_config.pre_quant_scale",
    /* how GPTQ and AWQ found their numbers, and how others compute with them */
    "quantization_config.desc_act quantization_config.damp_percent "
    "quantization_config.damp_auto_increment quantization_config.static_groups "
    "quantization_config.true_sequential quantization_config.model_name_or_path "
    "quantization_config.model_file_base_name quantization_config.lm_head "
    "quantization_config.use_exllama quantization_config.disable_exllama "
    "quantization_config.exllama_config quantization_config.use_cuda_fp16 "
    "quantization_config.dataset quantization_config.tokenizer "
    "quantization_config.batch_size quantization_config.pad_token_id "
    "quantization_config.cache_block_outputs quantization_config.model_seqlen "
    "quantization_config.block_name_to_quantize "
    "quantization_config.module_name_preceding_first_block "
    "quantization_config.modules_in_block_to_quantize "
    "quantization_config.max_input_length quantization_config.meta "
    "quantization_config.backend quantization_config.hyb_act quantization_config.mse "
    "quantization_config.act_group_aware quantization_config.quant_method "
    "quantization_config.do_fuse quantization_config.fuse_max_seq_len "
    "quantization_config.modules_to_fuse quantization_config._load_in_4bit "
    "quantization_config._load_in_8bit quantization_config.load_in_4bit "
    "quantization_config.load_in_8bit",
    /* of a group of compressed-tensors */
    "group.targets "
    "group.weights.actorder group.weights.observer group.weights.observer_kwargs "
    "group.weights.scale_dtype group.weights.zp_dtype group.weights.block_structure",
};

/* What is done to activations, by an engine that serves the model. */
static const char activations[] =
    "quantization_config.activation_scheme quantization_config.kv_cache_scheme "
    "quantization_config.kv_cache_quant_algo quantization.kv_cache_quant_algo "
    "group.input_activations group.output_activations";

/* Values are separated by spaces; "[]" is an empty array or object. `unless` names a key
 * of the same object whose value false makes this one mute. */
static const struct {
    const char *names, *values, *unless;
} changing[] = {
    {"mlp_bias attention_bias attention_out_bias attn_bias qkv_bias use_qkv_bias o_bias "
     "use_bias bias bias_in_attention attention_qkv_bias attention_o_bias moe_bias "
     "lm_head_bias head_bias add_bias_linear add_qkv_bias",
     "false", NULL},
    {"use_sliding_window use_attention_sinks attention_sink add_attention_sink "
     "use_alibi alibi parallel_attn parallel_residual use_parallel_residual "
     "use_qk_norm qk_norm qk_layernorm attn_output_gate attention_output_gate "
     "is_encoder_decoder add_cross_attention use_mla residual_in_fp32_norm "
     "scale_depth_mlp attn_temperature_tuning tie_word_embeddings",
     "false", NULL},
    {"sliding_window", "0", "use_sliding_window"},
    {"layer_types", "full_attention", NULL},
    {"per_layer_config", "[]", NULL},
    {"use_bidirectional_attention", "false vision", NULL},
    {"num_kv_shared_layers", "0", NULL},
    {"use_double_wide_mlp enable_moe_block attention_k_eq_v", "false", NULL},
    {"attention_chunk_size no_rope_layer_interval no_rope_layers index_topk "
     "index_n_heads moe_layers mlp_layer_types full_attention_interval "
     "query_pre_attn_scalar attention_multiplier rope_local_base_freq "
     "rope_local_theta swa_rope_theta scale_emb scale_depth dim_model_base",
     "", NULL},
    {"clip_qkv attn_logit_softcapping final_logit_softcapping logit_softcapping "
     "logits_soft_cap router_logit_softcapping swiglu_limit attention_value_scale "
     "first_k_dense_replace n_shared_experts num_shared_experts "
     "shared_expert_intermediate_size kv_lora_rank q_lora_rank moe_latent_size "
     "hidden_size_per_layer_input num_hash_layers floor_scale attn_scale",
     "0 false", NULL},
    {"shared_intermediate_size", "0", NULL},
    {"layernorm_full_attention_alpha layernorm_full_attention_beta "
     "layernorm_linear_attention_alpha layernorm_linear_attention_beta "
     "layernorm_mlp_alpha layernorm_mlp_beta attn_type_list",
     "1", NULL},
    {"use_routing_bias moe_router_enable_expert_bias moe_router_use_sigmoid route_norm",
     "false", NULL},
    {"moe_layer_start_index moe_num_shared_experts moe_norm_min", "0", NULL},
    {"moe_layer_end_index", "-1", NULL},
    /* mixers that a family has not */
    {"hybrid_override_pattern layers_block_type mamba_num_heads mamba_head_dim "
     "mamba_hidden_act ssm_state_size conv_kernel chunk_size expand n_groups "
     "linear_conv_kernel_dim linear_key_head_dim linear_num_key_heads "
     "linear_num_value_heads linear_value_head_dim index_head_dim "
     "index_skip_topk_offset index_topk_freq index_topk_pattern "
     "indexer_rope_interleave indexer_types compress_rate_csa compress_rate_hca "
     "compress_rates compress_ratios compress_rope_theta o_groups o_lora_rank",
     "", NULL},
    {"mamba_proj_bias use_conv_bias residual_in_fp32", "false", NULL},
    {"time_step_limit", "0 Infinity", NULL},
    {"qk_nope_head_dim qk_rope_head_dim v_head_dim", "0", NULL},
    {"hc_eps hc_sinkhorn_iters swiglu_alpha", "", NULL},
    /* what another family calls sizes, norms and rope, beside what this one reads */
    {"hidden_size num_hidden_layers num_attention_heads rms_norm_eps norm_eps "
     "layer_norm_epsilon n_embd n_head n_inner n_layer rope_theta rotary_dim",
     "", NULL},
    {"rope_interleave scale_attn_by_inverse_layer_idx", "false", NULL},
    {"scale_attn_weights", "true", NULL},
    {"hidden_act", "gelu_pytorch_tanh", NULL},
    /* a model within the model, which only wrappers read */
    {"text_config", "[]", NULL},
    {"qk_norm_type", "", NULL},
    {"num_experts num_local_experts n_routed_experts moe_num_experts", "0 1", NULL},
    {"embedding_multiplier residual_multiplier logits_scaling logit_scale lm_head_scale "
     "rotary_pct rotary_percent partial_rotary_factor routed_scaling_factor "
     "router_scaling_factor n_group topk_group moe_layer_freq moe_layer_interval "
     "expert_layer_period interleave_moe_layer_step hc_mult",
     "1", NULL},
    {"norm_topk_prob", "", NULL},
    {"scoring_func moe_router_activation_func score_function", "softmax", NULL},
    {"topk_method", "greedy", NULL},
    {"hidden_activation activation_function mlp_hidden_act", "silu swish", NULL},
    {"position_embedding_type", "rope rotary", NULL},
    {"mamba_ssm_dtype", "float32", NULL},
    {"moe_gate", "topk", NULL},
    {"moe_router_dtype", "float32", NULL},
    {"compression_ratio", "1", NULL},
    {"norm_type normalization_type layernorm_type", "rmsnorm rms_norm RMSNorm", NULL},
    /* a rope of its own for every kind of layer */
    {"rope.full_attention rope.sliding_attention rope.chunked_attention "
     "rope.linear_attention rope.main rope.compress rope.long_factor rope.short_factor",
     "", NULL},
    {"rope.llama_4_scaling_beta", "0", NULL},
    {"rope.partial_rotary_factor", "1", NULL},
    {"quantization_config.fmt", "e4m3 float8_e4m3fn", NULL},
    {"quantization_config.rotation quantization_config.adapter "
     "quantization_config.dynamic quantization_config.extra_config "
     "quantization_config.pre_hadamard",
     "[]", NULL},
    {"quantization_config.is_marlin_format", "false", NULL},
    {"quantization_config.pack_dtype", "int32", NULL},
    {"quantization_config.zero_point", "true", NULL},
    {"group.weights.dynamic", "false", NULL},
};

/* Whether `word` is one of the words of `list`. */
static bool is_among(const char *word, const char *list)
{
    const size_t n = strlen(word);
    for (const char *at = list; *at != '\0';) {
        const size_t length = strcspn(at, " ");
        if (length == n && strncmp(at, word, n) == 0)
            return true;
        at += length + (at[length] == ' ');
    }
    return false;
}

static bool number_among(double number, const char *list)
{
    for (const char *at = list; *at != '\0';) {
        char *end;
        const double value = strtod(at, &end);
        if (end != at && value == number)
            return true;
        at += strcspn(at, " ");
        at += *at == ' ';
    }
    return false;
}

/* Whether the value is one of the list's; an array, when all its elements are. */
static bool is_value(const struct ol_json *value, const char *list)
{
    switch (ol_json_kind(value)) {
    case OL_JSON_NULL:
        return true;
    case OL_JSON_BOOL:
        return is_among(ol_json_bool(value) ? "true" : "false", list);
    case OL_JSON_INT:
    case OL_JSON_REAL:
        return number_among(ol_json_real(value), list);
    case OL_JSON_STRING:
        return is_among(ol_json_string(value, NULL), list);
    case OL_JSON_OBJECT:
        return ol_json_length(value) == 0;
    case OL_JSON_ARRAY:
        for (size_t i = 0; i < ol_json_length(value); i++)
            if (!is_value(ol_json_at(value, i), list))
                return false;
        return true;
    }
    return false;
}

/* Sections by one name each: the text part of a model is as the model, the rope's object
 * has two names, and the groups of compressed-tensors any. */
static void common_name(const char *name, char *room, size_t bytes)
{
    static const char text[] = "text_config.", groups[] = "quantization_config."
                                                          "config_groups.";
    static const char *const ropes[] = {"rope_scaling.", "rope_parameters."};
    static const char *const types[] = {"full_attention.", "sliding_attention."};
    if (strncmp(name, text, sizeof text - 1) == 0)
        name += sizeof text - 1;
    for (size_t i = 0; i < 2; i++)
        if (strncmp(name, ropes[i], strlen(ropes[i])) == 0) {
            name += strlen(ropes[i]);
            for (size_t k = 0; k < sizeof types / sizeof types[0]; k++)
                if (strncmp(name, types[k], strlen(types[k])) == 0)
                    name += strlen(types[k]);
            snprintf(room, bytes, "rope.%s", name);
            return;
        }
    const char *group = strncmp(name, groups, sizeof groups - 1) == 0
                            ? strchr(name + sizeof groups - 1, '.')
                            : NULL;
    snprintf(room, bytes, "%s%s", group != NULL ? "group" : "",
             group != NULL ? group : name);
}

/* Rotations of inputs while the model runs have many names, and make another model of the
 * weights: what is called so is not passed over, unless it is off. */
static bool is_transform(const char *name, const struct ol_json *value)
{
    /* A transform is one of inputs only where quantisation is described. */
    static const char *const words[] = {"rotat", "hadamard", "transform"};
    const bool quantised =
        strncmp(name, "quantization_config.", 20) == 0 || strncmp(name, "group.", 6) == 0;
    for (size_t i = 0; i < (quantised ? 3 : 2); i++)
        if (strstr(name, words[i]) != NULL)
            return !is_value(value, "false none off");
    return false;
}

/* Methods of modelopt are named after the weights (W) and activations (A) that they make;
 * without an A, those of WO (weight only) leave activations as they are. */
static bool quantises_activations(const struct ol_json *method)
{
    const char *name =
        ol_json_kind(method) == OL_JSON_STRING ? ol_json_string(method, NULL) : "";
    return *name != '\0' && strstr(name, "A16") == NULL && strstr(name, "_WO") == NULL &&
           strcmp(name, "MIXED_PRECISION") != 0;
}

static bool is_about_activations(const char *name, const struct ol_json *value)
{
    if (strcmp(name, "quantization_config.quant_algo") == 0)
        return quantises_activations(value);
    if (strcmp(name, "quantization_config.quantized_layers") == 0) {
        struct ol_json *modules = (struct ol_json *)(uintptr_t)value;
        for (void *it = ol_json_first(modules); it != NULL;
             it = ol_json_next(modules, it))
            if (quantises_activations(ol_json_get(ol_json_value(it), "quant_algo")))
                return true;
    }
    return false;
}

enum ol_config_effect ol_config_effect_of(const char *name, const struct ol_json *object,
                                          const struct ol_json *value)
{
    char room[256];
    common_name(name, room, sizeof room);
    name = room;
    if (ol_json_kind(value) == OL_JSON_NULL)
        return OL_CONFIG_HARMLESS;
    if (is_among(name, activations) || is_about_activations(name, value))
        return ol_json_kind(value) == OL_JSON_STRING &&
                       ol_json_string(value, NULL)[0] == '\0'
                   ? OL_CONFIG_HARMLESS
                   : OL_CONFIG_ACTIVATIONS;
    for (size_t i = 0; i < sizeof changing / sizeof changing[0]; i++) {
        if (!is_among(name, changing[i].names))
            continue;
        const struct ol_json *mute =
            changing[i].unless != NULL ? ol_json_get(object, changing[i].unless) : NULL;
        const bool muted = ol_json_kind(mute) == OL_JSON_BOOL && !ol_json_bool(mute);
        return muted || is_value(value, changing[i].values) ? OL_CONFIG_HARMLESS
                                                            : OL_CONFIG_CHANGES;
    }
    for (size_t i = 0; i < sizeof harmless / sizeof harmless[0]; i++)
        if (is_among(name, harmless[i]))
            return OL_CONFIG_HARMLESS;
    return is_transform(name, value) ? OL_CONFIG_CHANGES : OL_CONFIG_UNKNOWN;
}
