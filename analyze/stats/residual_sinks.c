/* Residual sinks (arXiv 2601.22966): dimensions of the stream that are large on most
 * tokens, told apart from massive activations, which are on few. First tokens stand by
 * themselves: what they carry is of their place, not of the text.
 *
 * A value is known where it is among its token's four largest. Elsewhere it is at most
 * the fourth largest, and the sums over all tokens say what the unknown ones come to
 * together: from both follow a least and a most share of large ones. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/findings.h"
#include "common/results/residual_sinks.h"

/* A value is large at so many times its layer's median; a sink is large on so much of the
 * tokens that are not first. */
static const double min_ratio = 10, min_share = 0.5;

enum { MOST_SINKS = 32, MOST_MASSIVE = 32 };

/* What is known of a dimension after a layer. Values are rounded as in the columns. */
struct dimension {
    int64_t n, n_others, n_first;      /* tokens with it among their largest */
    int64_t large_others, large_first; /* of these: large */
    int64_t n_crowded;                 /* others of them whose fourth largest is large */
    double sum, squares;               /* over the n, */
    double first_sum, first_squares;   /* and over the n_first */
};

struct after {
    double share, at_most, first_share, mean, rms;
};

struct sinks {
    const struct ol_massive *m;
    const struct ol_parts *parts;
    int64_t n_first, n_others;
    struct dimension *at; /* [d_model], after the layer at hand */
    int64_t n_crowded;    /* others whose fourth largest is large there */
    struct after *after;  /* [n_layers][d_model] */
};

/* ---- layer by layer ---- */

/* NaN: nothing is large beside a median of 0, or beside none. */
static double limit_after(const struct sinks *s, int l)
{
    const double median = s->m->layers[l].median;
    return median > 0 ? min_ratio * median : (double)NAN;
}

static void take_token(struct sinks *s, int l, int64_t sequence, int64_t position)
{
    const double limit = limit_after(s, l);
    const struct ol_stream *stream = &s->m->stream;
    const uint16_t *features = ol_stream_features(stream, l, sequence, position);
    const float *rows = ol_stream_rows(stream, l, sequence, position);
    const int64_t width = stream->layers[l].width;
    const bool first = position == 0,
               whole = features[OL_TOP_FEATURES - 1] < stream->d_model;
    const double fourth = fabs((double)rows[(OL_TOP_FEATURES - 1) * width]);
    const bool crowded = !first && whole && !(fourth < limit);
    s->n_crowded += crowded;
    for (int i = 0; i < OL_TOP_FEATURES && features[i] < stream->d_model; i++) {
        struct dimension *d = &s->at[features[i]];
        const float value = rows[i * width];
        const double rounded = (double)ol_bf16_round(value);
        const bool large = fabs((double)value) >= limit;
        d->n++;
        d->sum += rounded;
        d->squares += rounded * rounded;
        d->n_crowded += crowded;
        if (first) {
            d->n_first++;
            d->large_first += large;
            d->first_sum += rounded;
            d->first_squares += rounded * rounded;
        } else {
            d->n_others++;
            d->large_others += large;
        }
    }
}

/* Of n tokens where a dimension is not among the largest, with these sums, as many are
 * large at least and at most. Cantelli's inequality tells how many can be `limit` or less
 * away from zero when their mean lies beyond it; of those beyond it each has its square
 * in the sum. Sums that are no numbers tell nothing. */
static void bound(int64_t n, double sum, double squares, double limit, int64_t *least,
                  int64_t *most)
{
    *least = 0;
    *most = n;
    if (n == 0 || !isfinite(sum) || !isfinite(squares) || isnan(limit))
        return;
    squares = fmax(squares, 0);
    const double mean = fabs(sum) / (double)n,
                 variance = fmax(squares / (double)n - mean * mean, 0);
    if (squares < limit * limit * (double)n)
        *most = (int64_t)(squares / (limit * limit));
    if (mean > limit)
        *least = n - (int64_t)((double)n * variance /
                               (variance + (mean - limit) * (mean - limit)));
}

static int64_t within(int64_t n, int64_t least, int64_t most)
{
    return n < least ? least : n > most ? most : n;
}

