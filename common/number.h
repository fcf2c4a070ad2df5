/* Numbers as text for programs. */
#ifndef OL_NUMBER_H
#define OL_NUMBER_H

#include <stdbool.h>

struct ol_number {
    char text[40];
};

/* With as few digits as a reader needs to get the same double back: "0.06", "6", "1e-07",
 * "inf", "nan". */
struct ol_number ol_number_shortest(double value);

/* A decimal number of 1 or more below `end`, and K, M, G or T of `thousand` (1000 or
 * 1024) or none: "24G". false: the text is something else. */
bool ol_number_with_unit(const char *text, double thousand, double end, double *number);

#endif
