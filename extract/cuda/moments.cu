/* row_moments, column_maxima and codes: what is looked at of the rows of components,
 * rounded to bf16. A warp per row, a thread per column of a piece, a thread per value; in
 * pieces, so that scratch does not grow with the rows. */
#include "extract/cuda/cuda.h"
#include "extract/cuda/device.h"

enum { THREADS = 256, WARPS = THREADS / OL_WARP, N_SUMS = OL_MOMENT_FOURTH + 1 };

/* Of what comes back at a time, as far as one row of it is not longer. */
static constexpr int64_t MOST_BYTES = 1 << 20;

static int64_t at_a_time(int64_t row_bytes)
{
    return row_bytes < MOST_BYTES ? MOST_BYTES / row_bytes : 1;
}

template <typename T> static __device__ __forceinline__ float rounded(T x)
{
    return ol_round_as<struct ol_bf16>(ol_value(x));
}

/* Lane by lane, then by halves: the order of the CPU's. */
template <typename T>
static __global__ void __launch_bounds__(THREADS)
    row_moments(const T *x, int64_t n_rows, int64_t n_cols, double *moments)
{
    const unsigned lane = threadIdx.x % OL_WARP;
    const int64_t row = (int64_t)blockIdx.x * WARPS + threadIdx.x / OL_WARP;
    /* All lanes of a warp have the same row. */
    if (row >= n_rows)
        return;
    double sums[N_SUMS] = {0, 0, 0, 0};
    float largest = -INFINITY, smallest = INFINITY;
    for (int64_t c = lane; c < n_cols; c += OL_WARP) {
        const float value = rounded(x[row * n_cols + c]);
        const double wide = (double)value, square = wide * wide;
        sums[OL_MOMENT_FIRST] += wide;
        sums[OL_MOMENT_SECOND] += square;
        sums[OL_MOMENT_THIRD] += square * wide;
        sums[OL_MOMENT_FOURTH] += square * square;
        largest = value > largest ? value : largest;
        smallest = value < smallest ? value : smallest;
    }
    for (int k = 0; k < N_SUMS; k++)
        sums[k] = ol_warp_sum(sums[k]);
    for (int apart = OL_WARP / 2; apart > 0; apart /= 2) {
        const float high = __shfl_xor_sync(OL_FULL_WARP, largest, apart);
        const float low = __shfl_xor_sync(OL_FULL_WARP, smallest, apart);
        largest = high > largest ? high : largest;
        smallest = low < smallest ? low : smallest;
    }
    if (lane != 0)
        return;
    for (int k = 0; k < N_SUMS; k++)
        moments[row * OL_N_MOMENTS + k] = sums[k];
    moments[row * OL_N_MOMENTS + OL_MOMENT_LARGEST] = (double)largest;
    moments[row * OL_N_MOMENTS + OL_MOMENT_SMALLEST] = (double)smallest;
}

template <typename T>
static int run_moments(struct ol_cuda *cuda, struct ol_tensor x, double *moments,
                       struct ol_error *err)
{
    return ol_launch(cuda, err, "row_moments", row_moments<T>,
                     dim3(ol_cuda_blocks(x.n_rows, WARPS)), dim3(THREADS), 0,
                     (const T *)x.data, x.n_rows, x.n_cols, moments);
}

int ol_cuda_row_moments(struct ol_backend *b, struct ol_tensor x, double *moments,
                        struct ol_error *err)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    const int64_t step = at_a_time(OL_N_MOMENTS * (int64_t)sizeof *moments);
    for (int64_t first = 0; first < x.n_rows; first += step) {
        const int64_t n = x.n_rows - first < step ? x.n_rows - first : step;
        const size_t bytes = (size_t)(n * OL_N_MOMENTS) * sizeof *moments;
        const struct ol_tensor rows = ol_tensor_rows(x, first, n);
        if (ol_cuda_enter(cuda, err) != 0)
            return -1;
        double *found = (double *)ol_cuda_scratch(cuda, bytes, err);
        if (found == NULL ||
            (x.dtype == OL_DTYPE_BF16
                 ? run_moments<struct ol_bf16>(cuda, rows, found, err)
                 : run_moments<float>(cuda, rows, found, err)) != 0 ||
            ol_cuda_get(cuda, found, moments + first * OL_N_MOMENTS, bytes, err) != 0)
            return -1;
    }
    return 0;
}

