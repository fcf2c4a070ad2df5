/* Step-up and step-down (arXiv 2603.05498): the layers at which massive dimensions rise
 * and fall on their own tokens, and the components that write it. The values behind the
 * last layer at which they are massive count as well: that is where most of them fall. */
#include <math.h>
#include <stdlib.h>

#include "analyze/describe.h"
#include "analyze/findings.h"
#include "analyze/units.h"
#include "common/results/steps.h"

/* Of the magnitude at the peaks: what changes less is no step. */
static const double min_share = 0.1;

enum { MOST_WRITERS = 4, MOST_UNITS = 4 };

struct steps {
    const struct ol_analysis *a;
    const struct ol_massive *m;
    struct ol_units units;
};

static double whole_change(const struct ol_layer_change *c)
{
    return c->sum + c->bounded;
}

static bool is_step(const struct ol_written *w, const struct ol_layer_change *c)
{
    return w->magnitude > 0 && isfinite(w->magnitude) &&
           fabs(whole_change(c)) >= min_share * w->magnitude;
}

/* ---- who ---- */

static void describe_writers(const struct steps *k, const struct ol_layer_change *c,
                             struct ol_step *to, struct ol_arena *arena)
{
    const double change = whole_change(c);
    struct ol_stream_writer *by = ol_list_new(&to->by, MOST_WRITERS, sizeof *by, arena);
    to->by.n = 0;
    to->unknown = change;
    for (int i = 0; i < c->writers.n; i++) {
        const struct ol_writer_sum *w = &c->writers.writers[i];
        to->unknown -= w->sum;
        if (w->sum * change > 0 && to->by.n < MOST_WRITERS)
            by[to->by.n++] = (struct ol_stream_writer){
                .who = ol_describe_component(k->a->parts, w->i_layer, w->unit),
                .n_tokens = w->n_tokens,
                .sum = w->sum,
                .share = w->share};
    }
}

/* Whether the dimension is massive on the token, after any layer. */
static bool is_token_of(const struct steps *k, int feature, int64_t sequence,
                        int64_t position)
{
    for (int l = 0; l < k->m->stream.n_layers; l++) {
        const float *row =
            k->m->layers[l].n_values > 0
                ? ol_stream_row(&k->m->stream, l, sequence, position, feature)
                : NULL;
        if (row != NULL && ol_massive_is(k->m, l, fabs((double)row[0])))
            return true;
    }
    return false;
}

/* Where the dimension leaves a token's largest its writes are not recorded, but the
 * largest output of every unit is: one that lies in this dimension on such a token tells
 * who wrote it. */
static void describe_units(const struct steps *k, int l, int feature, struct ol_step *to,
                           struct ol_arena *arena)
{
    struct ol_step_unit *units =
        ol_list_new(&to->units, MOST_UNITS, sizeof *units, arena);
    to->units.n = 0;
    for (int64_t i = 0; i < k->units.n && to->units.n < MOST_UNITS; i++) {
        const struct ol_unit *u = &k->units.units[i];
        if (u->i_layer == k->m->stream.layers[l].i_layer && u->feature == feature &&
            u->sequence >= 0 && isfinite(u->output) &&
            is_token_of(k, feature, u->sequence, u->position) &&
            ol_stream_row(&k->m->stream, l, u->sequence, u->position, feature) == NULL)
            units[to->units.n++] = (struct ol_step_unit){
                .who = ol_describe_component(k->a->parts, u->i_layer, u->number),
                .output = u->output,
                .at = ol_describe_place(k->a->parts, u->sequence, u->position)};
    }
}

/* ---- where ---- */

static void describe_step(const struct steps *k, const struct ol_written *w, int l,
                          struct ol_step *to, struct ol_arena *arena)
{
    const struct ol_layer_change *c = &w->changes[l];
    const double change = whole_change(c);
    *to = (struct ol_step){.layer = k->m->layers[l].number,
                           .attention = k->m->stream.layers[l].layer->attention,
                           .direction = change > 0 ? "up" : "down",
                           .sum = change,
                           .share = change / w->magnitude,
                           .n_tokens = c->n,
                           .n_bounded = c->n_bounded};
    describe_writers(k, c, to, arena);
    if (c->n_bounded > 0)
        describe_units(k, l, w->feature, to, arena);
    else
        ol_list_new(&to->units, 0, sizeof(struct ol_step_unit), arena);
}

/* The largest of each direction; the first of equals. */
static void find_largest(const struct ol_list *steps, struct ol_step_feature *to)
{
    const struct ol_step *all = steps->items;
    double most = 0, least = 0;
    to->up_layer = to->down_layer = OL_ABSENT;
    for (int64_t i = 0; i < steps->n; i++) {
        if (all[i].sum > most) {
            most = all[i].sum;
            to->up_layer = all[i].layer;
        }
        if (all[i].sum < least) {
            least = all[i].sum;
            to->down_layer = all[i].layer;
        }
    }
}

static void describe_layers(const struct steps *k, const struct ol_written *w,
                            struct ol_list *list, struct ol_arena *arena)
{
    struct ol_step_layer *to = ol_list_new(list, w->n_layers, sizeof *to, arena);
    for (int l = 0; l < w->n_layers; l++) {
        const struct ol_layer_change *c = &w->changes[l];
        to[l] = (struct ol_step_layer){
            .layer = k->m->layers[l].number,
            .value = c->values / (double)c->n_values,
            .n_known = c->n_values,
            .most_of_others = c->most_of_others / (double)(w->n_values - c->n_values),
            .change = c->sum / (double)c->n,
            .n_changed = c->n};
    }
}

static void describe_feature(const struct steps *k, const struct ol_massive_feature *f,
                             const struct ol_written *w, struct ol_step_feature *to,
                             struct ol_arena *arena)
{
    const struct ol_layer_change *last = &w->changes[w->n_layers - 1];
    struct ol_step *steps = ol_list_new(&to->steps, w->n_layers, sizeof *steps, arena);
    to->steps.n = 0;
    for (int l = 0; l < w->n_layers; l++)
        if (is_step(w, &w->changes[l]))
            describe_step(k, w, l, &steps[to->steps.n++], arena);
    find_largest(&to->steps, to);
    to->feature = w->feature;
    to->sign = ol_written_sign(w);
    to->max_magnitude = f->max;
    to->n_tokens = w->n_tokens;
    to->at_first_token = w->at_first_token;
    to->n_values = w->n_values;
    to->magnitude = w->magnitude;
    to->first_layer = f->first_layer;
    to->last_layer = f->last_layer;
    to->left = last->n_values > 0 ? last->values / w->magnitude : (double)NAN;
    to->left_at_most = (last->values + last->most_of_others) / w->magnitude;
    describe_layers(k, w, &to->layers, arena);
}

static bool results(const struct ol_analysis *a, void *state, void *block,
                    struct ol_arena *arena)
{
    (void)state;
    struct ol_steps *to = block;
    struct steps k = {.a = a, .m = ol_findings_massive(a)};
    if (k.m == NULL)
        return false;
    int n;
    const struct ol_written *written = ol_findings_written(a, &n);
    struct ol_step_feature *features =
        ol_list_new(&to->features, n, sizeof *features, arena);
    ol_units_read(a->parts, &k.units);
    to->min_share = min_share;
    to->n_features = k.m->n_features;
    for (int i = 0; i < n; i++)
        describe_feature(&k, &k.m->features[i], &written[i], &features[i], arena);
    ol_units_clear(&k.units);
    return true;
}

const struct ol_statistic ol_steps_statistic = {.name = "steps", .results = results};
