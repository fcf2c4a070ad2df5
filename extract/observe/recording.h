/* What a run records, as the writer's thread puts it together: the file, and what the
 * observers have come to so far over all devices' rows. */
#ifndef OL_RECORDING_H
#define OL_RECORDING_H

#include "common/activation_file.h"
#include "extract/model/spec.h"
#include "extract/observe/state_file.h"
#include "extract/observe/writer.h"
#include "extract/weights/weights.h"

struct ol_observer;

struct ol_recording_target {
    /* All borrowed. */
    const struct ol_spec *spec;
    const struct ol_weights *weights;
    const struct ol_activation_layout *layout;
    const int32_t *lengths; /* [layout->n_sequences] */
    const int32_t *ids;     /* of all rows */
    enum ol_dtype dtype;    /* of the rows that are handed over */
    int n_devices;
    double keep_seconds; /* between two states that are kept of the stream */
};

struct ol_recording {
    struct ol_recording_target to;
    /* Borrowed; set when they are there. */
    struct ol_activation_writer *file;
    struct ol_state_file *states;
    int64_t *starts; /* [n_sequences + 1]: first row of each sequence */
    void *converted; /* one sequence's rows in the file's dtype; NULL: it is the same */
    void **shared;   /* by the order of ol_observers; NULL: that one shares nothing */
};

struct ol_recording *ol_recording_new(const struct ol_recording_target *target);
void ol_recording_free(struct ol_recording *r); /* NULL is fine */

/* What an observer shares over all devices. */
void *ol_recording_shared(const struct ol_recording *r, const struct ol_observer *o);

/* All of it to and from bytes, for a run that is resumed. The caller frees *bytes. With
 * n values among the outliers they are as many as _saved_bytes says. */
size_t ol_recording_saved_bytes(const struct ol_activation_layout *layout, int64_t n);
void ol_recording_save(const struct ol_recording *r, void **bytes, size_t *n);
int ol_recording_restore(struct ol_recording *r, const void *bytes, size_t n,
                         struct ol_error *err);

/* ---- for what jobs do ---- */

int64_t ol_recording_rows(const struct ol_recording *r); /* of all sequences */

/* Whether a job holds the last row. */
bool ol_recording_is_last(const struct ol_recording *r, const struct ol_writer_job *job);

/* The recorded layer of that number; NULL: none. */
const struct ol_activation_layer *ol_recording_layer(const struct ol_recording *r,
                                                     int layer);

/* The part of a job's rows that lies in one sequence; start from {0}. */
struct ol_row_span {
    int64_t sequence, token, n;
    int64_t row; /* counted from the job's first */
};
bool ol_recording_next_span(const struct ol_recording *r, const struct ol_writer_job *job,
                            struct ol_row_span *span);

/* n values of the target's dtype in the file's: valid until the next call. */
const void *ol_recording_convert(const struct ol_recording *r, const void *values,
                                 size_t n);

#endif
