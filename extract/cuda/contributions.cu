/* Tables of contributions: who writes into the stream. They stay on the device until a
 * layer is done; what it came to is left as a result (results.cu). */
#include "extract/cuda/cuda.h"
#include "extract/cuda/device.h"

enum { THREADS = 256 };

struct ol_contribution_tables {
    struct ol_contribution_sizes sizes;
    size_t bytes;
    void *memory; /* of all that follow */
    struct ol_component *components;
    float *attention; /* [n_rows, OL_CANDIDATES] */
    /* By row and slot: [n_rows, most_slots, OL_CANDIDATES or OL_OWN_LARGEST] */
    float *at_candidates, *own_values;
    uint16_t *candidates; /* [n_rows, OL_CANDIDATES] */
    uint16_t *own_columns;
};

/* ---- life ---- */

static size_t up(size_t bytes)
{
    enum { ALIGNMENT = 256 };
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

struct ol_contribution_tables *
ol_cuda_contributions_new(struct ol_backend *b, const struct ol_contribution_sizes *sizes,
                          struct ol_error *err)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    struct ol_contribution_tables *t =
        (struct ol_contribution_tables *)ol_xcalloc(1, sizeof *t);
    const size_t n = (size_t)sizes->n_rows, n_slots = n * (size_t)sizes->most_slots;
    const size_t parts[] = {(size_t)sizes->most_components * sizeof *t->components,
                            n * OL_CANDIDATES * sizeof(float),
                            n_slots * OL_CANDIDATES * sizeof(float),
                            n_slots * OL_OWN_LARGEST * sizeof(float),
                            n * OL_CANDIDATES * sizeof(uint16_t),
                            n_slots * OL_OWN_LARGEST * sizeof(uint16_t)};
    char *at[sizeof parts / sizeof parts[0]];
    t->sizes = *sizes;
    for (size_t part : parts)
        t->bytes += up(part);
    if (ol_cuda_enter(cuda, err) == 0)
        t->memory = ol_cuda_memory_new(cuda, t->bytes, "contributions", err);
    if (t->memory == NULL) {
        free(t);
        return NULL;
    }
    char *memory = (char *)t->memory;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        at[i] = memory;
        memory += up(parts[i]);
    }
    t->components = (struct ol_component *)(void *)at[0];
    t->attention = (float *)(void *)at[1];
    t->at_candidates = (float *)(void *)at[2];
    t->own_values = (float *)(void *)at[3];
    t->candidates = (uint16_t *)(void *)at[4];
    t->own_columns = (uint16_t *)(void *)at[5];
    return t;
}

void ol_cuda_contributions_free(struct ol_backend *b, struct ol_contribution_tables *t)
{
    if (t != NULL)
        ol_cuda_memory_free(ol_cuda_of(b), t->memory, t->bytes);
    free(t);
}

static __global__ void clear(struct ol_component *components, int n)
{
    const int64_t i = ol_thread_index();
    if (i < n)
        components[i] = {0, {0, 0, -1}, {0, 0, -1}};
}

int ol_cuda_contributions_begin(struct ol_backend *b, struct ol_contribution_tables *t,
                                struct ol_error *err)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    const int n = t->sizes.most_components;
    if (ol_cuda_enter(cuda, err) != 0)
        return -1;
    return ol_launch(cuda, err, "contributions", clear, dim3(ol_cuda_blocks(n, THREADS)),
                     dim3(THREADS), 0, t->components, n);
}

int ol_cuda_contributions_attention(struct ol_backend *b,
                                    struct ol_contribution_tables *t, int64_t first,
                                    struct ol_tensor stream, struct ol_tensor x,
                                    struct ol_error *err)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    uint16_t *candidates = t->candidates + first * OL_CANDIDATES;
    if (ol_cuda_enter(cuda, err) != 0)
        return -1;
    float *values = (float *)ol_cuda_scratch(
        cuda, (size_t)x.n_rows * OL_CANDIDATES * sizeof *values, err);
    if (values == NULL ||
        ol_cuda_find_largest(cuda, stream, OL_CANDIDATES, candidates, values, err) != 0)
        return -1;
    return ol_cuda_pick_from(cuda, x, OL_CANDIDATES, candidates,
                             t->attention + first * OL_CANDIDATES, err);
}

