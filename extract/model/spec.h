/* A model as data: everything the forward pass must know about an architecture, filled in
 * from config.json by one file in model/families/. No execution, no file access, no
 * backend here. */
#ifndef OL_SPEC_H
#define OL_SPEC_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "common/json.h"
#include "extract/model/config.h"
#include "extract/ops.h"

/* Limits, checked when a config is read. */
enum {
    OL_MAX_LAYERS = 1024,
    OL_MAX_EXPERTS = 65535, /* router_ids are stored as uint16 */
    OL_MAX_DIM = 1 << 20,   /* d_model, d_ff, heads x head_dim */
    OL_MAX_VOCAB = 1 << 24,
    OL_MAX_HEAD_DIM = 1024,
    OL_MAX_INDEX_WIDTH = 1 << 14, /* of an indexer's heads together */
};

enum ol_qk_norm {
    OL_QK_NORM_NONE,
    OL_QK_NORM_HEAD, /* over each head's head_dim, one weight [head_dim] */
    OL_QK_NORM_FLAT, /* over all heads' values together, weight [n_heads * head_dim] */
    OL_QK_NORM_UNIT, /* over each head after rope, without a weight; not without rope */
};

enum ol_rope_scaling {
    OL_ROPE_SCALING_NONE,
    OL_ROPE_SCALING_LINEAR,
    OL_ROPE_SCALING_LLAMA3,
    OL_ROPE_SCALING_YARN, /* arXiv 2309.00071 */
    OL_ROPE_SCALING_PROPORTIONAL,
    OL_ROPE_SCALING_LONGROPE, /* arXiv 2402.13753 */
};

struct ol_rope_spec {
    enum ol_rope_kind kind;
    int rotary_dim; /* even, <= head_dim */
    double theta;
    enum ol_rope_scaling scaling;
    double factor;           /* LINEAR, LLAMA3, YARN, PROPORTIONAL */
    int turned;              /* PROPORTIONAL: the first pairs, which alone turn */
    double low_freq_factor;  /* LLAMA3 */
    double high_freq_factor; /* LLAMA3 */
    double
        original_position; /* LLAMA3, YARN, LONGROPE: original_max_position_embeddings */
    double beta_fast, beta_slow; /* YARN */
    bool truncate;               /* YARN: the ramp begins and ends at whole pairs */
    double magnitude;            /* YARN, LONGROPE: of cos and sin */
    /* LONGROPE: a number for each pair, of sequences of up to original_position tokens
     * and of longer ones; borrowed. */
    const struct ol_json *short_factors, *long_factors;
};

/* An indexer (DeepSeek-V3.2's) chooses the top_k keys that a query of latent attention
 * sees: all of them in sequences that are no longer. */
struct ol_index_spec {
    int64_t top_k; /* 0: none, a query sees all keys before it */
    int rate;      /* keys are entries that stand for so many tokens; 0: keys of tokens */
    int n_heads, head_dim;
    enum ol_rope_kind rope; /* of the first rotary_dim values of a head and of the key */
};

/* Attention with a key and a value per (group of) heads, or, when kv_rank > 0, latent
 * attention (MLA, arXiv 2405.04434): keys and values are made from a vector of kv_rank
 * values per token, and the last rotary_dim values of every head's key are one vector
 * for all heads, which alone is rotated. */
