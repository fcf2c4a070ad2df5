#include "report/diff_stream.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/section.h"
#include "report/tables.h"

/* Why a block of the two cannot be compared, or NULL; the caller frees. */
static char *why_not(const struct ol_diff *d, const void *a, const void *b,
                     const char *what)
{
    if (a == NULL || b == NULL)
        return ol_xasprintf("%s of the results has no %s.", a == b ? "Neither" : "One",
                            what);
    return d->related ? NULL
                      : ol_xasprintf("A and B are different models: their %s cannot be "
                                     "matched.",
                                     what);
}

/* Names of what one has alone: as many as a sentence holds. */
struct names {
    char *text; /* NULL: none */
    int64_t n;
};

static void add_name(struct names *names, char *taken)
{
    if (names->n < OL_SECTION_SENTENCES) {
        char *before = names->text;
        names->text = ol_xasprintf("%s%s%s", before != NULL ? before : "",
                                   before != NULL ? "; " : "", taken);
        free(before);
    }
    names->n++;
    free(taken);
}

/* "2 in A only (dimension 5, ...)"; clears the names. */
static char *say_names(struct names *names, const char *where)
{
    char *text = ol_xasprintf("%" PRId64 " in %s only%s%s%s%s", names->n, where,
                              names->text != NULL ? " (" : "",
                              names->text != NULL ? names->text : "",
                              names->n > OL_SECTION_SENTENCES ? "; and others" : "",
                              names->text != NULL ? ")" : "");
    free(names->text);
    return text;
}

static char *say_all(int64_t n_both, struct names *in_a, struct names *in_b,
                     const char *what)
{
    char *a = say_names(in_a, "A"), *b = say_names(in_b, "B");
    char *text = ol_xasprintf("%s: %" PRId64 " in both, %s, %s.", what, n_both, a, b);
    free(b);
    free(a);
    return text;
}

/* ---- residual sinks ---- */

static const struct ol_residual_sinks *sinks_of(const struct ol_report_results *r)
{
    return r->blocks.residual_sinks;
}

/* Of whatever kind, or NULL. */
static const struct ol_sink_dimension *find_dimension(const struct ol_residual_sinks *s,
                                                      int64_t feature)
{
    const struct ol_sink_dimension *features = s->features.items;
    for (int64_t i = 0; i < s->features.n; i++)
        if (features[i].feature == feature)
            return &features[i];
    return NULL;
}

static bool is_sink(const struct ol_sink_dimension *f)
{
    return f != NULL && f->n_layers > 0;
}

static char *sinks_problem(const struct ol_diff *d)
{
    return why_not(d, sinks_of(d->a), sinks_of(d->b), "residual sinks");
}

/* A list holds the largest alone: what is not in it may be a sink all the same. */
static bool is_cut(const struct ol_residual_sinks *s)
{
    const struct ol_sink_dimension *features = s->features.items;
    int64_t n = 0;
    for (int64_t i = 0; i < s->features.n; i++)
        n += is_sink(&features[i]);
    return n < s->n_sinks;
}

static char *name_sink(const struct ol_sink_dimension *f)
{
    return ol_xasprintf("dimension %" PRId64 ", after layers %" PRId64 " to %" PRId64,
                        f->feature, f->first_layer, f->last_layer);
}

char *ol_diff_sinks_sentence(const struct ol_diff *d)
{
    char *problem = sinks_problem(d);
    if (problem != NULL)
        return problem;
    const struct ol_residual_sinks *a = sinks_of(d->a), *b = sinks_of(d->b);
    const struct ol_sink_dimension *in_a = a->features.items, *in_b = b->features.items;
    struct names only_a = {0}, only_b = {0};
    int64_t n_both = 0;
    for (int64_t i = 0; i < a->features.n; i++) {
        const bool other = is_sink(find_dimension(b, in_a[i].feature));
        n_both += is_sink(&in_a[i]) && other;
        if (is_sink(&in_a[i]) && !other)
            add_name(&only_a, name_sink(&in_a[i]));
    }
    for (int64_t i = 0; i < b->features.n; i++)
        if (is_sink(&in_b[i]) && !is_sink(find_dimension(a, in_b[i].feature)))
            add_name(&only_b, name_sink(&in_b[i]));
    char *text = say_all(n_both, &only_a, &only_b, "Residual sinks");
    if (!is_cut(a) && !is_cut(b))
        return text;
    char *cut = ol_xasprintf("%s The results list the largest alone: one of the rest may "
                             "be a sink in the other too.",
                             text);
    free(text);
    return cut;
}

