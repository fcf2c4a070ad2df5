/* What summaries keep of sites and of the stream after a layer (digest.h): gathered where
 * the rows are, sequence by sequence. */
#include "extract/observe/summaries.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "common/magnitude.h"
#include "extract/observe/held.h"
#include "extract/observe/summary.h"

extern const struct ol_observer ol_observe_summaries;

static enum ol_summary_site site_at(enum ol_point point)
{
    return point == OL_POINT_LN_ATTN        ? OL_SUMMARY_LN_ATTN
           : point == OL_POINT_LN_MLP       ? OL_SUMMARY_LN_MLP
           : point == OL_POINT_RESIDUAL_OUT ? OL_SUMMARY_OUTPUT
                                            : OL_N_SUMMARY_SITES;
}

static bool wants(const struct ol_observed *what,
                  const struct ol_activation_layer *recorded, enum ol_point point)
{
    (void)what;
    const enum ol_summary_site site = site_at(point);
    return recorded != NULL && site < OL_N_SUMMARY_SITES && recorded->summary_sites[site];
}

/* Digests of the stream that are left on a device at a time. */
enum { MOST_STREAM_PENDING = 256 };

/* Of the stream after a layer, which has no occurrences. */
static int64_t stream_digest_bytes(const struct ol_observed *what)
{
    return (int64_t)ol_digest_bytes(0, what->spec->d_model);
}

static int64_t bytes(const struct ol_observed *what)
{
    return what->layout->summary
               ? ol_summary_bytes(what->n_rows, what->spec->d_model, what->n_sequences) +
                     what->n_sequences * stream_digest_bytes(what)
               : 0;
}

/* Those of a site come together, or those of the stream. */
static int64_t result_bytes(const struct ol_observed *what)
{
    const int64_t d = what->spec->d_model, n = what->n_sequences,
                  n_stream = n < MOST_STREAM_PENDING ? n : MOST_STREAM_PENDING,
                  one = ol_result_bytes((int64_t)ol_digest_result_bytes(d, 0)),
                  counts = ol_result_bytes(OL_HISTOGRAM_RESULT_BYTES),
                  site = ol_held_result_bytes(what->spec, n, what->n_rows),
                  stream = n_stream * one;
    return what->layout->summary ? (site > stream ? site : stream) + counts : 0;
}

/* ---- in the writer's thread ---- */

/* Behind a site's counts lie the gains of its norm, [d_model]: read in the pass, while
 * the weight is there. */
static float *gains_in(void *counts)
{
    void *behind = (int64_t *)counts + OL_N_CODES;
    return behind;
}

/* What a norm multiplies by, NaN where it adds something too. */
static void read_gains(const struct ol_recording *r, enum ol_role role, int layer,
                       float *gains)
{
    const struct ol_weight w = ol_weights_get(r->to.weights, role, layer, 0);
    const size_t d = (size_t)r->to.spec->d_model, size = ol_dtype_size(w.dtype);
    for (size_t c = 0; c < d; c++) {
        gains[c] = r->to.spec->norm == OL_NORM_LAYER ? NAN : 1;
        if (w.data == NULL || isnan(gains[c]))
            continue;
        float value;
        ol_to_f32(w.dtype, (const char *)w.data + c * (size_t)w.col_step * size, &value,
                  1);
        gains[c] = r->to.spec->norm == OL_NORM_RMS_OFFSET ? 1 + value : value;
    }
}

struct shared {
    const struct ol_recording *recording;
    struct ol_summary *summary;
};

static void *share(const struct ol_recording *recording)
{
    if (!recording->to.layout->summary)
        return NULL;
    struct shared *s = ol_xcalloc(1, sizeof *s);
    s->recording = recording;
    s->summary = ol_summary_new(recording->to.layout);
    return s;
}

static void unshare(void *shared)
{
    struct shared *s = shared;
    ol_summary_free(s->summary);
    free(s);
}

static void save(const void *shared, void **kept, size_t *n)
{
    ol_summary_save(((const struct shared *)shared)->summary, kept, n);
}

static int restore(void *shared, const void *kept, size_t n, struct ol_error *err)
{
    return ol_summary_restore(((struct shared *)shared)->summary, kept, n, err);
}

/* Of one sequence. */
static int take_digest(void *shared, const struct ol_writer_job *job,
                       struct ol_error *err)
{
    (void)err;
    struct shared *s = shared;
    struct ol_row_span span = {0};
    ol_recording_next_span(s->recording, job, &span);
    assert(span.token == 0 && span.n == job->n &&
           span.n == s->recording->to.lengths[span.sequence]);
    ol_summary_add(s->summary, span.sequence, job->data);
    return 0;
}

/* After a site's digests; the last rows' complete its summary. */
static int take_counts(void *shared, const struct ol_writer_job *job,
                       struct ol_error *err)
{
    struct shared *s = shared;
    const struct ol_recording *r = s->recording;
    const enum ol_summary_site site = (enum ol_summary_site)job->what;
    ol_summary_add_counts(s->summary, job->data);
    if (!ol_recording_is_last(r, job))
        return 0;
    const bool normed = site != OL_SUMMARY_OUTPUT;
    struct ol_activation_summary summary =
        *ol_summary_site(s->summary, normed ? gains_in(job->data) : NULL);
    if (!normed)
        summary.counts = NULL, summary.maxima = NULL;
    return ol_activation_put_summary(r->file, job->layer, site, &summary, err);
}

