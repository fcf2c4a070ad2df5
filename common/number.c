#include "common/number.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* strtod alone would take "inf", "-1" and hexadecimal too. */
bool ol_number_with_unit(const char *text, double thousand, double end, double *number)
{
    static const char units[] = "KMGT";
    char *rest;
    if (!isdigit((unsigned char)*text) || strpbrk(text, "xX") != NULL)
        return false;
    *number = strtod(text, &rest);
    const char *unit =
        *rest != '\0' ? strchr(units, toupper((unsigned char)*rest)) : NULL;
    if (unit != NULL) {
        *number *= pow(thousand, (double)(unit - units + 1));
        rest++;
    }
    return *rest == '\0' && *number >= 1 && *number < end;
}
