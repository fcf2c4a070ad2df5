#include "extract/run/devices.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

int ol_devices_parse(const char *list, int devices[OL_DEVICES_MOST], struct ol_error *err)
{
    int n = 0;
    for (const char *at = list; n < OL_DEVICES_MOST; at++) {
        char *end;
        const long device = isdigit((unsigned char)*at) ? strtol(at, &end, 10) : -1;
        if (device < 0 || device > INT32_MAX)
            break;
        for (int i = 0; i < n; i++)
            if (devices[i] == device)
                return ol_fail(err, "--devices %s: device %ld is there twice", list,
                               device);
        devices[n++] = (int)device;
        at = end;
        if (*at == '\0')
            return n;
        if (*at != ',')
            break;
    }
    return ol_fail(err, "--devices %s: expected at most %d numbers like 0,1", list,
                   OL_DEVICES_MOST);
}

/* Have several devices bring weights to each other, where that is faster. */
static int share(struct ol_devices *d, struct ol_error *err)
{
    char how[160];
    if (d->n < 2 || d->backends[0]->op->share == NULL)
        return 0;
    const int shares = d->backends[0]->op->share(d->backends, d->n, how, sizeof how, err);
    if (shares >= 0)
        ol_detail("weights: each over the link of %s: %s",
                  shares > 0 ? "one device, and from there to the others"
                             : "every device",
                  how);
    return shares < 0 ? -1 : 0;
}

int ol_devices_open(struct ol_devices *d, const struct ol_run_request *request, int most,
                    struct ol_error *err)
{
    int devices[OL_DEVICES_MOST] = {0};
    const int n =
        ol_devices_parse(request->devices != NULL ? request->devices : "0", devices, err);
    /* Who names devices wants them, and not the CPU. */
    const enum ol_backend_kind kind =
        request->devices != NULL && request->backend == OL_BACKEND_AUTO
            ? OL_BACKEND_CUDA
            : request->backend;
    for (int i = 0; i < n && i < most; i++) {
        struct ol_backend *b =
            ol_backend_open(kind, request->precision, request->n_threads, devices[i],
                            request->memory, err);
        if (b == NULL)
            return -1;
        d->backends[d->n++] = b;
        /* AUTO may turn out to be the CPU. */
        if (strcmp(b->op->name, "cuda") != 0)
            break;
    }
    return n > 0 ? share(d, err) : -1;
}

void ol_devices_close(struct ol_devices *d)
{
    for (int i = 0; i < d->n; i++)
        d->backends[i]->op->close(d->backends[i]);
    d->n = 0;
}
