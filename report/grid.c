#include "report/grid.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/error.h"
#include "report/csv_text.h"
#include "common/results/field.h"
#include "report/format.h"
#include "report/markdown_text.h"
#include "report/table.h"
#include "report/text.h"

struct cell {
    bool missing;
    int64_t n;
    double x;
    char *text; /* owned */
};

struct ol_grid {
    struct ol_column *columns; /* [n_columns], owned */
    size_t n_columns;
    struct cell *cells;
    size_t n, room;
};

struct ol_grid *ol_grid_new(const struct ol_column *columns)
{
    struct ol_grid *g = ol_xcalloc(1, sizeof *g);
    while (columns[g->n_columns].key != NULL)
        g->n_columns++;
    g->columns = ol_xcalloc(g->n_columns, sizeof *columns);
    memcpy(g->columns, columns, g->n_columns * sizeof *columns);
    return g;
}

void ol_grid_free(struct ol_grid *g)
{
    if (g == NULL)
        return;
    for (size_t i = 0; i < g->n; i++)
        free(g->cells[i].text);
    free(g->cells);
    free(g->columns);
    free(g);
}

static struct cell *next(struct ol_grid *g, enum ol_column_kind low,
                         enum ol_column_kind high)
{
    const enum ol_column_kind kind = g->columns[g->n % g->n_columns].kind;
    assert(kind >= low && kind <= high);
    if (g->n == g->room) {
        g->room = 2 * g->room + 64;
        g->cells = ol_xrealloc_array(g->cells, g->room, sizeof *g->cells);
    }
    struct cell *cell = &g->cells[g->n++];
    *cell = (struct cell){0};
    return cell;
}

void ol_grid_int(struct ol_grid *g, int64_t value)
{
    struct cell *cell = next(g, OL_COLUMN_LABEL, OL_COLUMN_COUNT);
    cell->missing = value == OL_ABSENT;
    cell->n = value;
}

void ol_grid_whole(struct ol_grid *g, double value)
{
    ol_grid_int(g, fabs(value) <= 0x1p53 ? (int64_t)value : OL_ABSENT);
}

void ol_grid_real(struct ol_grid *g, double value)
{
    struct cell *cell = next(g, OL_COLUMN_MAGNITUDE, OL_COLUMN_PERCENT);
    cell->missing = isnan(value);
    cell->x = value;
}

void ol_grid_number(struct ol_grid *g, double value)
{
    if (g->columns[g->n % g->n_columns].kind <= OL_COLUMN_COUNT)
        ol_grid_whole(g, value);
    else
        ol_grid_real(g, value);
}

void ol_grid_text(struct ol_grid *g, const char *text)
{
    struct cell *cell = next(g, OL_COLUMN_TEXT, OL_COLUMN_PIECE);
    cell->missing = text == NULL;
    cell->text = text != NULL ? ol_xstrdup(text) : NULL;
}

void ol_grid_yes(struct ol_grid *g, bool value)
{
    next(g, OL_COLUMN_YES, OL_COLUMN_YES)->n = value;
}

void ol_grid_missing(struct ol_grid *g)
{
    next(g, OL_COLUMN_LABEL, OL_COLUMN_YES)->missing = true;
}

int64_t ol_grid_rows(const struct ol_grid *g)
{
    return (int64_t)(g->n / g->n_columns);
}

static bool is_number(enum ol_column_kind kind)
{
    return kind <= OL_COLUMN_PERCENT;
}

/* As people read it. The caller frees. */
static char *show(const struct cell *cell, enum ol_column_kind kind)
{
    switch (kind) {
    case OL_COLUMN_LABEL:
        return ol_xasprintf("%" PRId64, cell->n);
    case OL_COLUMN_SIZE:
        return ol_report_parameters(cell->n);
    case OL_COLUMN_COUNT:
        return ol_xstrdup(ol_text_count(cell->n).text);
    case OL_COLUMN_MAGNITUDE:
        return ol_xstrdup(ol_text_magnitude(cell->x).text);
    case OL_COLUMN_NUMBER:
        return ol_xasprintf("%.4g", cell->x);
    case OL_COLUMN_PERCENT:
        return ol_xstrdup(ol_text_percent(cell->x).text);
    case OL_COLUMN_TEXT:
        return ol_xstrdup(cell->text);
    case OL_COLUMN_PIECE:
        return ol_text_piece(cell->text);
    case OL_COLUMN_YES:
        break;
    }
    return ol_xstrdup(cell->n != 0 ? "yes" : "no");
}

static void html_cell(const struct cell *cell, enum ol_column_kind kind, FILE *out)
{
    const bool wide = !cell->missing && kind == OL_COLUMN_TEXT && strlen(cell->text) > 24;
    fputs(is_number(kind) ? "<td class=\"n\"" : wide ? "<td class=\"w\"" : "<td", out);
    if (cell->missing) {
        fputs(" data-v=\"\"><span class=\"mu\">\xe2\x80\x93</span></td>", out);
        return;
    }
    if (kind == OL_COLUMN_MAGNITUDE || kind == OL_COLUMN_COUNT || kind == OL_COLUMN_SIZE)
        fprintf(out, " data-v=\"%.9g\"",
                kind == OL_COLUMN_MAGNITUDE ? cell->x : (double)cell->n);
    char *text = show(cell, kind);
    fputs(kind == OL_COLUMN_PIECE ? "><code>" : ">", out);
    ol_text_escape(text, out);
    fputs(kind == OL_COLUMN_PIECE ? "</code></td>" : "</td>", out);
    free(text);
}

