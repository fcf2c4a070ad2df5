/* What bounds a run on a device: per layer, the bytes that pass its link and its memory
 * and the operations that it computes, each by the rate at which the device can do it at
 * best. No run is faster than the slowest of them. */
#ifndef OL_ROOFLINE_H
#define OL_ROOFLINE_H

#include <stdbool.h>

#include "common/json.h"
#include "extract/run/device_model.h"

/* What one layer needs, or what is before and behind the layers. */
struct ol_roofline_work {
    double read_bytes;   /* from the checkpoint's files; they pass the link too */
    double back_bytes;   /* rows that are stored, from the device to the host */
    double memory_bytes; /* read and written of the device's memory, at least */
    double operations;
};

struct ol_roofline_rates {
    const struct ol_device_model *device;
    bool bf16;        /* products are of bfloat16 */
    int n_devices;    /* sequences are split over them; each gets all weights, */
    bool shares;      /* one of them from the host, which the others copy it from */
    double read_rate; /* bytes per second of the files; 0: not known */
};

/* "link_bytes" of weights over each device's link, where devices share them "peer_bytes"
 * that each gets from others; "link_seconds", "peer_seconds", "compute_seconds",
 * "memory_seconds", "read_seconds" (absent where no rate is known or given),
 * "floor_seconds", their largest, and "bound", its name. */
void ol_roofline_json(const struct ol_roofline_work *work,
                      const struct ol_roofline_rates *rates, struct ol_json *object);

#endif
