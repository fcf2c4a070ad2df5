/* What is needed of a repository, from its listing into the cache. */
#ifndef OL_HUB_DOWNLOAD_H
#define OL_HUB_DOWNLOAD_H

#include "extract/hub/hub.h"
#include "extract/hub/name.h"

/* List the repository, say how much comes and where to, see that there is room, fetch
 * what is missing, and let the revision name the snapshot: its directory, to be freed;
 * NULL on failure. */
char *ol_hub_fetch_model(const struct ol_hub_name *name, unsigned need,
                         struct ol_error *err);

#endif
