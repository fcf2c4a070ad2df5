#include "report/published.h"

#include <dirent.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* The directory of this program. The caller frees; NULL where the system does not say. */
static char *program_directory(void)
{
    char path[PATH_MAX];
    const ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    if (n <= 0)
        return NULL;
    path[n] = '\0';
    char *slash = strrchr(path, '/');
    if (slash != NULL)
        *slash = '\0';
    return ol_xstrdup(path);
}

static const char *last_part(const char *name)
{
    const char *slash = strrchr(name, '/');
    return slash != NULL ? slash + 1 : name;
}

/* "org/name" is that model alone; "name", as of a directory, is any of that name. */
static bool is_named(const char *model, const char *known)
{
    return strcasecmp(model, strchr(model, '/') != NULL ? known : last_part(known)) == 0;
}

static int read_model(struct ol_json_section file, struct ol_published *p,
                      struct ol_error *err)
{
    const struct ol_json_section config = {file.file, ol_json_get(file.json, "config")};
    if (ol_json_need_int(file, "total_parameters", 0, INT64_MAX, &p->total_parameters,
                         err) != 0 ||
        ol_json_need_int(config, "num_hidden_layers", 0, INT64_MAX, &p->n_layers, err) !=
            0)
        return -1;
    return ol_json_need_int(config, "hidden_size", 0, INT64_MAX, &p->d_model, err);
}

static int read_criterion(struct ol_json_section s, struct ol_published *p,
                          struct ol_error *err)
{
    if (ol_json_need_real(s, "threshold", &p->threshold, err) != 0 ||
        ol_json_need_real(s, "min_layers", &p->min_layers, err) != 0 ||
        ol_json_need_real(s, "min_positions", &p->min_positions, err) != 0 ||
        ol_json_need_int(s, "n_sequences", 1, INT64_MAX, &p->n_sequences, err) != 0 ||
        ol_json_need_int(s, "n_tokens", 1, INT64_MAX, &p->n_tokens, err) != 0 ||
        ol_json_string_or(s, "windowing", "", &p->windowing, err) != 0)
        return -1;
    return ol_json_need_int(s, "batch_size", 1, INT64_MAX, &p->batch_size, err);
}

static int read_published(struct ol_json_section file, struct ol_published *p,
                          struct ol_error *err)
{
    const struct ol_json_section s = {file.file, ol_json_get(file.json, "published")};
    if (read_model(file, p, err) != 0 || read_criterion(s, p, err) != 0 ||
        ol_json_string_or(s, "study", "", &p->study, err) != 0 ||
        ol_json_string_or(s, "text", "", &p->text, err) != 0 ||
        ol_json_need_int(s, "pairs", 0, INT64_MAX, &p->pairs, err) != 0 ||
        ol_json_need_real(s, "mean_layer_percent", &p->mean_layer_percent, err) != 0)
        return -1;
    return ol_json_need_real(s, "mean_position_percent", &p->mean_position_percent, err);
}

/* Takes the file over into p when it is the model's and has something published. */
static int try_file(const char *path, const char *model, struct ol_published *p,
                    struct ol_error *err)
{
    struct ol_json *json = ol_json_load_file(path, err);
    if (json == NULL)
        return -1;
    const struct ol_json_section section = {path, json};
    const char *name;
    int status = ol_json_string_or(section, "name", "", &name, err);
    if (status == 0 && is_named(model, name) &&
        ol_json_kind(ol_json_get(json, "published")) == OL_JSON_OBJECT) {
        status = read_published(section, p, err);
        if (status == 0) {
            p->json = json;
            return 0;
        }
    }
    ol_json_free(json);
    return status;
}

static int search(const char *directory, const char *model, struct ol_published *p,
                  struct ol_error *err)
{
    DIR *dir = opendir(directory);
    int status = 0;
    for (struct dirent *entry; dir != NULL && status == 0 && p->json == NULL &&
                               (entry = readdir(dir)) != NULL;) {
        const char *end = strrchr(entry->d_name, '.');
        if (end == NULL || strcmp(end, ".json") != 0)
            continue;
        char *path = ol_xasprintf("%s/%s", directory, entry->d_name);
        status = try_file(path, model, p, err);
        free(path);
    }
    if (dir != NULL)
        closedir(dir);
    return status;
}

int ol_published_find(const char *model, struct ol_published *p, struct ol_error *err)
{
    static const char *const places[] = {"../data/models", "../share/outliers/models"};
    char *program = program_directory();
    int status = 0;
    *p = (struct ol_published){0};
    for (size_t i = 0; program != NULL && status == 0 && p->json == NULL &&
                       i < sizeof places / sizeof places[0];
         i++) {
        char *directory = ol_xasprintf("%s/%s", program, places[i]);
        status = search(directory, model, p, err);
        free(directory);
    }
    free(program);
    return status;
}

void ol_published_clear(struct ol_published *p)
{
    ol_json_free(p->json);
    *p = (struct ol_published){0};
}
