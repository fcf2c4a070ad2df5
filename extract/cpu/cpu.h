/* What the files of the CPU backend share: its state, scratch memory, and loading and
 * storing rows of activations as float. One operation per file; the contracts are in
 * backend.h. */
#ifndef OL_CPU_H
#define OL_CPU_H

#include "common/parallel.h"
#include "extract/backend.h"
#include "extract/weights/formats/dequant.h"

struct ol_cpu_scratch {
    float *data;
    size_t n;
};

struct ol_cpu {
    struct ol_backend base;
    struct ol_pool *pool;
    struct ol_cpu_scratch *scratch; /* [threads] */
    struct ol_cpu_scratch spread;   /* of all threads: copies of rows, of matmul */
    int64_t **histograms; /* [threads][OL_N_CODES], of digest; NULL before the first */
    char device[256];
};

static inline struct ol_cpu *ol_cpu_of(struct ol_backend *b)
{
    return (struct ol_cpu *)b;
}

/* At least n floats for this thread, 64-byte aligned, kept until close; contents are
 * undefined. */
float *ol_cpu_scratch(struct ol_cpu *cpu, int thread, size_t n);

/* The same for all threads together, of n values of bfloat16. */
uint16_t *ol_cpu_spread_room(struct ol_cpu *cpu, size_t n);

static inline void *ol_cpu_row(struct ol_tensor t, int64_t row)
{
    return (char *)t.data + (size_t)(row * t.n_cols) * ol_dtype_size(t.dtype);
}

static inline float ol_cpu_round(enum ol_dtype dtype, float x)
{
    return dtype == OL_DTYPE_BF16 ? ol_bf16_round(x) : x;
}

/* Tasks of at least this many elements, so that handing one out costs nothing beside it.
 */
enum { OL_CPU_TASK_ELEMENTS = 1 << 15 };

/* Rows per task of a row-wise operation on rows of n_cols elements. */
static inline int64_t ol_cpu_task_rows(int64_t n_cols)
{
    const int64_t rows = OL_CPU_TASK_ELEMENTS / (n_cols > 0 ? n_cols : 1);
    return rows > 0 ? rows : 1;
}

/* Call row(arg, first, end, thread) over consecutive ranges of 0..n_rows-1, in parallel.
 */
void ol_cpu_rows(struct ol_cpu *cpu, int64_t n_rows, int64_t n_cols,
                 void (*rows)(void *arg, int64_t first, int64_t end, int thread),
                 void *arg);

/* Rows [row, row + n) of a weight, contiguous: as float, exactly what its format says, or
 * rounded to bf16 (scratch: OL_DEQUANT_ROWS rows). */
void ol_cpu_decode(const struct ol_weight *w, int64_t row, int64_t n, float *dst);
void ol_cpu_decode_bf16(const struct ol_weight *w, int64_t row, int64_t n, uint16_t *dst,
                        float *scratch);

/* The same rows as float, rounded to the activation type. */
void ol_cpu_decode_rounded(const struct ol_weight *w, enum ol_dtype dtype, int64_t row,
                           int64_t n, float *dst);

/* Whether products read a weight as it lies: rows one after another, of a type that need
 * not be rounded to that of activations. */
bool ol_cpu_reads(const struct ol_weight *w, enum ol_dtype activations);

/* Whether a product is one of bfloat16, with instructions for it. */
bool ol_cpu_multiplies_bf16(const struct ol_matmul *p);

/* Bytes of scratch that a thread needs for products of activations of that type over k
 * inputs. */
int64_t ol_cpu_matmul_scratch(enum ol_dtype dtype, int64_t k);

/* ---- operations, in the order of the table ---- */

int ol_cpu_embed(struct ol_backend *b, const int32_t *ids, struct ol_weight table,
                 struct ol_tensor out, struct ol_error *err);
int ol_cpu_norm(struct ol_backend *b, enum ol_norm_kind kind, double eps,
                struct ol_tensor x, struct ol_weight weight, struct ol_tensor out,
                struct ol_error *err);
