/* What the operations of a backend (backend.h) take: matrices, weights and their
 * parameters. Neither a model nor a file is known here. */
#ifndef OL_OPS_H
#define OL_OPS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/dtype.h"
#include "extract/exact_sum.h"
#include "extract/weights/weight.h"

/* Limits of the router, checked when a config is read. */
enum {
    OL_MAX_TOP_K = 64,
    OL_MAX_GROUPS = 256,
};

/* ---- kinds ---- */

/* How RMS normalisation rounds in the reference; r = 1 / sqrt(mean(x^2) + eps) in float.
 */
enum ol_norm_kind {
    OL_NORM_RMS,        /* round(w * round(x * r)): Llama and most others */
    OL_NORM_RMS_ONCE,   /* round(w * x * r): gpt-oss */
    OL_NORM_RMS_OFFSET, /* round((1 + w) * x * r): Qwen3-Next */
    OL_NORM_RMS_STORED, /* as ONCE, with w as it is stored: DeepSeek-V4 */
    OL_NORM_LAYER,      /* no RMS: the operation layer_norm: GPT-2 */
};

enum ol_rope_kind {
    OL_ROPE_HALF, /* pairs (i, i + rotary_dim/2); cos and sin rounded to the activation
                     type */
    OL_ROPE_HALF_ONCE,  /* pairs as HALF's; in float, rounded once at the end */
    OL_ROPE_PAIRS,      /* pairs (2i, 2i + 1); rounds as HALF does */
    OL_ROPE_PAIRS_ONCE, /* pairs (2i, 2i + 1); in float, rounded once at the end */
};

static inline bool ol_rope_pairs_neighbours(enum ol_rope_kind kind)
{
    return kind == OL_ROPE_PAIRS || kind == OL_ROPE_PAIRS_ONCE;
}

static inline bool ol_rope_rounds_once(enum ol_rope_kind kind)
{
    return kind == OL_ROPE_HALF_ONCE || kind == OL_ROPE_PAIRS_ONCE;
}

enum ol_attention_kind {
    OL_ATTENTION_FULL,       /* keys j <= i */
    OL_ATTENTION_SLIDING,    /* i - window < j <= i */
    OL_ATTENTION_CHUNKED,    /* j <= i in the same stretch of `window` positions */
    OL_ATTENTION_LINEAR,     /* no attention: a gated delta net */
    OL_ATTENTION_MAMBA,      /* no attention: Mamba-2's state space */
    OL_ATTENTION_NONE,       /* nor anything in its place: the layer is an MLP alone */
    OL_ATTENTION_COMPRESSED, /* as SLIDING, and entries that stand for earlier keys */
};
/* Not one of them, so that a switch has to name all. */
enum { OL_N_ATTENTION_KINDS = OL_ATTENTION_COMPRESSED + 1 };

/* Gated delta net (arXiv 2412.06464): in place of attention, a state of key_dim x
 * value_dim per value head, behind a causal convolution of q, k and v. */
struct ol_delta_net_spec {
    int n_key_heads, n_value_heads; /* value head h uses key head h / (ratio) */
    int key_dim, value_dim;
    int kernel; /* positions that the convolution sees, the token's own among them */
};

/* Mamba-2 (arXiv 2405.21060): in place of attention, a state of head_dim x state_dim per
 * head, behind a causal convolution of what is put in and of how it is written and read.
 */
struct ol_mamba_spec {
    int n_heads,
        n_groups; /* head h is written by the B, read by the C of group h / ratio */
    int head_dim, state_dim;
    int kernel;                   /* as a delta net's */
    double least_step, most_step; /* limits of the time that a token takes */
};

enum ol_router_score {
    OL_ROUTER_SOFTMAX, /* over all experts */
    OL_ROUTER_SIGMOID,
    OL_ROUTER_SQRT_SOFTPLUS,
};

struct ol_router_spec {
    enum ol_router_score score;
    int n_experts, top_k;
    bool float_logits; /* not rounded to the activation type */
    bool float_weight; /* nor is a weight that is stored as float; with float_logits */
    bool renormalize;  /* the chosen weights are divided by their sum ... */
    double least_sum;  /* ... or by this where they are scores and it is larger */
    /* Of n_group ranges of experts the topk_group stay in whose group_best best have the
     * largest sum; n_group divides n_experts, 1: no groups. */
    int n_group, topk_group, group_best;
    double scale;      /* of the weights, last */
    bool scales_input; /* weights, rounded, multiply the experts' input, not the output */
    bool given; /* who is chosen is known, distinct: of these alone slots are ranked */
};

