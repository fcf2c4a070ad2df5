/* What is needed of a repository, from its listing into the cache. */
#ifndef OL_HUB_DOWNLOAD_H
#define OL_HUB_DOWNLOAD_H

#include "extract/hub/cache.h"
#include "extract/hub/client.h"
#include "extract/hub/hub.h"
#include "extract/hub/listing.h"

struct ol_hub_download {
    const struct ol_hub_name *name; /* borrowed */
    unsigned need;
    struct ol_hub_client *client;
    struct ol_http *http;
    struct ol_hub_listing listing;
    struct ol_hub_store store;
    /* What is not in the snapshot: [n], of the listing, its weights first. */
    const struct ol_hub_entry **missing;
    size_t n;
    const struct ol_hub_entry **twins; /* [n_twins]: missing too, of the same bytes */
    size_t n_twins;
    int64_t total, there; /* bytes of it, and those that an earlier try left */
    int64_t room;         /* that it takes on the disk */
};

/* List the repository and find out what of it is missing; of the weights the index is
 * fetched for it, which says which files they are. Start from {0}; end it also after a
 * failure. */
int ol_hub_download_begin(struct ol_hub_download *d, const struct ol_hub_name *name,
                          unsigned need, struct ol_error *err);
void ol_hub_download_end(struct ol_hub_download *d);

/* The same of a single file: what the Hub says of it, borrowed, in *entry. Its bytes may
 * be read by ranges, or all of them fetched into the cache. */
int ol_hub_download_begin_file(struct ol_hub_download *d, const struct ol_hub_name *name,
                               const char *path, const struct ol_hub_entry **entry,
                               struct ol_error *err);
int ol_hub_download_file(struct ol_hub_download *d, const struct ol_hub_entry *entry,
                         struct ol_error *err);
/* Let the revision mean that commit, in the cache. */
int ol_hub_download_set_ref(const struct ol_hub_download *d, struct ol_error *err);

/* Bytes that are free on the disk of the cache. */
int ol_hub_download_room(const struct ol_hub_download *d, int64_t *bytes,
                         struct ol_error *err);

/* All of it: say how much comes and where to, see that there is room, fetch what is
 * missing, and let the revision name the snapshot: its directory, to be freed; NULL on
 * failure. */
char *ol_hub_fetch_model(const struct ol_hub_name *name, unsigned need,
                         struct ol_error *err);

#endif
