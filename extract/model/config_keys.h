/* What is known of the keys of config.json that a family does not read. */
#ifndef OL_CONFIG_KEYS_H
#define OL_CONFIG_KEYS_H

#include "common/json.h"

enum ol_config_effect {
    OL_CONFIG_HARMLESS, /* it never changes the computation, or not with this value */
    OL_CONFIG_CHANGES,
    /* It has others quantise activations, which are not quantised here: the weights are
     * those that they have, and what is computed of them is not. */
    OL_CONFIG_ACTIVATIONS,
    OL_CONFIG_UNKNOWN,
};

/* name: the key with its sections before it, "rope_scaling.factor"; object: what it is a
 * member of. Null is harmless: it stands for an absent key. */
enum ol_config_effect ol_config_effect_of(const char *name, const struct ol_json *object,
                                          const struct ol_json *value);

#endif
