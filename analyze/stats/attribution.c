/* Which components write the dimensions that matter, each asked about its own
 * tokens (events of writers.h): the massive dimensions, the outlier features, and, over
 * all tokens on which they are among the largest, these and those that are most often a
 * token's largest near the end. */
#include <math.h>
#include <stdlib.h>

#include "analyze/describe.h"
#include "analyze/features.h"
#include "analyze/findings.h"
#include "common/results/attribution.h"

enum {
    MAX_OUTLIERS = 48,
    MAX_FEATURES = 64, /* in all */
    MAX_QUESTIONS = MAX_OUTLIERS + MAX_FEATURES,
    MAX_ENTRIES = OL_FINDINGS_TOLD + MAX_QUESTIONS,
    MAX_WRITERS = 16, /* of each list; the others are summed up */
    MAX_TOKENS = 8,
    MAX_FOLLOWED = 8, /* entries whose contributions are told layer by layer */
    NO_SLOT = -1,
};

/* The end is one layer in so many, the last. */
enum { LAST_ONE_IN = 4 };

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
    const int first = s->n_layers - (s->n_layers + LAST_ONE_IN - 1) / LAST_ONE_IN;
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

/* But for the massive dimensions on their own tokens, n_massive of them, about which has
 * been asked. */
static void choose(const struct gathered *g, const struct ol_massive *m, int n_massive,
                   struct choice *c)
{
    const size_t d = (size_t)m->stream.d_model;
    struct count *counts = ol_xcalloc(d, sizeof *counts),
                 *sorted = ol_xcalloc(d, sizeof *sorted);
    int n = 0;
    for (size_t f = 0; f < d; f++)
        counts[f].feature = (int)f;
    count_tops(g->a->parts, &m->stream, counts);
    for (size_t f = 0; f < d; f++)
        sorted[f] = counts[f];
    qsort(sorted, d, sizeof *sorted, by_count);
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

static void describe_list(const struct ol_parts *parts, const struct ol_writer_list *list,
                          struct ol_list *to, struct ol_arena *arena)
{
    const int n = list->n < MAX_WRITERS ? list->n : MAX_WRITERS;
    struct ol_stream_writer *writers = ol_list_new(to, n, sizeof *writers, arena);
    for (int i = 0; i < n; i++) {
        const struct ol_writer_sum *w = &list->writers[i];
        writers[i] = (struct ol_stream_writer){
            .who = ol_describe_component(parts, w->i_layer, w->unit),
            .n_tokens = w->n_tokens,
            .sum = w->sum,
            .share = w->share};
    }
}

static struct ol_other_writers *describe_others(const struct ol_writer_list *list,
                                                double magnitude, struct ol_arena *arena)
{
    struct ol_other_writers *others = ol_arena_calloc(arena, 1, sizeof *others);
    for (int i = MAX_WRITERS; i < list->n; i++)
        others->sum += list->writers[i].sum;
    others->n_writers = list->n > MAX_WRITERS ? list->n - MAX_WRITERS : 0;
    others->share = others->sum / magnitude;
    return others;
}

static void describe_layers(const struct ol_stream *s, const int64_t *counts,
                            struct ol_list *list, struct ol_arena *arena)
{
    struct ol_layer_tokens *to = ol_list_new(list, s->n_layers, sizeof *to, arena);
    list->n = 0;
    for (int l = 0; l < s->n_layers; l++)
        if (counts[l] > 0)
            to[list->n++] = (struct ol_layer_tokens){s->layers[l].number, counts[l]};
}

static void describe_answer(const struct ol_massive *m, const struct ol_written *w,
                            struct ol_attributed_feature *to, struct ol_arena *arena)
{
    const struct ol_parts *parts = m->stream.parts;
    *to = (struct ol_attributed_feature){
        .feature = w->feature,
        .event = ol_event_name(w->event),
        .max_magnitude = ol_massive_maximum(m, w->feature, NULL),
        .n_tokens = w->n_tokens,
        .at_first_token = w->at_first_token,
        .n_values = w->n_values,
        .n_unknown_values = w->n_unknown_values,
        .sign = ol_written_sign(w),
        .magnitude = w->magnitude,
        .others = ol_arena_calloc(arena, 1, sizeof *to->others),
        .embedding = w->embedding,
        .unknown = w->unknown};
    *to->others = (struct ol_others){
        .made_by = describe_others(&w->made_by, w->magnitude, arena),
        .counteracted_by = describe_others(&w->counteracted_by, w->magnitude, arena),
        .erased_by = describe_others(&w->erased_by, w->magnitude, arena)};
    describe_layers(&m->stream, w->peaks, &to->peak_layers, arena);
    describe_layers(&m->stream, w->onsets, &to->onset_layers, arena);
    describe_list(parts, &w->made_by, &to->made_by, arena);
    describe_list(parts, &w->counteracted_by, &to->counteracted_by, arena);
    describe_list(parts, &w->erased_by, &to->erased_by, arena);
    ol_describe_tokens(parts, &w->tokens, MAX_TOKENS, &to->tokens, arena);
}

static void describe_writes(const struct ol_stream *s, const struct ol_written *w,
                            struct ol_list *layers)
{
    struct ol_attribution_layer *to = layers->items;
    for (int l = 0; l < s->n_layers; l++)
        to[layers->n++] = (struct ol_attribution_layer){.feature = w->feature,
                                                        .event = ol_event_name(w->event),
                                                        .layer = s->layers[l].number,
                                                        .attention = w->attention[l],
                                                        .mlp = w->mlp[l]};
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

static void add_entries(const struct ol_massive *m, const struct ol_written *answers,
                        int n, struct entry *entries)
{
    for (int i = 0; i < n; i++)
        entries[i] =
            (struct entry){&answers[i], ol_massive_maximum(m, answers[i].feature, NULL)};
}

static void describe(const struct ol_massive *m, struct entry *entries, int n,
                     struct ol_attribution *to, struct ol_arena *arena)
{
    qsort(entries, (size_t)n, sizeof *entries, by_event);
    struct ol_attributed_feature *features =
        ol_list_new(&to->features, n, sizeof *features, arena);
    ol_list_new(&to->layers, (int64_t)MAX_FOLLOWED * m->stream.n_layers,
                sizeof(struct ol_attribution_layer), arena);
    to->layers.n = 0;
    for (int i = 0; i < n; i++) {
        describe_answer(m, entries[i].w, &features[i], arena);
        if (i < MAX_FOLLOWED)
            describe_writes(&m->stream, entries[i].w, &to->layers);
    }
}

static bool results(const struct ol_analysis *a, void *state, void *block,
                    struct ol_arena *arena)
{
    const struct gathered *g = state;
    const struct ol_massive *m = ol_findings_massive(a);
    if (m == NULL)
        return false;
    struct choice c = {0};
    struct ol_written answers[MAX_QUESTIONS];
    struct entry entries[MAX_ENTRIES] = {{NULL, 0}};
    int n_massive;
    const struct ol_written *massive = ol_findings_written(a, &n_massive);
    n_massive = n_massive < OL_FINDINGS_TOLD ? n_massive : OL_FINDINGS_TOLD;
    choose(g, m, n_massive, &c);
    ol_writers_find(a, m, &g->occurrences, c.questions, c.n, answers);
    add_entries(m, massive, n_massive, entries);
    add_entries(m, answers, c.n, entries + n_massive);
    describe(m, entries, n_massive + c.n, block, arena);
    for (int i = 0; i < c.n; i++)
        ol_written_clear(&answers[i]);
    return true;
}

const struct ol_statistic ol_attribution_statistic = {.name = "attribution",
                                                      .begin = begin,
                                                      .block = block,
                                                      .end = end,
                                                      .results = results};
