#include "extract/run/model.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file.h"
#include "common/infile.h"
#include "extract/hub/hub.h"
#include "extract/hub/settings.h"

/* More than any config.json; a checkpoint by mistake is not read whole. */
enum { MAX_CONFIG_BYTES = 64 << 20 };

char *ol_model_short_name(const char *model)
{
    /* "." and ".." and links say nothing: the directory's real name does, and that of a
     * snapshot of the Hub's cache is a commit. */
    char *hub = ol_hub_name(model), *path = hub != NULL ? hub : realpath(model, NULL);
    const char *from = path != NULL ? path : model;
    const char *at = strchr(from, '@');
    const char *slash = at != NULL && path == NULL
                            ? memrchr(from, '/', (size_t)(at - from))
                            : strrchr(from, '/');
    char *name = ol_xstrdup(slash != NULL && slash[1] != '\0' ? slash + 1 : from);
    for (char *c = name; (c = strchr(c, '/')) != NULL && path == NULL;)
        *c = '-'; /* of a revision */
    free(path);
    return name;
}

static char *read_text(const char *path, size_t *bytes, struct ol_error *err)
{
    FILE *file = ol_infile_open(path, OL_INFILE_REGULAR, err);
    if (file == NULL)
        return NULL;
    size_t room = 1 << 14, n = 0;
    char *text = ol_xmalloc(room);
    for (size_t got; (got = fread(text + n, 1, room - n - 1, file)) > 0;) {
        n += got;
        if (n + 1 == room)
            text = ol_xrealloc_array(text, room *= 2, 1);
        if (n > MAX_CONFIG_BYTES)
            break;
    }
    text[n] = '\0';
    const int bad = ferror(file);
    ol_infile_close(file);
    if (bad != 0)
        ol_fail_errno(err, "%s: cannot read", path);
    else if (n > MAX_CONFIG_BYTES)
        ol_fail(err, "%s: is longer than %d bytes", path, MAX_CONFIG_BYTES);
    if (bad != 0 || n > MAX_CONFIG_BYTES) {
        free(text);
        return NULL;
    }
    *bytes = n;
    return text;
}

/* modelopt writes its method into a file of its own; it is read as if it stood in
 * config.json, where newer versions write it. */
static int read_sidecar(struct ol_model *m, struct ol_error *err)
{
    if (m->directory == NULL ||
        ol_json_kind(ol_json_get(m->config, "quantization_config")) != OL_JSON_NULL)
        return 0;
    size_t bytes = 0;
    char *path = ol_xasprintf("%s/hf_quant_config.json", m->directory), *text = NULL;
    struct ol_json *sidecar = NULL;
    bool there;
    int result = ol_file_exists(path, &there, err);
    if (result != 0 || !there)
        goto out;
    result = -1;
    text = read_text(path, &bytes, err);
    if (text != NULL)
        sidecar = ol_config_parse(text, bytes, path, err);
    const struct ol_json *method = ol_json_get(sidecar, "quantization");
    if (sidecar != NULL && ol_json_kind(method) != OL_JSON_OBJECT) {
        ol_fail(err, "%s: key \"quantization\": expected an object", path);
    } else if (sidecar != NULL) {
        struct ol_json *copy = ol_json_new_copy(method);
        if (ol_json_kind(ol_json_get(copy, "quant_algo")) == OL_JSON_NULL) {
            /* Of the key-value cache alone. */
            ol_json_set(m->config, "quantization.kv_cache_quant_algo",
                        ol_json_new_copy(ol_json_get(copy, "kv_cache_quant_algo")));
            ol_json_free(copy);
        } else {
            ol_json_set(copy, "quant_method", ol_json_new_string("modelopt"));
            ol_json_set(m->config, "quantization_config", copy);
        }
        result = 0;
    }
out:
    ol_json_free(sidecar);
    free(text);
    free(path);
    return result;
}

