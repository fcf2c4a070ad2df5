/* A checkpoint owns its files (opened in the order of their names) and a hash table from
 * tensor name to tensor; the tensors themselves lie in their files' tables. */
#include "extract/weights/checkpoint.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/json.h"
#include "extract/weights/safetensors.h"

static const char index_name[] = OL_CHECKPOINT_INDEX;
static const char single_name[] = OL_CHECKPOINT_SINGLE;

struct ol_checkpoint {
    char *directory;
    const struct ol_safetensors_header *headers; /* [n_headers] of shards elsewhere */
    size_t n_headers;
    struct ol_safetensors **files;
    int n_files;
    const struct ol_stored_tensor **tensors; /* by file, then by offset */
    int64_t n_tensors;
    const struct ol_stored_tensor **slots; /* open addressing; NULL: free */
    uint64_t slot_mask;                    /* number of slots (a power of two) - 1 */
    struct ol_json *map; /* the index's: which tensor is in which file; NULL: no index */
    int64_t n_absent;    /* of its entries, those of which the file has no such tensor */
    const char *first_absent;
    char sha256[OL_SHA256_HEX_BYTES]; /* of headers and sizes */
};

/* ---- names ---- */

/* FNV-1a, with its high bits folded in because the table uses the low ones. */
static uint64_t hash_name(const char *name)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (; *name != '\0'; name++)
        hash = (hash ^ (unsigned char)*name) * 0x100000001b3u;
    return hash ^ hash >> 32;
}

/* The slot of that name: the tensor's, or the free one where it would be put. */
static const struct ol_stored_tensor **find_slot(const struct ol_checkpoint *c,
                                                 const char *name)
{
    uint64_t i = hash_name(name) & c->slot_mask;
    while (c->slots[i] != NULL && strcmp(c->slots[i]->name, name) != 0)
        i = (i + 1) & c->slot_mask;
    return &c->slots[i];
}

/* Whether the index says that the tensor is in another file: a copy that was left behind
 * there. Of tensors that it does not list it says nothing. */
static bool is_elsewhere(const struct ol_checkpoint *c, const char *path,
                         const char *tensor)
{
    const struct ol_json *file = ol_json_get(c->map, tensor);
    return file != NULL &&
           strcmp(path + strlen(c->directory) + 1, ol_json_string(file, NULL)) != 0;
}

static int add_tensor(struct ol_checkpoint *c, const struct ol_stored_tensor *t,
                      struct ol_error *err)
{
    const char *path = ol_safetensors_path(c->files[t->file]);
    if (is_elsewhere(c, path, t->name))
        return 0;
    const struct ol_stored_tensor **slot = find_slot(c, t->name);
    if (*slot != NULL)
        return ol_fail(err, "%s: tensor %s is also in %s", path, t->name,
                       ol_safetensors_path(c->files[(*slot)->file]));
    *slot = t;
    c->tensors[c->n_tensors++] = t;
    return 0;
}

static int collect_tensors(struct ol_checkpoint *c, struct ol_error *err)
{
    int64_t total = 0, n;
    for (int f = 0; f < c->n_files; f++) {
        ol_safetensors_tensors(c->files[f], &n);
        total += n;
    }
    uint64_t n_slots = 16;
    while (n_slots < 2 * (uint64_t)total)
        n_slots *= 2;
    c->slots = ol_xcalloc(n_slots, sizeof *c->slots);
    c->slot_mask = n_slots - 1;
    c->tensors = ol_xcalloc((size_t)total, sizeof *c->tensors);
    for (int f = 0; f < c->n_files; f++) {
        const struct ol_stored_tensor *tensors = ol_safetensors_tensors(c->files[f], &n);
        for (int64_t i = 0; i < n; i++)
            if (add_tensor(c, &tensors[i], err) != 0)
                return -1;
    }
    return 0;
}

/* ---- the index of a checkpoint in several files ---- */

static int compare_names(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;
    return strcmp(*x, *y);
}

