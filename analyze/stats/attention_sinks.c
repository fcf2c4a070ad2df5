/* Attention sinks (arXiv 2410.10781): how much of its attention each head gives to the
 * first token and to a learned sink, how its gate stands there, and which other tokens
 * are sinks. The recording has settled what a sink is (common/activation_file.h). */
#include <math.h>
#include <stdlib.h>

#include "analyze/describe.h"
#include "analyze/findings.h"
#include "analyze/statistics.h"
#include "common/results/attention_sinks.h"

enum { MOST_KEYS = 16, MOST_TOKENS = 16 };

/* Every token as a key, over all layers. */
struct key {
    int64_t n_heads;
    double received; /* mean share of a layer's heads, times these, added up */
};

struct sinks {
    const struct ol_parts *parts;
    struct key *keys;      /* [n_tokens] of all sequences */
    uint8_t **massive;     /* [n_sequences][length]: has a massive value; NULL: unknown */
    int64_t n_pairs;       /* (layer, head) */
    double first, n_first; /* sums over (layer, head, sequence), and how many */
    double n_sink_first;
};

/* A mean of what is a number. */
struct mean {
    double sum, n;
};

static void add(struct mean *m, double value)
{
    if (isnan(value))
        return;
    m->sum += value;
    m->n++;
}

/* A share; NaN: of nothing. Sums of floats may be above 1 by their last bit. */
static double of(struct mean m)
{
    return m.n > 0 ? fmin(m.sum / m.n, 1) : (double)NAN;
}

/* ---- heads ---- */

/* One head, a row of the tables per sequence: row[s] stands at rows + s * step. */
static void describe_head(const double *rows, int64_t step, int64_t n_sequences,
                          struct ol_sink_head *to)
{
    struct mean first = {0}, first_sink = {0}, learned = {0}, gate = {0},
                gate_first = {0}, gate_sinks = {0};
    for (int64_t s = 0; s < n_sequences; s++) {
        const double *row = rows + s * step;
        add(&first, row[OL_HEAD_FIRST]);
        if (!isnan(row[OL_HEAD_FIRST]))
            add(&first_sink, row[OL_HEAD_FIRST] > OL_SINK_SHARE);
        add(&learned, row[OL_HEAD_TO_SINK]);
        add(&gate, row[OL_HEAD_GATE]);
        add(&gate_first, row[OL_HEAD_GATE_FIRST]);
        to->sinks += row[OL_HEAD_N_SINKS] / (double)n_sequences;
        for (int k = 0; k < OL_TOP_KEYS; k++) {
            const double *key = row + OL_HEAD_KEYS + k * OL_N_KEY_COLUMNS;
            if (key[OL_KEY_POSITION] >= 0 && key[OL_KEY_SHARE] > OL_SINK_SHARE)
                add(&gate_sinks, key[OL_KEY_GATE]);
        }
    }
    to->first = of(first);
    to->first_sink = of(first_sink);
    to->learned = of(learned);
    to->gate = of(gate);
    to->gate_first = of(gate_first);
    to->gate_sinks = of(gate_sinks);
}

/* [n_sequences of all files, n_heads, OL_N_HEAD_COLUMNS]; the caller frees it. */
static double *read_heads(const struct ol_parts *parts, int i_layer)
{
    const size_t n_heads = (size_t)ol_parts_layout(parts)->layers[i_layer].n_heads;
    double *all = ol_xcalloc((size_t)parts->n_sequences * n_heads * OL_N_HEAD_COLUMNS,
                             sizeof *all),
           *at = all;
    for (int i = 0; i < parts->n_files; i++) {
        ol_activation_copy(parts->files[i], OL_TABLE_HEADS, i_layer, at);
        at += (size_t)ol_activation_layout(parts->files[i])->n_sequences * n_heads *
              OL_N_HEAD_COLUMNS;
    }
    return all;
}

static void describe_layer(struct sinks *s, int i_layer, struct ol_sink_layer *to,
                           struct ol_arena *arena)
{
    const struct ol_parts *parts = s->parts;
    const struct ol_activation_layer *layer = &ol_parts_layout(parts)->layers[i_layer];
    struct ol_sink_head *heads =
        ol_list_new(&to->heads, layer->n_heads, sizeof *heads, arena);
    struct mean first = {0}, sinks = {0}, learned = {0}, gate = {0};
    double *rows = read_heads(parts, i_layer);
    to->layer = layer->number;
    to->attention = layer->attention;
    for (int h = 0; h < layer->n_heads; h++) {
        heads[h].head = h;
        describe_head(rows + (int64_t)h * OL_N_HEAD_COLUMNS,
                      (int64_t)layer->n_heads * OL_N_HEAD_COLUMNS, parts->n_sequences,
                      &heads[h]);
        add(&first, heads[h].first);
        add(&sinks, heads[h].first_sink);
        add(&learned, heads[h].learned);
        add(&gate, heads[h].gate);
    }
    free(rows);
    to->first = of(first);
    to->sink_heads = of(sinks);
    to->learned = of(learned);
    to->gate = of(gate);
    s->n_pairs += layer->n_heads;
    s->first += first.sum;
    s->n_first += first.n;
    s->n_sink_first += sinks.sum;
}

/* ---- keys ---- */

static void add_keys(struct sinks *s, int i_layer)
{
    const struct ol_parts *parts = s->parts;
    const double n_heads = ol_parts_layout(parts)->layers[i_layer].n_heads;
    struct key *key = s->keys;
    for (int64_t i = 0; i < parts->n_sequences; i++) {
        const float *rows =
            ol_activation_get(parts->files[parts->file_of[i]], OL_TABLE_RECEIVED, i_layer,
                              parts->number_of[i]);
        for (int32_t t = 0; t < parts->lengths[i]; t++, key++) {
            const float *row = rows + (size_t)t * OL_N_RECEIVED_COLUMNS;
            key->received += (double)row[OL_RECEIVED_MEAN] * n_heads;
            key->n_heads += (int64_t)row[OL_RECEIVED_HEADS];
        }
    }
}