static int read_config(struct ol_model *m, const char *path, struct ol_error *err)
{
    size_t bytes = 0;
    int status = -1;
    m->config_text = read_text(path, &bytes, err);
    if (m->config_text != NULL) {
        struct ol_sha256 *sha = ol_sha256_new();
        ol_sha256_update(sha, m->config_text, bytes);
        ol_sha256_finish(sha, m->config_sha256);
        m->config = ol_config_parse(m->config_text, bytes, path, err);
    }
    if (m->config != NULL && read_sidecar(m, err) == 0) {
        const struct ol_json *inner = ol_json_get(m->config, "config");
        const bool wrapped = ol_json_kind(inner) == OL_JSON_OBJECT;
        const struct ol_json_section section = {path, wrapped ? inner : m->config};
        status = ol_spec_read(section, &m->spec, &m->notes, err);
        if (status == 0 && m->notes.unknown != NULL)
            ol_warn("%s: ignored, because nothing is known of them: %s", path,
                    m->notes.unknown);
    }
    return status;
}

/* What lies in a model's directory is an input, also what this run does not open, but
 * for recordings, finished or not: a run may be begun in that directory. */
static void expect_files(const char *directory)
{
    static const char hdf5[] = "\x89HDF\r\n\x1a\n";
    struct dirent **names = NULL;
    const int n = scandir(directory, &names, NULL, NULL);
    for (int i = 0; i < n; i++) {
        char *path = ol_xasprintf("%s/%s", directory, names[i]->d_name);
        char head[sizeof hdf5 - 1];
        struct stat status;
        struct ol_error ignored = {0};
        const int fd = strstr(names[i]->d_name, ".partial") == NULL &&
                               stat(path, &status) == 0 && S_ISREG(status.st_mode)
                           ? ol_file_open(path, O_RDONLY, &ignored)
                           : -1;
        if (fd >= 0 && (pread(fd, head, sizeof head, 0) != (ssize_t)sizeof head ||
                        memcmp(head, hdf5, sizeof head) != 0))
            ol_infile_expect(path);
        if (fd >= 0)
            close(fd);
        free(path);
        free(names[i]);
    }
    free(names);
}

static int read_directory_config(struct ol_model *m, struct ol_error *err)
{
    char *path = ol_xasprintf("%s/config.json", m->directory);
    const int status = read_config(m, path, err);
    free(path);
    return status;
}

int ol_model_positions(const char *directory)
{
    char *path = ol_xasprintf("%s/config.json", directory);
    size_t bytes = 0;
    struct ol_error ignored = {0};
    struct ol_spec spec = {0};
    struct ol_config_notes notes = {0};
    char *text = read_text(path, &bytes, &ignored);
    struct ol_json *config =
        text != NULL ? ol_config_parse(text, bytes, path, &ignored) : NULL;
    if (config != NULL)
        ol_spec_read((struct ol_json_section){path, config}, &spec, &notes, &ignored);
    const int n = spec.n_positions;
    ol_spec_clear(&spec);
    ol_config_notes_clear(&notes);
    ol_json_free(config);
    free(text);
    free(path);
    return n;
}

/* The name in a file that has one, else the file's. */
static char *config_name(const struct ol_model *m, const char *path)
{
    const struct ol_json *name = ol_json_get(m->config, "name");
    return ol_json_kind(name) == OL_JSON_STRING ? ol_xstrdup(ol_json_string(name, NULL))
                                                : ol_model_short_name(path);
}

/* Files of the Hub's cache say by their names what digest the Hub says they have. */
static void claim_digests(struct ol_checkpoint *c)
{
    for (int file = 0; file < ol_checkpoint_n_files(c); file++) {
        char *digest = ol_hub_blob_digest(ol_checkpoint_path(c, file));
        ol_checkpoint_claim(c, file, digest);
        free(digest);
    }
}

static int open_weights(struct ol_model *m, struct ol_error *err)
{
    const struct ol_safetensors_header *headers = m->remote.headers;
    size_t n = m->remote.n_headers;
    if (m->ranges != NULL)
        headers = ol_hub_ranges_headers(m->ranges, &n);
    m->checkpoint = ol_checkpoint_open_headers(m->directory, headers, n, err);
    if (m->checkpoint == NULL)
        return -1;
    claim_digests(m->checkpoint);
    if (m->ranges != NULL)
        m->source = ol_hub_ranges_begin(m->ranges, m->checkpoint);
    ol_weights_choose_form(&m->spec, m->checkpoint);
    m->weights = ol_weights_bind(&m->spec, m->checkpoint, m->source, err);
    if (m->weights == NULL)
        return -1;
    if (m->notes.activations != NULL)
        ol_note("%s: only weights are quantised here, activations stay in the run's "
                "precision; an engine that follows %s computes otherwise",
                m->directory, m->notes.activations);
    return 0;
}

