/* The local Hub cache, as huggingface_hub lays it out, so that each finds what the other
 * wrote:
 *
 *     CACHE/.locks/models--ORG--NAME/ETAG.lock     held while a blob is being fetched
 *     CACHE/models--ORG--NAME/refs/main            40 hexadecimal digits: a commit
 *                            /blobs/ETAG           the bytes
 *                            /snapshots/COMMIT/    the files: links into blobs/
 *                            /.no_exist/COMMIT/    empty: files that the commit has not
 */
#ifndef OL_HUB_CACHE_H
#define OL_HUB_CACHE_H

#include <stdbool.h>

#include "common/error.h"
#include "extract/hub/listing.h"
#include "extract/hub/name.h"

/* CACHE/models--ORG--NAME, or datasets--ORG--NAME. The caller frees. */
char *ol_hub_cache_model(const char *cache, const char *repo);

/* The snapshot of that revision, or of main, in the model's folder: a path to be freed,
 * NULL with err when it is not there. */
char *ol_hub_cache_find(const char *folder, const struct ol_hub_name *name,
                        struct ol_error *err);

/* The commit of a revision, by the folder of its repository; without a revision what
 * refs/main says or, where no reference was written, the only snapshot that there is. */
int ol_hub_cache_commit(const char *folder, const char *revision,
                        char commit[OL_HUB_COMMIT_BYTES], struct ol_error *err);

/* ---- writing (cache_write.c) ---- */

/* The folder of a file that is to be, with all above it. */
int ol_hub_make_parents(const char *path, struct ol_error *err);

/* A folder of a model in a cache, and the commit whose snapshot is being made. */
struct ol_hub_store {
    char *folder, *locks, *snapshot;
};

/* Make the folders that are missing. Start from {0}; clear also after a failure. */
int ol_hub_store_open(struct ol_hub_store *s, const char *cache, const char *repo,
                      const char *commit, struct ol_error *err);
void ol_hub_store_clear(struct ol_hub_store *s);

/* The blob's path. The caller frees. */
char *ol_hub_store_blob(const struct ol_hub_store *s, const char *etag);
/* 1 when the bytes of a file are in the cache, under whatever name; 0 when not; -1 when
 * what is there has another size. */
int ol_hub_store_look(const struct ol_hub_store *s, const struct ol_hub_entry *entry,
                      struct ol_error *err);
/* 1 when the file itself is in the snapshot, its links followed to their end; else as
 * above. */
int ol_hub_store_has(const struct ol_hub_store *s, const struct ol_hub_entry *entry,
                     struct ol_error *err);

/* Lock a blob against other processes: a descriptor, by whose closing it is unlocked;
 * -1 when somebody else has it, or with err. */
int ol_hub_store_lock(const struct ol_hub_store *s, const char *etag,
                      struct ol_error *err);

/* Name a blob in the snapshot: by a relative link or, where the file system has none, by
 * a hard one, a copy, or a change of its name. */
int ol_hub_store_link(const struct ol_hub_store *s, const char *etag, const char *path,
                      struct ol_error *err);

/* Bytes on the disk of blobs on their way that nobody is at work on. */
int64_t ol_hub_store_unfinished(const struct ol_hub_store *s);

/* Write down that the commit has no such file. What fails is left undone. */
void ol_hub_store_note_absent(const struct ol_hub_store *s, const char *path);

/* Let a revision mean the commit. A cache that cannot be written is used as it is. */
int ol_hub_store_set_ref(const struct ol_hub_store *s, const char *revision,
                         const char *commit, struct ol_error *err);

#endif
