#include "extract/observe/arm_tally.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/magnitude.h"

struct ol_arm_tally {
    const struct ol_activation_layout *layout;
    struct ol_activation_arms arms;
    uint32_t least; /* code of the smallest occurrence */
};

struct ol_arm_tally *ol_arm_tally_new(const struct ol_activation_layout *layout)
{
    struct ol_arm_tally *t = ol_xcalloc(1, sizeof *t);
    t->layout = layout;
    t->least = ol_least_bf16(layout->threshold);
    ol_activation_arms_init(&t->arms, layout);
    return t;
}

void ol_arm_tally_free(struct ol_arm_tally *t)
{
    if (t == NULL)
        return;
    ol_activation_arms_clear(&t->arms);
    free(t);
}

/* ---- the tables as one piece of memory after another ---- */

enum { N_TABLES = 5 };

static void tables_of(const struct ol_activation_layout *layout,
                      const struct ol_activation_arms *a, void *tables[N_TABLES],
                      size_t bytes[N_TABLES])
{
    const size_t n = (size_t)layout->n_arms * (size_t)layout->n_sequences,
                 d = (size_t)layout->d_model;
    tables[0] = a->sites;
    bytes[0] = n * d * (size_t)ol_activation_site_bytes(layout);
    tables[1] = a->positions;
    bytes[1] = n * d * (size_t)ol_activation_position_bytes(layout);
    tables[2] = a->occurrences;
    bytes[2] = n * d * sizeof *a->occurrences;
    tables[3] = a->maxima;
    bytes[3] = n * d * sizeof *a->maxima;
    tables[4] = a->nll;
    bytes[4] = n * (size_t)layout->n_tokens * sizeof *a->nll;
}

static size_t size_of(const struct ol_activation_layout *layout)
{
    const struct ol_activation_arms none = {0};
    void *tables[N_TABLES];
    size_t bytes[N_TABLES], all = 0;
    tables_of(layout, &none, tables, bytes);
    for (int i = 0; i < N_TABLES; i++)
        all += bytes[i];
    return all;
}

int64_t ol_arm_tally_bytes(const struct ol_activation_layout *layout)
{
    return (int64_t)size_of(layout);
}

void ol_arm_tally_save(const struct ol_arm_tally *t, void **bytes, size_t *n)
{
    void *tables[N_TABLES];
    size_t sizes[N_TABLES];
    tables_of(t->layout, &t->arms, tables, sizes);
    *n = size_of(t->layout);
    char *at = *bytes = ol_xmalloc(*n);
    for (int i = 0; i < N_TABLES; at += sizes[i++])
        memcpy(at, tables[i], sizes[i]);
}

int ol_arm_tally_restore(struct ol_arm_tally *t, const void *bytes, size_t n,
                         struct ol_error *err)
{
    void *tables[N_TABLES];
    size_t sizes[N_TABLES];
    const char *at = bytes;
    if (n != size_of(t->layout))
        return ol_fail(err,
                       "what the unfinished run kept of its arms has %zu bytes, expected "
                       "%zu",
                       n, size_of(t->layout));
    tables_of(t->layout, &t->arms, tables, sizes);
    for (int i = 0; i < N_TABLES; at += sizes[i++])
        memcpy(tables[i], at, sizes[i]);
    return 0;
}

const struct ol_activation_arms *ol_arm_tally_arms(const struct ol_arm_tally *t)
{
    return &t->arms;
}

/* ---- what is seen ---- */

/* The number of a site among those of the file. */
static int site_number(const struct ol_activation_layout *layout, int layer,
                       enum ol_summary_site site)
{
    int n = 0;
    for (int l = 0; l < layout->n_layers; l++)
        for (int s = 0; s < OL_SUMMARY_OUTPUT; s++) {
            if (layout->layers[l].number == layer && s == (int)site)
                return n;
            n += layout->layers[l].summary_sites[s];
        }
    return n;
}

struct place {
    int64_t row; /* of the tables: arm and sequence */
    int site;
};

static void note(struct ol_arm_tally *t, const struct place *place, int64_t position,
                 int64_t column, uint16_t code)
{
    struct ol_activation_arms *a = &t->arms;
    const int64_t at = place->row * t->layout->d_model + column;
    const float magnitude = fabsf(ol_bf16_to_f32(code));
    a->sites[at * ol_activation_site_bytes(t->layout) + place->site / 8] |=
        (uint8_t)(1 << place->site % 8);
    a->positions[at * ol_activation_position_bytes(t->layout) + position / 8] |=
        (uint8_t)(1 << position % 8);
    a->occurrences[at]++;
    if (magnitude > a->maxima[at])
        a->maxima[at] = magnitude;
}

static void note_row(struct ol_arm_tally *t, const struct place *place, int64_t position,
                     const uint16_t *codes)
{
    for (int64_t c = 0; c < t->layout->d_model; c++) {
        const uint32_t magnitude = codes[c] & OL_BF16_MAGNITUDE;
        if (magnitude >= t->least && magnitude <= OL_BF16_INFINITY)
            note(t, place, position, c, codes[c]);
    }
}

void ol_arm_tally_add(struct ol_arm_tally *t, int arm, int layer,
                      enum ol_summary_site site, int64_t sequence,
                      const struct ol_digest *digest)
{
    const struct place place = {arm * t->layout->n_sequences + sequence,
                                site_number(t->layout, layer, site)};
    for (int64_t i = 0; digest->listed && i < digest->n_occurrences; i++) {
        const struct ol_occurrence *o = &digest->occurrences[i];
        note(t, &place, o->row, o->column, o->code);
    }
    for (int64_t row = 0; !digest->listed && row < digest->n_rows; row++)
        note_row(t, &place, row, digest->codes + row * t->layout->d_model);
}

void ol_arm_tally_add_nll(struct ol_arm_tally *t, int arm, int64_t sequence, int64_t n,
                          const float *nll)
{
    const int64_t row = arm * t->layout->n_sequences + sequence;
    memcpy(t->arms.nll + row * t->layout->n_tokens, nll, (size_t)n * sizeof *nll);
}
