/* Numbers as text for programs. */
#ifndef OL_NUMBER_H
#define OL_NUMBER_H

struct ol_number {
    char text[40];
};

/* With as few digits as a reader needs to get the same double back: "0.06", "6", "1e-07",
 * "inf", "nan". */
struct ol_number ol_number_shortest(double value);

#endif
