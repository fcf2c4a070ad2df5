#include "report/runs.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/same_weights.h"
#include "report/text.h"

/* ---- facts ---- */

static char *known(const char *text)
{
    return *text != '\0' ? ol_xstrdup(text) : NULL;
}

static char *label(const struct ol_report_results *r)
{
    return known(r->run->label);
}

static char *weights(const struct ol_report_results *r)
{
    return known(r->model->weight_format);
}

static char *precision(const struct ol_report_results *r)
{
    return known(r->run->precision);
}

static char *backend(const struct ol_report_results *r)
{
    return known(r->run->backend);
}

static char *processor(const struct ol_report_results *r)
{
    return known(r->run->processor);
}

/* Two texts of one name are told apart by the beginning of their hash. */
static char *text(const struct ol_report_results *r)
{
    if (*r->input->source == '\0' && *r->input->text_sha256 == '\0')
        return NULL;
    return *r->input->text_sha256 == '\0'
               ? ol_xstrdup(r->input->source)
               : ol_xasprintf("%s (%.8s)", r->input->source, r->input->text_sha256);
}

/* Without the folder. */
static char *short_text(const struct ol_report_results *r)
{
    char *whole = text(r);
    const char *slash = whole != NULL ? strrchr(whole, '/') : NULL;
    if (slash == NULL || slash[1] == '\0')
        return whole;
    char *rest = ol_xstrdup(slash + 1);
    free(whole);
    return rest;
}

static char *amount(const struct ol_report_results *r)
{
    return ol_xasprintf("%s in %s", ol_text_count(r->n_tokens).text,
                        ol_text_count(r->n_sequences).text);
}

static char *windowing(const struct ol_report_results *r)
{
    return known(r->input->windowing);
}

static char *bos(const struct ol_report_results *r)
{
    return ol_xstrdup(r->input->bos ? "yes" : "no");
}

static char *criterion(const struct ol_report_results *r)
{
    return ol_xasprintf("threshold %g, %g %% of sites, %g %% of positions, batches of "
                        "%" PRId64,
                        r->criterion->threshold, 100 * r->criterion->min_layers,
                        100 * r->criterion->min_positions, r->criterion->batch_size);
}

static char *short_criterion(const struct ol_report_results *r)
{
    return ol_xasprintf("%g, %g %%, %g %%, %" PRId64, r->criterion->threshold,
                        100 * r->criterion->min_layers, 100 * r->criterion->min_positions,
                        r->criterion->batch_size);
}

static char *sites(const struct ol_report_results *r)
{
    return r->n_sites == ol_report_all_sites(r)
               ? ol_xstrdup("all")
               : ol_xasprintf("%" PRId64 " of %" PRId64, r->n_sites,
                              ol_report_all_sites(r));
}

const struct ol_run_fact ol_run_facts[OL_RUN_FACTS + 1] = {
    {"label", "label", OL_RUN_NAMES, label, NULL, NULL},
    {"weights", "weights", OL_RUN_NAMES, weights, NULL, NULL},
    {"precision", "precision", OL_RUN_ROUNDS, precision, NULL, NULL},
    {"backend", "backend", OL_RUN_ROUNDS, backend, NULL, NULL},
    {"processor", "processor", OL_RUN_ROUNDS, processor, NULL, NULL},
    {"text", "text", OL_RUN_READS, text, NULL, short_text},
    {"amount", "tokens in sequences", OL_RUN_READS, amount, NULL, NULL},
    {"windowing", "windowing", OL_RUN_READS, windowing, NULL, NULL},
    {"bos", "BOS", OL_RUN_READS, bos, NULL, NULL},
    {"criterion", "criterion", OL_RUN_MEASURES, criterion,
     "threshold, sites, positions, batch", short_criterion},
    {"sites", "sites recorded", OL_RUN_NAMES, sites, NULL, NULL},
    {0}};

bool ol_run_fact_differs(const struct ol_run_fact *f, const struct ol_report_results *a,
                         const struct ol_report_results *b)
{
    /* One text by two paths is one text. */
    if (f->text == text && *a->input->text_sha256 != '\0' &&
        *b->input->text_sha256 != '\0')
        return strcmp(a->input->text_sha256, b->input->text_sha256) != 0;
    char *in_a = f->text(a), *in_b = f->text(b);
    const bool differs =
        f->doubt == OL_RUN_NAMES
            ? strcmp(in_a != NULL ? in_a : "", in_b != NULL ? in_b : "") != 0
            : in_a != NULL && in_b != NULL && strcmp(in_a, in_b) != 0;
    free(in_b);
    free(in_a);
    return differs;
}

bool ol_run_fact_varies(const struct ol_run_fact *f, const struct ol_report *report)
{
    for (int i = 0; i < report->n; i++)
        for (int k = 0; k < i; k++)
            if (ol_run_fact_differs(f, &report->results[i], &report->results[k]))
                return true;
    return false;
}

/* ---- names ---- */

static bool same_name(const struct ol_report_results *a,
                      const struct ol_report_results *b)
{
    return strcmp(a->model->name, b->model->name) == 0;
}

/* The facts by which result i differs from others of its name, with commas; then its file
 * where they do not tell it from all of them. */
