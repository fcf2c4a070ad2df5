/* Finds the weight of a role in a checkpoint, in whatever format it is stored: plain,
 * fused with other experts, or quantised in the way that config.json names. What the
 * checkpoint holds decides, tensor by tensor: a plain tensor of the expected name is
 * taken as it is in any model. */
#ifndef OL_WEIGHT_FORMAT_H
#define OL_WEIGHT_FORMAT_H

#include "common/error.h"
#include "extract/weights/checkpoint.h"
#include "extract/model/role.h"
#include "extract/weights/weight.h"

/* 1 with *weight; 0 when the checkpoint has no such tensor; -1 with err when it has one
 * of unexpected type or shape, or one without its scales. Where the checkpoint's bytes
 * are not there a weight may be left `unseen`: what of it follows from its own bytes. */
int ol_weight_find(const struct ol_checkpoint *c, const struct ol_role_tensor *want,
                   struct ol_weight *weight, struct ol_error *err);
/* See one that was left so, whose own bytes are there now. 0 or -1. */
int ol_weight_see(const struct ol_checkpoint *c, const struct ol_role_tensor *want,
                  struct ol_weight *weight, struct ol_error *err);

#endif