enum ol_activation_function {
    OL_GLU_SILU,      /* silu(gate) * up */
    OL_GLU_GELU_TANH, /* gelu(gate) * up, gelu by the tanh of arXiv 1606.08415 */
    /* gate * sigmoid(alpha * gate) * (up + 1), gate <= limit, -limit <= up <= limit */
    OL_GLU_CLAMPED,
    OL_GLU_RELU2, /* max(up, 0)^2, alone */
};

struct ol_glu_spec {
    enum ol_activation_function function;
    bool alone;   /* of no up: SILU, GELU_TANH, RELU2 */
    double alpha; /* CLAMPED */
    double limit; /* CLAMPED; SILU: 0: none, else as CLAMPED, gate and up are clamped */
};

enum ol_gate_function { OL_GATE_SIGMOID, OL_GATE_SILU };

/* Whether a router ranks experts by, and weighs them with, scores of all of them: sums of
 * logits are not what sums of their softmax are. */
static inline bool ol_router_scores(const struct ol_router_spec *r, bool corrected)
{
    return r->score != OL_ROUTER_SOFTMAX || corrected ||
           (r->n_group > 1 && r->group_best > 1);
}

/* How large the products of a run get. */
struct ol_product_sizes {
    int64_t deepest;    /* columns of the widest input */
    int64_t rows;       /* of the longest: tokens, times experts that each chooses */
    int64_t head_depth; /* columns and rows of the head's weight */
    int64_t head_rows;
    int64_t received; /* tokens of a sequence whose attention is looked at; 0: of none */
    /* compressed_attention: its heads, and the most keys and entries that a query sees;
     * 0: of no layer */
    int compressed_heads, compressed_dim;
    int64_t compressed_keys;
};

/* What operations with products of at most these sizes keep beside tensors. */
struct ol_scratch_bytes {
    int64_t tensors; /* of the memory that tensors are in */
    int64_t pinned;  /* of the host's, for what is on its way to a device and back */
};

/* ---- operands ---- */

/* A matrix in the backend's memory, row-major, rows contiguous. */
struct ol_tensor {
    void *data;
    enum ol_dtype dtype;
    int64_t n_rows, n_cols;
};

/* Rows first .. first + n - 1 of t, in the same memory. */
struct ol_tensor ol_tensor_rows(struct ol_tensor t, int64_t first, int64_t n);

size_t ol_tensor_bytes(struct ol_tensor t);

/* The row-major [n, k * n_cols] seen as [n * k, n_cols]. */
struct ol_tensor ol_tensor_split(struct ol_tensor t, int64_t n_cols);

/* How many rows are multiplied at a time, at most: enough to fill a device. Whether x is
 * given whole or cut at multiples of so many rows, the same bytes come out. */
enum { OL_PRODUCT_ROWS = 2048, OL_PRODUCT_STEP = 16 };

/* The rows at a time where n are to be cut as evenly as multiples of OL_PRODUCT_STEP let
 * them: 2,049 are 1,040 and 1,009, not 2,048 and one. */
static inline int64_t ol_product_block(int64_t n)
{
    const int64_t blocks = (n + OL_PRODUCT_ROWS - 1) / OL_PRODUCT_ROWS;
    const int64_t rows = blocks > 0 ? (n + blocks - 1) / blocks : 0;
    return (rows + OL_PRODUCT_STEP - 1) / OL_PRODUCT_STEP * OL_PRODUCT_STEP;
}

/* out = x * weight^T + bias.   x [m, k] activation or float, weight [n, k], bias [n] or
 * data NULL, out [m, n] as x, or float. The weight is rounded to x's type first, as
 * loading a model does. Accumulates in float; the bias is added before the one rounding.
 * x may have g k columns instead: then the weight's rows are g equal parts, each of which
 * multiplies its own k columns. Neighbours in a list that have the same x and weights of
 * one shape (a gate and an up) are one product where a backend can make them one.
 * block_rows: where x may be cut, in place of OL_PRODUCT_ROWS; 0: there. */
struct ol_matmul {
    struct ol_tensor x;
    struct ol_weight weight, bias;
    struct ol_tensor out;
    int64_t block_rows;
};

/* What is known of the values of a head in a row. */
enum ol_head_moment {
    OL_MOMENT_SQUARES, /* their sum */
    OL_MOMENT_LARGEST, /* -inf where there is no number */
    OL_MOMENT_SMALLEST,
    OL_N_HEAD_MOMENTS,
};

enum ol_moment_extreme { OL_EXTREME_LARGEST, OL_EXTREME_SMALLEST, OL_N_HEAD_EXTREMES };

/* Sequences whose rows lie one after another in a matrix; lengths NULL: all its rows are
 * one. */
struct ol_sequences {
    const int32_t *lengths; /* [n] */
    int64_t n;
};

static inline int64_t ol_sequences_number(const struct ol_sequences *s)
{
    return s->lengths != NULL ? s->n : 1;
}

