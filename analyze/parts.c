#include "analyze/parts.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/counts.h"
#include "common/same_weights.h"

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
    if (strcmp(x->model.config_sha256, y->model.config_sha256) != 0)
        return "config_sha256";
    if (!ol_same_weights(
            (struct ol_weights_digests){x->model.weights_sha256, x->model.shards_sha256},
            (struct ol_weights_digests){y->model.weights_sha256, y->model.shards_sha256}))
        return "weights_sha256";
    if (strcmp(x->precision, y->precision) != 0)
        return "the precision";
    if (p->summary != q->summary)
        return "the presence of summaries";
    if (p->threshold != q->threshold)
        return "--threshold";
    const char *layers = ol_activation_layers_difference(p, q);
    if (layers != NULL)
        return layers;
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

/* ---- files that say which part of a run they are ---- */

static int64_t number_of(const struct ol_activation_file *f)
{
    return ol_activation_info(f)->part.number;
}

static int64_t parts_of(const struct ol_activation_file *f)
{
    return ol_activation_info(f)->part.n_parts;
}

/* Whether they say so of one run. */
static int check_run(const struct ol_activation_file *a,
                     const struct ol_activation_file *b, struct ol_error *err)
{
    const struct ol_activation_info *x = ol_activation_info(a),
                                    *y = ol_activation_info(b);
    const char *one = ol_activation_path(a), *other = ol_activation_path(b);
    if ((parts_of(a) == 0) != (parts_of(b) == 0))
        return ol_fail(err,
                       "%s is part %" PRId64 " of %" PRId64
                       " of a run, %s is not said to be a part",
                       parts_of(a) != 0 ? one : other, number_of(a) + number_of(b),
                       parts_of(a) + parts_of(b), parts_of(a) != 0 ? other : one);
    if (parts_of(a) != parts_of(b))
        return ol_fail(err,
                       "%s is part %" PRId64 " of %" PRId64 ", %s is part %" PRId64
                       " of %" PRId64 ": they are no parts of one run",
                       one, number_of(a), parts_of(a), other, number_of(b), parts_of(b));
    if (parts_of(a) != 0 && strcmp(x->part.run_sha256, y->part.run_sha256) != 0)
        return ol_fail(err,
                       "%s and %s are no parts of one run: run_sha256, the run's tokens, "
                       "differs",
                       one, other);
    return 0;
}

static int compare_numbers(const void *a, const void *b)
{
    const int64_t x = number_of(*(struct ol_activation_file *const *)a),
                  y = number_of(*(struct ol_activation_file *const *)b);
    return (x > y) - (x < y);
}

/* After what was said of a file's name: the same for another part, where it has one. */
static char *name_of_part(const struct ol_activation_file *f, int64_t number)
{
    char *own = ol_xasprintf(".part-%" PRId64 "-of-", number_of(f));
    const char *path = ol_activation_path(f), *at = strstr(path, own);
    char *name = at != NULL
                     ? ol_xasprintf("%.*s.part-%" PRId64 "-of-%s", (int)(at - path), path,
                                    number, at + strlen(own))
                     : ol_xasprintf("a file");
    free(own);
    return name;
}

static int check_doubled(const struct ol_parts *parts, struct ol_error *err)
{
    for (int i = 1; i < parts->n_files; i++)
        if (number_of(parts->files[i]) == number_of(parts->files[i - 1]))
            return ol_fail(err, "%s and %s are both part %" PRId64 " of %" PRId64,
                           ol_activation_path(parts->files[i - 1]),
                           ol_activation_path(parts->files[i]),
                           number_of(parts->files[i]), parts_of(parts->files[i]));
    return 0;
}

static int check_missing(const struct ol_parts *parts, struct ol_error *err)
{
    const struct ol_activation_file *first = parts->files[0];
    int64_t missing = 1;
    while (missing <= parts->n_files && number_of(parts->files[missing - 1]) == missing)
        missing++;
    if (missing > parts_of(first))
        return 0;
    char *name = name_of_part(first, missing);
    ol_fail(err, "part %" PRId64 " of %" PRId64 " of the run is missing: %s, beside %s",
            missing, parts_of(first), name, ol_activation_path(first));
    free(name);
    return -1;
}

/* Each begins where the one before it ends, the last ends where the run does. */
static int check_sequences(const struct ol_parts *parts, struct ol_error *err)
{
    int64_t next = 0;
    for (int i = 0; i < parts->n_files; i++) {
        const struct ol_activation_file *f = parts->files[i];
        const struct ol_activation_info *info = ol_activation_info(f);
        const int64_t n = ol_activation_layout(f)->n_sequences;
        const int64_t behind =
            i + 1 < parts->n_files ? next + n : info->part.run_sequences;
        if (info->part.first_sequence != next || next + n != behind)
            return ol_fail(err,
                           "%s: %" PRId64 " sequences from first_sequence %" PRId64
                           " on, expected %" PRId64 " from %" PRId64 " on",
                           ol_activation_path(f), n, info->part.first_sequence,
                           behind - next, next);
        next += n;
    }
    return 0;
}

int ol_parts_join(struct ol_parts *parts, struct ol_error *err)
{
    if (parts_of(parts->files[0]) > 0) {
        qsort(parts->files, (size_t)parts->n_files, sizeof *parts->files,
              compare_numbers);
        if (check_doubled(parts, err) != 0 || check_missing(parts, err) != 0 ||
            check_sequences(parts, err) != 0)
            return -1;
    }
    for (int i = 0; i < parts->n_files; i++)
        add_sequences(parts, i);
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
        if (check_run(parts->files[0], parts->files[i], err) != 0)
            return -1;
        if (ol_counts_check(parts->files[i], err) != 0)
            return -1;
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

int ol_parts_n_inputs(const struct ol_parts *parts)
{
    return parts_of(parts->files[0]) > 0 ? 1 : parts->n_files;
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
        all.bytes_fetched += r->bytes_fetched;
        all.n_requests += r->n_requests;
        all.link_bytes += r->link_bytes;
        all.peer_bytes += r->peer_bytes;
        all.copied_bytes += r->copied_bytes;
        all.copy_seconds += r->copy_seconds;
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
