/* Negative log-likelihoods of tokens. */
#include "extract/observe/likelihood.h"

#include <math.h>
#include <stdlib.h>

#include "extract/observe/observer.h"

struct sum {
    const struct ol_recording *recording;
    double nll;
    int64_t n;
};

static bool wants(const struct ol_observed *what,
                  const struct ol_activation_layer *recorded, enum ol_point point)
{
    (void)recorded;
    return point == OL_POINT_LIKELIHOOD && what->layout->nll;
}

extern const struct ol_observer ol_observe_likelihood;

static void *share(const struct ol_recording *recording)
{
    struct sum *sum = ol_xcalloc(1, sizeof *sum);
    sum->recording = recording;
    return sum;
}

/* Whole sequences. */
static int take(void *shared, const struct ol_writer_job *job, struct ol_error *err)
{
    struct sum *sum = shared;
    const struct ol_recording *r = sum->recording;
    const int64_t n_tokens = r->to.layout->n_tokens;
    float *row = ol_xmalloc((size_t)n_tokens * sizeof *row);
    struct ol_row_span s = {0};
    int status = 0;
    while (status == 0 && ol_recording_next_span(r, job, &s)) {
        memcpy(row, (const float *)job->data + s.row, (size_t)s.n * sizeof *row);
        for (int64_t t = 1; t < s.n; t++, sum->n++)
            sum->nll += (double)row[t];
        for (int64_t t = s.n; t < n_tokens; t++)
            row[t] = NAN;
        const struct ol_activation_rows rows = {s.sequence, 0, n_tokens};
        status = ol_activation_put(r->file, OL_TABLE_NLL, 0, &rows, row, err);
    }
    free(row);
    return status;
}

double ol_likelihood_mean(const struct ol_recording *r, int64_t *n)
{
    const struct sum *sum = ol_recording_shared(r, &ol_observe_likelihood);
    *n = sum->n;
    return sum->nll / (double)sum->n;
}

static int see(void *self, const struct ol_view *view, struct ol_error *err)
{
    const struct ol_observer_context *c = self;
    const size_t n = (size_t)c->what.n_rows;
    float *nll = ol_xcalloc(n, sizeof *nll);
    memcpy(nll, view->values, n * sizeof *nll);
    struct ol_writer_job job =
        ol_observer_job(c, view->layer, OL_STAGE_ATTENTION, 0, c->what.n_rows);
    job.take = take;
    job.shared = ol_recording_shared(c->recording, &ol_observe_likelihood);
    job.data = nll;
    return ol_observer_put(c, &job, err);
}

const struct ol_observer ol_observe_likelihood = {
    .name = "likelihood", .wants = wants, .see = see, .share = share, .unshare = free};
