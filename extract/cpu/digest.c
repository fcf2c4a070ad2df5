/* digest: columns are shared out to the threads in stripes, so that each column's sums
 * grow row by row in one thread. Everything else is counts, and a list whose order does
 * not matter. */
#include "extract/cpu/cpu.h"

#include <assert.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/magnitude.h"

enum {
    STRIPE = 256,      /* a multiple of OL_STRETCH; its sums stay in the nearest cache */
    TASK_CODES = 4096, /* of the work of adding up histograms */
};

struct job {
    struct ol_tensor x;
    uint32_t least;
    struct ol_digest *digest;
    int64_t **histograms;
    int64_t width;         /* of a stripe */
    atomic_int_fast64_t n; /* occurrences */
};

/* Sums of n columns; NaN leaves maximum and minimum as they are. */
static void add_row(const uint16_t *x, int64_t n, float *max, float *min, double *sum,
                    double *squares)
{
    for (int64_t c = 0; c < n; c++) {
        const float value = ol_bf16_to_f32(x[c]);
        max[c] = value > max[c] ? value : max[c];
        min[c] = value < min[c] ? value : min[c];
        sum[c] += (double)value;
        squares[c] += (double)value * (double)value;
    }
}

static void count_codes(const uint16_t *x, int64_t n, int64_t *histogram)
{
    for (int64_t c = 0; c < n; c++)
        histogram[x[c]]++;
}

/* Of a stretch of a row; those that find no room are counted. */
static void list(struct job *j, const struct ol_occurrence *found, int64_t n)
{
    const struct ol_digest *d = j->digest;
    const int64_t first = n > 0 ? atomic_fetch_add(&j->n, n) : 0;
    for (int64_t i = 0; i < n && first + i < d->most_occurrences; i++)
        d->occurrences[first + i] = found[i];
}

static void find_occurrences(struct job *j, const uint16_t *x, int64_t first, int64_t n,
                             int64_t row)
{
    for (int64_t c = 0; c < n; c += OL_STRETCH) {
        const int64_t width = n - c < OL_STRETCH ? n - c : OL_STRETCH;
        uint64_t mask = ol_reaching_bf16(x + c, (uint32_t)width, j->least);
        struct ol_occurrence found[OL_STRETCH];
        int64_t n_found = 0;
        for (; mask != 0; mask &= mask - 1) {
            const int64_t i = c + __builtin_ctzll(mask);
            if ((x[i] & OL_BF16_MAGNITUDE) <= OL_BF16_INFINITY)
                found[n_found++] =
                    (struct ol_occurrence){(int32_t)row, (uint16_t)(first + i), x[i]};
        }
        list(j, found, n_found);
    }
}

/* n values of a row from column `first` on as codes; room: STRIPE. */
static const uint16_t *codes_of(struct ol_tensor x, int64_t row, int64_t first, int64_t n,
                                uint16_t *room)
{
    if (x.dtype == OL_DTYPE_BF16)
        return (const uint16_t *)ol_cpu_row(x, row) + first;
    ol_from_f32(OL_DTYPE_BF16, (const float *)ol_cpu_row(x, row) + first, room,
                (size_t)n);
    return room;
}

static void digest_stripe(void *arg, int64_t i, int thread)
{
    struct job *j = arg;
    const struct ol_digest *d = j->digest;
    const int64_t first = i * j->width, left = d->n_cols - first;
    const int64_t n = left < j->width ? left : j->width;
    float *max = d->maxima + first, *min = d->minima + first;
    for (int64_t c = 0; c < n; c++) {
        max[c] = -INFINITY;
        min[c] = INFINITY;
        d->sums[first + c] = d->squares[first + c] = 0;
    }
    for (int64_t run = 0; run < d->n_rows; run += OL_DIGEST_RUN) {
        const int64_t past =
            run + OL_DIGEST_RUN < d->n_rows ? run + OL_DIGEST_RUN : d->n_rows;
        double sum[STRIPE] = {0}, squares[STRIPE] = {0};
        for (int64_t row = run; row < past; row++) {
            uint16_t room[STRIPE];
            const uint16_t *x = codes_of(j->x, row, first, n, room);
            if (!d->uncounted)
                count_codes(x, n, j->histograms[thread]);
            add_row(x, n, max, min, sum, squares);
            if (j->least > 0)
                find_occurrences(j, x, first, n, row);
        }
        for (int64_t c = 0; c < n; c++) {
            d->sums[first + c] += sum[c];
            d->squares[first + c] += squares[c];
        }
    }
}

