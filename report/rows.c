/* Tables that show a list of the results as it is: a row for each of its structs, and
 * under each column what the tables of fields (common/results/) have by that name. */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/tables.h"

/* A struct on the way to the row, the innermost first. */
struct row {
    const struct row *outer;
    const struct ol_struct *kind;
    const void *from;
    int64_t index; /* of arrays that are gone through element by element; -1: none is */
};

/* What a column shows; f NULL: it is absent. */
struct found {
    const struct ol_field *f;
    const void *value;
    struct row in; /* the struct that has it, and an index */
};

/* The name at the start of a path; returns what follows it. */
static const char *take_name(const char *path, char name[64])
{
    const size_t n = strcspn(path, ".:/");
    assert(n < 64);
    memcpy(name, path, n);
    name[n] = '\0';
    return path + n + (path[n] == '.');
}

/* Of the row or, at first, of a struct around it. */
static const struct ol_field *look_up(const struct row *row, const char *name,
                                      struct found *found)
{
    for (const struct row *in = row; in != NULL; in = in->outer) {
        const struct ol_field *f = ol_field_find(in->kind, name, in->from, &found->value);
        if (f != NULL) {
            found->in = *in;
            return f;
        }
    }
    return NULL;
}

/* Into an object, or the first of a list; false: there is none. */
static bool enter(const struct found *at, struct row *row)
{
    const struct ol_list *list = at->value;
    const void *from = at->f->kind == OL_FIELD_OBJECT ? *(void *const *)at->value
                       : list->n > 0                  ? list->items
                                                      : NULL;
    if (from != NULL)
        *row = (struct row){NULL, at->f->element(), from, -1};
    return from != NULL;
}

static struct found find(const struct row *row, const char *path)
{
    struct found found = {.in = *row};
    struct row at = *row;
    char name[64];
    path = take_name(path, name);
    while (name[0] != '\0') {
        found.f = look_up(&at, name, &found);
        assert(found.f != NULL); /* a name that no table of fields has */
        if (strchr("/", *path) != NULL)
            break;
        if (found.f->kind == OL_FIELD_NUMBERS) {
            found.in.index = atoll(path);
            return found;
        }
        if (!enter(&found, &at))
            return (struct found){.f = NULL};
        if (*path == ':')
            return (struct found){.f = found.f, .in = at};
        path = take_name(path, name);
    }
    found.in.index = row->index;
    return found;
}

/* ---- values ---- */

static int64_t count_of(const struct found *v)
{
    const struct ol_reals *reals = v->value;
    const struct ol_list *list = v->value;
    if (v->f->kind == OL_FIELD_LIST || v->f->kind == OL_FIELD_TEXTS)
        return list->n;
    if (v->f->kind != OL_FIELD_NUMBERS)
        return *(const int64_t *)v->value;
    if (v->in.index < 0)
        return reals->n;
    const double x = v->in.index < reals->n ? reals->items[v->in.index] : (double)NAN;
    return fabs(x) <= 0x1p53 ? (int64_t)x : OL_ABSENT;
}

static double real_of(const struct found *v)
{
    const struct ol_reals *reals = v->value;
    if (v->f == NULL)
        return (double)NAN;
    if (v->f->kind == OL_FIELD_NUMBERS)
        return v->in.index < reals->n ? reals->items[v->in.index] : (double)NAN;
    return *(const double *)v->value;
}

static const char *text_of(const struct found *v)
{
    const struct ol_list *list = v->value;
    if (v->f->kind != OL_FIELD_TEXTS)
        return *(const char *const *)v->value;
    return v->in.index < list->n ? ((const char *const *)list->items)[v->in.index] : NULL;
}

/* ---- what is made of several fields ---- */

static char *unit(const struct row *row)
{
    const struct found kind = find(row, "kind"), expert = find(row, "expert");
    return ol_table_unit(text_of(&kind), count_of(&expert));
}

static char *event(const struct row *row)
{
    const struct found found = find(row, "event");
    const char *text = ol_table_event(text_of(&found));
    return text != NULL ? ol_xstrdup(text) : NULL;
}

static char *sign(const struct row *row)
{
    return ol_xstrdup(ol_report_sign(row->from));
}

