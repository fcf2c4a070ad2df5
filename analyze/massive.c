#include "analyze/massive.h"

#include <math.h>
#include <stdlib.h>

#include "analyze/describe.h"
#include "analyze/histogram.h"

const struct ol_massive_criterion ol_massive_default = {
    .min_magnitude = 100, .min_ratio = 1000, .near_ratio = 500};

struct search {
    const struct ol_parts *parts;
    struct ol_massive *m;
    int64_t *starts; /* [n_sequences]: of a sequence's tokens among all */
    /* Values by dimension and token: key feature * n_tokens + token. */
    struct ol_tally massive, near;
    struct ol_massive_feature *found, *missed; /* [d_model]; n_values 0: none yet */
};

bool ol_massive_is(const struct ol_massive *m, int l, double magnitude)
{
    return magnitude > m->criterion.min_magnitude &&
           magnitude >= m->criterion.min_ratio * m->layers[l].median;
}

static bool is_near(const struct ol_massive *m, int l, double magnitude)
{
    return magnitude > m->criterion.min_magnitude && !ol_massive_is(m, l, magnitude) &&
           magnitude >= m->criterion.near_ratio * m->layers[l].median;
}

/* ---- layer by layer ---- */

static void add_value(struct search *s, int l, bool massive, int feature,
                      double magnitude, int64_t token)
{
    const struct ol_massive_layer *layer = &s->m->layers[l];
    struct ol_massive_feature *f = massive ? &s->found[feature] : &s->missed[feature];
    if (f->n_values == 0)
        *f = (struct ol_massive_feature){.feature = feature,
                                         .first_layer = layer->number,
                                         .last_layer = -1,
                                         .max_layer = -1,
                                         .above_until = -1,
                                         .above_until_at_most = -1};
    f->n_layers += f->last_layer != layer->number;
    f->last_layer = layer->number;
    f->n_values++;
    if (magnitude > f->max) {
        f->max = magnitude;
        f->max_layer = layer->number;
    }
    if (magnitude / layer->median > f->max_ratio)
        f->max_ratio = magnitude / layer->median;
    ol_tally_add(massive ? &s->massive : &s->near,
                 (uint64_t)feature * (uint64_t)s->parts->n_tokens + (uint64_t)token, 1);
}

/* Into values [OL_TOP_FEATURES], falling. */
static void insert(double *values, double value)
{
    int i = OL_TOP_FEATURES - 1;
    if (value <= values[i])
        return;
    for (; i > 0 && values[i - 1] < value; i--)
        values[i] = values[i - 1];
    values[i] = value;
}

static void take_token(struct search *s, int l, int64_t sequence, int64_t position,
                       double *largest)
{
    struct ol_massive_layer *layer = &s->m->layers[l];
    const struct ol_stream *stream = &s->m->stream;
    const uint16_t *features = ol_stream_features(stream, l, sequence, position);
    const float *row = ol_stream_rows(stream, l, sequence, position);
    const int64_t before = layer->n_values;
    for (int i = 0; i < OL_TOP_FEATURES && features[i] < stream->d_model; i++) {
        const double magnitude = fabs((double)row[i * stream->layers[l].width]);
        if (isfinite(magnitude)) {
            layer->token_sums[i] += magnitude;
            layer->n_in_token_sums[i]++;
            insert(largest, magnitude);
        }
        double *maximum = &s->m->maxima[(int64_t)l * stream->d_model + features[i]];
        *maximum = fmax(*maximum, magnitude); /* passes over NaN */
        if (!isnan(magnitude) && (layer->feature < 0 || magnitude > layer->max)) {
            layer->max = magnitude;
            layer->feature = features[i];
            layer->sequence = sequence;
            layer->position = position;
        }
        const bool massive = ol_massive_is(s->m, l, magnitude);
        layer->n_values += massive;
        if (massive || is_near(s->m, l, magnitude))
            add_value(s, l, massive, features[i], magnitude,
                      s->starts[sequence] + position);
    }
    layer->n_tokens += layer->n_values > before;
}