static struct after sum_up(const struct sinks *s, const double *columns, int l,
                           int64_t feature)
{
    const struct dimension *d = &s->at[feature];
    const int64_t width = s->m->stream.d_model, n_all = s->n_first + s->n_others,
                  n_rest = n_all - d->n, rest_first = s->n_first - d->n_first,
                  n_unknown = s->n_crowded - d->n_crowded, n = n_all - d->n_first;
    const double sum = columns[OL_COLUMN_SUM * width + feature],
                 squares = columns[OL_COLUMN_SUM_SQUARES * width + feature];
    const double limit = limit_after(s, l), n_others = (double)s->n_others,
                 others = squares - d->first_squares;
    int64_t least, most;
    bound(n_rest, sum - d->sum, squares - d->squares, limit, &least, &most);
    least = within(least - rest_first, 0, n_unknown);
    most = within(most, least, n_unknown);
    return (struct after){
        .share = isnan(limit) ? limit : (double)(d->large_others + least) / n_others,
        .at_most = isnan(limit) ? limit : (double)(d->large_others + most) / n_others,
        .first_share = isnan(limit) ? limit : (double)d->large_first / (double)s->n_first,
        .mean = (sum - d->first_sum) / (double)n,
        .rms = sqrt((others < 0 ? 0 : others) / (double)n)};
}

/* Sums of all files, [OL_N_COLUMN_ROWS, d_model]. The caller frees. */
static double *read_sums(const struct sinks *s, int l)
{
    const size_t n = OL_N_COLUMN_ROWS * (size_t)s->m->stream.d_model;
    double *sums = ol_xcalloc(n, sizeof *sums), *columns = ol_xcalloc(n, sizeof *columns);
    const struct ol_activation_summary summary = {.columns = columns};
    for (int i = 0; i < s->parts->n_files; i++) {
        ol_activation_read_summary(s->parts->files[i], s->m->stream.layers[l].i_layer,
                                   OL_SUMMARY_OUTPUT, &summary);
        for (size_t k = 0; k < n; k++)
            sums[k] += columns[k];
    }
    free(columns);
    return sums;
}

static void take_layer(struct sinks *s, int l)
{
    const int64_t d = s->m->stream.d_model;
    memset(s->at, 0, (size_t)d * sizeof *s->at);
    s->n_crowded = 0;
    for (int64_t k = 0; k < s->parts->n_sequences; k++)
        for (int64_t p = 0; p < s->parts->lengths[k]; p++)
            take_token(s, l, k, p);
    double *columns = read_sums(s, l);
    for (int64_t f = 0; f < d; f++)
        s->after[l * d + f] = sum_up(s, columns, l, f);
    free(columns);
}

/* ---- what it comes to ---- */

struct found {
    int feature;
    int n_layers, first, last; /* of the stream's layers, as a sink */
    int best;                  /* with the largest ratio; -1: none is known */
    double ratio;
    const struct ol_massive_feature *massive; /* NULL: it is not */
};

static double ratio_at(const struct sinks *s, int l, int feature)
{
    return s->after[l * s->m->stream.d_model + feature].rms / s->m->layers[l].median;
}

static struct found look_at(const struct sinks *s, int feature)
{
    struct found f = {.feature = feature, .first = -1, .last = -1, .best = -1};
    for (int l = 0; l < s->m->stream.n_layers; l++) {
        const bool is_sink =
            s->after[l * s->m->stream.d_model + feature].share >= min_share;
        const double ratio = ratio_at(s, l, feature);
        if (is_sink && f.n_layers++ == 0) {
            f.first = l;
            f.best = -1;
        }
        if (is_sink)
            f.last = l;
        if (is_sink == (f.n_layers > 0) && !isnan(ratio) &&
            (f.best < 0 || ratio > f.ratio)) {
            f.best = l;
            f.ratio = ratio;
        }
    }
    return f;
}

/* Sinks first, the largest ratio first. */
static int by_ratio(const void *a, const void *b)
{
    const struct found *x = a, *y = b;
    if (x->ratio != y->ratio)
        return x->ratio > y->ratio ? -1 : 1;
    return x->feature < y->feature ? -1 : x->feature > y->feature;
}

static void describe_layers(const struct sinks *s, const struct found *f,
                            struct ol_list *list, struct ol_arena *arena)
{
    const struct ol_massive *m = s->m;
    struct ol_sink_after *to = ol_list_new(list, m->stream.n_layers, sizeof *to, arena);
    for (int l = 0; l < m->stream.n_layers; l++) {
        const struct after *at = &s->after[l * m->stream.d_model + f->feature];
        to[l] = (struct ol_sink_after){
            .layer = m->layers[l].number,
            .share = at->share,
            .share_at_most = at->at_most,
            .first_share = at->first_share,
            .mean = at->mean,
            .rms = at->rms,
            .ratio = ratio_at(s, l, f->feature),
            .n_massive = f->massive != NULL ? f->massive->layers[l].n_massive : 0};
    }
}

