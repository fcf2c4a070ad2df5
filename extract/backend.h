/* The boundary between the model (forward.c) and the machine: about twenty operations on
 * row-major matrices, a contract on each. cpu/ implements it with plain memory; another
 * backend may put tensors elsewhere, so `data` of a tensor is followed only by the
 * backend (offsets may be added).
 *
 * Precision: a backend is opened for OL_DTYPE_BF16 or OL_DTYPE_F32 activations. Every
 * operation computes in float (or better) and rounds its output once to the activation
 * type unless its contract says otherwise. In F32 nothing is rounded to bf16. Order:
 * results do not depend on the number of threads; no operation uses an order that varies.
 * Operations return 0, or -1 with err. Shapes are the caller's duty (asserted), limits
 * are checked. A weight's bytes stay what they are while a backend that has used it is
 * open, or the file is mapped: it may keep copies. */
#ifndef OL_BACKEND_H
#define OL_BACKEND_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "extract/digest.h"
#include "extract/ops.h"

/* A download that has begun. */
struct ol_download {
    struct ol_tensor src;
    void *on_its_way; /* the backend's */
};
enum { OL_DOWNLOADS = 4 };

/* What is left on a device until it is asked for (results_wait) lies there, and in the
 * host's pinned memory, so many times: one is on its way while another is filled. Each
 * result takes a multiple of so many bytes. */
enum { OL_RESULT_BATCHES = 2, OL_RESULT_ALIGNMENT = 256 };

static inline int64_t ol_result_bytes(int64_t bytes)
{
    return (bytes + OL_RESULT_ALIGNMENT - 1) / OL_RESULT_ALIGNMENT * OL_RESULT_ALIGNMENT;
}

/* What devices did so far; all 0 where there are none. */
struct ol_backend_usage {
    int64_t memory, peak_memory; /* of devices, in use now and at most */
    int64_t link_bytes;          /* between the host and devices, both ways */
    int64_t peer_bytes;          /* of weights, from other devices */
    /* Of weights over the links, by copies whose time by the devices' clocks is known:
     * all but the last few. Copies of one device follow each other. */
    int64_t copied_bytes;
    double copy_seconds;
    /* That the host spent on giving weights and rows to the link, and on waiting for
     * what a device computes. */
    double link_seconds, compute_seconds;
};

struct ol_backend;
struct ol_contribution_tables;
struct ol_down_tables;

struct ol_backend_operations {
    const char *name; /* "cpu" */
    bool reads_files; /* large weights, by ol_mapping_copy: they need not be mapped */

    /* ---- life and memory ---- */

    /* Memory for rows x cols elements, zeroed. */
    int (*tensor_new)(struct ol_backend *b, enum ol_dtype dtype, int64_t n_rows,
                      int64_t n_cols, struct ol_tensor *tensor, struct ol_error *err);
    void (*tensor_free)(struct ol_backend *b,
                        struct ol_tensor *tensor); /* data NULL is fine */
    /* Between the host and the backend: whole tensor, same dtype and layout. */
    int (*upload)(struct ol_backend *b, struct ol_tensor dst, const void *src,
                  struct ol_error *err);
    int (*download)(struct ol_backend *b, struct ol_tensor src, void *dst,
                    struct ol_error *err);
    /* download in two halves, between which the backend goes on, and src must not change.
     * At most OL_DOWNLOADS have begun at a time; they end in the order in which they
     * began. *rows are the backend's, as they were, until _release, which any thread may
     * call. */
    int (*download_begin)(struct ol_backend *b, struct ol_tensor src,
                          struct ol_download *d, struct ol_error *err);
    int (*download_end)(struct ol_backend *b, const struct ol_download *d, void **rows,
                        struct ol_error *err);
    void (*download_release)(struct ol_backend *b, void *rows); /* NULL is fine */
    /* Operations that come to something for the host, and say "later", may leave it where
     * they computed it: the memory that they were given must stay, and is filled in when
     * results_wait has returned for their number, which is the backend's n_results after
     * them; all of smaller number are then, too. What they were given else may change at
     * once. What was left up to some point crosses the link as one piece.
     *
     * download, later. */
    int (*download_later)(struct ol_backend *b, struct ol_tensor src, void *dst,
                          struct ol_error *err);
    /* As many bytes are left at a time: room for them is made when it is needed. More
     * come in several pieces. NULL: nothing is left. */
    void (*results_room)(struct ol_backend *b, int64_t bytes);
    /* What was left begins to cross the link, while the backend goes on. */
    int (*results_send)(struct ol_backend *b, struct ol_error *err);
    int (*results_wait)(struct ol_backend *b, int64_t until, struct ol_error *err);
    /* Nothing that was left is filled in any more: its memory goes. */
    void (*results_forget)(struct ol_backend *b);
    /* x = 0. */
    int (*zero)(struct ol_backend *b, struct ol_tensor x, struct ol_error *err);
    void (*close)(struct ol_backend *b);
    /* The most memory that operations with products of at most these sizes keep. */
    struct ol_scratch_bytes (*scratch_bytes)(const struct ol_backend *b,
                                             struct ol_product_sizes sizes);
    /* Bytes of a device's memory, which tensors are in, that a run may have in all; 0:
     * they are in the host's. */
    int (*device_bytes)(struct ol_backend *b, int64_t *bytes, struct ol_error *err);
    struct ol_backend_usage (*usage)(const struct ol_backend *b);
    /* A hint: weights, resident, that products will use soon. They may be sent ahead of
     * their use, beside what is computed, as far as there is room. */
    int (*prefetch)(struct ol_backend *b, const struct ol_weight *weights, int n,
                    struct ol_error *err);