/* Of sequence i in a matrix of n_rows rows. */
static inline int64_t ol_sequences_rows(const struct ol_sequences *s, int64_t i,
                                        int64_t n_rows)
{
    return s->lengths != NULL ? s->lengths[i] : n_rows;
}

/* cos and sin of every position and pair, made by rope_table.h in float. */
struct ol_rope_table {
    int64_t n_positions;
    int rotary_dim;
    int64_t step;              /* row i has position i * step; 0: i */
    struct ol_tensor cos, sin; /* [n_positions, rotary_dim / 2] float */
};

static inline int64_t ol_rope_step(const struct ol_rope_table *table)
{
    return table->step > 0 ? table->step : 1;
}

/* Positions that the table must have for a sequence of n rows. */
static inline int64_t ol_rope_reach(const struct ol_rope_table *table, int64_t n)
{
    return n > 0 ? (n - 1) * ol_rope_step(table) + 1 : 0;
}

struct ol_rope_args {
    enum ol_rope_kind kind;
    const struct ol_rope_table *table;
    int head_dim;
    int first; /* of a head's values, to be rotated */
    struct ol_sequences sequences;
};

struct ol_attention_args {
    int n_heads, n_kv_heads;
    int head_dim, value_dim; /* of queries and keys, of values */
    double scale;
    enum ol_attention_kind kind; /* FULL, SLIDING or CHUNKED */
    int window;                  /* SLIDING, CHUNKED */
    struct ol_weight sinks;      /* [n_heads] or data NULL */
    struct ol_sequences sequences;
    /* What is to be known of the softmax, both float [n, n_heads]; data NULL: nothing.
     * The mean share that each key has of the queries for which the mask leaves it,
     * itself among them, 0 of those that did not choose it; and the share that the sink
     * has of each query, 0 without sinks. */
    struct ol_tensor received, to_sink;
    /* [n, words] int32, or data NULL: of the keys that the mask leaves, query i sees
     * those whose bit is set, key j of its sequence as bit j % 32 of word j / 32; one at
     * least. */
    struct ol_tensor chosen;
};

/* An indexer of ONE sequence of n rows: which keys a query sees, of those that come with
 * the rows, or of entries that stand for `rate` of these each (compress): 1: of keys. */
enum { OL_INDEX_ROWS = 256 };
struct ol_index_args {
    int n_heads, head_dim, top_k, rate;
    struct ol_tensor q, k;    /* [n, n_heads * head_dim], [n / rate, head_dim] */
    struct ol_tensor weights; /* [n, n_heads] */
    struct ol_tensor scores;  /* room, [OL_INDEX_ROWS, n or more] float */
    struct ol_tensor chosen;  /* filled in: as attention takes it */
};

/* Entries of ONE sequence of n rows that stand for `rate` rows each: as many as there are
 * whole ones. Where they overlap, values and gates have two parts of d columns: an entry
 * is made of its own rows' second part and the first part of the `rate` rows before. */
struct ol_compress_args {
    int rate;
    bool overlaps;
    struct ol_weight bias;          /* [rate, width], as it is stored */
    struct ol_tensor values, gates; /* [n, width]: d, or 2 d where entries overlap */
    struct ol_tensor out;           /* [n / rate, d] */
};

/* Attention of ONE sequence of n rows whose heads share keys, which are values too. */
struct ol_compressed_attention_args {
    int n_heads, head_dim;
    double scale;
    int window;              /* query i sees keys i - window + 1 .. i, */
    int rate;                /* and entries e < (i + 1) / rate; 0: there are none */
    struct ol_weight sinks;  /* [n_heads], as they are stored */
    struct ol_tensor chosen; /* as attention takes it, of entries; or data NULL: all */
    struct ol_tensor q, keys, entries; /* [n, n_heads * head_dim], [n, head_dim],
                                          [n / rate, head_dim] */
    struct ol_tensor out;              /* [n, n_heads * head_dim] */
    /* As attention gives them, or data NULL: the share of a key that is a token's is the
     * mean over the queries whose window holds it. Entries have a part of the softmax,
     * and none of `received`. That is asked for with to_sink alone. */
    struct ol_tensor received, to_sink;
};

/* Of a residual stream that is n streams of d values per row (hyper-connections, arXiv
 * 2409.19606): what a row's weights are made of. */
enum { OL_MAX_STREAMS = 8 };
struct ol_connection {
    int n_streams, n_iterations; /* of Sinkhorn's normalisation, at least 1 */
    double norm_eps, eps;
    /* [n (2 + n), n d], [n (2 + n)], [3]; of a collapse alone: [n, n d], [n], [1]. As
     * they are stored. */
    struct ol_weight fn, base, scale;
};

/* `n` pieces of every row of t: piece i begins at column first + i * step. */
struct ol_columns {
    struct ol_tensor t;
    int64_t first, step;
};

