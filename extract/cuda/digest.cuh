/* What digest.cu, which makes a digest, and digests.cu, which brings it back, share. */
#ifndef OL_CUDA_DIGEST_CUH
#define OL_CUDA_DIGEST_CUH

#include "extract/cuda/cuda.h"

/* Of a tile of a weight: for parts, for the list, for codes. */
enum { OL_CUDA_DIGEST_SHARES = 8 };

/* Of columns, one behind the other as in a digest: of each run, or of all. */
struct ol_cuda_columns {
    double *sums, *squares;
    float *maxima, *minima;
};

struct ol_cuda_occurrences {
    unsigned long long *n; /* also of those for which there is no room */
    struct ol_occurrence *list;
    unsigned long long most;
};

/* n columns in so many bytes. */
static inline struct ol_cuda_columns ol_cuda_columns_in(void *memory, int64_t n)
{
    struct ol_cuda_columns c;
    c.sums = (double *)memory;
    c.squares = c.sums + n;
    c.maxima = (float *)(c.squares + n);
    c.minima = c.maxima + n;
    return c;
}

/* What is to be made of x, and where; histogram NULL: it is not counted. */
struct ol_cuda_digest_task {
    struct ol_tensor x;
    uint32_t least;
    struct ol_cuda_columns columns;
    struct ol_cuda_occurrences occurrences;
    unsigned long long *histogram;
};
int ol_cuda_run_digest(struct ol_cuda *cuda, const struct ol_cuda_digest_task *task,
                       struct ol_error *err);

/* Nearly all values are of magnitudes between 2^-20 and 2^12, or zero. */
enum {
    OL_CUDA_FIRST_MAGNITUDE = (127 - 20) << 7,
    OL_CUDA_MAGNITUDES = 32 << 7,
    OL_CUDA_NEAR_CODES = 2 * (OL_CUDA_MAGNITUDES + 1), /* of either sign, and its zero */
    OL_CUDA_OTHER_CODES = 1024,
};

/* The code of a place among near ones. */
static __host__ __device__ __forceinline__ unsigned ol_cuda_code_at(unsigned place)
{
    if (place >= 2 * OL_CUDA_MAGNITUDES)
        return (place - 2 * OL_CUDA_MAGNITUDES) << 15;
    return place < OL_CUDA_MAGNITUDES
               ? place + OL_CUDA_FIRST_MAGNITUDE
               : (place - OL_CUDA_MAGNITUDES + OL_CUDA_FIRST_MAGNITUDE) | 0x8000u;
}

/* A histogram as it crosses the link; the others come in any order, and where they are
 * more than there is room for, the histogram itself has to come. */
struct ol_cuda_taken_counts {
    unsigned long long n_others;
    unsigned long long near_counts[OL_CUDA_NEAR_CODES];
    struct {
        unsigned long long code, count;
    } others[OL_CUDA_OTHER_CODES];
};
static_assert(sizeof(struct ol_cuda_taken_counts) <= OL_HISTOGRAM_RESULT_BYTES,
              "as results are told to take");
/* to->n_others is 0. */
int ol_cuda_take_counts(struct ol_cuda *cuda, const unsigned long long *histogram,
                        struct ol_cuda_taken_counts *to, struct ol_error *err);

/* codes = x rounded to bf16, n values on the device. */
int ol_cuda_round_codes(struct ol_cuda *cuda, const float *x, int64_t n, uint16_t *codes,
                        struct ol_error *err);

#endif
