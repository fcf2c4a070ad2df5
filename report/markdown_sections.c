/* The sections of a Markdown report: neutral elements (section.h) as text. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/format.h"
#include "report/markdown_text.h"
#include "report/section.h"
#include "report/sentences.h"

static void put_table(const struct ol_report_results *r,
                      const struct ol_table_source *table, int64_t top, FILE *out)
{
    struct ol_grid *g = ol_table_make(table, r);
    const int64_t n = g != NULL ? ol_grid_rows(g) : 0;
    if (n > 0) {
        fputc('\n', out);
        if (n > top)
            fprintf(out, "%s: the first %" PRId64 " of %" PRId64 ".\n\n", table->title,
                    top, n);
        ol_grid_markdown(g, top, out);
    }
    ol_grid_free(g);
}

/* A paragraph in lines of at most WIDTH bytes, where words allow. */
static void put_paragraph(const char *text, FILE *out)
{
    enum { WIDTH = 88 };
    size_t column = 0;
    while (*text != '\0') {
        const size_t n = strcspn(text, " ");
        if (column > 0 && column + 1 + n > WIDTH) {
            fputc('\n', out);
            column = 0;
        }
        column += (size_t)fprintf(out, "%s%.*s", column > 0 ? " " : "", (int)n, text);
        text += n;
        text += strspn(text, " ");
    }
    fputc('\n', out);
}

static void put_item(char *taken, FILE *out)
{
    enum { WIDTH = 88 };
    size_t at = 1; /* characters of the line so far */
    if (taken == NULL)
        return;
    fputc('-', out);
    for (char *word = strtok(taken, " "); word != NULL; word = strtok(NULL, " ")) {
        size_t n = 0;
        for (const char *c = word; *c != '\0'; c++)
            n += ((unsigned char)*c & 0xc0) != 0x80;
        if (at + 1 + n > WIDTH) {
            fputs("\n ", out);
            at = 1;
        }
        fprintf(out, " %s", word);
        at += 1 + n;
    }
    fputc('\n', out);
    free(taken);
}

static void say(struct ol_section_out *to, const char *text)
{
    char *escaped = ol_markdown_text(text);
    /* A magnitude is no cell of a table. */
    for (char *at = escaped; (at = strstr(at, "\\|x\\|")) != NULL; at += 3) {
        memmove(at, at + 1, strlen(at));
        memmove(at + 2, at + 3, strlen(at + 2));
    }
    fputc('\n', to->out);
    put_paragraph(escaped, to->out);
    free(escaped);
}

static void list(struct ol_section_out *to, const char *text)
{
    if (!to->in_list)
        fputc('\n', to->out);
    put_item(ol_markdown_text(text), to->out);
}

static void show_heading(struct ol_section_out *to, const char *title)
{
    fprintf(to->out, "\n### %s\n", title);
}

static void no_figure(struct ol_section_out *to, const struct ol_figure *figure)
{
    (void)to;
    (void)figure;
}

static void show_table(struct ol_section_out *to, const struct ol_table_source *table,
                       int64_t most)
{
    put_table(to->r, table, most, to->out);
}

static void show_numbers(struct ol_section_out *to, const struct ol_table_source *table)
{
    put_table(to->r, table, to->top, to->out);
}

static void no_absent(struct ol_section_out *to, const char *what, const char *needs)
{
    (void)to;
    (void)what;
    (void)needs;
}

const struct ol_section_format ol_markdown_section_format = {.say = say,
                                                             .item = list,
                                                             .heading = show_heading,
                                                             .figure = no_figure,
                                                             .table = show_table,
                                                             .numbers = show_numbers,
                                                             .absent = no_absent};

void ol_markdown_sections(const struct ol_report_results *r, int64_t top, FILE *out)
{
    struct ol_section_out to = {&ol_markdown_section_format, r, top, out, false};
    for (const struct ol_section *const *s = ol_sections; *s != NULL; s++) {
        if (!(*s)->has(r))
            continue;
        if ((*s)->title != NULL)
            fprintf(out, "\n## %s\n", (*s)->title);
        (*s)->write(r, &to);
    }
}
