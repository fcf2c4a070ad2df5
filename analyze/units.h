/* The units of the MLPs (routed experts, shared experts, dense MLPs): their load and
 * their largest values, and which of them are super experts (arXiv 2507.23279). */
#ifndef OL_ANALYZE_UNITS_H
#define OL_ANALYZE_UNITS_H

#include "analyze/parts.h"

struct ol_unit {
    int i_layer, layer; /* index into the layout's layers; number in the model */
    int number;         /* in the layer; the shared expert comes after the routed ones */
    bool routed;
    int64_t n_tokens;
    double gate_sum;
    /* Values of the largest magnitude (NaN is larger than any), first place of equals;
     * columns and places are -1 in a unit without tokens. */
    double input, output;
    int64_t input_column, input_sequence, input_position;
    int64_t feature, sequence, position; /* of the output */
};

struct ol_units {
    int64_t n;
    struct ol_unit *units; /* [n], layer by layer */
};

/* Of all files of the run; none where there are no summaries. Clear it. */
void ol_units_read(const struct ol_parts *parts, struct ol_units *u);
void ol_units_clear(struct ol_units *u);

struct ol_super_criterion {
    double percentile;   /* of the routed experts' largest output magnitudes, */
    double min_share;    /* and of the largest: an output must be above both, */
    double first_layers; /* in a layer whose number is below that share of all layers */
    double min_z;        /* of the robust variant */
};
extern const struct ol_super_criterion ol_super_default;

struct ol_super_experts {
    /* What an output must exceed, and the largest magnitude of the routed experts; NaN:
     * there is no finite one. */
    double limit, max_output;
    int64_t n;
    const struct ol_unit **experts; /* [n], by falling |output|, then by place in the
                                       model; of the units */
    /* Robust: logarithms of all units' magnitudes, their median and median absolute
     * deviation (NaN: none), and units by falling z. */
    double median, mad;
    /* What the rule says of noise: of n_outputs routed experts with finite outputs that
     * differ by chance alone, n_above exceed the percentile, wherever they are. */
    int64_t n_outputs, n_above, n_early; /* n_early: of n_outputs, in the first layers */
    double expected;    /* of these n_above, in the first layers; NaN: none has outputs */
    double probability; /* that one at least is */
    double median_output; /* magnitude, of the same experts */
    int64_t n_robust;
    const struct ol_unit **robust; /* [n_robust] */
};

/* Which units are. Experts without tokens have no output and are left out. The units must
 * outlive *s; clear it. */
void ol_units_super(const struct ol_parts *parts, const struct ol_units *u,
                    const struct ol_super_criterion *criterion,
                    struct ol_super_experts *s);
void ol_units_super_clear(struct ol_super_experts *s);

/* 0.6745 (log |output| - median) / MAD: 0.6745 is what makes it a standard normal's z. */
double ol_units_z(const struct ol_super_experts *s, const struct ol_unit *unit);

#endif
