/* Gathering the largest magnitude of each dimension, of the tokens that are kept and of
 * all others. Where the kept ones are the worst of a site, which is known in the end, a
 * token that may be one is put aside, and looked at again then. */
#include <stdlib.h>
#include <string.h>

#include "analyze/findings.h"
#include "analyze/stats/quantisation.h"
#include "analyze/worst.h"
#include "common/magnitude.h"

enum { PER_MILLE = 1000 };

static void free_marks(uint8_t **marks, int64_t n)
{
    for (int64_t i = 0; marks != NULL && i < n; i++)
        free(marks[i]);
    free(marks);
}

/* Tokens with a massive value after any layer, if there are any. */
static void find_marks(struct quantisation *q)
{
    const struct ol_parts *parts = q->a->parts;
    const struct ol_massive *massive = ol_findings_massive(q->a);
    if (massive == NULL)
        return;
    uint8_t **marks = ol_xcalloc((size_t)parts->n_sequences, sizeof *marks);
    for (int64_t s = 0; s < parts->n_sequences; s++)
        marks[s] = ol_xcalloc((size_t)parts->lengths[s], 1);
    ol_massive_mark(massive, marks);
    for (int64_t s = 0; s < parts->n_sequences; s++)
        for (int64_t p = 0; p < parts->lengths[s]; p++)
            q->n_kept += marks[s][p];
    if (q->n_kept > 0)
        q->marks = marks;
    else
        free_marks(marks, parts->n_sequences);
}

struct quantisation *ol_quantisation_begin(const struct ol_analysis *a)
{
    struct quantisation *q = ol_xcalloc(1, sizeof *q);
    const size_t n_sites = (size_t)a->n_sites;
    q->a = a;
    q->d_model = (size_t)ol_parts_layout(a->parts)->d_model;
    pthread_mutex_init(&q->mutex, NULL);
    if (a->from_summaries || a->n_sites == 0)
        return q;
    find_marks(q);
    q->starts = ol_xcalloc((size_t)a->parts->n_sequences + 1, sizeof *q->starts);
    for (int64_t s = 0; s < a->parts->n_sequences; s++)
        q->starts[s + 1] = q->starts[s] + a->parts->lengths[s];
    q->column = ol_xcalloc((size_t)a->n_threads, sizeof *q->column);
    for (int i = 0; i < a->n_threads; i++)
        q->column[i] = ol_xcalloc(OL_N_KINDS * q->d_model, sizeof(uint32_t));
    q->columns = ol_xcalloc(n_sites * OL_N_KINDS * q->d_model, sizeof *q->columns);
    if (q->marks == NULL) {
        q->n_kept = (a->parts->n_tokens + PER_MILLE - 1) / PER_MILLE;
        q->worst = ol_worst_new(a->n_sites, a->n_threads, q->n_kept);
        q->kept = ol_xcalloc(n_sites, sizeof *q->kept);
    }
    return q;
}

void ol_quantisation_end(struct quantisation *q)
{
    for (int i = 0; q->column != NULL && i < q->a->n_threads; i++)
        free(q->column[i]);
    for (int i = 0; q->kept != NULL && i < q->a->n_sites; i++)
        free(q->kept[i]);
    ol_worst_free(q->worst);
    free(q->kept);
    free(q->column);
    free(q->columns);
    free(q->starts);
    free_marks(q->marks, q->a->parts->n_sequences);
    pthread_mutex_destroy(&q->mutex);
    free(q);
}

/* n is a constant where it is called: a column is loaded and stored once for all rows. */
static inline void take_bf16(const uint16_t *const *rows, size_t n, size_t d,
                             uint16_t *restrict column)
{
    for (size_t c = 0; c < d; c++) {
        uint16_t most = column[c];
        for (size_t i = 0; i < n; i++) {
            const uint16_t bits = rows[i][c] & OL_BF16_MAGNITUDE;
            most = bits > most ? bits : most;
        }
        column[c] = most;
    }
}

static inline void take_f32(const uint32_t *const *rows, size_t n, size_t d,
                            uint32_t *restrict column)
{
    for (size_t c = 0; c < d; c++) {
        uint32_t most = column[c];
        for (size_t i = 0; i < n; i++) {
            const uint32_t bits = rows[i][c] & OL_F32_MAGNITUDE;
            most = bits > most ? bits : most;
        }
        column[c] = most;
    }
}

/* Magnitudes of rows into column [d]. */
static inline void take_rows(enum ol_dtype dtype, const void *const *rows, size_t n,
                             size_t d, void *column)
{
    if (dtype == OL_DTYPE_BF16)
        take_bf16((const uint16_t *const *)rows, n, d, column);
    else
        take_f32((const uint32_t *const *)rows, n, d, column);
}

static void take_row(enum ol_dtype dtype, const void *row, size_t d, void *column)
{
    take_rows(dtype, &row, 1, d, column);
}

/* Where the column of a kind is, of [OL_N_KINDS][d]. */
static void *column_of(enum ol_dtype dtype, void *columns, enum ol_quantised_kind kind,
                       size_t d)
{
    return (char *)columns + (size_t)kind * d * ol_dtype_size(dtype);
}

