#include "analyze/statistics.h"

#include <string.h>

/* One line each, in the order of the results. */
/* clang-format off */
#define STATISTICS(S)      \
    S(perplexity)          \
    S(llm_int8)            \
    S(uncertainty)         \
    S(sweep)               \
    S(onset)               \
    S(phase_shift)         \
    S(tokens)              \
    S(positions)           \
    S(position_map)        \
    S(sites)               \
    S(distributions)       \
    S(quantisation)        \
    S(expert_quantisation) \
    S(massive)             \
    S(super_experts)       \
    S(attribution)         \
    S(links)               \
    S(router)              \
    S(ablation)            \
    S(co_activation)       \
    S(generators)          \
    S(fp4)                 \
    S(choices)             \
    S(attention_sinks)     \
    S(residual_sinks)      \
    S(steps)               \
    S(expert_flips)        \
    S(head_outputs)        \
    S(residual_streams)

#define DECLARE(name) extern const struct ol_statistic ol_##name##_statistic;
STATISTICS(DECLARE)
#define ADDRESS(name) &ol_##name##_statistic,
const struct ol_statistic *const ol_statistics[] = {STATISTICS(ADDRESS) NULL};
/* clang-format on */

_Static_assert(sizeof ol_statistics / sizeof ol_statistics[0] <= OL_MAX_STATISTICS + 1,
               "statistics have no room in ol_chosen");

static int refuse(const char *name, size_t n, struct ol_error *err)
{
    char all[512] = "";
    for (int i = 0; ol_statistics[i] != NULL; i++) {
        strncat(all, i > 0 ? ", " : "", sizeof all - strlen(all) - 1);
        strncat(all, ol_statistics[i]->name, sizeof all - strlen(all) - 1);
    }
    return ol_fail(err, "--statistics: there is no '%.*s'; there are %s", (int)n, name,
                   all);
}

int ol_statistics_choose(const char *names, struct ol_chosen *chosen,
                         struct ol_error *err)
{
    *chosen = (struct ol_chosen){{false}};
    for (int i = 0; names == NULL && ol_statistics[i] != NULL; i++)
        chosen->statistics[i] = true;
    while (names != NULL) {
        const char *comma = strchr(names, ',');
        const size_t n = comma != NULL ? (size_t)(comma - names) : strlen(names);
        int i = 0;
        while (ol_statistics[i] != NULL &&
               (strlen(ol_statistics[i]->name) != n ||
                memcmp(ol_statistics[i]->name, names, n) != 0))
            i++;
        if (ol_statistics[i] == NULL)
            return refuse(names, n, err);
        chosen->statistics[i] = true;
        names = comma != NULL ? comma + 1 : NULL;
    }
    return 0;
}
