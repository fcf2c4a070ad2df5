/* Several models' layers in one figure: a line each, over their depth, because they have
 * not the same number of layers. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/chart.h"
#include "report/survey.h"

static double depth(const struct ol_report_results *r, int64_t layer)
{
    return r->model->n_layers > 1 ? 100 * (double)layer / (double)(r->model->n_layers - 1)
                                  : 0;
}

/* Sites are in the order of layers. */
int64_t ol_survey_norms(const struct ol_report_results *r, double *x, double *y)
{
    const struct ol_site_values *sites = r->blocks.sites.items;
    int64_t n = 0, last = -1;
    for (int64_t i = 0; i < r->blocks.sites.n; i++) {
        if (strncmp(sites[i].site, "ln_", 3) != 0 || isnan(sites[i].max_magnitude))
            continue;
        if (sites[i].layer != last) {
            last = sites[i].layer;
            x[n] = depth(r, last);
            y[n++] = sites[i].max_magnitude;
        }
        y[n - 1] = fmax(y[n - 1], sites[i].max_magnitude);
    }
    return n;
}

int64_t ol_survey_stream(const struct ol_report_results *r, double *x, double *y)
{
    if (r->blocks.massive == NULL)
        return 0;
    const struct ol_massive_after *layers = r->blocks.massive->layers.items;
    int64_t n = 0;
    for (int64_t i = 0; i < r->blocks.massive->layers.n; i++) {
        const struct ol_reals *top = &layers[i].mean_top_published;
        if (top->n == 0 || isnan(top->items[0]))
            continue;
        x[n] = depth(r, layers[i].layer);
        y[n++] = top->items[0];
    }
    return n;
}

int64_t ol_survey_tails(const struct ol_report_results *r, double *x, double *y)
{
    if (r->blocks.distributions == NULL ||
        r->blocks.distributions->kurtosis_tokens == OL_ABSENT)
        return 0;
    const struct ol_list *list = &r->blocks.distributions->sites;
    const struct ol_distribution *sites = list->items;
    int64_t n = 0;
    for (int64_t i = 0; i < list->n; i++) {
        if (sites[i].site == NULL || strcmp(sites[i].site, "output") != 0 ||
            isnan(sites[i].kurtosis_token_median))
            continue;
        x[n] = depth(r, sites[i].layer);
        y[n++] = sites[i].kurtosis_token_median;
    }
    return n;
}

/* Places for the points of a model; more than any line has. */
static int64_t most_points(const struct ol_report_results *r)
{
    const int64_t n = r->blocks.distributions != NULL ? r->blocks.distributions->sites.n
                                                      : 0,
                  after = r->blocks.massive != NULL ? r->blocks.massive->layers.n : 0;
    return 1 + r->blocks.sites.n + n + after;
}

int ol_survey_n_lines(const struct ol_report *report, const struct ol_survey_figure *f)
{
    int n = 0;
    for (int i = 0; i < report->n; i++) {
        const size_t room = (size_t)most_points(&report->results[i]);
        double *x = ol_xcalloc(2 * room, sizeof *x);
        n += f->line(&report->results[i], x, x + room) > 0;
        free(x);
    }
    return n;
}

void ol_survey_draw_lines(const struct ol_report *report,
                          const struct ol_survey_figure *f, const struct ol_canvas *c)
{
    struct ol_series *series = ol_xcalloc((size_t)report->n, sizeof *series);
    double **points = ol_xcalloc((size_t)report->n, sizeof *points);
    char **names = ol_xcalloc((size_t)report->n, sizeof *names);
    int n = 0;
    for (int i = 0; i < report->n; i++) {
        const size_t room = (size_t)most_points(&report->results[i]);
        points[i] = ol_xcalloc(2 * room, sizeof *points[i]);
        names[i] = ol_survey_name(report, i);
        const int64_t some = f->line(&report->results[i], points[i], points[i] + room);
        series[n] = (struct ol_series){
            .name = names[i], .x = points[i], .y = points[i] + room, .n = (long)some};
        n += some > 0;
    }
    const struct ol_chart chart = {.series = series,
                                   .n_series = n,
                                   .x = {.title = f->x_title},
                                   .y = {.title = f->y_title, .log = f->log_y},
                                   .x_high = 100};
    ol_chart_draw(c, &chart);
    for (int i = 0; i < report->n; i++) {
        free(names[i]);
        free(points[i]);
    }
    free(names);
    free(points);
    free(series);
}