/* Those of some rows of a site into those of all. */
static void add_columns(struct quantisation *q, enum ol_dtype dtype, int site,
                        const void *column)
{
    const size_t n = OL_N_KINDS * q->d_model;
    const uint16_t *bf16 = column;
    const uint32_t *f32 = column;
    uint32_t *columns = q->columns + (size_t)site * n;
    pthread_mutex_lock(&q->mutex);
    for (size_t c = 0; c < n; c++) {
        const uint32_t bits = dtype == OL_DTYPE_BF16 ? (uint32_t)bf16[c] << 16 : f32[c];
        columns[c] = bits > columns[c] ? bits : columns[c];
    }
    pthread_mutex_unlock(&q->mutex);
}

static bool is_put_aside(struct quantisation *q, int thread, const struct ol_block *b,
                         int64_t row)
{
    const int64_t position = b->position + b->first_row + row;
    return q->worst != NULL &&
           ol_worst_offer(q->worst, thread, b->site, b->more->row_maxima[row],
                          q->starts[b->sequence] + position);
}

void ol_quantisation_block(struct quantisation *q, int thread, const struct ol_block *b)
{
    enum { TOGETHER = 4 };
    const size_t d = q->d_model, row_bytes = d * ol_dtype_size(b->dtype);
    void *columns = q->column[thread],
         *of_others = column_of(b->dtype, columns, OL_OTHERS, d);
    const void *others[TOGETHER];
    int n = 0;
    if (b->first_row == 0)
        memset(columns, 0, OL_N_KINDS * d * sizeof(uint32_t));
    for (int64_t i = 0; i < b->n_rows; i++) {
        const void *row = (const char *)b->rows + (size_t)i * row_bytes;
        if (is_put_aside(q, thread, b, i))
            continue;
        if (q->marks != NULL &&
            q->marks[b->sequence][b->position + b->first_row + i] != 0) {
            take_row(b->dtype, row, d, column_of(b->dtype, columns, OL_KEPT, d));
            continue;
        }
        others[n++] = row;
        if (n == TOGETHER)
            take_rows(b->dtype, others, TOGETHER, d, of_others);
        n %= TOGETHER;
    }
    while (n > 0)
        take_row(b->dtype, others[--n], d, of_others);
    if (b->last_of_site)
        add_columns(q, b->dtype, b->site, columns);
}

static int compare_numbers(const void *x, const void *y)
{
    const int64_t a = *(const int64_t *)x, b = *(const int64_t *)y;
    return (a > b) - (a < b);
}

static int compare_to_start(const void *token, const void *start)
{
    const int64_t *at = start, t = *(const int64_t *)token;
    return t < at[0] ? -1 : t >= at[1];
}

const char *ol_quantisation_row(const struct quantisation *q, int site, int64_t sequence,
                                int64_t position)
{
    const struct ol_parts *parts = q->a->parts;
    const struct ol_site_of_run *at = &q->a->sites[site];
    const char *rows = ol_activation_get(parts->files[parts->file_of[sequence]],
                                         ol_table_of_site(at->site), at->i_layer,
                                         parts->number_of[sequence]);
    return rows +
           (size_t)position * q->d_model * ol_dtype_size(ol_parts_layout(parts)->dtype);
}

/* What was put aside at a site is known to be kept now, or not. */
static void take_put_aside(void *arg, int64_t site, int thread)
{
    struct quantisation *q = arg;
    const enum ol_dtype dtype = ol_parts_layout(q->a->parts)->dtype;
    void *column = q->column[thread];
    int64_t n_worst, n;
    int64_t *tokens = ol_worst_put_aside(q->worst, (int)site, &n_worst, &n);
    memset(column, 0, OL_N_KINDS * q->d_model * sizeof(uint32_t));
    for (int64_t i = 0; i < n; i++) {
        const int64_t *start =
            bsearch(&tokens[i], q->starts, (size_t)q->a->parts->n_sequences,
                    sizeof *start, compare_to_start);
        take_row(dtype,
                 ol_quantisation_row(q, (int)site, start - q->starts, tokens[i] - *start),
                 q->d_model,
                 column_of(dtype, column, i < n_worst ? OL_KEPT : OL_OTHERS, q->d_model));
    }
    add_columns(q, dtype, (int)site, column);
    q->kept[site] = tokens;
}

void ol_quantisation_end_batch(struct quantisation *q, int64_t batch)
{
    if (q->worst != NULL && batch == q->a->n_batches - 1)
        ol_pool_run(q->a->pool, q->a->n_sites, take_put_aside, q);
}

/* ---- when all is gathered ---- */

static float value_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

bool ol_quantisation_columns(const void *state, int site, float *columns)
{
    const struct quantisation *q = state;
    if (q->columns == NULL)
        return false;
    const uint32_t *bits = q->columns + (size_t)site * OL_N_KINDS * q->d_model;
    for (size_t c = 0; c < q->d_model; c++) {
        const uint32_t other = bits[c], kept = bits[q->d_model + c];
        columns[c] = value_of(other > kept ? other : kept);
    }
    return true;
}

void ol_quantisation_columns_of_others(const struct quantisation *q, int site,
                                       float *columns)
{
    const uint32_t *bits =
        q->columns + ((size_t)site * OL_N_KINDS + OL_OTHERS) * q->d_model;
    for (size_t c = 0; c < q->d_model; c++)
        columns[c] = value_of(bits[c]);
}

bool ol_quantisation_is_kept(const struct quantisation *q, int site, int64_t sequence,
                             int64_t position)
{
    if (q->marks != NULL)
        return q->marks[sequence][position] != 0;
    const int64_t token = q->starts[sequence] + position;
    return bsearch(&token, q->kept[site], (size_t)q->n_kept, sizeof token,
                   compare_numbers) != NULL;
}
