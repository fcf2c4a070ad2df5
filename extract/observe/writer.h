/* Writes what the forward pass records, in a thread behind it: the compute hands over
 * jobs and goes on. The bytes waiting are bounded; the first failure comes back from the
 * next call. What a job does is known to whoever hands it over (observer.h).
 *
 * Several devices, each with sequences of its own, may hand over at a time, one from each
 * thread. What they hand over is taken in the order in which one device with all
 * sequences would have done it, so that sums over rows are the same bytes. */
#ifndef OL_WRITER_H
#define OL_WRITER_H

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

struct ol_writer;

/* In the order in which a layer goes by them; the head's likelihoods have the layer
 * behind the last. */
enum ol_writer_stage {
    OL_STAGE_ATTENTION,  /* what is recorded before the mixer */
    OL_STAGE_MLP,        /* before the MLP's products, */
    OL_STAGE_COMPONENTS, /* and of its components */
    OL_STAGE_OUTPUT,     /* the stream after the layer */
    OL_N_STAGES,
};

struct ol_writer_job {
    int device, layer;
    enum ol_writer_stage stage;
    /* Rows first .. first + n - 1 of all devices' rows, one sequence after another
     * without padding. */
    int64_t first, n;
    /* What is done with it, in the writer's thread; shared is borrowed. */
    int (*take)(void *shared, const struct ol_writer_job *job, struct ol_error *err);
    void *shared;
    int what;          /* a number of take's own */
    void *data, *more; /* owned by the job; NULL: none */
    /* Gives data back to whom they belong; NULL: free(). */
    void (*give_back)(void *owner, void *data);
    void *owner;
    size_t bytes; /* of them, as far as they count as waiting */
};

/* most_waiting: bytes of a device's jobs that wait to be written; one may always wait,
 * however large. NULL on failure. */
struct ol_writer *ol_writer_new(int n_devices, size_t most_waiting, struct ol_error *err);
/* Wait until everything is written. */
int ol_writer_finish(struct ol_writer *w, struct ol_error *err);
/* That device hands over nothing more. */
void ol_writer_end_device(struct ol_writer *w, int device);
/* Stop without writing what waits, and free. NULL is fine. */
void ol_writer_free(struct ol_writer *w);

/* Wait while too much is queued for so many bytes more. */
int ol_writer_wait(struct ol_writer *w, int device, size_t bytes, struct ol_error *err);

/* The same, and memory for data to be handed over (or free()d). NULL on failure. */
void *ol_writer_room(struct ol_writer *w, int device, size_t bytes, struct ol_error *err);

/* Hand a job over; its data belong to the writer then, also when this fails. A device's
 * jobs rise by layer and stage. */
int ol_writer_put(struct ol_writer *w, const struct ol_writer_job *job,
                  struct ol_error *err);

/* The data of a job that is not handed over. */
void ol_writer_job_free(const struct ol_writer_job *job);

/* Seconds that others waited for room, or for the end. */
double ol_writer_waited(struct ol_writer *w);

#endif
