#include "extract/model/rope_table.h"

#include <math.h>
#include <stdlib.h>

#include "common/real_math.h"

static const double PI = 3.14159265358979323846;

static float scale_llama3(const struct ol_rope_spec *rope, float inv)
{
    const double wavelength = 2 * PI / (double)inv;
    const double low = rope->low_freq_factor, high = rope->high_freq_factor;
    if (wavelength > rope->original_position / low)
        return (float)((double)inv / rope->factor);
    /* low == high leaves no band between, and nothing to divide by. */
    if (wavelength < rope->original_position / high || high == low)
        return inv;
    const double smooth = (rope->original_position / wavelength - low) / (high - low);
    return (float)((1 - smooth) * (double)inv / rope->factor + smooth * (double)inv);
}

/* The pair that turns `rotations` times within the original positions. */
static double yarn_pair(const struct ol_rope_spec *rope, double rotations)
{
    return rope->rotary_dim *
           ol_real_log(rope->original_position / (rotations * 2 * PI)) /
           (2 * ol_real_log(rope->theta));
}

/* Pairs that turn often keep their frequency, those that turn seldom are slowed by the
 * factor, and between them one becomes the other (arXiv 2309.00071, 3.2). */
static float scale_yarn(const struct ol_rope_spec *rope, float inv, int i)
{
    double low = yarn_pair(rope, rope->beta_fast),
           high = yarn_pair(rope, rope->beta_slow);
    if (rope->truncate) {
        low = floor(low);
        high = ceil(high);
    }
    low = low > 0 ? low : 0;
    high = high < rope->rotary_dim - 1 ? high : rope->rotary_dim - 1;
    if (low == high)
        high += 0.001; /* as the reference, which would divide by zero */
    double ramp = (i - low) / (high - low);
    ramp = ramp < 0 ? 0 : ramp > 1 ? 1 : ramp;
    return (float)((double)inv / rope->factor * ramp + (double)inv * (1 - ramp));
}

int64_t ol_rope_positions(const struct ol_rope_spec *rope, int64_t longest, int table)
{
    const bool parted = rope->scaling == OL_ROPE_SCALING_LONGROPE &&
                        (double)longest > rope->original_position;
    if (table > 0)
        return parted ? longest : 0;
    return parted ? (int64_t)rope->original_position : longest;
}

void ol_rope_frequencies(const struct ol_rope_spec *rope, int table, float *inv)
{
    const struct ol_json *factors = table > 0 ? rope->long_factors : rope->short_factors;
    for (int i = 0; i < rope->rotary_dim / 2; i++) {
        const float exponent = (float)(2 * i) / (float)rope->rotary_dim;
        const float power = (float)ol_real_pow(rope->theta, (double)exponent);
        inv[i] = 1.0f / power;
        if (rope->scaling == OL_ROPE_SCALING_LINEAR)
            inv[i] /= (float)rope->factor;
        else if (rope->scaling == OL_ROPE_SCALING_LLAMA3)
            inv[i] = scale_llama3(rope, inv[i]);
        else if (rope->scaling == OL_ROPE_SCALING_YARN)
            inv[i] = scale_yarn(rope, inv[i], i);
        else if (rope->scaling == OL_ROPE_SCALING_LONGROPE)
            inv[i] = 1.0f / ((float)ol_json_real(ol_json_at(factors, (size_t)i)) * power);
        else if (rope->scaling == OL_ROPE_SCALING_PROPORTIONAL)
            inv[i] = i < rope->turned ? inv[i] / (float)rope->factor : 0;
    }
}

void ol_rope_fill(const struct ol_rope_spec *rope, int table, int64_t n_positions,
                  float *cos_table, float *sin_table)
{
    const int half = rope->rotary_dim / 2;
    float *inv = ol_xmalloc((size_t)half * sizeof *inv);
    const bool stretched = rope->scaling == OL_ROPE_SCALING_YARN ||
                           rope->scaling == OL_ROPE_SCALING_LONGROPE;
    const float magnitude = stretched ? (float)rope->magnitude : 1;
    ol_rope_frequencies(rope, table, inv);
    for (int64_t p = 0; p < n_positions; p++)
        for (int i = 0; i < half; i++) {
            const double angle = (double)((float)p * inv[i]);
            double sine, cosine;
            ol_real_sincos(angle, &sine, &cosine);
            cos_table[p * half + i] = (float)cosine * magnitude;
            sin_table[p * half + i] = (float)sine * magnitude;
        }
    free(inv);
}
