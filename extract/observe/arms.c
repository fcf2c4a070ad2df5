/* What is recorded of the arms of an ablation: the occurrences at the ln sites, and the
 * likelihoods. */
#include "extract/observe/arms.h"

#include <math.h>
#include <stdlib.h>

#include "common/magnitude.h"
#include "extract/observe/arm_tally.h"
#include "extract/observe/held.h"

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

/* Of a site. */
static int64_t result_bytes(const struct ol_observed *what)
{
    const int n = what->layout->n_arms;
    return ol_held_result_bytes(what->spec, n * what->n_sequences, n * what->n_rows);
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

struct arms {
    struct ol_observer_context c;
    struct ol_held held;
};

static void *new (const struct ol_observer_context *context)
{
    struct arms *a = ol_xcalloc(1, sizeof *a);
    a->c = *context;
    return a;
}

static void free_all(void *self)
{
    struct arms *a = self;
    ol_held_clear(&a->held);
    free(a);
}

static int settle(void *self, struct ol_error *err)
{
    struct arms *a = self;
    return ol_held_settle(&a->held, &a->c, err);
}

/* About n rows of that place. */
static struct ol_writer_job job_of(const struct arms *a, int layer,
                                   enum ol_writer_stage stage, struct place at, int64_t n)
{
    struct ol_writer_job job = ol_observer_job(&a->c, layer, stage, 0, n);
    struct place *place = ol_xmalloc(sizeof *place);
    *place = at;
    job.shared = ol_recording_shared(a->c.recording, &ol_observe_arms);
    job.more = place;
    return job;
}

static int digest(struct arms *a, int layer, struct place at, struct ol_tensor rows,
                  struct ol_error *err)
{
    struct ol_backend *b = a->c.backend;
    if (a->held.n == OL_MOST_HELD && settle(a, err) != 0)
        return -1;
    struct ol_writer_job job = job_of(
        a, layer, at.site == OL_SUMMARY_LN_ATTN ? OL_STAGE_ATTENTION : OL_STAGE_MLP, at,
        rows.n_rows);
    job.take = take_digest;
    const struct ol_writer_job *added = ol_held_add(
        &a->held, &a->c, &job, ol_digest_bytes(rows.n_rows, rows.n_cols), err);
    if (added == NULL) {
        ol_writer_job_free(&job);
        return -1;
    }
    struct ol_digest *d = ol_digest_in(added->data, rows.n_rows, rows.n_cols);
    /* The histogram that the backend keeps is the baseline's. */
    d->uncounted = true;
    if (b->op->digest_begin(b, rows, ol_least_bf16(a->c.what.layout->threshold), d,
                            err) != 0)
        return -1;
    a->held.until = b->n_results;
    return 0;
}

static int see_site(struct arms *a, const struct ol_view *view, struct ol_error *err)
{
    const int32_t *length = view->lengths;
    int64_t sequence = view->first_sequence;
    for (int64_t row = 0; row < view->x.n_rows; row += *length++, sequence++) {
        const struct place at = {view->arm - 1, site_at(view->point), sequence};
        if (digest(a, view->layer, at, ol_tensor_rows(view->x, row, *length), err) != 0)
            return -1;
    }
    return 0;
}

static int see_likelihoods(const struct arms *a, const struct ol_view *view,
                           struct ol_error *err)
{
    const float *nll = view->values;
    for (int64_t s = 0; s < a->c.what.n_sequences; s++) {
        const struct place at = {view->arm - 1, OL_N_SUMMARY_SITES, s};
        const int64_t n = view->lengths[s];
        struct ol_writer_job job = job_of(a, view->layer, OL_STAGE_ATTENTION, at, n);
        float *copy = ol_xcalloc((size_t)n, sizeof *copy);
        memcpy(copy, nll, (size_t)n * sizeof *copy);
        nll += n;
        job.take = take_nll;
        job.data = copy;
        if (ol_observer_put(&a->c, &job, err) != 0)
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
    .result_bytes = result_bytes,
    .new = new,
    .free = free_all,
    .see = see,
    .settle = settle,
    .share = share,
    .unshare = unshare,
    .saved_bytes = saved_bytes,
    .save = save,
    .restore = restore,
};
