/* Reading a file's description, believing none of it before it is checked. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/activation_check.h"
#include "common/crash_guard.h"
#include "common/infile.h"

/* A shape in words: two lists of three numbers of up to 20 digits, and some words. */
enum { SHAPE_TEXT = 256 };

static int check_header(const struct ol_activation_check *r, struct ol_error *err)
{
    char *format = NULL;
    int64_t *version = &r->c->version;
    if (ol_h5_get_text(r->h, "/", "format", &format, err) != 0)
        return -1;
    int status = 0;
    if (strcmp(format, OL_ACTIVATION_FORMAT) != 0)
        status =
            ol_fail(err, "%s: format is \"%s\", expected \"" OL_ACTIVATION_FORMAT "\"",
                    r->path, format);
    free(format);
    if (status != 0 || ol_h5_get_int(r->h, "/", "format_version", version, err) != 0)
        return -1;
    if (*version < OL_ACTIVATION_OLDEST_VERSION || *version > OL_ACTIVATION_VERSION)
        return ol_fail(err, "%s: format_version is %lld, this program reads %d to %d",
                       r->path, (long long)*version, OL_ACTIVATION_OLDEST_VERSION,
                       OL_ACTIVATION_VERSION);
    return ol_h5_get_bool(r->h, "/", "complete", &r->c->complete, err);
}

static void print_shape(char text[SHAPE_TEXT], const struct ol_h5_shape *s)
{
    int n = snprintf(text, SHAPE_TEXT, "%s [", ol_h5_type_name(s->type));
    for (int i = 0; i < s->rank; i++)
        n += snprintf(text + n, SHAPE_TEXT - (size_t)n, "%s%lld", i > 0 ? ", " : "",
                      (long long)s->dims[i]);
    n += snprintf(text + n, SHAPE_TEXT - (size_t)n, "]");
    if (s->chunked) {
        n += snprintf(text + n, SHAPE_TEXT - (size_t)n, " in chunks [");
        for (int i = 0; i < s->rank; i++)
            n += snprintf(text + n, SHAPE_TEXT - (size_t)n, "%s%lld", i > 0 ? ", " : "",
                          (long long)s->chunk[i]);
        n += snprintf(text + n, SHAPE_TEXT - (size_t)n, "]");
    }
    if (s->compressed || s->filtered)
        n += snprintf(text + n, SHAPE_TEXT - (size_t)n,
                      s->filtered ? " with filters" : ", compressed");
    if (s->elsewhere)
        snprintf(text + n, SHAPE_TEXT - (size_t)n, " in another file");
}

static int check_shape(const struct ol_activation_check *r, const char *dataset,
                       const struct ol_h5_shape *expected, struct ol_error *err)
{
    struct ol_h5_shape found;
    char have[SHAPE_TEXT], want[SHAPE_TEXT];
    if (ol_h5_describe(r->h, dataset, &found, err) != 0)
        return -1;
    bool same = found.type == expected->type && found.rank == expected->rank &&
                found.chunked == expected->chunked &&
                found.compressed == expected->compressed && !found.filtered &&
                !found.elsewhere;
    for (int i = 0; same && i < expected->rank; i++)
        same = found.dims[i] == expected->dims[i] &&
               (!expected->chunked || found.chunk[i] == expected->chunk[i]);
    if (same)
        return 0;
    print_shape(have, &found);
    print_shape(want, expected);
    return ol_fail(err, "%s: %s: found %s, expected %s", r->path, dataset, have, want);
}

