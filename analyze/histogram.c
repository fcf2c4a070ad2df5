#include "analyze/histogram.h"

#include <math.h>
#include <stdlib.h>

#include "common/magnitude.h"

void ol_histogram_read(const struct ol_parts *parts, int i_layer,
                       enum ol_summary_site site, struct ol_histogram *h)
{
    int64_t *of_file = ol_xcalloc(OL_N_CODES, sizeof *of_file);
    *h = (struct ol_histogram){
        .counts = ol_xcalloc(OL_N_CODES, sizeof *h->counts),
        .magnitudes = ol_xcalloc(OL_N_MAGNITUDES, sizeof *h->magnitudes),
    };
    for (int i = 0; i < parts->n_files; i++) {
        const struct ol_activation_summary summary = {.histogram = of_file};
        ol_activation_read_summary(parts->files[i], i_layer, site, &summary);
        for (int code = 0; code < OL_N_CODES; code++)
            h->counts[code] += of_file[code];
    }
    for (int code = 0; code < OL_N_CODES; code++)
        h->magnitudes[code & (int)OL_BF16_MAGNITUDE] += h->counts[code];
    for (int code = 0; code < OL_N_MAGNITUDES; code++) {
        h->n += h->magnitudes[code];
        if (code > (int)OL_BF16_INFINITY)
            h->n_nan += h->magnitudes[code];
    }
    h->n_inf = h->magnitudes[OL_BF16_INFINITY];
    h->n_zero = h->magnitudes[0];
    h->n_finite = h->n - h->n_nan - h->n_inf;
    free(of_file);
}

void ol_histogram_clear(struct ol_histogram *h)
{
    free(h->counts);
    free(h->magnitudes);
    *h = (struct ol_histogram){0};
}

double ol_histogram_magnitude(const struct ol_histogram *h, int64_t rank)
{
    int64_t n = 0;
    for (int code = 0; code < (int)OL_BF16_INFINITY; code++) {
        n += h->magnitudes[code];
        if (n >= rank && n > 0)
            return (double)ol_bf16_to_f32((uint16_t)code);
    }
    return (double)NAN;
}

double ol_histogram_median(const struct ol_histogram *h)
{
    if (h->n_finite == 0)
        return (double)NAN;
    return (ol_histogram_magnitude(h, (h->n_finite + 1) / 2) +
            ol_histogram_magnitude(h, h->n_finite / 2 + 1)) /
           2;
}
