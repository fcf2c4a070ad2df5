/* Looking rows of one table up (the embedding's) whose bytes cost so much that no others
 * are to come. Several threads may. */
#ifndef OL_LOOK_UP_H
#define OL_LOOK_UP_H

#include <pthread.h>
#include <stdint.h>

#include "extract/weights/source.h"

struct ol_look_up {
    struct ol_source *source; /* borrowed */
    int64_t most_ahead;       /* bytes, of all that is read ahead */
    pthread_mutex_t mutex;
    uint8_t *wanted; /* bits: the rows of the table that are looked up */
};

void ol_look_up_init(struct ol_look_up *l, struct ol_source *source, int64_t most_ahead);
void ol_look_up_clear(struct ol_look_up *l);

/* As of ol_stream_expect_rows and ol_stream_look_up (stream.h). */
void ol_look_up_expect(struct ol_look_up *l, const struct ol_weight *table,
                       const int32_t *ids, int64_t n);
int ol_look_up_bring(struct ol_look_up *l, const struct ol_weight *table,
                     const int32_t *ids, int64_t n, struct ol_error *err);

#endif
