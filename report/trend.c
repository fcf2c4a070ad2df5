#include "report/trend.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/chart.h"
#include "report/measures.h"
#include "report/runs.h"
#include "report/survey.h"
#include "report/text.h"

/* ---- measures ---- */

static const struct measure {
    const char *name, *title;
    enum ol_column_kind kind;
    enum { PLAIN, PERCENT, OF_EXPERTS } how; /* a share; what a dense model has not */
} measures[] = {
    {"pairs", "pairs", OL_COLUMN_COUNT, PLAIN},
    {"unique", "unique features", OL_COLUMN_COUNT, PLAIN},
    {"pooled", "pooled features", OL_COLUMN_COUNT, PLAIN},
    {"max_norms", "largest of the norms", OL_COLUMN_MAGNITUDE, PLAIN},
    {"max_stream", "largest of the stream", OL_COLUMN_MAGNITUDE, PLAIN},
    {"kurtosis_norms", "kurtosis of the norms", OL_COLUMN_MAGNITUDE, PLAIN},
    {"kurtosis_stream", "kurtosis of the stream", OL_COLUMN_MAGNITUDE, PLAIN},
    {"massive", "massive dimensions", OL_COLUMN_COUNT, PLAIN},
    {"massive_tokens", "massive tokens per sequence", OL_COLUMN_MAGNITUDE, PLAIN},
    {"sink_heads", "heads whose first token is a sink, %", OL_COLUMN_MAGNITUDE, PERCENT},
    {"residual_sinks", "residual sinks", OL_COLUMN_COUNT, PLAIN},
    {"residual_ratio", "largest residual sink, times the median", OL_COLUMN_MAGNITUDE,
     PLAIN},
    {"steps_up", "steps up", OL_COLUMN_COUNT, PLAIN},
    {"largest_up", "largest step up, %", OL_COLUMN_MAGNITUDE, PERCENT},
    {"steps_down", "steps down", OL_COLUMN_COUNT, PLAIN},
    {"largest_down", "largest step down, %", OL_COLUMN_MAGNITUDE, PERCENT},
    {"super_experts", "super experts", OL_COLUMN_COUNT, OF_EXPERTS},
    {"perplexity", "perplexity", OL_COLUMN_MAGNITUDE, PLAIN},
};
enum { N_MEASURES = sizeof measures / sizeof measures[0] };

static const struct measure *find_measure(const char *name)
{
    int i = 0;
    while (strcmp(measures[i].name, name) != 0)
        i++;
    return &measures[i];
}

static double value_at(const struct ol_trend *t, const struct measure *m, int i)
{
    const struct ol_report_results *r = &t->report->results[t->order[i]];
    const double value = (m->how == PERCENT ? 100 : 1) * ol_measure(r, m->name);
    return isfinite(value) && !(m->how == OF_EXPERTS && r->model->n_experts <= 0) ? value
                                                                                  : NAN;
}

/* ---- the axis ---- */

/* The first decimal number of a label, with k, M, B or T behind it for thousands and so
 * on: "step 1000", "1.4b". NAN: there is none. */
static double number_in(const char *label)
{
    static const char units[] = "kmbt";
    while (*label != '\0' && !isdigit((unsigned char)*label))
        label++;
    if (*label == '\0')
        return NAN;
    /* No strtod: it takes exponents and hexadecimal numbers for more than they are. */
    double value = 0, digit = 1;
    for (; isdigit((unsigned char)*label); label++)
        value = 10 * value + (*label - '0');
    if (*label == '.')
        for (label++; isdigit((unsigned char)*label); label++)
            value += (*label - '0') * (digit /= 10);
    const int unit = tolower((unsigned char)*label);
    const char *known = unit != '\0' ? strchr(units, unit) : NULL;
    if (known != NULL && !isalnum((unsigned char)label[1]))
        for (long i = 0; i <= known - units; i++)
            value *= 1000;
    return value;
}

static double by_label(const struct ol_report_results *r, int i)
{
    (void)i;
    return number_in(r->run->label);
}

static double by_size(const struct ol_report_results *r, int i)
{
    (void)i;
    return r->model->total_parameters > 0 ? (double)r->model->total_parameters / 1e9
                                          : NAN;
}

static double by_place(const struct ol_report_results *r, int i)
{
    (void)r;
    return i + 1;
}

static const struct {
    const char *title;
    double (*x)(const struct ol_report_results *r, int i);
} axes[] = {{"number in the label", by_label},
            {"total parameters, billions", by_size},
            {"place among the files", by_place}};

/* All known, and no two equal. */
static bool tells_apart(const double *x, int n)
{
    for (int i = 0; i < n; i++) {
        if (!isfinite(x[i]))
            return false;
        for (int k = 0; k < i; k++)
            if (x[k] == x[i])
                return false;
    }
    return true;
}