    /* The host's bytes of a weight are about to go: waits until none of them that was to
     * be sent ahead is still to be read. Copies that the backend has stay valid. */
    void (*release)(struct ol_backend *b, const struct ol_weight *weight);

    /* n > 1 backends of one run, each with its own device, before their first product:
     * where their devices reach each other faster than the host reaches them, each weight
     * passes the host's link of one of them only, and they bring it to each other; no
     * result depends on it. 1 where they do, 0 where not, with the reason in how [size];
     * -1 with err. NULL: there are no devices. */
    int (*share)(struct ol_backend *const *backends, int n, char *how, size_t size,
                 struct ol_error *err);

    /* ---- token mixing ---- */

    /* out[i] = table[ids[i]] rounded to the activation type. ids [n] host int32, all in
     * the table's range; table [vocab, d]; out [n, d]. Touches only the rows asked for.
     */
    int (*embed)(struct ol_backend *b, const int32_t *ids, struct ol_weight table,
                 struct ol_tensor out, struct ol_error *err);

    /* Normalise each row of x [n, d] by kind and eps with weight [d], or without one when
     * its data is NULL; out [n, d] (may be x). The mean of squares is over the row, in
     * float or double. weight is rounded to the activation type first (as loading a model
     * in bf16 does), but of STORED. */
    int (*norm)(struct ol_backend *b, enum ol_norm_kind kind, double eps,
                struct ol_tensor x, struct ol_weight weight, struct ol_tensor out,
                struct ol_error *err);

    /* out = round((x - mean) / sqrt(variance + eps) * weight + bias) of each row of x [n,
     * d], in float or double; weight and bias [d], out [n, d] (may be x). */
    int (*layer_norm)(struct ol_backend *b, double eps, struct ol_tensor x,
                      struct ol_weight weight, struct ol_weight bias,
                      struct ol_tensor out, struct ol_error *err);

    /* Several products at once; none reads another's output. out is of x's type, or F32:
     * then the float sums are not rounded. */
    int (*matmul)(struct ol_backend *b, const struct ol_matmul *products, int n,
                  struct ol_error *err);

    /* x = clamp(x, -limit, limit) */
    int (*clip)(struct ol_backend *b, struct ol_tensor x, double limit,
                struct ol_error *err);

    /* Rotate values first .. first + rotary_dim - 1 of every head of x [n, n_heads *
     * head_dim] in place; row i of a sequence has position i * step. For the pair (a,
     * b) with angle j:
     * a' = round(round(a c[j]) + round(-b s[j])), b' = round(round(b c[j]) + round(a
     * s[j])), c and s rounded to the activation type; the kinds ONCE round only a' and
     * b'.
     */
    int (*rope)(struct ol_backend *b, const struct ol_rope_args *args, struct ol_tensor x,
                struct ol_error *err);

    /* Causal attention of sequences, each within itself. q [n, n_heads * head_dim], k [n,
     * n_kv_heads * head_dim], v [n, n_kv_heads * value_dim], out [n, n_heads *
     * value_dim]; head h reads kv head h / (n_heads / n_kv_heads). out = softmax(q k^T *
     * scale + mask) v in float, rounded once; a sink is one more score, of a key whose
     * value is zero. What is told of the softmax is not rounded; it is NaN of keys that a
     * query sees whose softmax is. Memory: O(n * head_dim), never n x n per head. */
    int (*attention)(struct ol_backend *b, const struct ol_attention_args *args,
                     struct ol_tensor q, struct ol_tensor k, struct ol_tensor v,
                     struct ol_tensor out, struct ol_error *err);

