/* How the tokens of a sequence see each other in a layer, between its first norm and the
 * residual add: attention, latent attention or that of DeepSeek-V4 (shared_key.c), a
 * gated delta net, or Mamba-2. One kind per
 * file, each made of backend operations. */
#ifndef OL_MIXER_H
#define OL_MIXER_H

#include "extract/backend.h"
#include "extract/forward/tap.h"
#include "extract/model/rope_table.h"
#include "extract/weights/layer_weights.h"

enum { OL_MIXER_BUFFERS = 12 };

struct ol_mixer_context {
    /* All borrowed. */
    const struct ol_spec *spec;
    int layer; /* any of those that it mixes */
    struct ol_backend *backend;
    struct ol_layer_weights weights;
    struct ol_taps *taps;
    int64_t block_rows; /* most rows of a run */
    int64_t longest;    /* most rows of a sequence */
    int64_t n_rows;     /* of the baseline */
    int64_t all_rows;   /* of all blocks */
};

struct ol_mixer {
    struct ol_mixer_context c;
    const struct ol_backend_operations *op;
    const struct ol_mixer_kind *kind;
    const struct ol_attention_spec *attention;
    struct ol_tensor buffers[OL_MIXER_BUFFERS]; /* [block_rows, width] */
    /* Of kinds with positions; the second of sequences that are longer than the first. */
    struct ol_rope_table rope[OL_ROPE_TABLES];
    struct ol_rope_table rope_back; /* the other way round, where one key is the heads'
                                       value too */
    float *temperature;             /* [longest] or NULL */
    float *factors;                 /* [block_rows]: that of each row */
    /* What is seen of heads, float [n_rows of the baseline, n_heads] each; data NULL:
     * nobody wants to see it, or there is no such thing. */
    struct ol_tensor to_sink, gates, received;
    /* Where an indexer chooses keys: of all rows, until the next layer that has one. */
    struct ol_tensor chosen; /* [all_rows, keys of the longest / 32] int32 */
    struct ol_tensor scores; /* [OL_INDEX_ROWS, keys of the longest] float */
    /* [all_rows, width]: keys, behind rope, and values of the last layer that keeps its
     * own; data NULL: none does. */
    struct ol_tensor kept_keys, kept_values;
};

/* Whole sequences, one after another. */
struct ol_mixer_block {
    struct ol_view view; /* how a tap sees it */
    int layer;
    int64_t first;          /* its first row among those of all blocks */
    const int32_t *lengths; /* [n_sequences] */
    int64_t n_sequences;
    int64_t n_rows;       /* their sum */
    struct ol_tensor x;   /* [n_rows, d_model]: the norm's output */
    struct ol_tensor out; /* [n_rows, d_model]: what joins the stream */
};

struct ol_mixer_kind {
    bool has_positions; /* wants the rope table */
    unsigned floats;    /* bit i: values of buffer i are not rounded */
    /* Values per row of every buffer; 0: not needed. */
    void (*widths)(const struct ol_spec *spec, const struct ol_attention_spec *attention,
                   int64_t longest, int64_t widths[OL_MIXER_BUFFERS]);
    int (*run)(struct ol_mixer *m, const struct ol_mixer_block *block,
               struct ol_error *err);
};
extern const struct ol_mixer_kind ol_mixer_shared_key, ol_mixer_attention,
    ol_mixer_latent, ol_mixer_delta_net, ol_mixer_mamba;

/* Layers of one sort share a mixer, and its buffers: their kind and sizes are the same.
 * The layer has one. */
enum { OL_MIXER_SORTS = 4 };
int ol_mixer_sort(const struct ol_spec *spec, int layer);

/* What the mixer of each sort that the model has needs for sequences of up to so many
 * rows: values per row of its buffers together, bytes of those whose values are float,
 * and of its rope tables; bytes per row of all blocks, and in all, of an indexer; values
 * per row of all blocks that are kept. */
struct ol_mixer_sizes {
    int64_t width, float_bytes, rope_bytes, chosen_bytes, score_bytes, kept;
};
struct ol_mixer_sizes ol_mixer_sizes(const struct ol_spec *spec, int64_t longest);

/* NULL on failure. The layer's weights must be resident when it runs. */
struct ol_mixer *ol_mixer_new(const struct ol_mixer_context *context,
                              struct ol_error *err);
void ol_mixer_free(struct ol_mixer *m); /* NULL is fine */
int ol_mixer_run(struct ol_mixer *m, const struct ol_mixer_block *block,
                 struct ol_error *err);

/* Show what was seen of the heads of that layer, of all rows; view: how a tap sees these.
 */
int ol_mixer_see_heads(const struct ol_mixer *m, struct ol_view view,
                       struct ol_error *err);

/* ---- for the kinds ---- */

/* The first n rows of a buffer. */
static inline struct ol_tensor ol_mixer_rows(const struct ol_mixer *m, int buffer,
                                             int64_t n)
{
    return ol_tensor_rows(m->buffers[buffer], 0, n);
}

static inline struct ol_weight ol_mixer_weight(const struct ol_mixer *m,
                                               enum ol_role role, int layer)
{
    return ol_weights_get(m->c.weights.weights, role, layer, 0);
}

/* Rotate values of the block's heads, each sequence by its table; of args the table and
 * the sequences are filled in here. */
int ol_mixer_rotate(struct ol_mixer *m, const struct ol_mixer_block *block,
                    struct ol_rope_args args, struct ol_tensor x, struct ol_error *err);

/* Show rows of the block. */
int ol_mixer_see(const struct ol_mixer *m, enum ol_point point,
                 const struct ol_mixer_block *block, struct ol_tensor x,
                 struct ol_error *err);

/* Whether what is seen of heads is wanted of the block. */
bool ol_mixer_looks_at_heads(const struct ol_mixer *m,
                             const struct ol_mixer_block *block);

/* Where attention puts what is wanted of n rows of the block, from its row `at` on; data
 * NULL: nothing is. */
struct ol_mixer_looked {
    struct ol_tensor received, to_sink;
};
struct ol_mixer_looked ol_mixer_looked(const struct ol_mixer *m,
                                       const struct ol_mixer_block *block, int64_t at,
                                       int64_t n);

/* Ask the block's attention for what is wanted of it. */
void ol_mixer_ask(const struct ol_mixer *m, const struct ol_mixer_block *block,
                  struct ol_attention_args *args);

static inline struct ol_sequences ol_mixer_sequences(const struct ol_mixer_block *block)
{
    return (struct ol_sequences){block->lengths, block->n_sequences};
}

/* x of the block times the temperature of each position, where there is one. */
int ol_mixer_temper(struct ol_mixer *m, const struct ol_mixer_block *block,
                    struct ol_tensor x, struct ol_error *err);

/* Call step(m, block, rows of the block from `at` on, n of them, err) per sequence. */
int ol_mixer_each_sequence(struct ol_mixer *m, const struct ol_mixer_block *block,
                           int (*step)(struct ol_mixer *m,
                                       const struct ol_mixer_block *block, int64_t at,
                                       int64_t n, struct ol_error *err),
                           struct ol_error *err);

#endif
