/* Where a model is: a directory as given, or a Hub name in the local Hub cache. */
#ifndef OL_HUB_H
#define OL_HUB_H

#include "common/error.h"

/* The directory with MODEL's config.json, to be freed by the caller: MODEL itself when it
 * is a directory; else, when it has the form name, org/name or either of them and
 * @revision (a branch, a tag, refs/pr/N, a commit), the snapshot that the revision, or
 * main, of its cache folder names; where refs/main is missing, the only one
 * (HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME,
 * ~/.cache/huggingface/hub, in that order of precedence). NULL on failure, with the
 * places that were looked at. */
char *ol_hub_resolve(const char *model, struct ol_error *err);

/* org/name of a directory that is a snapshot of the Hub cache, .../models--org--name/
 * snapshots/COMMIT, else NULL. The caller frees. */
char *ol_hub_name(const char *directory);

#endif
