/* The colours of figures and pages, light and dark, computed where they are a scale. */
#ifndef OL_REPORT_COLOURS_H
#define OL_REPORT_COLOURS_H

#include <stdbool.h>
#include <stdio.h>

enum { OL_COLOUR_LEVELS = 32, OL_SERIES_COLOURS = 4 };

/* 0..1 (clipped) to a level of the scale, class "c0".."c31" in a figure: more is darker
 * on a light page, brighter on a dark one. */
int ol_colours_level(double share);

/* CSS rules of the classes that figures use. */
void ol_colours_css(FILE *out, bool dark);

#endif
