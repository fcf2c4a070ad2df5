#include "analyze/writers.h"

#include <math.h>
#include <stdlib.h>

#include "analyze/describe.h"
#include "analyze/outlying.h"

/* Moments in a pass through the layers. Moment 2 l is before the l-th layer's attention
 * has written, 2 l + 1 between it and the MLP: a write of moment m is in the values of
 * later moments. */
static int before_attention(int l)
{
    return 2 * l;
}

static int before_mlp(int l)
{
    return 2 * l + 1;
}

static int after_layer(int l)
{
    return 2 * (l + 1);
}

/* What a writer added along the events' signs, up to their peaks and after them. */
struct cell {
    int64_t n_before, n_after;
    double before, after;
};

/* A value of the stream at which an event ends. */
struct peak {
    int moment;
    double value; /* NaN: not known */
};

struct layer_mean {
    int64_t n_attention, n_mlp;
    double attention, mlp;
};

struct answer {
    const struct ol_analysis *a;
    const struct ol_massive *m;
    const struct ol_stream *s;
    const struct ol_occurrences *occurrences;
    const struct ol_question *question;
    struct ol_written *w;
    struct cell *cells;       /* [n_layers of (1 + units)] */
    struct cell **of;         /* [n_layers]: a layer's first */
    struct layer_mean *means; /* [n_layers] */
    /* Of the token at hand. */
    int64_t sequence, position;
    const float **rows; /* [n_layers]; NULL: not among the largest there */
    struct peak *peaks; /* [2 n_layers], by rising moment */
    int n_peaks;
};

/* ---- a token's peaks ---- */

/* The value before the layer, as far as what the layer itself says of it goes. */
static double value_before(const struct answer *k, int l)
{
    const float *row = k->rows[l];
    return row != NULL ? (double)row[0] - ol_stream_mlp(k->s, l, row) - (double)row[1]
                       : (double)NAN;
}

static double value_at(const struct answer *k, int moment)
{
    const int l = moment / 2;
    const bool mlp = moment % 2 == 1;
    double value = (double)NAN;
    if (l > 0 && (l == k->s->n_layers || ol_stream_follows(k->s, l)) &&
        k->rows[l - 1] != NULL)
        value = (double)k->rows[l - 1][0];
    if (l == k->s->n_layers)
        return value;
    if (mlp && isfinite(value))
        value = k->rows[l] != NULL ? value + (double)k->rows[l][1] : (double)NAN;
    if (isfinite(value))
        return value;
    if (mlp)
        return k->rows[l] != NULL
                   ? (double)k->rows[l][0] - ol_stream_mlp(k->s, l, k->rows[l])
                   : (double)NAN;
    return value_before(k, l);
}

static void add_peak(struct answer *k, int moment)
{
    k->peaks[k->n_peaks++] = (struct peak){moment, value_at(k, moment)};
}

/* The largest value after a layer, of those that are massive, or of all. */
static void find_largest(struct answer *k, bool massive)
{
    int best = -1;
    bool any = false;
    for (int l = 0; l < k->s->n_layers; l++) {
        const double magnitude =
            k->rows[l] != NULL ? fabs((double)k->rows[l][0]) : (double)NAN;
        if (isnan(magnitude) || (massive && !ol_massive_is(k->m, l, magnitude)))
            continue;
        any = true;
        if (isfinite(magnitude) &&
            (best < 0 || magnitude > fabs((double)k->rows[best][0])))
            best = l;
    }
    if (best >= 0)
        k->peaks[k->n_peaks++] =
            (struct peak){after_layer(best), (double)k->rows[best][0]};
    else if (any)
        k->peaks[k->n_peaks++] = (struct peak){0, (double)NAN};
}

static int layer_of(const struct answer *k, int i_layer)
{
    for (int l = 0; l < k->s->n_layers; l++)
        if (k->s->layers[l].i_layer == i_layer)
            return l;
    return -1;
}

static void add_site(struct answer *k, int site)
{
    const struct ol_site_of_run *at = &k->a->sites[site];
    const int l = layer_of(k, at->i_layer);
    if (l >= 0)
        add_peak(k, at->site == OL_SITE_LN_ATTN ? before_attention(l) : before_mlp(l));
    else
        k->peaks[k->n_peaks++] = (struct peak){0, (double)NAN};
}

