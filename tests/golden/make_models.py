#!/usr/bin/env python3
"""Tiny random models of every family, with what transformers computes for them.

    python make_models.py tests/golden/models [NAME...]

needs torch and transformers 5.x. Every model gets a folder with config.json, the weights
under the names that the Hub uses, ids.txt, and expected/model.safetensors:

    LLL.ln_attn, LLL.ln_mlp     [tokens, d_model] of the f32 run, all sequences joined
    LLL.router_ids, .router_weights   [tokens, top_k]
    nll                         [tokens], NaN for the first of a sequence
    bf16_error.LLL.SITE         [1]: relative L2 error of transformers' own bf16 run
    bf16_error.LLL.router_weights   [1]: root mean square error, expert by expert
    bf16_error.nll              [1]: root mean square error of its nll

Weights are scaled so that a wrong answer shows: every block changes the stream by a
fraction of its size, some norm weights are large, routers choose with a margin (a seed
whose choices are too close, or differ in bf16, is passed over), and some expert gets no
token."""
import copy
import json
import os
import sys
import types

import torch
import transformers
from safetensors.torch import save_file

import quantise

# Tokens of the sequences.
DENSE_LENGTHS = [19, 1, 26, 23, 17]
# Routers must choose with a margin at every token: short sequences are soon found that do.
MOE_LENGTHS = [9, 1, 5, 4, 6, 5, 4, 7, 5, 6, 4, 5]
TRIES = 3000  # of a sequence, before the next seed

COMMON = dict(hidden_size=36, num_hidden_layers=3, vocab_size=131, num_attention_heads=6,
              num_key_value_heads=2, rms_norm_eps=1e-5, max_position_embeddings=64)

MOE = dict(num_experts=9, num_experts_per_tok=3)

LATENT = dict(**{**COMMON, "num_key_value_heads": 6}, kv_lora_rank=14, qk_nope_head_dim=10,
              qk_rope_head_dim=6, v_head_dim=12)

# Sizes of which eight make whole words.
WORDS = dict(**{**COMMON, "hidden_size": 40}, head_dim=8, moe_intermediate_size=24,
             norm_topk_prob=True)


def packed(group, symmetric):
    return dict(quant_method="compressed-tensors", format="pack-quantized", config_groups=dict(
        group_0=dict(weights=dict(num_bits=4, type="int", symmetric=symmetric,
                                  strategy="group", group_size=group))))


# name -> (architecture, config, dtype of the stored weights)
MODELS = {
    "qwen3_moe": ("Qwen3Moe", dict(
        **COMMON, **MOE, head_dim=10, moe_intermediate_size=22, intermediate_size=50,
        norm_topk_prob=True, mlp_only_layers=[1], rope_theta=1e6), torch.bfloat16),
    "qwen3_moe-tied": ("Qwen3Moe", dict(
        **COMMON, **MOE, head_dim=6, moe_intermediate_size=14, intermediate_size=26,
        norm_topk_prob=False, decoder_sparse_step=2, attention_bias=True,
        tie_word_embeddings=True), torch.float32),
    "qwen3_moe-sliding": ("Qwen3Moe", dict(
        **COMMON, **MOE, head_dim=8, moe_intermediate_size=17, use_sliding_window=True,
        sliding_window=7, max_window_layers=1), torch.bfloat16),
    "olmoe": ("Olmoe", dict(
        **COMMON, **MOE, intermediate_size=18, norm_topk_prob=False), torch.bfloat16),
    "olmoe-clip": ("Olmoe", dict(
        **{**COMMON, "num_key_value_heads": 6}, **MOE, intermediate_size=15, clip_qkv=1.25,
        norm_topk_prob=True), torch.bfloat16),
    "mixtral": ("Mixtral", dict(
        **COMMON, num_local_experts=5, num_experts_per_tok=2, intermediate_size=27,
        rope_theta=1e6), torch.bfloat16),
    "mixtral-sliding": ("Mixtral", dict(
        **COMMON, num_local_experts=6, num_experts_per_tok=2, intermediate_size=20,
        head_dim=4, sliding_window=5), torch.float16),
    "qwen2_moe": ("Qwen2Moe", dict(
        **COMMON, **MOE, moe_intermediate_size=16, shared_expert_intermediate_size=27,
        intermediate_size=30, mlp_only_layers=[0], rope_theta=1e6), torch.bfloat16),
    "qwen2_moe-sliding": ("Qwen2Moe", dict(
        **COMMON, **MOE, moe_intermediate_size=19, shared_expert_intermediate_size=11,
        intermediate_size=30, qkv_bias=False, norm_topk_prob=True, use_sliding_window=True,
        sliding_window=3, max_window_layers=2), torch.bfloat16),
    "glm4_moe": ("Glm4Moe", dict(
        **COMMON, head_dim=12, moe_intermediate_size=18, intermediate_size=41,
        n_routed_experts=12, num_experts_per_tok=3, n_group=4, topk_group=2,
        routed_scaling_factor=2.5, attention_bias=True, use_qk_norm=True,
        first_k_dense_replace=1), torch.bfloat16),
    "glm4_moe-plain": ("Glm4Moe", dict(
        **COMMON, head_dim=16, moe_intermediate_size=15, intermediate_size=41,
        n_routed_experts=9, num_experts_per_tok=3, n_shared_experts=2, norm_topk_prob=False,
        partial_rotary_factor=0.25, first_k_dense_replace=0), torch.bfloat16),
    "qwen3": ("Qwen3", dict(
        **COMMON, head_dim=14, intermediate_size=45, tie_word_embeddings=True), torch.bfloat16),
    "qwen3-sliding": ("Qwen3", dict(
        **COMMON, head_dim=6, intermediate_size=40, use_sliding_window=True,
        sliding_window=6, max_window_layers=1, attention_bias=True), torch.bfloat16),
    "llama": ("Llama", dict(
        **COMMON, intermediate_size=41, rope_theta=500000.0,
        rope_scaling=dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0,
                          high_freq_factor=4.0, original_max_position_embeddings=16)),
              torch.bfloat16),
    "llama-linear": ("Llama", dict(
        **COMMON, head_dim=8, intermediate_size=33, attention_bias=True,
        tie_word_embeddings=True, rope_scaling=dict(type="linear", factor=2.5)),
                     torch.bfloat16),
}

MODELS |= {
    "gpt_oss": ("GptOss", dict(
        **COMMON, num_local_experts=7, num_experts_per_tok=3, intermediate_size=18, head_dim=8,
        sliding_window=4, attention_bias=True, swiglu_limit=1.5, rope_theta=150000.0,
        rope_scaling=dict(rope_type="yarn", factor=4.0, beta_fast=4.0, beta_slow=1.0,
                          truncate=False, original_max_position_embeddings=16)),
                torch.bfloat16),
    "gpt_oss-mxfp4": ("GptOss", dict(
        **{**COMMON, "hidden_size": 64}, num_local_experts=6, num_experts_per_tok=2,
        intermediate_size=32, head_dim=6, sliding_window=3, attention_bias=False,
        layer_types=["full_attention", "sliding_attention", "full_attention"],
        rope_scaling=dict(rope_type="yarn", factor=8.0, beta_fast=3.0, beta_slow=1.0,
                          original_max_position_embeddings=8),
        quantization_config=dict(quant_method="mxfp4")), torch.bfloat16),
    "deepseek_v3": ("DeepseekV3", dict(
        **LATENT, q_lora_rank=20, moe_intermediate_size=18, intermediate_size=41,
        n_routed_experts=12, num_experts_per_tok=3, n_group=4, topk_group=2,
        routed_scaling_factor=2.5, first_k_dense_replace=1,
        rope_scaling=dict(type="yarn", factor=4.0, beta_fast=4.0, beta_slow=1.0, mscale=1.0,
                          mscale_all_dim=1.0, original_max_position_embeddings=16)),
                    torch.bfloat16),
    "deepseek_v3-half": ("DeepseekV3", dict(
        **LATENT, q_lora_rank=None, moe_intermediate_size=15, intermediate_size=41,
        n_routed_experts=9, num_experts_per_tok=3, n_group=1, topk_group=1,
        n_shared_experts=2, norm_topk_prob=False, first_k_dense_replace=0,
        attention_bias=True, rope_interleave=False,
        rope_scaling=dict(type="yarn", factor=3.0, beta_fast=4.0, beta_slow=1.0, mscale=1.0,
                          mscale_all_dim=0.5, original_max_position_embeddings=16)),
                         torch.bfloat16),
    "kimi_k2-fp8": ("DeepseekV3", dict(
        **LATENT, q_lora_rank=22, moe_intermediate_size=21, intermediate_size=40,
        n_routed_experts=10, num_experts_per_tok=2, n_group=1, topk_group=1,
        routed_scaling_factor=2.827, first_k_dense_replace=1, rope_theta=50000.0,
        quantization_config=dict(quant_method="fp8", fmt="e4m3", weight_block_size=[16, 12])),
                    torch.bfloat16),
    "deepseek_v2": ("DeepseekV2", dict(
        **LATENT, q_lora_rank=None, moe_intermediate_size=18, intermediate_size=41,
        n_routed_experts=12, num_experts_per_tok=3, n_group=4, topk_group=2,
        topk_method="group_limited_greedy", routed_scaling_factor=4.0,
        first_k_dense_replace=1, n_shared_experts=2,
        rope_scaling=dict(type="yarn", factor=4.0, beta_fast=4.0, beta_slow=1.0,
                          mscale=0.707, mscale_all_dim=0.9,
                          original_max_position_embeddings=16)), torch.bfloat16),
    "deepseek_v2-greedy": ("DeepseekV2", dict(
        **LATENT, q_lora_rank=19, moe_intermediate_size=14, intermediate_size=41,
        n_routed_experts=9, num_experts_per_tok=3, n_group=3, topk_group=1,
        topk_method="greedy", routed_scaling_factor=1.0, first_k_dense_replace=0,
        n_shared_experts=1, attention_bias=True), torch.bfloat16),
    "llama4": ("Llama4", dict(
        **{**COMMON, "num_hidden_layers": 4}, num_local_experts=6, num_experts_per_tok=1,
        intermediate_size=18, intermediate_size_mlp=30, head_dim=10, use_qk_norm=True,
        attention_chunk_size=4, attn_temperature_tuning=True, floor_scale=2, attn_scale=0.5,
        interleave_moe_layer_step=1, no_rope_layer_interval=3), torch.bfloat16),
    "llama4-plain": ("Llama4", dict(
        **COMMON, num_local_experts=5, num_experts_per_tok=2, intermediate_size=17,
        intermediate_size_mlp=30, head_dim=8, use_qk_norm=False, attention_chunk_size=3,
        attn_temperature_tuning=False, interleave_moe_layer_step=2,
        no_rope_layers=[1, 0, 1], attention_bias=True,
        rope_scaling=dict(rope_type="llama3", factor=16.0, low_freq_factor=1.0,
                          high_freq_factor=1.0, original_max_position_embeddings=16)),
                     torch.bfloat16),
    "llama4-fp8": ("Llama4", dict(
        **COMMON, num_local_experts=5, num_experts_per_tok=1, intermediate_size=19,
        intermediate_size_mlp=30, head_dim=8, use_qk_norm=False, attention_chunk_size=3,
        interleave_moe_layer_step=2, quantization_config=dict(
            quant_method="compressed-tensors", format="float-quantized", config_groups=dict(
                group_0=dict(weights=dict(num_bits=8, type="float", symmetric=True,
                                          strategy="channel"))))), torch.bfloat16),
    "qwen3_next": ("Qwen3Next", dict(
        **{**COMMON, "num_hidden_layers": 4}, **MOE, head_dim=16, moe_intermediate_size=14,
        shared_expert_intermediate_size=19, intermediate_size=30, norm_topk_prob=True,
        partial_rotary_factor=0.25, linear_num_key_heads=2, linear_num_value_heads=4,
        linear_key_head_dim=10, linear_value_head_dim=6, linear_conv_kernel_dim=4),
                   torch.bfloat16),
    "qwen3_next-plain": ("Qwen3Next", dict(
        **COMMON, **MOE, head_dim=8, moe_intermediate_size=16,
        shared_expert_intermediate_size=13, intermediate_size=30, norm_topk_prob=False,
        partial_rotary_factor=0.5, linear_num_key_heads=3, linear_num_value_heads=3,
        linear_key_head_dim=6, linear_value_head_dim=8, linear_conv_kernel_dim=3,
        layer_types=["linear_attention", "full_attention", "linear_attention"],
        mlp_only_layers=[1]), torch.bfloat16),
    "qwen3_moe-fp8": ("Qwen3Moe", dict(
        **COMMON, **MOE, head_dim=10, moe_intermediate_size=22, norm_topk_prob=True,
        quantization_config=dict(quant_method="fp8", activation_scheme="dynamic",
                                 modules_to_not_convert=["lm_head"])), torch.bfloat16),
    "qwen3_moe-int4": ("Qwen3Moe", dict(
        **COMMON, **MOE, head_dim=10, moe_intermediate_size=22, norm_topk_prob=True,
        quantization_config=packed(4, True)), torch.bfloat16),
    "qwen3_moe-int4-zeros": ("Qwen3Moe", dict(
        **COMMON, **MOE, head_dim=10, moe_intermediate_size=20, norm_topk_prob=True,
        quantization_config=packed(12, False)), torch.bfloat16),
    "qwen3_moe-gptq": ("Qwen3Moe", dict(
        **WORDS, **MOE, quantization_config=dict(
            quant_method="gptq", bits=4, group_size=8, desc_act=True, sym=False)),
                       torch.float16),
    "qwen3_moe-gptq2": ("Qwen3Moe", dict(
        **WORDS, **MOE, quantization_config=dict(
            quant_method="gptq", bits=4, group_size=-1, checkpoint_format="gptq_v2")),
                        torch.float16),
    "qwen3_moe-awq": ("Qwen3Moe", dict(
        **WORDS, **MOE, quantization_config=dict(
            quant_method="awq", bits=4, group_size=8, version="gemm", zero_point=True)),
                      torch.float16),
}