void ol_summaries_outliers(const struct ol_recording *r, struct ol_activation_outliers *o)
{
    const struct shared *s = ol_recording_shared(r, &ol_observe_summaries);
    ol_summary_outliers(s->summary, o);
}

/* ---- in the pass ---- */

struct summaries {
    struct ol_observer_context c;
    struct ol_held held; /* digests, and behind a site's last its counts */
};

static void *new (const struct ol_observer_context *context)
{
    struct summaries *s = ol_xcalloc(1, sizeof *s);
    s->c = *context;
    return s;
}

static void free_all(void *self)
{
    struct summaries *s = self;
    ol_held_clear(&s->held);
    free(s);
}

static int settle(void *self, struct ol_error *err)
{
    struct summaries *s = self;
    return ol_held_settle(&s->held, &s->c, err);
}

/* The stream is not looked at again. */
static int put_later(struct summaries *s, struct ol_error *err)
{
    return ol_held_put(&s->held, &s->c, ol_observer_later, err);
}

/* A job about n rows of a site from `first` on, with room for what is made of them; NULL
 * with err. It is pending from then on. */
static struct ol_writer_job *begin(struct summaries *s, const struct ol_view *view,
                                   int64_t first, int64_t n, size_t bytes,
                                   struct ol_error *err)
{
    static const enum ol_writer_stage stages[OL_N_SUMMARY_SITES] = {
        [OL_SUMMARY_LN_ATTN] = OL_STAGE_ATTENTION,
        [OL_SUMMARY_LN_MLP] = OL_STAGE_MLP,
        [OL_SUMMARY_OUTPUT] = OL_STAGE_OUTPUT};
    const enum ol_summary_site site = site_at(view->point);
    if (s->held.n == OL_MOST_HELD &&
        (site == OL_SUMMARY_OUTPUT ? put_later(s, err) : settle(s, err)) != 0)
        return NULL;
    struct ol_writer_job job =
        ol_observer_job(&s->c, view->layer, stages[site], first, n);
    job.shared = ol_recording_shared(s->c.recording, &ol_observe_summaries);
    job.what = (int)site;
    return ol_held_add(&s->held, &s->c, &job, bytes, err);
}

/* Of one sequence. */
static int digest(struct summaries *s, const struct ol_view *view, int64_t row,
                  int32_t length, struct ol_error *err)
{
    /* In the stream itself nothing is an occurrence. */
    const uint32_t least = site_at(view->point) == OL_SUMMARY_OUTPUT
                               ? 0
                               : ol_least_bf16(s->c.what.layout->threshold);
    const struct ol_tensor rows = ol_tensor_rows(view->x, row, length);
    const size_t bytes = ol_digest_bytes(least > 0 ? rows.n_rows : 0, rows.n_cols);
    struct ol_writer_job *job = begin(s, view, view->first + row, length, bytes, err);
    if (job == NULL)
        return -1;
    job->take = take_digest;
    struct ol_backend *b = s->c.backend;
    struct ol_digest *room = ol_digest_in(job->data, rows.n_rows, rows.n_cols);
    if (least == 0)
        room->most_occurrences = 0;
    if (b->op->digest_begin(b, rows, least, room, err) != 0)
        return -1;
    s->held.until = b->n_results;
    return 0;
}

/* Behind a site's last digest. */
static int count(struct summaries *s, const struct ol_view *view, struct ol_error *err)
{
    const enum ol_summary_site site = site_at(view->point);
    const size_t bytes =
        OL_N_CODES * sizeof(int64_t) + (size_t)s->c.what.spec->d_model * sizeof(float);
    struct ol_backend *b = s->c.backend;
    struct ol_writer_job *job = begin(s, view, 0, s->c.what.n_rows, bytes, err);
    if (job == NULL)
        return -1;
    job->take = take_counts;
    if (site != OL_SUMMARY_OUTPUT)
        read_gains(s->c.recording,
                   site == OL_SUMMARY_LN_ATTN ? OL_ROLE_ATTN_NORM : OL_ROLE_MLP_NORM,
                   view->layer, gains_in(job->data));
    if (b->op->histogram_begin(b, job->data, err) != 0)
        return -1;
    s->held.until = b->n_results;
    return 0;
}

static int see(void *self, const struct ol_view *view, struct ol_error *err)
{
    struct summaries *s = self;
    const int32_t *length = view->lengths;
    for (int64_t row = 0; row < view->x.n_rows; row += *length++)
        if (digest(s, view, row, *length, err) != 0)
            return -1;
    if (view->first + view->x.n_rows == s->c.what.n_rows && count(s, view, err) != 0)
        return -1;
    return site_at(view->point) == OL_SUMMARY_OUTPUT ? put_later(s, err) : 0;
}

const struct ol_observer ol_observe_summaries = {
    .name = "summaries",
    .wants = wants,
    .bytes = bytes,
    .new = new,
    .free = free_all,
    .see = see,
    .result_bytes = result_bytes,
    .settle = settle,
    .share = share,
    .unshare = unshare,
    .saved_bytes = ol_summary_saved_bytes,
    .save = save,
    .restore = restore,
};
