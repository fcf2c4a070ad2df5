/* What the environment says of the Hub, by the names and in the order of precedence that
 * its Python clients have. */
#ifndef OL_HUB_SETTINGS_H
#define OL_HUB_SETTINGS_H

#include <stdbool.h>

#include "common/error.h"

struct ol_hub_settings {
    char *endpoint;         /* HF_ENDPOINT, without "/" at its end */
    char *cache;            /* the folder of the cache, */
    const char *cache_from; /* and the variable that says so, or "default" */
    char *token;            /* NULL: none */
    char *token_from;       /* what it was read from, for messages */
    char *ca_file;          /* certificates in place of the system's; NULL: none */
    bool offline;
    /* Seconds: of connecting; of an answer to a question, or of bytes, that stall. */
    long connect_seconds, answer_seconds, stall_seconds;
};

/* Fails on a value that cannot be meant. Clear it also then. */
int ol_hub_settings_read(struct ol_hub_settings *s, struct ol_error *err);
void ol_hub_settings_clear(struct ol_hub_settings *s);

/* The folder of the cache alone, and where from. The caller frees. */
char *ol_hub_cache_folder(const char **from);
bool ol_hub_is_offline(void);

#endif