# Sizes of which sixteen make whole groups.
SIXTEENS = dict(**{**COMMON, "hidden_size": 48}, head_dim=8, moe_intermediate_size=32,
                norm_topk_prob=True)


# Sizes of which four make whole words.
BYTES = dict(**{**COMMON, "hidden_size": 44}, head_dim=10, moe_intermediate_size=20,
             norm_topk_prob=True)

# Sizes of which thirty-two make whole groups.
THIRTY_TWOS = dict(**{**COMMON, "hidden_size": 32, "num_attention_heads": 4}, head_dim=8,
                   moe_intermediate_size=32, norm_topk_prob=True)

# What a mixed checkpoint leaves as it was.
PLAIN = ["lm_head", "re:.*layers\\.1\\.self_attn.*", "model.layers.2.mlp.experts.4.up_proj"]
PLAIN_PARTS = ["lm_head", "model.layers.1.self_attn", "model.layers.2.mlp.experts.4.up_proj"]


def compressed_weights(form, ignore=("lm_head",), **weights):
    return dict(quant_method="compressed-tensors", format=form, ignore=list(ignore),
                config_groups=dict(attention=dict(targets=["re:.*self_attn.*"], weights=weights),
                                   experts=dict(targets=["re:.*experts.*"],
                                                weights=dict(weights))))


MODELS |= {
    "qwen3_moe-fp8-block": ("Qwen3Moe", dict(
        **COMMON, **MOE, head_dim=10, moe_intermediate_size=32, norm_topk_prob=True,
        quantization_config=compressed_weights(
            "float-quantized", num_bits=8, type="float", strategy="block", symmetric=True,
            block_structure=[16, 12], group_size=None, dynamic=False)), torch.bfloat16),
    "qwen3_moe-nvfp4": ("Qwen3Moe", dict(
        **SIXTEENS, **MOE, quantization_config=compressed_weights(
            "nvfp4-pack-quantized", num_bits=4, type="float", strategy="tensor_group",
            symmetric=True, group_size=16, dynamic=False)), torch.bfloat16),
    "qwen3_moe-modelopt": ("Qwen3Moe", dict(**SIXTEENS, **MOE), torch.bfloat16),
    "qwen3_moe-gptq-sym": ("Qwen3Moe", dict(
        **WORDS, **MOE, quantization_config=dict(
            quant_method="gptq", bits=4, group_size=8, sym=True, desc_act=False,
            checkpoint_format="gptq", meta=dict(quantizer=["gptqmodel:5.6.0"]))),
                           torch.float16),
    "qwen3_moe-gptq8": ("Qwen3Moe", dict(
        **BYTES, **MOE, quantization_config=dict(
            quant_method="gptq", bits=8, group_size=8, desc_act=True, sym=False)),
                        torch.float16),
    "qwen3_moe-gptq8-sym": ("Qwen3Moe", dict(
        **BYTES, **MOE, quantization_config=dict(
            quant_method="gptq", bits=8, group_size=-1, desc_act=False, sym=True)),
                            torch.float16),
    "qwen3_moe-int8": ("Qwen3Moe", dict(
        **COMMON, **MOE, head_dim=10, moe_intermediate_size=22, norm_topk_prob=True,
        quantization_config=compressed_weights(
            "int-quantized", PLAIN, num_bits=8, type="int", strategy="channel",
            symmetric=True, group_size=None, dynamic=False)), torch.bfloat16),
    "qwen3_moe-int8-packed": ("Qwen3Moe", dict(
        **COMMON, **MOE, head_dim=10, moe_intermediate_size=26, norm_topk_prob=True,
        quantization_config=compressed_weights(
            "pack-quantized", PLAIN, num_bits=8, type="int", strategy="group",
            symmetric=False, group_size=12, dynamic=False)), torch.bfloat16),
    "qwen3_moe-mxfp4-packed": ("Qwen3Moe", dict(
        **THIRTY_TWOS, **MOE, quantization_config=compressed_weights(
            "mxfp4-pack-quantized", PLAIN, num_bits=4, type="float", strategy="group",
            symmetric=True, group_size=32, scale_dtype="torch.uint8", dynamic=False)),
                               torch.bfloat16),
    "qwen3_moe-mxfp8": ("Qwen3Moe", dict(
        **{**THIRTY_TWOS, "hidden_size": 40}, **MOE, quantization_config=dict(
            quant_method="mxfp8", weight_block_size=[1, 32], scale_fmt="ue8m0",
            activation_scheme="dynamic", modules_to_not_convert=PLAIN_PARTS[:2])),
                        torch.bfloat16),
    "qwen3_moe-fp8-exponents": ("Qwen3Moe", dict(
        **COMMON, **MOE, head_dim=10, moe_intermediate_size=22, norm_topk_prob=True,
        quantization_config=dict(
            quant_method="fp8", weight_block_size=[16, 12], scale_fmt="ue8m0",
            activation_scheme="dynamic", modules_to_not_convert=PLAIN_PARTS)),
                                torch.bfloat16),
    "mixtral-fused": ("Mixtral", dict(
        **COMMON, num_local_experts=5, num_experts_per_tok=2, intermediate_size=23,
        rope_theta=1e6), torch.bfloat16),
}

QWEN3_5 = dict(**{**COMMON, "num_hidden_layers": 4}, head_dim=16, linear_num_key_heads=2,
               linear_num_value_heads=4, linear_key_head_dim=10, linear_value_head_dim=6)
QWEN3_5_SWITCHES = dict(**COMMON, head_dim=8, linear_num_key_heads=3, linear_num_value_heads=3,
                        linear_key_head_dim=6, linear_value_head_dim=8,
                        linear_conv_kernel_dim=3, attention_bias=True,
                        layer_types=["linear_attention", "full_attention", "linear_attention"],
                        rope_parameters=dict(rope_type="default", rope_theta=1e4,
                                             partial_rotary_factor=0.5))
MROPE = dict(rope_type="default", rope_theta=1e5, partial_rotary_factor=0.25,
             mrope_section=[1, 1, 0], mrope_interleaved=True)
SHARED = dict(moe_intermediate_size=14, shared_expert_intermediate_size=19)

