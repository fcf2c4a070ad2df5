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

#include "common/crc32.h"
#include "common/dtype.h"
#include "common/error.h"
#include "common/tables.h"

enum ol_site {
    OL_SITE_LN_ATTN,       /* output of the norm before attention */
    OL_SITE_LN_MLP,        /* output of the norm before the MLP */
    OL_SITE_RESIDUAL_ATTN, /* the stream before that first norm */
    OL_SITE_RESIDUAL_MLP,  /* the stream before that second norm */
    OL_N_SITES,
};
const char *ol_site_name(enum ol_site site); /* "ln_attn", ... as in the file */

/* What a layer's summary describes. */
enum ol_summary_site {
    OL_SUMMARY_LN_ATTN,
    OL_SUMMARY_LN_MLP,
    OL_SUMMARY_OUTPUT, /* the stream after the layer */
    OL_N_SUMMARY_SITES,
};
const char *ol_summary_site_name(enum ol_summary_site site);
/* Which summary describes a site; OL_N_SUMMARY_SITES: none. */
enum ol_summary_site ol_summary_site_of(enum ol_site site);

enum {
    OL_TOP_FEATURES = 4,    /* kept of every token's stream */
    OL_NO_FEATURE = 0xffff, /* fewer than that many dimensions */
    OL_WRITES_PER_TOP = 2,  /* value and attention, before the slots of the MLP */
};

/* Inputs of products whose squares are summed up for an importance matrix, beside those
 * that are the output of a norm. */
enum ol_input {
    OL_INPUT_MIXED,        /* of the attention's output projection */
    OL_INPUT_QUERY_LATENT, /* of q_b, where queries have a latent */
    OL_INPUT_KEY_LATENT,   /* of kv_b, where keys and values have one */
    OL_INPUT_QUERIES,      /* of kv_b's keys when these stay latent: every head's query
                              without its rotated part, head after head */
    OL_INPUT_VALUES,       /* and of its values: what every head attends to, in the
                              latent, head after head */
    OL_INPUT_MLP_DOWN,     /* of a dense MLP's down projection */
    OL_INPUT_SHARED_DOWN,  /* of the shared expert's */
    OL_INPUT_EXPERTS,      /* of each routed expert's gate and up projection */
    OL_INPUT_EXPERTS_DOWN, /* and of its down projection */
    OL_INPUT_EXPERTS_SUM,  /* of the way up from the latent of routed experts */
    OL_INPUT_OUT_LATENT,   /* of the second of two output projections of attention */
    OL_INPUT_LAYER_GATE,   /* of the gate of what a layer gets besides the stream */
    OL_INPUT_LAYER_OUT,    /* and of its way into the stream */
    OL_N_INPUTS,
};
const char *ol_input_name(enum ol_input input);

/* Rows of a summary's columns table. */
enum ol_column_row {
    OL_COLUMN_MAX,
    OL_COLUMN_MIN,
    OL_COLUMN_SUM,
    OL_COLUMN_SUM_SQUARES,
    OL_COLUMN_GAIN, /* what the site's norm multiplied by: its weight, or 1 + it */
    OL_N_COLUMN_ROWS,
};

/* Columns of a summary's units table. Places are -1 in a unit without tokens. */
enum ol_unit_column {
    OL_UNIT_TOKENS,
    OL_UNIT_GATE_SUM,
    OL_UNIT_INPUT, /* the down projection's input of the largest magnitude, */
    OL_UNIT_INPUT_COLUMN,
    OL_UNIT_INPUT_SEQUENCE,
    OL_UNIT_INPUT_POSITION,
    OL_UNIT_OUTPUT, /* and its output */
    OL_UNIT_OUTPUT_FEATURE,
    OL_UNIT_OUTPUT_SEQUENCE,
    OL_UNIT_OUTPUT_POSITION,
    OL_N_UNIT_COLUMNS,
};