/* ---- components ---- */

/* Rows of components, on the device. */
struct group {
    int n;
    const int *components;
    const int64_t *firsts, *ends;
    const int *rows, *slots;
    const float *gates; /* NULL: 1 */
};

static int put_group(struct ol_cuda *cuda, const struct ol_component_rows *rows,
                     int64_t n_rows, struct group *g, struct ol_error *err)
{
    const size_t n = (size_t)rows->n, all = (size_t)n_rows;
    const bool scales = rows->scales_outputs && rows->gates != NULL;
    const struct ol_cuda_put_part parts[] = {
        {rows->components, n * sizeof *g->components, (const void **)&g->components},
        {rows->firsts, n * sizeof *g->firsts, (const void **)&g->firsts},
        {rows->ends, n * sizeof *g->ends, (const void **)&g->ends},
        {rows->rows, all * sizeof *g->rows, (const void **)&g->rows},
        {rows->slots, all * sizeof *g->slots, (const void **)&g->slots},
        {scales ? rows->gates : NULL, all * sizeof *g->gates, (const void **)&g->gates},
    };
    memset(g, 0, sizeof *g);
    g->n = rows->n;
    return ol_cuda_put_parts(cuda, parts, sizeof parts / sizeof parts[0], err);
}

/* The order of values, larger first, in a whole number: magnitudes, NaN above any, then
 * rows falling. 0 is no value's. */
static __device__ __forceinline__ unsigned long long rank_of(float value, int64_t row)
{
    const unsigned magnitude = __float_as_uint(value) & 0x7fffffffu;
    return (unsigned long long)min(magnitude, 0x7f800001u) << 32 |
           (0xffffffffu - (unsigned)row);
}

/* One block per component of the group. Groups come with rising rows, so that of equals
 * the one that is there stays. */
static __global__ void keep_extremes(const struct group g, int k, const uint16_t *columns,
                                     const float *values, bool output,
                                     struct ol_component *components)
{
    OL_SHARED(unsigned long long, best_of, THREADS / OL_WARP);
    const int64_t first = g.firsts[blockIdx.x], end = g.ends[blockIdx.x];
    unsigned long long best = 0;
    for (int64_t r = first + threadIdx.x; r < end; r += blockDim.x) {
        const unsigned long long rank = rank_of(values[r * k], r - first);
        best = rank > best ? rank : best;
    }
    for (int apart = OL_WARP / 2; apart > 0; apart /= 2) {
        const unsigned long long other = __shfl_xor_sync(OL_FULL_WARP, best, apart);
        best = other > best ? other : best;
    }
    if (threadIdx.x % OL_WARP == 0)
        best_of[threadIdx.x / OL_WARP] = best;
    __syncthreads();
    if (threadIdx.x != 0 || end <= first)
        return;
    for (int w = 1; w < THREADS / OL_WARP; w++)
        best = best_of[w] > best ? best_of[w] : best;
    struct ol_component *c = &components[g.components[blockIdx.x]];
    struct ol_extreme *e = output ? &c->output : &c->input;
    const int64_t r = first + (0xffffffffu - (unsigned)(best & 0xffffffffu));
    const float value = values[r * k];
    if (e->row < 0 || rank_of(value, 0) > rank_of(e->value, 0))
        *e = {value, columns[r * k], g.rows[r]};
    if (output)
        c->n_tokens += end - first;
}