    /* Query t sees the top_k keys s < (t + 1) / rate (rounded down: of rate 1 those s <=
     * t) with the largest scores, the first of equal ones; score = sum over heads h of
     * weights[t][h] / sqrt(n_heads) * max(q[t][h] . k[s] / sqrt(head_dim), 0), in float.
     */
    int (*index)(struct ol_backend *b, const struct ol_index_args *args,
                 struct ol_error *err);

    /* out[e] = round(sum over places i of round(p_i * value_i)), p = round(softmax over i
     * of gate_i + bias_i) of every channel by itself, in float. */
    int (*compress)(struct ol_backend *b, const struct ol_compress_args *args,
                    struct ol_error *err);

    /* out = softmax(q k^T * scale) k over the keys and entries that a query sees, in
     * float, rounded once; a sink is one more score, of a key whose value is zero.
     * Memory: what the queries see that are computed at a time. */
    int (*compressed_attention)(struct ol_backend *b,
                                const struct ol_compressed_attention_args *args,
                                struct ol_error *err);

    /* Copy `width` values of each of the n pieces of `from` to the pieces of `to`; a step
     * of 0 in `from` repeats its piece. Both have the same rows and type. */
    int (*copy_columns)(struct ol_backend *b, struct ol_columns from,
                        struct ol_columns to, int64_t width, int n, struct ol_error *err);

    /* x[i] = round(scales[i] * x[i]), scales host float [n]. */
    int (*scale_rows)(struct ol_backend *b, struct ol_tensor x, const float *scales,
                      struct ol_error *err);

    /* Depthwise causal convolution of ONE sequence: out[t][c] = round(silu(round(bias[c]
     * + sum over j of weight[c][j] x[t - kernel + 1 + j][c]))), zeros before the first
     * row. x and out [n, channels], not the same; weight [channels, kernel], bias
     * [channels] or data NULL. */
    int (*causal_conv)(struct ol_backend *b, struct ol_tensor x, struct ol_weight weight,
                       struct ol_weight bias, struct ol_tensor out, struct ol_error *err);

    /* Gated delta rule: per value head a state S [key_dim, value_dim], first zero, and
     * per row, with q and k divided by their lengths (sqrt(sum of squares + 1e-6)), q
     * also by sqrt(key_dim): S *= exp(-exp(a_log) softplus(decay + dt_bias)) S += k
     * (round(sigmoid(beta)) (v - S^T k))^T out = round(S^T q) in float. */
    int (*delta_net)(struct ol_backend *b, const struct ol_delta_net_args *args,
                     struct ol_error *err);

    /* Mamba-2's state space: per head a state S [head_dim, state_dim], first zero, and
     * per row, with t = clamp(round(softplus(round(step + dt_bias))), least_step,
     * most_step): S = exp(-exp(a_log) t) S + t x B^T, out = S C + skip x, in float, not
     * rounded. It goes by chunks of rows, and keeps nothing of n x n. */
    int (*mamba)(struct ol_backend *b, const struct ol_mamba_args *args,
                 struct ol_error *err);

    /* out = round(weight * y / sqrt(mean(y^2) + eps)), y = x silu(gate), in float; the
     * mean is over each of n_groups pieces of a row. x [n, d] float, gate and out [n, d]
     * activation, weight [d]; n_groups divides d. */
    int (*gated_norm)(struct ol_backend *b, int n_groups, double eps, struct ol_tensor x,
                      struct ol_tensor gate, struct ol_weight weight,
                      struct ol_tensor out, struct ol_error *err);

    /* x = round(x * g), g = round(sigmoid(gate)) or silu(gate) in float. x [n, d]
     * activation, gate [n, d], or [n, 1]: the same for a whole row. */
    int (*gate)(struct ol_backend *b, enum ol_gate_function function, struct ol_tensor x,
                struct ol_tensor gate, struct ol_error *err);

    /* means[i][h] = the mean of round(sigmoid(gate)) over head h of row i, in float. gate
     * [n, heads * d] activation, means [n, heads] float. */
    int (*gate_means)(struct ol_backend *b, struct ol_tensor gate, struct ol_tensor means,
                      struct ol_error *err);