/* What is known of a head's attention in a sequence: columns of the table of heads. The
 * share of a key is the mean over the queries that see it, itself among them, of the
 * softmax; a sink has more than OL_SINK_SHARE (arXiv 2410.10781). The last queries see
 * keys that few others do: only the first token, and keys that at least OL_LEAST_SEEING
 * queries see, count as sinks. */
#define OL_SINK_SHARE 0.3
enum { OL_LEAST_SEEING = 64, OL_TOP_KEYS = 4 };
enum ol_head_column {
    OL_HEAD_FIRST,      /* the share of the first token */
    OL_HEAD_TO_SINK,    /* the mean share of a learned sink; NaN: there is none */
    OL_HEAD_GATE,       /* the mean gate of the head's output; NaN: there is none, */
    OL_HEAD_GATE_FIRST, /* and that of the first token */
    OL_HEAD_N_SINKS,
    OL_HEAD_KEYS, /* OL_TOP_KEYS times, by falling share, of keys that may be sinks: */
    OL_KEY_POSITION = 0, /* -1: there are fewer */
    OL_KEY_SHARE,
    OL_KEY_GATE, /* of the token's own query */
    OL_N_KEY_COLUMNS,
    OL_N_HEAD_COLUMNS = OL_HEAD_KEYS + OL_TOP_KEYS * OL_N_KEY_COLUMNS,
};
/* Of a token, as a key: columns of the table of what is received. */
enum ol_received_column {
    OL_RECEIVED_MEAN,  /* its share, mean over the heads */
    OL_RECEIVED_HEADS, /* of how many heads it is a sink */
    OL_N_RECEIVED_COLUMNS,
};

/* Components whose inputs of the down projection are equally wide: the routed experts, or
 * the dense MLP; and the shared expert. */
enum ol_down { OL_DOWN_OWN, OL_DOWN_SHARED, OL_N_DOWNS };

/* Columns of the table of moments of these inputs. */
enum ol_down_moment {
    OL_DOWN_FIRST_TOKENS, /* tokens that are the first of their sequence */
    OL_DOWN_SUM,          /* sums over all values of their powers, each exact and */
    OL_DOWN_SQUARES,      /* rounded once; NaN where a value is not finite */
    OL_DOWN_CUBES,
    OL_DOWN_FOURTHS,
    OL_DOWN_LARGEST, /* values, -inf and inf without any */
    OL_DOWN_SMALLEST,
    OL_N_DOWN_MOMENTS,
};

/* What is known of a head's output, all values over all tokens, as it goes into the
 * output projection of the mixer: columns of the table of mixed heads. Places are -1
 * without a number. */
enum ol_mixed_column {
    OL_MIXED_WIDTH, /* values of a token */
    OL_MIXED_SQUARES,
    OL_MIXED_MAX,
    OL_MIXED_MAX_SEQUENCE,
    OL_MIXED_MAX_POSITION,
    OL_MIXED_MIN,
    OL_MIXED_MIN_SEQUENCE,
    OL_MIXED_MIN_POSITION,
    OL_N_MIXED_COLUMNS,
};

/* The same of a residual stream, where there are several, after the layer: columns of the
 * table of streams, which are these and the dimensions of its extremes; -1 without a
 * number. */
enum ol_stream_column {
    OL_STREAM_MAX_DIMENSION = OL_N_MIXED_COLUMNS,
    OL_STREAM_MIN_DIMENSION,
    OL_N_STREAM_COLUMNS,
};

/* Of the router's inputs so many are rounded, and routed once more by each format. */
enum { OL_ROUNDED_ROWS = 256 };

/* Columns of the tables of sampled rows. */
enum ol_sample_column {
    OL_SAMPLE_KEY, /* 64 bits without a sign: of the tokens up to this one; odd: the first
                      of its sequence */
    OL_SAMPLE_COUNT,    /* tokens of the component that have the key; 0: no row */
    OL_SAMPLE_SEQUENCE, /* of which the first one is */
    OL_SAMPLE_POSITION,
    OL_N_SAMPLE_COLUMNS,
};
/* Of so many rows of a component, how many at most are first tokens. */
static inline int ol_sampled_firsts(int n_sampled)
{
    return n_sampled < 16 ? 1 : n_sampled / 8;
}