static int run_extremes(struct ol_cuda *cuda, const struct group *g, int k,
                        const uint16_t *columns, const float *values, bool output,
                        struct ol_contribution_tables *t, struct ol_error *err)
{
    return ol_launch(cuda, err, "contributions", keep_extremes, dim3((unsigned)g->n),
                     dim3(THREADS), 0, *g, k, columns, values, output, t->components);
}

/* Room for the k largest of each row. */
static int find_own(struct ol_cuda *cuda, struct ol_tensor x, int k, uint16_t **columns,
                    float **values, struct ol_error *err)
{
    const size_t n = (size_t)(x.n_rows * k);
    *columns = (uint16_t *)ol_cuda_scratch(cuda, n * sizeof **columns, err);
    *values = (float *)ol_cuda_scratch(cuda, n * sizeof **values, err);
    if (*columns == NULL || *values == NULL)
        return -1;
    return ol_cuda_find_largest(cuda, x, k, *columns, *values, err);
}

int ol_cuda_contributions_inputs(struct ol_backend *b, struct ol_contribution_tables *t,
                                 const struct ol_component_rows *rows, struct ol_tensor x,
                                 struct ol_error *err)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    struct group g;
    uint16_t *columns;
    float *values;
    if (ol_cuda_enter(cuda, err) != 0 || put_group(cuda, rows, x.n_rows, &g, err) != 0 ||
        find_own(cuda, x, 1, &columns, &values, err) != 0)
        return -1;
    return run_extremes(cuda, &g, 1, columns, values, false, t, err);
}

/* A row's outputs where its token's stream is large, and its own largest ones. */
template <typename T>
static __global__ void keep_outputs(const struct group g, const T *y, int64_t n_cols,
                                    int64_t n, const uint16_t *columns,
                                    const float *values, int n_slots,
                                    struct ol_contribution_tables t)
{
    const int64_t r = ol_thread_index();
    if (r >= n || g.rows[r] >= t.sizes.n_rows)
        return;
    const int64_t row = g.rows[r];
    const int slot = g.slots != nullptr ? g.slots[r] : n_slots - 1;
    const float scale = g.gates != nullptr ? g.gates[r] : 1;
    const int64_t at = row * t.sizes.most_slots + slot;
    /* Of another width than the stream: what it writes there is not known. */
    const bool narrow = n_cols != t.sizes.width;
    for (int c = 0; c < OL_OWN_LARGEST; c++) {
        t.own_columns[at * OL_OWN_LARGEST + c] =
            narrow ? (uint16_t)OL_NO_COLUMN : columns[r * OL_OWN_LARGEST + c];
        t.own_values[at * OL_OWN_LARGEST + c] = scale * values[r * OL_OWN_LARGEST + c];
    }
    for (int c = 0; c < OL_CANDIDATES; c++) {
        const unsigned column = t.candidates[row * OL_CANDIDATES + c];
        const float value = narrow                   ? NAN
                            : column == OL_NO_COLUMN ? 0
                                                     : ol_value(y[r * n_cols + column]);
        t.at_candidates[at * OL_CANDIDATES + c] = scale * value;
    }
}

template <typename T>
static int run_outputs(struct ol_cuda *cuda, const struct group *g, struct ol_tensor y,
                       const uint16_t *columns, const float *values, int n_slots,
                       const struct ol_contribution_tables *t, struct ol_error *err)
{
    return ol_launch(cuda, err, "contributions", keep_outputs<T>,
                     dim3(ol_cuda_blocks(y.n_rows, THREADS)), dim3(THREADS), 0, *g,
                     (const T *)y.data, y.n_cols, y.n_rows, columns, values, n_slots, *t);
}

