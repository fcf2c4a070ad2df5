/* Who writes into dimensions of the stream, asked about events: the tokens on which a
 * dimension is massive, those on which it has occurrences as an outlier feature, or all
 * on which it is among the largest. Each event ends at a value of the stream, its peak;
 * what was written up to there adds up to that value, what follows may erase it. */
#ifndef OL_ANALYZE_WRITERS_H
#define OL_ANALYZE_WRITERS_H

#include "analyze/massive.h"
#include "analyze/statistics.h"

enum ol_event {
    OL_EVENT_MASSIVE, /* tokens with a massive value; peak: the largest of these */
    OL_EVENT_OUTLIER, /* tokens with an occurrence; peak: the stream before its site */
    OL_EVENT_ALL,     /* tokens with it among their largest; peak: the largest of these */
    OL_N_EVENTS,
};
const char *ol_event_name(enum ol_event event);

/* Occurrences of the outlier features, [n] of them: which tokens have one, at which of
 * the analysis' sites. */
struct ol_occurrences {
    int n;
    const int *features;
    int site_bytes;   /* of a token: bit i % 8 of byte i / 8 is site i */
    int64_t *starts;  /* [n_sequences]: of a sequence's tokens among all */
    uint8_t **at;     /* [n][n_tokens * site_bytes], from tensors; or NULL, and */
    const int *sites; /* [n]: the site of the analysis with most; -1: none */
};

struct ol_writer_sum {
    int i_layer, unit; /* unit: OL_UNIT_ATTENTION or a number in the layer */
    int64_t n_tokens;  /* on which it is known */
    double sum;        /* along each event's sign */
    double share;      /* of magnitude */
};

/* Writers, the largest share first, then in the order of the model with attention before
 * the MLP. */
struct ol_writer_list {
    int n;
    struct ol_writer_sum *writers; /* [n], owned */
};

/* What a layer does to a dimension over the tokens of an event, along the sign of each
 * token's last peak. */
struct ol_layer_change {
    int64_t n; /* tokens for which it is known, */
    double sum;
    /* Tokens with the dimension among their largest on one side of the layer only, and
     * not known by its writes either: the least that it rose or fell there, as it is at
     * most the smallest of the largest on the other side. */
    int64_t n_bounded;
    double bounded;
    /* After the layer: values of the tokens where it is known, and the most that it may
     * be on the others; NaN: without a limit. */
    int64_t n_values;
    double values, most_of_others;
    struct ol_writer_list writers; /* of the layer, at any time; by falling |sum| */
};

struct ol_written {
    int feature;
    enum ol_event event;
    int64_t n_tokens,
        at_first_token; /* tokens of the event, and of these at position 0 */
    /* Peaks, one of each token or of each occurrence: those in the sums, and those whose
     * value is not known or not finite, which are in none. */
    int64_t n_values, n_unknown_values;
    int64_t n_positive; /* of n_values */
    /* Sums over the peaks, along their signs: of the values, and what of them is of the
     * embedding, and of no writer that is known. */
    double magnitude, embedding, unknown;
    struct ol_writer_list made_by, counteracted_by; /* up to the peak */
    struct ol_writer_list erased_by;                /* after it */
    int64_t *peaks, *onsets; /* [n_layers of the stream]: tokens by layer */
    double *attention, *mlp; /* [n_layers]: mean of what is known, along the sign; NaN */
    int n_layers;
    struct ol_layer_change *changes; /* [n_layers], of OL_EVENT_MASSIVE; else NULL */
    struct ol_tally tokens;          /* of the event, by id */
};

/* What is to be asked: a dimension and an event; occurrence: its place among the
 * occurrences' features when the event is OL_EVENT_OUTLIER. */
struct ol_question {
    int feature;
    enum ol_event event;
    int occurrence;
};

/* Answers [n] to questions [n], each by one thread. n_tokens is 0 where there is no such
 * event. occurrences: NULL where none is asked for. Clear each. */
void ol_writers_find(const struct ol_analysis *a, const struct ol_massive *m,
                     const struct ol_occurrences *occurrences,
                     const struct ol_question *questions, int n,
                     struct ol_written *answers);
/* Of the peaks in the sums: "+", "-" or "both"; NULL: there is none. */
const char *ol_written_sign(const struct ol_written *w);
void ol_written_clear(struct ol_written *w);

#endif
