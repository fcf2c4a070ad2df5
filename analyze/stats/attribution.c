/* Which parts of the model write the dimensions that matter, each asked about its own
 * tokens (events of writers.h): the massive dimensions, the outlier features, and, over
 * all tokens on which they are among the largest, these and those that are most often a
 * token's largest near the end. */
#include <math.h>
#include <stdlib.h>

#include "analyze/describe.h"
#include "analyze/features.h"
#include "analyze/writers.h"

enum {
    MAX_MASSIVE = 32,
    MAX_OUTLIERS = 48,
    MAX_FEATURES = 64, /* in all */
    MAX_QUESTIONS = MAX_MASSIVE + MAX_OUTLIERS + MAX_FEATURES,
    MAX_WRITERS = 16, /* of each list; the others are summed up */
    MAX_TOKENS = 8,
    MAX_FOLLOWED = 8, /* entries whose writes are told layer by layer */
    NO_SLOT = -1,
};

/* Which part of the recorded layers counts as the end. */
enum { LAST_PARTS = 4 };

/* Gathered from tensors: which tokens have an occurrence of an outlier feature, where. */
struct gathered {
    const struct ol_analysis *a;
    int n;
    int features[MAX_OUTLIERS], sites[MAX_OUTLIERS];
    int *slot_of; /* [d_model] */
    struct ol_occurrences occurrences;
};

static int most_occurrences(const struct ol_features *f, const struct ol_analysis *a,
                            int feature)
{
    int64_t most = 0;
    int best = -1;
    for (int site = 0; site < a->n_sites; site++)
        for (int i = 0; i < f->n_sites; i++)
            if (f->sites[i].i_layer == a->sites[site].i_layer &&
                f->sites[i].site == ol_summary_site_of(a->sites[site].site) &&
                f->at_site[i * f->d_model + feature] > most) {
                most = f->at_site[i * f->d_model + feature];
                best = site;
            }
    return best;
}

static void *begin(const struct ol_analysis *a)
{
    struct gathered *g = ol_xcalloc(1, sizeof *g);
    struct ol_features features;
    g->a = a;
    if (!ol_features_find(a, &features))
        return g;
    for (int i = 0; i < features.n_outliers && i < MAX_OUTLIERS; i++) {
        g->features[g->n] = features.outliers[i];
        g->sites[g->n++] = most_occurrences(&features, a, features.outliers[i]);
    }
    ol_features_clear(&features);
    struct ol_occurrences *o = &g->occurrences;
    *o = (struct ol_occurrences){
        .n = g->n,
        .features = g->features,
        .sites = g->sites,
        .site_bytes = (a->n_sites + 7) / 8,
        .starts = ol_xcalloc((size_t)a->parts->n_sequences + 1, sizeof *o->starts)};
    for (int64_t k = 1; k < a->parts->n_sequences; k++)
        o->starts[k] = o->starts[k - 1] + a->parts->lengths[k - 1];
    if (a->from_summaries || a->n_sites == 0)
        return g;
    const int64_t d = ol_parts_layout(a->parts)->d_model;
    g->slot_of = ol_xcalloc((size_t)d, sizeof *g->slot_of);
    for (int64_t f = 0; f < d; f++)
        g->slot_of[f] = NO_SLOT;
    o->at = ol_xcalloc((size_t)g->n + 1, sizeof *o->at);
    for (int i = 0; i < g->n; i++) {
        g->slot_of[g->features[i]] = i;
        o->at[i] = ol_xcalloc((size_t)(a->parts->n_tokens * o->site_bytes) + 1, 1);
    }
    return g;
}

/* A token's bytes are one thread's. */
static void block(void *state, int thread, const struct ol_block *b)
{
    struct gathered *g = state;
    const struct ol_occurrences *o = &g->occurrences;
    (void)thread;
    if (g->n == 0)
        return;
    const int64_t first = o->starts[b->sequence] + b->position;
    for (size_t i = 0; i < b->found->n; i++) {
        const int slot = g->slot_of[b->found->occurrences[i].feature];
        if (slot != NO_SLOT)
            o->at[slot][(first + b->found->occurrences[i].row) * o->site_bytes +
                        b->site / 8] |= (uint8_t)(1 << b->site % 8);
    }
}

static void end(void *state)
{
    struct gathered *g = state;
    for (int i = 0; g->occurrences.at != NULL && i < g->n; i++)
        free(g->occurrences.at[i]);
    free(g->occurrences.at);
    free(g->occurrences.starts);
    free(g->slot_of);
    free(g);
}

/* ---- what is asked ---- */

struct count {
    int feature;
    bool among_largest; /* of some token, after some layer */
    int64_t n;          /* how often the largest near the end */
};

static int by_count(const void *a, const void *b)
{
    const struct count *x = a, *y = b;
    if (x->n != y->n)
        return x->n > y->n ? -1 : 1;
    return x->feature < y->feature ? -1 : x->feature > y->feature;
}

