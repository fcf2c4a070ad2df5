/* Tables of what goes into down projections: exact sums of powers, extremes, the largest
 * magnitude of each column, and some rows; of values rounded to bf16. They stay on the
 * device until a layer is done, and are left as a result (results.cu). What rows come to
 * is added by atomics of whole numbers, whose order does not show: the digits of exact
 * sums, and ranks of values. */
#include "extract/cuda/cuda.h"
#include "extract/cuda/device.h"

enum {
    THREADS = 256,
    WARPS = THREADS / OL_WARP,
    ROWS = 64, /* of a column that a thread looks at */
    EXTREMES =
        3, /* ranks of the largest and, falling, the smallest value; unknown sums */
};

struct ol_down_tables {
    struct ol_down_sizes most, sizes; /* of any layer, and of this one */
    size_t bytes;
    char *memory;               /* of all that follow, one behind the other */
    unsigned long long *digits; /* [n_components][OL_DOWN_POWERS][OL_EXACT_DIGITS] */
    unsigned *extremes;         /* [n_components][EXTREMES] */
    unsigned *maxima;           /* [n_maxima]: bf16 */
    uint16_t *codes;            /* [n_codes]: bf16 */
};

/* ---- life ---- */

struct parts {
    size_t digits, extremes, maxima, codes;
};

static struct parts parts_of(const struct ol_down_sizes *s)
{
    const size_t n = (size_t)s->n_components;
    return {n * OL_DOWN_POWERS * OL_EXACT_DIGITS * sizeof(unsigned long long),
            n * EXTREMES * sizeof(unsigned), (size_t)s->n_maxima * sizeof(unsigned),
            (size_t)s->n_codes * sizeof(uint16_t)};
}

static size_t bytes_of(const struct ol_down_sizes *s)
{
    const struct parts p = parts_of(s);
    return p.digits + p.extremes + p.maxima + p.codes;
}

struct ol_down_tables *ol_cuda_down_new(struct ol_backend *b,
                                        const struct ol_down_sizes *most,
                                        struct ol_error *err)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    struct ol_down_tables *t = (struct ol_down_tables *)ol_xcalloc(1, sizeof *t);
    t->most = *most;
    t->bytes = bytes_of(most);
    if (ol_cuda_enter(cuda, err) == 0)
        t->memory =
            (char *)ol_cuda_memory_new(cuda, t->bytes, "inputs of down projections", err);
    if (t->memory != NULL)
        return t;
    free(t);
    return NULL;
}

void ol_cuda_down_free(struct ol_backend *b, struct ol_down_tables *t)
{
    if (t != NULL)
        ol_cuda_memory_free(ol_cuda_of(b), t->memory, t->bytes);
    free(t);
}

int ol_cuda_down_begin(struct ol_backend *b, struct ol_down_tables *t,
                       const struct ol_down_sizes *layer, struct ol_error *err)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    const struct parts p = parts_of(layer);
    assert(bytes_of(layer) <= t->bytes);
    t->sizes = *layer;
    t->digits = (unsigned long long *)(void *)t->memory;
    t->extremes = (unsigned *)(void *)(t->memory + p.digits);
    t->maxima = (unsigned *)(void *)(t->memory + p.digits + p.extremes);
    t->codes = (uint16_t *)(void *)(t->memory + p.digits + p.extremes + p.maxima);
    if (ol_cuda_enter(cuda, err) != 0)
        return -1;
    return ol_cuda_check(cudaMemsetAsync(t->memory, 0, bytes_of(layer), cuda->stream),
                         "clearing tables of down projections", err);
}

/* ---- what is seen ---- */

/* Rows of components, on the device. */
struct group {
    int n;
    const int *components;
    const int64_t *firsts, *ends, *maxima_at;
};