/* A file name from an index must stay inside the directory. (Symbolic links may lead out:
 * that is how the Hub cache is built.) */
static bool stays_inside(const char *name)
{
    if (name[0] == '/' || name[0] == '\0')
        return false;
    for (const char *part = name; part != NULL; part = strchr(part, '/')) {
        part += *part == '/';
        if (strncmp(part, "..", 2) == 0 && (part[2] == '/' || part[2] == '\0'))
            return false;
    }
    return true;
}

/* The distinct file names of a weight_map, sorted; the array is to be freed, the strings
 * are the map's. */
static const char **list_files(struct ol_json *map, const char *index, size_t *n_files,
                               struct ol_error *err)
{
    const char **names = ol_xcalloc(ol_json_length(map), sizeof *names);
    size_t n = 0;
    for (void *it = ol_json_first(map); it != NULL; it = ol_json_next(map, it)) {
        const struct ol_json *value = ol_json_value(it);
        size_t bytes;
        if (ol_json_kind(value) != OL_JSON_STRING) {
            ol_fail(err, "%s: weight_map: %s: expected a file name, a string", index,
                    ol_json_key(it));
            goto fail;
        }
        names[n] = ol_json_string(value, &bytes);
        if (strlen(names[n]) != bytes || !stays_inside(names[n])) {
            ol_fail(err,
                    "%s: weight_map: %s: file name \"%.200s\" is not one inside the "
                    "directory",
                    index, ol_json_key(it), names[n]);
            goto fail;
        }
        n++;
    }
    qsort(names, n, sizeof *names, compare_names);
    *n_files = 0;
    for (size_t i = 0; i < n; i++)
        if (*n_files == 0 || strcmp(names[*n_files - 1], names[i]) != 0)
            names[(*n_files)++] = names[i];
    return names;
fail:
    free(names);
    return NULL;
}

/* Links of the Hub cache lead nowhere until what they name has been downloaded. */
static bool is_there(const char *directory, const char *name)
{
    struct stat status;
    char *path = ol_xasprintf("%s/%s", directory, name);
    const bool there = stat(path, &status) == 0 || errno != ENOENT;
    free(path);
    return there;
}

static int check_all_there(const char *directory, const char *const *names, size_t n,
                           struct ol_error *err)
{
    size_t there = 0, missing = n;
    for (size_t i = 0; i < n; i++) {
        const bool found = is_there(directory, names[i]);
        there += found;
        missing = missing == n && !found ? i : missing;
    }
    if (there == n)
        return 0;
    return ol_fail(err,
                   "%s: the download is not complete: %zu of %zu shards are there, %s is "
                   "missing",
                   directory, there, n, names[missing]);
}

static struct ol_safetensors *open_file(const struct ol_checkpoint *c, const char *path,
                                        int file, struct ol_sha256 *sha,
                                        struct ol_error *err)
{
    for (size_t i = 0; i < c->n_headers; i++)
        if (strcmp(c->headers[i].path, path) == 0)
            return ol_safetensors_from_header(&c->headers[i], file, sha, err);
    return ol_safetensors_open(path, file, sha, err);
}

static int open_files(struct ol_checkpoint *c, const char *const *names, size_t n,
                      struct ol_error *err)
{
    if (n > INT_MAX)
        return ol_fail(err, "%s: %zu files, expected at most %d", c->directory, n,
                       INT_MAX);
    if (c->n_headers == 0 && check_all_there(c->directory, names, n, err) != 0)
        return -1;
    c->files = ol_xcalloc(n, sizeof *c->files);
    struct ol_sha256 *sha = ol_sha256_new();
    for (size_t i = 0; i < n; i++) {
        char *path = ol_xasprintf("%s/%s", c->directory, names[i]);
        c->files[i] = open_file(c, path, (int)i, sha, err);
        free(path);
        if (c->files[i] == NULL)
            break;
        c->n_files++;
    }
    ol_sha256_finish(sha, c->sha256);
    if ((size_t)c->n_files < n)
        return -1;
    return collect_tensors(c, err);
}

