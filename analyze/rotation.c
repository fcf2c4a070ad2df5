#include "analyze/rotation.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/sample.h"
#include "common/error.h"

struct ol_rotor {
    int64_t n, power, odd; /* n = power * odd */
    float *signs;          /* [n] */
    float *cas;            /* [odd], divided by the root of n */
};

const char *ol_rotation_name(enum ol_rotation rotation)
{
    static const char *const names[OL_N_ROTATIONS] = {
        [OL_ROTATION_NONE] = "none",      [OL_ROTATION_16] = "hadamard 16",
        [OL_ROTATION_32] = "hadamard 32", [OL_ROTATION_128] = "hadamard 128",
        [OL_ROTATION_GLOBAL] = "global",
    };
    return names[rotation];
}

struct ol_rotor *ol_rotor_new(int64_t n_cols)
{
    const double turn = 6.283185307179586476925286766559;
    struct ol_rotor *r = ol_xcalloc(1, sizeof *r);
    r->n = n_cols;
    r->power = n_cols & -n_cols;
    r->odd = n_cols / r->power;
    r->signs = ol_xcalloc((size_t)n_cols, sizeof *r->signs);
    r->cas = ol_xcalloc((size_t)r->odd, sizeof *r->cas);
    for (int64_t c = 0; c < n_cols; c++)
        r->signs[c] = (ol_sample_key(0, c) & 1) != 0 ? -1 : 1;
    for (int64_t i = 0; i < r->odd; i++) {
        const double angle = turn * (double)i / (double)r->odd;
        r->cas[i] = (float)((cos(angle) + sin(angle)) / sqrt((double)n_cols));
    }
    return r;
}

void ol_rotor_free(struct ol_rotor *r)
{
    if (r == NULL)
        return;
    free(r->signs);
    free(r->cas);
    free(r);
}

/* ---- Hadamard's matrix, without its factor: stages of sums and differences ---- */

/* So many columns side by side. */
enum { LANES = 8 };
typedef float lanes __attribute__((vector_size(LANES * sizeof(float))));
/* The same in memory: no function has lanes as arguments or returns them, which where
 * they are wider than the processor's is done in one way by one compiler, in another by
 * the next. */
typedef lanes loose_lanes __attribute__((aligned(sizeof(float)), may_alias));

#if defined(__clang__) || __GNUC__ >= 12
#define PICK(v, ...) __builtin_shufflevector(v, v, __VA_ARGS__)
#else
typedef int32_t lane_numbers __attribute__((vector_size(LANES * sizeof(int32_t))));
#define PICK(v, ...) __builtin_shuffle(v, (lane_numbers){__VA_ARGS__})
#endif

/* The stages of halves 1, 2 and 4, within lanes: a difference is a sum with what is
 * negated. */
static void stages_within(float *x, int64_t n)
{
    const lanes by_1 = {1, -1, 1, -1, 1, -1, 1, -1}, by_2 = {1, 1, -1, -1, 1, 1, -1, -1},
                by_4 = {1, 1, 1, 1, -1, -1, -1, -1};
    for (int64_t i = 0; i < n; i += LANES) {
        lanes v = *(loose_lanes *)(x + i);
        v = PICK(v, 0, 0, 2, 2, 4, 4, 6, 6) + by_1 * PICK(v, 1, 1, 3, 3, 5, 5, 7, 7);
        v = PICK(v, 0, 1, 0, 1, 4, 5, 4, 5) + by_2 * PICK(v, 2, 3, 2, 3, 6, 7, 6, 7);
        v = PICK(v, 0, 1, 2, 3, 0, 1, 2, 3) + by_4 * PICK(v, 4, 5, 6, 7, 4, 5, 6, 7);
        *(loose_lanes *)(x + i) = v;
    }
}

/* Two stages at once: a value is fetched half as often. */
static void two_stages(float *restrict x, int64_t n, int64_t half)
{
    for (int64_t i = 0; i < n; i += 4 * half)
        for (int64_t k = i; k < i + half; k++) {
            const float a = x[k], b = x[k + half], c = x[k + 2 * half],
                        d = x[k + 3 * half], sum = a + b, difference = a - b,
                        more = c + d, less = c - d;
            x[k] = sum + more;
            x[k + half] = difference + less;
            x[k + 2 * half] = sum - more;
            x[k + 3 * half] = difference - less;
        }
}