/* All of a table of BEGUN or SEALED, into its member. */
static int read_whole(const struct ol_activation_check *r, int table,
                      struct ol_error *err)
{
    struct ol_activation_content *c = r->c;
    const struct ol_h5_shape shape = ol_table_shape(c, NULL, table);
    const char *path = ol_table_file_path(table);
    if (check_shape(r, path, &shape, err) != 0)
        return -1;
    const size_t bytes = ol_table_memory_bytes(c, table);
    void **memory = ol_table_memory(c, table);
    *memory = calloc(bytes > 0 ? bytes : 1, 1);
    if (*memory == NULL)
        return ol_fail(err, "%s: out of memory: %s has %zu bytes", r->path, path, bytes);
    if (bytes > 0 && ol_h5_read(r->h, path, shape.type, *memory, err) != 0)
        return -1;
    char **texts = *memory;
    for (int64_t i = 0; shape.type == OL_H5_TEXT && i < shape.dims[0]; i++)
        if (texts[i] == NULL)
            texts[i] = ol_xstrdup("");
    return 0;
}

static int read_stored(const struct ol_activation_check *r, enum ol_table_storage storage,
                       struct ol_error *err)
{
    for (struct ol_table_place p = {0}; ol_tables_next(r->c, &p);)
        if (ol_table_storage(p.table) == storage && read_whole(r, p.table, err) != 0)
            return -1;
    return 0;
}

/* How many entries a list has; 0 without it. */
static int read_length(const struct ol_activation_check *r, int table, int64_t *n,
                       struct ol_error *err)
{
    const char *path = ol_table_file_path(table);
    struct ol_h5_shape shape;
    bool there;
    if (ol_h5_exists(r->h, path, &there, err) != 0)
        return -1;
    if (!there)
        return 0;
    if (ol_h5_describe(r->h, path, &shape, err) != 0)
        return -1;
    if (shape.rank != 1 || shape.dims[0] > INT32_MAX ||
        (uint64_t)shape.dims[0] > r->file_bytes)
        return ol_fail(err, "%s: %s: expected a list", r->path, path);
    *n = shape.dims[0];
    return 0;
}

/* Lengths within the table, ids below the vocabulary, -1 behind them. */
static int check_ids(const struct ol_activation_check *r, struct ol_error *err)
{
    const struct ol_activation_layout *layout = &r->c->layout;
    const struct ol_activation_input *input = &r->c->input;
    for (int64_t s = 0; s < layout->n_sequences; s++) {
        const int32_t length = input->lengths[s];
        if (length < 1 || length > layout->n_tokens)
            return ol_fail(err,
                           "%s: /input/lengths: sequence %lld has %d tokens, expected 1 "
                           "to %lld",
                           r->path, (long long)s, length, (long long)layout->n_tokens);
        for (int64_t t = 0; t < layout->n_tokens; t++) {
            const int32_t id = input->token_ids[s * layout->n_tokens + t];
            if (t < length ? id < 0 || id >= r->c->info.model.vocab_size : id != -1)
                return ol_fail(err,
                               "%s: /input/token_ids: sequence %lld, token %lld is %d, "
                               "expected %s",
                               r->path, (long long)s, (long long)t, id,
                               t < length ? "an id of the vocabulary" : "-1");
        }
    }
    return 0;
}

