#include "extract/text/remote.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "extract/hub/dataset.h"
#include "extract/hub/meter.h"
#include "extract/hub/settings.h"
#include "extract/text/column.h"
#include "extract/text/kept.h"

/* ---- data sets by name ---- */

/* Files FOLDER000BEHIND, FOLDER001BEHIND, ... of a data set, in order; a commit, so that
 * the name means the same text at all times. */
struct named {
    const char *name, *repo, *commit, *folder, *behind;
    int n_files;
};

static const struct named all_named[] = {
    /* Its configuration sample-10BT: 9,672,101 documents, 28.5 GB. */
    {"fineweb-edu", "HuggingFaceFW/fineweb-edu",
     "87f09149ef4734204d70ed1d046ddc9ca3f2b8f9", "sample/10BT/", "_00000.parquet", 14},
};

static const struct named *find_named(const char *item)
{
    for (size_t i = 0; i < sizeof all_named / sizeof *all_named; i++)
        if (strcmp(all_named[i].name, item) == 0)
            return &all_named[i];
    return NULL;
}

static char *named_address(const struct named *n, int file)
{
    return ol_xasprintf("hf://datasets/%s@%s/%s%03d%s", n->repo, n->commit, n->folder,
                        file, n->behind);
}

bool ol_remote_is(const char *item)
{
    return ol_hub_is_address(item) || find_named(item) != NULL;
}

/* ---- one file ---- */

struct text {
    struct ol_hub_place place;
    const char *column; /* borrowed */
    char commit[OL_HUB_COMMIT_BYTES];
    ol_take_text *take;
    void *arg;
    struct ol_kept kept; /* path NULL: nothing is */
    int64_t n_taken;     /* documents, out of it */
    bool enough;
    /* While it is fetched: */
    struct ol_kept_writer *writer;
    int64_t n_read;
};

static bool is_parquet(const char *path)
{
    static const char end[] = ".parquet";
    const size_t n = strlen(path), m = sizeof end - 1;
    return n >= m && strcasecmp(path + n - m, end) == 0;
}

/* "hf://datasets/ORG/NAME@COMMIT/PATH", with "#COLUMN" where there is one. */
static char *describe(const struct text *t, const char *column)
{
    return ol_xasprintf("hf://%s@%s/%s%s%s", t->place.name.repo, t->commit, t->place.path,
                        column != NULL ? "#" : "", column != NULL ? column : "");
}

static char *kept_folder(const struct text *t)
{
    char *folder = ol_hub_place_folder(&t->place);
    char *kept = ol_kept_folder(folder, t->commit, t->place.path, t->column);
    free(folder);
    return kept;
}

static int open_text(struct text *t, const char *address, const char *field,
                     struct ol_error *err)
{
    const bool named = field != NULL && *field != '\0';
    if (ol_hub_place_read(address, &t->place, err) != 0)
        return -1;
    t->column = t->place.behind != NULL ? t->place.behind
                : named                 ? field
                                        : OL_DEFAULT_FIELD;
    return 0;
}

/* ---- out of the cache ---- */

static int take_kept(void *arg, const char *bytes, size_t n, bool is_last,
                     struct ol_error *err)
{
    struct text *t = arg;
    t->n_taken++;
    return t->take(t->arg, bytes, n, is_last, err);
}

/* 0 when there is more of the text, and it is wanted: at the Hub. 1: all has been read
 * that there is. */
static int read_kept(struct text *t, struct ol_error *err)
{
    if (!ol_hub_place_commit(&t->place, t->commit))
        return 0;
    char *folder = kept_folder(t);
    const struct ol_kept *kept = &t->kept;
    const bool there = ol_kept_find(folder, &t->kept);
    free(folder);
    if (!there)
        return 0;
    ol_detail("%s: %s: read from %s", t->place.name.repo, t->place.path, kept->path);
    const int status =
        ol_documents_read_file(kept->path, OL_DEFAULT_FIELD, take_kept, t, err);
    t->enough = status == OL_ENOUGH;
    if (status == 0 && !kept->all && ol_hub_is_offline())
        ol_fail(err,
                "%s: %s: the first %" PRId64
                " documents, kept in %s, do not suffice, and HF_HUB_OFFLINE forbids to "
                "ask the Hub for more",
                t->place.name.repo, t->place.path, kept->n, kept->path);
    return err->text[0] != '\0' ? -1 : t->enough || kept->all;
}

/* ---- from the Hub ---- */

/* All that is fetched is kept; taken is what was not taken out of the cache. */
static int take_fetched(void *arg, const char *bytes, size_t n, bool is_last,
                        struct ol_error *err)
{
    struct text *t = arg;
    if (ol_kept_add(t->writer, bytes, n, err) != 0)
        return -1;
    if (t->n_read++ < t->n_taken || t->enough)
        return 0;
    const int status = t->take(t->arg, bytes, n, is_last, err);
    t->enough = status == OL_ENOUGH;
    return status < 0 ? -1 : 0;
}

static void tell_fetched(const struct text *t, const struct ol_hub_file *file,
                         const char *path)
{
    const struct ol_hub_file_facts f = ol_hub_file_facts(file);
    ol_note("%s: %s: fetched %s of %s in %ld requests; its first %" PRId64
            " documents are kept in %s",
            t->place.name.repo, t->place.path, ol_amount((double)f.fetched).text,
            ol_amount((double)f.size).text, f.n_requests, t->n_read, path);
}

