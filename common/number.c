#include "common/number.h"

#include <stdio.h>
#include <stdlib.h>

struct ol_number ol_number_shortest(double value)
{
    struct ol_number n;
    /* %g drops zeros at the end, so that these steps find the fewest digits too. Most
     * numbers are fractions of small ones or bfloat16 values: a few digits come first. */
    static const int steps[] = {6, 9, 15, 16, 17};
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        snprintf(n.text, sizeof n.text, "%.*g", steps[i], value);
        if (strtod(n.text, NULL) == value)
            break;
    }
    return n;
}
