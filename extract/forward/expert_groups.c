#include "extract/forward/expert_groups.h"

#include <stdlib.h>

#include "common/error.h"

void ol_expert_group_make(struct ol_expert_group *g, int n_experts)
{
    const size_t n = (size_t)n_experts;
    g->experts = ol_xcalloc(n, sizeof *g->experts);
    g->firsts = ol_xcalloc(n + 1, sizeof *g->firsts);
    g->ends = ol_xcalloc(n, sizeof *g->ends);
}

void ol_expert_group_clear(struct ol_expert_group *g)
{
    free(g->ends);
    free(g->firsts);
    free(g->experts);
}

void ol_expert_group_begin(struct ol_expert_group *g)
{
    g->begin = g->end = g->n = 0;
}

int64_t ol_expert_block(const struct ol_permutation *p, int expert)
{
    return ol_product_block(p->offsets[expert + 1] - p->offsets[expert]);
}

/* An expert's rows are cut where they would be multiplied apart in any group, so that
 * neither its size nor what else is in it shows in the results. */
static int64_t cut_of(const struct ol_permutation *p, int expert, int64_t end)
{
    const int64_t first = p->offsets[expert];
    const int64_t past = p->offsets[expert + 1];
    const int64_t block = ol_expert_block(p, expert);
    return end >= past ? past : first + (end - first) / block * block;
}

/* Rows rise within an expert. */
static void find_ends(struct ol_expert_group *g, const int32_t *rows,
                      int64_t n_baseline_rows)
{
    for (int i = 0; i < g->n; i++) {
        g->ends[i] = g->firsts[i + 1];
        while (g->ends[i] > g->firsts[i] && rows[g->ends[i] - 1] >= n_baseline_rows)
            g->ends[i]--;
    }
}

bool ol_expert_group_next(struct ol_expert_group *g, const struct ol_permutation *p,
                          int64_t n_baseline_rows)
{
    int expert = g->n > 0 ? g->experts[g->n - 1] : 0;
    g->begin = g->end;
    g->n = 0;
    for (; expert < p->n_experts && g->n < g->most_experts; expert++) {
        if (p->offsets[expert + 1] <= g->end)
            continue;
        const int64_t cut = cut_of(p, expert, g->begin + g->most_rows);
        if (cut <= g->end)
            break;
        g->experts[g->n] = expert;
        g->firsts[g->n++] = g->end - g->begin;
        g->end = cut;
        if (cut < p->offsets[expert + 1])
            break;
    }
    g->firsts[g->n] = g->end - g->begin;
    find_ends(g, p->rows + g->begin, n_baseline_rows);
    return g->n > 0;
}
