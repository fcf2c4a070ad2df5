#include "report/text_map.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/error.h"

char ol_text_map_tenths(double share)
{
    if (isnan(share))
        return ' ';
    if (share <= 0)
        return '.';
    return share >= 1 ? '#' : (char)('0' + (int)(10 * share));
}

char ol_text_map_halvings(double value, double largest)
{
    if (isnan(value))
        return ' ';
    if (value <= 0)
        return '.';
    const double halvings = floor(log2(largest / value));
    return (char)('0' + (halvings >= 9 ? 0 : halvings > 0 ? 9 - (int)halvings : 9));
}

static int longest(const char *const *names, long n)
{
    size_t most = 0;
    for (long i = 0; i < n; i++)
        most = strlen(names[i]) > most ? strlen(names[i]) : most;
    return (int)most;
}

/* A line without blanks at its end. */
static void print_line(const char *name, int indent, const char *line, long n, FILE *out)
{
    while (n > 0 && line[n - 1] == ' ')
        n--;
    fprintf(out, n > 0 ? "%*s  %.*s\n" : "%*s%.*s\n", indent, name, (int)n, line);
}

/* Names above the columns that they belong to, as far as the line goes. */
static void print_head(const struct ol_text_map *m, long first, long end, int indent,
                       FILE *out)
{
    char line[OL_TEXT_MAP_WIDTH];
    memset(line, ' ', sizeof line);
    for (long c = first; c < end; c += m->every) {
        const size_t at = (size_t)(c - first), length = strlen(m->column_names[c]);
        if (at + length <= sizeof line)
            memcpy(line + at, m->column_names[c], length);
    }
    print_line("", indent, line, sizeof line, out);
}

void ol_text_map_print(const struct ol_text_map *m, FILE *out)
{
    const int indent = longest(m->row_names, m->n_rows);
    const long width = OL_TEXT_MAP_WIDTH / m->every * m->every;
    fputs("```\n", out);
    for (long first = 0; first < m->n_columns; first += width) {
        const long end = first + width < m->n_columns ? first + width : m->n_columns;
        fputs(first > 0 ? "\n" : "", out);
        print_head(m, first, end, indent, out);
        for (long row = 0; row < m->n_rows; row++)
            print_line(m->row_names[row], indent, m->cells + row * m->n_columns + first,
                       end - first, out);
    }
    fputs("```\n", out);
}

char **ol_text_map_names(int64_t n)
{
    char **names = ol_xcalloc((size_t)n + 1, sizeof *names);
    char *room = ol_xcalloc((size_t)n + 1, OL_TEXT_MAP_NAME);
    for (int64_t i = 0; i <= n; i++)
        names[i] = room + i * OL_TEXT_MAP_NAME;
    return names;
}

void ol_text_map_free(char **names)
{
    free(names[0]);
    free(names);
}