    /* x = round(x + y), both [n, d] activation. */
    int (*add)(struct ol_backend *b, struct ol_tensor x, struct ol_tensor y,
               struct ol_error *err);

    /* ---- a residual stream of several streams ---- */

    /* out = round(sum over streams j of pre_j X_j), X streams [rows, n d], out [rows, d];
     * and mixing [rows, n + n n] float (data NULL: not asked for) = post, then exchange.
     * With f = fn X / sqrt(mean(X^2) + norm_eps): pre = sigmoid(scale_0 f + base) + eps
     * of the first n, post = 2 sigmoid(scale_1 f + base) of the next; exchange, of the
     * last n x n: softmax of the rows of scale_2 f + base, + eps, then columns divided by
     * their sums + eps, and n_iterations - 1 times rows and columns. In float. */
    int (*collapse)(struct ol_backend *b, const struct ol_connection *c,
                    struct ol_tensor streams, struct ol_tensor out,
                    struct ol_tensor mixing, struct ol_error *err);

    /* X_j = round(round(post_j y) + round(sum over i of exchange_ij X_i)) with post,
     * exchange and y rounded first, and mean [rows, d] = round(sum over j of X_j / n). y
     * [rows, d] activation, or float. */
    int (*expand)(struct ol_backend *b, struct ol_tensor streams, struct ol_tensor y,
                  struct ol_tensor mixing, struct ol_tensor mean, struct ol_error *err);

    /* ---- experts ---- */

    /* Choose experts. logits = round(x weight^T + bias), not rounded with float_logits;
     * scores = their softmax, sigmoid or sqrt(ln(1 + e^logit)), in float or better.
     * Experts are ranked by their score plus correction, without one (data NULL) by their
     * logit, which ties less, but of a softmax whose groups are ranked by sums by their
     * score; within the groups that stay in; per token the top_k are chosen, ties to the
     * lower expert, slots by falling rank. Their weights are the scores, divided by the
     * sum of those chosen when `renormalize`, times scale; not rounded to bf16 unless
     * `scales_input`. Where the choice is `given`, ids hold it before, in any order. x
     * [n, d], of activations or float; weight [n_experts, d]; ids [n, top_k] host uint16;
     * weights [n, top_k] host float; p, unless NULL, is what `permute` makes of ids. All
     * later.
     */
    int (*route)(struct ol_backend *b, const struct ol_router_spec *router,
                 struct ol_tensor x, struct ol_weight weight, struct ol_weight bias,
                 struct ol_weight correction, uint16_t *ids, float *weights,
                 struct ol_permutation *p, struct ol_error *err);

    /* Sort (token, slot) pairs by expert, stable. ids [n_tokens, top_k]. */
    int (*permute)(struct ol_backend *b, const uint16_t *ids, int64_t n_tokens, int top_k,
                   struct ol_permutation *p, struct ol_error *err);

    /* out[i] = x[rows[i]], or round(scales[i] * x[rows[i]]) when scales is not NULL; rows
     * host int32 [out.n_rows], scales host float. */
    int (*gather)(struct ol_backend *b, struct ol_tensor x, const int32_t *rows,
                  const float *scales, struct ol_tensor out, struct ol_error *err);

    /* gate = function(gate, up), both [n, d_ff] activation, in place. SILU:
     * round(round(silu(gate)) * up), of clamped values where there is a limit; GELU_TANH
     * likewise without one; alone, up is 1 and not read. RELU2: round(max(gate, 0)^2).
     * CLAMPED: round(round(up + 1) * round(gate * round(sigmoid(round(alpha * gate))))),
     * of the clamped values. */
    int (*glu)(struct ol_backend *b, const struct ol_glu_spec *glu, struct ol_tensor gate,
               struct ol_tensor up, struct ol_error *err);

    /* sum[rows[i]] += scales[i] * y[i] in float, not rounded. y [n, d] activation; sum
     * [*, d] float; rows host int32 [n], scales host float [n], NULL means all 1. In
     * n_pieces pieces one after another, piece p the rows firsts[p] .. firsts[p + 1] - 1
     * of y; rows are distinct within a piece. */
    int (*scatter_add)(struct ol_backend *b, struct ol_tensor y, const int64_t *firsts,
                       int n_pieces, const int32_t *rows, const float *scales,
                       struct ol_tensor sum, struct ol_error *err);

