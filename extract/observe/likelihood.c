/* Negative log-likelihoods of tokens. */
#include "extract/observe/observer.h"

static bool wants(const struct ol_observed *what,
                  const struct ol_activation_layer *recorded, enum ol_point point)
{
    (void)recorded;
    return point == OL_POINT_LIKELIHOOD && what->layout->nll;
}

static int see(void *self, const struct ol_view *view, struct ol_error *err)
{
    const struct ol_observer_context *c = self;
    const size_t n = (size_t)c->what.n_rows;
    float *nll = ol_xcalloc(n, sizeof *nll);
    memcpy(nll, view->values, n * sizeof *nll);
    const struct ol_writer_rows at = ol_observer_rows(c, view->layer, 0, c->what.n_rows);
    return ol_writer_take_nll(c->writer, &at, nll, err);
}

const struct ol_observer ol_observe_likelihood = {
    .name = "likelihood", .wants = wants, .see = see};
