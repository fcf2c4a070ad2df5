#include "extract/run/ablate_from.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/results/blocks.h"
#include "common/results_file.h"
#include "extract/intervene/intervention.h"

static char *join(char *list, char *taken)
{
    char *joined = list != NULL ? ol_xasprintf("%s,%s", list, taken) : ol_xstrdup(taken);
    free(list);
    free(taken);
    return joined;
}

/* "507,247", the largest first; NULL: there are none. */
static char *list_dimensions(const struct ol_massive_block *massive)
{
    char *list = NULL;
    const struct ol_massive_dimension *all = massive->features.items;
    for (int64_t i = 0; i < massive->features.n && i < OL_ARM_MOST_ITEMS; i++)
        list = join(list, ol_xasprintf("%" PRId64, all[i].values.feature));
    return list;
}

/* "11.3"; NULL: there are none. */
static char *list_experts(const struct ol_super_block *super)
{
    char *list = NULL;
    const struct ol_super_expert *all = super->experts.items;
    int n = 0;
    for (int64_t i = 0; i < super->experts.n && n < OL_ARM_MOST_ITEMS; i++) {
        if (all[i].who.kind == NULL || strcmp(all[i].who.kind, "expert") != 0 ||
            all[i].who.expert == OL_ABSENT)
            continue;
        list = join(list, ol_xasprintf("%" PRId64 ".%" PRId64, all[i].who.layer,
                                       all[i].who.expert));
        n++;
    }
    return list;
}

static void add(const char *kind, const char *list, char *texts[OL_FOUND_ARMS], int *n)
{
    if (list != NULL)
        texts[(*n)++] = ol_xasprintf("%s:%s", kind, list);
}

static int check_model(const char *path, struct ol_json_section top,
                       const char *config_sha256, struct ol_error *err)
{
    const struct ol_json_section model = {path, ol_json_get(top.json, "model")};
    const char *found = "";
    if (model.json != NULL &&
        ol_json_string_or(model, "config_sha256", "", &found, err) != 0)
        return -1;
    return strcmp(found, config_sha256) == 0
               ? 0
               : ol_fail(err,
                         "--ablate-from %s: is of another model: its config_sha256 is "
                         "\"%.12s...\", expected \"%.12s...\"",
                         path, found, config_sha256);
}

int ol_ablate_from(const char *path, const char *config_sha256,
                   char *texts[OL_FOUND_ARMS], int *n, struct ol_error *err)
{
    struct ol_json *json = ol_results_read(path, err);
    struct ol_arena arena = {0};
    struct ol_blocks blocks = {0};
    int status = -1;
    *n = 0;
    if (json == NULL)
        return -1;
    const struct ol_json_section top = {path, json};
    if (check_model(path, top, config_sha256, err) == 0 &&
        ol_fields_read(ol_blocks_struct(), top, &blocks, &arena, err) == 0) {
        char *dimensions =
            blocks.massive != NULL ? list_dimensions(blocks.massive) : NULL;
        char *experts =
            blocks.super_experts != NULL ? list_experts(blocks.super_experts) : NULL;
        add("zero", dimensions, texts, n);
        add("mean", dimensions, texts, n);
        add("drop", experts, texts, n);
        free(dimensions);
        free(experts);
        status = *n > 0 ? 0
                        : ol_fail(err,
                                  "--ablate-from %s: has neither massive dimensions nor "
                                  "super experts",
                                  path);
    }
    ol_arena_clear(&arena);
    ol_json_free(json);
    return status;
}