static const struct {
    const char *name;
    char *(*text)(const struct row *row);
} made[] = {{"unit", unit}, {"event", event}, {"sign", sign}};

static void put_made(struct ol_grid *g, const struct row *row, const char *path)
{
    const char *name = strchr(path, ':') + 1;
    const struct found at = find(row, path);
    size_t i = 0;
    while (strcmp(made[i].name, name) != 0)
        i++;
    char *text = *path == ':' || at.f != NULL ? made[i].text(&at.in) : NULL;
    ol_grid_text(g, text);
    free(text);
}

/* ---- rows ---- */

static void put_cell(struct ol_grid *g, const struct ol_column *c, const struct row *row)
{
    const char *other = strchr(c->key, '='), *path = other != NULL ? other + 1 : c->key,
               *over = strchr(path, '/');
    if (strchr(path, ':') != NULL) {
        put_made(g, row, path);
        return;
    }
    if (*path == '#') {
        ol_grid_int(g, row->index + atoll(path + 1));
        return;
    }
    const struct found v = find(row, path),
                       divisor = over != NULL ? find(row, over + 1) : v;
    switch (c->kind) {
    case OL_COLUMN_LABEL:
    case OL_COLUMN_SIZE:
    case OL_COLUMN_COUNT:
        ol_grid_int(g, v.f != NULL ? count_of(&v) : OL_ABSENT);
        break;
    case OL_COLUMN_MAGNITUDE:
    case OL_COLUMN_NUMBER:
    case OL_COLUMN_PERCENT:
        ol_grid_real(g, over != NULL ? real_of(&v) / real_of(&divisor) : real_of(&v));
        break;
    case OL_COLUMN_TEXT:
    case OL_COLUMN_PIECE:
        ol_grid_text(g, v.f != NULL ? text_of(&v) : NULL);
        break;
    case OL_COLUMN_YES:
        if (v.f->kind == OL_FIELD_BOOL)
            ol_grid_yes(g, *(const bool *)v.value);
        else if (*(const enum ol_maybe *)v.value == OL_UNKNOWN)
            ol_grid_missing(g);
        else
            ol_grid_yes(g, *(const enum ol_maybe *)v.value == OL_YES);
        break;
    }
}

static void put_row(struct ol_grid *g, const struct ol_column *columns,
                    const struct row *row)
{
    for (const struct ol_column *c = columns; c->key != NULL; c++)
        put_cell(g, c, row);
}

/* The rows below a struct; false: what leads to them is absent. */
static bool put_rows(struct ol_grid *g, const struct ol_column *columns,
                     const struct row *at, const char *path)
{
    char name[64];
    struct found found;
    if (*path == '\0') {
        put_row(g, columns, at);
        return true;
    }
    path = take_name(path, name);
    const struct ol_field *f = ol_field_find(at->kind, name, at->from, &found.value);
    assert(f != NULL);
    if (f->kind == OL_FIELD_OBJECT) {
        const void *object = *(void *const *)found.value;
        return object != NULL &&
               put_rows(g, columns, &(struct row){at, f->element(), object, -1}, path);
    }
    if (f->kind == OL_FIELD_NUMBERS) {
        const struct ol_reals *reals = found.value;
        for (int64_t i = 0; i < reals->n; i++)
            put_row(g, columns, &(struct row){at->outer, at->kind, at->from, i});
        return reals->items != NULL;
    }
    const struct ol_list *list = found.value;
    for (int64_t i = 0; i < list->n; i++)
        put_rows(g, columns,
                 &(struct row){at, f->element(),
                               (const char *)list->items + (size_t)i * f->element()->size,
                               -1},
                 path);
    return list->items != NULL;
}

struct ol_grid *ol_table_make(const struct ol_table_source *t,
                              const struct ol_report_results *r)
{
    if (t->make != NULL)
        return t->make(r);
    struct ol_grid *g = ol_grid_new(t->columns);
    if (put_rows(g, t->columns, &(struct row){NULL, ol_blocks_struct(), &r->blocks, -1},
                 t->rows))
        return g;
    ol_grid_free(g);
    return NULL;
}
