/* Where a model is: a directory as given, or a name at the Hub, whose files are in the
 * local cache or are fetched into it. Nothing else of this folder is for others. */
#ifndef OL_HUB_H
#define OL_HUB_H

#include "common/error.h"

/* What is needed of a model, or'ed. */
enum ol_hub_need {
    OL_HUB_CONFIG = 1,    /* config.json and what stands beside it */
    OL_HUB_TOKENIZER = 2, /* the tokenizer's files, where it has any */
    OL_HUB_WEIGHTS = 4,   /* all shards */
    OL_HUB_WHOLE = OL_HUB_CONFIG | OL_HUB_TOKENIZER | OL_HUB_WEIGHTS,
};

/* The directory with MODEL's config.json, to be freed by the caller: MODEL itself when it
 * is a directory; else, when it has the form name, org/name or either of them and
 * @revision (a branch, a tag, refs/pr/N, a commit), the snapshot that the revision, or
 * main, of its cache folder names; where refs/main is missing, the only one
 * (HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME,
 * ~/.cache/huggingface/hub, in that order of precedence). What is needed and not there is
 * downloaded, unless the environment says offline (HF_HUB_OFFLINE). NULL on failure. */
char *ol_hub_resolve(const char *model, unsigned need, struct ol_error *err);

/* The same of a name alone, whole, and as the Hub has it now: a branch that has moved on
 * is followed. */
char *ol_hub_download(const char *model, struct ol_error *err);

/* org/name of a directory that is a snapshot of the Hub cache, .../models--org--name/
 * snapshots/COMMIT, else NULL. The caller frees. */
char *ol_hub_name(const char *directory);

/* The digest of a file of the Hub's cache, as the name of the blob says to which its
 * links lead; NULL: it is no such file. The caller frees. */
char *ol_hub_blob_digest(const char *path);

#endif