static void describe(const struct sinks *s, const struct found *f,
                     struct ol_sink_dimension *to, struct ol_arena *arena)
{
    const struct ol_massive *m = s->m;
    const struct after *best =
        f->best >= 0 ? &s->after[f->best * m->stream.d_model + f->feature] : NULL;
    *to = (struct ol_sink_dimension){
        .feature = f->feature,
        .kind = f->n_layers == 0     ? "massive"
                : f->massive != NULL ? "both"
                                     : "sink",
        .n_layers = f->n_layers,
        .first_layer = f->first >= 0 ? m->layers[f->first].number : OL_ABSENT,
        .last_layer = f->last >= 0 ? m->layers[f->last].number : OL_ABSENT,
        .layer = best != NULL ? m->layers[f->best].number : OL_ABSENT,
        .ratio = best != NULL ? f->ratio : (double)NAN,
        .mean = best != NULL ? best->mean : (double)NAN,
        .share = best != NULL ? best->share : (double)NAN,
        .first_share = best != NULL ? best->first_share : (double)NAN,
        .massive_tokens = f->massive != NULL ? f->massive->n_tokens : 0,
        .max_magnitude = ol_massive_maximum(m, f->feature, NULL)};
    describe_layers(s, f, &to->layers, arena);
}

/* By falling ratio; then massive dimensions that are none, by falling maximum. */
static void list_features(const struct sinks *s, struct ol_residual_sinks *to,
                          struct ol_arena *arena)
{
    const struct ol_massive *m = s->m;
    const size_t room = (size_t)m->stream.d_model + 1;
    struct found *sinks = ol_xcalloc(room, sizeof *sinks),
                 *massive = ol_xcalloc((size_t)m->n_features + 1, sizeof *massive);
    const struct ol_massive_feature **by_feature = ol_xcalloc(room, sizeof *by_feature);
    int n_sinks = 0, n_massive = 0;
    for (int i = 0; i < m->n_features; i++)
        by_feature[m->features[i].feature] = &m->features[i];
    for (int f = 0; f < m->stream.d_model; f++) {
        sinks[n_sinks] = look_at(s, f);
        sinks[n_sinks].massive = by_feature[f];
        to->n_both += sinks[n_sinks].n_layers > 0 && by_feature[f] != NULL;
        n_sinks += sinks[n_sinks].n_layers > 0;
    }
    qsort(sinks, (size_t)n_sinks, sizeof *sinks, by_ratio);
    for (int i = 0; i < m->n_features && n_massive < MOST_MASSIVE; i++) {
        massive[n_massive] = look_at(s, m->features[i].feature);
        massive[n_massive].massive = &m->features[i];
        n_massive += massive[n_massive].n_layers == 0;
    }
    to->n_sinks = n_sinks;
    to->n_massive = m->n_features;
    n_sinks = n_sinks < MOST_SINKS ? n_sinks : MOST_SINKS;
    struct ol_sink_dimension *features =
        ol_list_new(&to->features, n_sinks + n_massive, sizeof *features, arena);
    for (int i = 0; i < n_sinks; i++)
        describe(s, &sinks[i], &features[i], arena);
    for (int i = 0; i < n_massive; i++)
        describe(s, &massive[i], &features[n_sinks + i], arena);
    free(by_feature);
    free(massive);
    free(sinks);
}

static bool results(const struct ol_analysis *a, void *state, void *block,
                    struct ol_arena *arena)
{
    (void)state;
    struct ol_residual_sinks *to = block;
    struct sinks s = {.m = ol_findings_massive(a), .parts = a->parts};
    if (s.m == NULL)
        return false;
    const size_t d = (size_t)s.m->stream.d_model;
    for (int64_t k = 0; k < a->parts->n_sequences; k++)
        s.n_first += a->parts->lengths[k] > 0;
    s.n_others = a->parts->n_tokens - s.n_first;
    s.at = ol_xcalloc(d, sizeof *s.at);
    s.after = ol_xcalloc((size_t)s.m->stream.n_layers * d, sizeof *s.after);
    for (int l = 0; l < s.m->stream.n_layers; l++)
        take_layer(&s, l);
    to->min_ratio = min_ratio;
    to->min_share = min_share;
    to->n_first = s.n_first;
    to->n_others = s.n_others;
    list_features(&s, to, arena);
    free(s.after);
    free(s.at);
    return true;
}

const struct ol_statistic ol_residual_sinks_statistic = {.name = "residual_sinks",
                                                         .results = results};
