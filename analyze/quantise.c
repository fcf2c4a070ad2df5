#include "analyze/quantise.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "common/fp4.h"
#include "analyze/row_sums.h"
#include "analyze/sample.h"
#include "common/magnitude.h"
#include "common/narrow.h"

static const float int8_largest = OL_INT8_DIVISOR;

/* OL_N_FP4: it is none. */
static enum ol_fp4 fp4_of(enum ol_quantised method)
{
    switch (method) {
    case OL_NVFP4:
        return OL_FP4_NVFP4;
    case OL_MXFP4_FLOOR:
        return OL_FP4_MXFP4_FLOOR;
    case OL_MXFP4_EVEN:
        return OL_FP4_MXFP4_EVEN;
    case OL_INT8_TENSOR:
    case OL_INT8_TOKEN:
    case OL_INT8_VECTOR:
    case OL_FP8_E4M3:
    case OL_N_QUANTISED:
        return OL_N_FP4;
    }
    return OL_N_FP4;
}

const char *ol_quantised_name(enum ol_quantised method)
{
    static const char *const names[OL_N_QUANTISED] = {
        [OL_INT8_TENSOR] = "int8_tensor",
        [OL_INT8_TOKEN] = "int8_token",
        [OL_INT8_VECTOR] = "int8_vector",
        [OL_FP8_E4M3] = "fp8_e4m3",
    };
    return names[method] != NULL ? names[method] : ol_fp4_name(fp4_of(method));
}

void ol_quantised_names(struct ol_list *names, struct ol_arena *arena)
{
    const char **to = ol_list_new(names, OL_N_QUANTISED, sizeof *to, arena);
    for (int m = 0; m < OL_N_QUANTISED; m++)
        to[m] = ol_quantised_name((enum ol_quantised)m);
}

/* Each column by a scale of its own. */
static void to_int8_columns(const float *restrict x, int64_t n,
                            const float *restrict scales, const float *restrict inverses,
                            float *restrict q)
{
    for (int64_t c = 0; c < n; c++)
        q[c] = ol_round_whole(x[c] * inverses[c]) * scales[c];
}

/* ---- errors ---- */

/* What rows share. */
struct scales {
    float largest;                   /* magnitude of all values */
    const float *columns, *inverses; /* [n_cols] of OL_INT8_VECTOR */
};

static void quantise_row(enum ol_quantised method, const struct scales *s, const float *x,
                         int64_t n, float *q)
{
    switch (method) {
    case OL_INT8_TENSOR:
        ol_round_int8(x, n, s->largest / int8_largest, q);
        return;
    case OL_INT8_TOKEN:
        ol_round_int8(x, n, ol_largest_magnitude(x, n) / int8_largest, q);
        return;
    case OL_INT8_VECTOR:
        to_int8_columns(x, n, s->columns, s->inverses, q);
        return;
    case OL_FP8_E4M3:
        ol_round_fp8(x, n, s->largest / ol_e4m3_largest, q);
        return;
    case OL_MXFP4_FLOOR:
    case OL_MXFP4_EVEN:
    case OL_NVFP4:
        ol_fp4_round(fp4_of(method), s->largest, x, n, q);
        return;
    case OL_N_QUANTISED:
        return;
    }
}

static void find_scales(const float *restrict most, int64_t n_cols, float factor,
                        float *restrict columns, float *restrict inverses)
{
    for (int64_t c = 0; c < n_cols; c++) {
        columns[c] = most[c] * factor / int8_largest;
        inverses[c] = ol_inverse_scale(columns[c]);
    }
}

/* Values that are not 0 but became it. */
static int64_t count_zeroed(const float *restrict x, const float *restrict q, int64_t n)
{
    int32_t zeroed = 0;
    for (int64_t i = 0; i < n; i++)
        zeroed += (q[i] == 0) & (x[i] != 0); /* n is far below 2^31 */
    return zeroed;
}

/* Sums over rows, by weight. */
struct sums {
    double all, weight, off[OL_N_QUANTISED], zeroed[OL_N_QUANTISED];
};

static void add_row(const struct ol_quantise_input *in, const struct scales *scales,
                    int64_t i, const float *row, struct sums *sums)
{
    float *q = in->scratch;
    const double weight = in->weights != NULL ? (double)in->weights[i] : 1,
                 all = ol_squares_of(row, in->n_cols);
    sums->weight += weight;
    sums->all += weight * all;
    for (int m = 0; m < OL_N_QUANTISED; m++) {
        quantise_row((enum ol_quantised)m, scales, row, in->n_cols, q);
        const double off = ol_squares_between(row, q, in->n_cols);
        sums->off[m] += weight * off;
        sums->zeroed[m] += weight * (double)count_zeroed(row, q, in->n_cols);
        in->per_row[m * in->n_rows + i] = all > 0 ? sqrt(off / all) : NAN;
    }
}

static void unknown(float most, struct ol_quantise_errors *errors)
{
    for (int m = 0; m < OL_N_QUANTISED; m++)
        errors->pooled[m] = errors->token_median[m] = errors->zeroed[m] = NAN;
    errors->norm = (double)most;
}

/* Row by row, so that a row stays in the nearest cache for all methods. */
void ol_quantise(const struct ol_quantise_input *in, struct ol_quantise_errors *errors)
{
    float *columns = in->scratch + in->n_cols, *inverses = columns + in->n_cols,
          *row = inverses + in->n_cols;
    const float most = ol_largest_magnitude(in->columns, in->n_cols),
                factor = ol_factor_for(most);
    const struct scales scales = {most * factor, columns, inverses};
    struct sums sums = {0};
    if (!isfinite(most) || most == 0 || in->n_rows == 0) {
        unknown(most, errors);
        return;
    }
    find_scales(in->columns, in->n_cols, factor, columns, inverses);
    for (int64_t i = 0; i < in->n_rows; i++) {
        ol_multiply(in->x + i * in->n_cols, in->n_cols, factor, row);
        add_row(in, &scales, i, row, &sums);
    }
    for (int m = 0; m < OL_N_QUANTISED; m++) {
        errors->pooled[m] = sums.all > 0 ? sqrt(sums.off[m] / sums.all) : NAN;
        errors->zeroed[m] = sums.zeroed[m] / (sums.weight * (double)in->n_cols);
        errors->token_median[m] =
            ol_weighted_median(in->per_row + m * in->n_rows, in->weights, in->n_rows);
    }
    errors->norm = sqrt(sums.all) / (double)factor;
}