static void take_layer(struct search *s, int l)
{
    struct ol_massive_layer *layer = &s->m->layers[l];
    struct ol_histogram h;
    ol_histogram_read(s->parts, s->m->stream.layers[l].i_layer, OL_SUMMARY_OUTPUT, &h);
    layer->median = ol_histogram_median(&h);
    ol_histogram_clear(&h);
    for (int64_t k = 0; k < s->parts->n_sequences; k++) {
        double largest[OL_TOP_FEATURES] = {-1, -1, -1, -1};
        for (int64_t p = 0; p < s->parts->lengths[k]; p++)
            take_token(s, l, k, p, largest);
        for (int i = 0; i < OL_TOP_FEATURES && largest[i] >= 0; i++) {
            layer->sequence_sums[i] += largest[i];
            layer->n_in_sequence_sums[i]++;
        }
    }
}

/* Of all values, not only of those that are among a token's largest. The summary's are
 * rounded to bf16: they count where they are beyond what is known exactly. */
static void read_maxima(struct search *s, int l)
{
    const size_t d = (size_t)s->m->stream.d_model;
    double *columns = ol_xcalloc(OL_N_COLUMN_ROWS * d, sizeof *columns),
           *maxima = s->m->maxima + (size_t)l * d;
    const struct ol_activation_summary summary = {.columns = columns};
    for (int i = 0; i < s->parts->n_files; i++) {
        ol_activation_read_summary(s->parts->files[i], s->m->stream.layers[l].i_layer,
                                   OL_SUMMARY_OUTPUT, &summary);
        for (size_t f = 0; f < d; f++) {
            const double max = columns[OL_COLUMN_MAX * d + f],
                         min = columns[OL_COLUMN_MIN * d + f], most = fmax(max, -min);
            /* A dimension that is always NaN has its maximum below its minimum. */
            if (max >= min && !(most <= (double)ol_bf16_round((float)fmax(maxima[f], 0))))
                maxima[f] = most;
        }
    }
    free(columns);
}

double ol_massive_maximum(const struct ol_massive *m, int feature, int *l)
{
    double most = (double)NAN;
    if (l != NULL)
        *l = -1;
    for (int i = 0; i < m->stream.n_layers; i++) {
        const double here = m->maxima[(int64_t)i * m->stream.d_model + feature];
        if (isnan(here) || here <= most)
            continue;
        most = here;
        if (l != NULL)
            *l = i;
    }
    return most;
}

/* ---- what it comes to ---- */

static int compare(const void *a, const void *b)
{
    const struct ol_massive_feature *x = a, *y = b;
    if (x->max != y->max)
        return x->max > y->max ? -1 : 1;
    return x->feature < y->feature ? -1 : x->feature > y->feature;
}

/* Those that were found, to the front; how many. */
static int gather(struct ol_massive_feature *features, int64_t d_model)
{
    int n = 0;
    for (int64_t f = 0; f < d_model; f++)
        if (features[f].n_values > 0)
            features[n++] = features[f];
    return n;
}

static struct ol_massive_feature *feature_of(struct ol_massive_feature *features, int n,
                                             int feature)
{
    int low = 0;
    for (int high = n; high - low > 1;) {
        const int middle = (low + high) / 2;
        if (features[middle].feature <= feature)
            low = middle;
        else
            high = middle;
    }
    return &features[low];
}

static void find_place(const struct search *s, int64_t token, int64_t *sequence,
                       int64_t *position)
{
    int64_t low = 0;
    for (int64_t high = s->parts->n_sequences; high - low > 1;) {
        const int64_t middle = (low + high) / 2;
        if (s->starts[middle] <= token)
            low = middle;
        else
            high = middle;
    }
    *sequence = low;
    *position = token - s->starts[low];
}

/* Whether a dimension that is not among the token's largest may be above nonetheless. */
static bool may_be_above(const struct search *s, int l, int64_t sequence,
                         int64_t position)
{
    const struct ol_stream *stream = &s->m->stream;
    const uint16_t *features = ol_stream_features(stream, l, sequence, position);
    const float *rows = ol_stream_rows(stream, l, sequence, position);
    for (int i = 0; i < OL_TOP_FEATURES; i++)
        if (features[i] >= stream->d_model ||
            fabs((double)rows[i * stream->layers[l].width]) <=
                s->m->criterion.min_magnitude)
            return false;
    return true;
}

