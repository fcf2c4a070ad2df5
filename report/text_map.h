/* Maps for a terminal: a character for each value, in a block of code. */
#ifndef OL_REPORT_TEXT_MAP_H
#define OL_REPORT_TEXT_MAP_H

#include <stdint.h>
#include <stdio.h>

/* Columns of one piece of a map; wider ones go on below. */
enum { OL_TEXT_MAP_WIDTH = 64 };

struct ol_text_map {
    long n_rows, n_columns;
    const char *cells; /* [n_rows][n_columns]: printable ASCII */
    const char *const *row_names, *const *column_names;
    long every; /* columns from one name to the next */
};
void ol_text_map_print(const struct ol_text_map *map, FILE *out);

/* A share of all: '.' none, 0 to 9 tenths, rounded down, '#' all; ' ' for NAN. */
char ol_text_map_tenths(double share);
/* Against the largest of the map: 9 within a factor of 2 of it, 8 within 4, and so on; 0
 * also for less, '.' for none. */
char ol_text_map_halvings(double value, double largest);

/* Room for n names of rows or columns, to be filled in; freed by the other. */
enum { OL_TEXT_MAP_NAME = 32 };
char **ol_text_map_names(int64_t n);
void ol_text_map_free(char **names);

#endif
