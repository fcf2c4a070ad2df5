/* What heads of attention look at, gathered by heads.c. */
#ifndef OL_HEADS_H
#define OL_HEADS_H

#include "extract/model/spec.h"

/* Heads of a layer whose attention is looked at; 0: the layer has none. */
int ol_heads_n(const struct ol_spec *spec, int layer);

#endif
