/* Each thread keeps a heap of the largest that it has seen at a site, the smallest of
 * them on top. Of N tokens in any order that do not come by size, about n_wanted * (1 +
 * log(N / n_wanted)) are put aside by a thread that sees all. */
#include "analyze/worst.h"

#include <stdlib.h>

#include "common/error.h"

struct token {
    uint32_t bits;
    int64_t number;
};

struct aside {
    struct token *heap; /* [n_heap] of n_wanted */
    int64_t n_heap;
    int64_t *passed; /* [n_passed]: those that were in the heap and left it */
    int64_t n_passed, room;
};

struct ol_worst {
    int n_sites, n_threads;
    int64_t n_wanted;
    struct aside *aside; /* [n_threads][n_sites] */
};

struct ol_worst *ol_worst_new(int n_sites, int n_threads, int64_t n_wanted)
{
    struct ol_worst *w = ol_xcalloc(1, sizeof *w);
    *w = (struct ol_worst){
        .n_sites = n_sites, .n_threads = n_threads, .n_wanted = n_wanted};
    w->aside = ol_xcalloc((size_t)n_threads * (size_t)n_sites, sizeof *w->aside);
    for (int i = 0; i < n_threads * n_sites; i++)
        w->aside[i].heap = ol_xcalloc((size_t)n_wanted, sizeof *w->aside[i].heap);
    return w;
}

void ol_worst_free(struct ol_worst *w)
{
    if (w == NULL)
        return;
    for (int i = 0; i < w->n_threads * w->n_sites; i++) {
        free(w->aside[i].heap);
        free(w->aside[i].passed);
    }
    free(w->aside);
    free(w);
}

static bool is_worse(const struct token *a, const struct token *b)
{
    return a->bits != b->bits ? a->bits > b->bits : a->number < b->number;
}

static void swap(struct token *a, struct token *b)
{
    const struct token kept = *a;
    *a = *b;
    *b = kept;
}

static void sink(struct token *heap, int64_t n)
{
    for (int64_t i = 0, least = 0;; i = least) {
        for (int64_t child = 2 * i + 1; child <= 2 * i + 2 && child < n; child++)
            if (is_worse(&heap[least], &heap[child]))
                least = child;
        if (least == i)
            return;
        swap(&heap[i], &heap[least]);
    }
}

static void rise(struct token *heap, int64_t i)
{
    for (; i > 0 && is_worse(&heap[(i - 1) / 2], &heap[i]); i = (i - 1) / 2)
        swap(&heap[i], &heap[(i - 1) / 2]);
}

static void pass(struct aside *a, int64_t number)
{
    if (a->n_passed == a->room) {
        a->room = 2 * a->room + 64;
        a->passed = ol_xrealloc_array(a->passed, (size_t)a->room, sizeof *a->passed);
    }
    a->passed[a->n_passed++] = number;
}

bool ol_worst_offer(struct ol_worst *w, int thread, int site, uint32_t bits,
                    int64_t token)
{
    struct aside *a = &w->aside[thread * w->n_sites + site];
    const struct token t = {bits, token};
    if (a->n_heap < w->n_wanted) {
        a->heap[a->n_heap] = t;
        rise(a->heap, a->n_heap++);
        return true;
    }
    if (a->n_heap == 0 || !is_worse(&t, &a->heap[0]))
        return false;
    pass(a, a->heap[0].number);
    a->heap[0] = t;
    sink(a->heap, a->n_heap);
    return true;
}

static int by_magnitude(const void *x, const void *y)
{
    const struct token *a = x, *b = y;
    return is_worse(b, a) - is_worse(a, b);
}

static int by_number(const void *x, const void *y)
{
    const int64_t a = *(const int64_t *)x, b = *(const int64_t *)y;
    return (a > b) - (a < b);
}

int64_t *ol_worst_put_aside(const struct ol_worst *w, int site, int64_t *n_worst,
                            int64_t *n)
{
    int64_t n_heaps = 0, n_passed = 0;
    for (int i = 0; i < w->n_threads; i++) {
        n_heaps += w->aside[i * w->n_sites + site].n_heap;
        n_passed += w->aside[i * w->n_sites + site].n_passed;
    }
    struct token *all = ol_xcalloc((size_t)n_heaps, sizeof *all);
    int64_t *tokens = ol_xcalloc((size_t)(n_heaps + n_passed), sizeof *tokens);
    *n_worst = n_heaps < w->n_wanted ? n_heaps : w->n_wanted;
    *n = n_heaps;
    n_heaps = 0;
    for (int i = 0; i < w->n_threads; i++) {
        const struct aside *a = &w->aside[i * w->n_sites + site];
        for (int64_t k = 0; k < a->n_heap; k++)
            all[n_heaps++] = a->heap[k];
        for (int64_t k = 0; k < a->n_passed; k++)
            tokens[(*n)++] = a->passed[k];
    }
    if (n_heaps > 0)
        qsort(all, (size_t)n_heaps, sizeof *all, by_magnitude);
    for (int64_t i = 0; i < n_heaps; i++)
        tokens[i] = all[i].number;
    if (*n_worst > 0)
        qsort(tokens, (size_t)*n_worst, sizeof *tokens, by_number);
    free(all);
    return tokens;
}