MODELS |= {
    "qwen3_5_moe": ("Qwen3_5Moe", dict(
        **QWEN3_5, **MOE, **SHARED, rope_parameters=MROPE), torch.bfloat16),
    "qwen3_5_moe-fp8": ("Qwen3_5Moe", dict(
        **QWEN3_5, **MOE, **SHARED, full_attention_interval=2, rope_parameters=MROPE,
        quantization_config=dict(
            quant_method="fp8", fmt="e4m3", activation_scheme="dynamic",
            weight_block_size=[16, 12], modules_to_not_convert=[
                "lm_head", "model.language_model.layers.0.linear_attn.in_proj_b",
                "model.language_model.layers.0.linear_attn.in_proj_z"])), torch.bfloat16),
    "qwen3_5_moe-text": ("Qwen3_5Moe", dict(
        **QWEN3_5_SWITCHES, **MOE, **SHARED), torch.bfloat16),
    "qwen3_5": ("Qwen3_5", dict(
        **QWEN3_5, intermediate_size=41, rope_parameters=MROPE, tie_word_embeddings=True),
                torch.bfloat16),
    "qwen3_5-text": ("Qwen3_5", dict(**QWEN3_5_SWITCHES, intermediate_size=30),
                     torch.bfloat16),
}

# Dense controls.
MODELS |= {
    "qwen2": ("Qwen2", dict(
        **COMMON, intermediate_size=43, rope_theta=1e6, tie_word_embeddings=True,
        use_sliding_window=False, sliding_window=4, max_window_layers=1), torch.bfloat16),
    "qwen2-sliding": ("Qwen2", dict(
        **COMMON, intermediate_size=38, use_sliding_window=True, sliding_window=5,
        max_window_layers=2), torch.bfloat16),
    "mistral": ("Mistral", dict(
        **COMMON, head_dim=10, intermediate_size=39, rope_theta=1e6, sliding_window=None),
                torch.bfloat16),
    "mistral-sliding": ("Mistral", dict(
        **COMMON, intermediate_size=34, sliding_window=7, tie_word_embeddings=True),
                        torch.bfloat16),
    "phi3": ("Phi3", dict(
        **COMMON, intermediate_size=35, pad_token_id=0, sliding_window=6), torch.bfloat16),
    "phi3-partial": ("Phi3", dict(
        **{**COMMON, "hidden_size": 48}, intermediate_size=37, pad_token_id=0, sliding_window=None,
        partial_rotary_factor=0.75, tie_word_embeddings=True), torch.bfloat16),
    "phi3-longrope": ("Phi3", dict(
        **COMMON, intermediate_size=32, pad_token_id=0, original_max_position_embeddings=32,
        rope_scaling=dict(type="longrope", short_factor=[1.0, 1.3, 2.0],
                          long_factor=[2.0, 4.0, 8.0])), torch.bfloat16),
    # Sequences on both sides of the original positions.
    "phi3-longrope-long": ("Phi3", dict(
        **{**COMMON, "hidden_size": 48}, intermediate_size=34, pad_token_id=0,
        partial_rotary_factor=0.75, original_max_position_embeddings=19, sliding_window=9,
        rope_scaling=dict(type="longrope", short_factor=[1.0, 1.1, 1.4],
                          long_factor=[1.5, 3.0, 10.0])), torch.bfloat16),
    "phi3-fp8": ("Phi3", dict(
        **COMMON, intermediate_size=35, pad_token_id=0, quantization_config=dict(
            quant_method="fp8", weight_block_size=[16, 12], activation_scheme="dynamic")),
                 torch.bfloat16),
}

MODELS |= {
    "qwen3_vl_moe": ("Qwen3VLMoe", dict(
        **COMMON, **MOE, head_dim=8, moe_intermediate_size=22, intermediate_size=50,
        mlp_only_layers=[1], rope_parameters=dict(
            rope_type="default", rope_theta=5e6, mrope_section=[2, 1, 1],
            mrope_interleaved=True)), torch.bfloat16),
    "qwen3_vl_moe-fp8": ("Qwen3VLMoe", dict(
        **COMMON, **MOE, head_dim=12, moe_intermediate_size=18, intermediate_size=26,
        decoder_sparse_step=2, attention_bias=True, tie_word_embeddings=True,
        rope_parameters=dict(rope_type="default", rope_theta=1e5, mrope_section=[2, 2, 2]),
        quantization_config=dict(quant_method="fp8", weight_block_size=[16, 12])),
                         torch.bfloat16),
    "glm4v_moe": ("Glm4vMoe", dict(
        **COMMON, head_dim=12, moe_intermediate_size=18, intermediate_size=41,
        n_routed_experts=12, num_experts_per_tok=3, n_group=4, topk_group=2,
        routed_scaling_factor=2.5, first_k_dense_replace=1, rope_parameters=dict(
            rope_type="default", rope_theta=1e4, partial_rotary_factor=0.5,
            mrope_section=[1, 1, 1])), torch.bfloat16),
    "glm4v_moe-fp8": ("Glm4vMoe", dict(
        **COMMON, head_dim=16, moe_intermediate_size=15, intermediate_size=41,
        n_routed_experts=9, num_experts_per_tok=3, n_shared_experts=2, norm_topk_prob=False,
        attention_bias=False, first_k_dense_replace=0, rope_parameters=dict(
            rope_type="default", rope_theta=1e5, partial_rotary_factor=0.25,
            mrope_section=[1, 1, 0]), quantization_config=dict(
            quant_method="compressed-tensors", format="float-quantized", config_groups=dict(
                group_0=dict(weights=dict(num_bits=8, type="float", symmetric=True,
                                          strategy="channel"))))), torch.bfloat16),
}

# Without norms before attention and MLP.
MODELS |= {
    "olmo2": ("Olmo2", dict(
        **COMMON, intermediate_size=37, rope_theta=500000.0), torch.bfloat16),
    "olmo2-bias": ("Olmo2", dict(
        **{**COMMON, "num_key_value_heads": 6}, intermediate_size=33, attention_bias=True,
        tie_word_embeddings=True), torch.bfloat16),
    "olmo3": ("Olmo3", dict(
        **{**COMMON, "num_hidden_layers": 4}, intermediate_size=31, sliding_window=5,
        rope_theta=500000.0, rope_scaling=dict(
            rope_type="yarn", factor=8.0, beta_fast=4.0, beta_slow=1.0,
            attention_factor=1.2079441541679836, original_max_position_embeddings=16)),
              torch.bfloat16),
    "olmo3-types": ("Olmo3", dict(
        **COMMON, intermediate_size=34, sliding_window=7, attention_bias=True,
        layer_types=["full_attention", "sliding_attention", "full_attention"],
        rope_parameters=dict(full_attention=dict(rope_type="linear", factor=3.0,
                                                 rope_theta=20000.0),
                             sliding_attention=dict(rope_type="default",
                                                    rope_theta=1000.0))), torch.bfloat16),
}

# DeepSeek's kind in other numbers. A head's value may be wider than its own part of the key.
WIDE = dict(**{**LATENT, "qk_nope_head_dim": 8, "v_head_dim": 14}, moe_intermediate_size=18,
            intermediate_size=41, num_experts_per_tok=3)
INDEX = dict(index_topk=24, index_n_heads=4, index_head_dim=12)

MODELS |= {
    "kimi_k25": ("DeepseekV3", dict(
        **{**LATENT, "hidden_size": 48, "num_attention_heads": 4, "num_key_value_heads": 4},
        q_lora_rank=24, moe_intermediate_size=32, intermediate_size=40, n_routed_experts=10,
        num_experts_per_tok=3, n_group=1, topk_group=1, routed_scaling_factor=2.827,
        first_k_dense_replace=1, rope_theta=50000.0,
        rope_scaling=dict(type="yarn", factor=16.0, beta_fast=32.0, beta_slow=1.0, mscale=1.0,
                          mscale_all_dim=1.0, original_max_position_embeddings=16),
        quantization_config=dict(
            quant_method="compressed-tensors", format="pack-quantized",
            ignore=["lm_head", "re:.*self_attn.*", "re:.*shared_experts.*",
                    "re:.*mlp\\.(gate|up|gate_up|down)_proj.*"],
            config_groups=dict(group_0=dict(targets=["Linear"], weights=dict(
                num_bits=4, type="int", symmetric=True, strategy="group", group_size=16))))),
                 torch.bfloat16),
    "kimi_k25-nvfp4": ("DeepseekV3", dict(
        **{**LATENT, "hidden_size": 48, "num_attention_heads": 4, "num_key_value_heads": 4},
        q_lora_rank=24, moe_intermediate_size=32, intermediate_size=48, n_routed_experts=9,
        num_experts_per_tok=2, n_group=1, topk_group=1, routed_scaling_factor=2.5,
        first_k_dense_replace=1), torch.bfloat16),
    "minimax_m2": ("MiniMaxM2", dict(
        **COMMON, head_dim=10, num_local_experts=9, num_experts_per_tok=3,
        intermediate_size=22, rope_theta=5e6, rotary_dim=4), torch.bfloat16),
    "minimax_m2-fp8": ("MiniMaxM2", dict(
        **{**COMMON, "rms_norm_eps": 1e-6}, head_dim=8, num_local_experts=8,
        num_experts_per_tok=2, intermediate_size=20, rope_theta=1e4, quantization_config=dict(
            quant_method="fp8", fmt="float8_e4m3fn", activation_scheme="dynamic",
            weight_block_size=[16, 12],
            modules_to_not_convert=["gate", "e_score_correction_bias", "lm_head"])),
                       torch.bfloat16),
    "glm4_moe_lite": ("Glm4MoeLite", dict(
        **WIDE, q_lora_rank=20, n_routed_experts=9, n_shared_experts=1, n_group=1,
        topk_group=1, routed_scaling_factor=1.8, rope_theta=1e6,
        first_k_dense_replace=1), torch.bfloat16),
    "glm4_moe_lite-plain": ("Glm4MoeLite", dict(
        **{**WIDE, "v_head_dim": 6}, q_lora_rank=None, n_routed_experts=12,
        n_shared_experts=2, n_group=4, topk_group=2, routed_scaling_factor=2.5,
        norm_topk_prob=False, attention_bias=True, rope_interleave=False,
        mlp_layer_types=["sparse", "dense", "sparse"]), torch.bfloat16),
    "deepseek_v32": ("DeepseekV32", dict(
        **WIDE, **INDEX, q_lora_rank=20, n_routed_experts=12, n_group=4, topk_group=2,
        routed_scaling_factor=2.5, first_k_dense_replace=1,
        rope_scaling=dict(type="yarn", factor=4.0, beta_fast=4.0, beta_slow=1.0, mscale=1.0,
                          mscale_all_dim=1.0, original_max_position_embeddings=16),
        quantization_config=dict(quant_method="fp8", fmt="e4m3", scale_fmt="ue8m0",
                                 activation_scheme="dynamic", weight_block_size=[16, 12])),
                     torch.bfloat16),
    "glm_moe_dsa": ("GlmMoeDsa", dict(
        **WIDE, **{**INDEX, "index_topk": 10}, q_lora_rank=18, n_routed_experts=9, n_group=1,
        topk_group=1, routed_scaling_factor=2.5, rope_theta=1e6, norm_topk_prob=False,
        mlp_layer_types=["dense", "sparse", "sparse"], first_k_dense_replace=1,
        indexer_types=["full", "shared", "full"]), torch.bfloat16),
    # Sequences in which an indexer chooses.
    "deepseek_v32-chosen": ("DeepseekV32", dict(
        **WIDE, **{**INDEX, "index_topk": 3}, q_lora_rank=20, n_routed_experts=12, n_group=1,
        topk_group=1, routed_scaling_factor=2.5, first_k_dense_replace=2), torch.bfloat16),
    "glm_moe_dsa-chosen": ("GlmMoeDsa", dict(
        **{**WIDE, "num_hidden_layers": 4}, **{**INDEX, "index_topk": 4, "index_head_dim": 14},
        q_lora_rank=18, n_routed_experts=9, n_group=1, topk_group=1,
        routed_scaling_factor=2.5, rope_theta=1e6, first_k_dense_replace=1,
        index_topk_pattern="FSFS"), torch.bfloat16),
}

