#include "report/diff.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/measures.h"
#include "report/runs.h"
#include "report/tables.h"

/* ---- features ---- */

/* OL_ABSENT in both without a site. */
static void layers_of(const struct ol_int8_feature *f, int64_t *first, int64_t *last)
{
    *first = *last = OL_ABSENT;
    const struct ol_feature_site *sites = f != NULL ? f->sites.items : NULL;
    for (int64_t i = 0; f != NULL && i < f->sites.n; i++) {
        const int64_t layer = sites[i].layer;
        *first = *first == OL_ABSENT || layer < *first ? layer : *first;
        *last = layer > *last ? layer : *last;
    }
}

static enum ol_diff_change change_of(const struct ol_int8_feature *a,
                                     const struct ol_int8_feature *b)
{
    int64_t first[2], last[2];
    if (a == NULL || b == NULL)
        return a == NULL ? OL_DIFF_GAINED : OL_DIFF_LOST;
    layers_of(a, &first[0], &last[0]);
    layers_of(b, &first[1], &last[1]);
    return first[0] != first[1] || last[0] != last[1] ? OL_DIFF_MOVED : OL_DIFF_KEPT;
}

/* ---- super experts ---- */

static const struct ol_super_expert *find_expert(const struct ol_super_block *s,
                                                 const struct ol_super_expert *wanted)
{
    const struct ol_super_expert *experts = s->experts.items;
    for (int64_t i = 0; i < s->experts.n; i++) {
        const struct ol_super_expert *e = &experts[i];
        if (e->who.layer == wanted->who.layer && e->who.expert == wanted->who.expert &&
            (e->who.kind == NULL || wanted->who.kind == NULL
                 ? e->who.kind == wanted->who.kind
                 : strcmp(e->who.kind, wanted->who.kind) == 0))
            return e;
    }
    return NULL;
}

static void count_experts(struct ol_diff *d)
{
    const struct ol_super_block *a = d->a->blocks.super_experts,
                                *b = d->b->blocks.super_experts;
    d->has_experts = a != NULL && b != NULL;
    if (!d->has_experts)
        return;
    const struct ol_super_expert *experts = a->experts.items;
    d->n_experts_a = a->experts.n;
    d->n_experts_b = b->experts.n;
    for (int64_t i = 0; i < a->experts.n; i++)
        d->n_experts_common += find_expert(b, &experts[i]) != NULL;
}

void ol_diff_make(struct ol_diff *d, const struct ol_report *report)
{
    const struct ol_report_results *a = &report->results[0], *b = &report->results[1];
    char *unrelated = ol_run_unrelated(a, b);
    *d = (struct ol_diff){.report = report, .a = a, .b = b};
    d->related = unrelated == NULL;
    d->comparable = a->has_outliers && b->has_outliers && d->related;
    d->same_model = ol_run_same_model(a, b);
    d->has_sinks = d->related && a->blocks.residual_sinks != NULL &&
                   b->blocks.residual_sinks != NULL;
    d->has_steps = d->related && a->blocks.steps != NULL && b->blocks.steps != NULL;
    free(unrelated);
    d->has_choices = a->blocks.choices != NULL || b->blocks.choices != NULL;
    count_experts(d);
    if (!d->comparable)
        return;
    for (int64_t i = 0; i < a->unique->features.n; i++)
        d->n_features[change_of(
            ol_report_feature(a->unique, i),
            ol_report_find(b->unique, ol_report_feature(a->unique, i)->feature))]++;
    for (int64_t i = 0; i < b->unique->features.n; i++)
        d->n_features[OL_DIFF_GAINED] +=
            ol_report_find(a->unique, ol_report_feature(b->unique, i)->feature) == NULL;
}

/* ---- doubts ---- */

