/* While a run is under way it says in a small file beside it, every few seconds, that it
 * is and how far: FILE.partial.status, JSON, for `ol-extract --status` on any machine
 * that sees the file; and where stderr is no terminal, in a line of its log once a
 * minute. */
#ifndef OL_HEARTBEAT_H
#define OL_HEARTBEAT_H

#include "extract/run/progress.h"

struct ol_heartbeat;

/* partial_path is borrowed; log_seconds between two lines of the log, 0: none. A status
 * file that cannot be written is warned of once: the run does not need it. NULL on
 * failure. */
struct ol_heartbeat *ol_heartbeat_new(const char *partial_path,
                                      struct ol_progress *progress, double log_seconds,
                                      struct ol_error *err);
/* The layers are done, or given up: the progress is not asked any more, and the last that
 * it said is said on until _free. NULL is fine. */
void ol_heartbeat_detach(struct ol_heartbeat *h);
/* Say nothing more, and remove the status file. NULL is fine. */
void ol_heartbeat_free(struct ol_heartbeat *h);

/* Print how far the run is whose unfinished (or complete) file that is, as text or JSON.
 * Fails where there is no such run, or no sign
 * of life of it. */
int ol_heartbeat_tell(const char *path, bool json, struct ol_error *err);

#endif