# All layer types; sequences longer than windows, rates and index_topk. The config's forms: the
# Hub's, and that of transformers 5.
V4 = dict(hidden_size=40, num_hidden_layers=4, vocab_size=131, num_attention_heads=6,
          num_key_value_heads=1, head_dim=18, q_lora_rank=20, moe_intermediate_size=24,
          n_routed_experts=10, num_experts_per_tok=3, rms_norm_eps=1e-5,
          max_position_embeddings=64, o_groups=2, o_lora_rank=10, index_n_heads=4,
          index_head_dim=12, qk_rope_head_dim=6)
YARN = dict(type="yarn", factor=4.0, beta_fast=4.0, beta_slow=1.0,
            original_max_position_embeddings=16)
MODELS |= {
    "deepseek_v4": ("DeepseekV4", dict(
        **V4, compress_ratios=[0, 4, 128, 4, 0], compress_rate_csa=2, compress_rate_hca=3,
        num_hash_layers=1, sliding_window=3, index_topk=2, hc_sinkhorn_iters=5,
        swiglu_limit=1.0, rope_theta=1e4, compress_rope_theta=1.6e5, rope_scaling=YARN),
                    torch.bfloat16),
    "deepseek_v4-nested": ("DeepseekV4", dict(
        **{**V4, "num_hidden_layers": 3}, mlp_layer_types=["moe", "hash_moe", "moe"],
        layer_types=["heavily_compressed_attention", "compressed_sparse_attention",
                     "sliding_attention"],
        compress_rates={"compressed_sparse_attention": 2, "heavily_compressed_attention": 4},
        sliding_window=2, index_topk=1, hc_mult=3, hc_sinkhorn_iters=1, hc_eps=1e-3,
        swiglu_limit=7.0, routed_scaling_factor=2.5,
        rope_parameters={
            "main": dict(rope_type="default", rope_theta=500.0, partial_rotary_factor=1 / 3),
            "compress": dict(rope_type="yarn", rope_theta=3e4, partial_rotary_factor=1 / 3,
                             factor=4.0, original_max_position_embeddings=16)}), torch.bfloat16),
    # As it is published: experts in four bits, the rest in eight, and what stays plain.
    "deepseek_v4-fp4": ("DeepseekV4", dict(
        **{**V4, "hidden_size": 64, "moe_intermediate_size": 32, "num_hidden_layers": 3},
        compress_ratios=[4, 128, 0], compress_rate_csa=3, compress_rate_hca=2,
        num_hash_layers=1, sliding_window=3, index_topk=1, swiglu_limit=2.0,
        expert_dtype="fp4", quantization_config=dict(
            quant_method="fp8", fmt="e4m3", scale_fmt="ue8m0", activation_scheme="dynamic",
            weight_block_size=[16, 12])), torch.bfloat16),
}

# The other side of switches: layers' kinds that are said one by one, biases, weights that are not
# made to sum to one.
TYPES = ["sliding_attention", "full_attention", "sliding_attention"]
MODELS |= {
    "olmoe-bias": ("Olmoe", dict(
        **COMMON, **MOE, intermediate_size=16, attention_bias=True, norm_topk_prob=False),
                   torch.bfloat16),
    "qwen3-types": ("Qwen3", dict(
        **COMMON, head_dim=8, intermediate_size=39, use_sliding_window=True, sliding_window=5,
        layer_types=TYPES), torch.bfloat16),
    "qwen2_moe-types": ("Qwen2Moe", dict(
        **COMMON, **MOE, moe_intermediate_size=17, shared_expert_intermediate_size=13,
        intermediate_size=29, decoder_sparse_step=2, use_sliding_window=True, sliding_window=4,
        layer_types=TYPES), torch.bfloat16),
    "llama4-types": ("Llama4", dict(
        **COMMON, num_local_experts=6, num_experts_per_tok=2, intermediate_size=16,
        intermediate_size_mlp=28, head_dim=10, attention_chunk_size=4, moe_layers=[0, 2],
        layer_types=["full_attention", "chunked_attention", "chunked_attention"],
        no_rope_layers=[0, 1, 1]), torch.bfloat16),
    "deepseek_v32-bias": ("DeepseekV32", dict(
        **WIDE, **{**INDEX, "index_topk": 6}, q_lora_rank=22, n_routed_experts=8, n_group=1,
        topk_group=1, routed_scaling_factor=1.7, attention_bias=True, norm_topk_prob=False,
        mlp_layer_types=["sparse", "dense", "sparse"]), torch.bfloat16),
    "glm_moe_dsa-bias": ("GlmMoeDsa", dict(
        **WIDE, **{**INDEX, "index_topk": 5}, q_lora_rank=20, n_routed_experts=8, n_group=4,
        topk_group=2, routed_scaling_factor=1.5, attention_bias=True, n_shared_experts=2,
        mlp_layer_types=["sparse", "dense", "sparse"]), torch.bfloat16),
}

# Whose quantization_config stands with the text model's keys.
QUANTISED_INSIDE = {"kimi_k25"}

GEMMA4 = dict(**{**COMMON, "num_hidden_layers": 4}, head_dim=8, global_head_dim=16,
              hidden_size_per_layer_input=0, pad_token_id=0)
GEMMA4_MOE = dict(enable_moe_block=True, num_experts=9, top_k_experts=3)

MODELS |= {
    "gemma3": ("Gemma3", dict(
        **{**COMMON, "num_hidden_layers": 4}, head_dim=10, intermediate_size=41, pad_token_id=0,
        sliding_window=5, sliding_window_pattern=3, query_pre_attn_scalar=20,
        rope_theta=1e6, rope_local_base_freq=1e3,
        rope_scaling=dict(rope_type="linear", factor=8.0)), torch.bfloat16),
    "gemma3-text": ("Gemma3", dict(
        **COMMON, head_dim=8, intermediate_size=33, pad_token_id=0, sliding_window=7,
        layer_types=["full_attention", "sliding_attention", "full_attention"],
        attention_bias=True, final_logit_softcapping=4.0, tie_word_embeddings=False,
        rope_parameters=dict(
            full_attention=dict(rope_type="default", rope_theta=2e4),
            sliding_attention=dict(rope_type="default", rope_theta=5e2))), torch.bfloat16),
    "gemma4": ("Gemma4", dict(
        **GEMMA4, **GEMMA4_MOE, moe_intermediate_size=14, intermediate_size=23,
        attention_k_eq_v=True, num_global_key_value_heads=3, sliding_window=4,
        layer_types=["sliding_attention", "full_attention", "sliding_attention",
                     "full_attention"], final_logit_softcapping=5.0,
        rope_parameters=dict(
            full_attention=dict(rope_type="proportional", partial_rotary_factor=0.25,
                                rope_theta=1e4),
            sliding_attention=dict(rope_type="default", rope_theta=1e3))), torch.bfloat16),
    "gemma4-text": ("Gemma4", dict(
        **GEMMA4, **GEMMA4_MOE, moe_intermediate_size=17, intermediate_size=19,
        sliding_window=3, attention_bias=True, tie_word_embeddings=False,
        layer_types=["full_attention", "sliding_attention", "sliding_attention",
                     "full_attention"], use_bidirectional_attention="vision"),
                    torch.bfloat16),
    "gemma4-fp8": ("Gemma4", dict(
        **GEMMA4, **GEMMA4_MOE, moe_intermediate_size=18, intermediate_size=25,
        attention_k_eq_v=True, sliding_window=3,
        layer_types=["sliding_attention", "sliding_attention", "sliding_attention",
                     "full_attention"],
        quantization_config=dict(quant_method="fp8", weight_block_size=[16, 12])),
                   torch.bfloat16),
    "gemma4-dense": ("Gemma4", dict(
        **{**GEMMA4, "num_hidden_layers": 7}, intermediate_size=37, attention_k_eq_v=True,
        num_global_key_value_heads=1, sliding_window=6, final_logit_softcapping=6.0),
                     torch.bfloat16),
}

GEMMA4_SMALL = dict(**{**COMMON, "num_hidden_layers": 6}, head_dim=8, global_head_dim=16,
                    vocab_size_per_layer_input=131, pad_token_id=0)

MODELS |= {
    "gemma4-e2b": ("Gemma4", dict(
        **{**GEMMA4_SMALL, "num_key_value_heads": 1}, hidden_size_per_layer_input=10,
        intermediate_size=31, num_kv_shared_layers=3, use_double_wide_mlp=True, sliding_window=5,
        layer_types=["sliding_attention", "full_attention", "sliding_attention",
                     "sliding_attention", "sliding_attention", "full_attention"],
        final_logit_softcapping=5.0), torch.bfloat16),
    "gemma4-e4b": ("Gemma4", dict(
        **{**GEMMA4_SMALL, "vocab_size_per_layer_input": 140}, hidden_size_per_layer_input=7,
        intermediate_size=33, num_kv_shared_layers=2, attention_k_eq_v=True,
        num_global_key_value_heads=3, sliding_window=7, final_logit_softcapping=8.0,
        layer_types=["full_attention", "sliding_attention", "full_attention",
                     "sliding_attention", "full_attention", "full_attention"]),
                   torch.bfloat16),
}

