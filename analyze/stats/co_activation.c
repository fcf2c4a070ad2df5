/* Which experts are chosen together: of each layer the experts that nearly all tokens
 * choose (a standing committee), how many experts have most of the choices, and the pairs
 * that tokens choose more often than they would if experts were chosen independently. */
#include <math.h>
#include <stdlib.h>

#include "analyze/statistics.h"
#include "common/results/co_activation.h"

static const double min_share = 0.9;
enum { MOST_PAIRS = 16 };

struct layer {
    int64_t n_experts, n_tokens, n_pairs;
    int64_t *chosen; /* [n_experts]: tokens that chose each */
    int64_t *both;   /* [n_experts][n_experts], a < b: that chose a and b */
    int64_t *order;  /* [n_experts]: experts, the most chosen first */
    int64_t *rank;   /* [n_experts]: places in order */
    int64_t *last;   /* [n_experts]: tokens by the last place of theirs */
};

struct work {
    const struct ol_analysis *a;
    const int *i_layers; /* [n]: of the layers with routers */
    struct ol_co_layer *layers;
};

/* ---- counting ---- */

/* The different experts among a token's ids, in ascending order; ids that no expert has
 * are left out. */
static int experts_of(const uint16_t *ids, int top_k, int64_t n_experts, int64_t *experts)
{
    int n = 0;
    for (int k = 0; k < top_k; k++) {
        int at = n;
        while (at > 0 && experts[at - 1] > ids[k])
            at--;
        if (ids[k] >= n_experts || (at > 0 && experts[at - 1] == ids[k]))
            continue;
        for (int i = n++; i > at; i--)
            experts[i] = experts[i - 1];
        experts[at] = ids[k];
    }
    return n;
}

static void count_token(const int64_t *experts, int n, struct layer *l)
{
    for (int i = 0; i < n; i++) {
        l->chosen[experts[i]]++;
        for (int k = i + 1; k < n; k++)
            l->both[experts[i] * l->n_experts + experts[k]]++;
    }
    l->n_tokens += n > 0;
    l->n_pairs += n;
}

static void place_token(const int64_t *experts, int n, struct layer *l)
{
    int64_t last = -1;
    for (int i = 0; i < n; i++)
        last = l->rank[experts[i]] > last ? l->rank[experts[i]] : last;
    if (last >= 0)
        l->last[last]++;
}

static void each_token(const struct ol_parts *parts, int i_layer, struct layer *l,
                       void (*see)(const int64_t *experts, int n, struct layer *l))
{
    const int top_k = ol_parts_layout(parts)->layers[i_layer].top_k;
    int64_t *experts = ol_xcalloc((size_t)top_k, sizeof *experts);
    for (int64_t s = 0; s < parts->n_sequences; s++) {
        const uint16_t *ids =
            ol_activation_get(parts->files[parts->file_of[s]], OL_TABLE_ROUTER_IDS,
                              i_layer, parts->number_of[s]);
        for (int32_t t = 0; t < parts->lengths[s]; t++, ids += top_k)
            see(experts, experts_of(ids, top_k, l->n_experts, experts), l);
    }
    free(experts);
}

/* By falling count, then by number: an insertion, for experts are few. */
static void sort(struct layer *l)
{
    for (int64_t e = 0; e < l->n_experts; e++) {
        int64_t at = e;
        for (; at > 0 && l->chosen[l->order[at - 1]] < l->chosen[e]; at--)
            l->order[at] = l->order[at - 1];
        l->order[at] = e;
    }
    for (int64_t i = 0; i < l->n_experts; i++)
        l->rank[l->order[i]] = i;
}

/* ---- describing ---- */

static void make_room(struct ol_co_layer *entry, int64_t n_experts,
                      struct ol_arena *arena)
{
    ol_list_new(&entry->committee, n_experts, sizeof(struct ol_committee_member), arena);
    ol_list_new(&entry->pairs, MOST_PAIRS + 1, sizeof(struct ol_expert_pair), arena);
    ol_reals_new(&entry->coverage, n_experts, arena);
    ol_reals_new(&entry->complete, n_experts, arena);
    entry->committee.n = entry->pairs.n = 0;
}

static void describe_committee(const struct layer *l, struct ol_list *list)
{
    struct ol_committee_member *members = list->items;
    for (int64_t i = 0; i < l->n_experts; i++) {
        const int64_t e = l->order[i];
        const double share = (double)l->chosen[e] / (double)l->n_tokens;
        if (share >= min_share) /* not where nothing was chosen */
            members[list->n++] = (struct ol_committee_member){e, l->chosen[e], share};
    }
}

