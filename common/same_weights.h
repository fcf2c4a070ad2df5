/* Whether two runs had the same weights. */
#ifndef OL_SAME_WEIGHTS_H
#define OL_SAME_WEIGHTS_H

#include <stdbool.h>
#include <string.h>

/* Digests of an activation file's /model (ol-activations(5)): of bytes, or, where shards
 * were streamed, of what the Hub claims of them; and of the claims alone, "" where there
 * are none. */
struct ol_weights_digests {
    const char *weights_sha256, *shards_sha256;
};

/* Of two runs from the disk the bytes decide. A streamed run has no digest of them: there
 * it is the claims. */
static inline bool ol_same_weights(struct ol_weights_digests a,
                                   struct ol_weights_digests b)
{
    const bool streamed = strcmp(a.weights_sha256, a.shards_sha256) == 0 ||
                          strcmp(b.weights_sha256, b.shards_sha256) == 0;
    return strcmp(a.weights_sha256, b.weights_sha256) == 0 ||
           (streamed && a.shards_sha256[0] != '\0' &&
            strcmp(a.shards_sha256, b.shards_sha256) == 0);
}

#endif