    /* x = round(x + round(sum)): sum [n, d] float joins the stream. */
    int (*add_sum)(struct ol_backend *b, struct ol_tensor x, struct ol_tensor sum,
                   struct ol_error *err);

    /* ---- what is looked at ---- */

    /* For every row of x [n, d], the k values of the largest magnitude, falling, ties to
     * the lower column: columns and values, both host [n, k]. A NaN counts as larger than
     * any number. Where d < k, the columns left over are OL_NO_COLUMN, the values 0. d <
     * OL_NO_COLUMN, k <= OL_MOST_LARGEST. */
    int (*largest)(struct ol_backend *b, struct ol_tensor x, int k, uint16_t *columns,
                   float *values, struct ol_error *err);

    /* values[i][j] = x[i][columns[i][j]], 0 for OL_NO_COLUMN; both host [n, k]. */
    int (*pick)(struct ol_backend *b, struct ol_tensor x, int k, const uint16_t *columns,
                float *values, struct ol_error *err);

    /* Tables of contributions, of the backend's; NULL with err. */
    struct ol_contribution_tables *(*contributions_new)(
        struct ol_backend *b, const struct ol_contribution_sizes *sizes,
        struct ol_error *err);
    void (*contributions_free)(struct ol_backend *b,
                               struct ol_contribution_tables *t); /* NULL is fine */
    /* A layer begins: no component has rows. */
    int (*contributions_begin)(struct ol_backend *b, struct ol_contribution_tables *t,
                               struct ol_error *err);
    /* Rows first .. first + x.n_rows - 1: x is what the mixer added, stream what came of
     * it. The stream's largest dimensions become candidates. */
    int (*contributions_attention)(struct ol_backend *b, struct ol_contribution_tables *t,
                                   int64_t first, struct ol_tensor stream,
                                   struct ol_tensor x, struct ol_error *err);
    /* What goes into components' down projections, and what comes out, of which kept is
     * what is multiplied with the gates; n_slots of this layer. Of what comes out in
     * another width than the stream's only the largest value is kept: what it adds to a
     * dimension of the stream is not known (NaN). */
    int (*contributions_inputs)(struct ol_backend *b, struct ol_contribution_tables *t,
                                const struct ol_component_rows *rows, struct ol_tensor x,
                                struct ol_error *err);
    int (*contributions_outputs)(struct ol_backend *b, struct ol_contribution_tables *t,
                                 const struct ol_component_rows *rows, int n_slots,
                                 struct ol_tensor y, struct ol_error *err);
    /* The layer ends with that stream [n_rows, d]: fill in `made`, later. */
    int (*contributions_take)(struct ol_backend *b, struct ol_contribution_tables *t,
                              struct ol_tensor stream,
                              const struct ol_contributions_made *made,
                              struct ol_error *err);

    /* Row i of x [n, d] rounded to every format of common/round_row.h becomes row f *
     * n_places + places[i] of out [formats * n_places, d], f the format; places [n] of
     * the host. */
    int (*round_rows)(struct ol_backend *b, struct ol_tensor x, const int32_t *places,
                      struct ol_tensor out, struct ol_error *err);

    /* x[i][columns[j]] = round(values[j]) for every row; columns [k], all below x.n_cols,
     * and values [k] of the host. */
    int (*set_columns)(struct ol_backend *b, struct ol_tensor x, int k,
                       const uint16_t *columns, const float *values,
                       struct ol_error *err);

    /* sums[c] += x[i][c]^2 for i rising, in double; x [n, d], sums [1, d] F64. */
    int (*add_squares)(struct ol_backend *b, struct ol_tensor x, struct ol_tensor sums,
                       struct ol_error *err);

    /* Of every head of every row of x [n, heads * d] the OL_N_HEAD_MOMENTS of its d
     * values, in float; NaN is no extreme. moments [n, heads * OL_N_HEAD_MOMENTS] float.
     */
    int (*head_moments)(struct ol_backend *b, struct ol_tensor x,
                        struct ol_tensor moments, struct ol_error *err);
    /* Of these moments the first column of the head, from 0 on, that has the largest, and
     * the smallest: columns [n, heads * OL_N_HEAD_EXTREMES] int32, -1 where none is. */
    int (*head_columns)(struct ol_backend *b, struct ol_tensor x,
                        struct ol_tensor moments, struct ol_tensor columns,
                        struct ol_error *err);

