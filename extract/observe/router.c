/* The router's choices. */
#include "extract/observe/observer.h"

static bool wants(const struct ol_observed *what,
                  const struct ol_activation_layer *recorded, enum ol_point point)
{
    (void)what;
    return point == OL_POINT_ROUTER && recorded != NULL && recorded->top_k > 0;
}

static int take(void *shared, const struct ol_writer_job *job, struct ol_error *err)
{
    const struct ol_recording *r = shared;
    const int top_k = r->to.spec->router.top_k;
    const uint16_t *ids = job->data;
    const float *weights = job->more;
    struct ol_row_span s = {0};
    while (ol_recording_next_span(r, job, &s)) {
        const struct ol_activation_rows rows = {s.sequence, s.token, s.n};
        if (ol_activation_put(r->file, OL_TABLE_ROUTER_IDS, job->layer, &rows,
                              ids + s.row * top_k, err) != 0 ||
            ol_activation_put(r->file, OL_TABLE_ROUTER_WEIGHTS, job->layer, &rows,
                              weights + s.row * top_k, err) != 0)
            return -1;
    }
    return 0;
}

static int see(void *self, const struct ol_view *view, struct ol_error *err)
{
    const struct ol_observer_context *c = self;
    const size_t n = (size_t)c->what.n_rows * (size_t)c->what.spec->router.top_k;
    uint16_t *ids = ol_xcalloc(n, sizeof *ids);
    float *weights = ol_xcalloc(n, sizeof *weights);
    memcpy(ids, view->ids, n * sizeof *ids);
    memcpy(weights, view->values, n * sizeof *weights);
    struct ol_writer_job job =
        ol_observer_job(c, view->layer, OL_STAGE_MLP, 0, c->what.n_rows);
    job.take = take;
    job.shared = c->recording;
    job.data = ids;
    job.more = weights;
    return ol_observer_put(c, &job, err);
}

const struct ol_observer ol_observe_router = {
    .name = "router", .wants = wants, .see = see};
