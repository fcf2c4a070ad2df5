#include "analyze/parts.h"

#include <stdlib.h>
#include <string.h>

#include "analyze/counts.h"

static bool same_arms(const struct ol_activation_layout *a,
                      const struct ol_activation_layout *b)
{
    bool same = a->n_arms == b->n_arms;
    for (int i = 0; same && i < a->n_arms; i++)
        same = strcmp(a->arms[i], b->arms[i]) == 0;
    return same;
}

/* What keeps two files from being parts of one run, or NULL. */
static const char *difference(const struct ol_activation_file *a,
                              const struct ol_activation_file *b)
{
    const struct ol_activation_info *x = ol_activation_info(a),
                                    *y = ol_activation_info(b);
    const struct ol_activation_layout *p = ol_activation_layout(a),
                                      *q = ol_activation_layout(b);
    if (p->d_model != q->d_model)
        return "d_model";
    if (!ol_activation_same_layers(p, q))
        return "the recorded layers or sites";
    if (strcmp(x->model.config_sha256, y->model.config_sha256) != 0)
        return "config_sha256";
    if (strcmp(x->model.weights_sha256, y->model.weights_sha256) != 0)
        return "weights_sha256";
    if (p->dtype != q->dtype || strcmp(x->precision, y->precision) != 0)
        return "the precision or the type of the tensors";
    if (p->summary != q->summary || p->threshold != q->threshold)
        return "the presence of summaries or their threshold";
    if (p->nll != q->nll)
        return "the presence of /input/nll";
    return same_arms(p, q) ? NULL : "the arms of the ablation";
}

static void add_sequences(struct ol_parts *parts, int file)
{
    const struct ol_activation_file *f = parts->files[file];
    const int64_t n = ol_activation_layout(f)->n_sequences;
    const size_t total = (size_t)(parts->n_sequences + n);
    parts->file_of = ol_xrealloc_array(parts->file_of, total, sizeof *parts->file_of);
    parts->number_of =
        ol_xrealloc_array(parts->number_of, total, sizeof *parts->number_of);
    parts->lengths = ol_xrealloc_array(parts->lengths, total, sizeof *parts->lengths);
    for (int64_t i = 0; i < n; i++) {
        parts->file_of[parts->n_sequences] = file;
        parts->number_of[parts->n_sequences] = i;
        parts->lengths[parts->n_sequences] = ol_activation_input(f)->lengths[i];
        parts->n_tokens += parts->lengths[parts->n_sequences++];
    }
}

/* A file given twice would count twice; by another name it is the same one. */
static int check_other(const struct ol_parts *parts, const char *path,
                       struct ol_error *err)
{
    for (int i = 0; i < parts->n_files; i++)
        if (ol_activation_is(parts->files[i], path))
            return ol_fail(err, "%s: is the same file as %s: it would count twice", path,
                           ol_activation_path(parts->files[i]));
    return 0;
}

int ol_parts_open(struct ol_parts *parts, const char *const *paths, int n,
                  struct ol_error *err)
{
    parts->files = ol_xcalloc((size_t)n, sizeof *parts->files);
    for (int i = 0; i < n; i++) {
        if (check_other(parts, paths[i], err) != 0)
            return -1;
        parts->files[i] = ol_activation_open(paths[i], err);
        if (parts->files[i] == NULL)
            return -1;
        parts->n_files++;
        const char *what = difference(parts->files[0], parts->files[i]);
        if (what != NULL)
            return ol_fail(err, "%s and %s are no parts of one run: %s differs", paths[0],
                           paths[i], what);
        if (ol_counts_check(parts->files[i], err) != 0)
            return -1;
        add_sequences(parts, i);
    }
    return 0;
}

int ol_parts_intact(const struct ol_parts *parts, struct ol_error *err)
{
    for (int i = 0; i < parts->n_files; i++)
        if (ol_activation_intact(parts->files[i], err) != 0)
            return -1;
    return 0;
}

void ol_parts_clear(struct ol_parts *parts)
{
    for (int i = 0; i < parts->n_files; i++)
        ol_activation_close(parts->files[i]);
    free(parts->files);
    free(parts->file_of);
    free(parts->number_of);
    free(parts->lengths);
    *parts = (struct ol_parts){0};
}

const struct ol_activation_info *ol_parts_info(const struct ol_parts *parts)
{
    return ol_activation_info(parts->files[0]);
}

const struct ol_activation_layout *ol_parts_layout(const struct ol_parts *parts)
{
    return ol_activation_layout(parts->files[0]);
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

struct ol_activation_receipt ol_parts_receipt(const struct ol_parts *parts)
{
    struct ol_activation_receipt all = {0};
    for (int i = 0; i < parts->n_files; i++) {
        const struct ol_activation_receipt *r = ol_activation_receipt(parts->files[i]);
        all.bytes_read += r->bytes_read;
        all.link_bytes += r->link_bytes;
        all.peak_memory = larger(all.peak_memory, r->peak_memory);
        all.peak_device_memory = larger(all.peak_device_memory, r->peak_device_memory);
        all.n_devices = larger(all.n_devices, r->n_devices);
        all.seconds += r->seconds;
        all.disk_seconds += r->disk_seconds;
        all.link_seconds += r->link_seconds;
        all.compute_seconds += r->compute_seconds;
        all.writer_seconds += r->writer_seconds;
    }
    return all;
}
