/* Where a model is: a directory as given, or a Hub name in the local Hub cache. */
#ifndef OL_HUB_H
#define OL_HUB_H

#include "common/error.h"

/* The directory with MODEL's config.json, to be freed by the caller: MODEL itself when it
 * is a directory; else, when it has the form name or org/name, the snapshot that
 * refs/main of its cache folder names (HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME,
 * ~/.cache/huggingface/hub, in that order of precedence). NULL on failure, with the
 * places that were looked at. */
char *ol_hub_resolve(const char *model, struct ol_error *err);

#endif