struct ol_attention_spec {
    int n_heads, n_kv_heads, head_dim; /* latent: n_kv_heads == n_heads */
    int value_dim;                     /* of a head; head_dim unless latent */
    enum ol_qk_norm qk_norm;
    double clip_qkv; /* 0: none; else q, k, v are clamped to +-clip after the qk norm */
    double scale;    /* of the scores */
    bool keys_are_values; /* v is k before its norm and rope */
    bool norm_values;     /* over each head, without a weight */
    bool gated; /* q's product holds per head its query, then a gate for its output */
    struct ol_rope_spec rope;
    /* Layers without rope, or all: q *= 1 + temperature_scale * ln(1 + floor((position +
     * temperature_from) / temperature_floor)), behind rope; floor 0: no. */
    double temperature_floor, temperature_scale;
    int temperature_from;
    bool temperature_everywhere; /* of latent attention it always is */
    bool temperature_rounds;     /* this factor is rounded to the activation type first */
    /* DeepSeek-V4's: one key for all heads, which is their value too and turns with its
     * position, as does what heads make of it, back; queries from a latent; an output by
     * groups of heads, of out_rank values each, and from them all. */
    bool shared_key;
    int out_groups, out_rank;
    /* Latent. */
    int kv_rank, q_rank; /* q_rank 0: queries are made from the token itself */
    double rank_norm_eps;
    struct ol_index_spec index;
};

struct ol_layer_spec {
    bool moe;
    bool no_mlp; /* the layer is a mixer alone */
    enum ol_attention_kind attention;
    int window;   /* SLIDING: keys seen, the query's own among them; CHUNKED: positions */
    bool no_rope; /* positions are not told to q and k */
    bool indexer; /* it has one; else the choice of the last layer that has holds */
    /* Its keys and values are those of the last layer of its kind that keeps its own. */
    bool borrows_keys, keeps_keys;
    bool wide;     /* its dense MLP is twice as wide */
    int rate;      /* COMPRESSED: tokens that an entry stands for, */
    bool overlaps; /* and as many before them */
    bool given;    /* moe: a table says by the token which experts it has */
};

/* A residual stream of n streams (hyper-connections), of which a layer's part takes one
 * mixture and gives to all. */
struct ol_connection_spec {
    int n_streams; /* 0: a plain one */
    int n_iterations;
    double eps;
};

/* How the experts' matrices lie in a checkpoint that is not quantised. */
enum ol_expert_layout {
    OL_EXPERTS_SEPARATE, /* a tensor each, [out, in] */
    /* the same; but under fused_names may lie [n_experts, in, out], gate's columns before
     * up's */
    OL_EXPERTS_TURNED,
    /* one tensor for all experts, [n_experts, in, out]; gate and up are one, with gate's
     * columns at even places */
    OL_EXPERTS_INTERLEAVED,
};

/* The quant_method of config.json. How quantised tensors are told from plain ones: by
 * what is in the checkpoint, in the way of the method (weight_format.h). */
enum ol_quantization {
    OL_QUANTIZATION_NONE,
    OL_QUANTIZATION_AWQ,
    OL_QUANTIZATION_COMPRESSED, /* compressed-tensors */
    OL_QUANTIZATION_FP8,
    OL_QUANTIZATION_GPTQ,
    OL_QUANTIZATION_MODELOPT,
    OL_QUANTIZATION_MXFP4,
    OL_QUANTIZATION_MXFP8,
};

/* Which values share a scale. */
enum ol_scales {
    OL_SCALES_TENSOR = 1,
    OL_SCALES_CHANNEL = 2, /* a row: what makes one output */
    OL_SCALES_BLOCK = 4,
    OL_SCALES_GROUP = 8,         /* of inputs, in a row */
    OL_SCALES_TENSOR_GROUP = 16, /* the same, and one more for all */
};

struct ol_format_label; /* weights/formats/formats.h */

struct ol_quantization_spec {
    enum ol_quantization method;
    /* What a format calls this; NULL: modelopt stores modules in several. */
    const struct ol_format_label *label;
    enum ol_scales scales;
    int bits;                   /* integers: of a code */
    int block_rows, block_cols; /* FP8; 0: no blocks */
    bool exponents;             /* FP8: scales that are bytes are E8M0 */
    int group;                  /* inputs that share a scale; 0: all */
    bool fp4_experts;           /* FP8: routed experts are E2M1, groups of 32 inputs */
    bool symmetric;             /* integers: no zero points; GPTQ: they are the middle */
    int zero_offset;            /* GPTQ: added to stored zero points (1 in version 1) */
    /* What of the model is quantised, as config.json says it (modules.h); borrowed from
     * it, NULL: nothing is said. */
    const struct ol_json *plain_modules;  /* strings: what stays plain */
    const struct ol_json *module_methods; /* MODELOPT: what each module is stored in */
};

