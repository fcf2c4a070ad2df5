#include "extract/rope_table.h"

#include <math.h>
#include <stdlib.h>

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

void ol_rope_frequencies(const struct ol_rope_spec *rope, float *inv)
{
    for (int i = 0; i < rope->rotary_dim / 2; i++) {
        const float exponent = (float)(2 * i) / (float)rope->rotary_dim;
        inv[i] = 1.0f / (float)pow(rope->theta, (double)exponent);
        if (rope->scaling == OL_ROPE_SCALING_LINEAR)
            inv[i] /= (float)rope->factor;
        else if (rope->scaling == OL_ROPE_SCALING_LLAMA3)
            inv[i] = scale_llama3(rope, inv[i]);
    }
}

void ol_rope_fill(const struct ol_rope_spec *rope, int64_t n_positions, float *cos_table,
                  float *sin_table)
{
    const int half = rope->rotary_dim / 2;
    float *inv = ol_xmalloc((size_t)half * sizeof *inv);
    ol_rope_frequencies(rope, inv);
    for (int64_t p = 0; p < n_positions; p++)
        for (int i = 0; i < half; i++) {
            const double angle = (double)((float)p * inv[i]);
            cos_table[p * half + i] = (float)cos(angle);
            sin_table[p * half + i] = (float)sin(angle);
        }
    free(inv);
}