/* Entries without a tensor are counted: whether one is missed is for the model to say. */
static void count_absent(struct ol_checkpoint *c)
{
    for (void *it = ol_json_first(c->map); it != NULL; it = ol_json_next(c->map, it)) {
        if (ol_checkpoint_find(c, ol_json_key(it)) != NULL)
            continue;
        if (c->n_absent++ == 0)
            c->first_absent = ol_json_key(it);
    }
}

/* The index's map and the distinct files that it names, sorted: an array to be freed, of
 * strings of the map. */
static struct ol_json *read_index(const char *index, const char ***names, size_t *n,
                                  struct ol_error *err)
{
    struct ol_json *json = ol_json_load_file(index, err), *copy = NULL;
    struct ol_json *map = ol_json_get(json, "weight_map");
    *names = NULL;
    if (json != NULL && (ol_json_kind(map) != OL_JSON_OBJECT || ol_json_length(map) == 0))
        ol_fail(err, "%s: key \"weight_map\": expected an object with entries", index);
    else if (json != NULL)
        copy = ol_json_new_copy(map);
    ol_json_free(json);
    if (copy != NULL && (*names = list_files(copy, index, n, err)) == NULL) {
        ol_json_free(copy);
        copy = NULL;
    }
    return copy;
}

static int open_sharded(struct ol_checkpoint *c, const char *index, struct ol_error *err)
{
    size_t n_files = 0;
    const char **names;
    c->map = read_index(index, &names, &n_files, err);
    const int result = c->map != NULL ? open_files(c, names, n_files, err) : -1;
    free(names);
    if (result == 0)
        count_absent(c);
    return result;
}

/* ---- */

static int open_any(struct ol_checkpoint *c, struct ol_error *err)
{
    struct stat status;
    const char *const single[] = {single_name};
    char *index = ol_xasprintf("%s/%s", c->directory, index_name);
    char *path = ol_xasprintf("%s/%s", c->directory, single_name);
    int result = -1;
    if (stat(c->directory, &status) != 0)
        ol_fail_errno(err, "%s: cannot be opened", c->directory);
    else if (!S_ISDIR(status.st_mode))
        ol_fail(err, "%s: is not a directory", c->directory);
    else if (stat(index, &status) == 0)
        result = open_sharded(c, index, err);
    else if (errno != ENOENT)
        ol_fail_errno(err, "%s: cannot be opened", index);
    else if (c->n_headers > 0 || lstat(path, &status) == 0 || errno != ENOENT)
        result = open_files(c, single, 1, err);
    else
        ol_fail(err, "%s: there is neither %s nor %s", c->directory, index_name,
                single_name);
    free(index);
    free(path);
    return result;
}

struct ol_checkpoint *ol_checkpoint_open(const char *directory, struct ol_error *err)
{
    return ol_checkpoint_open_headers(directory, NULL, 0, err);
}

bool ol_checkpoint_has_bytes(const struct ol_checkpoint *c)
{
    return c->n_headers == 0;
}

int ol_checkpoint_n_files(const struct ol_checkpoint *c)
{
    return c->n_files;
}

const void *ol_checkpoint_map(const struct ol_checkpoint *c, int file, uint64_t *bytes)
{
    return ol_safetensors_map(c->files[file], bytes);
}

struct ol_checkpoint *
ol_checkpoint_open_headers(const char *directory,
                           const struct ol_safetensors_header *headers, size_t n,
                           struct ol_error *err)
{
    struct ol_checkpoint *c = ol_xcalloc(1, sizeof *c);
    c->directory = ol_xstrdup(directory);
    c->headers = headers;
    c->n_headers = n;
    if (open_any(c, err) == 0)
        return c;
    ol_checkpoint_close(c);
    return NULL;
}

void ol_checkpoint_close(struct ol_checkpoint *c)
{
    if (c == NULL)
        return;
    for (int f = 0; f < c->n_files; f++)
        ol_safetensors_close(c->files[f]);
    free(c->files);
    free(c->tensors);
    free(c->slots);
    ol_json_free(c->map);
    free(c->directory);
    free(c);
}

