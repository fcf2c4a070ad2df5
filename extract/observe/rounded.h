/* What routers would choose if their inputs were rounded, gathered by rounded.c. */
#ifndef OL_ROUNDED_H
#define OL_ROUNDED_H

#include "extract/model/spec.h"

/* Rows that are rounded in a layer; 0: it has no router. */
int ol_rounded_n(const struct ol_spec *spec, int layer);

#endif
