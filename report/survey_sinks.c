/* What stays large in models side by side: massive dimensions with their steps, residual
 * sinks, attention sinks. */
#include <math.h>
#include <stdlib.h>

#include "report/survey.h"
#include "report/runs.h"
#include "report/tables.h"

static const struct ol_column columns[] = {
    {"name", "model", OL_COLUMN_TEXT},
    {"massive", "massive dimensions", OL_COLUMN_COUNT},
    {"feature", "the largest", OL_COLUMN_LABEL},
    {"up_layer", "rises most at layer", OL_COLUMN_LABEL},
    {"up_by", "by", OL_COLUMN_TEXT},
    {"down_layer", "falls most at layer", OL_COLUMN_LABEL},
    {"down_by", "by", OL_COLUMN_TEXT},
    {"residual_sinks", "residual sinks", OL_COLUMN_COUNT},
    {"both", "massive too", OL_COLUMN_COUNT},
    {"sink_heads", "heads whose sink is the first token, %", OL_COLUMN_PERCENT},
    {"first", "attention to it, %", OL_COLUMN_PERCENT},
    {0}};

/* Who writes the step of that layer; NULL: not known. The caller frees. */
static char *writer_of(const struct ol_step_feature *f, int64_t layer)
{
    const struct ol_step *steps = f->steps.items;
    for (int64_t i = 0; i < f->steps.n; i++) {
        const struct ol_stream_writer *by = steps[i].by.items;
        const struct ol_step_unit *units = steps[i].units.items;
        if (steps[i].layer == layer && steps[i].by.n > 0)
            return ol_table_unit(by->who.kind, by->who.expert);
        if (steps[i].layer == layer && steps[i].units.n > 0)
            return ol_table_unit(units->who.kind, units->who.expert);
    }
    return NULL;
}

static void put_step(struct ol_grid *g, const struct ol_step_feature *f, int64_t layer)
{
    char *who = f != NULL && layer != OL_ABSENT ? writer_of(f, layer) : NULL;
    ol_grid_int(g, layer);
    ol_grid_text(g, who);
    free(who);
}

/* Of the models that have one of the blocks; no rows: none has. */
struct ol_grid *ol_survey_sinks(const struct ol_report *report)
{
    struct ol_grid *g = ol_grid_new(columns);
    for (int i = 0; i < report->n; i++) {
        const struct ol_blocks *b = &report->results[i].blocks;
        if (b->steps == NULL && b->residual_sinks == NULL && b->attention_sinks == NULL)
            continue;
        const struct ol_step_feature *f = b->steps != NULL && b->steps->features.n > 0
                                              ? b->steps->features.items
                                              : NULL;
        char *name = ol_run_name(report, i);
        ol_grid_text(g, name);
        free(name);
        ol_grid_int(g, b->steps != NULL ? b->steps->n_features : OL_ABSENT);
        ol_grid_int(g, f != NULL ? f->feature : OL_ABSENT);
        put_step(g, f, f != NULL ? f->up_layer : OL_ABSENT);
        put_step(g, f, f != NULL ? f->down_layer : OL_ABSENT);
        ol_grid_int(g,
                    b->residual_sinks != NULL ? b->residual_sinks->n_sinks : OL_ABSENT);
        ol_grid_int(g, b->residual_sinks != NULL ? b->residual_sinks->n_both : OL_ABSENT);
        ol_grid_real(g,
                     b->attention_sinks != NULL ? b->attention_sinks->sink_heads : NAN);
        ol_grid_real(g, b->attention_sinks != NULL ? b->attention_sinks->first : NAN);
    }
    return g;
}
