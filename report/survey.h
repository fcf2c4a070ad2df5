/* Comparisons of several models: tables and figures, for a page or as files. */
#ifndef OL_REPORT_SURVEY_H
#define OL_REPORT_SURVEY_H

#include "report/format.h"
#include "report/grid.h"
#include "report/svg.h"

/* A point for each model, or a line. */
struct ol_survey_figure {
    const char *name, *title, *caption;
    const char *x_title, *y_title;
    double (*x)(const struct ol_report_results *r); /* NAN: not known */
    bool log_x, log_y;
    /* One or two series. */
    const char *names[2];
    double (*y[2])(const struct ol_report_results *r);
    /* Lines: fills in the points of a model, left to right; returns how many. */
    int64_t (*line)(const struct ol_report_results *r, double *x, double *y);
};

extern const struct ol_survey_figure ol_survey_figures[]; /* ends with a name of NULL */
/* NULL: there is none of that name. */
const struct ol_survey_figure *ol_survey_find(const char *name);

/* What all runs have in common, in a sentence: how they read and counted. The caller
 * frees. */
char *ol_survey_common(const struct ol_report *report);

/* Of which runs the published rule of super experts cannot be meaningful; NULL: of none.
 * The caller frees. */
char *ol_survey_few_experts(const struct ol_report *report);

/* Warnings of the single results: each text once, with the runs that it is of. */
struct ol_survey_warnings {
    struct ol_survey_warning {
        char *runs, *text;
    } * items; /* [n] */
    int n;
};
void ol_survey_warnings_make(struct ol_survey_warnings *w,
                             const struct ol_report *report);
void ol_survey_warnings_clear(struct ol_survey_warnings *w);

/* How many models have both values, or a line. */
int ol_survey_points(const struct ol_report *report, const struct ol_survey_figure *f);
void ol_survey_draw(const struct ol_report *report, const struct ol_survey_figure *f,
                    const struct ol_canvas *c);

/* Of lines (survey_lines.c): largest values at the norms and in the stream, and the
 * kurtosis of the stream, over the depth in per cent. */
int64_t ol_survey_norms(const struct ol_report_results *r, double *x, double *y);
int64_t ol_survey_stream(const struct ol_report_results *r, double *x, double *y);
int64_t ol_survey_tails(const struct ol_report_results *r, double *x, double *y);
int ol_survey_n_lines(const struct ol_report *report, const struct ol_survey_figure *f);
void ol_survey_draw_lines(const struct ol_report *report,
                          const struct ol_survey_figure *f, const struct ol_canvas *c);

/* What a figure calls a run: without the owner of the model. The caller frees. */
char *ol_survey_name(const struct ol_report *report, int i);

/* Published beside measured pairs: of how many models something is published, and of how
 * many it is comparable with what was measured; these are drawn. */
int ol_survey_published(const struct ol_report *report);
int ol_survey_comparable(const struct ol_report *report);
void ol_survey_draw_published(const struct ol_report *report, const struct ol_canvas *c);

/* A row per model. The caller frees. */
struct ol_grid *ol_survey_architectures(const struct ol_report *report);
/* The facts in which they differ; no rows: there is none. */
struct ol_grid *ol_survey_runs(const struct ol_report *report);
struct ol_grid *ol_survey_counts(const struct ol_report *report);
struct ol_grid *ol_survey_published_table(const struct ol_report *report);
/* Of the models that have what it needs; no rows: none has. Errors of number formats are
 * the median over the sites, or the worst site's. */
struct ol_grid *ol_survey_quantisation(const struct ol_report *report, bool worst);
struct ol_grid *ol_survey_routing(const struct ol_report *report);
/* Massive dimensions with their largest steps, residual sinks, attention sinks. */
struct ol_grid *ol_survey_sinks(const struct ol_report *report);

#endif
