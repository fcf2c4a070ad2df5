/* Jobs about what the backend has left where it computed it (backend.h): they are handed
 * over to the writer when it has come, while the next layer is computed. Only observers
 * and their taps include this. */
#ifndef OL_PENDING_H
#define OL_PENDING_H

#include "extract/backend.h"
#include "extract/observe/writer.h"

struct ol_pending;

/* Of one pass; both are borrowed. */
struct ol_pending *ol_pending_new(struct ol_backend *backend, struct ol_writer *writer);
/* What was left is forgotten, and jobs that wait for it are dropped. NULL is fine. */
void ol_pending_free(struct ol_pending *p);

/* As ol_writer_put, in the order in which these are called: _later when all that the
 * backend has left so far has come, _put at once, unless jobs of the same layer wait. */
int ol_pending_later(struct ol_pending *p, const struct ol_writer_job *job,
                     struct ol_error *err);
int ol_pending_put(struct ol_pending *p, const struct ol_writer_job *job,
                   struct ol_error *err);

/* Hand over all that wait, each as soon as the writer has room. */
int ol_pending_flush(struct ol_pending *p, struct ol_error *err);

#endif
