/* Command lines: one table per tool that parses, validates and prints --help. */
#ifndef OL_OPTIONS_H
#define OL_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ol_option_kind {
    OL_OPTION_FLAG,   /* bool *: set to true */
    OL_OPTION_TEXT,   /* const char **: the argument, borrowed from argv */
    OL_OPTION_FILE,   /* the same, the name of a file or directory: not empty */
    OL_OPTION_TEXTS,  /* struct ol_texts *: repeatable */
    OL_OPTION_INT,    /* int64_t *: decimal, within [low, high] */
    OL_OPTION_REAL,   /* double *: within [low, high], finite */
    OL_OPTION_SIZE,   /* int64_t *: bytes, with an optional K, M, G or T (powers of 1024),
                         within [low, high] */
    OL_OPTION_CHOICE, /* int *: index into choices */
    OL_OPTION_COUNT,  /* int *: + 1 each time it is given */
};

/* Arguments of a repeatable option, or the operands. items[] is owned, the strings are
 * argv's. */
struct ol_texts {
    const char **items;
    size_t n;
};
void ol_texts_append(struct ol_texts *texts, const char *text);
void ol_texts_free(struct ol_texts *texts);

struct ol_option {
    char short_name;       /* or 0 */
    const char *long_name; /* without dashes; the table ends with NULL */
    enum ol_option_kind kind;
    void *value;
    const char *argument;       /* its name in --help; NULL for flags */
    const char *help;           /* one or more lines, without the default */
    double low, high;           /* of INT, REAL and SIZE; both 0: no limit. Inclusive */
    const char *const *choices; /* OL_OPTION_CHOICE, ends with NULL */
};

struct ol_tool {
    const char *name;     /* "ol-extract" */
    const char *usage;    /* "[options] MODEL" */
    const char *summary;  /* one or two sentences */
    const char *epilogue; /* after the options, or NULL */
    const struct ol_option *options;
    void (*print_versions)(
        void); /* lines after the first of --version (libraries), or NULL */
};

enum ol_options_result {
    OL_OPTIONS_RUN,   /* go on */
    OL_OPTIONS_DONE,  /* --help or --version was printed */
    OL_OPTIONS_USAGE, /* one line was printed on stderr */
};

/* Parse argv into the table's values and the operands. Options and operands may be mixed,
 * "--" ends the options. Adds -h/--help, -V/--version, -q/--quiet and -v/--verbose itself
 * and sets the program name and verbosity. */
enum ol_options_result ol_options_parse(const struct ol_tool *tool, int argc, char **argv,
                                        struct ol_texts *operands);

/* The exit status when there is nothing to run: 2 after a usage error, 0 after --help
 * when all of it was written, else 1, saying so. Closes standard output. */
int ol_options_status(enum ol_options_result result);

/* "PROGRAM: text" and a pointer to --help on stderr; returns 2, the exit status of a
 * usage error. */
int ol_usage_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A list of numbers and rising ranges like "0-7,12", each passed on in its order; -1 when
 * it is something else. With take NULL it is only looked at. */
typedef void ol_take_range(void *arg, long first, long last);
int ol_ranges_parse(const char *list, ol_take_range *take, void *arg);

/* The command line as a string that a shell would read back to the same words. The caller
 * frees. */
char *ol_command_line(int argc, char **argv);

#endif
