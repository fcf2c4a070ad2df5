#include "analyze/moments.h"

#include <math.h>

#include "common/activation_file.h"

struct ol_moments ol_moments_new(void)
{
    return (struct ol_moments){.max = (double)-INFINITY,
                               .min = (double)INFINITY,
                               .max_sequence = -1,
                               .max_position = -1,
                               .min_sequence = -1,
                               .min_position = -1,
                               .max_dimension = -1,
                               .min_dimension = -1};
}

void ol_moments_join(struct ol_moments *to, const double *row, int n_columns,
                     int64_t first_sequence)
{
    const bool dimensions = n_columns == OL_N_STREAM_COLUMNS;
    to->width = row[OL_MIXED_WIDTH];
    to->squares += row[OL_MIXED_SQUARES];
    if (row[OL_MIXED_MAX] > to->max) {
        to->max = row[OL_MIXED_MAX];
        to->max_sequence = first_sequence + (int64_t)row[OL_MIXED_MAX_SEQUENCE];
        to->max_position = (int64_t)row[OL_MIXED_MAX_POSITION];
        to->max_dimension = dimensions ? (int64_t)row[OL_STREAM_MAX_DIMENSION] : -1;
    }
    if (row[OL_MIXED_MIN] < to->min) {
        to->min = row[OL_MIXED_MIN];
        to->min_sequence = first_sequence + (int64_t)row[OL_MIXED_MIN_SEQUENCE];
        to->min_position = (int64_t)row[OL_MIXED_MIN_POSITION];
        to->min_dimension = dimensions ? (int64_t)row[OL_STREAM_MIN_DIMENSION] : -1;
    }
}

double ol_moments_magnitude(const struct ol_moments *m)
{
    return m->max >= -m->min ? m->max : -m->min;
}

/* -inf and inf are what no number left. */
static double known(double extreme, int64_t sequence)
{
    return sequence >= 0 && isfinite(extreme) ? extreme : (double)NAN;
}

double ol_moments_max(const struct ol_moments *m)
{
    return known(m->max, m->max_sequence);
}

double ol_moments_min(const struct ol_moments *m)
{
    return known(m->min, m->min_sequence);
}

double ol_moments_largest(const struct ol_moments *m)
{
    return known(ol_moments_magnitude(m), m->max_sequence);
}

double ol_moments_rms(const struct ol_moments *m, int64_t n, int64_t n_tokens)
{
    const double rms = sqrt(m->squares / (m->width * (double)n * (double)n_tokens));
    return isfinite(rms) ? rms : (double)NAN;
}
