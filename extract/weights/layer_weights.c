#include "extract/weights/layer_weights.h"

#include "extract/model/role.h"

void ol_layer_weights_prefetch(const struct ol_layer_weights *w, enum ol_role first,
                               enum ol_role last, int layer, int expert)
{
    for (enum ol_role role = first; role <= last; role++) {
        const struct ol_weight weight = ol_weights_get(w->weights, role, layer, expert);
        ol_stream_prefetch(w->stream, w->user, &weight);
    }
}

static int send(const struct ol_layer_weights *w, struct ol_backend *b, enum ol_role role,
                int layer, int expert, struct ol_error *err)
{
    if (ol_weights_see(w->weights, role, layer, expert, err) != 0)
        return -1;
    const struct ol_weight weight = ol_weights_get(w->weights, role, layer, expert);
    return b->op->prefetch(b, &weight, 1, err);
}

int ol_layer_weights_send(const struct ol_layer_weights *w, struct ol_backend *b,
                          enum ol_role first, enum ol_role last, int layer, int expert,
                          struct ol_error *err)
{
    for (enum ol_role role = first; role <= last; role++) {
        const struct ol_weight weight = ol_weights_get(w->weights, role, layer, expert);
        if (weight.data != NULL && ol_role_is_multiplied(role) &&
            ol_stream_is_ready(w->stream, &weight) &&
            send(w, b, role, layer, expert, err) != 0)
            return -1;
    }
    return 0;
}

bool ol_layer_weights_ready(const struct ol_layer_weights *w, enum ol_role first,
                            enum ol_role last, int layer, int expert)
{
    bool ready = true;
    for (enum ol_role role = first; ready && role <= last; role++) {
        const struct ol_weight weight = ol_weights_get(w->weights, role, layer, expert);
        ready = weight.data == NULL || ol_stream_is_ready(w->stream, &weight);
    }
    return ready;
}

int ol_layer_weights_wait(const struct ol_layer_weights *w, enum ol_role first,
                          enum ol_role last, int layer, int expert, struct ol_error *err)
{
    for (enum ol_role role = first; role <= last; role++) {
        const struct ol_weight weight = ol_weights_get(w->weights, role, layer, expert);
        if (ol_stream_wait(w->stream, w->user, &weight, err) != 0 ||
            ol_weights_see(w->weights, role, layer, expert, err) != 0)
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

/* Of shared spans too: they come as a whole. */
static int64_t span_bytes(const struct ol_weights *w, enum ol_role first,
                          enum ol_role last, int layer)
{
    int64_t bytes = 0;
    for (enum ol_role role = first; role <= last; role++) {
        const struct ol_weight weight = ol_weights_get(w, role, layer, 0);
        for (int i = 0; i < OL_WEIGHT_SPANS && weight.data != NULL; i++)
            bytes += (int64_t)weight.spans[i].bytes;
    }
    return bytes;
}

int64_t ol_layer_weights_least(const struct ol_weights *w, const struct ol_spec *spec,
                               bool head)
{
    const int64_t inputs = span_bytes(w, OL_ROLE_INPUT_PROJECTION, OL_ROLE_INPUT_NORM, 0);
    int64_t most = head ? span_bytes(w, OL_ROLE_FINAL_NORM, OL_ROLE_LM_HEAD, 0) : 0;
    most = inputs > most ? inputs : most;
    for (int l = 0; l < spec->n_layers; l++) {
        const int64_t layer = span_bytes(w, OL_ROLE_ATTN_NORM, OL_ROLE_SHARED_SWITCH, l),
                      expert =
                          span_bytes(w, OL_ROLE_EXPERT_GATE, OL_ROLE_EXPERT_DOWN_BIAS, l);
        most = 2 * layer > most ? 2 * layer : most;
        most = 2 * expert > most ? 2 * expert : most;
    }
    return most;
}