static char *directory_name(const struct ol_model *m, const char *model)
{
    char *hub = ol_hub_name(model);
    if (hub != NULL)
        return hub;
    return strcmp(m->directory, model) == 0 ? ol_model_short_name(model)
                                            : ol_xstrdup(model);
}

int ol_model_open_config(struct ol_model *m, const char *model, struct ol_error *err)
{
    struct stat status;
    if (stat(model, &status) == 0 && S_ISREG(status.st_mode)) {
        if (read_config(m, model, err) != 0)
            return -1;
        m->name = config_name(m, model);
        return 0;
    }
    m->directory = ol_hub_resolve(model, OL_HUB_CONFIG, err);
    if (m->directory == NULL || read_directory_config(m, err) != 0)
        return -1;
    m->name = directory_name(m, model);
    struct ol_error missing = {0};
    const int complete = ol_checkpoint_is_complete(m->directory, &missing, err);
    if (complete != 0)
        return complete == 1 ? open_weights(m, err) : -1;
    if (ol_hub_may_look(model)) {
        struct ol_error far = {0};
        if (ol_hub_look(model, &m->remote, &far) == 0)
            return open_weights(m, err);
        /* What the Hub does not give is no reason to give no plan. */
        ol_hub_remote_clear(&m->remote);
        missing = far;
    }
    if (missing.text[0] != '\0')
        ol_note("%s; this plan is made from config.json alone", missing.text);
    return 0;
}

/* The shards as they are at the commit whose config was read: a branch that moves
 * meanwhile is not followed. */
static int open_ranges(struct ol_model *m, const char *model, struct ol_error *err)
{
    const char *commit = strrchr(m->directory, '/') + 1, *at = strchr(model, '@');
    char *pinned =
        ol_xasprintf("%.*s@%s", at != NULL ? (int)(at - model) : INT_MAX, model, commit);
    m->ranges = ol_hub_ranges_open(pinned, err);
    free(pinned);
    return m->ranges != NULL ? 0 : -1;
}

/* What is here is read here: 0; 1 when it is to be streamed. */
static int streams(const struct ol_model_request *r, struct ol_error *err)
{
    struct stat status;
    if (r->streams && stat(r->model, &status) == 0) {
        ol_note("%s is here: nothing of it is streamed", r->model);
        return 0;
    }
    if (r->streams && ol_hub_is_offline())
        return ol_fail(err, "%s: --stream: HF_HUB_OFFLINE forbids to ask the Hub",
                       r->model);
    return r->streams;
}

int ol_model_open(struct ol_model *m, const struct ol_model_request *r,
                  struct ol_error *err)
{
    const int streamed = streams(r, err);
    /* With weights comes the tokenizer, which names the ids' pieces: also with these. */
    const unsigned need = OL_HUB_CONFIG |
                          (r->tokenizer || streamed == 1 ? OL_HUB_TOKENIZER : 0u) |
                          (streamed == 1 ? 0u : OL_HUB_WEIGHTS);
    if (streamed < 0)
        return -1;
    m->directory = ol_hub_resolve(r->model, need, err);
    if (m->directory == NULL)
        return -1;
    expect_files(m->directory);
    if (read_directory_config(m, err) != 0 ||
        (streamed == 1 && open_ranges(m, r->model, err) != 0))
        return -1;
    m->name = directory_name(m, r->model);
    return open_weights(m, err);
}

void ol_model_clear(struct ol_model *m)
{
    ol_weights_free(m->weights);
    /* Its threads write into what the checkpoint has mapped. */
    ol_hub_ranges_free(m->ranges);
    ol_checkpoint_close(m->checkpoint);
    ol_hub_remote_clear(&m->remote);
    ol_config_notes_clear(&m->notes);
    ol_spec_clear(&m->spec);
    ol_json_free(m->config);
    free(m->config_text);
    free(m->name);
    free(m->directory);
    *m = (struct ol_model){0};
}
