#include "report/tables.h"

#include <inttypes.h>
#include <string.h>

#include "common/error.h"
#include "report/section.h"

const struct ol_table_source *ol_table_at(int i)
{
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