/* Every tensor of a model has a role. Shapes follow from the spec (weights.c). */
enum ol_role {
    OL_ROLE_EMBEDDING, /* [vocab_size, d_model] */
    OL_ROLE_POSITIONS, /* [n_positions, d_model]: added to the embeddings */
    /* inputs of every layer's own */
    OL_ROLE_INPUT_TABLE,      /* [n_input_rows, n_layers * d_input]: of a token's id */
    OL_ROLE_INPUT_PROJECTION, /* [n_layers * d_input, d_model]: of its embedding */
    OL_ROLE_INPUT_NORM,       /* [d_input]: of that product */
    OL_ROLE_FINAL_NORM,       /* [d_model] */
    OL_ROLE_FINAL_NORM_BIAS,  /* LAYER norms alone have one */
    /* What the last of several streams is made of, with n of them */
    OL_ROLE_HEAD_CONNECTION, /* [n, n * d_model] */
    OL_ROLE_HEAD_CONNECTION_BASE,
    OL_ROLE_HEAD_CONNECTION_SCALE, /* [1] */
    OL_ROLE_LM_HEAD,               /* [vocab_size, d_model] */
    /* one per layer; a bias has the length of its product's output */
    /* an indexer, in layers that have one */
    OL_ROLE_INDEX_Q, /* [index heads * index head_dim, q_rank] */
    OL_ROLE_INDEX_K, /* [index head_dim, d_model]; of entries, as the two after
                        it, like OL_ROLE_ENTRY_VALUES and its siblings */
    OL_ROLE_INDEX_GATES,
    OL_ROLE_INDEX_PLACES,
    OL_ROLE_INDEX_K_NORM,      /* [index head_dim] */
    OL_ROLE_INDEX_K_NORM_BIAS, /* [index head_dim] */
    OL_ROLE_INDEX_WEIGHTS,     /* [index heads, d_model]: how much each head counts */
    OL_ROLE_ATTN_NORM,         /* [d_model]; none: the mixer takes the stream as it is */
    OL_ROLE_ATTN_NORM_BIAS,
    /* n streams: what a mixer takes of them and gives to them */
    OL_ROLE_ATTN_CONNECTION,       /* [n (2 + n), n * d_model] */
    OL_ROLE_ATTN_CONNECTION_BASE,  /* [n (2 + n)] */
    OL_ROLE_ATTN_CONNECTION_SCALE, /* [3] */
    OL_ROLE_Q_A,                   /* latent: [q_rank, d_model] */
    OL_ROLE_Q_A_BIAS,
    OL_ROLE_Q_A_NORM, /* [q_rank] */
    OL_ROLE_Q, /* [n_heads * head_dim, d_model]; twice the rows when gated; latent: from
                  q_rank */
    OL_ROLE_K, /* [n_kv_heads * head_dim, d_model] */
    OL_ROLE_V,
    OL_ROLE_QKV, /* Q's rows, K's and V's in one tensor, in place of these */
    OL_ROLE_QKV_BIAS,
    OL_ROLE_KV_A, /* latent: [kv_rank + rotary_dim, d_model] */
    OL_ROLE_KV_A_BIAS,
    OL_ROLE_KV_A_NORM, /* [kv_rank] */
    OL_ROLE_KV_B,      /* [n_heads * (head_dim - rotary_dim + value_dim), kv_rank] */
    /* entries of COMPRESSED layers; twice the rows where they overlap */
    OL_ROLE_ENTRY_VALUES, /* [head_dim, d_model] */
    OL_ROLE_ENTRY_GATES,  /* [head_dim, d_model] */
    OL_ROLE_ENTRY_PLACES, /* [rate, head_dim]: added to gates by the place in the window
                           */
    OL_ROLE_ENTRY_NORM,   /* [head_dim] */
    OL_ROLE_O_A, /* [out_groups * out_rank, n_heads * head_dim / out_groups]: by groups */
    OL_ROLE_O, /* [d_model, n_heads * value_dim]; behind O_A from out_groups * out_rank */
    OL_ROLE_Q_BIAS,
    OL_ROLE_K_BIAS,
    OL_ROLE_V_BIAS,
    OL_ROLE_O_BIAS,
    OL_ROLE_Q_NORM,
    OL_ROLE_K_NORM,
    OL_ROLE_SINKS, /* [n_heads]: a score that no key has */
    /* delta net; per key head its query, key, values and gates (z) follow each other,
     * and in BA its betas and decays */
    OL_ROLE_DELTA_QKVZ, /* [2 * key heads * key_dim + 2 * value heads * value_dim,
                         * d_model]
                         */
    OL_ROLE_DELTA_BA,   /* [2 * value heads, d_model] */
    /* or, in their place, each alone */
    OL_ROLE_DELTA_QKV, /* [channels, d_model]: all q, all k, all v */
    OL_ROLE_DELTA_Z,   /* [value heads * value_dim, d_model] */
    OL_ROLE_DELTA_B,   /* [value heads, d_model] */
    OL_ROLE_DELTA_A,
    OL_ROLE_DELTA_CONV,    /* [channels, 1, kernel], channels: all q, all k, all v */
    OL_ROLE_DELTA_DT_BIAS, /* [value heads] */
    OL_ROLE_DELTA_A_LOG,
    OL_ROLE_DELTA_NORM, /* [value_dim] */
    OL_ROLE_DELTA_OUT,  /* [d_model, value heads * value_dim] */
    /* Mamba-2; z, then x of all heads, B and C of all groups, then a step per head */
    OL_ROLE_MAMBA_IN,        /* [2 * heads * head_dim + 2 * groups * state_dim + heads,
                              * d_model]
                              */
    OL_ROLE_MAMBA_CONV,      /* [channels, 1, kernel], channels: all x, all B, all C */
    OL_ROLE_MAMBA_CONV_BIAS, /* [channels] */
    OL_ROLE_MAMBA_DT_BIAS,   /* [heads] */
    OL_ROLE_MAMBA_A_LOG,
    OL_ROLE_MAMBA_SKIP,
    OL_ROLE_MAMBA_NORM,     /* [heads * head_dim] */
    OL_ROLE_MAMBA_OUT,      /* [d_model, heads * head_dim] */
    OL_ROLE_ATTN_POST_NORM, /* [d_model]: of what the mixer gives, before it joins the
                               stream */
    OL_ROLE_MLP_NORM,       /* [d_model] */
    OL_ROLE_MLP_NORM_BIAS,
    OL_ROLE_MLP_CONNECTION, /* likewise of the MLP */
    OL_ROLE_MLP_CONNECTION_BASE,
    OL_ROLE_MLP_CONNECTION_SCALE,
    OL_ROLE_LAYER_SCALE,     /* [1]: multiplies the stream after the layer */
    OL_ROLE_INPUT_GATE,      /* [d_input, d_model]: what a layer takes of its own input */
    OL_ROLE_INPUT_OUT,       /* [d_model, d_input] */
    OL_ROLE_INPUT_POST_NORM, /* [d_model]: of that, before it joins the stream */
    OL_ROLE_MLP_POST_NORM,   /* [d_model]: likewise of what the MLP gives */
    OL_ROLE_GATE,            /* dense layers: [d_ff, d_model] */
    OL_ROLE_UP,
    OL_ROLE_UP_BIAS, /* of MLPs without a gate, and its sibling */
    OL_ROLE_DOWN_BIAS,
    OL_ROLE_GATE_UP,     /* [2 * d_ff, d_model]: both in one, in place of these */
    OL_ROLE_DOWN,        /* [d_model, d_ff] */
    OL_ROLE_ROUTER,      /* MoE layers: [n_experts, d_model] */
    OL_ROLE_ROUTER_BIAS, /* [n_experts] */
    OL_ROLE_ROUTER_NORM, /* [d_model]: of the stream, for a router with a norm of its own;
                            the output is divided by sqrt(d_model) */
    OL_ROLE_ROUTER_GAINS,      /* [n_experts]: multiply the chosen weights, last */
    OL_ROLE_EXPERT_NORM,       /* [d_model]: of the stream, for routed experts alone */
    OL_ROLE_EXPERT_POST_NORM,  /* [d_model]: of their sum */
    OL_ROLE_ROUTER_TABLE,      /* [vocab_size, top_k] integers: a token's experts, where
                                  they are given */
    OL_ROLE_ROUTER_CORRECTION, /* [n_experts]: counts for the choice only */
    OL_ROLE_LATENT_DOWN,       /* [d_latent, d_model]: to what routed experts see */
    OL_ROLE_LATENT_UP,         /* [d_model, d_latent]: of their sum */
    OL_ROLE_SHARED_GATE,       /* [d_shared, d_model]: an expert for every token */
    OL_ROLE_SHARED_UP,
    OL_ROLE_SHARED_DOWN,      /* [d_model, d_shared] */
    OL_ROLE_SHARED_POST_NORM, /* [d_model]: of the shared expert's output */
    OL_ROLE_SHARED_SWITCH,    /* [1, d_model]: sigmoid of it scales the shared expert */
    /* one per layer and expert */
    OL_ROLE_EXPERT_GATE, /* [d_expert, d_model], or d_latent where there is one */
    OL_ROLE_EXPERT_UP,
    OL_ROLE_EXPERT_DOWN, /* [d_model, d_expert] */
    OL_ROLE_EXPERT_GATE_BIAS,
    OL_ROLE_EXPERT_UP_BIAS,
    OL_ROLE_EXPERT_DOWN_BIAS,
    OL_N_ROLES,
};

