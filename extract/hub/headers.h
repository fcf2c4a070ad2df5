/* Shards of which the headers alone are fetched, by small ranges side by side. */
#ifndef OL_HUB_HEADERS_H
#define OL_HUB_HEADERS_H

#include "extract/hub/download.h"
#include "extract/hub/object.h"
#include "extract/weights/safetensors.h"

struct ol_hub_shards {
    size_t n;
    const struct ol_hub_entry **entries;   /* [n], of the download's listing */
    struct ol_hub_object **objects;        /* [n] */
    struct ol_safetensors_header *headers; /* [n]: what the first requests brought */
};

/* Those that are missing in the cache. Start from {0}; clear also after a failure. */
int ol_hub_shards_open(struct ol_hub_download *d, struct ol_hub_shards *s,
                       struct ol_error *err);
void ol_hub_shards_clear(struct ol_hub_shards *s);

/* The same work in several threads, with signals left to the program's own. */
void ol_hub_side_by_side(void *(*work)(void *), void *argument);

#endif
