/* What observers ask backends for (the largest values, sums of squares and moments,
 * tables of the inputs of down projections), against loops in double precision. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/round_row.h"
#include "tests/unit/operations.h"

/* The k largest of a row by a loop: magnitudes falling, NaN first, columns rising. */
static void expect_largest(const double *x, int d, int k, const uint16_t *columns,
                           const float *values)
{
    uint8_t *taken = ol_xcalloc((size_t)d, 1);
    for (int i = 0; i < k; i++) {
        int best = -1;
        for (int c = 0; c < d; c++)
            if (!taken[c] && (best < 0 || (isnan(x[c]) && !isnan(x[best])) ||
                              fabs(x[c]) > fabs(x[best])))
                best = c;
        assert_int_equal(columns[i], best < 0 ? OL_NO_COLUMN : best);
        if (best < 0)
            assert_true(values[i] == 0);
        else if (isnan(x[best]))
            assert_true(isnan(values[i]));
        else
            assert_true((double)values[i] == x[best]);
        if (best >= 0)
            taken[best] = 1;
    }
    free(taken);
}

static size_t look(struct ol_backend *b, int n_rows, int n_cols, int k, char *bytes)
{
    struct ol_error err = {0};
    const size_t n = (size_t)(n_rows * k), values_n = (size_t)(n_rows * n_cols);
    float *input = ol_xcalloc(values_n, sizeof *input);
    for (size_t i = 0; i < values_n; i++)
        input[i] = roundf(40 * uniform()) / 8; /* with ties, and zeros of either sign */
    if (n_rows > 3 && n_cols > 3) {
        input[n_cols + 2] = NAN;
        input[2 * n_cols + 3] = -INFINITY;
        input[2 * n_cols + 1] = INFINITY;
        memset(input + 3 * n_cols, 0, (size_t)n_cols * sizeof *input);
    }
    struct ol_tensor x = tensor(b, b->dtype, n_rows, n_cols);
    test_upload(b, x, input);
    double *xs = tensor_values(b, x);
    uint16_t *columns = ol_xcalloc(n, sizeof *columns);
    float *values = ol_xcalloc(n, sizeof *values),
          *picked = ol_xcalloc(n, sizeof *picked);
    OK(b->op->largest(b, x, k, columns, values, &err));
    for (int i = 0; i < n_rows; i++)
        expect_largest(xs + i * n_cols, n_cols, k, columns + i * k, values + i * k);
    OK(b->op->pick(b, x, k, columns, picked, &err));
    assert_memory_equal(picked, values, n * sizeof *values);
    for (size_t i = 0; i < n; i++)
        columns[i] = (uint16_t)((i * 31 + 5) % (size_t)n_cols);
    OK(b->op->pick(b, x, k, columns, picked, &err));
    for (size_t i = 0; i < n; i++) {
        const double want = xs[i / (size_t)k * (size_t)n_cols + columns[i]];
        assert_true((double)picked[i] == want || isnan(want));
    }
    memcpy(bytes, values, n * sizeof *values);
    free(input), free(xs), free(columns), free(values), free(picked);
    b->op->tensor_free(b, &x);
    return n * sizeof *values;
}

static size_t set(struct ol_backend *b, int n_rows, int n_cols, int k, char *bytes)
{
    struct ol_error err = {0};
    const size_t n = (size_t)(n_rows * n_cols);
    float *input = ol_xcalloc(n, sizeof *input), *values = ol_xcalloc((size_t)k, 4);
    uint16_t *columns = ol_xcalloc((size_t)k, sizeof *columns);
    for (size_t i = 0; i < n; i++)
        input[i] = (float)uniform();
    for (int c = 0; c < k; c++) {
        columns[c] = (uint16_t)((c * 7 + n_cols - 1) % n_cols); /* the last one too */
        values[c] = c % 3 == 0 ? 0 : 1000.3f * (float)uniform();
    }
    struct ol_tensor x = tensor(b, b->dtype, n_rows, n_cols);
    test_upload(b, x, input);
    double *before = tensor_values(b, x);
    OK(b->op->set_columns(b, x, k, columns, values, &err));
    double *after = tensor_values(b, x);
    for (int c = 0; c < k; c++)
        for (int i = 0; i < n_rows; i++)
            before[i * n_cols + columns[c]] =
                b->dtype == OL_DTYPE_F32
                    ? (double)values[c]
                    : (double)ol_bf16_to_f32(ol_bf16_from_f32(values[c]));
    assert_memory_equal(after, before, n * sizeof *after);
    memcpy(bytes, after, n * sizeof *after);
    free(input), free(values), free(columns), free(before), free(after);
    b->op->tensor_free(b, &x);
    return n * sizeof *after;
}

