/* A model as data: everything the forward pass must know about an architecture, filled in
 * from config.json by one file in families/. No execution, no file access, no backend
 * here. */
#ifndef OL_SPEC_H
#define OL_SPEC_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "common/json.h"

/* Limits, checked when a config is read. */
enum {
    OL_MAX_LAYERS = 1024,
    OL_MAX_EXPERTS = 65535, /* router_ids are stored as uint16 */
    OL_MAX_TOP_K = 64,
    OL_MAX_GROUPS = 256,
    OL_MAX_DIM = 1 << 20, /* d_model, d_ff, heads x head_dim */
    OL_MAX_VOCAB = 1 << 24,
    OL_MAX_HEAD_DIM = 1024,
};

/* How RMS normalisation rounds in the reference; r = 1 / sqrt(mean(x^2) + eps) in float.
 */
enum ol_norm_kind {
    OL_NORM_RMS, /* round(w * round(x * r)): Llama and most others */
};

enum ol_qk_norm {
    OL_QK_NORM_NONE,
    OL_QK_NORM_HEAD, /* over each head's head_dim, one weight [head_dim] */
    OL_QK_NORM_FLAT, /* over all heads' values together, weight [n_heads * head_dim] */
};

enum ol_rope_kind {
    OL_ROPE_HALF, /* pairs (i, i + rotary_dim/2); cos and sin rounded to the activation
                     type */
};

enum ol_rope_scaling {
    OL_ROPE_SCALING_NONE,
    OL_ROPE_SCALING_LINEAR,
    OL_ROPE_SCALING_LLAMA3,
};

struct ol_rope_spec {
    enum ol_rope_kind kind;
    int rotary_dim; /* even, <= head_dim */
    double theta;
    enum ol_rope_scaling scaling;
    double factor;            /* LINEAR, LLAMA3 */
    double low_freq_factor;   /* LLAMA3 */
    double high_freq_factor;  /* LLAMA3 */
    double original_position; /* LLAMA3: original_max_position_embeddings */
};

enum ol_attention_kind {
    OL_ATTENTION_FULL,    /* keys j <= i */
    OL_ATTENTION_SLIDING, /* i - window < j <= i */
};

struct ol_attention_spec {
    int n_heads, n_kv_heads, head_dim;
    enum ol_qk_norm qk_norm;
    double clip_qkv; /* 0: none; else q, k, v are clamped to +-clip after the qk norm */
    double scale;    /* of the scores */
    struct ol_rope_spec rope;
};

enum ol_router_score {
    OL_ROUTER_SOFTMAX, /* softmax over all experts, then the top_k largest */
    /* sigmoid of float logits; a correction per expert counts for the choice only; of
     * n_group ranges of experts the topk_group with the largest sum of their two best
     * stay in (DeepSeek-V3, arXiv 2412.19437) */
    OL_ROUTER_SIGMOID_GROUP,
};

struct ol_router_spec {
    enum ol_router_score score;
    int n_experts, top_k;
    bool renormalize;        /* the chosen weights are divided by their sum */
    int n_group, topk_group; /* SIGMOID_GROUP; n_group divides n_experts */
    double scale;            /* SIGMOID_GROUP: of the weights, last */
};

enum ol_activation_function {
    OL_GLU_SILU, /* silu(gate x) * (up x) */
};

struct ol_layer_spec {
    bool moe;
    enum ol_attention_kind attention;
    int window; /* SLIDING: keys seen, the query's own among them */
};

/* Every tensor of a model has a role. Shapes follow from the spec (weights.c). */
enum ol_role {
    OL_ROLE_EMBEDDING,  /* [vocab_size, d_model] */
    OL_ROLE_FINAL_NORM, /* [d_model] */
    OL_ROLE_LM_HEAD,    /* [vocab_size, d_model] */
    /* one per layer; a bias has the length of its product's output */
    OL_ROLE_ATTN_NORM, /* [d_model] */
    OL_ROLE_Q,         /* [n_heads * head_dim, d_model] */
    OL_ROLE_K,         /* [n_kv_heads * head_dim, d_model] */
    OL_ROLE_V,
    OL_ROLE_O, /* [d_model, n_heads * head_dim] */
    OL_ROLE_Q_BIAS,
    OL_ROLE_K_BIAS,
    OL_ROLE_V_BIAS,
    OL_ROLE_O_BIAS,
    OL_ROLE_Q_NORM,
    OL_ROLE_K_NORM,
    OL_ROLE_MLP_NORM, /* [d_model] */
    OL_ROLE_GATE,     /* dense layers: [d_ff, d_model] */
    OL_ROLE_UP,
    OL_ROLE_DOWN,              /* [d_model, d_ff] */
    OL_ROLE_ROUTER,            /* MoE layers: [n_experts, d_model] */
    OL_ROLE_ROUTER_CORRECTION, /* [n_experts] */
    OL_ROLE_SHARED_GATE,       /* [d_shared, d_model]: an expert for every token */
    OL_ROLE_SHARED_UP,
    OL_ROLE_SHARED_DOWN,   /* [d_model, d_shared] */
    OL_ROLE_SHARED_SWITCH, /* [1, d_model]: sigmoid of it scales the shared expert */
    /* one per layer and expert */
    OL_ROLE_EXPERT_GATE, /* [d_expert, d_model] */
    OL_ROLE_EXPERT_UP,
    OL_ROLE_EXPERT_DOWN, /* [d_model, d_expert] */
    OL_N_ROLES,
};

struct ol_spec {
    const char *family; /* static: the model_type of config.json */
    int n_layers, d_model, vocab_size;
    int d_ff;     /* width of dense MLPs; 0 when every layer is MoE */
    int d_expert; /* width of one expert; 0 in a dense model */
    int d_shared; /* width of the shared experts together; 0: none */
    enum ol_norm_kind norm;
    double norm_eps;
    struct ol_attention_spec attention;
    struct ol_router_spec router; /* n_experts 0: dense model */
    enum ol_activation_function activation;
    bool tied_embeddings;
    struct ol_layer_spec *layers; /* [n_layers], owned */

    /* Tensor names by role, "{l}" stands for the layer, "{e}" for the expert; static
     * strings, NULL: this model has no such tensor. */
    const char *names[OL_N_ROLES];
};

/* A family turns config.json into a spec: one file in families/, one line in families.c.
 */
struct ol_family {
    const char *model_type;
    int (*read)(struct ol_json_section config, struct ol_spec *spec,
                struct ol_error *err);
};
extern const struct ol_family *const ol_families[]; /* ends with NULL */

/* Find the family by config's model_type and let it fill in the spec; an unknown one is
 * refused with the list of known ones. Free with ol_spec_clear, also after a failure. */
int ol_spec_read(struct ol_json_section config, struct ol_spec *spec,
                 struct ol_error *err);
void ol_spec_clear(struct ol_spec *spec);

/* Kind of every layer as a JSON array: [{"layer":0,"kind":"moe","attention":"full"},
 * ...]. */
struct ol_json *ol_spec_layers_json(const struct ol_spec *spec);
const char *ol_attention_kind_name(enum ol_attention_kind kind); /* "full", "sliding" */

#endif
