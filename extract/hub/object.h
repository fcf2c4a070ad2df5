/* One file at the Hub: where its bytes are, and any range of them. What asks for ranges
 * side by side shares an object, so that the Hub is asked once where they are. */
#ifndef OL_HUB_OBJECT_H
#define OL_HUB_OBJECT_H

#include "extract/hub/client.h"

struct ol_hub_object;

/* What the listing says of it; borrowed. */
struct ol_hub_facts {
    const char *repo, *commit, *path;
    int64_t size;
    const char *etag; /* SHA-256 of a large file, git's SHA-1 of a small one */
};

struct ol_hub_object *ol_hub_object_new(struct ol_hub_client *client,
                                        const struct ol_hub_facts *facts);
void ol_hub_object_free(struct ol_hub_object *o); /* NULL is fine */

/* The server was asked for a range and sent everything: to ask for many is a waste. */
bool ol_hub_object_ignores_ranges(const struct ol_hub_object *o);

/* Fetch the bytes from up to to - 1 of it, in order, with as many tries as it takes while
 * there is progress. take() gets every byte once; what it returns but 0 ends it. */
typedef int ol_hub_take(void *user, const void *bytes, size_t n, struct ol_error *err);
int ol_hub_object_get(struct ol_hub_object *o, struct ol_http *http, int64_t from,
                      int64_t to, ol_hub_take *take, void *user, struct ol_error *err);

#endif