static int read_fetched(struct text *t, struct ol_hub_file *file, const char *name,
                        struct ol_error *err)
{
    const struct ol_parquet_file parquet = {name, ol_hub_file_facts(file).size, file,
                                            ol_hub_file_read};
    struct ol_column c = {.name = name, .column = t->column, .enough = &t->enough};
    char *folder = kept_folder(t), *path = NULL;
    int status = -1;
    c.parquet = ol_parquet_open(&parquet, t->column, err);
    const bool goes_on = c.parquet != NULL && t->kept.path != NULL &&
                         ol_parquet_go_on(c.parquet, t->kept.next);
    t->n_read = goes_on ? t->n_taken : 0;
    if (c.parquet != NULL)
        t->writer = ol_kept_begin(folder, goes_on ? &t->kept : NULL, err);
    if (t->writer != NULL)
        status = ol_column_read(&c, take_fetched, t, err);
    if (status >= 0) {
        const struct ol_parquet_place next = ol_parquet_place(c.parquet);
        if (ol_kept_end(t->writer, status == 0 ? NULL : &next, &path, err) != 0)
            status = -1;
    } else {
        ol_kept_discard(t->writer);
    }
    if (status >= 0)
        tell_fetched(t, file, path);
    ol_parquet_close(c.parquet);
    free(path);
    free(folder);
    return status < 0 ? -1 : 0;
}

static int fetch(struct text *t, struct ol_error *err)
{
    /* A branch means what it meant when it was first read, until the cache is told. */
    if (t->commit[0] != '\0')
        t->place.name.revision = t->commit;
    if (ol_hub_is_offline())
        return ol_fail(err,
                       "%s: %s: is not in the cache, and HF_HUB_OFFLINE forbids to ask "
                       "the Hub",
                       t->place.name.repo, t->place.path);
    struct ol_hub_file *file = ol_hub_file_open(&t->place, err);
    if (file == NULL)
        return -1;
    strcpy(t->commit, ol_hub_file_facts(file).commit);
    char *name = describe(t, NULL);
    const int status = read_fetched(t, file, name, err);
    free(name);
    ol_hub_file_close(file);
    return status;
}

/* Out of a file that somebody has fetched whole, else out of what is kept, and the rest
 * from the Hub. */
static int read_column(struct text *t, struct ol_error *err)
{
    char *path = ol_hub_file_find(&t->place, t->commit);
    int status = 0;
    if (path == NULL) {
        status = read_kept(t, err);
        return status != 0 ? (status < 0 ? -1 : 0) : fetch(t, err);
    }
    status = ol_column_read_file(path, t->column, t->take, t->arg, err);
    t->enough = status == OL_ENOUGH;
    free(path);
    return status < 0 ? -1 : 0;
}

/* Any other file, whole. */
static int read_whole(struct text *t, const char *field, struct ol_error *err)
{
    const char *key = t->place.behind != NULL ? t->place.behind : field;
    char *path = ol_hub_file_fetch(&t->place, t->commit, err);
    int status = -1;
    if (path != NULL && ol_column_is_parquet(path)) /* whatever its name says */
        status = ol_column_read_file(path, t->column, t->take, t->arg, err);
    else if (path != NULL)
        status = ol_documents_read_file(path, key, t->take, t->arg, err);
    t->enough = status == OL_ENOUGH;
    free(path);
    return status < 0 ? -1 : 0;
}

/* ---- an item ---- */

static int read_address(const char *address, const char *field, struct text *t,
                        char **source, struct ol_error *err)
{
    int status = open_text(t, address, field, err);
    if (status == 0) {
        const bool by_column = is_parquet(t->place.path);
        status = by_column ? read_column(t, err) : read_whole(t, field, err);
        char *read = describe(t, by_column ? t->column : t->place.behind);
        ol_documents_append(source, read);
        free(read);
    }
    ol_kept_clear(&t->kept);
    ol_hub_place_clear(&t->place);
    return status < 0 ? -1 : t->enough ? OL_ENOUGH : 0;
}

int ol_remote_read(const char *item, const char *field, ol_take_text *take, void *arg,
                   char **source, struct ol_error *err)
{
    const struct named *named = find_named(item);
    int status = 0;
    for (int i = 0; status == 0 && i < (named != NULL ? named->n_files : 1); i++) {
        struct text t = {.take = take, .arg = arg};
        char *address = named != NULL ? named_address(named, i) : ol_xstrdup(item);
        status = read_address(address, named != NULL ? NULL : field, &t, source, err);
        free(address);
    }
    return status;
}

static bool announce_column(const char *item, const char *address, struct text *t)
{
    struct ol_kept kept;
    const bool known = ol_hub_place_commit(&t->place, t->commit);
    char *folder = known ? kept_folder(t) : ol_hub_place_folder(&t->place);
    const bool there = known && ol_kept_find(folder, &kept);
    if (there)
        ol_kept_clear(&kept);
    else
        ol_note("%s: of %s only the footer and those pages of column '%s' will be "
                "fetched that are needed; the text is kept in %s",
                item, address, t->column, folder);
    free(folder);
    return !there;
}

static bool announce_whole(const char *item, const struct text *t)
{
    char *folder = ol_hub_place_folder(&t->place);
    ol_note("%s: will be fetched whole to %s", item, folder);
    free(folder);
    return true;
}

bool ol_remote_announce(const char *item, const char *field)
{
    const struct named *named = find_named(item);
    struct ol_error ignored = {0};
    struct text t = {0};
    bool any = false;
    char *address = named != NULL ? named_address(named, 0) : ol_xstrdup(item);
    if (!ol_hub_is_offline() &&
        open_text(&t, address, named != NULL ? NULL : field, &ignored) == 0) {
        char *there = ol_hub_file_find(&t.place, t.commit);
        if (there == NULL)
            any = is_parquet(t.place.path) ? announce_column(item, address, &t)
                                           : announce_whole(item, &t);
        free(there);
    }
    ol_hub_place_clear(&t.place);
    free(address);
    return any;
}