static void one_stage(float *restrict x, int64_t n, int64_t half)
{
    for (int64_t i = 0; i < n; i += 2 * half)
        for (int64_t k = i; k < i + half; k++) {
            const float sum = x[k] + x[k + half], difference = x[k] - x[k + half];
            x[k] = sum;
            x[k + half] = difference;
        }
}

/* The same of halves of whole lanes. */
static void two_wide_stages(float *x, int64_t n, int64_t half)
{
    for (int64_t i = 0; i < n; i += 4 * half)
        for (float *at = x + i; at < x + i + half; at += LANES) {
            loose_lanes *p = (loose_lanes *)at, *q = (loose_lanes *)(at + half),
                        *r = (loose_lanes *)(at + 2 * half),
                        *s = (loose_lanes *)(at + 3 * half);
            const lanes sum = *p + *q, difference = *p - *q, more = *r + *s,
                        less = *r - *s;
            *p = sum + more;
            *q = difference + less;
            *r = sum - more;
            *s = difference - less;
        }
}

static void one_wide_stage(float *x, int64_t n, int64_t half)
{
    for (int64_t i = 0; i < n; i += 2 * half)
        for (float *at = x + i; at < x + i + half; at += LANES) {
            loose_lanes *p = (loose_lanes *)at, *q = (loose_lanes *)(at + half);
            const lanes sum = *p + *q, difference = *p - *q;
            *p = sum;
            *q = difference;
        }
}

/* Of each `size` (a power of two) groups of `width` columns, of n columns in all. The
 * stages and their order are the same whichever way they are computed. */
static void hadamard(float *x, int64_t n, int64_t size, int64_t width)
{
    int64_t half = width;
    if (width == 1 && size >= LANES) {
        stages_within(x, n);
        for (half = LANES; 4 * half <= size; half *= 4)
            two_wide_stages(x, n, half);
        if (2 * half <= size)
            one_wide_stage(x, n, half);
        return;
    }
    for (; 4 * half <= size * width; half *= 4)
        two_stages(x, n, half);
    if (2 * half <= size * width)
        one_stage(x, n, half);
}

static void rotate_blocks(float *x, int64_t n, int64_t size)
{
    for (int64_t i = 0; i < n;) {
        while (size > n - i)
            size /= 2;
        const int64_t whole = (n - i) / size * size;
        const float factor = (float)(1 / sqrt((double)size));
        hadamard(x + i, whole, size, 1);
        for (int64_t k = i; k < i + whole; k++)
            x[k] *= factor;
        i += whole;
    }
}

/* By the only number that Hartley's matrix of order 1 has. To 0 it is added, as the sum
 * of several is: no zero is negative. */
static void multiply_by_one(const struct ol_rotor *r, float *x)
{
    for (int64_t i = 0; i < r->n; i++)
        x[i] = 0 + r->cas[0] * x[i];
}

static void rotate_all(const struct ol_rotor *r, float *x, float *scratch)
{
    const int64_t odd = r->odd;
    for (int64_t c = 0; c < r->n; c++)
        x[c] *= r->signs[c];
    hadamard(x, r->n, r->power, odd);
    if (odd == 1) {
        multiply_by_one(r, x);
        return;
    }
    memcpy(scratch, x, (size_t)r->n * sizeof *x);
    for (int64_t i = 0; i < r->n; i += odd)
        for (int64_t k = 0; k < odd; k++) {
            float sum = 0;
            for (int64_t j = 0, at = 0; j < odd; j++) {
                sum += r->cas[at] * scratch[i + j];
                at += k;
                at -= at >= odd ? odd : 0;
            }
            x[i + k] = sum;
        }
}

void ol_rotate(const struct ol_rotor *r, enum ol_rotation rotation, float *x,
               float *scratch)
{
    switch (rotation) {
    case OL_ROTATION_NONE:
        return;
    case OL_ROTATION_16:
        rotate_blocks(x, r->n, 16);
        return;
    case OL_ROTATION_32:
        rotate_blocks(x, r->n, 32);
        return;
    case OL_ROTATION_128:
        rotate_blocks(x, r->n, 128);
        return;
    case OL_ROTATION_GLOBAL:
        rotate_all(r, x, scratch);
        return;
    case OL_N_ROTATIONS:
        return;
    }
}
