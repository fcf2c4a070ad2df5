/* A model as it is found on the disk: config.json, checkpoint, and the weights bound. */
#ifndef OL_MODEL_H
#define OL_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "common/sha256.h"
#include "extract/hub/ranges.h"
#include "extract/hub/remote.h"
#include "extract/weights/checkpoint.h"
#include "extract/model/spec.h"
#include "extract/weights/weights.h"

struct ol_model {
    char *directory;
    char *name; /* the Hub name, or the last part of the directory's path */
    char *config_text;
    char config_sha256[OL_SHA256_HEX_BYTES];
    struct ol_json *config;
    struct ol_config_notes notes; /* what was said of keys of config.json */
    struct ol_spec spec;
    struct ol_hub_remote remote;  /* of a plan, where shards are at the Hub alone */
    struct ol_hub_ranges *ranges; /* of a run that streams; NULL: all is here */
    struct ol_checkpoint *checkpoint;
    struct ol_weights *weights;
    struct ol_source *source; /* of the ranges; NULL: mapped files */
};

/* config.json alone, and the checkpoint when there is one, or, of a model that is at the
 * Hub, its headers (else checkpoint and weights are NULL). model may also be a file: a
 * config.json, or an object with "name" and "config" (data/models). */
int ol_model_open_config(struct ol_model *m, const char *model, struct ol_error *err);

/* model: a directory or a Hub name (hub.h), whose tokenizer is needed or not. streams: of
 * a name, shards that are not in the cache are not fetched into it; their bytes come when
 * they are needed. Start from {0}; clear also after a failure. */
struct ol_model_request {
    const char *model;
    bool tokenizer, streams;
};
int ol_model_open(struct ol_model *m, const struct ol_model_request *request,
                  struct ol_error *err);
void ol_model_clear(struct ol_model *m);

/* Positions for which the model in that directory has embeddings; 0: it has none of
 * positions, or its config.json cannot be read, which is for others to say. */
int ol_model_positions(const char *directory);

/* The name of what --output is by default made of: what follows the last "/" of a Hub
 * name, the last part of a directory's path. The caller frees. */
char *ol_model_short_name(const char *model);

#endif
