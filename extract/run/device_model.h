/* CUDA devices by what their makers publish, for plans of devices that are not here. */
#ifndef OL_DEVICE_MODEL_H
#define OL_DEVICE_MODEL_H

#include <stdint.h>

#include "common/error.h"

struct ol_device_model {
    char name[32];
    int64_t memory;                 /* bytes */
    double link_bytes_per_second;   /* from the host, as far as copies reach it */
    double memory_bytes_per_second; /* of the device's own memory */
    double bf16_flops_per_second;   /* by its matrix units, dense, sums in float */
    double f32_flops_per_second;    /* without them */
    double peer_bytes_per_second; /* from other devices by NVLink; 0: by the host's bus */
};

/* TEXT is a name ("h200"), or KEY=VALUE[,...], or a name and what differs from it, joined
 * by commas; keys are memory, link, peer, bandwidth, bf16, f32, values decimal numbers
 * with K, M, G or T of 1000 (memory=24G). What a name does not say and nothing gives is
 * asked for. */
int ol_device_model_parse(const char *text, struct ol_device_model *model,
                          struct ol_error *err);

#endif
