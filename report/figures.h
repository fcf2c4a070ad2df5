/* Every figure of a report: drawn from results alone, for a page or as a file. */
#ifndef OL_REPORT_FIGURES_H
#define OL_REPORT_FIGURES_H

#include "report/results.h"
#include "report/svg.h"

struct ol_figure {
    const char *name; /* for --figure */
    const char *title;
    /* What is shown and how to read it, in words. */
    const char *caption;
    /* How to get the numbers that it needs: shown when they are missing. */
    const char *needs;
    bool (*has)(const struct ol_report_results *r);
    void (*draw)(const struct ol_report_results *r, const struct ol_canvas *c);
};

/* The i-th of all, section by section; NULL: there are not so many. */
const struct ol_figure *ol_figure_at(int i);
/* NULL: there is none of that name. */
const struct ol_figure *ol_figure_find(const char *name);

/* What would provide a block that the results have not. */
#define OL_NEEDS_SUMMARIES                                                               \
    "It needs summaries: run ol-extract without --no-summaries, then ol-analyze."
#define OL_NEEDS_FEATURES                                                                \
    "It needs at least one outlier feature, and summaries made with the threshold of "   \
    "this analysis (ol-extract --threshold, without --no-summaries)."
#define OL_NEEDS_TENSORS                                                                 \
    "It needs recorded tensors: run ol-extract with --store bf16 (the default), then "   \
    "ol-analyze."
#define OL_NEEDS_EXPERTS                                                                 \
    "It needs a Mixture-of-Experts model, and summaries: run ol-extract without "        \
    "--no-summaries, then ol-analyze."
#define OL_NEEDS_ROUTERS                                                                 \
    "It needs a Mixture-of-Experts model and its router choices, which ol-extract "      \
    "records for every such model."

#endif
