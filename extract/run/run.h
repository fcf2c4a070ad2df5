/* One run of ol-extract: a model and a text become an activation file. */
#ifndef OL_EXTRACT_RUN_H
#define OL_EXTRACT_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "common/activation_file.h"
#include "common/options.h"
#include "extract/backend.h"
#include "extract/run/part.h"
#include "extract/text/corpus.h"

enum ol_store { OL_STORE_BF16, OL_STORE_F32, OL_STORE_NONE };

/* Tokens of a run, at most: rows are numbered by 32 bits (backend.h, permute). */
enum { OL_MOST_TOKENS = INT32_MAX };

struct ol_run_request {
    /* All borrowed. */
    const char *model;
    const char *output; /* NULL: SHORT_NAME.h5 */
    const char *command_line;
    struct ol_corpus_request corpus; /* bos is set from bos_auto here */
    bool usual_length;   /* corpus.length is the usual one: less where a model has less */
    struct ol_part part; /* which of the run's sequences */
    bool bos_auto;
    enum ol_dtype precision; /* BF16 or F32 */
    const char *layers;      /* "0-7,12", checked to be a list; NULL: all */
    bool sites[OL_N_SITES];  /* stored */
    enum ol_store store;
    enum ol_backend_kind backend;
    int n_threads;       /* of the CPU backend; 0: as many as processors */
    const char *devices; /* of the CUDA backend, "0,1", counted from 0; NULL: "0" */
    const struct ol_device_model *device_model; /* of a plan: not what is here */
    int64_t memory; /* budget in bytes, of a device's memory or the host's; 0: what is
                       free, less a reserve */
    bool perplexity, resume;
    bool stream; /* weights come from the Hub when they are needed, and are not kept */
    const char *tmpdir;  /* for the states of the run; NULL: beside its file */
    double keep_seconds; /* between two states of an unfinished run; 0: every layer's */
    double progress_seconds; /* between lines of a log; 0: none */
    struct ol_texts ablate;  /* an arm each */
    const char *ablate_from; /* results whose findings are further arms; NULL: none */
    bool imatrix;            /* sum up the squares of products' inputs; with summaries */
    bool summary;            /* make summaries, */
    double threshold;        /* whose occurrences are of at least this magnitude */
};

/* Run it and print the sealed file's name on stdout. */
int ol_run(const struct ol_run_request *request, struct ol_error *err);

/* Print the token ids instead, one sequence per line; with corpus.n_sequences 0, one
 * document per line. */
int ol_run_tokenize(const struct ol_run_request *request, struct ol_error *err);

/* Fetch the model from the Hub as it is there now, and print the directory that it is
 * in. */
int ol_run_download(const struct ol_run_request *request, struct ol_error *err);

/* Print what the run would need as JSON (plan.h); reads no text. */
int ol_run_plan(const struct ol_run_request *request, struct ol_error *err);

#endif
