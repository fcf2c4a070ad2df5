#include "extract/weights/layer_weights.h"

void ol_layer_weights_prefetch(const struct ol_layer_weights *w, enum ol_role first,
                               enum ol_role last, int layer, int expert)
{
    for (enum ol_role role = first; role <= last; role++) {
        const struct ol_weight weight = ol_weights_get(w->weights, role, layer, expert);
        ol_stream_prefetch(w->stream, w->user, &weight);
    }
}

int ol_layer_weights_send(const struct ol_layer_weights *w, struct ol_backend *b,
                          enum ol_role first, enum ol_role last, int layer, int expert,
                          struct ol_error *err)
{
    for (enum ol_role role = first; role <= last; role++) {
        const struct ol_weight weight = ol_weights_get(w->weights, role, layer, expert);
        if (weight.data != NULL && ol_stream_is_ready(w->stream, &weight) &&
            b->op->prefetch(b, &weight, 1, err) != 0)
            return -1;
    }
    return 0;
}

int ol_layer_weights_wait(const struct ol_layer_weights *w, enum ol_role first,
                          enum ol_role last, int layer, int expert, struct ol_error *err)
{
    for (enum ol_role role = first; role <= last; role++) {
        const struct ol_weight weight = ol_weights_get(w->weights, role, layer, expert);
        if (ol_stream_wait(w->stream, w->user, &weight, err) != 0)
            return -1;
    }
    return 0;
}

void ol_layer_weights_release(const struct ol_layer_weights *w, struct ol_backend *b,
                              enum ol_role first, enum ol_role last, int layer,
                              int expert)
{
    for (enum ol_role role = first; role <= last; role++) {
        const struct ol_weight weight = ol_weights_get(w->weights, role, layer, expert);
        b->op->release(b, &weight);
        ol_stream_release(w->stream, w->user, &weight);
    }
}
