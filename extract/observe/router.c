/* The router's choices. */
#include "extract/observe/observer.h"

static bool wants(const struct ol_observed *what,
                  const struct ol_activation_layer *recorded, enum ol_point point)
{
    (void)what;
    return point == OL_POINT_ROUTER && recorded != NULL && recorded->top_k > 0;
}

static int see(void *self, const struct ol_view *view, struct ol_error *err)
{
    const struct ol_observer_context *c = self;
    const size_t n = (size_t)c->what.n_rows * (size_t)c->what.spec->router.top_k;
    uint16_t *ids = ol_xcalloc(n, sizeof *ids);
    float *weights = ol_xcalloc(n, sizeof *weights);
    memcpy(ids, view->ids, n * sizeof *ids);
    memcpy(weights, view->values, n * sizeof *weights);
    const struct ol_writer_rows at = ol_observer_rows(c, view->layer, 0, c->what.n_rows);
    return ol_writer_take_router(c->writer, &at, ids, weights, err);
}

const struct ol_observer ol_observe_router = {
    .name = "router", .wants = wants, .see = see};
