/* How far a download is: a line on a terminal, and a sentence at its end. */
#ifndef OL_HUB_METER_H
#define OL_HUB_METER_H

#include <stdint.h>

#include "extract/hub/client.h"

/* Bytes as people say them, "61.07 GB", "9.1 MB", "3 kB". */
struct ol_amount {
    char text[32];
};
struct ol_amount ol_amount(double bytes);

struct ol_meter;

/* total: bytes of everything, of which `there` were there before. */
struct ol_meter *ol_meter_new(struct ol_hub_client *client, int64_t total, int64_t there);
/* From any thread: so many bytes have come; are not to come, because another process
 * brought them; were there, or came, for nothing. */
void ol_meter_add(struct ol_meter *m, int64_t bytes);
void ol_meter_skip(struct ol_meter *m, int64_t bytes);
void ol_meter_lose(struct ol_meter *m, int64_t bytes);
/* Draw the line, if it is time. */
void ol_meter_draw(struct ol_meter *m);
/* Wipe it; with `done`, say in a note what came and how fast. Frees. NULL is fine. */
void ol_meter_end(struct ol_meter *m, bool done);

#endif
