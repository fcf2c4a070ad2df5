/* The table of a layer's units (experts, shared expert, dense MLP) in the file, put
 * together of what the parts of a run came to, in the order of their rows. */
#ifndef OL_UNIT_TABLE_H
#define OL_UNIT_TABLE_H

#include <stdbool.h>
#include <stdint.h>

/* What a unit came to in a part; rows, of all sequences, are -1 where it had no tokens.
 */
struct ol_unit {
    int64_t n_tokens;
    float input, output; /* of the down projection, of the largest magnitude */
    int input_column, output_column;
    int64_t input_row, output_row;
};

struct ol_unit_table {
    const int64_t *starts; /* borrowed, [n_sequences + 1]: first row of each sequence */
    int n_experts;
    double *gate_sums;     /* [n_experts] */
    struct ol_unit *units; /* [most units of a layer] */
};

void ol_unit_table_init(struct ol_unit_table *t, const int64_t *starts, int n_experts,
                        int most_units);
void ol_unit_table_clear(struct ol_unit_table *t);

/* Both for one part after another; `begins` with the first one of a layer. */
void ol_unit_table_add_gates(struct ol_unit_table *t, bool begins, int64_t n,
                             const uint16_t *ids, const float *gates);
void ol_unit_table_add(struct ol_unit_table *t, bool begins, const struct ol_unit *units,
                       int n);

/* table [n, OL_N_UNIT_COLUMNS]; of the units of a router, the gates are what was added,
 * others have one of 1 for every token. */
void ol_unit_table_fill(const struct ol_unit_table *t, int n, bool routed, double *table);

#endif