static size_t set_columns(struct ol_backend *b, void *bytes)
{
    char *at = bytes;
    size_t n = set(b, 1, 1, 1, at);
    n += set(b, 5, 13, 4, at + n);
    n += set(b, 67, 130, 19, at + n);
    return n;
}

static size_t largest_and_pick(struct ol_backend *b, void *bytes)
{
    char *at = bytes;
    at += look(b, 37, 301, 4, at);
    at += look(b, 9, 64, 8, at);
    at +=
        look(b, 7, 520, 16, at); /* the zeros of a row: of one lane more than it keeps */
    at += look(b, 130, 65, 1, at);
    at += look(b, 5, 3, 4, at);
    at += look(b, 1, 1, 16, at);
    return (size_t)(at - (char *)bytes);
}

static size_t add_squares(struct ol_backend *b, void *bytes)
{
    enum { N = 37, D = 301 };
    struct ol_error err = {0};
    struct ol_tensor x = random_tensor(b, N, D, 3);
    struct ol_tensor so_far = {0};
    double *xs = tensor_values(b, x), sums[D], want[D];
    OK(b->op->tensor_new(b, OL_DTYPE_F64, 1, D, &so_far, &err));
    for (int c = 0; c < D; c++) {
        sums[c] = want[c] = 1 + c;
        for (int i = 0; i < N; i++)
            want[c] += xs[i * D + c] * xs[i * D + c];
    }
    /* In pieces as at once: the order is that of the rows. */
    OK(b->op->upload(b, so_far, sums, &err));
    OK(b->op->add_squares(b, ol_tensor_rows(x, 0, 5), so_far, &err));
    OK(b->op->add_squares(b, ol_tensor_rows(x, 5, N - 5), so_far, &err));
    OK(b->op->download(b, so_far, sums, &err));
    assert_memory_equal(sums, want, sizeof sums);
    memcpy(bytes, sums, sizeof sums);
    free(xs);
    b->op->tensor_free(b, &so_far);
    b->op->tensor_free(b, &x);
    return sizeof sums;
}

/* The first values of heads that have the extremes. */
static void check_columns(struct ol_backend *b, struct ol_tensor x, struct ol_tensor made,
                          int n_heads, int d)
{
    struct ol_error err = {0};
    struct ol_tensor columns =
        tensor(b, OL_DTYPE_I32, x.n_rows, n_heads * OL_N_HEAD_EXTREMES);
    OK(b->op->head_columns(b, x, made, columns, &err));
    double *xs = tensor_values(b, x);
    int32_t *found = test_download(b, columns);
    for (int64_t i = 0; i < x.n_rows * n_heads; i++) {
        int most = -1, least = -1;
        for (int c = 0; c < d; c++) {
            const double value = xs[i * d + c];
            if (!isnan(value) && (most < 0 || value > xs[i * d + most]))
                most = c;
            if (!isnan(value) && (least < 0 || value < xs[i * d + least]))
                least = c;
        }
        assert_int_equal(found[i * OL_N_HEAD_EXTREMES + OL_EXTREME_LARGEST], most);
        assert_int_equal(found[i * OL_N_HEAD_EXTREMES + OL_EXTREME_SMALLEST], least);
    }
    free(xs), free(found);
    b->op->tensor_free(b, &columns);
}

