/* What a repository holds at a revision, and what of it a run needs. */
#ifndef OL_HUB_LISTING_H
#define OL_HUB_LISTING_H

#include "extract/hub/client.h"
#include "extract/hub/name.h"

enum { OL_HUB_ETAG_BYTES = 65 };

/* What a file is for. */
enum ol_hub_kind {
    OL_HUB_KIND_CONFIG,    /* config.json, the index, and what stands beside them */
    OL_HUB_KIND_TOKENIZER, /* of any kind */
    OL_HUB_KIND_WEIGHTS,   /* safetensors */
    OL_HUB_KIND_OTHER,     /* other formats of the weights, pictures, texts */
};

struct ol_hub_entry {
    char *path;
    int64_t size;
    char etag[OL_HUB_ETAG_BYTES]; /* SHA-256 when is_lfs, else git's SHA-1 */
    bool is_lfs;
    enum ol_hub_kind kind;
};

struct ol_hub_listing {
    char commit[OL_HUB_COMMIT_BYTES];
    struct ol_hub_entry *entries; /* [n], in the Hub's order */
    size_t n;
};

/* Ask for it: one request, more where the answer has no sizes. Every path and digest in
 * it is checked. Start from {0}; clear also after a failure. */
int ol_hub_list(struct ol_hub_client *client, struct ol_http *http,
                const struct ol_hub_name *name, struct ol_hub_listing *listing,
                struct ol_error *err);
/* The same of one folder alone, in which a file is: a data set may have thousands. */
int ol_hub_list_beside(struct ol_hub_client *client, struct ol_http *http,
                       const struct ol_hub_name *name, const char *path,
                       struct ol_hub_listing *listing, struct ol_error *err);
void ol_hub_listing_clear(struct ol_hub_listing *listing);

/* Where a listing comes from, for messages, and where it goes to; all borrowed. */
struct ol_hub_source {
    const char *repo, *endpoint;
    struct ol_hub_listing *listing;
};
/* Add what an answer lists, the object of a revision or an array of its tree: 0; 1 when
 * it is to be asked for the tree because it says no sizes; -1 with err. */
struct ol_json;
int ol_hub_listing_add(const struct ol_hub_source *s, const struct ol_json *answer,
                       struct ol_error *err);

/* The entry of that path, or NULL. */
const struct ol_hub_entry *ol_hub_listing_find(const struct ol_hub_listing *listing,
                                               const char *path);

#endif
