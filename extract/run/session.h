/* A run of ol-extract on its way: what it holds, made by one file for each job. Private
 * to this folder. */
#ifndef OL_SESSION_H
#define OL_SESSION_H

#include "common/infile.h"
#include "common/output.h"
#include "extract/observe/arms.h"
#include "extract/observe/contributions.h"
#include "extract/observe/down_inputs.h"
#include "extract/observe/heads.h"
#include "extract/observe/input_squares.h"
#include "extract/observe/likelihood.h"
#include "extract/observe/rounded.h"
#include "extract/observe/summaries.h"
#include "extract/observe/summary.h"
#include "extract/run/ablate_from.h"
#include "extract/run/ablation.h"
#include "extract/run/data_parallel.h"
#include "extract/run/devices.h"
#include "extract/run/heartbeat.h"
#include "extract/run/model.h"
#include "extract/run/plan.h"
#include "extract/run/run.h"
#include "extract/hub/hub.h"

/* Everything that a run holds, in the order in which it is made. */
struct ol_session {
    const struct ol_run_request *request;
    char *name; /* of the output, as it is printed */
    struct ol_output output;
    char *path, *partial_path, *state_path, *digests_path; /* its links followed */
    struct ol_model model;
    struct ol_tokenizer *tokenizer;
    struct ol_corpus corpus;
    struct ol_devices devices;
    int n_parts; /* devices that are used */
    struct ol_activation_info info;
    struct ol_activation_layout layout;
    struct ol_activation_input input;
    struct ol_activation_writer *file;
    struct ol_state_file *states;
    struct ol_source *files;    /* of mapped weights; NULL: they are streamed */
    struct ol_digests *digests; /* of streamed weights */
    struct ol_heartbeat *heartbeat;
    bool created; /* the two files are this process's, not an earlier run's */
    int32_t *ids; /* without padding */
    int64_t n_rows;
    struct ol_recording *recording;

    void *hidden; /* of a resumed run */
    int done;     /* layer of hidden, or -1 */
    struct ol_memory_plan memory;
    struct ol_ablation all; /* the sequences with those of all arms */
    struct ol_activation_receipt receipt;
};

/* ---- asked.c ---- */

/* What the file is to hold. */
int ol_session_lay_out(struct ol_session *r, struct ol_error *err);
/* The sequences once more for every arm, and what the file holds of arms. */
int ol_session_add_arms(struct ol_session *r, struct ol_error *err);

/* ---- input.c ---- */

/* Tokens of a sequence as asked for (0: what a file of ids holds); where nobody did, as
 * many as usual, or as the model has positions (0: any number). */
int64_t ol_session_length(const struct ol_run_request *request, int positions);
/* Say so where there are fewer than usual. */
void ol_session_tell_length(const struct ol_run_request *request, int positions);

/* The text or ids, with the tokenizer in that directory. */
int ol_session_read_corpus(struct ol_session *r, const char *directory,
                           struct ol_error *err);
/* Ids without padding, all of them in the vocabulary. */
int ol_session_join_ids(struct ol_session *r, struct ol_error *err);
/* The text of every id that occurs; none without a tokenizer. */
void ol_session_name_pieces(struct ol_session *r);

/* ---- part.c ---- */

/* Of the run's sequences those of the part that was asked for. */
int ol_session_take_part(struct ol_session *r, struct ol_error *err);

/* ---- describe.c ---- */

/* For a plan: what the file will say of the run, as far as its command and the model's
 * config tell it, and for what only the run tells, words of the same length. */
void ol_session_describe_plan(struct ol_session *r);
/* What the file says of the run. */
int ol_session_describe(struct ol_session *r, struct ol_error *err);

/* ---- files.c ---- */

/* Where the file and those beside it are to be. */
int ol_session_find_output(struct ol_session *r, struct ol_error *err);
/* That none of them is an input. */
int ol_session_check_names(const struct ol_session *r, struct ol_error *err);
/* Whether the run is there already, complete. */
int ol_session_look_for_complete(const struct ol_session *r, bool *complete,
                                 struct ol_error *err);
/* The unfinished file and its states: new, or those of an earlier run. */
int ol_session_open_files(struct ol_session *r, struct ol_error *err);
/* A failure before the first layer was kept leaves nothing behind. */
void ol_session_abandon(struct ol_session *r);
/* The file's name on stdout. */
void ol_session_print_name(const struct ol_session *r);
/* The finished file gets its name, which is printed. */
int ol_session_seal(struct ol_session *r, struct ol_error *err);

#endif
