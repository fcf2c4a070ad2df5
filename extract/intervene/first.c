/* Sequences without their first token: what was an attention sink is gone, and the second
 * token stands in its place. */
#include "extract/intervene/intervention.h"

const struct ol_intervention ol_intervene_first = {.name = "first", .left_out = 1};