static int read_input(const struct ol_activation_check *r, struct ol_error *err)
{
    struct ol_activation_layout *layout = &r->c->layout;
    struct ol_h5_shape shape;
    int64_t n_arms = 0;
    if (ol_h5_describe(r->h, "/input/token_ids", &shape, err) != 0)
        return -1;
    if (shape.rank != 2 || shape.dims[0] < 1 || shape.dims[1] < 1)
        return ol_fail(err, "%s: /input/token_ids: expected sequences x tokens", r->path);
    layout->n_sequences = shape.dims[0];
    layout->n_tokens = shape.dims[1];
    layout->d_model = r->c->info.model.d_model;
    if (layout->d_model < 1)
        return ol_fail(err, "%s: /model: d_model is %lld, expected at least 1", r->path,
                       (long long)layout->d_model);
    /* Sizes are products of these: refuse what would overflow them. */
    if (layout->n_sequences > INT32_MAX || layout->n_tokens > INT32_MAX ||
        layout->d_model > INT32_MAX ||
        (uint64_t)layout->n_sequences * (uint64_t)layout->n_tokens > r->file_bytes)
        return ol_fail(
            err,
            "%s: /input/token_ids: %lld x %lld ids do not fit in a file of %llu "
            "bytes",
            r->path, (long long)layout->n_sequences, (long long)layout->n_tokens,
            (unsigned long long)r->file_bytes);
    if (ol_activation_check_part(r->path, &r->c->info, layout->n_sequences, err) != 0)
        return -1;
    if (read_length(r, OL_TABLE_PIECE_IDS, &r->c->input.n_pieces, err) != 0 ||
        read_length(r, OL_TABLE_ARMS, &n_arms, err) != 0)
        return -1;
    layout->n_arms = (int)n_arms;
    if (layout->n_arms * layout->n_sequences > INT32_MAX)
        return ol_fail(err, "%s: /ablation/arms: %d arms of %lld sequences are too many",
                       r->path, layout->n_arms, (long long)layout->n_sequences);
    return read_stored(r, OL_STORED_BEGUN, err) != 0 ? -1 : check_ids(r, err);
}

/* Offsets of a table's chunks, `count` of n bytes each, inside the file, and aligned when
 * they are mapped. */
static int read_chunks(const struct ol_activation_check *r, const char *dataset,
                       int64_t count, uint64_t n, bool mapped, uint64_t **offsets,
                       struct ol_error *err)
{
    uint64_t *bytes = ol_xcalloc((size_t)count, sizeof *bytes);
    *offsets = ol_xcalloc((size_t)count, sizeof **offsets);
    int status = ol_h5_chunks(r->h, dataset, count, *offsets, bytes, err);
    for (int64_t i = 0; i < count && status == 0; i++) {
        const uint64_t at = (*offsets)[i];
        if (bytes[i] != n)
            status = ol_fail(err, "%s: %s: chunk %lld has %llu bytes, expected %llu",
                             r->path, dataset, (long long)i, (unsigned long long)bytes[i],
                             (unsigned long long)n);
        else if (mapped && at % OL_ACTIVATION_ALIGNMENT != 0)
            status = ol_fail(err,
                             "%s: %s: chunk %lld begins at byte %llu, expected a "
                             "multiple of %d",
                             r->path, dataset, (long long)i, (unsigned long long)at,
                             OL_ACTIVATION_ALIGNMENT);
        else if (n > r->file_bytes || at > r->file_bytes - n)
            status =
                ol_fail(err,
                        "%s: %s: chunk %lld lies at bytes %llu to %llu, but the "
                        "file has %llu",
                        r->path, dataset, (long long)i, (unsigned long long)at,
                        (unsigned long long)(at + n), (unsigned long long)r->file_bytes);
    }
    free(bytes);
    return status;
}

/* Where the tables lie that are written as they come. */
static int read_places(const struct ol_activation_check *r, struct ol_error *err)
{
    struct ol_activation_content *c = r->c;
    char path[OL_TABLE_PATH];
    c->offsets = ol_xcalloc((size_t)ol_tables_n(&c->layout), sizeof *c->offsets);
    for (struct ol_table_place p = {0}; ol_tables_next(c, &p);) {
        const enum ol_table_storage storage = ol_table_storage(p.table);
        if (storage != OL_STORED_ROWS && storage != OL_STORED_WHOLE)
            continue;
        const struct ol_h5_shape shape = ol_table_shape(c, p.layer, p.table);
        ol_table_path(path, p.layer != NULL ? p.layer->number : 0, p.table);
        if (check_shape(r, path, &shape, err) != 0 ||
            read_chunks(r, path, ol_table_n_chunks(c, p.table),
                        ol_table_chunk_bytes(c, p.layer, p.table),
                        storage == OL_STORED_ROWS, &c->offsets[p.index], err) != 0)
            return -1;
    }
    return 0;
}

/* ---- outliers ---- */