static void count_above(const struct search *s, struct ol_massive_feature *f,
                        int64_t sequence, int64_t position)
{
    for (int l = 0; l < s->m->stream.n_layers; l++) {
        struct ol_massive_at *at = &f->layers[l];
        const float *row =
            ol_stream_row(&s->m->stream, l, sequence, position, f->feature);
        const double magnitude = row != NULL ? fabs((double)row[0]) : 0;
        at->n_massive += ol_massive_is(s->m, l, magnitude);
        if (magnitude > s->m->criterion.min_magnitude) {
            at->n_above++;
        } else if (row == NULL && at->max > s->m->criterion.min_magnitude &&
                   may_be_above(s, l, sequence, position)) {
            at->n_unknown++; /* where no token's is above, this one's is not */
        }
    }
}

static void find_ends(const struct search *s, struct ol_massive_feature *f)
{
    f->above_until = f->above_until_at_most = -1;
    for (int l = 0; l < s->m->stream.n_layers; l++) {
        if (f->layers[l].n_above > 0)
            f->above_until = s->m->layers[l].number;
        if (f->layers[l].n_above + f->layers[l].n_unknown > 0)
            f->above_until_at_most = s->m->layers[l].number;
    }
}

/* Their tokens: features [n] are by number. */
static void add_tokens(const struct search *s, const struct ol_tally *values,
                       struct ol_massive_feature *features, int n)
{
    struct ol_counted *sorted = ol_tally_sorted(values);
    for (size_t i = 0; i < values->n; i++) {
        const uint64_t n_tokens = (uint64_t)s->parts->n_tokens;
        struct ol_massive_feature *f =
            feature_of(features, n, (int)(sorted[i].key / n_tokens));
        int64_t sequence, position;
        find_place(s, (int64_t)(sorted[i].key % n_tokens), &sequence, &position);
        f->n_tokens++;
        f->at_first_token += position == 0;
        const int32_t id = ol_describe_token_id(s->parts, sequence, position);
        if (id >= 0)
            ol_tally_add(&f->tokens, (uint64_t)id, 1);
        if (f->layers != NULL)
            count_above(s, f, sequence, position);
    }
    free(sorted);
}

/* The whole life of a massive dimension, not only where it is massive. */
static void follow(const struct search *s, struct ol_massive_feature *f)
{
    struct ol_massive *m = s->m;
    int l;
    f->layers = ol_xcalloc((size_t)m->stream.n_layers, sizeof *f->layers);
    for (int i = 0; i < m->stream.n_layers; i++)
        f->layers[i].max = m->maxima[(int64_t)i * m->stream.d_model + f->feature];
    const double most = ol_massive_maximum(m, f->feature, &l);
    if (l >= 0 && most >= f->max) {
        f->max = most;
        f->max_layer = m->layers[l].number;
    }
}