/* Rows whose extremes are many, or not there. */
static void columns_of_odd_rows(struct ol_backend *b)
{
    enum { N = 3, D = 70 };
    struct ol_error err = {0};
    struct ol_tensor x = tensor(b, b->dtype, N, D),
                     made = tensor(b, OL_DTYPE_F32, N, OL_N_HEAD_MOMENTS);
    float values[N * D];
    for (int c = 0; c < D; c++) {
        values[c] = NAN;
        values[D + c] = c % 2 == 0 ? 0.0f : -0.0f;
        values[2 * D + c] = c < 3 ? NAN : (float)(c % 33);
    }
    test_upload(b, x, values);
    OK(b->op->head_moments(b, x, made, &err));
    check_columns(b, x, made, 1, D);
    b->op->tensor_free(b, &x);
    b->op->tensor_free(b, &made);
}

/* Heads of one value, and of more than a warp has. */
static size_t moments_of_heads(struct ol_backend *b, int n_heads, int d, char *bytes)
{
    enum { N = 19 };
    struct ol_error err = {0};
    struct ol_tensor x = random_tensor(b, N, n_heads * d, 3),
                     made = tensor(b, OL_DTYPE_F32, N, n_heads * OL_N_HEAD_MOMENTS);
    double *xs = tensor_values(b, x), *want = ol_xcalloc(count(made), sizeof *want);
    for (int i = 0; i < N * n_heads; i++) {
        double *to = want + i * OL_N_HEAD_MOMENTS;
        to[OL_MOMENT_LARGEST] = (double)-INFINITY;
        to[OL_MOMENT_SMALLEST] = (double)INFINITY;
        for (int c = 0; c < d; c++) {
            const double value = xs[i * d + c];
            to[OL_MOMENT_SQUARES] += value * value;
            to[OL_MOMENT_LARGEST] = fmax(to[OL_MOMENT_LARGEST], value);
            to[OL_MOMENT_SMALLEST] = fmin(to[OL_MOMENT_SMALLEST], value);
        }
    }
    OK(b->op->head_moments(b, ol_tensor_rows(x, 0, 5), ol_tensor_rows(made, 0, 5), &err));
    OK(b->op->head_moments(b, ol_tensor_rows(x, 5, N - 5), ol_tensor_rows(made, 5, N - 5),
                           &err));
    double *found = tensor_values(b, made);
    for (size_t i = 0; i < count(made); i++)
        if (i % OL_N_HEAD_MOMENTS == OL_MOMENT_SQUARES)
            assert_true(fabs(found[i] - want[i]) <= 1e-5 * want[i]);
        else
            assert_true(found[i] == want[i]);
    const size_t n = copy_out(b, made, bytes);
    check_columns(b, x, made, n_heads, d);
    free(xs), free(want), free(found);
    b->op->tensor_free(b, &x);
    b->op->tensor_free(b, &made);
    return n;
}

static size_t head_moments(struct ol_backend *b, void *bytes)
{
    char *at = bytes;
    at += moments_of_heads(b, 5, 45, at);
    at += moments_of_heads(b, 1, 301, at);
    at += moments_of_heads(b, 7, 1, at);
    columns_of_odd_rows(b);
    return (size_t)(at - (char *)bytes);
}

/* What a plain loop makes of rows first .. end - 1 of xs [n, d]. */
static void moments_of(const double *xs, int d, int64_t first, int64_t end,
                       struct ol_down_moments *m)
{
    enum { LANES = 32 };
    for (int64_t i = first; i < end; i++) {
        for (int power = 1; power <= OL_DOWN_POWERS; power++) {
            double lanes[LANES] = {0};
            for (int c = 0; c < d; c++) {
                double product = 1; /* exact: of four times 8 bits at most */
                for (int k = 0; k < power; k++)
                    product *= xs[i * d + c];
                lanes[c % LANES] += product;
            }
            for (int half = LANES / 2; half > 0; half /= 2)
                for (int l = 0; l < half; l++)
                    lanes[l] += lanes[l + half];
            ol_exact_sum_add(&m->sums[power - 1], lanes[0]);
        }
        for (int c = 0; c < d; c++) {
            m->largest = fmaxf(m->largest, (float)xs[i * d + c]);
            m->smallest = fminf(m->smallest, (float)xs[i * d + c]);
        }
    }
}

