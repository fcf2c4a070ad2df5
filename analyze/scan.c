/* One pass over the tensors for all statistics together. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "analyze/findings.h"
#include "analyze/statistics.h"

/* Bytes of rows that are read, where they are not mapped, and looked at together: they
 * stay in the second, the first cache. */
enum { READ_TOGETHER = 1 << 17, LOOKED_AT_TOGETHER = 1 << 15 };

struct thread {
    void *room; /* [rows_together(READ_TOGETHER), d_model] of the file's type */
    struct ol_found found, more;
    int64_t last_sequence; /* of the batch's that have the positions at hand */
    bool waited;           /* for the disk, in some stretch */
    int status; /* of reading; the thread goes on to nothing else when it failed */
    struct ol_error err;
};

struct scan {
    struct ol_analysis analysis;
    struct ol_chosen gathered; /* the chosen ones and what they need */
    void *states[OL_MAX_STATISTICS];
    size_t row_bytes;
    double least;            /* the smallest threshold that is wanted */
    struct thread *threads;  /* [threads] */
    int64_t batch, first, n; /* the batch being scanned and its sequences */
};

/* As many rows as so many bytes hold, but one at least. */
static int64_t rows_together(const struct scan *s, size_t bytes)
{
    return bytes > s->row_bytes ? (int64_t)(bytes / s->row_bytes) : 1;
}

/* Positions of a stretch that a sequence has. */
static int64_t positions(const struct scan *s, int64_t sequence, int64_t first)
{
    const int64_t left = s->analysis.parts->lengths[sequence] - first;
    return left < OL_STRETCH_POSITIONS ? left : OL_STRETCH_POSITIONS;
}

/* Rows [first, end) of a stretch, whose bytes go into the sum. */
static void look_at_rows(struct scan *s, int thread, struct ol_block *block,
                         const char *rows, int64_t first, int64_t end,
                         struct ol_crc32_run *sum)
{
    const int64_t d_model = ol_parts_layout(s->analysis.parts)->d_model,
                  together = rows_together(s, LOOKED_AT_TOGETHER);
    struct thread *t = &s->threads[thread];
    for (int64_t row = first; row < end; row += together) {
        block->first_row = row;
        block->n_rows = end - row < together ? end - row : together;
        block->rows = rows + (size_t)(row - first) * s->row_bytes;
        block->last_of_site = row + block->n_rows == block->n_positions;
        block->last_of_sequence =
            block->last_of_site && block->site == s->analysis.n_sites - 1;
        block->last_of_batch =
            block->last_of_sequence && block->sequence == t->last_sequence;
        const struct ol_searched in = {block->dtype, block->rows, (uint32_t)row,
                                       (uint32_t)block->n_rows, (uint32_t)d_model};
        ol_find(&in, s->least, sum, &t->more);
        if (block->found != block->more)
            ol_find_among(&t->more, s->analysis.criterion.threshold, &t->found);
        for (int i = 0; ol_statistics[i] != NULL; i++)
            if (s->gathered.statistics[i] && ol_statistics[i]->block != NULL)
                ol_statistics[i]->block(s->states[i], thread, block);
    }
}

static int scan_site(struct scan *s, int thread, struct ol_block *block)
{
    const struct ol_parts *parts = s->analysis.parts;
    const struct ol_activation_file *file = parts->files[parts->file_of[block->sequence]];
    const struct ol_site_of_run *site = &s->analysis.sites[block->site];
    const int64_t together = ol_activation_rows_mapped(file)
                                 ? block->n_positions
                                 : rows_together(s, READ_TOGETHER);
    struct thread *t = &s->threads[thread];
    for (int64_t row = 0; row < block->n_positions && t->status == 0; row += together) {
        const int64_t left = block->n_positions - row,
                      n = left < together ? left : together;
        const struct ol_activation_rows at = {parts->number_of[block->sequence],
                                              block->position + row, n};
        struct ol_crc32_run sum = {0};
        const char *rows =
            ol_activation_rows_at(file, site->i_layer, site->site, &at, t->room, &t->err);
        if (rows != NULL) {
            look_at_rows(s, thread, block, rows, row, row + n, &sum);
            ol_activation_rows_seen(file, site->i_layer, site->site, &at, &sum);
        } else {
            t->status = -1;
        }
    }
    return t->status;
}