static char *other_model(const struct ol_diff *d)
{
    if (d->same_model)
        return NULL;
    char *unrelated = ol_run_unrelated(d->a, d->b);
    if (unrelated == NULL)
        return ol_xstrdup(
            "A and B are different models, as their weights differ. Features are matched "
            "by number, which means something only if one was made from the other.");
    char *text =
        ol_xasprintf("A and B are different models (%s): their features cannot be "
                     "matched.",
                     unrelated);
    free(unrelated);
    return text;
}

static char *no_counts(const struct ol_diff *d)
{
    return d->a->has_outliers && d->b->has_outliers
               ? NULL
               : ol_xstrdup("One of the results has no counts of outlier features.");
}

char *ol_diff_warning(const struct ol_diff *d, int *state)
{
    static char *(*const checks[])(const struct ol_diff *) = {other_model, no_counts};
    enum { N = sizeof checks / sizeof checks[0] };
    char *text = NULL;
    while (text == NULL && *state < N)
        text = checks[(*state)++](d);
    if (text != NULL)
        return text;
    int rest = *state - N;
    text = ol_runs_warning(d->report, &rest);
    *state = rest + N;
    return text;
}

/* ---- tables ---- */

static const struct ol_column run_columns[] = {{"fact", "of the run", OL_COLUMN_TEXT},
                                               {"a", "A", OL_COLUMN_TEXT},
                                               {"b", "B", OL_COLUMN_TEXT},
                                               {"same", "same", OL_COLUMN_TEXT},
                                               {0}};

static void put_run(struct ol_grid *g, const char *title, const char *a, const char *b)
{
    ol_grid_text(g, title);
    ol_grid_text(g, a);
    ol_grid_text(g, b);
    ol_grid_text(g, a == NULL || b == NULL ? NULL : strcmp(a, b) == 0 ? "yes" : "no");
}

struct ol_grid *ol_diff_runs(const struct ol_diff *d)
{
    struct ol_grid *g = ol_grid_new(run_columns);
    put_run(g, "model", d->a->model->name, d->b->model->name);
    for (const struct ol_run_fact *f = ol_run_facts; f->key != NULL; f++) {
        char *a = f->text(d->a), *b = f->text(d->b);
        if (a != NULL || b != NULL)
            put_run(g, f->title, a, b);
        free(b);
        free(a);
    }
    put_run(g, "results file", d->a->file, d->b->file);
    return g;
}

static const struct ol_column count_columns[] = {{"quantity", "quantity", OL_COLUMN_TEXT},
                                                 {"a", "A", OL_COLUMN_NUMBER},
                                                 {"b", "B", OL_COLUMN_NUMBER},
                                                 {"change", "B - A", OL_COLUMN_NUMBER},
                                                 {0}};

static double known(double value)
{
    return isfinite(value) ? value : NAN;
}

struct ol_grid *ol_diff_counts(const struct ol_diff *d)
{
    static const struct {
        const char *title, *measure;
        double times;
    } counts[] = {
        {"pairs", "pairs", 1},
        {"unique", "unique", 1},
        {"pooled", "pooled", 1},
        {"strict", "strict", 1},
        {"mean sites, %", "mean_layer_fraction", 100},
        {"mean positions, %", "mean_position_fraction", 100},
        {"perplexity", "perplexity", 1},
        {"super experts", "super_experts", 1},
        {"residual sinks", "residual_sinks", 1},
        {"massive dimensions", "massive", 1},
        {"steps up", "steps_up", 1},
        {"steps down", "steps_down", 1},
    };
    struct ol_grid *g = ol_grid_new(count_columns);
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        const double a = known(counts[i].times * ol_measure(d->a, counts[i].measure)),
                     b = known(counts[i].times * ol_measure(d->b, counts[i].measure));
        ol_grid_text(g, counts[i].title);
        ol_grid_real(g, a);
        ol_grid_real(g, b);
        ol_grid_real(g, b - a);
    }
    return g;
}