/* What the file says of itself and of the model. Text is owned by the struct (free with
 * ol_activation_info_clear); NULL text is written as "". */
struct ol_activation_info {
    char *tool, *tool_version, *command_line, *created, *backend, *precision, *device;
    char *processor; /* "" in files that were written before it was recorded */
    struct {
        char *name, *family, *config_json, *weight_format, *config_sha256,
            *weights_sha256;
        char *shards_sha256; /* "" where nobody says it, and in old files */
        char *layers_json;
        char *activations_config; /* keys of config.json by which others quantise
                                     activations; "" where there are none, and in old
                                     files */
        int64_t n_layers, d_model, vocab_size, n_experts, top_k;
        int64_t total_parameters, active_parameters;
    } model;
    struct {
        char *source, *text_sha256, *tokenizer_file, *tokenizer_sha256, *windowing;
        bool bos;
    } input;
    /* Of a file that holds a part of a run's sequences, one after another; n_parts 0, and
     * nothing of this in the file: it holds all of them. */
    struct {
        int64_t number, n_parts; /* 1 .. n_parts */
        int64_t first_sequence, run_sequences;
        char *run_sha256; /* of the lengths and token ids of the whole run */
    } part;
};
void ol_activation_info_clear(struct ol_activation_info *info);

/* One recorded layer. */
struct ol_activation_layer {
    int number;       /* NNN of /layers/NNN */
    bool moe, no_mlp; /* kind "moe", "none", else "dense" */
    /* "full", "sliding", "chunked", "linear", "mamba", "compressed", "none" */
    char attention[16];
    bool sites[OL_N_SITES]; /* tensors stored */
    int top_k;              /* router tables are stored when > 0 */
    /* Of the layer's summary: which sites, and how many units the MLP consists of: the
     * routed experts and, last, the shared one; 1 in a dense layer; 0: no summary, or no
     * MLP. */
    bool summary_sites[OL_N_SUMMARY_SITES];
    int n_units;
    int n_heads;   /* whose attention is described; 0: none's */
    int n_mixed;   /* heads whose output is described; 0: none's */
    int n_streams; /* residual streams that are described; 0: there is one */
    int n_rounded; /* rows of the router's input that were rounded; 0: none */
    int64_t input_widths[OL_N_INPUTS]; /* of the squares stored; 0: none */
    /* Of the inputs of down projections: how wide they are (0: not recorded), and how
     * many rows are kept of each component. */
    int64_t down_widths[OL_N_DOWNS];
    int n_sampled;
};

/* Whether what is written into the stream is recorded: the largest dimensions of each
 * token after the layer, and their parts. */
bool ol_activation_has_writes(const struct ol_activation_layer *layer);

/* The ln site that sees the stream as the layer before left it: ln_attn, but ln_mlp where
 * the layer has no mixer. */
enum ol_summary_site ol_activation_first_site(const struct ol_activation_layer *layer);

/* Rows of an input's table of squares: one per routed expert, or 1. */
int64_t ol_activation_n_inputs(int64_t n_experts, enum ol_input input);

/* Parts that write into the stream in the layer's MLP, as a token sees it: its top_k
 * experts in the order of their slots and, last, the shared one; or the dense MLP. */
int ol_activation_n_slots(const struct ol_activation_layer *layer, int64_t n_experts);

struct ol_activation_layout {
    int64_t n_sequences, n_tokens, d_model; /* n_tokens: the longest sequence */
    enum ol_dtype dtype; /* of the tensors: OL_DTYPE_BF16 or OL_DTYPE_F32 */
    bool nll;            /* /input/nll exists */
    bool summary;        /* there are summaries, */
    double threshold;    /* whose occurrences are of at least this magnitude */
    /* Arms of an ablation, in a file with summaries: what was changed, as it was asked
     * for, and how many tokens its sequences lack at their beginning; both [n_arms],
     * borrowed by the writer, owned by the reader's file. */
    int n_arms;
    const char *const *arms;
    const int32_t *left_out;
    int n_layers;                       /* recorded layers */
    struct ol_activation_layer *layers; /* [n_layers], numbers ascending */
};