static void sort(struct ol_trend *t)
{
    for (int i = 1; i < t->report->n; i++) {
        const double x = t->x[i];
        const int result = t->order[i];
        int at = i;
        for (; at > 0 && t->x[at - 1] > x; at--) {
            t->x[at] = t->x[at - 1];
            t->order[at] = t->order[at - 1];
        }
        t->x[at] = x;
        t->order[at] = result;
    }
}

void ol_trend_make(struct ol_trend *t, const struct ol_report *report)
{
    enum { FROM_LOG = 50 }; /* times the smallest that is not 0 */
    const size_t n = (size_t)report->n;
    double least = INFINITY;
    size_t axis = 0;
    *t = (struct ol_trend){.report = report,
                           .order = ol_xcalloc(n, sizeof *t->order),
                           .x = ol_xcalloc(n, sizeof *t->x)};
    do {
        for (int i = 0; i < report->n; i++) {
            t->order[i] = i;
            t->x[i] = axes[axis].x(&report->results[i], i);
        }
    } while (!tells_apart(t->x, report->n) && ++axis < sizeof axes / sizeof axes[0]);
    t->x_title = axes[axis].title;
    t->named = axes[axis].x != by_label;
    sort(t);
    for (int i = report->n - 1; i >= 0; i--)
        least = t->x[i] > 0 ? t->x[i] : least;
    t->log_x = isfinite(least) && t->x[report->n - 1] >= FROM_LOG * least;
}

void ol_trend_clear(struct ol_trend *t)
{
    free(t->order);
    free(t->x);
    *t = (struct ol_trend){0};
}

/* ---- the table ---- */

/* Steps, which are shown with all their digits. */
static bool is_whole(const struct ol_trend *t)
{
    for (int i = 0; i < t->report->n; i++)
        if (t->x[i] != floor(t->x[i]) || t->x[i] > 0x1p53)
            return false;
    return true;
}

static struct ol_grid *new_grid(const struct ol_trend *t)
{
    struct ol_column columns[N_MEASURES + 3] = {
        {"x", t->x_title, is_whole(t) ? OL_COLUMN_LABEL : OL_COLUMN_NUMBER},
        {"name", "run", OL_COLUMN_TEXT}};
    for (int i = 0; i < N_MEASURES; i++)
        columns[i + 2] =
            (struct ol_column){measures[i].name, measures[i].title, measures[i].kind};
    return ol_grid_new(columns);
}

static void put_row(const struct ol_trend *t, int i, struct ol_grid *g)
{
    char *name = ol_survey_name(t->report, t->order[i]);
    if (is_whole(t))
        ol_grid_whole(g, t->x[i]);
    else
        ol_grid_real(g, t->x[i]);
    ol_grid_text(g, name);
    for (int m = 0; m < N_MEASURES; m++)
        ol_grid_number(g, value_at(t, &measures[m], i));
    free(name);
}

struct ol_grid *ol_trend_grid(const struct ol_trend *t)
{
    struct ol_grid *g = new_grid(t);
    for (int i = 0; i < t->report->n; i++)
        put_row(t, i, g);
    return g;
}

struct ol_grid *ol_trend_row(const struct ol_trend *t, int i)
{
    struct ol_grid *g = new_grid(t);
    put_row(t, i, g);
    return g;
}

/* ---- in words ---- */

/* "12 (step 1000)", the k-th in order; the caller frees. */
static char *value_and_name(const struct ol_trend *t, const struct measure *m, int k)
{
    const double value = value_at(t, m, k);
    char *name = ol_survey_name(t->report, t->order[k]),
         *text = m->kind == OL_COLUMN_COUNT
                     ? ol_xasprintf("%.0f (%s)", value, name)
                     : ol_xasprintf("%s (%s)", ol_text_magnitude(value).text, name);
    free(name);
    return text;
}

static char *describe(const struct ol_trend *t, const struct measure *m, int first,
                      int last, int most)
{
    const double noticeable = 0.01, /* smaller changes go without a factor */
        times = value_at(t, m, last) / value_at(t, m, first);
    char *begin = value_and_name(t, m, first), *end = value_and_name(t, m, last),
         *peak = value_and_name(t, m, most),
         *change = isfinite(times) && fabs(times - 1) >= noticeable
                       ? ol_xasprintf(", %.3g times", times)
                       : ol_xstrdup(""),
         *text = ol_xasprintf("%s: from %s to %s%s%s%s", m->title, begin, end, change,
                              most != first && most != last ? "; most " : "",
                              most != first && most != last ? peak : "");
    free(change);
    free(peak);
    free(end);
    free(begin);
    return text;
}

