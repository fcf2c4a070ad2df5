/* A model that is not in the cache, seen from far: its shards' headers by small ranges,
 * what a download would bring, and how fast. */
#ifndef OL_HUB_REMOTE_H
#define OL_HUB_REMOTE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "extract/weights/safetensors.h"

struct ol_hub_remote {
    char *directory; /* of the cache, with config.json and the index; NULL: not looked */
    struct ol_safetensors_header *headers; /* [n_headers] of the shards not there */
    size_t n_headers;
    int64_t bytes, there; /* of all that is missing, and what of it an earlier try left */
    int64_t n_files;
    int64_t room;            /* free on the disk of the cache */
    double bytes_per_second; /* 0: not measured */
};

/* Whether model is a name, no directory or file, and the Hub may be asked. */
bool ol_hub_may_look(const char *model);

/* Ask the Hub for it: model is a name (hub.h). Start from {0}; clear also after a
 * failure. */
int ol_hub_look(const char *model, struct ol_hub_remote *r, struct ol_error *err);
void ol_hub_remote_clear(struct ol_hub_remote *r);

#endif
