#include "report/section.h"

#include <stdarg.h>
#include <stdlib.h>

#include "report/text.h"

/* One line each, in the order of the report. */
/* clang-format off */
#define SECTIONS(S)        \
    S(features)            \
    S(sites)               \
    S(distributions)       \
    S(massive)             \
    S(super_experts)       \
    S(attribution)         \
    S(steps)               \
    S(positions)           \
    S(tokens)              \
    S(sweep)               \
    S(uncertainty)         \
    S(quantisation)        \
    S(expert_quantisation) \
    S(router)              \
    S(ablation)            \
    S(co_activation)       \
    S(generators)          \
    S(fp4)                 \
    S(attention_sinks)     \
    S(residual_sinks)      \
    S(expert_flips)        \
    S(head_outputs)        \
    S(residual_streams)

#define DECLARE(name) extern const struct ol_section ol_##name##_section;
SECTIONS(DECLARE)
#define ADDRESS(name) &ol_##name##_section,
const struct ol_section *const ol_sections[] = {SECTIONS(ADDRESS) NULL};
/* clang-format on */

void ol_section_say(struct ol_section_out *to, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = ol_xvasprintf(format, args);
    va_end(args);
    ol_text_settle(text);
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
    ol_text_settle(text);
    to->format->item(to, text);
    to->in_list = true;
    free(text);
}

void ol_section_sentence(struct ol_section_out *to, char *taken)
{
    if (taken != NULL)
        ol_section_item(to, "%s", taken);
    free(taken);
}

void ol_section_heading(struct ol_section_out *to, const char *title)
{
    to->format->heading(to, title);
    to->in_list = false;
}

void ol_section_figure(struct ol_section_out *to, const struct ol_figure *figure,
                       const struct ol_table_source *numbers)
{
    to->format->figure(to, figure);
    if (numbers != NULL)
        to->format->numbers(to, numbers);
    to->in_list = false;
}

void ol_section_rows(struct ol_section_out *to, const struct ol_table_source *table,
                     int64_t most)
{
    to->format->table(to, table, most);
    to->in_list = false;
}

void ol_section_table(struct ol_section_out *to, const struct ol_table_source *table)
{
    ol_section_rows(to, table, to->top);
}

void ol_section_long(struct ol_section_out *to, const struct ol_table_source *table)
{
    if (to->format->figures)
        ol_section_table(to, table);
}

void ol_section_numbers(struct ol_section_out *to, const struct ol_table_source *table)
{
    if (to->format->figures)
        to->format->numbers(to, table);
}

void ol_section_absent(struct ol_section_out *to, const char *what, const char *needs)
{
    to->format->absent(to, what, needs);
}

FILE *ol_section_text(struct ol_section_out *to)
{
    return to->format->figures ? NULL : to->out;
}
