/* The keys that most families (list.h) read alike. */
#ifndef OL_FAMILIES_H
#define OL_FAMILIES_H

#include "extract/model/config.h"
#include "extract/model/spec.h"

/* What a family's class assumes where config.json is silent. */
struct ol_family_defaults {
    int64_t n_kv_heads; /* 0: as many as heads */
    int64_t head_dim;   /* 0: d_model / n_heads */
    double norm_eps, rope_theta;
    double partial_rotary; /* share of a head that is rotated; 0: whole heads only */
    bool latent;           /* latent attention: q_lora_rank, kv_lora_rank, ... */
    bool share;            /* with it: partial_rotary_factor says what sizes say */
    bool tied_embeddings;
    int64_t n_heads, vocab_size; /* 0: config.json must say */
    bool gelu; /* hidden_activation, gelu_pytorch_tanh, for hidden_act */
};

/* A text model within a wrapper: `read` reads its keys, which are in "text_config".
 * quantization_config may stand here or there, and counts here where it stands in both,
 * as in transformers; of tied embeddings the wrapper says which counts. Other keys count
 * in text_config alone. */
int ol_family_read_wrapper(struct ol_config config, const struct ol_wrapper *wrapper,
                           int (*read)(struct ol_config config, struct ol_spec *spec,
                                       struct ol_error *err),
                           struct ol_spec *spec, struct ol_error *err);

/* The names of tensors are a wrapper's; also of text models that were saved alone. */
void ol_family_set_wrapper(struct ol_spec *spec, const struct ol_wrapper *wrapper);

/* Read what every family here has: n_layers, d_model, vocab_size, heads, head_dim, norm
 * eps, rope with its scaling (both key styles in use), tied embeddings, hidden_act (must
 * be silu, or what the defaults say), quantization_config; allocate the layers (dense,
 * full attention), and name the tensors of the common frame. */
int ol_family_read_common(struct ol_config config, const struct ol_family_defaults *d,
                          struct ol_spec *spec, struct ol_error *err);

/* attention_bias: biases on q, k, v and o. */
int ol_family_read_attention_bias(struct ol_config config, struct ol_spec *spec,
                                  struct ol_error *err);

/* Biases on q, k, v and o. */
void ol_family_name_attention_bias(struct ol_spec *spec);

/* Biases on q, k and v only. */
void ol_family_name_qkv_bias(struct ol_spec *spec);

/* Which layers are MoE: not in mlp_only_layers and (layer + 1) % decoder_sparse_step ==
 * 0; reads the dense MLPs' width when there are any. */
int ol_family_read_layer_plan(struct ol_config config, struct ol_spec *spec,
                              struct ol_error *err);

/* Norms of q and k, over each head or over all heads together. */
void ol_family_set_qk_norm(struct ol_spec *spec, enum ol_qk_norm kind);

/* Width of dense MLPs, "intermediate_size", and the names of their tensors. */
int ol_family_read_dense(struct ol_config config, struct ol_spec *spec,
                         struct ol_error *err);

/* The number of experts (num_experts, n_routed_experts, num_local_experts or
 * moe_num_experts), num_experts_per_tok (or moe_k) and the experts' width under
 * width_key; a softmax router. Marks no layer. */
int ol_family_read_experts(struct ol_config config, const char *width_key,
                           struct ol_spec *spec, struct ol_error *err);

/* "model.layers.{l}.mlp.gate.weight" and "...mlp.experts.{e}.gate_proj.weight" with
 * siblings. */
void ol_family_name_experts(struct ol_spec *spec);

/* "model.layers.{l}.mlp.experts.gate_up_proj" and its sibling, where all experts of a
 * layer lie in one tensor. */
void ol_family_name_fused_experts(struct ol_spec *spec);

/* Give layers first, first + 1, ... a sliding window when window > 0. */
void ol_family_set_sliding(struct ol_spec *spec, int64_t first, int64_t window);

/* Let layers slide but every period-th. */
void ol_family_set_pattern(struct ol_spec *spec, int64_t period, int64_t window);

/* use_sliding_window, sliding_window and max_window_layers: layers from that on slide, or
 * what layer_types says. */
int ol_family_read_late_sliding(struct ol_config config, struct ol_spec *spec,
                                struct ol_error *err);

/* layer_types: "full_attention", or `type` for layers of that kind and window. */
int ol_family_read_layer_types(struct ol_config config, const char *type,
                               enum ol_attention_kind kind, int64_t window,
                               struct ol_spec *spec, struct ol_error *err);

/* Sizes and names of gated delta nets, but for what they multiply their input by, and
 * which layers have one: layer_types, else all but each full_attention_interval-th. */
int ol_family_read_delta_net(struct ol_config config, struct ol_spec *spec,
                             struct ol_error *err);

