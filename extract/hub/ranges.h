/* Weights that never lie on the disk: a source (weights/source.h) that fetches ranges of
 * the Hub's files, in the order of use, into the memory that stands for them, and lets it
 * go behind the compute. Shards that are in the cache are read there. */
#ifndef OL_HUB_RANGES_H
#define OL_HUB_RANGES_H

#include "extract/weights/checkpoint.h"
#include "extract/weights/digests.h"
#include "extract/weights/safetensors.h"
#include "extract/weights/source.h"

struct ol_hub_ranges;

/* Ask the Hub for a model's listing and its shards' headers. model: a name with the
 * commit that its config was read at, org/name@COMMIT. NULL on failure. */
struct ol_hub_ranges *ol_hub_ranges_open(const char *model, struct ol_error *err);

/* Of the shards that are not in the cache [n]; directory: the snapshot. Both are its
 * own. */
const struct ol_safetensors_header *ol_hub_ranges_headers(const struct ol_hub_ranges *r,
                                                          size_t *n);
const char *ol_hub_ranges_directory(const struct ol_hub_ranges *r);

/* The checkpoint that was opened with these headers, whose memory is to be filled, must
 * outlive the source. Its source is freed by ol_source_free. */
struct ol_source *ol_hub_ranges_begin(struct ol_hub_ranges *r,
                                      const struct ol_checkpoint *c);
void ol_hub_ranges_free(struct ol_hub_ranges *r); /* NULL is fine */

/* Note there what is fetched from now on, and hold it to what is noted; borrowed. */
void ol_hub_ranges_note(struct ol_hub_ranges *r, struct ol_digests *digests);

#endif
