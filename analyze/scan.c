/* One pass over the mapped tensors for all statistics together. */
#include <stdlib.h>
#include <string.h>

#include "analyze/statistics.h"

enum { MAX_STATISTICS = 32 };

struct scan {
    struct ol_analysis analysis;
    void *states[MAX_STATISTICS];
    struct ol_found *found;  /* [threads] */
    int64_t batch, first, n; /* the batch being scanned and its sequences */
};

/* Positions of a stretch that a sequence has. */
static int64_t positions(const struct scan *s, int64_t sequence, int64_t first)
{
    const int64_t left = s->analysis.parts->lengths[sequence] - first;
    return left < OL_BLOCK_POSITIONS ? left : OL_BLOCK_POSITIONS;
}

static void scan_site(struct scan *s, int thread, struct ol_block *block)
{
    const struct ol_parts *parts = s->analysis.parts;
    const struct ol_site_of_run *site = &s->analysis.sites[block->site];
    const struct ol_activation_layout *layout = ol_parts_layout(parts);
    const int64_t sequence = block->sequence;
    const char *rows =
        ol_activation_site(parts->files[parts->file_of[sequence]], site->i_layer,
                           site->site, parts->number_of[sequence]);
    const size_t row_bytes = (size_t)layout->d_model * ol_dtype_size(layout->dtype);
    block->dtype = layout->dtype;
    block->n_rows = positions(s, sequence, block->position);
    block->rows = rows + (size_t)block->position * row_bytes;
    ol_find(layout->dtype, block->rows, (uint32_t)block->n_rows,
            (uint32_t)layout->d_model, s->analysis.criterion.threshold,
            &s->found[thread]);
    for (int i = 0; ol_statistics[i] != NULL; i++)
        if (ol_statistics[i]->block != NULL)
            ol_statistics[i]->block(s->states[i], thread, block);
}

/* Task i: the i-th stretch of positions in all sequences of the batch. */
static void scan_stretch(void *arg, int64_t i, int thread)
{
    struct scan *s = arg;
    struct ol_block block = {.batch = s->batch,
                             .position = i * OL_BLOCK_POSITIONS,
                             .found = &s->found[thread]};
    int64_t last = s->first;
    for (int64_t k = s->first; k < s->first + s->n; k++)
        if (positions(s, k, block.position) > 0)
            last = k;
    for (block.sequence = s->first; block.sequence <= last; block.sequence++) {
        if (positions(s, block.sequence, block.position) <= 0)
            continue;
        for (block.site = 0; block.site < s->analysis.n_sites; block.site++) {
            block.last_of_sequence = block.site == s->analysis.n_sites - 1;
            block.last_of_batch = block.last_of_sequence && block.sequence == last;
            scan_site(s, thread, &block);
        }
    }
}

static void scan_batch(struct scan *s, struct ol_pool *pool)
{
    const struct ol_parts *parts = s->analysis.parts;
    int64_t longest = 0;
    s->first = s->batch * s->analysis.criterion.batch_size;
    s->n = parts->n_sequences - s->first < s->analysis.criterion.batch_size
               ? parts->n_sequences - s->first
               : s->analysis.criterion.batch_size;
    for (int64_t k = s->first; k < s->first + s->n; k++)
        longest = parts->lengths[k] > longest ? parts->lengths[k] : longest;
    ol_pool_run(pool, (longest + OL_BLOCK_POSITIONS - 1) / OL_BLOCK_POSITIONS,
                scan_stretch, s);
    for (int i = 0; ol_statistics[i] != NULL; i++)
        if (ol_statistics[i]->end_batch != NULL)
            ol_statistics[i]->end_batch(s->states[i], s->batch);
}

void *ol_statistic_state(const struct ol_analysis *a, const struct ol_statistic *s)
{
    int i = 0;
    while (ol_statistics[i] != s)
        i++;
    return a->states[i];
}

static bool has_tensors(const struct ol_activation_layout *layout)
{
    for (int l = 0; l < layout->n_layers; l++)
        if (layout->layers[l].sites[OL_SITE_LN_ATTN] ||
            layout->layers[l].sites[OL_SITE_LN_MLP])
            return true;
    return false;
}