int ol_cpu_layer_norm(struct ol_backend *b, double eps, struct ol_tensor x,
                      struct ol_weight weight, struct ol_weight bias,
                      struct ol_tensor out, struct ol_error *err);
int ol_cpu_matmul(struct ol_backend *b, const struct ol_matmul *products, int n,
                  struct ol_error *err);
int ol_cpu_clip(struct ol_backend *b, struct ol_tensor x, double limit,
                struct ol_error *err);
int ol_cpu_rope(struct ol_backend *b, const struct ol_rope_args *args, struct ol_tensor x,
                struct ol_error *err);
int ol_cpu_attention(struct ol_backend *b, const struct ol_attention_args *args,
                     struct ol_tensor q, struct ol_tensor k, struct ol_tensor v,
                     struct ol_tensor out, struct ol_error *err);
int ol_cpu_index(struct ol_backend *b, const struct ol_index_args *args,
                 struct ol_error *err);
int ol_cpu_compress(struct ol_backend *b, const struct ol_compress_args *args,
                    struct ol_error *err);
int ol_cpu_compressed_attention(struct ol_backend *b,
                                const struct ol_compressed_attention_args *args,
                                struct ol_error *err);
int ol_cpu_copy_columns(struct ol_backend *b, struct ol_columns from,
                        struct ol_columns to, int64_t width, int n, struct ol_error *err);
int ol_cpu_scale_rows(struct ol_backend *b, struct ol_tensor x, const float *scales,
                      struct ol_error *err);
int ol_cpu_causal_conv(struct ol_backend *b, struct ol_tensor x, struct ol_weight weight,
                       struct ol_weight bias, struct ol_tensor out, struct ol_error *err);
int ol_cpu_delta_net(struct ol_backend *b, const struct ol_delta_net_args *args,
                     struct ol_error *err);
int ol_cpu_mamba(struct ol_backend *b, const struct ol_mamba_args *args,
                 struct ol_error *err);
int ol_cpu_gated_norm(struct ol_backend *b, int n_groups, double eps, struct ol_tensor x,
                      struct ol_tensor gate, struct ol_weight weight,
                      struct ol_tensor out, struct ol_error *err);
int ol_cpu_gate(struct ol_backend *b, enum ol_gate_function function, struct ol_tensor x,
                struct ol_tensor gate, struct ol_error *err);
/* Bytes of a thread that compressed_attention takes of its scratch where a query sees up
 * to n keys and entries. */
int64_t ol_cpu_compressed_attention_scratch(int n_heads, int head_dim, int64_t n);
/* Bytes of a thread that attention of so many tokens keeps where it is looked at. */
int64_t ol_cpu_attention_kept(int64_t n_tokens);
int ol_cpu_gate_means(struct ol_backend *b, struct ol_tensor gate, struct ol_tensor means,
                      struct ol_error *err);
int ol_cpu_add(struct ol_backend *b, struct ol_tensor x, struct ol_tensor y,
               struct ol_error *err);
int ol_cpu_collapse(struct ol_backend *b, const struct ol_connection *c,
                    struct ol_tensor streams, struct ol_tensor out,
                    struct ol_tensor mixing, struct ol_error *err);
int ol_cpu_expand(struct ol_backend *b, struct ol_tensor streams, struct ol_tensor y,
                  struct ol_tensor mixing, struct ol_tensor mean, struct ol_error *err);
int ol_cpu_route(struct ol_backend *b, const struct ol_router_spec *router,
                 struct ol_tensor x, struct ol_weight weight, struct ol_weight bias,
                 struct ol_weight correction, uint16_t *ids, float *weights,
                 struct ol_permutation *p, struct ol_error *err);
int ol_cpu_permute(struct ol_backend *b, const uint16_t *ids, int64_t n_tokens, int top_k,
                   struct ol_permutation *p, struct ol_error *err);
int ol_cpu_gather(struct ol_backend *b, struct ol_tensor x, const int32_t *rows,
                  const float *scales, struct ol_tensor out, struct ol_error *err);
int ol_cpu_glu(struct ol_backend *b, const struct ol_glu_spec *glu, struct ol_tensor gate,
               struct ol_tensor up, struct ol_error *err);