/* Near the end: in the last quarter of the layers. */
static void count_tops(const struct ol_parts *parts, const struct ol_stream *s,
                       struct count *counts)
{
    const int first = s->n_layers - (s->n_layers + LAST_PARTS - 1) / LAST_PARTS;
    for (int l = 0; l < s->n_layers; l++)
        for (int64_t k = 0; k < parts->n_sequences; k++) {
            const uint16_t *features = ol_stream_features(s, l, k, 0);
            for (int64_t i = 0; i < parts->lengths[k] * OL_TOP_FEATURES; i++) {
                if (features[i] >= s->d_model)
                    continue;
                counts[features[i]].among_largest = true;
                counts[features[i]].n += l >= first && i % OL_TOP_FEATURES == 0;
            }
        }
}

struct choice {
    int n;
    struct ol_question questions[MAX_QUESTIONS];
};

static void ask(struct choice *c, int feature, enum ol_event event, int occurrence)
{
    c->questions[c->n++] = (struct ol_question){feature, event, occurrence};
}

/* About all tokens: each feature once, if it is among the largest of any. */
static void ask_all(struct choice *c, struct count *counts, int feature, int *n)
{
    if (*n >= MAX_FEATURES || !counts[feature].among_largest)
        return;
    counts[feature].among_largest = false;
    (*n)++;
    ask(c, feature, OL_EVENT_ALL, -1);
}

static void choose(const struct gathered *g, const struct ol_massive *m, struct choice *c)
{
    const size_t d = (size_t)m->stream.d_model;
    struct count *counts = ol_xcalloc(d, sizeof *counts),
                 *sorted = ol_xcalloc(d, sizeof *sorted);
    const int n_massive = m->n_features < MAX_MASSIVE ? m->n_features : MAX_MASSIVE;
    int n = 0;
    for (size_t f = 0; f < d; f++)
        counts[f].feature = (int)f;
    count_tops(g->a->parts, &m->stream, counts);
    for (size_t f = 0; f < d; f++)
        sorted[f] = counts[f];
    qsort(sorted, d, sizeof *sorted, by_count);
    for (int i = 0; i < n_massive; i++)
        ask(c, m->features[i].feature, OL_EVENT_MASSIVE, -1);
    for (int i = 0; i < g->n; i++)
        ask(c, g->features[i], OL_EVENT_OUTLIER, i);
    for (int i = 0; i < n_massive; i++)
        ask_all(c, counts, m->features[i].feature, &n);
    for (int i = 0; i < g->n; i++)
        ask_all(c, counts, g->features[i], &n);
    for (size_t i = 0; i < d && sorted[i].n > 0; i++)
        ask_all(c, counts, sorted[i].feature, &n);
    free(sorted);
    free(counts);
}

/* ---- what is said ---- */

static struct ol_json *describe_list(const struct ol_parts *parts,
                                     const struct ol_writer_list *list)
{
    struct ol_json *writers = ol_json_new_array();
    for (int i = 0; i < list->n && i < MAX_WRITERS; i++) {
        const struct ol_writer_sum *w = &list->writers[i];
        struct ol_json *one = ol_json_new_object();
        ol_json_set(one, "layer",
                    ol_json_new_int(ol_parts_layout(parts)->layers[w->i_layer].number));
        ol_describe_unit(one, parts, w->i_layer, w->unit);
        ol_json_set(one, "n_tokens", ol_json_new_int(w->n_tokens));
        ol_json_set(one, "sum", ol_json_new_real(w->sum));
        ol_json_set(one, "share", ol_json_new_real(w->share));
        ol_json_append(writers, one);
    }
    return writers;
}

static struct ol_json *describe_others(const struct ol_writer_list *list,
                                       double magnitude)
{
    struct ol_json *one = ol_json_new_object();
    double sum = 0;
    for (int i = MAX_WRITERS; i < list->n; i++)
        sum += list->writers[i].sum;
    ol_json_set(one, "n_writers",
                ol_json_new_int(list->n > MAX_WRITERS ? list->n - MAX_WRITERS : 0));
    ol_json_set(one, "sum", ol_json_new_real(sum));
    ol_json_set(one, "share", ol_json_new_real(sum / magnitude));
    return one;
}

static struct ol_json *describe_layers(const struct ol_stream *s, const int64_t *counts)
{
    struct ol_json *list = ol_json_new_array();
    for (int l = 0; l < s->n_layers; l++) {
        if (counts[l] == 0)
            continue;
        struct ol_json *one = ol_json_new_object();
        ol_json_set(one, "layer", ol_json_new_int(s->layers[l].number));
        ol_json_set(one, "n_tokens", ol_json_new_int(counts[l]));
        ol_json_append(list, one);
    }
    return list;
}

static struct ol_json *describe_sign(const struct ol_written *w)
{
    if (w->n_values == 0)
        return ol_json_new_null();
    return ol_json_new_string(w->n_positive == w->n_values ? "+"
                              : w->n_positive == 0         ? "-"
                                                           : "both");
}