static int check_summaries(const struct ol_parts *parts,
                           const struct ol_criterion *criterion, struct ol_error *err)
{
    const struct ol_activation_layout *layout = ol_parts_layout(parts);
    const char *path = ol_activation_path(parts->files[0]);
    if (!layout->summary)
        return ol_fail(err, "%s: there are no summaries (ol-extract --no-summaries)",
                       path);
    if (layout->threshold != criterion->threshold)
        return ol_fail(err,
                       "%s: summaries are of magnitudes from %g on, --threshold %g needs "
                       "the tensors, or ol-extract --threshold %g",
                       path, layout->threshold, criterion->threshold,
                       criterion->threshold);
    return 0;
}

static struct ol_site_of_run *list_sites(const struct ol_activation_layout *layout,
                                         bool from_summaries, int *n)
{
    struct ol_site_of_run *sites =
        ol_xcalloc((size_t)layout->n_layers * 2, sizeof *sites);
    *n = 0;
    for (int l = 0; l < layout->n_layers; l++)
        for (int site = OL_SITE_LN_ATTN; site <= OL_SITE_LN_MLP; site++)
            if (from_summaries
                    ? layout->layers[l]
                          .summary_sites[ol_summary_site_of((enum ol_site)site)]
                    : layout->layers[l].sites[site])
                sites[(*n)++] = (struct ol_site_of_run){l, layout->layers[l].number,
                                                        (enum ol_site)site};
    return sites;
}

int ol_analyse(const struct ol_parts *parts, const struct ol_criterion *criterion,
               bool only_summaries, struct ol_pool *pool, struct ol_json *results,
               struct ol_error *err)
{
    const struct ol_activation_layout *layout = ol_parts_layout(parts);
    const bool from_summaries =
        only_summaries || (!has_tensors(layout) && layout->summary);
    if (from_summaries && check_summaries(parts, criterion, err) != 0)
        return -1;
    struct scan s = {.analysis = {.parts = parts,
                                  .criterion = *criterion,
                                  .pool = pool,
                                  .n_threads = ol_pool_threads(pool),
                                  .from_summaries = from_summaries}};
    struct ol_site_of_run *sites =
        list_sites(layout, from_summaries, &s.analysis.n_sites);
    s.analysis.sites = sites;
    s.analysis.states = s.states;
    if (criterion->batch_size < parts->n_sequences)
        s.analysis.n_batches = (parts->n_sequences - 1) / criterion->batch_size + 1;
    else
        s.analysis.n_batches = 1;
    ol_json_set(results, "n_sites", ol_json_new_int(s.analysis.n_sites));
    ol_json_set(results, "n_tokens", ol_json_new_int(parts->n_tokens));
    ol_json_set(results, "n_sequences", ol_json_new_int(parts->n_sequences));
    s.found = ol_xcalloc((size_t)s.analysis.n_threads, sizeof *s.found);
    for (int i = 0; ol_statistics[i] != NULL; i++)
        if (ol_statistics[i]->begin != NULL)
            s.states[i] = ol_statistics[i]->begin(&s.analysis);
    for (int i = 0; from_summaries && ol_statistics[i] != NULL; i++)
        if (ol_statistics[i]->sum_up != NULL)
            ol_statistics[i]->sum_up(s.states[i]);
    if (!from_summaries && s.analysis.n_sites > 0)
        for (s.batch = 0; s.batch < s.analysis.n_batches; s.batch++)
            scan_batch(&s, pool);
    for (int i = 0; ol_statistics[i] != NULL; i++) {
        ol_json_set(results, ol_statistics[i]->name,
                    ol_statistics[i]->results(&s.analysis, s.states[i]));
    }
    for (int i = 0; ol_statistics[i] != NULL; i++)
        if (ol_statistics[i]->end != NULL)
            ol_statistics[i]->end(s.states[i]);
    for (int i = 0; i < s.analysis.n_threads; i++)
        ol_found_clear(&s.found[i]);
    free(s.found);
    free(sites);
    return 0;
}
