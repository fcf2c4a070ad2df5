/* The rules of the libraries that write quantised checkpoints: a list names modules that
 * stay plain, whole or by a part of their path, with "*" for anything, or as a regular
 * expression behind "re:". */
#include "extract/model/modules.h"

#include <fnmatch.h>
#include <regex.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "extract/weights/formats/formats.h"

struct ol_modules {
    const struct ol_spec *spec;
    regex_t *expressions; /* of the list's entries that begin with "re:" */
    size_t n_expressions;
};

static const char *entry_of(const struct ol_json *list, size_t i)
{
    const struct ol_json *item = ol_json_at(list, i);
    return ol_json_kind(item) == OL_JSON_STRING ? ol_json_string(item, NULL) : "";
}

struct ol_modules *ol_modules_new(const struct ol_spec *spec)
{
    struct ol_modules *m = ol_xcalloc(1, sizeof *m);
    const struct ol_json *list = spec->quantization.plain_modules;
    m->spec = spec;
    if (ol_json_kind(list) != OL_JSON_ARRAY)
        return m;
    m->expressions = ol_xcalloc(ol_json_length(list) + 1, sizeof *m->expressions);
    for (size_t i = 0; i < ol_json_length(list); i++) {
        const char *entry = entry_of(list, i);
        if (strncmp(entry, "re:", 3) == 0 &&
            regcomp(&m->expressions[m->n_expressions], entry + 3,
                    REG_EXTENDED | REG_NOSUB) == 0)
            m->n_expressions++;
    }
    return m;
}

void ol_modules_free(struct ol_modules *m)
{
    for (size_t i = 0; m != NULL && i < m->n_expressions; i++)
        regfree(&m->expressions[i]);
    if (m != NULL)
        free(m->expressions);
    free(m);
}

/* Whether the parts of the entry's path follow each other in the module's. */
static bool is_part(const char *entry, const char *module)
{
    const size_t n = strlen(entry);
    for (const char *at = module; n > 0 && (at = strstr(at, entry)) != NULL; at++)
        if ((at == module || at[-1] == '.') && (at[n] == '\0' || at[n] == '.'))
            return true;
    return false;
}

static bool stays_plain(const struct ol_modules *m, const char *module)
{
    const struct ol_json *list = m->spec->quantization.plain_modules;
    for (size_t i = 0; i < m->n_expressions; i++)
        if (regexec(&m->expressions[i], module, 0, NULL, 0) == 0)
            return true;
    for (size_t i = 0; ol_json_kind(list) == OL_JSON_ARRAY && i < ol_json_length(list);
         i++) {
        const char *entry = entry_of(list, i);
        if (strncmp(entry, "re:", 3) != 0 &&
            (strchr(entry, '*') != NULL ? fnmatch(entry, module, 0) == 0
                                        : is_part(entry, module)))
            return true;
    }
    return false;
}

/* What makes entries of keys stays plain, as connections of streams do. */
static bool is_of_entries(const struct ol_role_tensor *t)
{
    switch (t->role) {
    case OL_ROLE_ENTRY_VALUES:
    case OL_ROLE_ENTRY_GATES:
    case OL_ROLE_ENTRY_PLACES:
    case OL_ROLE_ATTN_CONNECTION:
    case OL_ROLE_MLP_CONNECTION:
        return true;
    case OL_ROLE_INDEX_K:
        return t->spec->attention.index.rate > 0;
    default:
        return false;
    }
}

/* Products with most of the parameters: attention, MLPs, shared and routed experts. */
static bool is_projection(const struct ol_role_tensor *t)
{
    const enum ol_role role = t->role;
    if (is_of_entries(t) || t->vector || t->n_rows == 1 || ol_role_convolves(role) ||
        role == OL_ROLE_DELTA_BA || role == OL_ROLE_DELTA_B || role == OL_ROLE_DELTA_A)
        return false;
    return role == OL_ROLE_INDEX_Q || role == OL_ROLE_INDEX_K ||
           (role > OL_ROLE_ATTN_NORM && role < OL_ROLE_MLP_NORM) ||
           (role > OL_ROLE_MLP_NORM && role <= OL_ROLE_DOWN) ||
           (role >= OL_ROLE_LATENT_DOWN && role <= OL_ROLE_SHARED_DOWN) ||
           ol_role_has_expert(role);
}

/* The algorithm of the module, or else of the nearest module around it; NULL: plain. */
static const char *modelopt_algorithm(const struct ol_quantization_spec *q,
                                      const char *module)
{
    char path[OL_ROLE_NAME_BYTES];
    snprintf(path, sizeof path, "%s", module);
    for (char *dot = path; dot != NULL; dot = strrchr(path, '.')) {
        if (*dot == '.')
            *dot = '\0';
        const struct ol_json *entry = ol_json_get(q->module_methods, path);
        if (entry != NULL)
            return ol_json_string(ol_json_get(entry, "quant_algo"), NULL);
    }
    return NULL;
}

/* What config.json says of that module; false: it is plain. */
static bool is_quantised(const struct ol_modules *m, const struct ol_role_tensor *t,
                         const char *module, struct ol_quantization_spec *q)
{
    *q = m->spec->quantization;
    if (q->module_methods != NULL) {
        const char *algorithm = modelopt_algorithm(q, module);
        if (algorithm == NULL)
            return false;
        ol_format_apply(ol_format_find_label(q->method, algorithm, 0, NULL), q);
    }
    if (ol_role_has_expert(t->role))
        q->label = ol_format_label_of_experts(q);
    if (q->label == NULL || !is_projection(t) || stays_plain(m, module))
        return false;
    const bool experts_alone =
        q->label->experts_alone ||
        (q->label->experts_unless_listed && q->plain_modules == NULL);
    return !experts_alone || ol_role_has_expert(t->role);
}

int64_t ol_modules_bytes(const struct ol_modules *m, const struct ol_role_tensor *t)
{
    static const char suffix[] = ".weight";
    struct ol_quantization_spec q;
    char module[OL_ROLE_NAME_BYTES];
    snprintf(module, sizeof module, "%s", t->name);
    const size_t n = strlen(module), tail = sizeof suffix - 1;
    if (n > tail && strcmp(module + n - tail, suffix) == 0)
        module[n - tail] = '\0';
    if (t->role == OL_ROLE_ROUTER_TABLE)
        return t->n_rows * t->n_cols * (int64_t)sizeof(int64_t);
    const struct ol_weight_format *format = is_quantised(m, t, module, &q)
                                                ? ol_format_of_label(q.label)
                                                : ol_weight_formats[OL_ENCODING_PLAIN];
    return format->bytes(&q, t->n_rows, t->n_cols);
}
