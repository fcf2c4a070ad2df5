/* The weights of a range of roles, of one layer (and expert), queued, waited for and
 * given back together. */
#ifndef OL_LAYER_WEIGHTS_H
#define OL_LAYER_WEIGHTS_H

#include "extract/backend.h"
#include "extract/weights/stream.h"
#include "extract/weights/weights.h"

struct ol_layer_weights {
    const struct ol_weights *weights; /* borrowed */
    struct ol_stream *stream;         /* borrowed */
    int user;                         /* of the stream */
};

/* Roles that the layer does not have are skipped, in all. */
void ol_layer_weights_prefetch(const struct ol_layer_weights *w, enum ol_role first,
                               enum ol_role last, int layer, int expert);
/* Whether all of them are resident. */
bool ol_layer_weights_ready(const struct ol_layer_weights *w, enum ol_role first,
                            enum ol_role last, int layer, int expert);
/* Have the backend send what is resident already on its way. */
int ol_layer_weights_send(const struct ol_layer_weights *w, struct ol_backend *b,
                          enum ol_role first, enum ol_role last, int layer, int expert,
                          struct ol_error *err);
int ol_layer_weights_wait(const struct ol_layer_weights *w, enum ol_role first,
                          enum ol_role last, int layer, int expert, struct ol_error *err);
/* Once the backend reads them no more. */
void ol_layer_weights_release(const struct ol_layer_weights *w, struct ol_backend *b,
                              enum ol_role first, enum ol_role last, int layer,
                              int expert);

/* Bytes that must be held at a time so that no use of weights waits for itself: twice a
 * layer's, an expert's, or the head's where it is used. */
int64_t ol_layer_weights_least(const struct ol_weights *w, const struct ol_spec *spec,
                               bool head);

#endif