GPT2 = dict(n_layer=3, n_embd=36, n_head=6, vocab_size=131, n_positions=32)

MODELS |= {
    "gpt2": ("GPT2", dict(**GPT2, n_inner=None), torch.float32),
    "gpt2-saved": ("GPT2", dict(**GPT2, n_inner=41, scale_attn_weights=False,
                                tie_word_embeddings=False, layer_norm_epsilon=1e-3),
                   torch.bfloat16),
}

MISTRAL4 = dict(**LATENT, moe_intermediate_size=18, intermediate_size=41,
                n_routed_experts=9, num_experts_per_tok=3)

MODELS |= {
    "hy_v3": ("HYV3", dict(
        **COMMON, **MOE, head_dim=8, moe_intermediate_size=22, intermediate_size=50,
        router_scaling_factor=2.826), torch.bfloat16),
    "hy_v3-types": ("HYV3", dict(
        **COMMON, **MOE, head_dim=12, moe_intermediate_size=16, intermediate_size=44,
        num_shared_experts=2, attention_bias=True, router_scaling_factor=1.5,
        tie_word_embeddings=True, mlp_layer_types=["sparse", "dense", "sparse"],
        rope_parameters=dict(rope_type="default", rope_theta=1e4)), torch.bfloat16),
    "ernie4_5_moe": ("Ernie4_5_Moe", dict(
        **COMMON, moe_num_experts=9, moe_k=3, moe_intermediate_size=22, intermediate_size=43,
        moe_num_shared_experts=2, moe_layer_start_index=1), torch.bfloat16),
    "ernie4_5_moe-plain": ("Ernie4_5_Moe", dict(
        **{**COMMON, "num_hidden_layers": 4}, head_dim=10, moe_num_experts=8, moe_k=2,
        moe_intermediate_size=18, intermediate_size=40, moe_num_shared_experts=0,
        moe_layer_start_index=0, moe_layer_end_index=2, moe_layer_interval=2,
        moe_norm_min=0.5, tie_word_embeddings=False, rope_theta=1e4), torch.bfloat16),
    "mistral4": ("Mistral4", dict(
        **MISTRAL4, q_lora_rank=20, rope_parameters=dict(
            rope_type="yarn", rope_theta=1e4, factor=4.0, beta_fast=4.0, beta_slow=1.0,
            mscale=1.0, mscale_all_dim=1.0, original_max_position_embeddings=3,
            llama_4_scaling_beta=0.3), quantization_config=dict(
            quant_method="fp8", activation_scheme="static", modules_to_not_convert=[
                "lm_head", "model.vision_tower"])), torch.bfloat16),
    "mistral4-plain": ("Mistral4", dict(
        **{**MISTRAL4, "n_routed_experts": 6, "num_experts_per_tok": 2}, q_lora_rank=None,
        n_shared_experts=2, n_group=3, topk_group=2, routed_scaling_factor=2.5,
        norm_topk_prob=False, first_k_dense_replace=1, rope_interleave=False, attention_bias=True,
        tie_word_embeddings=True, rope_parameters=dict(
            rope_type="yarn", rope_theta=1e5, factor=2.0, beta_fast=4.0, beta_slow=1.0,
            mscale=1.0, mscale_all_dim=0.5, original_max_position_embeddings=16,
            llama_4_scaling_beta=0.0)), torch.bfloat16),
}

NEMOTRON_H = dict(hidden_size=36, vocab_size=131, num_attention_heads=6, num_key_value_heads=2,
                  head_dim=8, intermediate_size=41, mlp_hidden_act="relu2", mamba_num_heads=6,
                  mamba_head_dim=7, ssm_state_size=10, n_groups=2, conv_kernel=4, chunk_size=4)
NEMOTRON_H_MOE = dict(n_routed_experts=12, num_experts_per_tok=3, moe_intermediate_size=18,
                      moe_shared_expert_intermediate_size=23)

MODELS |= {
    "nemotron_h": ("NemotronH", dict(
        **NEMOTRON_H, **NEMOTRON_H_MOE, hybrid_override_pattern="ME*-ME", n_group=4,
        topk_group=2, routed_scaling_factor=2.5), torch.bfloat16),
    "nemotron_h-latent": ("NemotronH", dict(
        **{**NEMOTRON_H, "n_groups": 1, "conv_kernel": 3}, **NEMOTRON_H_MOE,
        layers_block_type=["mamba", "moe", "mamba", "attention", "moe"], moe_latent_size=14,
        norm_topk_prob=False, use_conv_bias=False, time_step_min=0.3,
        layer_norm_epsilon=1e-3), torch.bfloat16),
    # Sequences of more than a chunk, and of more than two.
    "nemotron_h-dense": ("NemotronH", dict(
        **{**NEMOTRON_H, "n_groups": 3, "chunk_size": 16}, hybrid_override_pattern="M-M*-",
        num_hidden_layers=5, time_step_limit=[0.0, float("inf")]), torch.float32),
    "nemotron_h-mixed": ("NemotronH", dict(
        **{**NEMOTRON_H, "hidden_size": 32, "mamba_head_dim": 8, "ssm_state_size": 12},
        **{**NEMOTRON_H_MOE, "moe_intermediate_size": 16}, moe_latent_size=16,
        hybrid_override_pattern="MEM*E", routed_scaling_factor=5.0), torch.bfloat16),
}
LENGTHS = {"nemotron_h-dense": [131, 1, 70]}
FLOAT_ROUTERS = {"nemotron_h-mixed"}
MINISTRAL = dict(rope_type="yarn", rope_theta=1e4, factor=4.0, beta_fast=4.0, beta_slow=1.0,
                 mscale=1.0, mscale_all_dim=1.0, original_max_position_embeddings=7)

MODELS |= {
    "mistral3": ("Mistral", dict(
        **COMMON, head_dim=8, intermediate_size=36, rope_theta=1e9, sliding_window=None),
                 torch.bfloat16),
    "ministral3": ("Ministral3", dict(
        **COMMON, head_dim=10, intermediate_size=35, tie_word_embeddings=True,
        rope_parameters=MINISTRAL | dict(llama_4_scaling_beta=0.3),
        quantization_config=dict(quant_method="fp8", activation_scheme="static",
                                 modules_to_not_convert=["lm_head", "model.vision_tower"])),
                   torch.bfloat16),
    "ministral3-plain": ("Ministral3", dict(
        **COMMON, head_dim=6, intermediate_size=29, sliding_window=6,
        rope_parameters=MINISTRAL | dict(mscale_all_dim=0.5, llama_4_scaling_beta=0.0)),
                         torch.bfloat16),
}

# Under the names that transformers 5 gives them: all experts of a layer in one tensor.
FUSED = {"gemma4", "gemma4-text", "mistral4", "mixtral-fused", "qwen3_5_moe", "qwen3_vl_moe"}
TURNED = {"qwen3_vl_moe"}  # of these, [experts, in, out]

# How modelopt stores each module; its method stands in a file of its own.
MODELOPT = {"q_proj": "FP8", "k_proj": "FP8", "v_proj": "FP8", "gate_proj": "NVFP4",
            "up_proj": "NVFP4", "down_proj": "NVFP4"}
SIDECARS = {"qwen3_moe-modelopt", "kimi_k25-nvfp4", "nemotron_h-mixed"}


def modelopt_method(key):
    if ".mixer.experts." in key:
        return "NVFP4"
    if ".mixer.shared_experts." in key or key.endswith((".in_proj", ".out_proj")):
        return "FP8"
    return None if ".mixer." in key else MODELOPT.get(key.split(".")[-1])


def modelopt(w, key):
    """FP8, NVFP4 or plain, by the module's name."""
    method = modelopt_method(key)
    if method is None:
        return {".weight": w.to(torch.bfloat16)}, w.to(torch.bfloat16).float()
    if method == "NVFP4":
        return quantise.nvfp4(w, False)
    stored, values = quantise.fp8_tensor(w)
    return stored | {".weight_scale": stored[".weight_scale"].reshape(())}, values


def sidecar(tensors):
    layers = {}
    for key in tensors:
        base = key.removesuffix(".weight_scale")
        if base != key:
            method = modelopt_method(base)
            layers[base] = {"quant_algo": method} | (
                {"group_size": 16} if method == "NVFP4" else {})
    return {"producer": {"name": "modelopt", "version": "0.33.0"},
            "quantization": {"quant_algo": "MIXED_PRECISION", "kv_cache_quant_algo": None,
                             "exclude_modules": ["lm_head"], "quantized_layers": layers}}


def deepseek_v4(w, key):
    """Routed experts in four bits, all else in eight."""
    if ".ffn.experts." in key:
        stored, values = quantise.mxfp4_packed(w)
        return {".weight": stored[".weight_packed"].view(torch.int8),
                ".scale": stored[".weight_scale"].view(torch.float8_e8m0fnu)}, values
    stored, values = quantise.fp8_exponents(w, 16, 12, torch.float8_e8m0fnu)
    return {".weight": stored[".weight"], ".scale": stored[".weight_scale_inv"]}, values


