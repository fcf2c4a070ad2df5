/* A run on several devices: its sequences are split over them, and each device takes its
 * own through the whole model, in a thread of its own.
 *
 * Sequences, not experts: were experts split, each weight would pass the link once
 * instead of once per device, but the links work side by side, so that this saves no time
 * while every device has one of its own; and the rows of all tokens would pass between
 * devices twice a layer. It would pay off where devices share a link and tokens are few.
 */
#ifndef OL_TEAM_H
#define OL_TEAM_H

#include "extract/forward/forward.h"

enum { OL_TEAM_MOST = OL_STREAM_MOST_USERS };

/* Tokens of the largest of n parts; there are at least n sequences. */
int64_t ol_team_most_rows(const int32_t *lengths, int64_t n_sequences, int64_t block_rows,
                          int n);

/* ol_forward_run of all of `in`, on n backends. */
int ol_team_run(const struct ol_forward_input *in, struct ol_backend *const *backends,
                int n, struct ol_progress *progress, struct ol_error *err);

/* Wait until all parts are here; with team NULL there is but one. Fails when one has
 * failed. */
int ol_team_meet(struct ol_team *team, struct ol_error *err);

#endif