char *ol_trend_sentence(const struct ol_trend *t, int i)
{
    int first = -1, last = -1, most = -1;
    if (i >= N_MEASURES)
        return NULL;
    for (int k = 0; k < t->report->n; k++) {
        const double value = value_at(t, &measures[i], k);
        if (isnan(value))
            continue;
        first = first < 0 ? k : first;
        most = most < 0 || value > value_at(t, &measures[i], most) ? k : most;
        last = k;
    }
    return first == last ? ol_xstrdup("") : describe(t, &measures[i], first, last, most);
}

/* ---- figures ---- */

const struct ol_trend_figure ol_trend_figures[] = {
    {"trend-counts",
     "Outlier features",
     "How many features qualify by the criterion of LLM.int8: pairs of a feature and a "
     "batch, distinct ones, and over all sequences together.",
     "outlier features (log scale)",
     true,
     {"pairs", "unique", "pooled", NULL}},
    {"trend-maxima",
     "Largest magnitudes",
     "The largest value at the output of any norm, and of the residual stream after any "
     "layer.",
     "largest |x| (log scale)",
     true,
     {"max_norms", "max_stream", NULL}},
    {"trend-kurtosis",
     "Kurtosis",
     "The median over tokens of the kurtosis of a token's values, at the site where it "
     "is "
     "largest; a normal distribution has 3.",
     "kurtosis of the median token (log scale)",
     true,
     {"kurtosis_norms", "kurtosis_stream", NULL}},
    {"trend-massive",
     "Massive activations",
     "Dimensions of the stream with massive activations, tokens that have one (mean over "
     "the sequences), and super experts.",
     "count",
     false,
     {"massive", "massive_tokens", "super_experts", NULL}},
    {"trend-sinks",
     "Attention sinks",
     "Of all heads, layers and sequences, how many give their first token more than 30 % "
     "of "
     "their attention on average.",
     "heads, %",
     false,
     {"sink_heads", NULL}},
    {"trend-steps",
     "Residual sinks and steps",
     "Dimensions of the stream that are large on most tokens, and at how many layers "
     "massive dimensions rise or fall by a tenth of their peak or more.",
     "count",
     false,
     {"residual_sinks", "steps_up", "steps_down", NULL}},
    {0}};

const struct ol_trend_figure *ol_trend_find(const char *name)
{
    for (const struct ol_trend_figure *f = ol_trend_figures; f->name != NULL; f++)
        if (strcmp(f->name, name) == 0)
            return f;
    return NULL;
}

static int n_known(const struct ol_trend *t, const struct measure *m)
{
    int n = 0;
    for (int i = 0; i < t->report->n; i++)
        n += !isnan(value_at(t, m, i));
    return n;
}

bool ol_trend_has(const struct ol_trend *t, const struct ol_trend_figure *f)
{
    for (int k = 0; f->measures[k] != NULL; k++)
        if (n_known(t, find_measure(f->measures[k])) >= 2)
            return true;
    return false;
}

void ol_trend_draw(const struct ol_trend *t, const struct ol_trend_figure *f,
                   const struct ol_canvas *c)
{
    enum { MOST = sizeof f->measures / sizeof f->measures[0] };
    const size_t n = (size_t)t->report->n;
    double *y = ol_xcalloc(MOST * n, sizeof *y);
    char **labels = ol_xcalloc(n, sizeof *labels);
    struct ol_series series[MOST];
    int n_series = 0;
    for (size_t i = 0; i < n; i++)
        labels[i] = ol_survey_name(t->report, t->order[i]);
    for (int k = 0; f->measures[k] != NULL; k++) {
        const struct measure *m = find_measure(f->measures[k]);
        if (n_known(t, m) == 0)
            continue;
        double *to = y + (size_t)n_series * n;
        for (int i = 0; i < t->report->n; i++)
            to[i] = value_at(t, m, i);
        series[n_series] =
            (struct ol_series){.name = m->title, .x = t->x, .y = to, .n = t->report->n};
        if (n_series++ == 0 && t->named)
            series[0].labels = (const char *const *)labels;
    }
    char *x_title = ol_xasprintf("%s%s", t->x_title, t->log_x ? " (log scale)" : "");
    const struct ol_chart chart = {.series = series,
                                   .n_series = n_series,
                                   .x = {.title = x_title, .log = t->log_x},
                                   .y = {.title = f->y_title, .log = f->log_y},
                                   .y_from_zero = !f->log_y};
    ol_chart_draw(c, &chart);
    free(x_title);
    for (size_t i = 0; i < n; i++)
        free(labels[i]);
    free(labels);
    free(y);
}
