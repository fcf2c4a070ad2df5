/* Digests of rows that stay as they are until they settle: the backend may not have
 * filled them in yet, and rows of many occurrences are looked at again. Only observers
 * include this. */
#ifndef OL_HELD_H
#define OL_HELD_H

#include "extract/observe/observer.h"

enum { OL_MOST_HELD = 32 };

/* The jobs that they become, in their order. Zeroed: none. */
struct ol_held {
    struct ol_writer_job jobs[OL_MOST_HELD];
    int n;
    int64_t until; /* the number of the result that the last one is */
};

/* Bytes that a backend leaves of so many digests, of so many rows in all, of which as
 * many as can be are held at a time. */
int64_t ol_held_result_bytes(const struct ol_spec *spec, int64_t n, int64_t n_rows);

/* One more, of which `job` says all but the data, which it gets: so many bytes of room.
 * There are fewer than can be. It stays with `held`; NULL with err. */
struct ol_writer_job *ol_held_add(struct ol_held *held,
                                  const struct ol_observer_context *c,
                                  const struct ol_writer_job *job, size_t bytes,
                                  struct ol_error *err);

/* All are filled in and handed over: the rows may change. */
int ol_held_settle(struct ol_held *held, const struct ol_observer_context *c,
                   struct ol_error *err);

/* All are handed over by `put`; what is not, because it fails, stays. */
int ol_held_put(struct ol_held *held, const struct ol_observer_context *c,
                int (*put)(const struct ol_observer_context *c,
                           const struct ol_writer_job *job, struct ol_error *err),
                struct ol_error *err);

/* They are dropped. */
void ol_held_clear(struct ol_held *held);

#endif
