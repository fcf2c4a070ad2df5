#include "analyze/kept_rows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int kind_of(uint64_t key)
{
    return (key & 1) != 0 ? OL_KEPT_FIRST : OL_KEPT_OTHERS;
}

int ol_kept_row_kind(const struct ol_kept_row *row)
{
    return kind_of(row->key);
}

/* Equal ones in the order of the files. */
static int compare(const void *x, const void *y)
{
    const struct ol_kept_row *a = x, *b = y;
    if (kind_of(a->key) != kind_of(b->key))
        return kind_of(a->key) - kind_of(b->key);
    if (a->key != b->key)
        return a->key < b->key ? -1 : 1;
    return a->file - b->file;
}

/* One file's rows; returns how many. */
static size_t read_file(const struct ol_kept_rows *of, int file, struct ol_kept_row *list)
{
    const size_t bytes = of->n_sampled * OL_N_SAMPLE_COLUMNS * sizeof(int64_t);
    const char *from =
        ol_activation_get(of->parts->files[file], of->table, of->i_layer, 0);
    size_t n = 0;
    for (size_t i = 0; i < of->n_sampled; i++) {
        int64_t row[OL_N_SAMPLE_COLUMNS];
        memcpy(row, from + of->number * bytes + i * sizeof row, sizeof row);
        if (row[OL_SAMPLE_COUNT] <= 0)
            continue;
        struct ol_kept_row *one = &list[n++];
        *one = (struct ol_kept_row){
            0,      row[OL_SAMPLE_COUNT],    file,
            (int)i, row[OL_SAMPLE_SEQUENCE], row[OL_SAMPLE_POSITION]};
        memcpy(&one->key, &row[OL_SAMPLE_KEY], sizeof one->key);
    }
    return n;
}

size_t ol_kept_rows_list(const struct ol_kept_rows *of, struct ol_kept_row *list)
{
    const size_t firsts = (size_t)ol_sampled_firsts((int)of->n_sampled),
                 room[OL_N_KEPT_KINDS] = {firsts, of->n_sampled - firsts};
    size_t n_all = 0, n_kept = 0, n_of[OL_N_KEPT_KINDS] = {0, 0};
    for (int file = 0; file < of->parts->n_files; file++)
        n_all += read_file(of, file, list + n_all);
    if (n_all > 0)
        qsort(list, n_all, sizeof *list, compare);
    for (size_t i = 0; i < n_all; i++) {
        const int kind = kind_of(list[i].key);
        if (n_kept > 0 && list[n_kept - 1].key == list[i].key) {
            list[n_kept - 1].count += list[i].count;
        } else if (n_of[kind] < room[kind]) {
            list[n_kept++] = list[i];
            n_of[kind]++;
        }
    }
    return n_kept;
}

void ol_kept_rows_weigh(const struct ol_kept_row *list, size_t n,
                        const double tokens[OL_N_KEPT_KINDS], int64_t *weights)
{
    const double most = 0x1p50;
    double counts[OL_N_KEPT_KINDS] = {0, 0}, largest = 0;
    double *exact = ol_xcalloc(n, sizeof *exact);
    for (size_t i = 0; i < n; i++)
        counts[kind_of(list[i].key)] += (double)list[i].count;
    for (size_t i = 0; i < n; i++) {
        const int kind = kind_of(list[i].key);
        const double others = counts[OL_N_KEPT_KINDS - 1 - kind];
        exact[i] = (double)list[i].count * (others > 0 ? tokens[kind] * others : 1);
        largest = fmax(largest, exact[i]);
    }
    for (size_t i = 0; i < n; i++)
        weights[i] =
            (int64_t)fmax(1, largest > most ? exact[i] * (most / largest) : exact[i]);
    free(exact);
}
