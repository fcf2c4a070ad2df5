/* The same counts from the summaries of a run, whose tensors need not be there. */
#include "analyze/stats/llm_int8.h"

#include <stdlib.h>

/* One sequence's occurrences at every site. */
static void add_sequence(struct llm_int8 *s, int64_t sequence, int32_t *counts,
                         float *maxima)
{
    const struct ol_parts *parts = s->a->parts;
    struct thread *t = &s->threads[0];
    for (size_t site = 0; site < s->n_sites; site++) {
        const struct ol_site_of_run *at = &s->a->sites[site];
        ol_activation_read_occurrences(parts->files[parts->file_of[sequence]],
                                       at->i_layer, ol_summary_site_of(at->site),
                                       parts->number_of[sequence], counts, maxima);
        for (size_t f = 0; f < s->d_model; f++) {
            if (counts[f] == 0)
                continue;
            struct at_site *one = &t->at_site[site * s->d_model + f];
            one->occurrences += counts[f];
            one->max = larger(one->max, maxima[f]);
            t->in_batch[f].occurrences += counts[f];
            t->in_batch[f].max = larger(t->in_batch[f].max, maxima[f]);
            t->sites_in_batch[f * s->n_sites + site] = 1;
        }
    }
}

/* Of one sequence and feature: bytes of a bitmap. */
static const uint8_t *positions_of(const struct llm_int8 *s, int64_t sequence, size_t f,
                                   int64_t *n)
{
    const struct ol_parts *parts = s->a->parts;
    const struct ol_activation_file *file = parts->files[parts->file_of[sequence]];
    *n = ol_activation_position_bytes(ol_activation_layout(file));
    return ol_activation_outliers(file)->positions +
           (parts->number_of[sequence] * (int64_t)s->d_model + (int64_t)f) * *n;
}

/* Distinct positions of a feature: in each of the sequences, and in any of them. */
static void add_positions(struct llm_int8 *s, int64_t first, int64_t n, size_t f,
                          uint8_t *any, int64_t most_bytes)
{
    struct thread *t = &s->threads[0];
    memset(any, 0, (size_t)most_bytes);
    for (int64_t i = first; i < first + n; i++) {
        int64_t bytes;
        const uint8_t *bits = positions_of(s, i, f, &bytes);
        for (int64_t k = 0; k < bytes; k++) {
            t->positions[f] += __builtin_popcount(bits[k]);
            any[k] |= bits[k];
        }
    }
    for (int64_t k = 0; k < most_bytes; k++)
        t->in_batch[f].positions += __builtin_popcount(any[k]);
}

static void add_values(struct llm_int8 *s)
{
    struct thread *t = &s->threads[0];
    for (int i = 0; i < s->a->parts->n_files; i++) {
        const struct ol_activation_outliers *o =
            ol_activation_outliers(s->a->parts->files[i]);
        for (int64_t k = 0; k < o->n_values; k++) {
            const float value = ol_bf16_to_f32(o->codes[k]);
            t->signs[o->features[k]] |= value < 0 ? OL_NEGATIVE : OL_POSITIVE;
            ol_tally_add(&t->tally, entry_of((uint32_t)o->features[k], value),
                         o->counts[k]);
        }
    }
}

void ol_llm_int8_from_summaries(struct llm_int8 *s)
{
    const struct ol_parts *parts = s->a->parts;
    int64_t most_bytes = 0;
    for (int i = 0; i < parts->n_files; i++) {
        const int64_t n =
            ol_activation_position_bytes(ol_activation_layout(parts->files[i]));
        most_bytes = n > most_bytes ? n : most_bytes;
    }
    int32_t *counts = ol_xcalloc(s->d_model, sizeof *counts);
    float *maxima = ol_xcalloc(s->d_model, sizeof *maxima);
    uint8_t *any = ol_xcalloc((size_t)most_bytes, 1);
    for (int64_t batch = 0; batch < s->a->n_batches; batch++) {
        const int64_t first = batch * s->a->criterion.batch_size;
        const int64_t left = parts->n_sequences - first;
        const int64_t n =
            left < s->a->criterion.batch_size ? left : s->a->criterion.batch_size;
        for (int64_t i = first; i < first + n; i++)
            add_sequence(s, i, counts, maxima);
        for (size_t f = 0; f < s->d_model; f++)
            if (s->threads[0].in_batch[f].occurrences > 0)
                add_positions(s, first, n, f, any, most_bytes);
        ol_llm_int8_end_batch(s, batch);
    }
    add_values(s);
    free(any);
    free(maxima);
    free(counts);
}
