#include "analyze/stream.h"

#include <math.h>
#include <stdlib.h>

bool ol_stream_recorded(const struct ol_activation_layer *layer)
{
    return ol_activation_has_writes(layer) && layer->summary_sites[OL_SUMMARY_OUTPUT];
}

void ol_stream_open(const struct ol_parts *parts, struct ol_stream *s)
{
    const struct ol_activation_layout *layout = ol_parts_layout(parts);
    *s = (struct ol_stream){
        .parts = parts,
        .d_model = layout->d_model,
        .n_experts = ol_parts_info(parts)->model.n_experts,
        .layers = ol_xcalloc((size_t)layout->n_layers + 1, sizeof *s->layers),
    };
    for (int l = 0; l < layout->n_layers; l++) {
        const struct ol_activation_layer *layer = &layout->layers[l];
        const int n_slots = ol_activation_n_slots(layer, s->n_experts);
        if (ol_stream_recorded(layer))
            s->layers[s->n_layers++] = (struct ol_stream_layer){
                l, layer->number, layer, n_slots, OL_WRITES_PER_TOP + n_slots};
    }
}

void ol_stream_clear(struct ol_stream *s)
{
    free(s->layers);
    *s = (struct ol_stream){0};
}

/* A table of a sequence, of whichever file. */
static const void *get(const struct ol_stream *s, int table, int l, int64_t sequence)
{
    return ol_activation_get(s->parts->files[s->parts->file_of[sequence]], table,
                             s->layers[l].i_layer, s->parts->number_of[sequence]);
}

const uint16_t *ol_stream_features(const struct ol_stream *s, int l, int64_t sequence,
                                   int64_t position)
{
    const uint16_t *features = get(s, OL_TABLE_TOP_FEATURES, l, sequence);
    return features + position * OL_TOP_FEATURES;
}

const float *ol_stream_rows(const struct ol_stream *s, int l, int64_t sequence,
                            int64_t position)
{
    const float *rows = get(s, OL_TABLE_WRITES, l, sequence);
    return rows + position * OL_TOP_FEATURES * s->layers[l].width;
}

const float *ol_stream_row(const struct ol_stream *s, int l, int64_t sequence,
                           int64_t position, int feature)
{
    const uint16_t *features = ol_stream_features(s, l, sequence, position);
    for (int i = 0; i < OL_TOP_FEATURES; i++)
        if (features[i] == feature)
            return ol_stream_rows(s, l, sequence, position) + i * s->layers[l].width;
    return NULL;
}

int ol_stream_unit(const struct ol_stream *s, int l, int64_t sequence, int64_t position,
                   int slot)
{
    const struct ol_activation_layer *layer = s->layers[l].layer;
    if (!layer->moe)
        return 0;
    if (slot == layer->top_k)
        return layer->n_units - 1;
    const uint16_t *ids = get(s, OL_TABLE_ROUTER_IDS, l, sequence);
    const int id = ids[position * layer->top_k + slot];
    return id < s->n_experts ? id : -1;
}

double ol_stream_mlp(const struct ol_stream *s, int l, const float *row)
{
    double sum = 0;
    for (int i = 0; i < s->layers[l].n_slots; i++)
        sum += (double)row[OL_WRITES_PER_TOP + i];
    return sum;
}

bool ol_stream_follows(const struct ol_stream *s, int l)
{
    const int before = l > 0 ? s->layers[l - 1].number : -1;
    return s->layers[l].number == before + 1;
}
