/* What an arm changes. A kind of intervention is one file and one line in arms.c. */
#ifndef OL_INTERVENTION_H
#define OL_INTERVENTION_H

#include "extract/forward/arms.h"

enum { OL_ARM_MOST_ITEMS = 256 }; /* dimensions or experts of an intervention */

struct ol_intervention {
    const char *name; /* what stands before the colon */
    const char
        *form; /* what is to stand behind it, for people; NULL: nothing, no colon */
    /* Read what stands behind it. NULL on failure. */
    void *(*parse)(const char *text, const struct ol_spec *spec, struct ol_error *err);
    void (*free)(void *self);
    /* Each may be NULL. */
    int (*change_stream)(const void *self, const struct ol_arm_stream *s,
                         struct ol_error *err);
    void (*change_choices)(const void *self, const struct ol_arm_choices *c);
    int left_out; /* tokens at the beginning of each sequence */
    bool of_run;  /* what it does follows from all tokens of the run */
};

/* All kinds, NULL last. */
extern const struct ol_intervention *const ol_interventions[];

/* Whether a text can be an arm of some model, as far as it tells by itself. */
int ol_arm_check(const char *text, struct ol_error *err);
/* An arm of interventions that are joined by "+", like zero:507+drop:11.3. NULL on
 * failure. */
struct ol_arm *ol_arm_parse(const char *text, const struct ol_spec *spec,
                            struct ol_error *err);
void ol_arm_free(struct ol_arm *arm); /* NULL is fine */
/* Whether a part of a run cannot know what the arm does in the run. */
bool ol_arm_is_of_run(const struct ol_arm *arm);

/* All arms of a run; frees what it has made when it fails. Clear it with _clear. */
int ol_arms_parse(const char *const *texts, int n, const struct ol_spec *spec,
                  struct ol_arms *arms, struct ol_error *err);
void ol_arms_clear(struct ol_arms *arms);

/* For the kinds: a decimal number below `limit` at *at, which is moved behind it. */
int ol_intervention_number(const char **at, int64_t limit, const char *what,
                           int64_t *number, struct ol_error *err);

#endif
