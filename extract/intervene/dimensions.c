/* Dimensions of the stream, held at zero or at their mean: whenever something has joined
 * the stream (the embedding, a layer's attention, its MLP), the dimensions get that value
 * in every token of the arm. The mean is that of the baseline's tokens, in the same place
 * of the stream. */
#include "extract/intervene/intervention.h"

#include <stdlib.h>

enum { MOST_DIMENSIONS = OL_ARM_MOST_ITEMS };

struct dimensions {
    int n;
    uint16_t columns[MOST_DIMENSIONS];
};

static void *parse(const char *text, const struct ol_spec *spec, struct ol_error *err)
{
    struct dimensions *d = ol_xcalloc(1, sizeof *d);
    const int64_t limit = spec->d_model < OL_NO_COLUMN ? spec->d_model : OL_NO_COLUMN;
    for (const char *at = text;; at++) {
        int64_t column;
        if (d->n == MOST_DIMENSIONS) {
            ol_fail(err, "at most %d dimensions", MOST_DIMENSIONS);
            break;
        }
        if (ol_intervention_number(&at, limit, "dimension", &column, err) != 0)
            break;
        d->columns[d->n++] = (uint16_t)column;
        if (*at == '\0')
            return d;
        if (*at != ',') {
            ol_fail(err, "expected a comma at '%s'", at);
            break;
        }
    }
    free(d);
    return NULL;
}

static int zero(const void *self, const struct ol_arm_stream *s, struct ol_error *err)
{
    const struct dimensions *d = self;
    const float values[MOST_DIMENSIONS] = {0};
    return s->backend->op->set_columns(s->backend, s->rows, d->n, d->columns, values,
                                       err);
}

static int find_means(const struct dimensions *d, const struct ol_arm_stream *s,
                      float means[MOST_DIMENSIONS], struct ol_error *err)
{
    const int64_t n_rows = s->baseline.n_rows;
    const size_t n = (size_t)(n_rows * d->n);
    uint16_t *columns = ol_xcalloc(n, sizeof *columns);
    float *values = ol_xcalloc(n, sizeof *values);
    for (size_t i = 0; i < n; i++)
        columns[i] = d->columns[i % (size_t)d->n];
    const int status =
        s->backend->op->pick(s->backend, s->baseline, d->n, columns, values, err);
    for (int c = 0; status == 0 && c < d->n; c++) {
        double sum = 0;
        for (int64_t row = 0; row < n_rows; row++)
            sum += (double)values[row * d->n + c];
        means[c] = (float)(sum / (double)n_rows);
    }
    free(values);
    free(columns);
    return status;
}

static int mean(const void *self, const struct ol_arm_stream *s, struct ol_error *err)
{
    const struct dimensions *d = self;
    float means[MOST_DIMENSIONS];
    if (find_means(d, s, means, err) != 0)
        return -1;
    return s->backend->op->set_columns(s->backend, s->rows, d->n, d->columns, means, err);
}

const struct ol_intervention ol_intervene_zero = {
    .name = "zero",
    .form = "DIMENSION[,...]",
    .parse = parse,
    .free = free,
    .change_stream = zero,
};

const struct ol_intervention ol_intervene_mean = {
    .name = "mean",
    .form = "DIMENSION[,...]",
    .parse = parse,
    .free = free,
    .change_stream = mean,
    .of_run = true,
};