static int check_outliers(const struct ol_activation_check *r, struct ol_error *err)
{
    const struct ol_activation_outliers *o = &r->c->outliers;
    for (int64_t i = 0; i < o->n_values; i++) {
        const bool rises =
            i == 0 || o->features[i - 1] < o->features[i] ||
            (o->features[i - 1] == o->features[i] && o->codes[i - 1] < o->codes[i]);
        if (o->features[i] < 0 || o->features[i] >= r->c->layout.d_model || !rises ||
            o->counts[i] < 1)
            return ol_fail(err,
                           "%s: /summary: value %lld (feature %d, %lld times) is out of "
                           "range or out of order",
                           r->path, (long long)i, o->features[i],
                           (long long)o->counts[i]);
    }
    return 0;
}

static int read_sealed(const struct ol_activation_check *r, struct ol_error *err)
{
    struct ol_activation_content *c = r->c;
    if (!c->complete)
        return 0;
    if (read_length(r, OL_TABLE_VALUE_FEATURES, &c->outliers.n_values, err) != 0 ||
        read_stored(r, OL_STORED_SEALED, err) != 0)
        return -1;
    return check_outliers(r, err);
}

static int read_threshold(const struct ol_activation_check *r, struct ol_error *err)
{
    struct ol_activation_layout *layout = &r->c->layout;
    if (ol_h5_exists(r->h, "/summary", &layout->summary, err) != 0)
        return -1;
    if (!layout->summary)
        return 0;
    if (ol_h5_get_real(r->h, "/summary", "threshold", &layout->threshold, err) != 0)
        return -1;
    return layout->threshold > 0
               ? 0
               : ol_fail(err, "%s: /summary: threshold is %g, expected more than 0",
                         r->path, layout->threshold);
}

static int file_bytes(const char *path, uint64_t *bytes, struct ol_error *err)
{
    struct stat info;
    const int fd = ol_infile_descriptor(path, err);
    if (fd < 0)
        return -1;
    int status = 0;
    if (fstat(fd, &info) != 0)
        status = ol_fail_errno(err, "%s: cannot be read", path);
    else
        *bytes = (uint64_t)info.st_size;
    close(fd);
    return status;
}

/* An old file does not say which sites it was meant to hold, but every layer had the same
 * ones. */
static int check_sites(const struct ol_activation_check *r, struct ol_error *err)
{
    const struct ol_activation_layout *layout = &r->c->layout;
    char path[64];
    for (int site = 0; site < OL_N_SITES; site++) {
        int n = 0, without = 0;
        for (int l = 0; l < layout->n_layers; l++) {
            n += layout->layers[l].sites[site];
            without = layout->layers[l].sites[site] ? without : l;
        }
        ol_table_path(path, layout->layers[without].number,
                      ol_table_of_site((enum ol_site)site));
        if (n > 0 && n < layout->n_layers)
            return ol_fail(err, "%s: %s is missing: other layers have it", r->path, path);
    }
    for (int site = 0; site < OL_N_SUMMARY_SITES; site++) {
        int n = 0, without = 0;
        for (int l = 0; l < layout->n_layers; l++) {
            n += layout->layers[l].summary_sites[site];
            without = layout->layers[l].summary_sites[site] ? without : l;
        }
        if (n > 0 && n < layout->n_layers)
            return ol_fail(err,
                           "%s: /layers/%03d/summary/%s is missing: other layers "
                           "have it",
                           r->path, layout->layers[without].number,
                           ol_summary_site_name((enum ol_summary_site)site));
    }
    return 0;
}

/* Against the list, which an old file is without. */
static int check_list(const struct ol_activation_check *r,
                      struct ol_activation_list *list, struct ol_error *err)
{
    struct ol_activation_content *c = r->c;
    if (c->version < OL_ACTIVATION_VERSION)
        return check_sites(r, err);
    if (ol_activation_list_accept(c, r->path, list, err) != 0 ||
        ol_h5_offset(r->h, ol_activation_checksums_path(), &c->checksums_at, err) != 0)
        return -1;
    const char *damaged = ol_activation_damaged_table(c);
    return damaged == NULL
               ? 0
               : ol_fail(err, "%s: %s is damaged: it is not what its checksum says",
                         r->path, damaged);
}