/* How a checkpoint writes the names below: `body` stands where one begins with "model.",
 * `head` before any other. */
struct ol_name_form {
    const char *body, *head;
};

/* Which tie_word_embeddings counts where one stands outside and one in text_config: what
 * the class that transformers builds asks. */
enum ol_tied_level {
    OL_TIED_OUTSIDE, /* the inner one is not looked at */
    OL_TIED_INSIDE,
    OL_TIED_EITHER, /* one that is true will do */
};

/* A text model that is a part of another one, which also sees and hears. Static. */
struct ol_wrapper {
    /* Ends with body NULL. A checkpoint is of the first whose embedding it has; where
     * only config.json is known, of the first. */
    const struct ol_name_form *forms;
    /* How names of tensors begin that belong to the parts which are not run; ends with
     * NULL. */
    const char *const *left_out;
    bool tied_embeddings; /* where the level that counts is silent */
    enum ol_tied_level tied_level;
};

struct ol_spec {
    const char *family; /* static: the model_type of config.json */
    int n_layers, d_model, vocab_size;
    int d_ff;     /* width of dense MLPs that are not wide; 0 when every layer is MoE */
    int d_expert; /* width of one expert; 0 in a dense model */
    int d_shared; /* width of the shared experts together; 0: none */
    int d_latent; /* of what routed experts see and give; 0: as the stream */
    enum ol_norm_kind norm;
    double norm_eps;
    struct ol_attention_spec attention;
    struct ol_attention_spec sliding;   /* SLIDING layers', n_heads 0: as the others' */
    struct ol_delta_net_spec delta_net; /* n_value_heads 0: no linear layers */
    struct ol_mamba_spec mamba;         /* n_heads 0: no such layers */
    struct ol_connection_spec connection;
    struct ol_router_spec router; /* n_experts 0: dense model */
    struct ol_glu_spec glu;
    bool tied_embeddings;
    bool head_stored;       /* though tied, the checkpoint has a head, which is used */
    int n_positions;        /* of the table OL_ROLE_POSITIONS; 0: none */
    int d_input;            /* of what each layer gets besides the stream; 0: nothing */
    int n_input_rows;       /* of the table OL_ROLE_INPUT_TABLE */
    bool turned_matrices;   /* those of layers are stored [in, out] */
    double embedding_scale; /* of embeddings as they become the stream; 0: none */
    double logit_cap;       /* logits = cap tanh(logits / cap); 0: none */
    enum ol_expert_layout expert_layout;
    struct ol_quantization_spec quantization;
    struct ol_layer_spec *layers; /* [n_layers], owned */