static const struct ol_column sink_columns[] = {
    {"feature", "dimension", OL_COLUMN_LABEL},
    {"kind_a", "kind, A", OL_COLUMN_TEXT},
    {"kind_b", "B", OL_COLUMN_TEXT},
    {"first_layer_a", "sink from, A", OL_COLUMN_LABEL},
    {"first_layer_b", "B", OL_COLUMN_LABEL},
    {"last_layer_a", "to, A", OL_COLUMN_LABEL},
    {"last_layer_b", "B", OL_COLUMN_LABEL},
    {"ratio_a", "rms, times the median, A", OL_COLUMN_MAGNITUDE},
    {"ratio_b", "B", OL_COLUMN_MAGNITUDE},
    {"share_a", "tokens where it is large %, A", OL_COLUMN_PERCENT},
    {"share_b", "B", OL_COLUMN_PERCENT},
    {"in_both", "sink in both", OL_COLUMN_YES},
    {0}};

/* One of a and b may be NULL. */
static void put_sink(struct ol_grid *g, int64_t feature,
                     const struct ol_sink_dimension *a, const struct ol_sink_dimension *b)
{
    ol_grid_int(g, feature);
    ol_grid_text(g, a != NULL ? a->kind : NULL);
    ol_grid_text(g, b != NULL ? b->kind : NULL);
    ol_grid_int(g, a != NULL ? a->first_layer : OL_ABSENT);
    ol_grid_int(g, b != NULL ? b->first_layer : OL_ABSENT);
    ol_grid_int(g, a != NULL ? a->last_layer : OL_ABSENT);
    ol_grid_int(g, b != NULL ? b->last_layer : OL_ABSENT);
    ol_grid_real(g, a != NULL ? a->ratio : NAN);
    ol_grid_real(g, b != NULL ? b->ratio : NAN);
    ol_grid_real(g, a != NULL ? a->share : NAN);
    ol_grid_real(g, b != NULL ? b->share : NAN);
    ol_grid_yes(g, is_sink(a) && is_sink(b));
}

struct ol_grid *ol_diff_sinks_grid(const struct ol_diff *d)
{
    struct ol_grid *g = ol_grid_new(sink_columns);
    char *problem = sinks_problem(d);
    const struct ol_residual_sinks *a = sinks_of(d->a), *b = sinks_of(d->b);
    for (int64_t i = 0; problem == NULL && i < a->features.n; i++) {
        const struct ol_sink_dimension *f = a->features.items, *x = &f[i],
                                       *y = find_dimension(b, x->feature);
        if (is_sink(x) || is_sink(y))
            put_sink(g, x->feature, x, y);
    }
    for (int64_t i = 0; problem == NULL && i < b->features.n; i++) {
        const struct ol_sink_dimension *f = b->features.items, *y = &f[i];
        if (is_sink(y) && find_dimension(a, y->feature) == NULL)
            put_sink(g, y->feature, NULL, y);
    }
    free(problem);
    return g;
}

/* ---- steps ---- */

/* A step of a dimension: in A, in B, one of which may be NULL, and in any of the two. */
struct step_pair {
    int64_t feature;
    const struct ol_step *a, *b, *any;
};
typedef void step_visitor(const struct step_pair *p, void *context);

static const struct ol_steps *steps_of(const struct ol_report_results *r)
{
    return r->blocks.steps;
}

static const struct ol_step_feature *find_feature(const struct ol_steps *b,
                                                  int64_t feature)
{
    const struct ol_step_feature *features = b->features.items;
    for (int64_t i = 0; i < b->features.n; i++)
        if (features[i].feature == feature)
            return &features[i];
    return NULL;
}

static bool same_direction(const struct ol_step *s, const struct ol_step *t)
{
    return s->direction != NULL && t->direction != NULL &&
           strcmp(s->direction, t->direction) == 0;
}

/* The step of that layer and direction of a dimension that may be NULL. */
static const struct ol_step *find_step(const struct ol_step_feature *f,
                                       const struct ol_step *wanted)
{
    const struct ol_step *steps = f != NULL ? f->steps.items : NULL;
    for (int64_t i = 0; f != NULL && i < f->steps.n; i++)
        if (steps[i].layer == wanted->layer && same_direction(&steps[i], wanted))
            return &steps[i];
    return NULL;
}

