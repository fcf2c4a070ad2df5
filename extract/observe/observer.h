/* Who looks on while the model runs. An observer is one file and one line in list.c: it
 * says which points it wants to see and how much memory it takes, and hands what it
 * gathers over to the writer. */
#ifndef OL_OBSERVER_H
#define OL_OBSERVER_H

#include "common/activation_file.h"
#include "extract/forward/forward.h"
#include "extract/observe/pending.h"
#include "extract/observe/recording.h"

/* What is recorded of a model. */
struct ol_observed {
    /* All borrowed. */
    const struct ol_spec *spec;
    const struct ol_activation_layout *layout; /* what the file is to hold */
    int64_t n_rows, n_sequences;
};

/* Of one pass, over all sequences or over those of one of several devices. */
struct ol_observer_context {
    struct ol_observed what;        /* n_rows and n_sequences are those of the pass */
    struct ol_backend *backend;     /* borrowed */
    struct ol_writer *writer;       /* borrowed */
    struct ol_recording *recording; /* borrowed, of the writer's thread */
    int device;                     /* which of the passes, as the writer counts them */
    int64_t first_row;              /* rows of all passes before it */
    struct ol_pending *pending;     /* the taps' */
};

struct ol_observer {
    const char *name;
    bool of_arms; /* it looks at the arms of an ablation, else at the baseline alone */
    /* Whether it wants to see a point of a layer; recorded is NULL in a layer of which
     * nothing is recorded, and after the last. */
    bool (*wants)(const struct ol_observed *what,
                  const struct ol_activation_layer *recorded, enum ol_point point);
    /* Bytes of the host that it takes, with what of it is on its way to the file. NULL:
     * no more than the writer's room. */
    int64_t (*bytes)(const struct ol_observed *what);
    /* Bytes of the memory that tensors are in; NULL: none. */
    int64_t (*backend_bytes)(const struct ol_observed *what);
    /* And that the backend leaves for it at a time (backend.h); NULL: none. */
    int64_t (*result_bytes)(const struct ol_observed *what);
    /* What it holds during a pass. NULL, with its free: the context alone. */
    void *(*new)(const struct ol_observer_context *context);
    void (*free)(void *self);
    /* All are called with self, or the context where there is no _new; each may be NULL.
     * see() returns before what it was shown changes, unless it has settle(). A job about
     * what the backend left is handed over by ol_observer_later, at the layer's end: it
     * comes while the next layer is computed. */
    int (*begin_layer)(void *self, int layer, struct ol_error *err);
    int (*see)(void *self, const struct ol_view *view, struct ol_error *err);
    int (*settle)(void *self, struct ol_error *err);
    int (*end_layer)(void *self, int layer, struct ol_tensor stream,
                     struct ol_error *err);
    /* What it shares with the same observer on other devices, in the writer's thread:
     * made and freed; NULL where nothing is to be shared. What has been handed over by
     * all of them up to a layer is kept for a run that is resumed. */
    void *(*share)(const struct ol_recording *recording);
    void (*unshare)(void *shared);
    size_t (*saved_bytes)(const struct ol_activation_layout *layout, int64_t n_values);
    void (*save)(const void *shared, void **bytes, size_t *n);
    int (*restore)(void *shared, const void *bytes, size_t n, struct ol_error *err);
};

/* All of them, NULL last; at each point they look in this order. */
extern const struct ol_observer *const ol_observers[];

/* Whether any wants to see that point of that layer. */
bool ol_observers_want(const struct ol_observed *what, int layer, enum ol_point point);

/* How far the pass has to go for what is wanted: its last_layer, last_whole and
 * likelihood. */
void ol_observers_extent(const struct ol_observed *what, struct ol_forward_input *in);

/* Bytes of all. */
int64_t ol_observers_bytes(const struct ol_observed *what);
int64_t ol_observers_backend_bytes(const struct ol_observed *what);
int64_t ol_observers_result_bytes(const struct ol_observed *what);

/* The row of the layout that is of that layer; NULL: none. */
const struct ol_activation_layer *ol_observed_layer(const struct ol_observed *what,
                                                    int layer);

/* The observers of a pass. Never NULL. */
struct ol_taps *ol_taps_new(const struct ol_observer_context *context);
void ol_taps_free(struct ol_taps *taps); /* NULL is fine */

/* A job about n rows from `first` of the pass on, of the stage of its tap (writer.h);
 * take, shared and data are left to be filled in. */
static inline struct ol_writer_job ol_observer_job(const struct ol_observer_context *c,
                                                   int layer, enum ol_writer_stage stage,
                                                   int64_t first, int64_t n)
{
    return (struct ol_writer_job){.device = c->device,
                                  .layer = layer,
                                  .stage = stage,
                                  .first = c->first_row + first,
                                  .n = n};
}

/* Hand a job over: at once, or when what the backend has left so far has come. */
static inline int ol_observer_put(const struct ol_observer_context *c,
                                  const struct ol_writer_job *job, struct ol_error *err)
{
    return ol_pending_put(c->pending, job, err);
}

static inline int ol_observer_later(const struct ol_observer_context *c,
                                    const struct ol_writer_job *job, struct ol_error *err)
{
    return ol_pending_later(c->pending, job, err);
}

/* Room for rows or for what is made of them, as ol_writer_room. */
static inline void *ol_observer_room(const struct ol_observer_context *c, size_t bytes,
                                     struct ol_error *err)
{
    return ol_writer_room(c->writer, c->device, bytes, err);
}

#endif