static void same_moments(const struct ol_down_moments *found,
                         const struct ol_down_moments *want)
{
    for (int k = 0; k < OL_DOWN_POWERS; k++) {
        const double have = ol_exact_sum_value(&found->sums[k]),
                     wants = ol_exact_sum_value(&want->sums[k]);
        assert_true(have == wants || (isnan(have) && isnan(wants)));
    }
    assert_true(found->largest == want->largest && found->smallest == want->smallest);
}

/* Three components with rows 0 .. 6, none, and from 9 on, which come in two parts; those
 * between are of nobody. Values of very different sizes, so that the order of a sum
 * shows; the first component has one that is not finite. */
static size_t down_tables(struct ol_backend *b, void *bytes)
{
    enum { N = 183, D = 301, KEPT = 4 };
    const struct ol_down_sizes most = {5, 5 * D, 9 * D}, sizes = {3, 3 * D, KEPT * D};
    const int components[] = {2, 0, 1};
    const int64_t firsts[2][3] = {{0, 7, 9}, {0, 0, 0}},
                  ends[2][3] = {{7, 7, 90}, {0, 0, N - 90}}, places[] = {2 * D, 0, D};
    const int64_t kept[2][KEPT] = {{0, 89, 9, 8}, {3, 92, 0, 0}},
                  codes_at[2][KEPT] = {{0, D, 2 * D, 3 * D}, {D, 3 * D, 0, 0}};
    const int n_kept[2] = {4, 2}, rows[KEPT] = {0, 93, 9, 182};
    struct ol_error err = {0};
    struct ol_tensor x = random_tensor(b, N, D, 3);
    double *xs = tensor_values(b, x);
    float *infinite = ol_xcalloc(N * D, sizeof *infinite);
    for (int i = 0; i < N * D; i++)
        infinite[i] = (float)(xs[i] * (i % 7 == 0 ? 0x1p40 : i % 5 == 0 ? 0x1p-40 : 1));
    infinite[3 * D + 5] = -INFINITY;
    test_upload(b, x, infinite);
    free(infinite);
    free(xs);
    xs = tensor_values(b, x);
    for (int i = 0; i < N * D; i++)
        xs[i] = (double)ol_bf16_round((float)xs[i]);
    struct ol_down_tables *t = b->op->down_new(b, &most, &err);
    struct ol_down_moments moments[3], want[3] = {0};
    uint16_t maxima[3 * D], codes[KEPT * D];
    const struct ol_down_made made = {moments, maxima, codes};
    for (int again = 0; again < 2; again++) { /* a layer leaves nothing behind */
        OK(b->op->down_begin(b, t, &sizes, &err));
        for (int part = 0; part < 2; part++) {
            const struct ol_component_rows of = {.n = 3,
                                                 .components = components,
                                                 .firsts = firsts[part],
                                                 .ends = ends[part]};
            const struct ol_down_seen seen = {&of, places, n_kept[part], kept[part],
                                              codes_at[part]};
            OK(b->op->down_see(
                b, t, &seen,
                ol_tensor_rows(x, part == 0 ? 0 : 90, part == 0 ? 90 : N - 90), &err));
        }
        OK(b->op->down_take(b, t, &made, &err));
        /* More is seen before it has come. */
        OK(b->op->down_begin(b, t, &sizes, &err));
        assert_true(test_arrive(b, &err));
    }
    for (int i = 0; i < 3; i++) {
        want[i].largest = -INFINITY;
        want[i].smallest = INFINITY;
    }
    moments_of(xs, D, 0, 7, &want[2]);
    moments_of(xs, D, 9, N, &want[1]);
    for (int i = 0; i < 3; i++)
        same_moments(&moments[i], &want[i]);
    assert_true(isnan(ol_exact_sum_value(&moments[2].sums[3])));
    for (int c = 0; c < D; c++) {
        double first = 0, last = 0;
        for (int i = 0; i < N; i++)
            if (i < 7)
                first = fmax(first, fabs(xs[i * D + c]));
            else if (i >= 9)
                last = fmax(last, fabs(xs[i * D + c]));
        assert_true((double)ol_bf16_to_f32(maxima[2 * D + c]) == first);
        assert_true((double)ol_bf16_to_f32(maxima[D + c]) == last);
        assert_int_equal(maxima[c], 0);
        for (int i = 0; i < KEPT; i++)
            assert_true((double)ol_bf16_to_f32(codes[i * D + c]) == xs[rows[i] * D + c]);
    }
    b->op->down_free(b, t);
    free(xs);
    b->op->tensor_free(b, &x);
    memcpy(bytes, maxima, sizeof maxima);
    memcpy((char *)bytes + sizeof maxima, codes, sizeof codes);
    return sizeof maxima + sizeof codes;
}

