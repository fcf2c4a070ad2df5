#include "report/figures.h"

#include <string.h>

#include "report/section.h"

const struct ol_figure *ol_figure_at(int i)
{
    for (const struct ol_section *const *s = ol_sections; *s != NULL; s++)
        for (int k = 0; (*s)->figures[k] != NULL; k++)
            if (i-- == 0)
                return (*s)->figures[k];
    return NULL;
}

const struct ol_figure *ol_figure_find(const char *name)
{
    int i = 0;
    while (ol_figure_at(i) != NULL && strcmp(ol_figure_at(i)->name, name) != 0)
        i++;
    return ol_figure_at(i);
}