static void find_occurrences(struct answer *k)
{
    const struct ol_occurrences *o = k->occurrences;
    const int i = k->question->occurrence;
    if (o->at == NULL) {
        int64_t bytes;
        const uint8_t *bits =
            ol_outlying_bits(k->a, k->sequence, (size_t)k->question->feature, &bytes);
        if (o->sites[i] >= 0 && (bits[k->position / 8] >> k->position % 8 & 1) != 0)
            add_site(k, o->sites[i]);
        return;
    }
    const uint8_t *bits =
        o->at[i] + (o->starts[k->sequence] + k->position) * o->site_bytes;
    for (int site = 0; site < k->a->n_sites; site++)
        if ((bits[site / 8] >> site % 8 & 1) != 0)
            add_site(k, site);
}

static void find_peaks(struct answer *k)
{
    k->n_peaks = 0;
    for (int l = 0; l < k->s->n_layers; l++)
        k->rows[l] =
            ol_stream_row(k->s, l, k->sequence, k->position, k->question->feature);
    switch (k->question->event) {
    case OL_EVENT_MASSIVE:
        find_largest(k, true);
        break;
    case OL_EVENT_OUTLIER:
        find_occurrences(k);
        break;
    case OL_EVENT_ALL:
        find_largest(k, false);
        break;
    case OL_N_EVENTS:
        break;
    }
}

/* ---- what was written ---- */

static double sign_of(double value)
{
    return value < 0 ? -1 : 1;
}

/* Signs of the peaks that come after a moment, and of the others. */
static void weigh(const struct answer *k, int moment, double *before, double *after)
{
    *before = *after = 0;
    for (int i = 0; i < k->n_peaks; i++)
        *(k->peaks[i].moment > moment ? before : after) += sign_of(k->peaks[i].value);
}

static void add_write(struct cell *cell, double write, double before, double after)
{
    if (before != 0) {
        cell->n_before++;
        cell->before += before * write;
    }
    if (after != 0) {
        cell->n_after++;
        cell->after += after * write;
    }
}

/* The largest single write so far, along the sign of the token's last peak. */
struct onset {
    int l; /* -1: none */
    double write;
};

static void look_for_onset(struct onset *onset, int l, double aligned)
{
    if (aligned > onset->write)
        *onset = (struct onset){l, aligned};
}

static void take_row(struct answer *k, int l, double sign, struct onset *onset)
{
    const float *row = k->rows[l];
    const int last = k->peaks[k->n_peaks - 1].moment;
    double before, after;
    weigh(k, before_attention(l), &before, &after);
    const double attention = (double)row[1];
    if (isfinite(attention)) {
        add_write(k->of[l], attention, before, after);
        k->means[l].attention += sign * attention;
        k->means[l].n_attention++;
        if (before_attention(l) < last)
            look_for_onset(onset, l, sign * attention);
    }
    weigh(k, before_mlp(l), &before, &after);
    for (int slot = 0; slot < k->s->layers[l].n_slots; slot++) {
        const double write = (double)row[OL_WRITES_PER_TOP + slot];
        const int unit = ol_stream_unit(k->s, l, k->sequence, k->position, slot);
        if (!isfinite(write) || unit < 0)
            continue;
        add_write(k->of[l] + 1 + unit, write, before, after);
        if (before_mlp(l) < last)
            look_for_onset(onset, l, sign * write);
    }
    const double mlp = ol_stream_mlp(k->s, l, row);
    if (isfinite(mlp)) {
        k->means[l].mlp += sign * mlp;
        k->means[l].n_mlp++;
    }
}

/* Of each layer once, although both its norms may have a peak. */
static void count_peaks(struct answer *k)
{
    int last = -1;
    for (int i = 0; i < k->n_peaks; i++) {
        const int l = k->question->event == OL_EVENT_OUTLIER ? k->peaks[i].moment / 2
                                                             : k->peaks[i].moment / 2 - 1;
        if (l != last)
            k->w->peaks[l]++;
        last = l;
    }
}

static void add_values(struct answer *k)
{
    const double embedding =
        ol_stream_follows(k->s, 0) ? value_before(k, 0) : (double)NAN;
    for (int i = 0; i < k->n_peaks; i++) {
        const double value = k->peaks[i].value;
        k->w->n_values++;
        k->w->n_positive += value >= 0;
        k->w->magnitude += fabs(value);
        if (isfinite(embedding))
            k->w->embedding += sign_of(value) * embedding;
    }
}

static int known_peaks(struct answer *k)
{
    int n = 0;
    for (int i = 0; i < k->n_peaks; i++)
        if (isfinite(k->peaks[i].value))
            k->peaks[n++] = k->peaks[i];
    return n;
}

/* ---- what layers change ---- */