int ol_checkpoint_is_complete(const char *directory, struct ol_error *missing,
                              struct ol_error *err)
{
    size_t n_files = 0;
    const char **names = NULL;
    struct ol_json *map = NULL;
    char *index = ol_xasprintf("%s/%s", directory, index_name);
    int result = -1;
    if (!is_there(directory, index_name))
        result = is_there(directory, single_name);
    else if ((map = read_index(index, &names, &n_files, err)) != NULL)
        result = check_all_there(directory, names, n_files, missing) == 0;
    free(names);
    ol_json_free(map);
    free(index);
    return result;
}

char **ol_checkpoint_shards(const char *directory, size_t *n, struct ol_error *err)
{
    const char **names = NULL;
    char **copies = NULL, *index = ol_xasprintf("%s/%s", directory, index_name);
    struct ol_json *map = read_index(index, &names, n, err);
    if (map != NULL) {
        copies = ol_xcalloc(*n, sizeof *copies);
        for (size_t i = 0; i < *n; i++)
            copies[i] = ol_xstrdup(names[i]);
    }
    free(names);
    ol_json_free(map);
    free(index);
    return copies;
}

const char *ol_checkpoint_listed(const struct ol_checkpoint *c, const char *name)
{
    const struct ol_json *file = ol_json_get(c->map, name);
    return file != NULL ? ol_json_string(file, NULL) : NULL;
}

int64_t ol_checkpoint_n_absent(const struct ol_checkpoint *c, const char **first)
{
    *first = c->first_absent;
    return c->n_absent;
}

const struct ol_stored_tensor *ol_checkpoint_find(const struct ol_checkpoint *c,
                                                  const char *name)
{
    return *find_slot(c, name);
}

int64_t ol_checkpoint_n_tensors(const struct ol_checkpoint *c)
{
    return c->n_tensors;
}

const struct ol_stored_tensor *ol_checkpoint_tensor(const struct ol_checkpoint *c,
                                                    int64_t i)
{
    return c->tensors[i];
}

const char *ol_checkpoint_directory(const struct ol_checkpoint *c)
{
    return c->directory;
}

const char *ol_checkpoint_path(const struct ol_checkpoint *c, int file)
{
    return ol_safetensors_path(c->files[file]);
}

/* A read of each of the 90,000 tensors of the largest models would take minutes from a
 * slow disk. */
enum { MOST_SAMPLES = 2048 };

void ol_checkpoint_claim(struct ol_checkpoint *c, int file, const char *digest)
{
    ol_safetensors_claim(c->files[file], digest);
}

void ol_checkpoint_claims_sha256(const struct ol_checkpoint *c,
                                 char hex[OL_SHA256_HEX_BYTES])
{
    struct ol_sha256 *sha = ol_sha256_new();
    bool all = c->n_files > 0;
    ol_sha256_update(sha, c->sha256, strlen(c->sha256));
    for (int f = 0; f < c->n_files && all; f++)
        all = ol_safetensors_add_claim(c->files[f], sha);
    ol_sha256_finish(sha, hex);
    if (!all)
        hex[0] = '\0';
}

int ol_checkpoint_sha256(const struct ol_checkpoint *c, char hex[OL_SHA256_HEX_BYTES],
                         struct ol_error *err)
{
    if (!ol_checkpoint_has_bytes(c)) {
        ol_checkpoint_claims_sha256(c, hex);
        if (hex[0] != '\0')
            return 0;
    }
    const int64_t step = (c->n_tensors + MOST_SAMPLES - 1) / MOST_SAMPLES;
    struct ol_sha256 *sha = ol_sha256_new();
    int status = 0;
    ol_sha256_update(sha, c->sha256, strlen(c->sha256));
    for (int f = 0; f < c->n_files && status == 0; f++)
        status = ol_safetensors_sample(c->files[f], step > 0 ? step : 1, sha, err);
    ol_sha256_finish(sha, hex);
    return status;
}
