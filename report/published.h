/* What others have published about a model, to be printed beside what was found. */
#ifndef OL_REPORT_PUBLISHED_H
#define OL_REPORT_PUBLISHED_H

#include <stdint.h>

#include "common/json.h"

/* Texts are borrowed from the JSON. */
struct ol_published {
    struct ol_json *json; /* owned; NULL: nothing is known */
    const char *study, *text;
    int64_t pairs;
    double mean_layer_percent, mean_position_percent;
    /* What was measured, and how: counts compare only where all of it is the same. */
    int64_t total_parameters, n_layers, d_model;
    int64_t batch_size, n_sequences, n_tokens;
    double threshold, min_layers, min_positions;
    const char *windowing;
};

/* Look for a model in the data that comes with the tools (data/models beside the build,
 * or share/outliers/models beside the installed bin): its Hub name, or the part of it
 * behind
 * "/", in any case. Nothing found is no error; a file that is no such description is. */
int ol_published_find(const char *model, struct ol_published *p, struct ol_error *err);
void ol_published_clear(struct ol_published *p);

#endif