/* Of a delta net, for ONE sequence of n rows. */
struct ol_delta_net_args {
    struct ol_delta_net_spec spec;
    struct ol_tensor mixed;          /* [n, all queries, all keys, all values] */
    struct ol_tensor beta, decay;    /* [n, n_value_heads], before sigmoid and softplus */
    struct ol_weight dt_bias, a_log; /* [n_value_heads] */
    struct ol_tensor out;            /* [n, n_value_heads * value_dim] */
};

/* Of Mamba-2's state space, for ONE sequence of n rows. */
struct ol_mamba_args {
    struct ol_mamba_spec spec;
    struct ol_tensor mixed; /* [n, x of all heads, B of all groups, C of all groups] */
    struct ol_tensor step;  /* [n, n_heads], before its bias and softplus */
    struct ol_weight dt_bias, a_log, skip; /* [n_heads] */
    struct ol_tensor out;                  /* [n, n_heads * head_dim] float */
};

enum { OL_NO_COLUMN = 0xffff, OL_MOST_LARGEST = 16 };

/* Rows of components of a layer's MLP (routed experts, the shared expert as number
 * n_experts, a dense MLP as number 0): component components[i] has the rows firsts[i] ..
 * ends[i] - 1 of what is seen, which belong to the tokens rows[] and, of these, to the
 * slots slots[]; what lies behind them is of arms. gates[] (NULL: 1) are the router's
 * weights, which multiply outputs on their way into the stream unless the inputs were
 * multiplied already. */
struct ol_component_rows {
    int n;
    const int *components;
    const int64_t *firsts, *ends; /* [n] */
    const int32_t *rows;
    const int32_t *slots; /* NULL: the component that every token uses */
    const float *gates;
    bool scales_outputs;
};

/* Who writes into the stream: what is kept of the rows of a pass until the layer is done
 * (observe/contributions.h). A token's own components are counted by slot: its top_k
 * experts and, last, the shared one; or the dense MLP. */
enum {
    OL_CANDIDATES = 8,  /* largest dimensions of a token's stream before the MLP */
    OL_OWN_LARGEST = 4, /* largest outputs of each of its components */
};

struct ol_contribution_sizes {
    int64_t n_rows;                  /* rows beyond are of arms: passed over */
    int64_t width;                   /* of the stream */
    int most_slots, most_components; /* of a layer */
};

/* A component's value of the largest magnitude, the first row's of equals; NaN is larger
 * than any. row is -1 where it had no rows. */
struct ol_extreme {
    float value;
    int column;
    int64_t row;
};

struct ol_component {
    int64_t n_tokens;
    struct ol_extreme input, output; /* of its down projection */
};

/* What a layer came to. Host memory of the caller's: the `k` largest dimensions of each
 * row of the stream after the layer, falling; of each its value, what attention wrote to
 * it, and what each of the n_slots components did, NaN where that is not known. */
struct ol_contributions_made {
    int k, n_slots, n_components;
    uint16_t *features;              /* [n_rows, k] */
    float *writes;                   /* [n_rows, k, 2 + n_slots] */
    struct ol_component *components; /* [n_components] */
};

/* What goes into down projections of a layer's components (observe/down_inputs.h), put
 * together until the layer is done. */
enum { OL_DOWN_POWERS = 4 };

struct ol_down_sizes {
    int n_components;
    int64_t n_maxima, n_codes; /* of all components: columns, values of kept rows */
};

/* Rows of components, and where they count: a component's columns from maxima_at on; and
 * rows that are to be kept, kept[i] at codes_at[i]. All host; of the layer before the
 * rows are fewer than 2^30. */
struct ol_down_seen {
    const struct ol_component_rows *of;
    const int64_t *maxima_at; /* [of->n] */
    int64_t n_kept;
    const int64_t *kept, *codes_at; /* [n_kept] */
};

struct ol_down_moments {
    struct ol_exact_sum sums[OL_DOWN_POWERS]; /* of values, squares, cubes, ... */
    float largest, smallest;                  /* without a value -inf, inf; not NaN */
};

/* What a layer came to. Host memory of the caller's, of the layer's sizes. */
struct ol_down_made {
    struct ol_down_moments *moments;
    uint16_t *maxima, *codes; /* bf16; of magnitudes, NaN above any number */
};

/* Which rows go to which expert: for expert e the entries offsets[e] .. offsets[e+1]-1 of
 * rows and slots, in rising order of the row. Host memory, owned by the caller, filled by
 * `permute`. */
struct ol_permutation {
    int n_experts;
    int64_t *offsets; /* [n_experts + 1] */
    int32_t *rows;    /* [n_tokens * top_k]: token */
    int32_t *slots;   /* [n_tokens * top_k]: which of the token's top_k */
};

#endif
