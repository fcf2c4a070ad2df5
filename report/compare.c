#include "report/compare.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Takes both over; either may be NULL. */
static char *append(char *list, char *reason)
{
    if (list == NULL || reason == NULL)
        return list == NULL ? reason : list;
    char *longer = ol_xasprintf("%s; %s", list, reason);
    free(reason);
    free(list);
    return longer;
}

static char *whole(const char *what, int64_t here, int64_t there)
{
    return here == there ? NULL
                         : ol_xasprintf("%s %" PRId64 ", published with %" PRId64, what,
                                        here, there);
}

static char *real(const char *what, double here, double there)
{
    return here == there ? NULL
                         : ol_xasprintf("%s %g, published with %g", what, here, there);
}

static char *other_model(const struct ol_report_results *r)
{
    const struct ol_published *p = &r->published;
    if (r->model->total_parameters == p->total_parameters &&
        r->model->n_layers == p->n_layers && r->model->d_model == p->d_model)
        return NULL;
    char *differences = NULL;
    differences = append(differences, whole("parameters", r->model->total_parameters,
                                            p->total_parameters));
    differences = append(differences, whole("layers", r->model->n_layers, p->n_layers));
    differences = append(differences, whole("d_model", r->model->d_model, p->d_model));
    char *text = ol_xasprintf("another model of that name: %s", differences);
    free(differences);
    return text;
}

/* Windowing `reference` makes sequences that differ by a few tokens. */
static char *other_amount(const struct ol_report_results *r)
{
    const struct ol_published *p = &r->published;
    const double off = fabs((double)r->n_tokens - (double)p->n_tokens);
    if (r->n_sequences == p->n_sequences && off <= 0.01 * (double)p->n_tokens)
        return NULL;
    return ol_xasprintf("%" PRId64 " tokens in %" PRId64
                        " sequences, published with %" PRId64 " in %" PRId64,
                        r->n_tokens, r->n_sequences, p->n_tokens, p->n_sequences);
}

char *ol_compare_published(const struct ol_report_results *r)
{
    const struct ol_published *p = &r->published;
    char *list = other_model(r);
    list = append(list, real("threshold", r->criterion->threshold, p->threshold));
    list = append(list, real("share of sites", r->criterion->min_layers, p->min_layers));
    list = append(
        list, real("share of positions", r->criterion->min_positions, p->min_positions));
    list = append(list, whole("sites", r->n_sites, 2 * p->n_layers));
    list = append(list, whole("batches of", r->criterion->batch_size, p->batch_size));
    if (strcmp(r->input->windowing, p->windowing) != 0)
        list =
            append(list, ol_xasprintf("windowing %s, published with %s",
                                      *r->input->windowing != '\0' ? r->input->windowing
                                                                   : "not known",
                                      p->windowing));
    list = append(list, other_amount(r));
    if (!r->has_outliers)
        list = append(list, ol_xstrdup("no counts in these results"));
    return list;
}