/* The component that has a row, or the last before it. */
static __device__ __forceinline__ int piece_of(const struct group g, int64_t row)
{
    int low = 0, high = g.n - 1;
    while (low < high) {
        const int middle = (low + high + 1) / 2;
        if (g.firsts[middle] <= row)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

template <typename T> static __device__ __forceinline__ float rounded(T x)
{
    return ol_round_as<struct ol_bf16>(ol_value(x));
}

/* Values as whole numbers in their order; 0 is no value's. A zero of either sign is the
 * same. */
static __device__ __forceinline__ unsigned rank_of(float value)
{
    const unsigned bits = __float_as_uint(value + 0.0f);
    return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}

/* What exact_sum.c does: a double as digits of 32 bits with its sign. */
static __device__ void add_exactly(unsigned long long *digits, unsigned *unknown,
                                   double value)
{
    unsigned long long bits;
    memcpy(&bits, &value, sizeof bits);
    const unsigned exponent = (unsigned)(bits >> 52) & 0x7ffu;
    const bool negative = bits >> 63 != 0;
    unsigned long long significand = bits & 0xfffffffffffffull;
    if (exponent == 0x7ffu) {
        atomicOr(unknown, 1u);
        return;
    }
    if (exponent != 0)
        significand |= 1ull << 52;
    if (significand == 0)
        return;
    const int at = (int)(exponent == 0 ? 1 : exponent) - 1075 - OL_EXACT_LOWEST;
    const int digit = at / 32, shift = at % 32;
    const unsigned long long mask = 0xffffffffull, low = (significand & mask) << shift,
                             high = (significand >> 32) << shift;
    const unsigned long long parts[] = {low & mask, (low >> 32) + (high & mask),
                                        high >> 32};
    for (int i = 0; i < 3; i++)
        atomicAdd(&digits[digit + i], negative ? 0 - parts[i] : parts[i]);
}

/* A warp per row; lane by lane, then by halves: the order of the CPU's sums. */
template <typename T>
static __global__ void __launch_bounds__(THREADS)
    add_rows(const T *x, int64_t n_rows, int64_t n_cols, const struct group g,
             unsigned long long *digits, unsigned *extremes)
{
    const unsigned lane = threadIdx.x % OL_WARP;
    const int64_t row = (int64_t)blockIdx.x * WARPS + threadIdx.x / OL_WARP;
    /* All lanes of a warp have the same row. */
    if (row >= n_rows)
        return;
    const int piece = piece_of(g, row);
    if (row < g.firsts[piece] || row >= g.ends[piece])
        return;
    double sums[OL_DOWN_POWERS] = {0, 0, 0, 0};
    float largest = -INFINITY, smallest = INFINITY;
    for (int64_t c = lane; c < n_cols; c += OL_WARP) {
        const float value = rounded(x[row * n_cols + c]);
        const double wide = (double)value, square = wide * wide;
        sums[0] += wide;
        sums[1] += square;
        sums[2] += square * wide;
        sums[3] += square * square;
        largest = value > largest ? value : largest;
        smallest = value < smallest ? value : smallest;
    }
    for (int k = 0; k < OL_DOWN_POWERS; k++)
        sums[k] = ol_warp_sum(sums[k]);
    for (int apart = OL_WARP / 2; apart > 0; apart /= 2) {
        const float high = __shfl_xor_sync(OL_FULL_WARP, largest, apart);
        const float low = __shfl_xor_sync(OL_FULL_WARP, smallest, apart);
        largest = high > largest ? high : largest;
        smallest = low < smallest ? low : smallest;
    }
    const int component = g.components[piece];
    unsigned *of = extremes + component * EXTREMES;
    for (int k = 0; k < OL_DOWN_POWERS; k++)
        if (lane == (unsigned)k)
            add_exactly(digits + (component * OL_DOWN_POWERS + k) * OL_EXACT_DIGITS,
                        of + 2, sums[k]);
    if (lane == OL_DOWN_POWERS && largest >= smallest) {
        atomicMax(of, rank_of(largest));
        atomicMax(of + 1, ~rank_of(smallest));
    }
}

/* A thread for some rows of a column, which may be of several components. */
template <typename T>
static __global__ void add_columns(const T *x, int64_t n_rows, int64_t n_cols,
                                   const struct group g, unsigned *maxima, int64_t n)
{
    const int64_t i = ol_thread_index();
    if (i >= n)
        return;
    const int64_t stretch = i / n_cols, c = i - stretch * n_cols;
    int64_t row = stretch * ROWS;
    const int64_t end = row + ROWS < n_rows ? row + ROWS : n_rows;
    for (int piece = piece_of(g, row); row < end && piece < g.n; piece++) {
        unsigned most = 0;
        const int64_t last = g.ends[piece] < end ? g.ends[piece] : end;
        for (row = row > g.firsts[piece] ? row : g.firsts[piece]; row < last; row++) {
            const unsigned code = ol_bf16_bits(ol_value(x[row * n_cols + c])) & 0x7fffu;
            most = code > most ? code : most;
        }
        if (most > 0)
            atomicMax(&maxima[g.maxima_at[piece] + c], most);
    }
}

template <typename T>
static __global__ void keep_rows(const T *x, int64_t n_cols, const int64_t *kept,
                                 const int64_t *codes_at, uint16_t *codes, int64_t n)
{
    const int64_t i = ol_thread_index();
    if (i >= n)
        return;
    const int64_t k = i / n_cols, c = i - k * n_cols;
    codes[codes_at[k] + c] = ol_bf16_bits(ol_value(x[kept[k] * n_cols + c]));
}

template <typename T>
static int run(struct ol_cuda *cuda, struct ol_down_tables *t, const struct group *g,
               const struct ol_down_seen *seen, const int64_t *kept,
               const int64_t *codes_at, struct ol_tensor x, struct ol_error *err)
{
    const T *values = (const T *)x.data;
    const int64_t n = (x.n_rows + ROWS - 1) / ROWS * x.n_cols,
                  n_kept = seen->n_kept * x.n_cols;
    if (ol_launch(cuda, err, "down: rows", add_rows<T>,
                  dim3(ol_cuda_blocks(x.n_rows, WARPS)), dim3(THREADS), 0, values,
                  x.n_rows, x.n_cols, *g, t->digits, t->extremes) != 0 ||
        ol_launch(cuda, err, "down: columns", add_columns<T>,
                  dim3(ol_cuda_blocks(n, THREADS)), dim3(THREADS), 0, values, x.n_rows,
                  x.n_cols, *g, t->maxima, n) != 0)
        return -1;
    return ol_launch(cuda, err, "down: sample", keep_rows<T>,
                     dim3(ol_cuda_blocks(n_kept, THREADS)), dim3(THREADS), 0, values,
                     x.n_cols, kept, codes_at, t->codes, n_kept);
}

int ol_cuda_down_see(struct ol_backend *b, struct ol_down_tables *t,
                     const struct ol_down_seen *seen, struct ol_tensor x,
                     struct ol_error *err)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    const struct ol_component_rows *of = seen->of;
    const size_t n = (size_t)of->n, kept_bytes = (size_t)seen->n_kept * sizeof(int64_t);
    struct group g = {};
    const int64_t *kept = NULL, *codes_at = NULL;
    const struct ol_cuda_put_part parts[] = {
        {of->components, n * sizeof *g.components, (const void **)&g.components},
        {of->firsts, n * sizeof *g.firsts, (const void **)&g.firsts},
        {of->ends, n * sizeof *g.ends, (const void **)&g.ends},
        {seen->maxima_at, n * sizeof *g.maxima_at, (const void **)&g.maxima_at},
        {seen->kept, kept_bytes, (const void **)&kept},
        {seen->codes_at, kept_bytes, (const void **)&codes_at},
    };
    g.n = of->n;
    if (n == 0)
        return 0;
    if (ol_cuda_enter(cuda, err) != 0 ||
        ol_cuda_put_parts(cuda, parts, sizeof parts / sizeof parts[0], err) != 0)
        return -1;
    return x.dtype == OL_DTYPE_BF16
               ? run<struct ol_bf16>(cuda, t, &g, seen, kept, codes_at, x, err)
               : run<float>(cuda, t, &g, seen, kept, codes_at, x, err);
}

/* ---- what the layer came to ---- */

static float value_of(unsigned rank)
{
    const unsigned bits = (rank & 0x80000000u) != 0 ? rank & 0x7fffffffu : ~rank;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void fill_in(const unsigned long long *digits, const unsigned *extremes,
                    struct ol_down_moments *m)
{
    for (int k = 0; k < OL_DOWN_POWERS; k++) {
        memcpy(m->sums[k].digits, digits + k * OL_EXACT_DIGITS, sizeof m->sums[k].digits);
        m->sums[k].n_added = OL_EXACT_MOST_ADDED; /* carries are to be taken */
        m->sums[k].unknown = extremes[2] != 0;
    }
    m->largest = extremes[0] != 0 ? value_of(extremes[0]) : -INFINITY;
    m->smallest = extremes[1] != 0 ? value_of(~extremes[1]) : INFINITY;
}

/* Of a layer's result, until it arrives. */
struct about {
    struct ol_down_sizes sizes;
    struct ol_down_made made;
};

static int arrive(struct ol_cuda *cuda, const void *about, const char *from,
                  struct ol_error *err)
{
    const struct about *a = (const struct about *)about;
    const struct ol_down_made *made = &a->made;
    const struct parts p = parts_of(&a->sizes);
    const void *const extremes_at = from + p.digits, *const maxima_at =
                                                         from + p.digits + p.extremes;
    const unsigned long long *digits = (const unsigned long long *)(const void *)from;
    const unsigned *extremes = (const unsigned *)extremes_at;
    const unsigned *maxima = (const unsigned *)maxima_at;
    (void)cuda, (void)err;
    for (int i = 0; i < a->sizes.n_components; i++)
        fill_in(digits + i * OL_DOWN_POWERS * OL_EXACT_DIGITS, extremes + i * EXTREMES,
                &made->moments[i]);
    for (int64_t c = 0; c < a->sizes.n_maxima; c++)
        made->maxima[c] = (uint16_t)maxima[c];
    memcpy(made->codes, from + p.digits + p.extremes + p.maxima, p.codes);
    return 0;
}

int ol_cuda_down_take(struct ol_backend *b, struct ol_down_tables *t,
                      const struct ol_down_made *made, struct ol_error *err)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    const size_t bytes = bytes_of(&t->sizes);
    const struct about about = {t->sizes, *made};
    void *to = ol_cuda_result_begin(cuda, bytes, err);
    if (to == NULL ||
        ol_cuda_check(
            cudaMemcpyAsync(to, t->memory, bytes, cudaMemcpyDeviceToDevice, cuda->stream),
            "copying inputs of down projections", err) != 0)
        return -1;
    return ol_cuda_result_end(cuda, arrive, &about, sizeof about, err);
}