static struct ol_json *describe_answer(const struct ol_massive *m,
                                       const struct ol_written *w)
{
    const struct ol_parts *parts = m->stream.parts;
    struct ol_json *entry = ol_json_new_object(), *others = ol_json_new_object();
    ol_json_set(others, "made_by", describe_others(&w->made_by, w->magnitude));
    ol_json_set(others, "counteracted_by",
                describe_others(&w->counteracted_by, w->magnitude));
    ol_json_set(others, "erased_by", describe_others(&w->erased_by, w->magnitude));
    ol_json_set(entry, "feature", ol_json_new_int(w->feature));
    ol_json_set(entry, "event", ol_json_new_string(ol_event_name(w->event)));
    ol_json_set(entry, "max_magnitude",
                ol_json_new_real(ol_massive_maximum(m, w->feature, NULL)));
    ol_json_set(entry, "n_tokens", ol_json_new_int(w->n_tokens));
    ol_json_set(entry, "at_first_token", ol_json_new_int(w->at_first_token));
    ol_json_set(entry, "n_values", ol_json_new_int(w->n_values));
    ol_json_set(entry, "n_unknown_values", ol_json_new_int(w->n_unknown_values));
    ol_json_set(entry, "sign", describe_sign(w));
    ol_json_set(entry, "magnitude", ol_json_new_real(w->magnitude));
    ol_json_set(entry, "peak_layers", describe_layers(&m->stream, w->peaks));
    ol_json_set(entry, "onset_layers", describe_layers(&m->stream, w->onsets));
    ol_json_set(entry, "made_by", describe_list(parts, &w->made_by));
    ol_json_set(entry, "counteracted_by", describe_list(parts, &w->counteracted_by));
    ol_json_set(entry, "erased_by", describe_list(parts, &w->erased_by));
    ol_json_set(entry, "others", others);
    ol_json_set(entry, "embedding", ol_json_new_real(w->embedding));
    ol_json_set(entry, "unknown", ol_json_new_real(w->unknown));
    ol_json_set(entry, "tokens", ol_describe_tokens(parts, &w->tokens, MAX_TOKENS));
    return entry;
}

static void describe_writes(struct ol_json *layers, const struct ol_stream *s,
                            const struct ol_written *w)
{
    for (int l = 0; l < s->n_layers; l++) {
        struct ol_json *entry = ol_json_new_object();
        ol_json_set(entry, "feature", ol_json_new_int(w->feature));
        ol_json_set(entry, "event", ol_json_new_string(ol_event_name(w->event)));
        ol_json_set(entry, "layer", ol_json_new_int(s->layers[l].number));
        ol_json_set(entry, "attention", ol_json_new_real(w->attention[l]));
        ol_json_set(entry, "mlp", ol_json_new_real(w->mlp[l]));
        ol_json_append(layers, entry);
    }
}

/* What they are asked about, and the same once more to sort by. */
struct entry {
    const struct ol_written *w;
    double max;
};

static int by_event(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    const double p = isnan(x->max) ? -1 : x->max, q = isnan(y->max) ? -1 : y->max;
    if (x->w->event != y->w->event)
        return x->w->event < y->w->event ? -1 : 1;
    if (p != q)
        return p > q ? -1 : 1;
    return x->w->feature < y->w->feature ? -1 : x->w->feature > y->w->feature;
}

static struct ol_json *describe(const struct ol_massive *m,
                                const struct ol_written *answers, int n)
{
    struct ol_json *block = ol_json_new_object(), *features = ol_json_new_array(),
                   *layers = ol_json_new_array();
    struct entry entries[MAX_QUESTIONS] = {{NULL, 0}};
    for (int i = 0; i < n; i++)
        entries[i] =
            (struct entry){&answers[i], ol_massive_maximum(m, answers[i].feature, NULL)};
    qsort(entries, (size_t)n, sizeof *entries, by_event);
    for (int i = 0; i < n; i++) {
        ol_json_append(features, describe_answer(m, entries[i].w));
        if (i < MAX_FOLLOWED)
            describe_writes(layers, &m->stream, entries[i].w);
    }
    ol_json_set(block, "features", features);
    ol_json_set(block, "layers", layers);
    return block;
}

static struct ol_json *results(const struct ol_analysis *a, void *state)
{
    const struct gathered *g = state;
    struct ol_massive m;
    struct choice c = {0};
    struct ol_written answers[MAX_QUESTIONS];
    if (!ol_massive_find(a->parts, &ol_massive_default, &m))
        return ol_json_new_null();
    choose(g, &m, &c);
    ol_writers_find(a, &m, &g->occurrences, c.questions, c.n, answers);
    struct ol_json *block = describe(&m, answers, c.n);
    for (int i = 0; i < c.n; i++)
        ol_written_clear(&answers[i]);
    ol_massive_clear(&m);
    return block;
}

const struct ol_statistic ol_attribution_statistic = {.name = "attribution",
                                                      .begin = begin,
                                                      .block = block,
                                                      .end = end,
                                                      .results = results};