/* In what the choices of layers, sites, tensors and tables of two files differ, for a
 * message ("choice of --layers"); NULL: they record the same. */
const char *ol_activation_layers_difference(const struct ol_activation_layout *a,
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

/* The outliers of a run: occurrences at any ln site that has a summary. */
struct ol_activation_outliers {
    /* [n_sequences, d_model, ceil(n_tokens / 8)]: bit p % 8 of byte p / 8, an occurrence
     * at position p. */
    uint8_t *positions;
    /* How often each value occurs in each feature, by rising feature and code. */
    int64_t n_values;
    int32_t *features; /* [n_values] */
    uint16_t *codes;   /* [n_values]: bf16 */
    int64_t *counts;   /* [n_values] */
};
/* What is recorded of all arms, each with the same sequences, one arm after another; the
 * sites are the ln sites that have a summary, in the order of the layers, ln_attn before
 * ln_mlp; positions are those of the arm's own tokens. */
struct ol_activation_arms {
    uint8_t *sites;     /* [n_arms * n_sequences, d_model, site bytes]: bit i % 8 of byte
                           i / 8, an occurrence at site i */
    uint8_t *positions; /* [n_arms * n_sequences, d_model, position bytes] */
    int32_t *occurrences; /* [n_arms * n_sequences, d_model] */
    float *maxima;        /* alike: of the occurrences; 0 without one */
    float *nll;           /* [n_arms * n_sequences, n_tokens]; NaN where there is none */
};
/* Zeros, and likelihoods of NaN. */
void ol_activation_arms_init(struct ol_activation_arms *a,
                             const struct ol_activation_layout *layout);
void ol_activation_arms_clear(struct ol_activation_arms *a);
int64_t ol_activation_site_bytes(const struct ol_activation_layout *layout);

int64_t ol_activation_position_bytes(const struct ol_activation_layout *layout);
void ol_activation_outliers_clear(struct ol_activation_outliers *o);

/* What the run cost: of the process that sealed the file, and different every time.
 * Unknown, and what has no meaning on the run's backend, is 0. */
struct ol_activation_receipt {
    int64_t bytes_read;                /* of weights, made resident */
    int64_t bytes_fetched, n_requests; /* from and to the Hub, of a run that streams */
    int64_t link_bytes;                /* between the host and its devices, both ways */
    int64_t peer_bytes;                /* of weights, between devices */
    int64_t copied_bytes; /* of weights over the links, by copies that were timed */
    double copy_seconds;  /* and how long the links worked for these, by their clocks */
    int64_t peak_memory, peak_device_memory, n_devices;
    double seconds; /* of the layers, until their last row was written; of which the */
    double disk_seconds, link_seconds, compute_seconds, writer_seconds; /* host waited */
};

/* The tables of a site, of a site's summary, of an input's squares. */
static inline int ol_table_of_site(enum ol_site site)
{
    return (int)OL_TABLE_LN_ATTN + (int)site;
}
/* The first of four in a row: histogram, columns, counts, maxima; of OUTPUT two. */
static inline int ol_table_of_summary(enum ol_summary_site site)
{
    return site == OL_SUMMARY_LN_ATTN  ? OL_TABLE_LN_ATTN_HISTOGRAM
           : site == OL_SUMMARY_LN_MLP ? OL_TABLE_LN_MLP_HISTOGRAM
                                       : OL_TABLE_OUTPUT_HISTOGRAM;
}
static inline int ol_table_of_input(enum ol_input input)
{
    return (int)OL_TABLE_SQUARES_MIXED + (int)input;
}

/* ---- writer ---- */

struct ol_activation_writer;

/* Bytes on the disk that such a file takes. */
struct ol_activation_bytes {
    int64_t file; /* when it is complete; the outliers, which are compressed and which
                     nobody knows before, by the most that is likely */
    int64_t room; /* the most while it is made: with what is kept while it is sealed */
};

/* Lays a file of holes out. */
int ol_activation_disk_bytes(const struct ol_activation_info *info,
                             const struct ol_activation_layout *layout,
                             const struct ol_activation_input *input,
                             struct ol_activation_bytes *bytes, struct ol_error *err);
/* Values of outliers that room is planned for. */
int64_t ol_activation_likely_values(const struct ol_activation_layout *layout);

/* Create PATH.partial with everything but the tensors' bytes, and lock it. Fails, naming
 * the directory or the bytes needed and free, when PATH's directory is missing or the
 * disk is too small, and when PATH.partial is there, unless it is to be begun anew. */
struct ol_activation_writer *
ol_activation_create(const char *path, bool anew, const struct ol_activation_info *info,
                     const struct ol_activation_layout *layout,
                     const struct ol_activation_input *input, struct ol_error *err);

/* Open and lock an unfinished PATH.partial of the same run, put back as it was before if
 * the run ended while it was sealed: info (except created), layout and input must be what
 * the file holds, else it fails and says what differs. */
struct ol_activation_writer *
ol_activation_reopen(const char *path, const struct ol_activation_info *info,
                     const struct ol_activation_layout *layout,
                     const struct ol_activation_input *input, struct ol_error *err);

/* Whether the sealed file at path is of the same run: *what is NULL, or says what differs
 * (a constant). Fails when it is no sealed file. */
int ol_activation_compare(const char *path, const struct ol_activation_info *info,
                          const struct ol_activation_layout *layout,
                          const struct ol_activation_input *input, const char **what,
                          struct ol_error *err);

/* So much memory is left for the page cache beside what a run holds and the weights that
 * it reads. A larger file's rows are written past it, where the file system takes that,
 * so that the weights stay for the next run. Before anything is written. */
void ol_activation_fit(struct ol_activation_writer *w, int64_t memory);

/* What is written of later layers, and of all likelihoods, will be written again: before
 * a reopened run goes on after that layer (-1: from the first). */
void ol_activation_go_on_after(struct ol_activation_writer *w, int layer);

/* Tokens token .. token + n - 1 of a sequence. */
struct ol_activation_rows {
    int64_t sequence, token, n;
};

/* Write into a table (tables.h) of ROWS those rows, or with rows NULL all of one of
 * WHOLE. layer is the layer's number in the model, which must be recorded with that
 * table; of tables of the whole file it means nothing. Thread-safe (pwrite). */
int ol_activation_put(struct ol_activation_writer *w, enum ol_table table, int layer,
                      const struct ol_activation_rows *rows, const void *data,
                      struct ol_error *err);

/* A site's summary over all sequences: histogram [OL_N_CODES], columns
 * [OL_N_COLUMN_ROWS, d_model]; counts and maxima of occurrences [n_sequences, d_model],
 * which OL_SUMMARY_OUTPUT has not (NULL). */
struct ol_activation_summary {
    int64_t *histogram;
    double *columns;
    int32_t *counts;
    float *maxima;
};
int ol_activation_put_summary(struct ol_activation_writer *w, int layer,
                              enum ol_summary_site site,
                              const struct ol_activation_summary *summary,
                              struct ol_error *err);

/* Make everything written so far durable (fdatasync). */
int ol_activation_sync(struct ol_activation_writer *w, struct ol_error *err);

/* Write the outliers (NULL in a file without summaries), what is recorded of the arms
 * (NULL without an ablation), the receipt (NULL: nothing is known), the checksums and
 * `complete`, make it durable, read back what HDF5 wrote, rename PATH.partial to PATH,
 * and free the writer, also when it fails (then PATH.partial stays). */
int ol_activation_seal(struct ol_activation_writer *w,
                       const struct ol_activation_outliers *outliers,
                       const struct ol_activation_arms *arms,
                       const struct ol_activation_receipt *receipt, struct ol_error *err);

/* Free without sealing; PATH.partial stays for a later resume. NULL is fine. */
void ol_activation_abandon(struct ol_activation_writer *w);

/* ---- reader ---- */

struct ol_activation_file;

/* Open a sealed file, check format, version, every dataset's type, shape and chunk
 * layout, every chunk's offset and size against the file's length, and map it read-only.
 */
struct ol_activation_file *ol_activation_open(const char *path, struct ol_error *err);
void ol_activation_close(struct ol_activation_file *f);

/* Whether a file, by whatever name, says that it is complete: nothing else of it is read.
 * What is no activation file, or none that this program reads, fails. */
int ol_activation_is_complete(const char *path, bool *complete, struct ol_error *err);

/* Whether all that was read so far is what was written, by its checksums: asked before
 * anything is told of it. What was not read is not looked at, but for a sequence of a
 * tensor of which some rows were. An old file has no checksums: it is. */
int ol_activation_intact(const struct ol_activation_file *f, struct ol_error *err);
/* The same of the whole file, all of which is read: the number of checksums (0: it has
 * none), or -1. */
int64_t ol_activation_verify(const struct ol_activation_file *f, struct ol_error *err);

/* Borrowed from the file, valid until it is closed. */
const char *ol_activation_path(const struct ol_activation_file *f);
/* Whether path names the same file. */
bool ol_activation_is(const struct ol_activation_file *f, const char *path);
const struct ol_activation_info *ol_activation_info(const struct ol_activation_file *f);
const struct ol_activation_layout *
ol_activation_layout(const struct ol_activation_file *f);
const struct ol_activation_input *ol_activation_input(const struct ol_activation_file *f);
const struct ol_activation_receipt *
ol_activation_receipt(const struct ol_activation_file *f);

/* A table (tables.h) that is there: of ROWS one sequence's, mapped, aligned for its type;
 * of WHOLE all of it (sequence 0), mapped, not aligned: copy it. i_layer is an index into
 * layout->layers, 0 for tables of the whole file. Thread-safe. */
const void *ol_activation_get(const struct ol_activation_file *f, int table, int i_layer,
                              int64_t sequence);
void ol_activation_copy(const struct ol_activation_file *f, int table, int i_layer,
                        void *to);

/* Rows of a site, to go through once: mapped, or read into `room`, which must hold them,
 * where the file system has no pages of its own to map (see ol_activation_rows_mapped);
 * NULL on failure. Threads may call it at the same time. */
const void *ol_activation_rows_at(const struct ol_activation_file *f, int i_layer,
                                  enum ol_site site,
                                  const struct ol_activation_rows *rows, void *room,
                                  struct ol_error *err);
bool ol_activation_rows_mapped(const struct ol_activation_file *f);
/* Let the disk begin with rows that will be gone through soon, if they are mapped. */
void ol_activation_rows_soon(const struct ol_activation_file *f, int i_layer,
                             enum ol_site site, const struct ol_activation_rows *rows);
/* What all bytes of those rows came to: when all rows of a sequence have been gone
 * through, once, so has its checksum. */
void ol_activation_rows_seen(const struct ol_activation_file *f, int i_layer,
                             enum ol_site site, const struct ol_activation_rows *rows,
                             const struct ol_crc32_run *sum);

/* A site's summary, in memory of the caller's (members that are NULL are left out);
 * layout->summary and, for the ln sites, the layer's summary_sites must be true. */
void ol_activation_read_summary(const struct ol_activation_file *f, int i_layer,
                                enum ol_summary_site site,
                                const struct ol_activation_summary *summary);
/* Of one sequence: counts and maxima [d_model] at an ln site. */
void ol_activation_read_occurrences(const struct ol_activation_file *f, int i_layer,
                                    enum ol_summary_site site, int64_t sequence,
                                    int32_t *counts, float *maxima);

/* layout->summary must be true; borrowed. */
const struct ol_activation_outliers *
ol_activation_outliers(const struct ol_activation_file *f);

/* layout->n_arms must be more than 0; borrowed. */
const struct ol_activation_arms *ol_activation_arms(const struct ol_activation_file *f);

#endif