/* Rows of every size of values, and such as stay as they are, at places apart. */
static size_t round_some(struct ol_backend *b, int n_rows, int d, char *bytes)
{
    struct ol_error err = {0};
    const int n_places = 2 * n_rows + 1;
    const size_t size = ol_dtype_size(b->dtype), n = (size_t)(n_rows * d),
                 n_out = (size_t)(OL_N_ROW_FORMATS * n_places * d);
    float *input = ol_xcalloc(n, sizeof *input);
    for (size_t i = 0; i < n; i++)
        input[i] = ldexpf(uniform(), (int)(20 * uniform())) *
                   ldexpf(1, 10 * (int)(i / (size_t)d) - 30);
    if (n_rows > 4) {
        input[d + d / 2] = NAN;
        input[2 * d] = INFINITY;
        memset(input + 3 * d, 0, (size_t)d * sizeof *input);
        input[4 * d + d - 1] = 0x1p-140f;
    }
    struct ol_tensor x = tensor(b, b->dtype, n_rows, d),
                     out = tensor(b, b->dtype, OL_N_ROW_FORMATS * n_places, d);
    test_upload(b, x, input);
    int32_t *places = ol_xcalloc((size_t)n_rows, sizeof *places);
    for (int i = 0; i < n_rows; i++)
        places[i] = 2 * (n_rows - 1 - i) + 1;
    OK(b->op->round_rows(b, x, places, out, &err));
    char *stored = test_download(b, x), *found = test_download(b, out),
         *wanted = ol_xcalloc(n_out, size);
    float *row = ol_xcalloc(3 * (size_t)d, sizeof *row);
    for (int i = 0; i < n_rows; i++)
        for (int f = 0; f < OL_N_ROW_FORMATS; f++) {
            ol_to_f32(b->dtype, stored + (size_t)(i * d) * size, row, (size_t)d);
            ol_round_row((enum ol_row_format)f, row, d, row + d, row + 2 * d);
            ol_from_f32(b->dtype, row + 2 * d,
                        wanted + (size_t)((f * n_places + places[i]) * d) * size,
                        (size_t)d);
        }
    assert_memory_equal(found, wanted, n_out * size);
    memcpy(bytes, found, n_out * size);
    free(input), free(places), free(stored), free(found), free(wanted), free(row);
    b->op->tensor_free(b, &x);
    b->op->tensor_free(b, &out);
    return n_out * size;
}

/* Widths that end inside blocks, and one of more blocks than a device's block has
 * threads. */
static size_t round_rows(struct ol_backend *b, void *bytes)
{
    size_t n = 0;
    n += round_some(b, 9, 67, bytes);
    n += round_some(b, 3, 16, (char *)bytes + n);
    n += round_some(b, 1, 33, (char *)bytes + n);
    n += round_some(b, 2, 2150, (char *)bytes + n);
    return n;
}

static const struct operation operations[] = {
    {"largest, pick", largest_and_pick},  {"set_columns", set_columns},
    {"add_squares", add_squares},         {"head_moments, head_columns", head_moments},
    {"down_see, down_take", down_tables}, {"round_rows", round_rows},
};

int main(void)
{
    return run_operations(operations, sizeof operations / sizeof operations[0]);
}