# How the matrices of a quantised model are stored; the others are plain.
QUANTISERS = {
    "gemma4-fp8": lambda w: quantise.fp8_blocks(w, 16, 12),
    "phi3-fp8": lambda w: quantise.fp8_blocks(w, 16, 12),
    "gpt_oss-mxfp4": quantise.mxfp4,
    "kimi_k2-fp8": lambda w: quantise.fp8_blocks(w, 16, 12),
    "kimi_k25": lambda w: quantise.compressed(w, 16, True),
    "kimi_k25-nvfp4": modelopt,
    "nemotron_h-mixed": modelopt,
    "minimax_m2-fp8": lambda w: quantise.fp8_blocks(w, 16, 12),
    "deepseek_v32": lambda w: quantise.fp8_blocks(w, 16, 12),
    "deepseek_v4-fp4": deepseek_v4,
    "llama4-fp8": quantise.fp8_channels,
    "qwen3_5_moe-fp8": lambda w: quantise.fp8_blocks(w, 16, 12),
    "qwen3_vl_moe-fp8": lambda w: quantise.fp8_blocks(w, 16, 12),
    "glm4v_moe-fp8": quantise.fp8_channels,
    "ministral3": quantise.fp8_static,
    "mistral4": quantise.fp8_static,
    "qwen3_moe-fp8": quantise.fp8_tensor,
    "qwen3_moe-int4": lambda w: quantise.compressed(w, 4, True),
    "qwen3_moe-int4-zeros": lambda w: quantise.compressed(w, 12, False),
    "qwen3_moe-gptq": lambda w: quantise.gptq(w, 8, True, 1),
    "qwen3_moe-gptq2": lambda w: quantise.gptq(w, w.shape[1], False, 0),
    "qwen3_moe-awq": lambda w: quantise.awq(w, 8),
    "qwen3_moe-fp8-block": lambda w: quantise.fp8_blocks(w, 16, 12, ".weight_scale"),
    "qwen3_moe-nvfp4": lambda w: quantise.nvfp4(w, True),
    "qwen3_moe-modelopt": modelopt,
    "qwen3_moe-gptq-sym": lambda w: quantise.gptq(w, 8, False, 0, True),
    "qwen3_moe-gptq8": lambda w: quantise.gptq(w, 8, True, 1, bits=8),
    "qwen3_moe-gptq8-sym": lambda w: quantise.gptq(w, w.shape[1], False, 1, True, 8),
    "qwen3_moe-int8": quantise.int8,
    "qwen3_moe-int8-packed": lambda w: quantise.compressed(w, 12, False, 8),
    "qwen3_moe-mxfp4-packed": quantise.mxfp4_packed,
    "qwen3_moe-mxfp8": lambda w: quantise.fp8_exponents(w, 1, 32, torch.uint8),
    "qwen3_moe-fp8-exponents":
        lambda w: quantise.fp8_exponents(w, 16, 12, torch.float8_e8m0fnu),
}

# Which modules are quantised, by the ends of their names, where not all that end in _proj.
QUANTISED_NAMES = {"deepseek_v4-fp4": ("wq_a", "wq_b", ".attn.wkv", "wo_a", "wo_b", ".w1", ".w2",
                                       ".w3"), "qwen3_5_moe-fp8": ("_proj", "in_proj_qkv", "in_proj_z"), "deepseek_v32": (
    "q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj", "gate_proj", "up_proj",
    "down_proj", "indexer.wq_b", "indexer.wk")}

# Classes whose names are not the Hub's.
RENAMED = [("HYV3", ".mlp.gate.weight", ".mlp.router.gate.weight"),
           ("HYV3", ".mlp.e_score_correction_bias", ".mlp.expert_bias"),
           ("HYV3", ".mlp.shared_experts.", ".mlp.shared_mlp."),
           ("Ernie4_5", ".mlp.gate.moe_statics.", ".mlp.moe_statics."),
           ("NemotronH", "model.", "backbone.")]

# Of DeepSeek-V4's names in their order, first the longest: what the Hub's files call them.
V4_NAMES = [("model.embed_tokens", "embed"), ("lm_head", "head"), ("model.hc_head.hc_", "hc_head_"),
            ("model.", ""), (".compressor.indexer.scorer.", ".indexer."),
            (".compressor.indexer.q_b_proj", ".indexer.wq_b"),
            (".compressor.indexer.", ".indexer.compressor."), (".self_attn.", ".attn."),
            ("compressor.kv_norm", "compressor.norm"), (".q_a_norm", ".q_norm"),
            (".q_a_proj", ".wq_a"), (".q_b_proj", ".wq_b"), (".kv_proj", ".wkv"),
            ("compressor.gate_proj", "compressor.wgate"), (".position_bias", ".ape"),
            (".o_a_proj", ".wo_a"), (".o_b_proj", ".wo_b"), (".sinks", ".attn_sink"),
            (".input_layernorm", ".attn_norm"), (".post_attention_layernorm", ".ffn_norm"),
            (".attn_hc.", ".hc_attn_"), (".ffn_hc.", ".hc_ffn_"), (".mlp.", ".ffn."),
            (".e_score_correction_bias", ".bias"), ("experts.gate_proj", "experts.w1"),
            ("experts.up_proj", "experts.w3"), ("experts.down_proj.", "experts.w2.")]


def is_v4(model):
    return type(model).__name__.startswith("DeepseekV4")


def stays_float(model, key):
    """What transformers loads as it is stored, whatever the model's type."""
    return is_v4(model) and any(part in key.split(".") for part in
                                model._keep_in_fp32_modules_strict)


# Whose config.json has another model_type than its class writes.
PUBLISHED_TYPE = {"kimi_k2-fp8": "kimi_k2"}


class Wrapper:
    """A model that has this one as its text part: its model_type; what stands in names for
    "model." and before all others; keys that are said outside; tensors of other parts."""

    def __init__(self, model_type, body, head="", outside=(), others=()):
        self.model_type, self.body, self.head = model_type, body, head
        self.outside, self.others = outside, others

    def name(self, key):
        inner = key.removeprefix("model.")
        return self.head + key if inner == key else self.body + inner


def seeing(model_type):
    return Wrapper(model_type, "model.language_model.", "", ("tie_word_embeddings",),
                   ("model.visual.patch_embed.proj.bias",
                    "mtp.layers.0.mlp.gate.weight" if model_type.startswith("qwen3_5") else
                    "model.language_model.layers.3.eh_proj.weight"))


KIMI = Wrapper("kimi_k25", "language_model.model.", "language_model.", (),
               ("vision_tower.patch_embed.proj.weight", "mm_projector.proj.0.weight"))
LLAMA4 = Wrapper("llama4", "language_model.model.", "language_model.")
MISTRAL = Wrapper("mistral3", "language_model.model.", "language_model.", (),
                  ("vision_tower.patch_conv.bias", "multi_modal_projector.norm.weight"))
WRAPPERS = {
    "mistral3": MISTRAL, "ministral3": MISTRAL, "mistral4": MISTRAL,
    "kimi_k25": KIMI, "kimi_k25-nvfp4": KIMI,
    "gemma3": Wrapper("gemma3", "language_model.model.", "language_model.",
                      others=("vision_tower.embeddings.weight",
                              "multi_modal_projector.mm_soft_emb_norm.weight")),
    "gemma4": Wrapper("gemma4", "model.language_model.", outside=("tie_word_embeddings",),
                      others=("model.vision_tower.embeddings.weight",
                              "model.embed_vision.embedding_projection.weight")),
    "gemma4-fp8": Wrapper("gemma4", "model.language_model."),
    # Published files have keys of layers that borrow them, too.
    "gemma4-e2b": Wrapper("gemma4", "model.language_model.", outside=("tie_word_embeddings",),
                          others=("model.audio_tower.output_proj.bias",
                                  "model.language_model.layers.4.self_attn.k_proj.weight",
                                  "model.language_model.layers.5.self_attn.k_norm.weight")),
    "llama4": LLAMA4, "llama4-fp8": LLAMA4, "qwen3_5": seeing("qwen3_5"),
    "qwen3_5_moe": seeing("qwen3_5_moe"), "qwen3_5_moe-fp8": seeing("qwen3_5_moe"),
    "qwen3_vl_moe": seeing("qwen3_vl_moe"), "qwen3_vl_moe-fp8": seeing("qwen3_vl_moe"),
    "glm4v_moe": seeing("glm4v_moe"), "glm4v_moe-fp8": seeing("glm4v_moe"),
}

# Between router logits: of neighbours among the chosen, and of the last chosen and the first
# other expert. bf16 moves logits by less than the second.
ORDER_MARGIN = 1e-2
SET_MARGIN = 0.2
INDEX_MARGIN = 0.02  # between scores of an indexer
SIGMOID_SHARE = 0.15  # of both, between sigmoid scores, which lie closer together


def config_of(architecture, values):
    text = architecture + "TextConfig"
    name = text if hasattr(transformers, text) else architecture + "Config"
    return getattr(transformers, name)(
        **{k: v for k, v in values.items() if k != "quantization_config"})


class TextModel(torch.nn.Module):
    """The text part of a model of which transformers has no class of its own with a head."""

    def __init__(self, config, model):
        super().__init__()
        self.config, self.model = config, model
        self.lm_head = torch.nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        if config.tie_word_embeddings:
            self.lm_head.weight = model.embed_tokens.weight

    def forward(self, ids):
        states = self.model(input_ids=ids, use_cache=False).last_hidden_state
        return types.SimpleNamespace(logits=self.lm_head(states))


def model_of(architecture, values):
    config = config_of(architecture, values)
    if architecture == "GPT2":
        config._attn_implementation = "eager"
        return transformers.GPT2LMHeadModel(config).eval()
    config._attn_implementation = config._experts_implementation = "eager"
    if not hasattr(transformers, architecture + "ForCausalLM"):
        model = getattr(transformers, architecture + "TextModel")(config)
        return type(architecture, (TextModel,), {})(config, model).eval()
    return getattr(transformers, architecture + "ForCausalLM")(config).eval()


def cast(model, dtype):
    """Parameters alone: the rotary frequencies stay f32, as they do when a model is loaded."""
    for key, p in model.named_parameters():
        if not (stays_float(model, key) or
                model.router_stays_float and key.endswith("gate.weight")):
            p.data = p.data.to(dtype)
    return model


def is_fused(model):
    """Whether the Hub has all experts of a layer in one tensor."""
    return type(model).__name__.startswith(("GptOss", "Llama4"))


