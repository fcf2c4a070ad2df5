#include "report/tables.h"

#include <inttypes.h>
#include <string.h>

#include "common/error.h"
#include "report/section.h"

static const struct ol_table_source *const sources[] = {&ol_counts_table,
                                                        &ol_published_table,
                                                        &ol_features_table,
                                                        &ol_onset_table,
                                                        &ol_onset_life_table,
                                                        &ol_onset_sites_table,
                                                        NULL};

const struct ol_table_source *ol_table_at(int i)
{
    const int n = (int)(sizeof sources / sizeof sources[0]) - 1;
    if (i < n)
        return sources[i];
    i -= n;
    for (const struct ol_section *const *s = ol_sections; *s != NULL; s++)
        for (int k = 0; (*s)->tables[k] != NULL; k++)
            if (i-- == 0)
                return (*s)->tables[k];
    return NULL;
}

const struct ol_table_source *ol_table_find(const char *name)
{
    int i = 0;
    while (ol_table_at(i) != NULL && strcmp(ol_table_at(i)->name, name) != 0)
        i++;
    return ol_table_at(i);
}

char *ol_table_unit(const char *kind, int64_t expert)
{
    if (kind == NULL)
        return ol_xstrdup("unknown");
    if (strcmp(kind, "expert") == 0 && expert != OL_ABSENT)
        return ol_xasprintf("expert %" PRId64, expert);
    if (strcmp(kind, "shared") == 0)
        return expert != OL_ABSENT ? ol_xasprintf("shared expert %" PRId64, expert)
                                   : ol_xstrdup("shared expert");
    return ol_xstrdup(strcmp(kind, "mlp") == 0 ? "MLP" : kind);
}
