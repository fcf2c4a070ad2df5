/* Figures as PNG. */
#ifndef OL_REPORT_PNG_H
#define OL_REPORT_PNG_H

#include <stdio.h>

#include "common/error.h"

/* From a file that may be read again, to one whose end it becomes. Fails where
 * rsvg-convert is missing, or fails. */
int ol_png_convert(FILE *svg, FILE *png, struct ol_error *err);

#endif