static void give_codes(struct ol_tensor x, struct ol_digest *digest)
{
    const size_t n = (size_t)(x.n_rows * x.n_cols);
    if (x.dtype == OL_DTYPE_BF16)
        memcpy(digest->codes, x.data, n * sizeof *digest->codes);
    else
        ol_from_f32(OL_DTYPE_BF16, x.data, digest->codes, n);
}

/* Narrow where there are more threads than wide ones would keep busy. */
static int64_t stripe_width(int64_t n_cols, int n_threads)
{
    int64_t width = STRIPE;
    while (width > OL_STRETCH && n_cols < width * n_threads)
        width /= 2;
    return width;
}

static void new_histograms(struct ol_cpu *cpu)
{
    const int n = ol_pool_threads(cpu->pool);
    cpu->histograms = ol_xcalloc((size_t)n, sizeof *cpu->histograms);
    for (int i = 0; i < n; i++)
        cpu->histograms[i] = ol_xcalloc(OL_N_CODES, sizeof **cpu->histograms);
}

int ol_cpu_digest_begin(struct ol_backend *b, struct ol_tensor x, uint32_t least,
                        struct ol_digest *digest, struct ol_error *err)
{
    (void)err;
    struct ol_cpu *cpu = ol_cpu_of(b);
    assert(x.n_rows == digest->n_rows && x.n_cols == digest->n_cols &&
           x.n_cols <= OL_NO_COLUMN);
    if (cpu->histograms == NULL)
        new_histograms(cpu);
    struct job job = {
        .x = x,
        .least = least,
        .digest = digest,
        .histograms = cpu->histograms,
        .width = stripe_width(x.n_cols, ol_pool_threads(cpu->pool)),
    };
    ol_pool_run(cpu->pool, (x.n_cols + job.width - 1) / job.width, digest_stripe, &job);
    digest->n_occurrences = job.n;
    digest->listed = job.n <= digest->most_occurrences;
    if (!digest->listed)
        give_codes(x, digest);
    return 0;
}

/* ---- the histogram ---- */

struct taking {
    int64_t **histograms, *counts;
    int n;
};

static void take_codes(void *arg, int64_t task, int thread)
{
    (void)thread;
    const struct taking *t = arg;
    const int64_t first = task * TASK_CODES;
    memset(t->counts + first, 0, TASK_CODES * sizeof *t->counts);
    for (int i = 0; i < t->n; i++) {
        int64_t *own = t->histograms[i] + first;
        for (int64_t c = 0; c < TASK_CODES; c++)
            t->counts[first + c] += own[c];
        memset(own, 0, TASK_CODES * sizeof *own);
    }
}

int ol_cpu_histogram_begin(struct ol_backend *b, int64_t *counts, struct ol_error *err)
{
    (void)err;
    struct ol_cpu *cpu = ol_cpu_of(b);
    struct taking taking = {cpu->histograms, counts,
                            cpu->histograms != NULL ? ol_pool_threads(cpu->pool) : 0};
    ol_pool_run(cpu->pool, OL_N_CODES / TASK_CODES, take_codes, &taking);
    return 0;
}

void ol_cpu_free_histograms(struct ol_cpu *cpu)
{
    for (int i = 0; cpu->histograms != NULL && i < ol_pool_threads(cpu->pool); i++)
        free(cpu->histograms[i]);
    free(cpu->histograms);
}
