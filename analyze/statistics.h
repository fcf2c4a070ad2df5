/* What a statistic is: one file in stats/, one line in statistics.c. Statistics see
 * blocks of values and the run's description, never the file they come from. */
#ifndef OL_ANALYZE_STATISTICS_H
#define OL_ANALYZE_STATISTICS_H

#include "analyze/find.h"
#include "analyze/parts.h"
#include "common/parallel.h"
#include "common/results/run.h"

/* One recorded ln_attn or ln_mlp; residual sites are not among them. */
struct ol_site_of_run {
    int i_layer; /* index into the layout's layers */
    int layer;   /* number in the model */
    enum ol_site site;
};

struct ol_findings;

struct ol_analysis {
    const struct ol_parts *parts;
    struct ol_criterion criterion;
    int n_sites;
    const struct ol_site_of_run *sites; /* [n_sites], layer by layer */
    struct ol_pool *pool;
    int n_threads; /* of the pool */
    int64_t n_batches;
    void *const *states;          /* by the order of ol_statistics */
    bool from_summaries;          /* the sites' values are known from summaries only */
    struct ol_findings *findings; /* findings.h */
};

enum { OL_STRETCH_POSITIONS = 64 };

/* Some rows of a stretch of positions of one sequence at one site: as many as stay in the
 * nearest cache while all statistics see them. */
struct ol_block {
    int64_t batch, sequence;
    int site;              /* index into analysis->sites */
    int64_t position;      /* the stretch's first of at most OL_STRETCH_POSITIONS */
    int64_t n_positions;   /* of the stretch that the sequence has */
    bool last_of_site;     /* the stretch's last rows at this site */
    bool last_of_sequence; /* and its last site: no more of these positions of it */
    bool last_of_batch;    /* and of the batch's last sequence that has them */
    const struct ol_found *found; /* rows count from `position` */
    /* From the smallest threshold on that any statistic wants; also row_maxima. */
    const struct ol_found *more;
    enum ol_dtype dtype;
    int64_t first_row, n_rows; /* first_row counts from `position` */
    const void *rows;          /* [n_rows, d_model] */
};

struct ol_statistic {
    const char *name;                 /* of its block in the results */
    const struct ol_statistic *needs; /* what it needs gathered beside itself, or NULL */

    /* For what is gathered from values, else NULL. The scan goes through the batches in
     * order. In a batch, each stretch of positions belongs to one thread, which sees it
     * sequence by sequence, each of these site by site, and each of these row by row. All
     * threads' blocks of a batch come before its end_batch. */
    void *(*begin)(const struct ol_analysis *analysis);
    void (*block)(void *state, int thread, const struct ol_block *block);
    /* The threshold from which on it wants occurrences in block->more, if it is smaller
     * than the criterion's; NULL: it wants none of them. */
    double (*least)(const void *state);
    void (*end_batch)(void *state, int64_t batch);
    /* Instead of the two above when analysis->from_summaries; NULL: nothing is gathered,
     * and results sees the state as it began. */
    void (*sum_up)(void *state);
    void (*end)(void *state);

    /* Fill in the block of that name in common/results/blocks.h, zeroed, from what was
     * gathered (state, or NULL) and the run; what it points to is the arena's, or stays
     * until `end`. False: there is nothing to say. */
    bool (*results)(const struct ol_analysis *analysis, void *state, void *block,
                    struct ol_arena *arena);
};

enum { OL_MAX_STATISTICS = 32 };
extern const struct ol_statistic *const ol_statistics[]; /* ends with NULL */

/* Which of them: by the order of ol_statistics. */
struct ol_chosen {
    bool statistics[OL_MAX_STATISTICS];
};

/* From names with commas between them; NULL means all. */
int ol_statistics_choose(const char *names, struct ol_chosen *chosen,
                         struct ol_error *err);

/* The state of the statistic that another needs, for its results. */
void *ol_statistic_state(const struct ol_analysis *a, const struct ol_statistic *s);

/* The chosen statistics, added to results in the order of the table. Tensors are not
 * read when there are none, or when only_summaries; summaries fail when there are none or
 * they are of another threshold. */
int ol_analyse(const struct ol_parts *parts, const struct ol_criterion *criterion,
               const struct ol_chosen *chosen, bool only_summaries, struct ol_pool *pool,
               struct ol_json *results, struct ol_error *err);

#endif