    /* Tensor names by role, "{l}" stands for the layer, "{e}" for the expert; static
     * strings, NULL: this model has no such tensor. */
    const char *names[OL_N_ROLES];
    /* The same where transformers 5 wrote all experts of a layer into one tensor,
     * [n_experts, out, in]; NULL: no other name. What is there decides. */
    const char *fused_names[OL_N_ROLES];
    const struct ol_wrapper *wrapper; /* NULL: none, and names are as they stand here */
    struct ol_name_form form;         /* the wrapper's that counts */
};

/* A family turns config.json into a spec: one file in model/families/, one line in
 * families.c.
 */
struct ol_family {
    const char *model_type;
    int (*read)(struct ol_config config, struct ol_spec *spec, struct ol_error *err);
};
extern const struct ol_family *const ol_families[]; /* ends with NULL */

/* Find the family by config's model_type and let it fill in the spec; an unknown one is
 * refused with the list of known ones, and so is a key that changes the computation and
 * that the family does not know. What is to be said of other keys is in *notes, to be
 * cleared. config must outlive the spec. Free with ol_spec_clear, also after a failure.
 */
int ol_spec_read(struct ol_json_section config, struct ol_spec *spec,
                 struct ol_config_notes *notes, struct ol_error *err);
void ol_spec_clear(struct ol_spec *spec);

