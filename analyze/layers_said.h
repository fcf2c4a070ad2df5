/* What an activation file says of its layers in words (layers_json). */
#ifndef OL_LAYERS_SAID_H
#define OL_LAYERS_SAID_H

enum { OL_ANY_LAYER = -1 };

/* The text under `key` of the layer of that number, or of the first that has one; the
 * caller frees. NULL: nothing is said, or layers_json is no JSON of layers. */
char *ol_layers_said(const char *layers_json, int number, const char *key);

#endif
