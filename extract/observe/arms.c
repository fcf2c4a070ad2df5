/* What is recorded of the arms of an ablation: the occurrences at the ln sites, and the
 * likelihoods. */
#include "extract/observe/arms.h"

#include <math.h>
#include <stdlib.h>

#include "common/magnitude.h"
#include "extract/observe/arm_tally.h"
#include "extract/observe/observer.h"

extern const struct ol_observer ol_observe_arms;

static enum ol_summary_site site_at(enum ol_point point)
{
    return point == OL_POINT_LN_ATTN  ? OL_SUMMARY_LN_ATTN
           : point == OL_POINT_LN_MLP ? OL_SUMMARY_LN_MLP
                                      : OL_N_SUMMARY_SITES;
}

static bool wants(const struct ol_observed *what,
                  const struct ol_activation_layer *recorded, enum ol_point point)
{
    const enum ol_summary_site site = site_at(point);
    if (what->layout->n_arms == 0)
        return false;
    return point == OL_POINT_LIKELIHOOD ||
           (recorded != NULL && site < OL_SUMMARY_OUTPUT &&
            recorded->summary_sites[site]);
}

static int64_t bytes(const struct ol_observed *what)
{
    return what->layout->n_arms > 0 ? ol_arm_tally_bytes(what->layout) : 0;
}

/* ---- in the writer's thread ---- */

/* What a job is about, behind its data. */
struct place {
    int arm;
    enum ol_summary_site site;
    int64_t sequence;
};

static void *share(const struct ol_recording *recording)
{
    const struct ol_activation_layout *layout = recording->to.layout;
    return layout->n_arms > 0 ? ol_arm_tally_new(layout) : NULL;
}

static void unshare(void *shared)
{
    ol_arm_tally_free(shared);
}

static size_t saved_bytes(const struct ol_activation_layout *layout, int64_t n_values)
{
    (void)n_values;
    return layout->n_arms > 0 ? (size_t)ol_arm_tally_bytes(layout) : 0;
}

static void save(const void *shared, void **kept, size_t *n)
{
    ol_arm_tally_save(shared, kept, n);
}

static int restore(void *shared, const void *kept, size_t n, struct ol_error *err)
{
    return ol_arm_tally_restore(shared, kept, n, err);
}

static int take_digest(void *shared, const struct ol_writer_job *job,
                       struct ol_error *err)
{
    (void)err;
    const struct place *at = job->more;
    ol_arm_tally_add(shared, at->arm, job->layer, at->site, at->sequence, job->data);
    return 0;
}

static int take_nll(void *shared, const struct ol_writer_job *job, struct ol_error *err)
{
    (void)err;
    const struct place *at = job->more;
    ol_arm_tally_add_nll(shared, at->arm, at->sequence, job->n, job->data);
    return 0;
}

const struct ol_activation_arms *ol_arms_recorded(const struct ol_recording *r)
{
    const struct ol_arm_tally *tally = ol_recording_shared(r, &ol_observe_arms);
    return tally != NULL ? ol_arm_tally_arms(tally) : NULL;
}

double ol_arms_mean_nll(const struct ol_recording *r, int arm, int64_t *n)
{
    const struct ol_activation_layout *layout = r->to.layout;
    const int64_t n_tokens = layout->n_sequences * layout->n_tokens;
    const float *nll = ol_arms_recorded(r)->nll + arm * n_tokens;
    double sum = 0;
    *n = 0;
    for (int64_t i = 0; i < n_tokens; i++)
        if (!isnan(nll[i])) {
            sum += (double)nll[i];
            ++*n;
        }
    return sum / (double)*n;
}

/* ---- in the pass ---- */

static int hand_over(const struct ol_observer_context *c, struct ol_writer_job *job,
                     struct place at, struct ol_error *err)
{
    struct place *place = ol_xmalloc(sizeof *place);
    *place = at;
    job->shared = ol_recording_shared(c->recording, &ol_observe_arms);
    job->more = place;
    return ol_observer_put(c, job, err);
}

static int digest(const struct ol_observer_context *c, int layer, struct place at,
                  struct ol_tensor rows, struct ol_error *err)
{
    const size_t size = ol_digest_bytes(rows.n_rows, rows.n_cols);
    struct ol_writer_job job = ol_observer_job(
        c, layer, at.site == OL_SUMMARY_LN_ATTN ? OL_STAGE_ATTENTION : OL_STAGE_MLP, 0,
        rows.n_rows);
    void *room = ol_observer_room(c, size, err);
    if (room == NULL)
        return -1;
    struct ol_digest *d = ol_digest_in(room, rows.n_rows, rows.n_cols);
    if (c->backend->op->digest_begin(
            c->backend, rows, ol_least_bf16(c->what.layout->threshold), d, err) != 0 ||
        c->backend->op->results_wait(c->backend, c->backend->n_results, err) != 0) {
        free(d);
        return -1;
    }
    job.take = take_digest;
    job.data = d;
    job.bytes = size;
    return hand_over(c, &job, at, err);
}

/* The histogram that the backend keeps is of the next site's baseline. */
static int forget_counts(const struct ol_observer_context *c, struct ol_error *err)
{
    int64_t *counts = ol_xcalloc(OL_N_CODES, sizeof *counts);
    const int status =
        c->backend->op->histogram_begin(c->backend, counts, err) != 0 ||
                c->backend->op->results_wait(c->backend, c->backend->n_results, err) != 0
            ? -1
            : 0;
    free(counts);
    return status;
}

static int see_site(const struct ol_observer_context *c, const struct ol_view *view,
                    struct ol_error *err)
{
    const int32_t *length = view->lengths;
    int64_t sequence = view->first_sequence;
    for (int64_t row = 0; row < view->x.n_rows; row += *length++, sequence++) {
        const struct place at = {view->arm - 1, site_at(view->point), sequence};
        if (digest(c, view->layer, at, ol_tensor_rows(view->x, row, *length), err) != 0)
            return -1;
    }
    return forget_counts(c, err);
}

static int see_likelihoods(const struct ol_observer_context *c,
                           const struct ol_view *view, struct ol_error *err)
{
    const float *nll = view->values;
    for (int64_t s = 0; s < c->what.n_sequences; s++) {
        const struct place at = {view->arm - 1, OL_N_SUMMARY_SITES, s};
        const int64_t n = view->lengths[s];
        struct ol_writer_job job =
            ol_observer_job(c, view->layer, OL_STAGE_ATTENTION, 0, n);
        float *copy = ol_xcalloc((size_t)n, sizeof *copy);
        memcpy(copy, nll, (size_t)n * sizeof *copy);
        nll += n;
        job.take = take_nll;
        job.data = copy;
        if (hand_over(c, &job, at, err) != 0)
            return -1;
    }
    return 0;
}

static int see(void *self, const struct ol_view *view, struct ol_error *err)
{
    return view->point == OL_POINT_LIKELIHOOD ? see_likelihoods(self, view, err)
                                              : see_site(self, view, err);
}

const struct ol_observer ol_observe_arms = {
    .name = "arms",
    .of_arms = true,
    .wants = wants,
    .bytes = bytes,
    .see = see,
    .share = share,
    .unshare = unshare,
    .saved_bytes = saved_bytes,
    .save = save,
    .restore = restore,
};