static void describe_coverage(const struct layer *l, struct ol_co_layer *entry)
{
    double *coverage = entry->coverage.items, *complete = entry->complete.items;
    entry->n_for_half = entry->n_for_most = OL_ABSENT;
    int64_t pairs = 0, tokens = 0;
    for (int64_t i = 0; i < l->n_experts; i++) {
        pairs += l->chosen[l->order[i]];
        tokens += l->last[i];
        coverage[i] = (double)pairs / (double)l->n_pairs;
        complete[i] = (double)tokens / (double)l->n_tokens;
        if (l->n_pairs > 0 && entry->n_for_half == OL_ABSENT && 2 * pairs >= l->n_pairs)
            entry->n_for_half = i + 1;
        if (l->n_pairs > 0 && entry->n_for_most == OL_ABSENT &&
            10 * pairs >= 9 * l->n_pairs)
            entry->n_for_most = i + 1;
    }
}

/* n_tokens^2 times the share of tokens that chose both, less what independent choices
 * would give: a whole number, so that there is a strict order; of fewer than 2^31 tokens
 * it fits. */
static int64_t excess(const struct layer *l, int64_t a, int64_t b)
{
    return l->both[a * l->n_experts + b] * l->n_tokens - l->chosen[a] * l->chosen[b];
}

static struct ol_expert_pair describe_pair(const struct layer *l, int64_t a, int64_t b)
{
    const double n = (double)l->n_tokens, in_a = (double)l->chosen[a],
                 in_b = (double)l->chosen[b],
                 both = (double)l->both[a * l->n_experts + b];
    return (struct ol_expert_pair){.a = a,
                                   .b = b,
                                   .n_both = l->both[a * l->n_experts + b],
                                   .share_a = both / in_a,
                                   .share_b = both / in_b,
                                   .lift = both * n / (in_a * in_b),
                                   .excess = (double)excess(l, a, b) / (n * n)};
}

/* Of equal excess the pair of the lower numbers. */
static void describe_pairs(const struct layer *l, struct ol_list *list)
{
    struct ol_expert_pair *pairs = list->items;
    for (int64_t a = 0; a < l->n_experts; a++)
        for (int64_t b = a + 1; b < l->n_experts; b++) {
            const int64_t found = excess(l, a, b);
            if (found <= 0 ||
                (list->n == MOST_PAIRS &&
                 found <= excess(l, pairs[MOST_PAIRS - 1].a, pairs[MOST_PAIRS - 1].b)))
                continue;
            int64_t at = list->n;
            for (; at > 0 && excess(l, pairs[at - 1].a, pairs[at - 1].b) < found; at--)
                pairs[at] = pairs[at - 1];
            pairs[at] = describe_pair(l, a, b);
            list->n += list->n < MOST_PAIRS;
        }
}

static void describe_layer(void *arg, int64_t i, int thread)
{
    (void)thread;
    struct work *w = arg;
    const struct ol_parts *parts = w->a->parts;
    struct layer l = {.n_experts = ol_parts_info(parts)->model.n_experts};
    const size_t n = (size_t)l.n_experts;
    l.chosen = ol_xcalloc(n, sizeof(int64_t));
    l.order = ol_xcalloc(n, sizeof(int64_t));
    l.rank = ol_xcalloc(n, sizeof(int64_t));
    l.last = ol_xcalloc(n, sizeof(int64_t));
    l.both = ol_xcalloc(n * n, sizeof(int64_t));
    each_token(parts, w->i_layers[i], &l, count_token);
    sort(&l);
    each_token(parts, w->i_layers[i], &l, place_token);
    w->layers[i].layer = ol_parts_layout(parts)->layers[w->i_layers[i]].number;
    w->layers[i].n_tokens = l.n_tokens;
    describe_committee(&l, &w->layers[i].committee);
    describe_coverage(&l, &w->layers[i]);
    describe_pairs(&l, &w->layers[i].pairs);
    free(l.both);
    free(l.last);
    free(l.rank);
    free(l.order);
    free(l.chosen);
}

static bool results(const struct ol_analysis *a, void *state, void *block,
                    struct ol_arena *arena)
{
    (void)state;
    const struct ol_activation_layout *layout = ol_parts_layout(a->parts);
    struct ol_co_activation *to = block;
    int *i_layers = ol_arena_calloc(arena, (size_t)layout->n_layers, sizeof *i_layers);
    int64_t n = 0;
    for (int l = 0; l < layout->n_layers; l++)
        if (layout->layers[l].top_k > 0)
            i_layers[n++] = l;
    struct ol_co_layer *layers = ol_list_new(&to->layers, n, sizeof *layers, arena);
    to->n_experts = ol_parts_info(a->parts)->model.n_experts;
    to->min_share = min_share;
    for (int64_t i = 0; i < n; i++) /* before the threads, which share no arena */
        make_room(&layers[i], to->n_experts, arena);
    ol_pool_run(a->pool, n, describe_layer, &(struct work){a, i_layers, layers});
    return n > 0;
}

const struct ol_statistic ol_co_activation_statistic = {.name = "co_activation",
                                                        .results = results};
