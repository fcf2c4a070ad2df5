/* How far a run is and how fast, in numbers: for the line on a terminal, the lines of a
 * log file, and the status file that another machine reads. */
#ifndef OL_FIGURES_H
#define OL_FIGURES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/json.h"

struct ol_figures {
    int64_t layer, n_layers; /* the first device's layer, from 0; n_layers: behind all */
    int64_t n_tokens;
    double fraction;      /* of the work, that of an earlier process too */
    double seconds;       /* since the process began, */
    double layer_seconds; /* and since it came to the layer */
    double tokens_per_second, seconds_left;
    int64_t bytes_read, link_bytes, memory, device_memory;
    double disk_waits, link_waits, compute_waits; /* shares of the seconds */
};

/* With two spaces before each of those that fit into `room` columns of text, of which
 * there are OL_FIGURES_TEXT at most; nothing when not even the first fits. */
enum { OL_FIGURES_TEXT = 1024 };
void ol_figures_text(const struct ol_figures *f, int room, char text[OL_FIGURES_TEXT]);

/* As members of an object, each under its name above; reading fails where one is missing
 * or no number. */
void ol_figures_set(const struct ol_figures *f, struct ol_json *object);
int ol_figures_get(struct ol_json_section s, struct ol_figures *f, struct ol_error *err);

#endif
