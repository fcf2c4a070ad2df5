/* What a run would need, from config.json and the checkpoint's headers, or from
 * config.json alone. */
#ifndef OL_PLAN_H
#define OL_PLAN_H

#include "common/json.h"
#include "extract/backend.h"
#include "extract/run/device_model.h"
#include "extract/run/memory.h"
#include "extract/run/model.h"

struct ol_plan_request {
    /* All borrowed. */
    const struct ol_model *model; /* weights NULL: sizes follow from the config */
    /* Whose speed is measured; tensors come and go. NULL: `device` in its place. */
    struct ol_backend *backend;
    const struct ol_device_model *device;
    int n_devices; /* of it */
    /* Several devices, here or not: whether they bring each other the weights, and why.
     */
    int n_named;
    bool shares;
    const char *shares_because;
    enum ol_dtype dtype;                       /* of activations */
    const struct ol_activation_layout *layout; /* what is recorded */
    int64_t n_sequences, length;
    const struct ol_activation_info *info; /* as far as it is known */
    int last_recorded;
    bool perplexity, summary;
    int64_t memory_budget; /* 0: what is free */
};

/* Format "ol-plan": parameters, bytes of the weights by kind and of those the run would
 * read, memory, disk, operations, time, and every layer; of a device that is not here
 * what bounds it in each (roofline.h). NULL on failure. */
struct ol_json *ol_plan(const struct ol_plan_request *request, struct ol_error *err);

#endif