struct place {
    const struct key *key;
    int64_t sequence, position;
};

/* Of as many pairs the one that receives more, then the first. */
static bool comes_before(const struct key *a, const struct key *b)
{
    return a->n_heads != b->n_heads ? a->n_heads > b->n_heads : a->received > b->received;
}

static enum ol_maybe has_massive(const struct sinks *s, int64_t sequence,
                                 int64_t position)
{
    return s->massive == NULL                    ? OL_UNKNOWN
           : s->massive[sequence][position] != 0 ? OL_YES
                                                 : OL_NO;
}

static void describe_places(const struct sinks *s, const struct place *places, int n,
                            struct ol_list *list, struct ol_arena *arena)
{
    struct ol_sink_key *to = ol_list_new(list, n, sizeof *to, arena);
    for (int i = 0; i < n; i++) {
        const struct key *key = places[i].key;
        to[i] = (struct ol_sink_key){
            ol_describe_place(s->parts, places[i].sequence, places[i].position),
            key->n_heads, (double)key->n_heads / (double)s->n_pairs,
            fmin(key->received / (double)s->n_pairs, 1),
            has_massive(s, places[i].sequence, places[i].position)};
    }
}

static void describe_keys(const struct sinks *s, struct ol_attention_sinks *to,
                          struct ol_arena *arena)
{
    struct place places[MOST_KEYS];
    struct ol_tally tokens = {0};
    const struct key *key = s->keys;
    int n = 0;
    for (int64_t i = 0; i < s->parts->n_sequences; i++)
        for (int32_t t = 0; t < s->parts->lengths[i]; t++, key++) {
            if (t == 0 || key->n_heads == 0)
                continue;
            int at = n < MOST_KEYS ? n : MOST_KEYS;
            while (at > 0 && comes_before(key, places[at - 1].key))
                at--;
            n += n < MOST_KEYS;
            for (int k = n - 1; k > at; k--)
                places[k] = places[k - 1];
            if (at < MOST_KEYS)
                places[at] = (struct place){key, i, t};
            ol_tally_add(&tokens, (uint64_t)ol_describe_token_id(s->parts, i, t), 1);
            to->n_keys++;
        }
    describe_places(s, places, n, &to->keys, arena);
    ol_describe_tokens(s->parts, &tokens, MOST_TOKENS, &to->tokens, arena);
    ol_tally_clear(&tokens);
}

/* ---- massive activations ---- */

static void find_massive(struct sinks *s, const struct ol_analysis *a)
{
    const struct ol_parts *parts = s->parts;
    const struct ol_massive *massive = ol_findings_massive(a);
    if (massive == NULL)
        return;
    s->massive = ol_xcalloc((size_t)parts->n_sequences, sizeof *s->massive);
    for (int64_t i = 0; i < parts->n_sequences; i++)
        s->massive[i] = ol_xcalloc((size_t)parts->lengths[i], 1);
    ol_massive_mark(massive, s->massive);
}

static void describe_massive(const struct sinks *s, struct ol_attention_sinks *block,
                             struct ol_arena *arena)
{
    const struct key *key = s->keys;
    if (s->massive == NULL)
        return;
    struct ol_sinks_and_massive *to = ol_arena_calloc(arena, 1, sizeof *to);
    for (int64_t i = 0; i < s->parts->n_sequences; i++)
        for (int32_t t = 0; t < s->parts->lengths[i]; t++, key++) {
            const bool massive = s->massive[i][t] != 0, sink = key->n_heads > 0;
            to->n_sinks += sink;
            to->n_massive += massive;
            to->n_both += sink && massive;
            to->n_both_first += sink && massive && t == 0;
            to->n_pairs += key->n_heads;
            to->n_pairs_massive += massive ? key->n_heads : 0;
        }
    block->massive = to;
}

static void clear(struct sinks *s)
{
    for (int64_t i = 0; s->massive != NULL && i < s->parts->n_sequences; i++)
        free(s->massive[i]);
    free(s->massive);
    free(s->keys);
}

static bool results(const struct ol_analysis *a, void *state, void *block,
                    struct ol_arena *arena)
{
    (void)state;
    const struct ol_activation_layout *layout = ol_parts_layout(a->parts);
    struct ol_attention_sinks *to = block;
    struct ol_sink_layer *layers =
        ol_list_new(&to->layers, layout->n_layers, sizeof *layers, arena);
    struct sinks s = {.parts = a->parts};
    s.keys = ol_xcalloc((size_t)a->parts->n_tokens, sizeof *s.keys);
    to->layers.n = 0;
    for (int l = 0; l < layout->n_layers; l++) {
        if (layout->layers[l].n_heads == 0)
            continue;
        describe_layer(&s, l, &layers[to->layers.n++], arena);
        add_keys(&s, l);
    }
    to->min_share = OL_SINK_SHARE;
    to->min_queries = OL_LEAST_SEEING;
    to->bos = ol_parts_info(a->parts)->input.bos;
    to->n_heads = s.n_pairs;
    to->first = s.n_first > 0 ? fmin(s.first / s.n_first, 1) : (double)NAN;
    to->sink_heads = s.n_first > 0 ? s.n_sink_first / s.n_first : (double)NAN;
    find_massive(&s, a);
    describe_keys(&s, to, arena);
    describe_massive(&s, to, arena);
    clear(&s);
    return to->layers.n > 0;
}

const struct ol_statistic ol_attention_sinks_statistic = {.name = "attention_sinks",
                                                          .results = results};
