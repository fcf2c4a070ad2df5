#include "report/section.h"

#include <stdarg.h>
#include <stdlib.h>

extern const struct ol_section ol_ablation_section, ol_co_activation_section,
    ol_generators_section, ol_fp4_section;

/* One line each, in the order of the report. */
/* clang-format off */
const struct ol_section *const ol_sections[] = {
    &ol_ablation_section,
    &ol_co_activation_section,
    &ol_generators_section,
    &ol_fp4_section,
    NULL,
};
/* clang-format on */

void ol_section_say(struct ol_section_out *to, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = ol_xvasprintf(format, args);
    va_end(args);
    to->format->say(to, text);
    to->in_list = false;
    free(text);
}

void ol_section_item(struct ol_section_out *to, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = ol_xvasprintf(format, args);
    va_end(args);
    to->format->item(to, text);
    to->in_list = true;
    free(text);
}

void ol_section_figure(struct ol_section_out *to, const struct ol_figure *figure,
                       const struct ol_table_source *numbers)
{
    to->format->figure(to, figure, numbers);
    to->in_list = false;
}

void ol_section_table(struct ol_section_out *to, const struct ol_table_source *table)
{
    to->format->table(to, table);
    to->in_list = false;
}
