/* What an activation file says of its layers in words (layers_json): text that need not
 * be JSON of layers, which then says nothing. */
#ifndef OL_LAYERS_SAID_H
#define OL_LAYERS_SAID_H

#include <stdint.h>

enum { OL_ANY_LAYER = -1 };

/* The text under `key` of the layer of that number, or of the first that has one; the
 * caller frees. NULL: nothing is said. */
char *ol_layers_said(const char *layers_json, int number, const char *key);

/* How the first layer with experts routes, in words; the caller frees. NULL: dense, or
 * not known. */
char *ol_layers_routing(const char *layers_json);

/* Inputs of mixers and of MLPs, of so many layers: two of each but of those that have no
 * mixer, or no MLP. OL_ABSENT: all have both, or it is not known. */
int64_t ol_layers_sites(const char *layers_json, int64_t n_layers);

#endif
