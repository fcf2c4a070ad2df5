#include "extract/run/model.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/infile.h"
#include "extract/weights/hub.h"

/* More than any config.json; a checkpoint by mistake is not read whole. */
enum { MAX_CONFIG_BYTES = 64 << 20 };

char *ol_model_short_name(const char *model)
{
    /* "." and ".." and links say nothing: the directory's real name does. */
    char *path = realpath(model, NULL);
    const char *from = path != NULL ? path : model;
    const char *slash = strrchr(from, '/');
    char *name = ol_xstrdup(slash != NULL && slash[1] != '\0' ? slash + 1 : from);
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

static int read_config(struct ol_model *m, const char *path, struct ol_error *err)
{
    size_t bytes = 0;
    int status = -1;
    m->config_text = read_text(path, &bytes, err);
    if (m->config_text != NULL) {
        struct ol_sha256 *sha = ol_sha256_new();
        ol_sha256_update(sha, m->config_text, bytes);
        ol_sha256_finish(sha, m->config_sha256);
        m->config = ol_json_load_text(m->config_text, bytes, path, err);
    }
    if (m->config != NULL) {
        const struct ol_json *inner = ol_json_get(m->config, "config");
        const bool wrapped = ol_json_kind(inner) == OL_JSON_OBJECT;
        const struct ol_json_section section = {path, wrapped ? inner : m->config};
        char *unknown;
        status = ol_spec_read(section, &m->spec, &unknown, err);
        if (status == 0 && unknown != NULL)
            ol_warn("%s: ignored, because nothing is known of them: %s", path, unknown);
        free(unknown);
    }
    return status;
}

static int read_directory_config(struct ol_model *m, struct ol_error *err)
{
    char *path = ol_xasprintf("%s/config.json", m->directory);
    const int status = read_config(m, path, err);
    free(path);
    return status;
}

/* The name in a file that has one, else the file's. */
static char *config_name(const struct ol_model *m, const char *path)
{
    const struct ol_json *name = ol_json_get(m->config, "name");
    return ol_json_kind(name) == OL_JSON_STRING ? ol_xstrdup(ol_json_string(name, NULL))
                                                : ol_model_short_name(path);
}

static bool has_checkpoint(const char *directory)
{
    static const char *const files[] = {"model.safetensors",
                                        "model.safetensors.index.json"};
    bool found = false;
    for (size_t i = 0; i < 2; i++) {
        char *path = ol_xasprintf("%s/%s", directory, files[i]);
        found = found || access(path, F_OK) == 0;
        free(path);
    }
    return found;
}

static int open_weights(struct ol_model *m, struct ol_error *err)
{
    m->checkpoint = ol_checkpoint_open(m->directory, err);
    if (m->checkpoint == NULL)
        return -1;
    m->weights = ol_weights_bind(&m->spec, m->checkpoint, err);
    return m->weights != NULL ? 0 : -1;
}

static char *directory_name(const struct ol_model *m, const char *model)
{
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
    m->directory = ol_hub_resolve(model, err);
    if (m->directory == NULL || read_directory_config(m, err) != 0)
        return -1;
    m->name = directory_name(m, model);
    return has_checkpoint(m->directory) ? open_weights(m, err) : 0;
}

int ol_model_open(struct ol_model *m, const char *model, struct ol_error *err)
{
    m->directory = ol_hub_resolve(model, err);
    if (m->directory == NULL || read_directory_config(m, err) != 0)
        return -1;
    m->name = directory_name(m, model);
    return open_weights(m, err);
}

void ol_model_clear(struct ol_model *m)
{
    ol_weights_free(m->weights);
    ol_checkpoint_close(m->checkpoint);
    ol_spec_clear(&m->spec);
    ol_json_free(m->config);
    free(m->config_text);
    free(m->name);
    free(m->directory);
    *m = (struct ol_model){0};
}