/* n values: of all columns of one piece after another. */
template <typename T>
static __global__ void column_maxima(const T *x, int64_t n_cols, const int64_t *firsts,
                                     const int64_t *ends, uint16_t *maxima, int64_t n)
{
    const int64_t i = ol_thread_index();
    if (i >= n)
        return;
    const int64_t piece = i / n_cols, c = i - piece * n_cols;
    unsigned most = 0;
    for (int64_t row = firsts[piece]; row < ends[piece]; row++) {
        const unsigned code = ol_bf16_bits(ol_value(x[row * n_cols + c])) & 0x7fffu;
        most = code > most ? code : most;
    }
    maxima[i] = (uint16_t)most;
}

template <typename T>
static int run_maxima(struct ol_cuda *cuda, struct ol_tensor x, int64_t n_pieces,
                      const int64_t *firsts, const int64_t *ends, uint16_t *maxima,
                      struct ol_error *err)
{
    const int64_t n = n_pieces * x.n_cols;
    return ol_launch(cuda, err, "column_maxima", column_maxima<T>,
                     dim3(ol_cuda_blocks(n, THREADS)), dim3(THREADS), 0,
                     (const T *)x.data, x.n_cols, firsts, ends, maxima, n);
}

int ol_cuda_column_maxima(struct ol_backend *b, struct ol_tensor x, int n_pieces,
                          const int64_t *firsts, const int64_t *ends, uint16_t *maxima,
                          struct ol_error *err)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    const int64_t step = at_a_time(x.n_cols * (int64_t)sizeof *maxima);
    for (int64_t first = 0; first < n_pieces; first += step) {
        const int64_t n = n_pieces - first < step ? n_pieces - first : step;
        const size_t bytes = (size_t)(n * x.n_cols) * sizeof *maxima,
                     places = (size_t)n * sizeof *firsts;
        if (ol_cuda_enter(cuda, err) != 0)
            return -1;
        const int64_t *from =
            (const int64_t *)ol_cuda_put(cuda, firsts + first, places, err);
        const int64_t *to =
            from != NULL ? (const int64_t *)ol_cuda_put(cuda, ends + first, places, err)
                         : NULL;
        uint16_t *found =
            to != NULL ? (uint16_t *)ol_cuda_scratch(cuda, bytes, err) : NULL;
        if (found == NULL ||
            (x.dtype == OL_DTYPE_BF16
                 ? run_maxima<struct ol_bf16>(cuda, x, n, from, to, found, err)
                 : run_maxima<float>(cuda, x, n, from, to, found, err)) != 0 ||
            ol_cuda_get(cuda, found, maxima + first * x.n_cols, bytes, err) != 0)
            return -1;
    }
    return 0;
}

template <typename T>
static __global__ void codes_of(const T *x, int64_t n_cols, const int64_t *rows,
                                uint16_t *codes, int64_t n)
{
    const int64_t i = ol_thread_index();
    if (i < n)
        codes[i] = ol_bf16_bits(ol_value(x[rows[i / n_cols] * n_cols + i % n_cols]));
}

template <typename T>
static int run_codes(struct ol_cuda *cuda, struct ol_tensor x, const int64_t *rows,
                     uint16_t *codes, int64_t n_rows, struct ol_error *err)
{
    const int64_t n = n_rows * x.n_cols;
    return ol_launch(cuda, err, "codes", codes_of<T>, dim3(ol_cuda_blocks(n, THREADS)),
                     dim3(THREADS), 0, (const T *)x.data, x.n_cols, rows, codes, n);
}

int ol_cuda_codes(struct ol_backend *b, struct ol_tensor x, int64_t n,
                  const int64_t *rows, uint16_t *codes, struct ol_error *err)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    const int64_t step = at_a_time(x.n_cols * (int64_t)sizeof *codes);
    for (int64_t first = 0; first < n; first += step) {
        const int64_t some = n - first < step ? n - first : step;
        const size_t bytes = (size_t)(some * x.n_cols) * sizeof *codes;
        if (ol_cuda_enter(cuda, err) != 0)
            return -1;
        const int64_t *wanted = (const int64_t *)ol_cuda_put(
            cuda, rows + first, (size_t)some * sizeof *rows, err);
        uint16_t *found =
            wanted != NULL ? (uint16_t *)ol_cuda_scratch(cuda, bytes, err) : NULL;
        if (found == NULL ||
            (x.dtype == OL_DTYPE_BF16
                 ? run_codes<struct ol_bf16>(cuda, x, wanted, found, some, err)
                 : run_codes<float>(cuda, x, wanted, found, some, err)) != 0 ||
            ol_cuda_get(cuda, found, codes + first * x.n_cols, bytes, err) != 0)
            return -1;
    }
    return 0;
}
