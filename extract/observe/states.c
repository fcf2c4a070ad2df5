/* The stream after every layer, from which an unfinished run goes on. It wants no point:
 * nothing is computed for it. */
#include "extract/observe/observer.h"

#include <stdlib.h>

/* The states of several devices. */
struct states {
    const struct ol_recording *recording;
    char *rows;      /* [n_rows, d_model]; NULL: not needed yet */
    int layer;       /* after that layer, */
    int64_t n_there; /* so many rows, without a gap */
};

extern const struct ol_observer ol_observe_states;

static void *share(const struct ol_recording *recording)
{
    struct states *s = ol_xcalloc(1, sizeof *s);
    s->recording = recording;
    return s;
}

static void unshare(void *shared)
{
    struct states *s = shared;
    free(s->rows);
    free(s);
}

/* The states of all devices; NULL while one's are missing, as they stay when it failed.
 */
static const void *join(struct states *s, const struct ol_writer_job *job)
{
    const struct ol_recording *r = s->recording;
    const int64_t n_rows = ol_recording_rows(r);
    const size_t row_bytes = (size_t)r->to.layout->d_model * ol_dtype_size(r->to.dtype);
    if (r->to.n_devices == 1)
        return job->data;
    if (s->rows == NULL)
        s->rows = ol_xcalloc((size_t)n_rows, row_bytes);
    if (job->first == 0) {
        s->layer = job->layer;
        s->n_there = 0;
    }
    if (s->layer != job->layer || s->n_there != job->first)
        return NULL;
    memcpy(s->rows + (size_t)job->first * row_bytes, job->data,
           (size_t)job->n * row_bytes);
    s->n_there += job->n;
    return s->n_there == n_rows ? s->rows : NULL;
}

static int take(void *shared, const struct ol_writer_job *job, struct ol_error *err)
{
    struct states *s = shared;
    const struct ol_recording *r = s->recording;
    const void *states = join(s, job);
    void *extra = NULL;
    size_t bytes = 0;
    if (states == NULL)
        return 0;
    /* The states speak for everything before them. */
    if (ol_activation_sync(r->file, err) != 0)
        return -1;
    ol_recording_save(r, &extra, &bytes);
    const int status = ol_state_put(r->states, job->layer, states, extra, bytes, err);
    free(extra);
    return status;
}

static int end_layer(void *self, int layer, struct ol_tensor stream, struct ol_error *err)
{
    const struct ol_observer_context *c = self;
    struct ol_writer_job job =
        ol_observer_job(c, layer, OL_STAGE_OUTPUT, 0, stream.n_rows);
    void *copy = ol_observer_room(c, ol_tensor_bytes(stream), err);
    if (copy == NULL)
        return -1;
    if (c->backend->op->download(c->backend, stream, copy, err) != 0) {
        free(copy);
        return -1;
    }
    job.take = take;
    job.shared = ol_recording_shared(c->recording, &ol_observe_states);
    job.data = copy;
    job.bytes = ol_tensor_bytes(stream);
    return ol_writer_put(c->writer, &job, err);
}

const struct ol_observer ol_observe_states = {
    .name = "states", .end_layer = end_layer, .share = share, .unshare = unshare};