/* A shared expert of shared_expert_intermediate_size that a sigmoid of its own scales. */
int ol_family_read_switched_expert(struct ol_config config, struct ol_spec *spec,
                                   struct ol_error *err);

/* quantization_config, when there is one; a method that is not known is refused. One that
 * was read outside counts: what else there is, is passed over. */
int ol_family_read_quantization(struct ol_config config,
                                struct ol_quantization_spec *spec, struct ol_error *err);

/* n_group, topk_group and routed_scaling_factor of a router whose logits are float, and
 * what the class assumes of them. */
struct ol_family_groups {
    int64_t n_group, topk_group;
    double scale;
};
int ol_family_read_groups(struct ol_config config, const struct ol_family_groups *d,
                          struct ol_spec *spec, struct ol_error *err);

/* DeepSeek-V3's router (arXiv 2412.19437): experts, sigmoid scores with a correction,
 * groups by their two best. */
int ol_family_read_sigmoid_router(struct ol_config config,
                                  const struct ol_family_groups *d, struct ol_spec *spec,
                                  struct ol_error *err);

/* n_shared_experts of the experts' width, "...mlp.shared_experts.*". After the experts.
 */
int ol_family_read_shared_experts(struct ol_config config, int64_t otherwise,
                                  struct ol_spec *spec, struct ol_error *err);

/* What a class with latent attention assumes where config.json is silent. */
struct ol_family_latent {
    double norm_eps;
    int64_t n_dense;
    struct ol_family_groups groups;
    bool share; /* partial_rotary_factor is the share of a head that sizes say as well */
};

/* Latent attention, the layers' plan and the names of all; the router and the shared
 * experts are the caller's. */
int ol_family_read_latent_frame(struct ol_config config, const struct ol_family_latent *d,
                                struct ol_spec *spec, struct ol_error *err);

/* All of a model of DeepSeek-V3's kind. */
int ol_family_read_latent(struct ol_config config, const struct ol_family_latent *d,
                          struct ol_spec *spec, struct ol_error *err);

/* What a class with an indexer assumes. */
struct ol_family_indexer {
    int64_t n_heads;
    bool interleaved; /* its rope has neighbours for pairs */
};

/* The same, where behind index_topk positions queries see chosen keys alone. */
int ol_family_read_indexed(struct ol_config config, const struct ol_family_latent *d,
                           const struct ol_family_indexer *of, struct ol_spec *spec,
                           struct ol_error *err);

int ol_family_read_deepseek_v3(struct ol_config config, struct ol_spec *spec,
                               struct ol_error *err);

/* "...block_sparse_moe.gate.weight" and "...experts.{e}.w1.weight" with siblings; as
 * transformers 5 fuses them too. */
void ol_family_name_mixtral_experts(struct ol_spec *spec);

/* n experts for every token, "...mlp.shared_experts.*". */
void ol_family_set_shared_experts(struct ol_spec *spec, int64_t n);

/* The first first_k_dense_replace layers are dense, the others MoE; mlp_layer_types may
 * say it layer by layer, and may not say otherwise. */
int ol_family_read_dense_first(struct ol_config config, int64_t otherwise,
                               struct ol_spec *spec, struct ol_error *err);

/* Rotary embeddings; rope->rotary_dim is a whole head's on entry. */
int ol_family_read_rope(struct ol_config config, const struct ol_family_defaults *d,
                        struct ol_rope_spec *rope, struct ol_error *err);

/* The same from rope_parameters' object of a type of layers, as transformers 5 writes it
 * where they differ; *found: there is one, else *rope stays as it is. */
int ol_family_read_rope_of(struct ol_config config, const char *type,
                           const struct ol_family_defaults *d, struct ol_rope_spec *rope,
                           bool *found, struct ol_error *err);

/* The frame of Gemma 3 and 4, after the common one: norms around attention and MLP, norms
 * of q and k, embeddings times sqrt(d_model), and layers that slide: layer_types, or all
 * but every pattern-th. The attention of SLIDING layers is that of the others so far. */
int ol_family_read_gemma(struct ol_config config, int64_t pattern, int64_t window,
                         struct ol_spec *spec, struct ol_error *err);

/* The object with the rope's keys, whichever of its names it has; may be empty. */
int ol_family_rope_section(struct ol_config config, struct ol_config *rope,
                           struct ol_error *err);

/* rope_parameters.llama_4_scaling_beta: queries are multiplied behind rope, by 1 up to
 * the positions of the training; the rope must be of type yarn. */
int ol_family_read_temperature(struct ol_config config, struct ol_attention_spec *a,
                               struct ol_error *err);

/* What yarn multiplies cos and sin by for a factor (DeepSeek's mscale). */
double ol_family_yarn_magnitude(double factor, double mscale);

#endif