static const struct ol_column feature_columns[] = {
    {"feature", "feature", OL_COLUMN_LABEL},
    {"max_magnitude_a", "max |x|, A", OL_COLUMN_MAGNITUDE},
    {"max_magnitude_b", "B", OL_COLUMN_MAGNITUDE},
    {"layer_fraction_a", "sites %, A", OL_COLUMN_PERCENT},
    {"layer_fraction_b", "B", OL_COLUMN_PERCENT},
    {"first_layer_a", "first layer, A", OL_COLUMN_LABEL},
    {"first_layer_b", "B", OL_COLUMN_LABEL},
    {"last_layer_a", "last layer, A", OL_COLUMN_LABEL},
    {"last_layer_b", "B", OL_COLUMN_LABEL},
    {0}};

/* One of a and b may be NULL. */
static void put_feature(struct ol_grid *g, int64_t feature,
                        const struct ol_int8_feature *a, const struct ol_int8_feature *b)
{
    int64_t first[2], last[2];
    layers_of(a, &first[0], &last[0]);
    layers_of(b, &first[1], &last[1]);
    ol_grid_int(g, feature);
    ol_grid_real(g, a != NULL ? a->max_magnitude : NAN);
    ol_grid_real(g, b != NULL ? b->max_magnitude : NAN);
    ol_grid_real(g, a != NULL ? a->layer_fraction : NAN);
    ol_grid_real(g, b != NULL ? b->layer_fraction : NAN);
    ol_grid_int(g, first[0]);
    ol_grid_int(g, first[1]);
    ol_grid_int(g, last[0]);
    ol_grid_int(g, last[1]);
}

struct ol_grid *ol_diff_features(const struct ol_diff *d, enum ol_diff_change change)
{
    struct ol_grid *g = ol_grid_new(feature_columns);
    const bool from_b = change == OL_DIFF_GAINED;
    const struct ol_report_results *from = from_b ? d->b : d->a,
                                   *to = from_b ? d->a : d->b;
    for (int64_t i = 0; d->comparable && i < from->unique->features.n; i++) {
        const struct ol_int8_feature *f = ol_report_feature(from->unique, i),
                                     *other = ol_report_find(to->unique, f->feature);
        const struct ol_int8_feature *a = from_b ? other : f, *b = from_b ? f : other;
        if (change_of(a, b) == change)
            put_feature(g, f->feature, a, b);
    }
    return g;
}

static const struct ol_column expert_columns[] = {
    {"layer", "layer", OL_COLUMN_LABEL},
    {"unit", "unit", OL_COLUMN_TEXT},
    {"output_a", "max |output|, A", OL_COLUMN_MAGNITUDE},
    {"output_b", "B", OL_COLUMN_MAGNITUDE},
    {"in_both", "in both", OL_COLUMN_YES},
    {0}};

/* `any` is a or b, one of which may be NULL. */
static void put_expert(struct ol_grid *g, const struct ol_super_expert *any,
                       const struct ol_super_expert *a, const struct ol_super_expert *b)
{
    char *unit = ol_table_unit(any->who.kind, any->who.expert);
    ol_grid_int(g, any->who.layer);
    ol_grid_text(g, unit);
    ol_grid_real(g, a != NULL ? a->output : NAN);
    ol_grid_real(g, b != NULL ? b->output : NAN);
    ol_grid_yes(g, a != NULL && b != NULL);
    free(unit);
}

struct ol_grid *ol_diff_experts(const struct ol_diff *d)
{
    struct ol_grid *g = ol_grid_new(expert_columns);
    if (!d->has_experts)
        return g;
    const struct ol_super_block *a = d->a->blocks.super_experts,
                                *b = d->b->blocks.super_experts;
    const struct ol_super_expert *in_a = a->experts.items, *in_b = b->experts.items;
    for (int64_t i = 0; i < a->experts.n; i++)
        put_expert(g, &in_a[i], &in_a[i], find_expert(b, &in_a[i]));
    for (int64_t i = 0; i < b->experts.n; i++)
        if (find_expert(a, &in_b[i]) == NULL)
            put_expert(g, &in_b[i], NULL, &in_b[i]);
    return g;
}