    /* Tables of what goes into down projections, of the backend's, with room for any
     * layer; NULL with err. */
    struct ol_down_tables *(*down_new)(struct ol_backend *b,
                                       const struct ol_down_sizes *most,
                                       struct ol_error *err);
    void (*down_free)(struct ol_backend *b, struct ol_down_tables *t); /* NULL is fine */
    /* A layer of these sizes begins: nothing was seen, kept rows are zeros. */
    int (*down_begin)(struct ol_backend *b, struct ol_down_tables *t,
                      const struct ol_down_sizes *layer, struct ol_error *err);
    /* Add the rows of x [n, d], rounded to bf16. A row's sum of powers is in double, over
     * columns c, c + 32, c + 64, ... for each c below 32, which are added by halves: 16
     * to 0, 17 to 1, ... then 8 to 0; sums of rows are exact. Rows that are kept later
     * take the place of those before them. */
    int (*down_see)(struct ol_backend *b, struct ol_down_tables *t,
                    const struct ol_down_seen *seen, struct ol_tensor x,
                    struct ol_error *err);
    /* The layer ends: fill in `made`, later. */
    int (*down_take)(struct ol_backend *b, struct ol_down_tables *t,
                     const struct ol_down_made *made, struct ol_error *err);

    /* Fill in what a summary keeps of x [n, d], the rows of one sequence, rounded to
     * bf16 (digest.h), and count every code in a histogram that the backend keeps,
     * unless it says otherwise. least is the magnitude, as a code, that an occurrence has
     * at least; 0: none is looked for. d <= OL_NO_COLUMN. Later: and x must stay until
     * then, unless least is 0. */
    int (*digest_begin)(struct ol_backend *b, struct ol_tensor x, uint32_t least,
                        struct ol_digest *digest, struct ol_error *err);

    /* The histogram of everything digested since it was taken last: counts host
     * [OL_N_CODES], later. */
    int (*histogram_begin)(struct ol_backend *b, int64_t *counts, struct ol_error *err);

    /* ---- head ---- */

    /* nll[i] = logsumexp(logits_i) - logits_i[targets[i]], logits = round(x weight^T), in
     * float or double without storing all logits; with a cap, cap tanh(logits / cap),
     * each step rounded. x [n, d]; weight [vocab, d]; targets [n] host int32 (-1: nll[i]
     * = NaN); nll [n] host float. */
    int (*nll)(struct ol_backend *b, struct ol_tensor x, struct ol_weight weight,
               double cap, const int32_t *targets, float *nll, struct ol_error *err);
};

/* Every backend's state begins with this. */
struct ol_backend {
    const struct ol_backend_operations *op;
    enum ol_dtype dtype; /* of activations */
    int64_t n_results;   /* that were left so far, filled in or not */
    const char *device;  /* for people: "AMD EPYC ..., 2 threads" */
    /* The kind of processor whose instructions it uses: "amx_bf16", "avx512_bf16",
     * "avx512", "avx2", "generic"; "sm_90". In bf16 another kind may round some values
     * another way; in f32 all kinds of CPU give the same bytes. */
    const char *processor;
};

enum ol_backend_kind {
    OL_BACKEND_AUTO, /* CUDA where there is a device, else the CPU */
    OL_BACKEND_CPU,
    OL_BACKEND_CUDA,
};

/* The backend of a run that may take so many bytes of a device's memory; 0: all. NULL on
 * failure. */
struct ol_backend *ol_backend_open(enum ol_backend_kind kind, enum ol_dtype dtype,
                                   int n_threads, int device, int64_t memory,
                                   struct ol_error *err);

/* The CPU backend: n_threads as for ol_pool_new. NULL on failure. */
struct ol_backend *ol_cpu_open(enum ol_dtype dtype, int n_threads, struct ol_error *err);

/* The CUDA backend on that device, counted from 0; n_threads, of the host, as for
 * ol_pool_new; memory as above. NULL on failure. */
struct ol_backend *ol_cuda_open(enum ol_dtype dtype, int n_threads, int device,
                                int64_t memory, struct ol_error *err);

/* How many CUDA devices this machine has; 0 also where it has no driver for them. */
int ol_cuda_devices(void);

/* Whether n CUDA devices would share weights (`share`): 1 or 0, with the reason in why
 * [size]; -1 with err. */
int ol_cuda_are_near(const int *devices, int n, char *why, size_t size,
                     struct ol_error *err);

/* "CUDA 13.0" for --version; NULL in a program that was built without. */
const char *ol_cuda_libraries(void);

#endif
