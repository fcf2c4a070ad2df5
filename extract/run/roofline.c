#include "extract/run/roofline.h"

#include <stdio.h>

void ol_roofline_json(const struct ol_roofline_work *work,
                      const struct ol_roofline_rates *rates, struct ol_json *object)
{
    const struct ol_device_model *d = rates->device;
    /* A link carries both ways at once; each device has its own, and all weights pass it,
     * or its part of them. */
    const double back = work->back_bytes / rates->n_devices;
    const double sent =
        rates->shares ? work->read_bytes / rates->n_devices : work->read_bytes;
    const double fetched = work->read_bytes - sent;
    const struct {
        const char *name;
        double amount, rate;
    } bounds[] = {
        {"read", work->read_bytes, rates->read_rate},
        {"link", sent > back ? sent : back, d->link_bytes_per_second},
        {"peer", fetched, rates->shares ? d->peer_bytes_per_second : 0},
        {"memory", work->memory_bytes / rates->n_devices, d->memory_bytes_per_second},
        {"compute", work->operations / rates->n_devices,
         rates->bf16 ? d->bf16_flops_per_second : d->f32_flops_per_second},
    };
    const char *bound = NULL;
    double most = -1;
    ol_json_set(object, "link_bytes", ol_json_new_real(sent));
    if (rates->shares)
        ol_json_set(object, "peer_bytes", ol_json_new_real(fetched));
    for (size_t i = 0; i < sizeof bounds / sizeof bounds[0]; i++) {
        if (!(bounds[i].rate > 0))
            continue;
        char key[32];
        const double seconds = bounds[i].amount / bounds[i].rate;
        snprintf(key, sizeof key, "%s_seconds", bounds[i].name);
        ol_json_set(object, key, ol_json_new_real(seconds));
        if (seconds > most) {
            most = seconds;
            bound = bounds[i].name;
        }
    }
    ol_json_set(object, "floor_seconds",
                bound != NULL ? ol_json_new_real(most) : ol_json_new_null());
    ol_json_set(object, "bound",
                bound != NULL ? ol_json_new_string(bound) : ol_json_new_null());
}
