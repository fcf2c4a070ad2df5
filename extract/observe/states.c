/* The stream after a layer, from which an unfinished run goes on: every so many seconds,
 * and when the process is asked to end. It wants no point: nothing is computed for it. */
#include "extract/observe/observer.h"

#include <pthread.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/process.h"

enum decision { UNDECIDED, GO_ON, KEEP, KEEP_AND_STOP };

/* The states of several devices. */
struct states {
    const struct ol_recording *recording;
    char *rows;      /* [n_rows, d_model]; NULL: not needed yet */
    int layer;       /* after that layer, */
    int64_t n_there; /* so many rows, without a gap */

    /* All passes do the same: the first that has done a layer decides. */
    pthread_mutex_t mutex;
    uint8_t *decisions; /* [n_layers] */
    double kept;        /* when the last was, or the run began */
};

extern const struct ol_observer ol_observe_states;

static void *share(const struct ol_recording *recording)
{
    struct states *s = ol_xcalloc(1, sizeof *s);
    s->recording = recording;
    s->decisions = ol_xcalloc((size_t)recording->to.spec->n_layers, 1);
    s->kept = ol_clock_seconds();
    pthread_mutex_init(&s->mutex, NULL);
    return s;
}

static void free_shared(void *shared)
{
    struct states *s = shared;
    pthread_mutex_destroy(&s->mutex);
    free(s->decisions);
    free(s->rows);
    free(s);
}

/* ---- in the writer's thread ---- */

/* The states of all devices; NULL while one's are missing, as they stay when it failed.
 */
static const void *join(struct states *s, const struct ol_writer_job *job)
{
    const struct ol_recording *r = s->recording;
    const int64_t n_rows = ol_recording_rows(r);
    const size_t row_bytes =
        (size_t)ol_spec_stream_width(r->to.spec) * ol_dtype_size(r->to.dtype);
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

/* ---- in the passes ---- */

/* Whether the layers behind this one need no more than the stream: not where the next
 * attends to the keys that an indexer chose in this layer or before, or one to the keys
 * that were kept there. */
static bool may_end_here(const struct ol_spec *spec, int layer)
{
    bool kept[OL_N_ATTENTION_KINDS] = {false};
    if (layer == spec->n_layers - 1)
        return true;
    for (int l = layer + 1; l < spec->n_layers; l++) {
        const struct ol_layer_spec *of = &spec->layers[l];
        if (of->borrows_keys && !kept[of->attention])
            return false;
        kept[of->attention] |= of->keeps_keys;
    }
    return spec->attention.index.top_k == 0 || spec->layers[layer + 1].indexer;
}

static enum decision decide(struct states *s, int layer)
{
    const struct ol_recording *r = s->recording;
    pthread_mutex_lock(&s->mutex);
    if (s->decisions[layer] == UNDECIDED) {
        const double now = ol_clock_seconds();
        const bool last = layer == r->to.spec->n_layers - 1;
        const bool stops = ol_process_term_came() && !last;
        s->decisions[layer] = !may_end_here(r->to.spec, layer)      ? GO_ON
                              : stops                               ? KEEP_AND_STOP
                              : now - s->kept >= r->to.keep_seconds ? KEEP
                                                                    : GO_ON;
        if (s->decisions[layer] != GO_ON)
            s->kept = now;
    }
    const enum decision decision = (enum decision)s->decisions[layer];
    pthread_mutex_unlock(&s->mutex);
    return decision;
}

static int hand_over(const struct ol_observer_context *c, int layer,
                     struct ol_tensor stream, struct ol_error *err)
{
    struct ol_writer_job job =
        ol_observer_job(c, layer, OL_STAGE_OUTPUT, 0, stream.n_rows);
    if (ol_pending_flush(c->pending, err) != 0)
        return -1;
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
    return ol_observer_put(c, &job, err);
}

static int end_layer(void *self, int layer, struct ol_tensor stream, struct ol_error *err)
{
    const struct ol_observer_context *c = self;
    const enum decision decision =
        decide(ol_recording_shared(c->recording, &ol_observe_states), layer);
    if (decision == GO_ON)
        return 0;
    if (hand_over(c, layer, stream, err) != 0)
        return -1;
    return decision == KEEP ? 0
                            : ol_fail(err,
                                      "asked to end (SIGTERM): stopped after layer %d, "
                                      "--resume goes on from there",
                                      layer);
}

const struct ol_observer ol_observe_states = {
    .name = "states", .end_layer = end_layer, .share = share, .unshare = free_shared};
