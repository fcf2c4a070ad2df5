#include "extract/model.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "extract/hub.h"

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
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        ol_fail_errno(err, "%s: cannot open", path);
        return NULL;
    }
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
    fclose(file);
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

static int read_config(struct ol_model *m, struct ol_error *err)
{
    char *path = ol_xasprintf("%s/config.json", m->directory);
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
        const struct ol_json_section section = {path, m->config};
        status = ol_spec_read(section, &m->spec, err);
    }
    free(path);
    return status;
}

int ol_model_open(struct ol_model *m, const char *model, struct ol_error *err)
{
    m->directory = ol_hub_resolve(model, err);
    if (m->directory == NULL || read_config(m, err) != 0)
        return -1;
    m->name =
        strcmp(m->directory, model) == 0 ? ol_model_short_name(model) : ol_xstrdup(model);
    m->checkpoint = ol_checkpoint_open(m->directory, err);
    if (m->checkpoint == NULL)
        return -1;
    m->weights = ol_weights_bind(&m->spec, m->checkpoint, err);
    return m->weights != NULL ? 0 : -1;
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
