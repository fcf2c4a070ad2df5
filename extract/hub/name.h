/* Names at the Hub, and what of them may become a file name or a part of a URL. */
#ifndef OL_HUB_NAME_H
#define OL_HUB_NAME_H

#include <stdbool.h>
#include <stddef.h>

enum {
    OL_HUB_MAX_NAME = 96,
    OL_HUB_COMMIT_DIGITS = 40,
    OL_HUB_COMMIT_BYTES = OL_HUB_COMMIT_DIGITS + 1,
};

/* What MODEL means when it is no directory: org/name@revision. A data set's repository is
 * called datasets/org/name, as in the Hub's addresses; no model can have such a name. */
struct ol_hub_name {
    char *repo;           /* org/name, or name; datasets/org/name */
    const char *revision; /* inside of MODEL, borrowed; NULL: none was given */
};

/* false, with nothing to clear, when model is no such name. */
bool ol_hub_name_read(const char *model, struct ol_hub_name *name);
void ol_hub_name_clear(struct ol_hub_name *name);

/* Whether a repository is a data set's: datasets/org/name. */
bool ol_hub_is_dataset(const char *repo);
/* org/name alone, and whether a revision may be asked for. */
bool ol_hub_is_repo(const char *repo);
bool ol_hub_is_revision(const char *text);

/* 40 hexadecimal digits, in lower case. */
bool ol_hub_is_commit(const char *text);
/* n hexadecimal digits, in lower case: what may be the name of a blob. */
bool ol_hub_is_digest(const char *text, size_t n);

/* Whether a path that a repository lists may be a file name below a snapshot: relative,
 * without empty, "." and ".." parts, backslashes and control characters. */
bool ol_hub_is_path(const char *path);

/* Each byte but letters, digits and "_.-~" as %XX, "/" only when encode_slash. The caller
 * frees. */
char *ol_hub_encode(const char *text, bool encode_slash);

#endif
