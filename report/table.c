#include "report/table.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "common/error.h"
#include "report/markdown_text.h"

struct ol_table {
    const char *columns;
    size_t n_columns;
    char **cells;
    size_t n, room;
};

struct ol_table *ol_table_new(const char *columns)
{
    struct ol_table *t = ol_xcalloc(1, sizeof *t);
    t->columns = columns;
    t->n_columns = strlen(columns);
    return t;
}

void ol_table_markdown(struct ol_table *t, char *taken)
{
    if (t->n == t->room) {
        t->room = 2 * t->room + 64;
        t->cells = ol_xrealloc_array(t->cells, t->room, sizeof *t->cells);
    }
    t->cells[t->n++] = taken;
}

void ol_table_cell(struct ol_table *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = ol_xvasprintf(format, args);
    va_end(args);
    ol_table_markdown(t, ol_markdown_text(text));
    free(text);
}

/* Characters, not bytes. */
static size_t width(const char *text)
{
    size_t n = 0;
    for (; *text != '\0'; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

static void print_cell(const char *text, size_t room, char align, FILE *out)
{
    const int padding = (int)(room - width(text));
    fprintf(out, "| %*s%s%*s ", align == 'r' ? padding : 0, "", text,
            align == 'r' ? 0 : padding, "");
}

static void print_rule(const struct ol_table *t, const size_t *widths, FILE *out)
{
    for (size_t c = 0; c < t->n_columns; c++) {
        fputs("|", out);
        for (size_t i = 0; i < widths[c] + 1; i++)
            fputc('-', out);
        fputc(t->columns[c] == 'r' ? ':' : '-', out);
    }
    fputs("|\n", out);
}

void ol_table_print(struct ol_table *t, FILE *out)
{
    size_t *widths = ol_xcalloc(t->n_columns, sizeof *widths);
    for (size_t i = 0; i < t->n; i++) {
        const size_t n = width(t->cells[i]);
        if (n > widths[i % t->n_columns])
            widths[i % t->n_columns] = n;
    }
    for (size_t i = 0; i < t->n; i++) {
        const size_t c = i % t->n_columns;
        print_cell(t->cells[i], widths[c], t->columns[c], out);
        if (c + 1 < t->n_columns)
            continue;
        fputs("|\n", out);
        if (i + 1 == t->n_columns)
            print_rule(t, widths, out);
    }
    for (size_t i = 0; i < t->n; i++)
        free(t->cells[i]);
    free(t->cells);
    free(widths);
    free(t);
}
