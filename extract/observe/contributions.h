/* What the table of a layer's contributions is about (contributions.c gathers it). */
#ifndef OL_CONTRIBUTIONS_H
#define OL_CONTRIBUTIONS_H

#include "extract/observe/observer.h"

/* Components of the MLP of a layer: experts and the shared one; 1 when it is dense. */
int ol_contributions_components(const struct ol_spec *spec, int layer);

#endif
