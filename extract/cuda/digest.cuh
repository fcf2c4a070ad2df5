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

/* codes = x rounded to bf16, n values on the device. */
int ol_cuda_round_codes(struct ol_cuda *cuda, const float *x, int64_t n, uint16_t *codes,
                        struct ol_error *err);

#endif