int ol_cuda_contributions_outputs(struct ol_backend *b, struct ol_contribution_tables *t,
                                  const struct ol_component_rows *rows, int n_slots,
                                  struct ol_tensor y, struct ol_error *err)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    struct group g;
    uint16_t *columns;
    float *values;
    if (ol_cuda_enter(cuda, err) != 0 || put_group(cuda, rows, y.n_rows, &g, err) != 0 ||
        find_own(cuda, y, OL_OWN_LARGEST, &columns, &values, err) != 0 ||
        run_extremes(cuda, &g, OL_OWN_LARGEST, columns, values, true, t, err) != 0)
        return -1;
    return y.dtype == OL_DTYPE_BF16
               ? run_outputs<struct ol_bf16>(cuda, &g, y, columns, values, n_slots, t,
                                             err)
               : run_outputs<float>(cuda, &g, y, columns, values, n_slots, t, err);
}

/* ---- what the layer came to ---- */

static __device__ __forceinline__ int find(const uint16_t *columns, int n,
                                           uint16_t column)
{
    for (int i = 0; i < n; i++)
        if (columns[i] == column)
            return i;
    return -1;
}

/* A thread for each of the k largest dimensions of each row. A dimension that is large
 * after the layer was so before, or was made so by a component: the rest is not known. */
static __global__ void describe(const struct ol_contribution_tables t, int64_t n, int k,
                                int n_slots, const uint16_t *features,
                                const float *values, float *writes)
{
    const int64_t i = ol_thread_index();
    if (i >= n)
        return;
    const float unknown = __uint_as_float(0x7fc00000u);
    const int64_t row = i / k;
    const uint16_t column = features[i];
    const int candidate = find(t.candidates + row * OL_CANDIDATES, OL_CANDIDATES, column);
    float *to = writes + i * (2 + n_slots);
    to[0] = values[i];
    to[1] = candidate >= 0 ? t.attention[row * OL_CANDIDATES + candidate] : unknown;
    for (int s = 0; s < n_slots; s++) {
        const int64_t at = row * t.sizes.most_slots + s;
        const int own = find(t.own_columns + at * OL_OWN_LARGEST, OL_OWN_LARGEST, column);
        to[2 + s] = candidate >= 0 ? t.at_candidates[at * OL_CANDIDATES + candidate]
                    : own >= 0     ? t.own_values[at * OL_OWN_LARGEST + own]
                                   : unknown;
    }
}

int ol_cuda_contributions_take(struct ol_backend *b, struct ol_contribution_tables *t,
                               struct ol_tensor stream,
                               const struct ol_contributions_made *made,
                               struct ol_error *err)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    const int64_t n = stream.n_rows * made->k;
    const size_t features_bytes = (size_t)n * sizeof(uint16_t);
    const size_t writes_bytes = (size_t)n * (size_t)(2 + made->n_slots) * sizeof(float);
    const size_t components_bytes = (size_t)made->n_components * sizeof *made->components;
    assert(made->k <= OL_CANDIDATES && stream.n_rows == t->sizes.n_rows);
    const struct ol_cuda_places places = {
        3,
        {{made->components, 0, components_bytes},
         {made->writes, components_bytes, writes_bytes},
         {made->features, components_bytes + writes_bytes, features_bytes}}};
    char *all = (char *)ol_cuda_result_begin(
        cuda, components_bytes + writes_bytes + features_bytes, err);
    float *values = all != NULL
                        ? (float *)ol_cuda_scratch(cuda, (size_t)n * sizeof *values, err)
                        : NULL;
    if (values == NULL)
        return -1;
    float *writes = (float *)(void *)(all + places.of[1].at);
    uint16_t *features = (uint16_t *)(void *)(all + places.of[2].at);
    if (ol_cuda_check(cudaMemcpyAsync(all, t->components, components_bytes,
                                      cudaMemcpyDeviceToDevice, cuda->stream),
                      "copying components", err) != 0 ||
        ol_cuda_find_largest(cuda, stream, made->k, features, values, err) != 0 ||
        ol_launch(cuda, err, "contributions", describe, dim3(ol_cuda_blocks(n, THREADS)),
                  dim3(THREADS), 0, *t, n, made->k, made->n_slots, features, values,
                  writes) != 0)
        return -1;
    return ol_cuda_result_end_places(cuda, &places, err);
}