/* The steps of one dimension, which one of the results may not have. */
static void visit_feature(const struct ol_step_feature *a,
                          const struct ol_step_feature *b, step_visitor *visit,
                          void *context)
{
    const struct ol_step *in_a = a != NULL ? a->steps.items : NULL,
                         *in_b = b != NULL ? b->steps.items : NULL;
    for (int64_t i = 0; a != NULL && i < a->steps.n; i++) {
        const struct step_pair pair = {a->feature, &in_a[i], find_step(b, &in_a[i]),
                                       &in_a[i]};
        visit(&pair, context);
    }
    for (int64_t i = 0; b != NULL && i < b->steps.n; i++) {
        const struct step_pair pair = {b->feature, NULL, &in_b[i], &in_b[i]};
        if (find_step(a, &in_b[i]) == NULL)
            visit(&pair, context);
    }
}

static void visit_all(const struct ol_diff *d, step_visitor *visit, void *context)
{
    const struct ol_steps *a = steps_of(d->a), *b = steps_of(d->b);
    const struct ol_step_feature *in_a = a->features.items, *in_b = b->features.items;
    for (int64_t i = 0; i < a->features.n; i++)
        visit_feature(&in_a[i], find_feature(b, in_a[i].feature), visit, context);
    for (int64_t i = 0; i < b->features.n; i++)
        if (find_feature(a, in_b[i].feature) == NULL)
            visit_feature(NULL, &in_b[i], visit, context);
}

/* Who makes a step, NULL: that is not known. The caller frees. */
static char *maker(const struct ol_step *s)
{
    const struct ol_stream_writer *by = s->by.items;
    const struct ol_step_unit *units = s->units.items;
    if (s->by.n > 0)
        return ol_table_unit(by->who.kind, by->who.expert);
    return s->units.n > 0 ? ol_table_unit(units->who.kind, units->who.expert) : NULL;
}

struct step_counts {
    int64_t n_both;
    struct names only_a, only_b;
};

static void count_step(const struct step_pair *p, void *context)
{
    struct step_counts *counts = context;
    if (p->a != NULL && p->b != NULL) {
        counts->n_both++;
        return;
    }
    const char *direction = p->any->direction;
    char *who = maker(p->any);
    add_name(p->a != NULL ? &counts->only_a : &counts->only_b,
             ol_xasprintf("dimension %" PRId64 " %s at layer %" PRId64 ", by %s",
                          p->feature, direction != NULL ? direction : "changes",
                          p->any->layer, who != NULL ? who : "what is not recorded"));
    free(who);
}

static char *steps_problem(const struct ol_diff *d)
{
    return why_not(d, steps_of(d->a), steps_of(d->b), "steps of massive dimensions");
}

char *ol_diff_steps_sentence(const struct ol_diff *d)
{
    char *problem = steps_problem(d);
    if (problem != NULL)
        return problem;
    struct step_counts counts = {0};
    visit_all(d, count_step, &counts);
    return say_all(counts.n_both, &counts.only_a, &counts.only_b,
                   "Steps of massive dimensions");
}

static const struct ol_column step_columns[] = {
    {"feature", "dimension", OL_COLUMN_LABEL},
    {"layer", "layer", OL_COLUMN_LABEL},
    {"direction", "direction", OL_COLUMN_TEXT},
    {"share_a", "% of the peaks, A", OL_COLUMN_PERCENT},
    {"share_b", "B", OL_COLUMN_PERCENT},
    {"by_a", "by, A", OL_COLUMN_TEXT},
    {"by_b", "B", OL_COLUMN_TEXT},
    {"in_both", "in both", OL_COLUMN_YES},
    {0}};

static void put_maker(struct ol_grid *g, const struct ol_step *s)
{
    char *who = s != NULL ? maker(s) : NULL;
    ol_grid_text(g, who);
    free(who);
}

static void put_step(const struct step_pair *p, void *context)
{
    struct ol_grid *g = context;
    ol_grid_int(g, p->feature);
    ol_grid_int(g, p->any->layer);
    ol_grid_text(g, p->any->direction);
    ol_grid_real(g, p->a != NULL ? p->a->share : NAN);
    ol_grid_real(g, p->b != NULL ? p->b->share : NAN);
    put_maker(g, p->a);
    put_maker(g, p->b);
    ol_grid_yes(g, p->a != NULL && p->b != NULL);
}

struct ol_grid *ol_diff_steps_grid(const struct ol_diff *d)
{
    struct ol_grid *g = ol_grid_new(step_columns);
    char *problem = steps_problem(d);
    if (problem == NULL)
        visit_all(d, put_step, g);
    free(problem);
    return g;
}
