/* A file of a data set at the Hub, hf://datasets/ORG/NAME[@REVISION]/PATH: read by
 * ranges, or fetched whole into the local cache. */
#ifndef OL_HUB_DATASET_H
#define OL_HUB_DATASET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "extract/hub/name.h"

struct ol_hub_place {
    struct ol_hub_name name; /* datasets/ORG/NAME, and the revision below */
    char *revision;          /* NULL: none was given */
    char *path;
    char *behind; /* what stands behind the last "#"; NULL: nothing */
};

/* "hf://" in front: false, with nothing to clear, where it is not. */
bool ol_hub_is_address(const char *text);
/* -1 when it names no file of a data set. Clear it also then. */
int ol_hub_place_read(const char *address, struct ol_hub_place *place,
                      struct ol_error *err);
void ol_hub_place_clear(struct ol_hub_place *place);

/* Where the cache has what is of that data set, there or not. The caller frees. */
char *ol_hub_place_folder(const struct ol_hub_place *place);
/* The commit that the revision means, as far as the cache knows without the Hub. */
bool ol_hub_place_commit(const struct ol_hub_place *place,
                         char commit[OL_HUB_COMMIT_BYTES]);

/* ---- by ranges ---- */

struct ol_hub_file;

/* Ask the Hub for it. place is borrowed. NULL on failure. */
struct ol_hub_file *ol_hub_file_open(const struct ol_hub_place *place,
                                     struct ol_error *err);
void ol_hub_file_close(struct ol_hub_file *f); /* NULL is fine */

struct ol_hub_file_facts {
    const char *commit, *etag; /* borrowed */
    int64_t size;
    int64_t fetched; /* bytes so far */
    long n_requests;
};
struct ol_hub_file_facts ol_hub_file_facts(const struct ol_hub_file *f);

/* n bytes from `offset` on; file is a struct ol_hub_file. */
int ol_hub_file_read(void *file, int64_t offset, size_t n, void *bytes,
                     struct ol_error *err);

/* ---- whole ---- */

/* Its path in the cache, to be freed, and its commit; NULL when it is not there. */
char *ol_hub_file_find(const struct ol_hub_place *place,
                       char commit[OL_HUB_COMMIT_BYTES]);

/* The same; it is fetched where it is not there, unless the environment says offline.
 * NULL on failure. */
char *ol_hub_file_fetch(const struct ol_hub_place *place,
                        char commit[OL_HUB_COMMIT_BYTES], struct ol_error *err);

#endif
