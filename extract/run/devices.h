/* The backends of a run: the CPU, or one or several CUDA devices. */
#ifndef OL_DEVICES_H
#define OL_DEVICES_H

#include "extract/backend.h"
#include "extract/run/run.h"
#include "extract/run/data_parallel.h"

struct ol_devices {
    struct ol_backend *backends[OL_DEVICES_MOST]; /* [n], owned */
    int n;
};

/* LIST of numbers of devices, separated by commas, no two the same; their number. */
int ol_devices_parse(const char *list, int devices[OL_DEVICES_MOST],
                     struct ol_error *err);

/* What request->backend and request->devices say, at most `most` devices; one backend
 * where it is the CPU. Start from {0}; close also after a failure. */
int ol_devices_open(struct ol_devices *d, const struct ol_run_request *request, int most,
                    struct ol_error *err);
void ol_devices_close(struct ol_devices *d);

#endif