def randomise(model, seed):
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.ndim == 1 and ("norm" in name or ".ln_" in name and name.endswith("weight")):
                # Those of Qwen3-Next and its heirs count from one.
                offset = (type(model).__name__.startswith(("Qwen3Next", "Qwen3_5",
                                                           "Gemma3")) and
                          "linear_attn" not in name)
                p.copy_((0 if offset else 1) + 0.3 * torch.randn(p.shape, generator=g))
                if offset and "q_norm" not in name and "k_norm" not in name:
                    p[torch.randperm(len(p), generator=g)[:3]] += 5
                elif "q_norm" not in name and "k_norm" not in name:
                    p[torch.randperm(len(p), generator=g)[:3]] *= 6
            elif name.endswith("A_log"):
                p.copy_(5 * torch.rand(p.shape, generator=g) - 4)
            elif p.ndim == 1 and ("scale" in name or name.endswith("mixer.D")):
                p.copy_(1 + 0.3 * torch.randn(p.shape, generator=g))
                p[0] = 1
            elif p.ndim == 1:
                p.copy_((1.5 if "sinks" in name else 0.3) *
                        torch.randn(p.shape, generator=g))
            elif "embed_tokens" in name or ".wte." in name or "embeddings" in name:
                p.copy_((0.4 if model.config.tie_word_embeddings else 1.0) *
                        torch.randn(p.shape, generator=g))
                p[:, 0] = 4 * p.std()  # large in every token, see below
            elif name.endswith(".router.proj.weight"):  # of what is divided by its root
                p.copy_(0.6 * p.shape[1] ** 0.5 * torch.randn(p.shape, generator=g))
                p[:, 0] = 0
                p[1, 0] = -6 * p.shape[1] ** 0.5
            elif name.endswith("e_score_correction_bias"):
                p.copy_(0.1 * torch.randn(p.shape, generator=g))
                p[0, 1] = -1
            elif name.endswith((".gate.weight", ".router.weight")):
                p.copy_(0.6 * torch.randn(p.shape, generator=g))
                p[:, 0] = 0
                p[1, 0] = -6  # is chosen by none
            else:
                scale = 1.6 if "down" in name or "o_proj" in name or "c_proj" in name else 1.0
                turned = (is_fused(model) and ".experts." in name or  # [experts, in, out]
                          ".c_" in name)  # [in, out]
                inputs = p.shape[-2 if turned else -1]
                p.copy_(scale * torch.randn(p.shape, generator=g) / inputs ** 0.5)

        for name, b in model.named_buffers():
            if name.endswith("tid2eid"):
                n_experts = model.config.n_routed_experts
                b.copy_(torch.stack([torch.randperm(n_experts, generator=g)[:b.shape[1]]
                                     for _ in range(len(b))]))
            if name.endswith("layer_scalar"):
                b.copy_((0.5 + torch.rand(b.shape, generator=g)).bfloat16())
            if name.endswith("e_score_correction_bias"):
                b.copy_(0.3 * torch.randn(b.shape, generator=g))
                b[1] = -1


def is_corrected(module):
    return hasattr(module, "e_score_correction_bias") or hasattr(module, "moe_statics")


def scores_of(module, logits):
    """What a router ranks experts by, but for groups."""
    if type(module).__name__.startswith("DeepseekV4"):
        scores = torch.nn.functional.softplus(logits).sqrt()
        return scores + getattr(module, "e_score_correction_bias", 0)
    if hasattr(module, "e_score_correction_bias"):
        return logits.sigmoid() + module.e_score_correction_bias
    if hasattr(module, "moe_statics"):
        return module.moe_statics(logits.softmax(-1))
    if type(module).__name__.startswith("Mistral4") and module.num_group > 1:
        return logits.softmax(-1)
    return logits


def by_group(module, choice):
    """What groups of experts are ranked by, the choice in groups; None without groups."""
    n = getattr(module, "num_group", None) or 1
    if n == 1 or getattr(module, "topk_method", "") == "greedy":
        return None, None
    groups = choice.view(len(choice), n, -1)
    best = 1 if type(module).__name__.startswith("DeepseekV2") else 2
    return groups.topk(best, dim=-1)[0].sum(-1), groups


def choice_of(module, logits):
    """What a router ranks experts by; -inf for those that are out of the question."""
    choice = scores_of(module, logits)
    scores, groups = by_group(module, choice)
    if groups is None:
        return choice
    kept = scores.topk(module.topk_group, dim=-1)[1]
    if not is_corrected(module):  # scores rank as logits do, which lie further apart
        groups = logits.view_as(groups)
    out = torch.ones(groups.shape[:2], dtype=torch.bool).scatter(1, kept, False)
    return groups.masked_fill(out.unsqueeze(-1), float("-inf")).flatten(1)


def group_gap(module, logits):
    """Between the last group that is kept and the first that is not."""
    scores, groups = by_group(module, scores_of(module, logits))
    if groups is None:
        return torch.full((len(logits),), float("inf"))
    if type(module).__name__.startswith("Mistral4"):
        scores = scores.log()
    ranked = scores.sort(-1, descending=True).values
    return ranked[:, module.topk_group - 1] - ranked[:, module.topk_group]


def index_gap(indexer, taken):
    """Between the scores of the last key that is chosen and of the first that is not, per query."""
    code = sys.modules[type(indexer).__module__]
    rotate = getattr(code, "apply_rotary_pos_emb" if "V32" in type(indexer).__name__ else
                     "apply_rotary_pos_emb_interleave")
    x, n, shared = taken["hidden_states"], taken["hidden_states"].shape[1], indexer.qk_rope_head_dim
    q = indexer.wq_b(taken["q_resid"]).view(1, n, indexer.n_heads, -1)
    k = indexer.k_norm(indexer.wk(x)).unsqueeze(2)
    turned = rotate(q[..., :shared], k[..., :shared], *taken["position_embeddings"], unsqueeze_dim=2)
    q, k = (torch.cat([a, b[..., shared:]], -1)[0].float() for a, b in zip(turned, (q, k)))
    products = torch.einsum("thd,sd->ths", q, k[:, 0]).relu() * indexer.head_dim ** -0.5
    scores = (indexer.weights_proj(x)[0].float().unsqueeze(-1) * products).sum(1)
    scores = scores.masked_fill(~torch.ones(n, n).tril().bool(), float("-inf"))
    ranked = scores.sort(-1, descending=True).values
    top_k = indexer.index_topk
    gaps = torch.full((n,), float("inf"))
    if n > top_k:
        gaps[top_k:] = (ranked[:, top_k - 1] - ranked[:, top_k])[top_k:]
    return gaps


def hub_tensors(model, name):
    """Views of the parameters under the names and shapes of the Hub's checkpoints."""
    wrapper = WRAPPERS.get(name, Wrapper("", "model."))
    if name in FUSED:
        turned = name in TURNED
        return {wrapper.name(key): p.transpose(1, 2) if turned and p.ndim == 3 else p
                for key, p in model.state_dict().items()
                if key != "lm_head.weight" or not model.config.tie_word_embeddings}
    mixtral = type(model).__name__.startswith(("Mixtral", "MiniMaxM2"))
    quantised = MODELS[name][1].get("quantization_config")
    split = quantised is not None and quantised["quant_method"] != "mxfp4"
    gate, up, down = ("w1", "w3", "w2") if mixtral or is_v4(model) else ("gate_proj", "up_proj", "down_proj")
    tensors = {}
    for key, p in model.state_dict().items():
        if key == "lm_head.weight" and model.config.tie_word_embeddings:
            continue
        if is_v4(model):
            for old, new in V4_NAMES:
                key = key.replace(old, new)
        if mixtral:
            key = key.replace(".mlp.", ".block_sparse_moe.")
        for begin, old, new in RENAMED:
            if type(model).__name__.startswith(begin):
                key = key.replace(old, new)
        key = key.removeprefix("transformer.") if name == "gpt2" else wrapper.name(key)
        fused = ".experts." in key and p.ndim == 3
        if not fused or (is_fused(model) and not split):
            tensors[key] = p
            continue
        base = key[: key.rindex(".") + 1]
        for e in range(p.shape[0]):
            matrix = p[e].T if is_fused(model) else p[e]
            if key.endswith("gate_up_proj"):
                half = matrix.shape[0] // 2
                tensors[f"{base}{e}.{gate}.weight"] = matrix[:half]
                tensors[f"{base}{e}.{up}.weight"] = matrix[half:]
            elif key.endswith("up_proj"):
                tensors[f"{base}{e}.{up}.weight"] = matrix
            else:
                tensors[f"{base}{e}.{down}.weight"] = matrix
    return tensors


def stays_plain(name, module):
    """Whether the configuration says so: the lists above, or parts of them."""
    values = MODELS[name][1].get("quantization_config", {})
    if name == "kimi_k25":
        return ".mlp.experts." not in module
    listed = values.get("ignore", []) + values.get("modules_to_not_convert", [])
    return module in listed or (len(listed) > 1 and ".layers.1.self_attn." in module)


def stored_tensors(model, name, dtype):
    """What the checkpoint holds. Quantised parameters become the values that they stand for."""
    method = QUANTISERS.get(name)
    matrices = QUANTISED_NAMES.get(name, "_proj")
    stored = {}
    for key, p in hub_tensors(model, name).items():
        inner = key.removesuffix(".weight")
        if method is quantise.mxfp4 and key.endswith(("gate_up_proj", "down_proj")):
            parts = [method(p[e].T) for e in range(len(p))]
            for suffix in parts[0][0]:
                stored[key + suffix] = torch.stack([part[0][suffix] for part in parts])
            p.copy_(torch.stack([part[1].T for part in parts]))
        elif (method not in (None, quantise.mxfp4) and inner.endswith(matrices) and
              not stays_plain(name, inner)):
            found, values = method(p, inner) if method in (modelopt, deepseek_v4) else method(p)
            stored |= {inner + suffix: t for suffix, t in found.items()}
            p.copy_(values)
        else:
            keep = p.dtype == torch.int64 or p.dtype == torch.float32 and (
                key.endswith(("correction_bias", "expert_bias") +
                             (".gate.weight",) * model.router_stays_float) or
                is_v4(model) and (p.ndim == 1 or key.endswith(".ape") or "hc_" in key))
            stored[key] = p.clone() if keep else p.to(dtype)
    if name in WRAPPERS:
        stored |= {key: torch.ones(3, dtype=dtype) for key in WRAPPERS[name].others}
    if is_v4(model):
        stored["mtp.0.enorm.weight"] = torch.ones(3, dtype=dtype)
    return {key: t.contiguous() for key, t in stored.items()}


