/* The observers there are, and the taps that ask them. */
#include "extract/observe/observer.h"

#include <stdlib.h>

/* One line each. The states are last: they speak for everything that was recorded before
 * them. */
/* clang-format off */
#define OBSERVERS(O)   \
    O(sites)           \
    O(router)          \
    O(contributions)   \
    O(down_inputs)     \
    O(input_squares)   \
    O(summaries)       \
    O(heads)           \
    O(likelihood)      \
    O(arms)            \
    O(mixed_heads)     \
    O(streams)         \
    O(rounded)         \
    O(states)

#define DECLARE(name) extern const struct ol_observer ol_observe_##name;
OBSERVERS(DECLARE)
#define ADDRESS(name) &ol_observe_##name,
const struct ol_observer *const ol_observers[] = {OBSERVERS(ADDRESS) NULL};
/* clang-format on */

enum { MOST_OBSERVERS = sizeof ol_observers / sizeof ol_observers[0] - 1 };

struct ol_taps {
    struct ol_observer_context context;
    void *selves[MOST_OBSERVERS];
    uint32_t of_arms; /* bit i: observer i looks at arms */
    uint32_t *wanted; /* [n_layers + 1][OL_N_POINTS]: bit i, by observer i */
};

/* ---- what is wanted ---- */

const struct ol_activation_layer *ol_observed_layer(const struct ol_observed *what,
                                                    int layer)
{
    for (int i = 0; i < what->layout->n_layers; i++)
        if (what->layout->layers[i].number == layer)
            return &what->layout->layers[i];
    return NULL;
}

static uint32_t who_wants(const struct ol_observed *what, int layer, enum ol_point point)
{
    const struct ol_activation_layer *recorded = ol_observed_layer(what, layer);
    uint32_t who = 0;
    for (int i = 0; i < MOST_OBSERVERS; i++)
        if (ol_observers[i]->wants != NULL &&
            ol_observers[i]->wants(what, recorded, point))
            who |= (uint32_t)1 << i;
    return who;
}

bool ol_observers_want(const struct ol_observed *what, int layer, enum ol_point point)
{
    return who_wants(what, layer, point) != 0;
}

void ol_observers_extent(const struct ol_observed *what, struct ol_forward_input *in)
{
    const int n_layers = what->spec->n_layers;
    in->likelihood = ol_observers_want(what, n_layers, OL_POINT_LIKELIHOOD);
    in->last_layer = in->likelihood ? n_layers - 1 : 0;
    in->last_whole = in->likelihood;
    for (int l = 0; l < n_layers; l++)
        for (int point = 0; point < OL_N_POINTS; point++)
            if (ol_observers_want(what, l, (enum ol_point)point)) {
                if (l > in->last_layer)
                    in->last_whole = in->likelihood;
                in->last_layer = l > in->last_layer ? l : in->last_layer;
                in->last_whole |= point > OL_POINT_ROUTER;
            }
}

int64_t ol_observers_bytes(const struct ol_observed *what)
{
    int64_t bytes = 0;
    for (int i = 0; i < MOST_OBSERVERS; i++)
        if (ol_observers[i]->bytes != NULL)
            bytes += ol_observers[i]->bytes(what);
    return bytes;
}

int64_t ol_observers_backend_bytes(const struct ol_observed *what)
{
    int64_t bytes = 0;
    for (int i = 0; i < MOST_OBSERVERS; i++)
        if (ol_observers[i]->backend_bytes != NULL)
            bytes += ol_observers[i]->backend_bytes(what);
    return bytes;
}

int64_t ol_observers_result_bytes(const struct ol_observed *what)
{
    int64_t bytes = 0;
    for (int i = 0; i < MOST_OBSERVERS; i++)
        if (ol_observers[i]->result_bytes != NULL)
            bytes += ol_observers[i]->result_bytes(what);
    return bytes;
}

bool ol_taps_want(const struct ol_taps *taps, int layer, enum ol_point point)
{
    return taps->wanted[(size_t)layer * OL_N_POINTS + point] != 0;
}

/* ---- life ---- */

struct ol_taps *ol_taps_new(const struct ol_observer_context *context)
{
    struct ol_taps *taps = ol_xcalloc(1, sizeof *taps);
    const int n_layers = context->what.spec->n_layers;
    taps->context = *context;
    taps->context.pending = ol_pending_new(context->backend, context->writer);
    taps->wanted = ol_xcalloc((size_t)(n_layers + 1) * OL_N_POINTS, sizeof *taps->wanted);
    uint32_t asked = 0;
    for (int l = 0; l <= n_layers; l++)
        for (int point = 0; point < OL_N_POINTS; point++)
            asked |= taps->wanted[l * OL_N_POINTS + point] =
                who_wants(&context->what, l, (enum ol_point)point);
    for (int i = 0; i < MOST_OBSERVERS; i++) {
        const struct ol_observer *o = ol_observers[i];
        taps->of_arms |= (uint32_t)o->of_arms << i;
        if (o->new == NULL)
            taps->selves[i] = &taps->context;
        else if (o->wants == NULL || (asked >> i & 1) != 0)
            taps->selves[i] = o->new (&taps->context);
    }
    return taps;
}

void ol_taps_free(struct ol_taps *taps)
{
    if (taps == NULL)
        return;
    ol_pending_free(taps->context.pending);
    for (int i = 0; i < MOST_OBSERVERS; i++)
        if (ol_observers[i]->free != NULL && taps->selves[i] != NULL)
            ol_observers[i]->free(taps->selves[i]);
    free(taps->wanted);
    free(taps);
}

/* ---- what is told ---- */

int ol_tap(struct ol_taps *taps, const struct ol_view *view, struct ol_error *err)
{
    uint32_t who = taps->wanted[(size_t)view->layer * OL_N_POINTS + view->point] &
                   (view->arm > 0 ? taps->of_arms : ~taps->of_arms);
    for (; who != 0; who &= who - 1) {
        const int i = __builtin_ctz(who);
        if (ol_observers[i]->see(taps->selves[i], view, err) != 0)
            return -1;
    }
    return 0;
}

int ol_taps_settle(struct ol_taps *taps, struct ol_error *err)
{
    if (ol_pending_flush(taps->context.pending, err) != 0)
        return -1;
    for (int i = 0; i < MOST_OBSERVERS; i++)
        if (ol_observers[i]->settle != NULL && taps->selves[i] != NULL &&
            ol_observers[i]->settle(taps->selves[i], err) != 0)
            return -1;
    return 0;
}

int ol_taps_begin_layer(struct ol_taps *taps, int layer, struct ol_error *err)
{
    for (int i = 0; i < MOST_OBSERVERS; i++)
        if (ol_observers[i]->begin_layer != NULL && taps->selves[i] != NULL &&
            ol_observers[i]->begin_layer(taps->selves[i], layer, err) != 0)
            return -1;
    return 0;
}

int ol_taps_end_layer(struct ol_taps *taps, int layer, struct ol_tensor stream,
                      struct ol_error *err)
{
    for (int i = 0; i < MOST_OBSERVERS; i++)
        if (ol_observers[i]->end_layer != NULL && taps->selves[i] != NULL &&
            ol_observers[i]->end_layer(taps->selves[i], layer, stream, err) != 0)
            return -1;
    return taps->context.backend->op->results_send(taps->context.backend, err);
}