/* How often this thread has waited for pages of a file. */
static int64_t waits(void)
{
    struct rusage usage = {0};
    getrusage(RUSAGE_THREAD, &usage);
    return usage.ru_majflt;
}

/* Let the disk begin with a stretch. Sites lie far from each other in the file: the
 * system, which looks ahead at where one reads, begins anew at each. */
static void expect_stretch(const struct scan *s, int64_t i)
{
    const struct ol_parts *parts = s->analysis.parts;
    const int64_t position = i * OL_STRETCH_POSITIONS;
    for (int64_t k = s->first; k < s->first + s->n; k++)
        for (int site = 0; site < s->analysis.n_sites && positions(s, k, position) > 0;
             site++) {
            const struct ol_activation_rows rows = {parts->number_of[k], position,
                                                    positions(s, k, position)};
            ol_activation_rows_soon(parts->files[parts->file_of[k]],
                                    s->analysis.sites[site].i_layer,
                                    s->analysis.sites[site].site, &rows);
        }
}

/* Task i: the i-th stretch of positions in all sequences of the batch. */
static void scan_stretch(void *arg, int64_t i, int thread)
{
    struct scan *s = arg;
    struct ol_block block = {.batch = s->batch,
                             .position = i * OL_STRETCH_POSITIONS,
                             .dtype = ol_parts_layout(s->analysis.parts)->dtype,
                             .found = s->least < s->analysis.criterion.threshold
                                          ? &s->threads[thread].found
                                          : &s->threads[thread].more,
                             .more = &s->threads[thread].more};
    struct thread *t = &s->threads[thread];
    const int64_t waited = waits();
    if (t->waited)
        expect_stretch(s, i + s->analysis.n_threads);
    for (int64_t k = s->first; k < s->first + s->n; k++)
        if (positions(s, k, block.position) > 0)
            t->last_sequence = k;
    for (block.sequence = s->first; block.sequence <= t->last_sequence;
         block.sequence++) {
        block.n_positions = positions(s, block.sequence, block.position);
        for (block.site = 0; block.n_positions > 0 && block.site < s->analysis.n_sites;
             block.site++)
            if (scan_site(s, thread, &block) != 0)
                return;
    }
    t->waited |= waits() > waited;
}

static int scan_batch(struct scan *s, struct ol_pool *pool, struct ol_error *err)
{
    const struct ol_parts *parts = s->analysis.parts;
    int64_t longest = 0;
    s->first = s->batch * s->analysis.criterion.batch_size;
    s->n = parts->n_sequences - s->first < s->analysis.criterion.batch_size
               ? parts->n_sequences - s->first
               : s->analysis.criterion.batch_size;
    for (int64_t k = s->first; k < s->first + s->n; k++)
        longest = parts->lengths[k] > longest ? parts->lengths[k] : longest;
    ol_pool_run(pool, (longest + OL_STRETCH_POSITIONS - 1) / OL_STRETCH_POSITIONS,
                scan_stretch, s);
    for (int i = 0; i < s->analysis.n_threads; i++)
        if (s->threads[i].status != 0)
            return ol_fail(err, "%s", s->threads[i].err.text);
    for (int i = 0; ol_statistics[i] != NULL; i++)
        if (s->gathered.statistics[i] && ol_statistics[i]->end_batch != NULL)
            ol_statistics[i]->end_batch(s->states[i], s->batch);
    return 0;
}

static int scan_all(struct scan *s, struct ol_pool *pool, struct ol_error *err)
{
    const struct ol_activation_layout *layout = ol_parts_layout(s->analysis.parts);
    int status = 0;
    s->least = s->analysis.criterion.threshold;
    for (int i = 0; ol_statistics[i] != NULL; i++)
        if (s->gathered.statistics[i] && ol_statistics[i]->least != NULL)
            s->least = fmin(s->least, ol_statistics[i]->least(s->states[i]));
    s->row_bytes = (size_t)layout->d_model * ol_dtype_size(layout->dtype);
    for (int i = 0; i < s->analysis.n_threads; i++)
        s->threads[i].room =
            ol_xmalloc((size_t)rows_together(s, READ_TOGETHER) * s->row_bytes);
    for (s->batch = 0; s->batch < s->analysis.n_batches && status == 0; s->batch++)
        status = scan_batch(s, pool, err);
    return status;
}

