/* A run on several devices, data-parallel: its sequences are split over them, and each
 * device takes its own through the whole model, in a thread of its own.
 *
 * Sequences, not experts: were experts split, the rows of all tokens would pass between
 * devices twice a layer. What that would save, that each weight passes one link and not
 * every device's, is had without it where devices reach each other by links of their own:
 * they bring the weights to each other (the backend's operation share). */
#ifndef OL_DATA_PARALLEL_H
#define OL_DATA_PARALLEL_H

#include "extract/forward/forward.h"
#include "extract/observe/observer.h"
#include "extract/run/progress.h"

enum { OL_DEVICES_MOST = OL_STREAM_MOST_USERS };

struct ol_data_parallel {
    /* Of all sequences; what is of one pass (backend, taps, user, meet, progress) is set
     * here. */
    struct ol_forward_input forward;
    /* Borrowed. */
    struct ol_backend *const *backends; /* [n_devices] */
    int n_devices;
    const struct ol_activation_layout *layout;
    struct ol_recording *recording;
    struct ol_writer *writer;
    struct ol_progress *progress;
};

/* Tokens of the device that has most of n; there are at least n sequences. */
int64_t ol_data_parallel_most_rows(const int32_t *lengths, int64_t n_sequences,
                                   int64_t block_rows, int n);

/* Returns when everything was handed to the writer. */
int ol_data_parallel_run(const struct ol_data_parallel *run, struct ol_error *err);

#endif
