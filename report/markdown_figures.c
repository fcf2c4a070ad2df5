/* Sections of the Markdown report for what a page shows as figures: where outlier
 * features begin and end, how values are distributed, at which positions outliers are,
 * and what other criteria would count. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/markdown.h"
#include "report/sentences_stream.h"
#include "report/table.h"
#include "report/text_map.h"

enum { MOST_SENTENCES = 8 };
enum { NAME_BYTES = 32, LAYERS_EVERY = 8, BUCKETS_EVERY = 8 };

/* Room for n names and pointers to them; freed as free(names) and free(names[0]). */
static char **new_names(int64_t n)
{
    char **names = ol_xcalloc((size_t)n + 1, sizeof *names);
    char *room = ol_xcalloc((size_t)n + 1, NAME_BYTES);
    for (int64_t i = 0; i <= n; i++)
        names[i] = room + i * NAME_BYTES;
    return names;
}

static void free_names(char **names)
{
    free(names[0]);
    free(names);
}

/* ---- onset ---- */

static void print_onset_map(const struct ol_onset *onset, int64_t n_layers, FILE *out)
{
    static const char *const rows[] = {"ln_attn", "ln_mlp"};
    const struct ol_onset_site *sites = onset->by_site.items;
    char *cells = ol_xcalloc((size_t)(2 * n_layers), 1), **columns = new_names(n_layers);
    memset(cells, ' ', (size_t)(2 * n_layers));
    for (int64_t i = 0; i < n_layers; i++)
        snprintf(columns[i], NAME_BYTES, "%" PRId64, i);
    for (int64_t i = 0; i < onset->by_site.n; i++)
        for (int row = 0; row < 2; row++)
            if (sites[i].site != NULL && strcmp(sites[i].site, rows[row]) == 0 &&
                sites[i].layer >= 0 && sites[i].layer < n_layers)
                cells[row * n_layers + sites[i].layer] = ol_text_map_tenths(
                    (double)sites[i].n_features / (double)onset->features.n);
    ol_text_map_print(&(struct ol_text_map){.n_rows = 2,
                                            .n_columns = n_layers,
                                            .cells = cells,
                                            .row_names = rows,
                                            .column_names = (const char *const *)columns,
                                            .every = LAYERS_EVERY},
                      out);
    free_names(columns);
    free(cells);
}

void ol_markdown_onset(const struct ol_report_results *r, int64_t top, FILE *out)
{
    const struct ol_onset *onset = r->blocks.onset;
    if (onset == NULL)
        return;
    fputs("\n## Onset\n\n", out);
    if (onset->features.n == 0) {
        fputs("There is no outlier feature.\n", out);
        return;
    }
    fputs(
        "Outlier features that have an occurrence on at least 1 % of the tokens at each "
        "site,\nlayer by layer: . none, 0 to 9 tenths of them, # all.\n\n",
        out);
    if (r->model->n_layers > 0)
        print_onset_map(onset, r->model->n_layers, out);
    const struct ol_onset_feature *features = onset->features.items;
    fputc('\n', out);
    for (int64_t i = 0; i < onset->features.n && i < MOST_SENTENCES; i++)
        ol_markdown_item(ol_sentence_onset(&features[i]), out);
    ol_markdown_table(r, &ol_onset_table, top, out);
}