def run(model, ids):
    """Sites, router choices and nll of all sequences joined."""
    found = {}

    def keep(key):
        def hook(module, args, output):
            found.setdefault(key, []).append(output[0].float().clone())
        return hook

    def keep_router(key):
        def hook(module, args, output):
            if len(output) == 3:
                logits, weights, experts = output
                if type(module).__name__.startswith("Gemma4"):
                    logits = logits.log()  # which were probabilities
            else:  # Llama 4: scores of all experts, zero where not chosen
                weights, experts = output[0].float().topk(module.top_k, dim=-1)
                logits = output[1]
            choice = choice_of(module, logits.float())
            if hasattr(module, "tid2eid"):  # no others are in question
                choice = torch.full_like(choice, float("-inf")).scatter(
                    1, experts, choice.gather(1, experts))
            order = choice.gather(1, experts).argsort(-1, descending=True)
            unit = SIGMOID_SHARE if is_corrected(module) else 1
            for name, value in (("logits", choice / unit),
                                ("gap", group_gap(module, logits.float()) / unit),
                                ("weights", weights.float().gather(1, order)),
                                ("ids", experts.gather(1, order))):
                found.setdefault(f"{key}.router_{name}", []).append(value.clone())
        return hook

    def keep_input(key):
        def hook(module, args, kwargs):
            x = args[0] if args else kwargs["hidden_states"]
            found.setdefault(key, []).append(x[0].float().clone())
        return hook

    def keep_chosen(key):
        def hook(module, args, kwargs, output):
            n = output.shape[1]
            chosen = torch.zeros(n, 32).scatter(1, output[0].long(), 1)
            found.setdefault(key, []).append(chosen * torch.ones(n, 32).tril())
            taken = dict(zip(("hidden_states", "q_resid", "position_embeddings"), args)) | kwargs
            found.setdefault(key + "_gap", []).append(index_gap(module, taken))
        return hook

    def keep_entries(key, indexer):
        def hook(module, args, output):
            scores, top_k = output[0].float(), indexer.index_topk
            n, width = scores.shape
            whole = (torch.arange(n) + 1) // indexer.compress_rate
            seen = torch.arange(width) < whole[:, None]
            ranked = scores.masked_fill(~seen, float("-inf")).sort(-1, descending=True)
            taken = torch.zeros(n, 32)
            gaps = torch.full((n,), float("inf"))
            for t in range(n):
                taken[t, ranked.indices[t, :min(top_k, whole[t])]] = 1
                if whole[t] > top_k:
                    gaps[t] = ranked.values[t, top_k - 1] - ranked.values[t, top_k]
            found.setdefault(key, []).append(taken)
            found.setdefault(key + "_gap", []).append(gaps)
        return hook

    hooks = []
    gpt2 = hasattr(model, "transformer")
    for i, layer in enumerate(model.transformer.h if gpt2 else model.model.layers):
        if getattr(getattr(layer, "self_attn", None), "indexer", None) is not None:
            hooks.append(layer.self_attn.indexer.register_forward_hook(
                keep_chosen(f"{i:03}.index"), with_kwargs=True))
        compressor = getattr(getattr(layer, "self_attn", None), "compressor", None)
        if hasattr(compressor, "indexer"):
            hooks.append(compressor.indexer.scorer.register_forward_hook(
                keep_entries(f"{i:03}.index", compressor.indexer)))
        attn, mlp = f"{i:03}.ln_attn", f"{i:03}.ln_mlp"
        alone = hasattr(layer, "norm") and layer.block_type  # of a block that is one thing
        if alone:
            hooks.append(layer.norm.register_forward_hook(
                keep(attn if alone.endswith("attention") else mlp)))
        elif gpt2:
            hooks.append(layer.ln_1.register_forward_hook(keep(attn)))
            hooks.append(layer.ln_2.register_forward_hook(keep(mlp)))
        elif hasattr(layer, "input_layernorm"):
            before_mlp = getattr(layer, "pre_feedforward_layernorm",
                                 layer.post_attention_layernorm)
            hooks.append(layer.input_layernorm.register_forward_hook(keep(attn)))
            hooks.append(before_mlp.register_forward_hook(keep(mlp)))
        else:
            for module, site in ((layer.self_attn, attn), (layer.mlp, mlp)):
                hooks.append(module.register_forward_pre_hook(keep_input(site),
                                                              with_kwargs=True))
        mlp = (layer.mixer if alone else layer.mlp if hasattr(layer, "mlp") else
               layer.feed_forward)
        mlp = layer if hasattr(layer, "router") else mlp
        for router in ("gate", "router"):
            if hasattr(mlp, "e_score_correction_bias"):  # MiniMax's is not the router's own
                mlp.gate.__dict__["e_score_correction_bias"] = mlp.e_score_correction_bias
            if hasattr(mlp, router):
                hooks.append(getattr(mlp, router).register_forward_hook(
                    keep_router(f"{i:03}")))
    nll = []
    with torch.no_grad():
        for row in ids:
            logits = model(torch.tensor([row])).logits[0].float()
            logp = torch.log_softmax(logits.double(), -1)
            nll += [float("nan")] + [-logp[i, row[i + 1]].item() for i in range(len(row) - 1)]
    for hook in hooks:
        hook.remove()
    out = {key: torch.cat(parts) for key, parts in found.items()}
    out["nll"] = torch.tensor(nll, dtype=torch.float32)
    return out


def relative(a, b):
    return ((a - b).norm() / b.norm()).item()


def acceptable(truth, rounded, top_k):
    """Routers choose with a margin, and the same experts in bf16."""
    for key in truth:
        if key.endswith(".index") and not torch.equal(truth[key], rounded[key]):
            return False
        if key.endswith(".index_gap") and truth[key].min() < INDEX_MARGIN:
            return False
        if not key.endswith("router_logits"):
            continue
        ranked = truth[key].sort(-1, descending=True).values
        gaps = ranked[:, :top_k] - ranked[:, 1:top_k + 1]
        if gaps.min() < ORDER_MARGIN or gaps[:, -1].min() < SET_MARGIN:
            return False
        if truth[key.replace("logits", "gap")].min() < SET_MARGIN:
            return False
        ids = key.replace("logits", "ids")
        if not torch.equal(truth[ids].sort(-1).values, rounded[ids].sort(-1).values):
            return False
    return True


def top_k_of(values):
    for key in ("num_experts_per_tok", "moe_k", "top_k_experts"):
        if key in values:
            return values[key]
    return 0


def choose_ids(model, lengths, values, g):
    """Sequences that are acceptable, or None when they are hard to find."""
    top_k = top_k_of(values)
    rounded = cast(copy.deepcopy(model), torch.bfloat16)
    chosen = []
    for n in lengths:
        for _ in range(TRIES):
            row = torch.randint(0, values["vocab_size"], (n,), generator=g).tolist()
            if top_k == 0 or acceptable(run(model, [row]), run(rounded, [row]), top_k):
                break
        else:
            return None
        chosen.append(row)
    return chosen


def has_idle_expert(truth):
    keys = [key for key in truth if key.endswith("router_logits")]
    return not keys or any(len(truth[key.replace("logits", "ids")].unique()) <
                           truth[key].shape[-1] for key in keys)


def by_expert(found, key):
    order = found[key + "ids"].argsort(-1)
    return found[key + "weights"].gather(-1, order)


def make(name, root):
    architecture, values, dtype = MODELS[name]
    moe = top_k_of(values) > 0
    for seed in range(1000):
        model = model_of(architecture, values)
        # As transformers keeps it in whatever type it loads the model.
        model.router_stays_float = name in FLOAT_ROUTERS
        randomise(model, seed)
        cast(cast(model, dtype), torch.float32)  # the values that are stored
        with torch.no_grad():
            tensors = stored_tensors(model, name, dtype)
        ids = choose_ids(model, LENGTHS.get(name, MOE_LENGTHS if moe else DENSE_LENGTHS), values,
                         torch.Generator().manual_seed(seed))
        if ids is None:
            continue
        truth = run(model, ids)
        rounded = run(cast(copy.deepcopy(model), torch.bfloat16), ids)
        if has_idle_expert(truth):
            break
    else:
        sys.exit(f"{name}: no seed will do")
    folder = os.path.join(root, name)
    os.makedirs(os.path.join(folder, "expected"), exist_ok=True)
    model_type = PUBLISHED_TYPE.get(name, config_of(architecture, values).model_type)
    gemma = architecture.startswith("Gemma")
    config = dict(values) | {"model_type": model_type} | (
        {"hidden_activation": "gelu_pytorch_tanh"} if gemma else
        {"activation_function": "gelu_new"} if architecture == "GPT2" else
        {} if architecture == "NemotronH" else
        {"hidden_act": "silu"})
    quantisation = {k: config.pop(k) for k in ["quantization_config"] if k in config}
    if name in QUANTISED_INSIDE:
        config |= quantisation
        quantisation = {}
    if name in WRAPPERS:
        wrapper = WRAPPERS[name]
        outside = {k: config.pop(k) for k in wrapper.outside if k in config}
        config = {"model_type": wrapper.model_type, "text_config": config} | outside
    config |= {"architectures": [architecture + "ForCausalLM"]} | quantisation
    with open(os.path.join(folder, "config.json"), "w") as f:
        json.dump(config, f, indent=1)
        f.write("\n")
    if name in SIDECARS:
        with open(os.path.join(folder, "hf_quant_config.json"), "w") as f:
            json.dump(sidecar(tensors), f, indent=1)
            f.write("\n")
    save_file(tensors, os.path.join(folder, "model.safetensors"), metadata={"format": "pt"})
    with open(os.path.join(folder, "ids.txt"), "w") as f:
        for row in ids:
            f.write(" ".join(map(str, row)) + "\n")
    expected = {}
    for key, value in truth.items():
        if key.endswith(("router_logits", "router_gap", ".index", ".index_gap")):
            continue
        expected[key] = value.to(torch.int32) if key.endswith("_ids") else value.contiguous()
        if ".ln_" in key:
            expected["bf16_error." + key] = torch.tensor([relative(rounded[key], value)])
        if key.endswith("router_weights"):
            base = key[: -len("weights")]
            difference = by_expert(rounded, base) - by_expert(truth, base)
            expected["bf16_error." + key] = difference.square().mean().sqrt().reshape(1)
    known = ~truth["nll"].isnan()
    difference = (rounded["nll"] - truth["nll"])[known].double()
    expected["bf16_error.nll"] = difference.square().mean().sqrt().float().reshape(1)
    save_file(expected, os.path.join(folder, "expected", "model.safetensors"))
    worst = max(v.item() for k, v in expected.items() if k.startswith("bf16"))
    largest = max(v.abs().max().item() for k, v in truth.items() if ".ln_" in k)
    print(f"{name}: seed {seed}, largest value {largest:.1f}, bf16 error up to {worst:.2e}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    for wanted in sys.argv[2:] or MODELS:
        make(wanted, sys.argv[1])