static int index_of(const struct ol_statistic *s)
{
    int i = 0;
    while (ol_statistics[i] != s)
        i++;
    return i;
}

void *ol_statistic_state(const struct ol_analysis *a, const struct ol_statistic *s)
{
    return a->states[index_of(s)];
}

static struct ol_chosen with_needs(const struct ol_chosen *chosen)
{
    struct ol_chosen all = *chosen;
    for (int i = 0; ol_statistics[i] != NULL; i++)
        if (chosen->statistics[i] && ol_statistics[i]->needs != NULL)
            all.statistics[index_of(ol_statistics[i]->needs)] = true;
    return all;
}

static bool wants_blocks(const struct ol_chosen *gathered)
{
    for (int i = 0; ol_statistics[i] != NULL; i++)
        if (gathered->statistics[i] && ol_statistics[i]->block != NULL)
            return true;
    return false;
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

/* The block of a statistic, or null. */
static struct ol_json *describe(const struct ol_analysis *a, const struct ol_statistic *s,
                                void *state)
{
    struct ol_arena arena = {0};
    struct ol_blocks blocks = {0};
    const struct ol_field *f = ol_blocks_struct()->fields;
    while (strcmp(f->key, s->name) != 0)
        f++;
    const bool list = f->kind == OL_FIELD_LIST;
    void *block = list ? (void *)((char *)&blocks + f->offset)
                       : ol_arena_calloc(&arena, 1, f->element()->size);
    struct ol_json *json = !s->results(a, state, block, &arena) ? ol_json_new_null()
                           : list                               ? ol_field_write(f, block)
                                  : ol_fields_write(f->element(), block);
    ol_arena_clear(&arena);
    return json;
}

int ol_analyse(const struct ol_parts *parts, const struct ol_criterion *criterion,
               const struct ol_chosen *chosen, bool only_summaries, struct ol_pool *pool,
               struct ol_json *results, struct ol_error *err)
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
                                  .from_summaries = from_summaries,
                                  .findings = ol_findings_new()},
                     .gathered = with_needs(chosen)};
    struct ol_site_of_run *sites =
        list_sites(layout, from_summaries, &s.analysis.n_sites);
    s.analysis.sites = sites;
    s.analysis.states = s.states;
    if (criterion->batch_size < parts->n_sequences)
        s.analysis.n_batches = (parts->n_sequences - 1) / criterion->batch_size + 1;
    else
        s.analysis.n_batches = 1;
    const struct ol_results_size size = {s.analysis.n_sites, parts->n_tokens,
                                         parts->n_sequences};
    ol_fields_set(results, ol_results_size_struct(), &size);
    s.threads = ol_xcalloc((size_t)s.analysis.n_threads, sizeof *s.threads);
    int status = 0;
    for (int i = 0; ol_statistics[i] != NULL; i++)
        if (s.gathered.statistics[i] && ol_statistics[i]->begin != NULL)
            s.states[i] = ol_statistics[i]->begin(&s.analysis);
    for (int i = 0; from_summaries && ol_statistics[i] != NULL; i++)
        if (s.gathered.statistics[i] && ol_statistics[i]->sum_up != NULL)
            ol_statistics[i]->sum_up(s.states[i]);
    if (!from_summaries && s.analysis.n_sites > 0 && wants_blocks(&s.gathered))
        status = scan_all(&s, pool, err);
    for (int i = 0; status == 0 && ol_statistics[i] != NULL; i++)
        if (chosen->statistics[i]) {
            ol_detail("statistic %s", ol_statistics[i]->name);
            ol_json_set(results, ol_statistics[i]->name,
                        describe(&s.analysis, ol_statistics[i], s.states[i]));
        }
    for (int i = 0; ol_statistics[i] != NULL; i++)
        if (s.gathered.statistics[i] && ol_statistics[i]->end != NULL)
            ol_statistics[i]->end(s.states[i]);
    for (int i = 0; i < s.analysis.n_threads; i++) {
        ol_found_clear(&s.threads[i].found);
        ol_found_clear(&s.threads[i].more);
        free(s.threads[i].room);
    }
    ol_findings_free(s.analysis.findings);
    free(s.threads);
    free(sites);
    return status;
}
