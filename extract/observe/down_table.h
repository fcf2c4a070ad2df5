/* What goes into the down projections of a layer's components, as a pass over all rows or
 * over those of one device comes to it: exact sums of powers, extremes, the largest
 * magnitude of each column, and a sample of rows.
 *
 * The sample is of the rows with the smallest keys, the first tokens of sequences apart
 * (analyze/sample.h says why). A key is made of the tokens up to the row's own, so that
 * equal keys have equal rows, of which one is kept and the others are counted. Which rows
 * these are, and how many, is the same however all rows are shared out: a row that is
 * among the smallest of all is among the smallest of every part that has it. */
#ifndef OL_DOWN_TABLE_H
#define OL_DOWN_TABLE_H

#include "common/activation_file.h"
#include "extract/ops.h"

struct ol_sampled_row {
    uint64_t key; /* odd: of the first token of a sequence */
    int64_t count;
    int64_t row;  /* the first that has the key, of all sequences */
    int64_t from; /* where its values are to be had; -1: they are in codes */
};

struct ol_down_component {
    int64_t n_first;
    /* Of first tokens and of others: how many rows are kept, and which has the largest
     * key when there is no more room. */
    int n_kept[2], last[2];
};

struct ol_down_table {
    int n_components, n_own, n_sampled;
    int64_t widths[OL_N_DOWNS];
    struct ol_down_component *components; /* [n_components] */
    struct ol_down_moments *moments;      /* [n_components] */
    struct ol_sampled_row *sample;        /* [n_components][n_sampled] */
    /* [components][n_sampled][width] and [components][width], bf16; those of the shared
     * expert behind the others. */
    uint16_t *codes[OL_N_DOWNS], *maxima[OL_N_DOWNS];
};

/* Empty, for a recorded layer that has inputs of down projections, in one piece: free()
 * it. Never NULL. */
struct ol_down_table *ol_down_table_new(const struct ol_activation_layer *layer);
struct ol_down_sizes ol_down_table_sizes(const struct ol_activation_layer *layer);
int64_t ol_down_table_bytes(const struct ol_activation_layer *layer);

enum ol_down ol_down_table_whose(const struct ol_down_table *t, int component);
uint16_t *ol_down_table_codes(const struct ol_down_table *t, int component, int sampled);
uint16_t *ol_down_table_maxima(const struct ol_down_table *t, int component);

/* A row that comes after those offered before: counted, and kept if its key is among the
 * smallest, to be fetched from where `from` says. */
void ol_down_table_offer(struct ol_down_table *t, int component, uint64_t key,
                         int64_t row, int64_t from);

/* What another table came to, of rows that come after all of this one's. */
void ol_down_table_join(struct ol_down_table *t, const struct ol_down_table *other);

/* As the file has them (ol-activations.5): moments [n_components, OL_N_DOWN_MOMENTS] and
 * sample [n_components, n_sampled, OL_N_SAMPLE_COLUMNS]; the table's rows are put in the
 * order of the latter: first tokens, then others, by rising key. starts [n_sequences +
 * 1]: the first row of each sequence. */
void ol_down_table_moments(const struct ol_down_table *t, double *moments);
void ol_down_table_sort(struct ol_down_table *t, const int64_t *starts, int64_t *sample);

#endif