static int most_tokens(const void *a, const void *b)
{
    const struct ol_massive_token *x = a, *y = b;
    const int64_t m = x->at_first + x->elsewhere, n = y->at_first + y->elsewhere;
    if (m != n)
        return m > n ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

/* Keys: twice the id, and 1 more at position 0. */
static void count_ids(const struct search *s, struct ol_tally *text,
                      struct ol_tally *massive)
{
    uint8_t **marks = ol_xcalloc((size_t)s->parts->n_sequences, sizeof *marks);
    for (int64_t k = 0; k < s->parts->n_sequences; k++)
        marks[k] = ol_xcalloc((size_t)s->parts->lengths[k] + 1, 1);
    ol_massive_mark(s->m, marks);
    for (int64_t k = 0; k < s->parts->n_sequences; k++) {
        for (int64_t p = 0; p < s->parts->lengths[k]; p++) {
            const int32_t id = ol_describe_token_id(s->parts, k, p);
            if (id < 0)
                continue;
            const uint64_t key = 2 * (uint64_t)id + (p == 0);
            ol_tally_add(text, key, 1);
            if (marks[k][p])
                ol_tally_add(massive, key, 1);
        }
        free(marks[k]);
    }
    free(marks);
}

static void list_ids(struct search *s)
{
    struct ol_tally text = {0}, massive = {0};
    count_ids(s, &text, &massive);
    struct ol_counted *with = ol_tally_sorted(&massive), *all = ol_tally_sorted(&text);
    struct ol_massive_token *tokens = ol_xcalloc(massive.n + 1, sizeof *tokens);
    size_t n = 0;
    for (size_t i = 0, k = 0; i < massive.n; i++) {
        const int32_t id = (int32_t)(with[i].key / 2);
        if (n == 0 || tokens[n - 1].id != id) {
            struct ol_massive_token *t = &tokens[n++];
            t->id = id;
            while (all[k].key / 2 < with[i].key / 2)
                k++;
            for (size_t j = k; j < text.n && all[j].key / 2 == with[i].key / 2; j++)
                *(all[j].key % 2 == 1 ? &t->text_at_first : &t->text_elsewhere) =
                    all[j].n;
        }
        *(with[i].key % 2 == 1 ? &tokens[n - 1].at_first : &tokens[n - 1].elsewhere) =
            with[i].n;
    }
    qsort(tokens, n, sizeof *tokens, most_tokens);
    s->m->tokens = tokens;
    s->m->n_ids = n;
    free(all);
    free(with);
    ol_tally_clear(&massive);
    ol_tally_clear(&text);
}

static void finish(struct search *s)
{
    struct ol_massive *m = s->m;
    m->features = s->found;
    m->n_features = gather(s->found, m->stream.d_model);
    m->near = s->missed;
    m->n_near = gather(s->missed, m->stream.d_model);
    for (int i = 0; i < m->n_features; i++)
        follow(s, &m->features[i]);
    add_tokens(s, &s->massive, m->features, m->n_features);
    add_tokens(s, &s->near, m->near, m->n_near);
    for (int i = 0; i < m->n_features; i++)
        find_ends(s, &m->features[i]);
    qsort(m->features, (size_t)m->n_features, sizeof *m->features, compare);
    qsort(m->near, (size_t)m->n_near, sizeof *m->near, compare);
    list_ids(s);
}

bool ol_massive_find(const struct ol_parts *parts,
                     const struct ol_massive_criterion *criterion, struct ol_massive *m)
{
    *m = (struct ol_massive){.criterion = *criterion};
    ol_stream_open(parts, &m->stream);
    if (m->stream.n_layers == 0) {
        ol_massive_clear(m);
        return false;
    }
    const size_t d = (size_t)m->stream.d_model, n = (size_t)m->stream.n_layers;
    m->layers = ol_xcalloc(n, sizeof *m->layers);
    m->maxima = ol_xcalloc(n * d, sizeof *m->maxima);
    for (size_t i = 0; i < n * d; i++)
        m->maxima[i] = (double)NAN;
    struct search s = {
        .parts = parts,
        .m = m,
        .starts = ol_xcalloc((size_t)parts->n_sequences + 1, sizeof *s.starts),
        .found = ol_xcalloc(d, sizeof *s.found),
        .missed = ol_xcalloc(d, sizeof *s.missed),
    };
    for (int64_t k = 1; k < parts->n_sequences; k++)
        s.starts[k] = s.starts[k - 1] + parts->lengths[k - 1];
    for (int l = 0; l < m->stream.n_layers; l++) {
        m->layers[l] = (struct ol_massive_layer){.number = m->stream.layers[l].number,
                                                 .feature = -1,
                                                 .sequence = -1,
                                                 .position = -1};
        take_layer(&s, l);
        read_maxima(&s, l);
    }
    finish(&s);
    ol_tally_clear(&s.massive);
    ol_tally_clear(&s.near);
    free(s.starts);
    return true;
}

void ol_massive_mark(const struct ol_massive *m, uint8_t **marks)
{
    const struct ol_parts *parts = m->stream.parts;
    for (int l = 0; l < m->stream.n_layers; l++)
        for (int64_t s = 0; m->layers[l].n_values > 0 && s < parts->n_sequences; s++)
            for (int64_t p = 0; p < parts->lengths[s]; p++) {
                const float *row = ol_stream_rows(&m->stream, l, s, p);
                for (int i = 0; i < OL_TOP_FEATURES; i++)
                    if (ol_massive_is(m, l,
                                      fabs((double)row[i * m->stream.layers[l].width])))
                        marks[s][p] = 1;
            }
}

static void clear_features(struct ol_massive_feature *features, int n)
{
    for (int i = 0; i < n; i++) {
        ol_tally_clear(&features[i].tokens);
        free(features[i].layers);
    }
    free(features);
}

void ol_massive_clear(struct ol_massive *m)
{
    clear_features(m->features, m->n_features);
    clear_features(m->near, m->n_near);
    free(m->tokens);
    free(m->maxima);
    free(m->layers);
    ol_stream_clear(&m->stream);
    *m = (struct ol_massive){0};
}
