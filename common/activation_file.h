/* THE activation file (ol-activations.5): what ol-extract writes and ol-analyze maps.
 *
 * The writer lays out the whole file first (every group, attribute and dataset, space
 * allocated), then tensor rows are written straight to their chunks' places. A run that
 * dies leaves FILE.partial, a valid file whose `complete` is 0, that can be resumed;
 * nothing has the final name before every byte of it is there. */
#ifndef OL_ACTIVATION_FILE_H
#define OL_ACTIVATION_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/dtype.h"
#include "common/error.h"
#include "common/sha256.h"

enum ol_site {
    OL_SITE_LN_ATTN,       /* output of the norm before attention */
    OL_SITE_LN_MLP,        /* output of the norm before the MLP */
    OL_SITE_RESIDUAL_ATTN, /* the stream before that first norm */
    OL_SITE_RESIDUAL_MLP,  /* the stream before that second norm */
    OL_N_SITES,
};
const char *ol_site_name(enum ol_site site); /* "ln_attn", ... as in the file */

/* What the file says of itself and of the model. Text is owned by the struct (free with
 * ol_activation_info_clear); NULL text is written as "". */
struct ol_activation_info {
    char *tool, *tool_version, *command_line, *created, *backend, *precision, *device;
    struct {
        char *name, *family, *config_json, *weight_format, *config_sha256,
            *weights_sha256;
        char *layers_json;
        int64_t n_layers, d_model, vocab_size, n_experts, top_k;
        int64_t total_parameters, active_parameters;
    } model;
    struct {
        char *source, *text_sha256, *tokenizer_sha256, *windowing;
        bool bos;
    } input;
};
void ol_activation_info_clear(struct ol_activation_info *info);

/* One recorded layer. */
struct ol_activation_layer {
    int number;             /* NNN of /layers/NNN */
    bool moe;               /* kind "moe" or "dense" */
    char attention[16];     /* "full", "sliding", "chunked", "linear" */
    bool sites[OL_N_SITES]; /* tensors stored */
    int top_k;              /* router tables are stored when > 0 */
};

struct ol_activation_layout {
    int64_t n_sequences, n_tokens, d_model; /* n_tokens: the longest sequence */
    enum ol_dtype dtype; /* of the tensors: OL_DTYPE_BF16 or OL_DTYPE_F32 */
    bool nll;            /* /input/nll exists */
    int n_layers;        /* recorded layers */
    struct ol_activation_layer *layers; /* [n_layers], numbers ascending */
};

/* Whether two files record the same layers, sites and router tables. */
bool ol_activation_same_layers(const struct ol_activation_layout *a,
                               const struct ol_activation_layout *b);

/* The input: token ids and the text of the distinct ids that occur. All borrowed by the
 * writer during _create; owned by the reader's file. */
struct ol_activation_input {
    const int32_t *token_ids; /* [n_sequences, n_tokens], -1 past the end of a row */
    const int32_t *lengths;   /* [n_sequences] */
    int64_t n_pieces;
    const int32_t *piece_ids;  /* [n_pieces], ascending */
    const char *const *pieces; /* [n_pieces], UTF-8 */
};

/* ---- writer ---- */

struct ol_activation_writer;

/* Create PATH.partial with everything but the tensors' bytes. Fails, naming the directory
 * or the bytes needed and free, when PATH's directory is missing or the disk is too
 * small. */
struct ol_activation_writer *
ol_activation_create(const char *path, const struct ol_activation_info *info,
                     const struct ol_activation_layout *layout,
                     const struct ol_activation_input *input, struct ol_error *err);

/* Open an unfinished PATH.partial of the same run: info (except created), layout and
 * input must be what the file holds, else it fails and says what differs. */
struct ol_activation_writer *
ol_activation_reopen(const char *path, const struct ol_activation_info *info,
                     const struct ol_activation_layout *layout,
                     const struct ol_activation_input *input, struct ol_error *err);

/* Rows token..token+n-1 of one sequence: [n, d_model] in layout->dtype; layer is the
 * layer's number in the model and must be recorded with that site. Thread-safe (pwrite).
 */
int ol_activation_write_site(struct ol_activation_writer *w, int layer, enum ol_site site,
                             int64_t sequence, int64_t token, int64_t n, const void *rows,
                             struct ol_error *err);

/* The router tables' rows of one sequence: ids [n, top_k] uint16, weights [n, top_k]
 * float32. */
int ol_activation_write_router(struct ol_activation_writer *w, int layer,
                               int64_t sequence, int64_t token, int64_t n,
                               const uint16_t *ids, const float *weights,
                               struct ol_error *err);

/* One sequence's negative log-likelihoods, [n_tokens] float32. */
int ol_activation_write_nll(struct ol_activation_writer *w, int64_t sequence,
                            const float *nll, struct ol_error *err);

/* Make everything written so far durable (fdatasync). */
int ol_activation_sync(struct ol_activation_writer *w, struct ol_error *err);

/* Set `peak_memory` (bytes; 0: not known, not set) and `complete`, make it durable,
 * rename PATH.partial to PATH, and free the writer, also when it fails (then PATH.partial
 * stays). */
int ol_activation_seal(struct ol_activation_writer *w, int64_t peak_memory,
                       struct ol_error *err);

/* Free without sealing; PATH.partial stays for a later resume. NULL is fine. */
void ol_activation_abandon(struct ol_activation_writer *w);

/* ---- reader ---- */

struct ol_activation_file;

/* Open a sealed file, check format, version, every dataset's type, shape and chunk
 * layout, every chunk's offset and size against the file's length, and map it read-only.
 */
struct ol_activation_file *ol_activation_open(const char *path, struct ol_error *err);
void ol_activation_close(struct ol_activation_file *f);

/* Borrowed from the file, valid until it is closed. */
const char *ol_activation_path(const struct ol_activation_file *f);
const struct ol_activation_info *ol_activation_info(const struct ol_activation_file *f);
const struct ol_activation_layout *
ol_activation_layout(const struct ol_activation_file *f);
const struct ol_activation_input *ol_activation_input(const struct ol_activation_file *f);

/* Mapped rows [n_tokens, d_model] of one sequence in layout->dtype, aligned for it.
 * i_layer is an index into layout->layers, whose sites[site] must be true. Thread-safe.
 */
const void *ol_activation_site(const struct ol_activation_file *f, int i_layer,
                               enum ol_site site, int64_t sequence);

/* [n_tokens, top_k] of one sequence; layout->layers[i_layer].top_k must be > 0.
 * Thread-safe. */
const uint16_t *ol_activation_router_ids(const struct ol_activation_file *f, int i_layer,
                                         int64_t sequence);
const float *ol_activation_router_weights(const struct ol_activation_file *f, int i_layer,
                                          int64_t sequence);

/* [n_tokens] of one sequence; layout->nll must be true. Thread-safe. */
const float *ol_activation_nll(const struct ol_activation_file *f, int64_t sequence);

#endif
