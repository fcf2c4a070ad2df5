/* Text that grows at its end. */
#ifndef OL_GROWING_TEXT_H
#define OL_GROWING_TEXT_H

#include <string.h>

#include "common/error.h"

/* Start from {0}; text is NULL until something, or nothing at all, was appended, and
 * ends with a NUL then. Owned: free it with free(). */
struct ol_growing_text {
    char *text;
    size_t n, room;
};

static inline void ol_text_append(struct ol_growing_text *t, const char *text, size_t n)
{
    if (t->n + n + 1 > t->room) {
        t->room = 2 * (t->n + n) + 256;
        t->text = ol_xrealloc_array(t->text, t->room, 1);
    }
    memcpy(t->text + t->n, text, n);
    t->n += n;
    t->text[t->n] = '\0';
}

#endif