static char *tell_apart(const struct ol_report *report, int i)
{
    const struct ol_report_results *r = &report->results[i];
    char *told = ol_xstrdup("");
    bool *same = ol_xcalloc((size_t)report->n, sizeof *same);
    int n_same = 0;
    for (int k = 0; k < report->n; k++)
        n_same += same[k] = k != i && same_name(r, &report->results[k]);
    for (const struct ol_run_fact *f = ol_run_facts; f->key != NULL && n_same > 0; f++) {
        const int before = n_same;
        for (int k = 0; k < report->n; k++)
            if (same[k] && ol_run_fact_differs(f, r, &report->results[k])) {
                same[k] = false;
                n_same--;
            }
        char *fact = n_same < before ? (f->text == text ? short_text : f->text)(r) : NULL;
        if (fact == NULL)
            continue;
        char *longer = ol_xasprintf("%s%s%s%s", told, *told != '\0' ? ", " : "",
                                    f->text == bos ? "BOS " : "", fact);
        free(fact);
        free(told);
        told = longer;
    }
    if (n_same > 0) {
        char *longer = ol_xasprintf("%s%s%s", told, *told != '\0' ? ", " : "", r->file);
        free(told);
        told = longer;
    }
    free(same);
    return told;
}

char *ol_run_mark(const struct ol_report *report, int i)
{
    for (int k = 0; k < report->n; k++)
        if (k != i && same_name(&report->results[i], &report->results[k]))
            return tell_apart(report, i);
    return ol_xstrdup(report->results[i].run->label);
}

char *ol_run_name(const struct ol_report *report, int i)
{
    const char *name = report->results[i].model->name;
    char *mark = ol_run_mark(report, i);
    if (*mark == '\0') {
        free(mark);
        return ol_xstrdup(name);
    }
    char *whole = ol_xasprintf("%s (%s)", name, mark);
    free(mark);
    return whole;
}

/* ---- models ---- */

bool ol_run_same_model(const struct ol_report_results *a,
                       const struct ol_report_results *b)
{
    const struct ol_weights_digests x = {a->model->weights_sha256,
                                         a->model->shards_sha256},
                                    y = {b->model->weights_sha256,
                                         b->model->shards_sha256};
    return *a->model->weights_sha256 != '\0' && *a->model->config_sha256 != '\0'
               ? ol_same_weights(x, y) &&
                     strcmp(a->model->config_sha256, b->model->config_sha256) == 0
               : same_name(a, b);
}

char *ol_run_unrelated(const struct ol_report_results *a,
                       const struct ol_report_results *b)
{
    const struct {
        const char *name;
        int64_t a, b;
    } sizes[] = {{"d_model", a->model->d_model, b->model->d_model},
                 {"layers", a->model->n_layers, b->model->n_layers},
                 {"experts", a->model->n_experts, b->model->n_experts}};
    if (strcmp(a->model->family, b->model->family) != 0)
        return ol_xasprintf("one is of family %s, the other of %s", a->model->family,
                            b->model->family);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        if (sizes[i].a != sizes[i].b)
            return ol_xasprintf("%s: %" PRId64 " and %" PRId64, sizes[i].name, sizes[i].a,
                                sizes[i].b);
    return NULL;
}

/* ---- doubts ---- */

static const char *consequence(enum ol_run_doubt doubt)
{
    switch (doubt) {
    case OL_RUN_READS:
        return "counts depend on what was read.";
    case OL_RUN_MEASURES:
        return "the counts cannot be compared.";
    case OL_RUN_ROUNDS:
        return "values are rounded otherwise, so that counts may differ by a few.";
    case OL_RUN_NAMES:
        break;
    }
    return NULL;
}

/* Whether some result differs in the fact from both a and b. */
static bool has_third(const struct ol_run_fact *f, const struct ol_report *report,
                      const struct ol_report_results *a,
                      const struct ol_report_results *b)
{
    for (int i = 0; i < report->n; i++)
        if (ol_run_fact_differs(f, &report->results[i], a) &&
            ol_run_fact_differs(f, &report->results[i], b))
            return true;
    return false;
}

/* The first two of the values that differ. */
static char *warn(const struct ol_run_fact *f, const struct ol_report *report)
{
    int other = 1;
    while (!ol_run_fact_differs(f, &report->results[0], &report->results[other]))
        if (++other == report->n)
            return ol_xasprintf("The results differ in %s: %s", f->title,
                                consequence(f->doubt));
    const bool more = has_third(f, report, &report->results[0], &report->results[other]);
    char *a = f->text(&report->results[0]), *b = f->text(&report->results[other]);
    char *whole = ol_xasprintf("The results differ in %s (%s; %s%s): %s", f->title, a, b,
                               more ? "; ..." : "", consequence(f->doubt));
    free(b);
    free(a);
    return whole;
}

/* f32 gives the same bytes on every kind, and its kinds have other names. */
static bool processors_matter(const struct ol_run_fact *f, const struct ol_report *report)
{
    for (int i = 0; i < report->n; i++)
        for (int k = 0; k < i; k++)
            if (ol_report_rounds(&report->results[i]) &&
                ol_report_rounds(&report->results[k]) &&
                ol_run_fact_differs(f, &report->results[i], &report->results[k]))
                return true;
    return false;
}

char *ol_runs_warning(const struct ol_report *report, int *state)
{
    for (const struct ol_run_fact *f = &ol_run_facts[*state]; f->key != NULL; f++) {
        (*state)++;
        if (f->text == processor && !processors_matter(f, report))
            continue;
        if (consequence(f->doubt) != NULL && ol_run_fact_varies(f, report))
            return warn(f, report);
    }
    return NULL;
}
