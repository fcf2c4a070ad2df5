#include "analyze/massive.h"

#include <math.h>
#include <stdlib.h>

#include "analyze/describe.h"
#include "analyze/histogram.h"

const struct ol_massive_criterion ol_massive_default = {.min_magnitude = 100,
                                                        .min_ratio = 1000};

struct search {
    const struct ol_parts *parts;
    struct ol_massive *m;
    struct ol_massive_feature *features; /* [d_model]; n_values 0: none yet */
};

bool ol_massive_recorded(const struct ol_activation_layer *layer)
{
    return layer->n_units > 0 && layer->summary_sites[OL_SUMMARY_OUTPUT];
}

/* NaN is not massive, infinity is. */
static bool is_massive(const struct ol_massive *m, const struct ol_massive_layer *layer,
                       double magnitude)
{
    return magnitude > m->criterion.min_magnitude &&
           magnitude >= m->criterion.min_ratio * layer->median;
}

static void add_value(struct search *s, struct ol_massive_layer *layer, int feature,
                      double magnitude, int64_t sequence, int64_t position)
{
    struct ol_massive_feature *f = &s->features[feature];
    if (f->n_values == 0)
        *f = (struct ol_massive_feature){
            .feature = feature, .first_layer = layer->number, .last_layer = -1};
    f->n_layers += f->last_layer != layer->number;
    f->last_layer = layer->number;
    f->n_values++;
    f->at_first_token += position == 0;
    f->max = magnitude > f->max ? magnitude : f->max;
    layer->n_values++;
    const int32_t id = ol_describe_token_id(s->parts, sequence, position);
    if (id >= 0)
        ol_tally_add(&s->m->tokens, (uint64_t)id, 1);
}

static void take_token(struct search *s, struct ol_massive_layer *layer,
                       const uint16_t *features, const float *writes, int64_t width,
                       int64_t sequence, int64_t position)
{
    const int64_t before = layer->n_values;
    const int64_t d_model = ol_parts_layout(s->parts)->d_model;
    for (int i = 0; i < OL_TOP_FEATURES && features[i] < d_model; i++) {
        const double magnitude = fabs((double)writes[i * width]);
        if (isfinite(magnitude)) {
            layer->sums[i] += magnitude;
            layer->n_summed[i]++;
        }
        if (!isnan(magnitude) && (layer->feature < 0 || magnitude > layer->max)) {
            layer->max = magnitude;
            layer->feature = features[i];
            layer->sequence = sequence;
            layer->position = position;
        }
        if (is_massive(s->m, layer, magnitude))
            add_value(s, layer, features[i], magnitude, sequence, position);
    }
    layer->n_tokens += layer->n_values > before;
}

/* Values of a token in the writes table, from one feature to the next. */
static int64_t writes_width(const struct ol_parts *parts, int i_layer)
{
    return OL_WRITES_PER_TOP +
           ol_activation_n_parts(&ol_parts_layout(parts)->layers[i_layer],
                                 ol_parts_info(parts)->model.n_experts);
}

static void take_layer(struct search *s, struct ol_massive_layer *layer)
{
    const struct ol_parts *parts = s->parts;
    const int64_t width = writes_width(parts, layer->i_layer);
    struct ol_histogram h;
    ol_histogram_read(parts, layer->i_layer, OL_SUMMARY_OUTPUT, &h);
    layer->median = ol_histogram_median(&h);
    ol_histogram_clear(&h);
    for (int64_t k = 0; k < parts->n_sequences; k++) {
        const struct ol_activation_file *f = parts->files[parts->file_of[k]];
        const uint16_t *features =
            ol_activation_top_features(f, layer->i_layer, parts->number_of[k]);
        const float *writes =
            ol_activation_writes(f, layer->i_layer, parts->number_of[k]);
        for (int64_t p = 0; p < parts->lengths[k]; p++)
            take_token(s, layer, features + p * OL_TOP_FEATURES,
                       writes + p * OL_TOP_FEATURES * width, width, k, p);
    }
}

static int compare(const void *a, const void *b)
{
    const struct ol_massive_feature *x = a, *y = b;
    if (x->max != y->max)
        return x->max > y->max ? -1 : 1;
    return x->feature < y->feature ? -1 : x->feature > y->feature;
}

bool ol_massive_find(const struct ol_parts *parts,
                     const struct ol_massive_criterion *criterion, struct ol_massive *m)
{
    const struct ol_activation_layout *layout = ol_parts_layout(parts);
    *m = (struct ol_massive){.criterion = *criterion};
    m->layers = ol_xcalloc((size_t)layout->n_layers, sizeof *m->layers);
    m->features = ol_xcalloc((size_t)layout->d_model, sizeof *m->features);
    struct search s = {.parts = parts, .m = m, .features = m->features};
    for (int l = 0; l < layout->n_layers; l++)
        if (ol_massive_recorded(&layout->layers[l])) {
            m->layers[m->n_layers] = (struct ol_massive_layer){
                .i_layer = l,
                .number = layout->layers[l].number,
                .feature = -1,
                .sequence = -1,
                .position = -1,
            };
            take_layer(&s, &m->layers[m->n_layers++]);
        }
    for (int64_t f = 0; f < layout->d_model; f++)
        if (m->features[f].n_values > 0)
            m->features[m->n_features++] = m->features[f];
    qsort(m->features, (size_t)m->n_features, sizeof *m->features, compare);
    if (m->n_layers == 0)
        ol_massive_clear(m);
    return m->n_layers > 0;
}

void ol_massive_mark(const struct ol_parts *parts, const struct ol_massive *m,
                     uint8_t **marks)
{
    for (int l = 0; l < m->n_layers; l++) {
        const int i_layer = m->layers[l].i_layer;
        const int64_t width = writes_width(parts, i_layer);
        for (int64_t s = 0; m->layers[l].n_values > 0 && s < parts->n_sequences; s++) {
            const struct ol_activation_file *f = parts->files[parts->file_of[s]];
            const float *writes = ol_activation_writes(f, i_layer, parts->number_of[s]);
            for (int64_t i = 0; i < parts->lengths[s] * OL_TOP_FEATURES; i++)
                if (is_massive(m, &m->layers[l], fabs((double)writes[i * width])))
                    marks[s][i / OL_TOP_FEATURES] = 1;
        }
    }
}

void ol_massive_clear(struct ol_massive *m)
{
    free(m->layers);
    free(m->features);
    ol_tally_clear(&m->tokens);
    *m = (struct ol_massive){0};
}