/* Whether sequences of that many tokens can be run. */
int ol_spec_check_length(const struct ol_spec *spec, int64_t length,
                         struct ol_error *err);

/* Whether in sequences of up to that many tokens an indexer chooses keys. */
bool ol_spec_chooses(const struct ol_spec *spec, int64_t longest);

/* Values of a token's residual stream: those of all streams, where there are several. */
int64_t ol_spec_stream_width(const struct ol_spec *spec);

/* Whether routers or routed experts have norms of their own. */
bool ol_spec_has_apart(const struct ol_spec *spec);

/* Whether tokens of a layer see each other, and whether by attention. */
bool ol_spec_mixes(const struct ol_spec *spec, int layer);
bool ol_spec_attends(const struct ol_spec *spec, int layer);

/* Whether the table of embeddings is the head. */
bool ol_spec_shares_table(const struct ol_spec *spec);

/* How wide what goes into routed experts is, and what comes out. */
int ol_spec_expert_io(const struct ol_spec *spec);

/* Width of a layer's dense MLP, and of the widest; 0: there is none. */
int ol_spec_d_ff(const struct ol_spec *spec, int layer);
int ol_spec_widest_d_ff(const struct ol_spec *spec);

/* The attention of a layer that has one. */
const struct ol_attention_spec *ol_spec_attention(const struct ol_spec *spec, int layer);

/* What a layer's MLP is: "moe", "dense" or "none". */
const char *ol_spec_layer_kind(const struct ol_spec *spec, int layer);

/* Heads whose outputs go, side by side and equally wide, into the output projection of a
 * layer's mixer. */
int ol_spec_mixed_heads(const struct ol_spec *spec, int layer);

/* Kind of every layer as a JSON array: [{"layer":0,"kind":"moe","attention":"full"},
 * ...]. */
struct ol_json *ol_spec_layers_json(const struct ol_spec *spec);

/* How large its products get with so many tokens, in sequences of up to `longest`. */
struct ol_product_sizes ol_spec_products(const struct ol_spec *spec, int64_t n_rows,
                                         int64_t longest);

const char *ol_attention_kind_name(enum ol_attention_kind kind); /* "full", ... */

#endif