void ol_grid_html(const struct ol_grid *g, const char *caption, int64_t rows, FILE *out)
{
    fputs("<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"", out);
    ol_text_escape(caption, out);
    fputs("\"><table>\n<caption>", out);
    ol_text_escape(caption, out);
    fputs("</caption>\n<thead><tr>", out);
    for (size_t c = 0; c < g->n_columns; c++) {
        fprintf(out, "<th scope=\"col\"%s>",
                is_number(g->columns[c].kind) ? " class=\"n\"" : "");
        ol_text_escape(g->columns[c].title, out);
        fputs("</th>", out);
    }
    fputs("</tr></thead>\n<tbody>\n", out);
    for (size_t i = 0; i < g->n && (int64_t)(i / g->n_columns) < rows; i++) {
        const size_t c = i % g->n_columns;
        fputs(c == 0 ? "<tr>" : "", out);
        html_cell(&g->cells[i], g->columns[c].kind, out);
        fputs(c + 1 == g->n_columns ? "</tr>\n" : "", out);
    }
    fputs("</tbody></table></div>\n", out);
}

void ol_grid_markdown(const struct ol_grid *g, int64_t rows, FILE *out)
{
    char *align = ol_xcalloc(g->n_columns + 1, 1);
    for (size_t c = 0; c < g->n_columns; c++)
        align[c] = is_number(g->columns[c].kind) ? 'r' : 'l';
    struct ol_table *t = ol_table_new(align);
    for (size_t c = 0; c < g->n_columns; c++)
        ol_table_cell(t, "%s", g->columns[c].title);
    for (size_t i = 0; i < g->n && (int64_t)(i / g->n_columns) < rows; i++) {
        const struct cell *cell = &g->cells[i];
        const enum ol_column_kind kind = g->columns[i % g->n_columns].kind;
        if (!cell->missing && kind == OL_COLUMN_PIECE) {
            ol_table_markdown(t, ol_markdown_piece(cell->text));
            continue;
        }
        char *text = cell->missing             ? ol_xstrdup("-")
                     : kind == OL_COLUMN_COUNT ? show(cell, OL_COLUMN_LABEL)
                                               : show(cell, kind);
        ol_table_cell(t, "%s", text);
        free(text);
    }
    ol_table_print(t, out);
    free(align);
}

void ol_grid_csv_header(const struct ol_grid *g, FILE *out)
{
    fputs("model,run", out);
    for (size_t c = 0; c < g->n_columns; c++)
        fprintf(out, ",%.*s", (int)strcspn(g->columns[c].key, "="), g->columns[c].key);
    fputc('\n', out);
}

void ol_grid_csv(const struct ol_grid *g, const char *model, const char *run, FILE *out)
{
    for (size_t i = 0; i < g->n; i++) {
        const struct cell *cell = &g->cells[i];
        const enum ol_column_kind kind = g->columns[i % g->n_columns].kind;
        if (i % g->n_columns == 0) {
            ol_csv_text(model, out);
            fputc(',', out);
            ol_csv_text(run, out);
        }
        fputc(',', out);
        if (cell->missing)
            ;
        else if (cell->text != NULL)
            ol_csv_text(cell->text, out);
        else if (kind >= OL_COLUMN_MAGNITUDE && kind <= OL_COLUMN_PERCENT)
            ol_csv_real(cell->x, out);
        else
            fprintf(out, "%" PRId64, cell->n);
        if ((i + 1) % g->n_columns == 0)
            fputc('\n', out);
    }
}

static struct ol_json *json_cell(const struct cell *cell, enum ol_column_kind kind)
{
    if (cell->missing)
        return ol_json_new_null();
    switch (kind) {
    case OL_COLUMN_LABEL:
    case OL_COLUMN_SIZE:
    case OL_COLUMN_COUNT:
        return ol_json_new_int(cell->n);
    case OL_COLUMN_MAGNITUDE:
    case OL_COLUMN_NUMBER:
    case OL_COLUMN_PERCENT:
        return ol_json_new_real(cell->x);
    case OL_COLUMN_TEXT:
    case OL_COLUMN_PIECE:
        return ol_json_new_string(cell->text);
    case OL_COLUMN_YES:
        break;
    }
    return ol_json_new_bool(cell->n != 0);
}

struct ol_json *ol_grid_json(const struct ol_grid *g)
{
    struct ol_json *rows = ol_json_new_array(), *row = NULL;
    for (size_t i = 0; i < g->n; i++) {
        const struct ol_column *column = &g->columns[i % g->n_columns];
        if (i % g->n_columns == 0) {
            row = ol_json_new_object();
            ol_json_append(rows, row);
        }
        char *key = ol_xstrndup(column->key, strcspn(column->key, "="));
        ol_json_set(row, key, json_cell(&g->cells[i], column->kind));
        free(key);
    }
    return rows;
}