static int read_list(const struct ol_activation_check *r, struct ol_activation_list *list,
                     struct ol_error *err)
{
    return r->c->version < OL_ACTIVATION_VERSION
               ? 0
               : ol_activation_list_read(r->h, r->path, r->c->complete, list, err);
}

static int read_all(struct ol_activation_check *r, struct ol_error *err)
{
    struct ol_activation_content *c = r->c;
    struct ol_activation_list list = {0};
    r->h = ol_h5_open(r->path, false, err);
    if (r->h == NULL)
        return -1;
    int status = 0;
    if (check_header(r, err) != 0 || read_list(r, &list, err) != 0 ||
        ol_activation_get_attributes(r->h, &c->info, err) != 0 ||
        ol_activation_receipt_read(r->h, &c->receipt, err) != 0 ||
        read_input(r, err) != 0 || read_threshold(r, err) != 0 ||
        ol_h5_exists(r->h, ol_table_file_path(OL_TABLE_NLL), &c->layout.nll, err) != 0 ||
        ol_activation_check_layers(r, err) != 0 || read_places(r, err) != 0 ||
        read_sealed(r, err) != 0 || check_list(r, &list, err) != 0)
        status = -1;
    ol_activation_list_clear(&list);
    if (status == 0)
        return ol_h5_close(r->h, err);
    ol_h5_free(r->h);
    return -1;
}

/* There are headers and heaps that the library does not survive, or finds no end of: then
 * that is said. */
int ol_activation_content_read(const char *path, struct ol_activation_content *c,
                               struct ol_error *err)
{
    struct ol_activation_check r = {.path = path, .c = c};
    if (file_bytes(path, &r.file_bytes, err) != 0 || ol_h5_check(path, err) != 0)
        return -1;
    ol_crash_guard_begin(path, "HDF5");
    const int status = read_all(&r, err);
    ol_crash_guard_end();
    return status;
}

static int read_complete(struct ol_activation_check *r, struct ol_error *err)
{
    r->h = ol_h5_open(r->path, false, err);
    if (r->h == NULL)
        return -1;
    if (check_header(r, err) == 0)
        return ol_h5_close(r->h, err);
    ol_h5_free(r->h);
    return -1;
}

int ol_activation_is_complete(const char *path, bool *complete, struct ol_error *err)
{
    struct ol_activation_content c = {0};
    struct ol_activation_check r = {.path = path, .c = &c};
    if (file_bytes(path, &r.file_bytes, err) != 0 || ol_h5_check(path, err) != 0)
        return -1;
    ol_crash_guard_begin(path, "HDF5");
    const int status = read_complete(&r, err);
    ol_crash_guard_end();
    *complete = c.complete;
    return status;
}

void ol_activation_content_clear(struct ol_activation_content *c)
{
    for (int64_t i = 0; c->offsets != NULL && i < ol_tables_n(&c->layout); i++)
        free(c->offsets[i]);
    free(c->offsets);
    for (int t = 0; t < OL_N_FILE_TABLES; t++) {
        const enum ol_table_storage storage = ol_table_storage(t);
        if (storage != OL_STORED_BEGUN && storage != OL_STORED_SEALED)
            continue;
        char **texts = *ol_table_memory(c, t);
        const struct ol_h5_shape shape = ol_table_shape(c, NULL, t);
        for (int64_t i = 0;
             shape.type == OL_H5_TEXT && texts != NULL && i < shape.dims[0]; i++)
            free(texts[i]);
        free(texts);
    }
    ol_activation_list_clear(&c->list);
    free(c->layout.layers);
    ol_activation_info_clear(&c->info);
    *c = (struct ol_activation_content){0};
}