int ol_cpu_scatter_add(struct ol_backend *b, struct ol_tensor y, const int64_t *firsts,
                       int n_pieces, const int32_t *rows, const float *scales,
                       struct ol_tensor sum, struct ol_error *err);
int ol_cpu_add_sum(struct ol_backend *b, struct ol_tensor x, struct ol_tensor sum,
                   struct ol_error *err);
/* largest.c: 0 of OL_NO_COLUMN. */
float ol_cpu_value_at(struct ol_tensor x, int64_t row, uint32_t column);
int ol_cpu_largest(struct ol_backend *b, struct ol_tensor x, int k, uint16_t *columns,
                   float *values, struct ol_error *err);
int ol_cpu_pick(struct ol_backend *b, struct ol_tensor x, int k, const uint16_t *columns,
                float *values, struct ol_error *err);
struct ol_contribution_tables *
ol_cpu_contributions_new(struct ol_backend *b, const struct ol_contribution_sizes *sizes,
                         struct ol_error *err);
void ol_cpu_contributions_free(struct ol_backend *b, struct ol_contribution_tables *t);
int ol_cpu_contributions_begin(struct ol_backend *b, struct ol_contribution_tables *t,
                               struct ol_error *err);
int ol_cpu_contributions_attention(struct ol_backend *b, struct ol_contribution_tables *t,
                                   int64_t first, struct ol_tensor stream,
                                   struct ol_tensor x, struct ol_error *err);
int ol_cpu_contributions_inputs(struct ol_backend *b, struct ol_contribution_tables *t,
                                const struct ol_component_rows *rows, struct ol_tensor x,
                                struct ol_error *err);
int ol_cpu_contributions_outputs(struct ol_backend *b, struct ol_contribution_tables *t,
                                 const struct ol_component_rows *rows, int n_slots,
                                 struct ol_tensor y, struct ol_error *err);
int ol_cpu_contributions_take(struct ol_backend *b, struct ol_contribution_tables *t,
                              struct ol_tensor stream,
                              const struct ol_contributions_made *made,
                              struct ol_error *err);
int ol_cpu_round_rows(struct ol_backend *b, struct ol_tensor x, const int32_t *places,
                      struct ol_tensor out, struct ol_error *err);
int ol_cpu_set_columns(struct ol_backend *b, struct ol_tensor x, int k,
                       const uint16_t *columns, const float *values,
                       struct ol_error *err);
int ol_cpu_add_squares(struct ol_backend *b, struct ol_tensor x, struct ol_tensor sums,
                       struct ol_error *err);
int ol_cpu_head_moments(struct ol_backend *b, struct ol_tensor x,
                        struct ol_tensor moments, struct ol_error *err);
int ol_cpu_head_columns(struct ol_backend *b, struct ol_tensor x,
                        struct ol_tensor moments, struct ol_tensor columns,
                        struct ol_error *err);
struct ol_down_tables *ol_cpu_down_new(struct ol_backend *b,
                                       const struct ol_down_sizes *most,
                                       struct ol_error *err);
void ol_cpu_down_free(struct ol_backend *b, struct ol_down_tables *t);
int ol_cpu_down_begin(struct ol_backend *b, struct ol_down_tables *t,
                      const struct ol_down_sizes *layer, struct ol_error *err);
int ol_cpu_down_see(struct ol_backend *b, struct ol_down_tables *t,
                    const struct ol_down_seen *seen, struct ol_tensor x,
                    struct ol_error *err);
int ol_cpu_down_take(struct ol_backend *b, struct ol_down_tables *t,
                     const struct ol_down_made *made, struct ol_error *err);
int ol_cpu_digest_begin(struct ol_backend *b, struct ol_tensor x, uint32_t least,
                        struct ol_digest *digest, struct ol_error *err);
int ol_cpu_histogram_begin(struct ol_backend *b, int64_t *counts, struct ol_error *err);
void ol_cpu_free_histograms(struct ol_cpu *cpu);
int ol_cpu_nll(struct ol_backend *b, struct ol_tensor x, struct ol_weight weight,
               double cap, const int32_t *targets, float *nll, struct ol_error *err);

#endif
