#include "report/chart_labels.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "common/error.h"
#include "report/chart.h"

enum { TEXT_HEIGHT = 13, POINT = 5 };

struct box {
    double left, right, top, bottom;
};

static bool apart(const struct box *a, const struct box *b)
{
    return a->right < b->left || b->right < a->left || a->bottom < b->top ||
           b->bottom < a->top;
}

static bool is_free(const struct box *b, const struct ol_label_area *area,
                    const struct box *taken, long n_taken)
{
    if (b->left < area->left || b->right > area->right || b->top < area->top ||
        b->bottom > area->bottom)
        return false;
    for (long i = 0; i < n_taken; i++)
        if (!apart(b, &taken[i]))
            return false;
    for (long i = 0; i < area->n; i++) {
        const struct box point = {area->x[i] - POINT, area->x[i] + POINT,
                                  area->y[i] - POINT, area->y[i] + POINT};
        if (!isnan(area->x[i]) && !isnan(area->y[i]) && !apart(b, &point))
            return false;
    }
    return true;
}

/* Right, left, above, below, then the corners and farther away. */
static bool place(double x, double y, double width, const struct ol_label_area *area,
                  const struct box *taken, long n_taken, struct box *found)
{
    static const double ways[][2] = {
        {1, 0},  {-1, 0}, {0, -1}, {0, 1}, {1, -1}, {1, 1},   {-1, -1},  {-1, 1},
        {0, -2}, {0, 2},  {1, -2}, {1, 2}, {-1, 2}, {-1, -2}, {0.5, -3}, {-0.5, 3}};
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        const double middle_x = x + ways[i][0] * (width / 2 + 9),
                     middle_y = y + ways[i][1] * (TEXT_HEIGHT + 0.5);
        *found = (struct box){middle_x - width / 2, middle_x + width / 2,
                              middle_y - TEXT_HEIGHT / 2.0, middle_y + TEXT_HEIGHT / 2.0};
        if (is_free(found, area, taken, n_taken))
            return true;
    }
    return false;
}

void ol_labels_draw(FILE *out, const struct ol_label_area *area,
                    const char *const *labels, long n_labels)
{
    struct box *taken = ol_xcalloc((size_t)n_labels + 1, sizeof *taken);
    long n = 0;
    for (long i = 0; i < n_labels; i++) {
        if (isnan(area->x[i]) || isnan(area->y[i]) ||
            !place(area->x[i], area->y[i], ol_chart_text_width(labels[i]), area, taken, n,
                   &taken[n]))
            continue;
        ol_svg_text(out, (taken[n].left + taken[n].right) / 2, taken[n].bottom - 3, 'm',
                    "mu", "%s", labels[i]);
        n++;
    }
    free(taken);
}
