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

/* Two stages of sums and differences at once: a value is fetched half as often. */
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

/* Without its factor, of n (a power of two) groups of `width` columns. */
static void hadamard(float *x, int64_t n, int64_t width)
{
    int64_t half = width;
    for (; 4 * half <= n * width; half *= 4)
        two_stages(x, n * width, half);
    if (2 * half <= n * width)
        one_stage(x, n * width, half);
}

static void rotate_blocks(float *x, int64_t n, int64_t size)
{
    for (int64_t i = 0; i < n; i += size) {
        while (size > n - i)
            size /= 2;
        const float factor = (float)(1 / sqrt((double)size));
        hadamard(x + i, size, 1);
        for (int64_t k = 0; k < size; k++)
            x[i + k] *= factor;
    }
}

static void rotate_all(const struct ol_rotor *r, float *x, float *scratch)
{
    const int64_t odd = r->odd;
    for (int64_t c = 0; c < r->n; c++)
        x[c] *= r->signs[c];
    hadamard(x, r->power, odd);
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