/* What the dimension is at most after a layer, where it is not among the largest. */
static double most_after(const struct answer *k, int l)
{
    const uint16_t *features = ol_stream_features(k->s, l, k->sequence, k->position);
    const float *rows = ol_stream_rows(k->s, l, k->sequence, k->position);
    return features[OL_TOP_FEATURES - 1] < k->s->d_model
               ? fabs((double)rows[(OL_TOP_FEATURES - 1) * k->s->layers[l].width])
               : (double)NAN;
}

/* The least that a value changed which is v on one side of a layer and at most `most` on
 * the other. */
static double least_change(double v, double most)
{
    return v > most ? v - most : 0;
}

static void take_change(struct answer *k, int l, double sign)
{
    struct ol_layer_change *to = &k->w->changes[l];
    const bool follows = l > 0 && ol_stream_follows(k->s, l);
    const double after = k->rows[l] != NULL ? (double)k->rows[l][0] : (double)NAN;
    double before =
        follows && k->rows[l - 1] != NULL ? (double)k->rows[l - 1][0] : (double)NAN;
    if (isfinite(after)) {
        to->n_values++;
        to->values += sign * after;
    } else {
        to->most_of_others += most_after(k, l);
    }
    if (!isfinite(before))
        before = value_before(k, l);
    if (isfinite(before) && isfinite(after)) {
        to->n++;
        to->sum += sign * (after - before);
    } else if (isfinite(before) && k->rows[l] == NULL) {
        to->n_bounded++;
        to->bounded -= least_change(sign * before, most_after(k, l));
    } else if (isfinite(after) && follows && k->rows[l - 1] == NULL) {
        to->n_bounded++;
        to->bounded += least_change(sign * after, most_after(k, l - 1));
    }
}

static void take_token(struct answer *k)
{
    find_peaks(k);
    if (k->n_peaks == 0)
        return;
    struct ol_written *w = k->w;
    const int32_t id = ol_describe_token_id(k->a->parts, k->sequence, k->position);
    w->n_tokens++;
    w->at_first_token += k->position == 0;
    if (id >= 0)
        ol_tally_add(&w->tokens, (uint64_t)id, 1);
    const int n_peaks = k->n_peaks;
    k->n_peaks = known_peaks(k);
    w->n_unknown_values += n_peaks - k->n_peaks;
    if (k->n_peaks == 0)
        return;
    struct onset onset = {-1, 0};
    const double sign = sign_of(k->peaks[k->n_peaks - 1].value);
    add_values(k);
    count_peaks(k);
    for (int l = 0; l < k->s->n_layers; l++)
        if (k->rows[l] != NULL)
            take_row(k, l, sign, &onset);
    for (int l = 0; w->changes != NULL && l < k->s->n_layers; l++)
        take_change(k, l, sign);
    if (onset.l >= 0)
        w->onsets[onset.l]++;
}

/* ---- what the sums come to ---- */

static int compare(const void *a, const void *b)
{
    const struct ol_writer_sum *x = a, *y = b;
    if (fabs(x->sum) != fabs(y->sum))
        return fabs(x->sum) > fabs(y->sum) ? -1 : 1;
    if (x->i_layer != y->i_layer)
        return x->i_layer < y->i_layer ? -1 : 1;
    return x->unit < y->unit ? -1 : x->unit > y->unit;
}

static void append(struct ol_writer_list *list, struct ol_writer_sum writer,
                   double magnitude)
{
    writer.share = writer.sum / magnitude;
    list->writers =
        ol_xrealloc_array(list->writers, (size_t)list->n + 1, sizeof *list->writers);
    list->writers[list->n++] = writer;
}

static void sort(struct ol_writer_list *list)
{
    if (list->n > 0)
        qsort(list->writers, (size_t)list->n, sizeof *list->writers, compare);
}

static void list_writers(struct answer *k)
{
    struct ol_written *w = k->w;
    double known = 0;
    for (int l = 0; l < k->s->n_layers; l++)
        for (int unit = OL_UNIT_ATTENTION; unit < k->s->layers[l].layer->n_units;
             unit++) {
            const struct cell *cell = k->of[l] + 1 + unit;
            struct ol_writer_sum writer = {k->s->layers[l].i_layer, unit, cell->n_before,
                                           cell->before, 0};
            known += cell->before;
            if (cell->before > 0)
                append(&w->made_by, writer, w->magnitude);
            else if (cell->before < 0)
                append(&w->counteracted_by, writer, w->magnitude);
            writer.n_tokens = cell->n_after;
            writer.sum = cell->after;
            if (cell->after < 0)
                append(&w->erased_by, writer, w->magnitude);
            writer.n_tokens = cell->n_before + cell->n_after;
            writer.sum = cell->before + cell->after;
            if (w->changes != NULL && writer.n_tokens > 0)
                append(&w->changes[l].writers, writer, w->magnitude);
        }
    w->unknown = w->magnitude - w->embedding - known;
    sort(&w->made_by);
    sort(&w->counteracted_by);
    sort(&w->erased_by);
    for (int l = 0; w->changes != NULL && l < w->n_layers; l++)
        sort(&w->changes[l].writers);
}

static void new_answer(struct answer *k)
{
    const size_t n = (size_t)k->s->n_layers;
    size_t n_cells = 0;
    for (size_t l = 0; l < n; l++)
        n_cells += (size_t)(1 + k->s->layers[l].layer->n_units);
    k->cells = ol_xcalloc(n_cells, sizeof *k->cells);
    k->of = ol_xcalloc(n, sizeof *k->of);
    k->means = ol_xcalloc(n, sizeof *k->means);
    k->rows = ol_xcalloc(n, sizeof *k->rows);
    k->peaks = ol_xcalloc(2 * n + (size_t)k->a->n_sites, sizeof *k->peaks);
    n_cells = 0;
    for (size_t l = 0; l < n; l++) {
        k->of[l] = k->cells + n_cells;
        n_cells += (size_t)(1 + k->s->layers[l].layer->n_units);
    }
    *k->w = (struct ol_written){
        .feature = k->question->feature,
        .event = k->question->event,
        .peaks = ol_xcalloc(n, sizeof *k->w->peaks),
        .onsets = ol_xcalloc(n, sizeof *k->w->onsets),
        .attention = ol_xcalloc(n, sizeof *k->w->attention),
        .mlp = ol_xcalloc(n, sizeof *k->w->mlp),
        .n_layers = (int)n,
        .changes = k->question->event == OL_EVENT_MASSIVE
                       ? ol_xcalloc(n, sizeof *k->w->changes)
                       : NULL,
    };
}

static void end_answer(struct answer *k)
{
    for (int l = 0; l < k->s->n_layers; l++) {
        const struct layer_mean *mean = &k->means[l];
        k->w->attention[l] = mean->attention / (double)mean->n_attention;
        k->w->mlp[l] = mean->mlp / (double)mean->n_mlp;
    }
    list_writers(k);
    free(k->peaks);
    free(k->rows);
    free(k->means);
    free(k->of);
    free(k->cells);
}

struct questions {
    const struct ol_analysis *a;
    const struct ol_massive *m;
    const struct ol_occurrences *occurrences;
    const struct ol_question *questions;
    struct ol_written *answers;
};

/* One question is one thread's, so that sums are in the order of the text. */
static void answer(void *arg, int64_t i, int thread)
{
    const struct questions *q = arg;
    struct answer k = {.a = q->a,
                       .m = q->m,
                       .s = &q->m->stream,
                       .occurrences = q->occurrences,
                       .question = &q->questions[i],
                       .w = &q->answers[i]};
    (void)thread;
    new_answer(&k);
    for (k.sequence = 0; k.sequence < q->a->parts->n_sequences; k.sequence++)
        for (k.position = 0; k.position < q->a->parts->lengths[k.sequence]; k.position++)
            take_token(&k);
    end_answer(&k);
}

const char *ol_event_name(enum ol_event event)
{
    static const char *const names[] = {"massive", "outlier", "all"};
    return names[event];
}

void ol_writers_find(const struct ol_analysis *a, const struct ol_massive *m,
                     const struct ol_occurrences *occurrences,
                     const struct ol_question *questions, int n,
                     struct ol_written *answers)
{
    struct questions q = {a, m, occurrences, questions, answers};
    if (n > 0)
        ol_pool_run(a->pool, n, answer, &q);
}

const char *ol_written_sign(const struct ol_written *w)
{
    return w->n_values == 0               ? NULL
           : w->n_positive == w->n_values ? "+"
           : w->n_positive == 0           ? "-"
                                          : "both";
}

void ol_written_clear(struct ol_written *w)
{
    free(w->made_by.writers);
    free(w->counteracted_by.writers);
    free(w->erased_by.writers);
    free(w->peaks);
    free(w->onsets);
    free(w->attention);
    free(w->mlp);
    for (int l = 0; w->changes != NULL && l < w->n_layers; l++)
        free(w->changes[l].writers.writers);
    free(w->changes);
    ol_tally_clear(&w->tokens);
    *w = (struct ol_written){0};
}
