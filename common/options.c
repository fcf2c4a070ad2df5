#include "common/options.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/error.h"
#include "common/number.h"
#include "common/version.h"

enum { HELP_COLUMN = 30, MAX_OPTIONS = 64, FIRST_LONG_ONLY = 256 };

void ol_texts_append(struct ol_texts *texts, const char *text)
{
    texts->items = ol_xrealloc_array(texts->items, texts->n + 1, sizeof *texts->items);
    texts->items[texts->n++] = text;
}

void ol_texts_free(struct ol_texts *texts)
{
    free(texts->items);
    *texts = (struct ol_texts){0};
}

int ol_usage_error(const char *format, ...)
{
    char line[OL_ERROR_TEXT_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    ol_warn("%s (try '%s --help')", line, ol_program());
    return 2;
}

/* ---- --help and --version ---- */

static void print_help_lines(int column, const char *help)
{
    if (column >= HELP_COLUMN) {
        putchar('\n');
        column = 0;
    }
    for (;;) {
        const size_t bytes = strcspn(help, "\n");
        printf("%*s%.*s\n", HELP_COLUMN - column, "", (int)bytes, help);
        if (help[bytes] == '\0')
            return;
        help += bytes + 1;
        column = 0;
    }
}

static void print_option(const struct ol_option *o)
{
    int column = o->short_name != 0 ? printf("  -%c, ", o->short_name) : printf("      ");
    column += printf("--%s", o->long_name);
    if (o->argument != NULL)
        column += printf(" %s", o->argument);
    print_help_lines(column, o->help);
}

static void print_help(const struct ol_tool *tool)
{
    static const struct ol_option common[] = {
        {'q', "quiet", OL_OPTION_FLAG, NULL, NULL, "errors and warnings only", 0, 0,
         NULL},
        {'v', "verbose", OL_OPTION_FLAG, NULL, NULL,
         "say more: what was found, and each step", 0, 0, NULL},
        {'h', "help", OL_OPTION_FLAG, NULL, NULL, "this text", 0, 0, NULL},
        {'V', "version", OL_OPTION_FLAG, NULL, NULL, "version, compiler, libraries", 0, 0,
         NULL},
    };
    printf("usage: %s %s\n%s\n\n", tool->name, tool->usage, tool->summary);
    for (const struct ol_option *o = tool->options; o->long_name != NULL; o++)
        print_option(o);
    for (size_t i = 0; i < sizeof common / sizeof common[0]; i++)
        print_option(&common[i]);
    if (tool->epilogue != NULL)
        printf("\n%s\n", tool->epilogue);
}

static void print_version(const struct ol_tool *tool)
{
    printf("%s %s\n", tool->name, OL_VERSION);
#if defined(__clang__)
    printf("compiler: clang %s\n", __clang_version__);
#else
    printf("compiler: gcc %s\n", __VERSION__);
#endif
    if (tool->print_versions != NULL)
        tool->print_versions();
}

/* ---- values ---- */

static int parse_int(const struct ol_option *o, const char *text)
{
    char *end;
    errno = 0;
    const long long value = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || isspace((unsigned char)*text))
        return ol_usage_error("--%s: '%s' is not a whole number", o->long_name, text);
    const bool limited = o->low != 0 || o->high != 0;
    if (limited && ((double)value < o->low || (double)value > o->high))
        return ol_usage_error("--%s: %lld is outside %.0f to %.0f", o->long_name, value,
                              o->low, o->high);
    *(int64_t *)o->value = value;
    return 0;
}

static int parse_real(const struct ol_option *o, const char *text)
{
    char *end;
    const double value = strtod(text, &end);
    if (end == text || *end != '\0' || !isfinite(value) || isspace((unsigned char)*text))
        return ol_usage_error("--%s: '%s' is not a finite number", o->long_name, text);
    const bool limited = o->low != 0 || o->high != 0;
    if (limited && (value < o->low || value > o->high))
        return ol_usage_error("--%s: %g is outside %g to %g", o->long_name, value, o->low,
                              o->high);
    *(double *)o->value = value;
    return 0;
}

static int parse_size(const struct ol_option *o, const char *text)
{
    double bytes;
    if (!ol_number_with_unit(text, 1024, 0x1p62, &bytes))
        return ol_usage_error("--%s: '%s' is not a size like 512M or 8G", o->long_name,
                              text);
    const bool limited = o->low != 0 || o->high != 0;
    if (limited && (bytes < o->low || bytes > o->high))
        return ol_usage_error("--%s: %s is outside %.0f to %.0f bytes", o->long_name,
                              text, o->low, o->high);
    *(int64_t *)o->value = (int64_t)bytes;
    return 0;
}

static int parse_choice(const struct ol_option *o, const char *text)
{
    char known[256] = "";
    for (int i = 0; o->choices[i] != NULL; i++) {
        if (strcmp(o->choices[i], text) == 0) {
            *(int *)o->value = i;
            return 0;
        }
        const size_t used = strlen(known);
        snprintf(known + used, sizeof known - used, "%s%s", i > 0 ? ", " : "",
                 o->choices[i]);
    }
    return ol_usage_error("--%s: '%s' is not one of %s", o->long_name, text, known);
}

static int apply(const struct ol_option *o, const char *argument)
{
    switch (o->kind) {
    case OL_OPTION_FLAG:
        *(bool *)o->value = true;
        return 0;
    case OL_OPTION_COUNT:
        (*(int *)o->value)++;
        return 0;
    case OL_OPTION_FILE:
        if (*argument == '\0')
            return ol_usage_error("--%s: the name is empty", o->long_name);
        *(const char **)o->value = argument;
        return 0;
    case OL_OPTION_TEXT:
        *(const char **)o->value = argument;
        return 0;
    case OL_OPTION_TEXTS:
        ol_texts_append(o->value, argument);
        return 0;
    case OL_OPTION_INT:
        return parse_int(o, argument);
    case OL_OPTION_REAL:
        return parse_real(o, argument);
    case OL_OPTION_SIZE:
        return parse_size(o, argument);
    case OL_OPTION_CHOICE:
        return parse_choice(o, argument);
    }
    return -1;
}

/* ---- parsing ---- */

/* The table in the form that getopt_long wants. */
struct getopt_table {
    char letters[2 * MAX_OPTIONS + 16];
    struct option options[MAX_OPTIONS + 8];
    int n;
};

static void table_add(struct getopt_table *t, const char *name, int letter, bool argument,
                      int id)
{
    assert(t->n < MAX_OPTIONS + 7);
    t->options[t->n++] =
        (struct option){name, argument ? required_argument : no_argument, NULL, id};
    if (letter != 0) {
        const size_t used = strlen(t->letters);
        snprintf(t->letters + used, sizeof t->letters - used, "%c%s", letter,
                 argument ? ":" : "");
    }
}

static bool takes_argument(const struct ol_option *o)
{
    return o->kind != OL_OPTION_FLAG && o->kind != OL_OPTION_COUNT;
}

static void table_build(struct getopt_table *t, const struct ol_option *options)
{
    *t = (struct getopt_table){.letters = ":"};
    for (int i = 0; options[i].long_name != NULL; i++)
        table_add(t, options[i].long_name, options[i].short_name,
                  takes_argument(&options[i]), FIRST_LONG_ONLY + i);
    table_add(t, "quiet", 'q', false, 'q');
    table_add(t, "verbose", 'v', false, 'v');
    table_add(t, "help", 'h', false, 'h');
    table_add(t, "version", 'V', false, 'V');
}

static const struct ol_option *find(const struct ol_option *options, int id)
{
    if (id >= FIRST_LONG_ONLY)
        return &options[id - FIRST_LONG_ONLY];
    for (; options->long_name != NULL; options++)
        if (options->short_name == id)
            return options;
    return NULL;
}

static int complain(int kind, char **argv)
{
    const char *word = argv[optind - 1];
    if (kind == ':')
        return ol_usage_error("option '%s' needs an argument", word);
    if (optopt != 0 && optopt < FIRST_LONG_ONLY && strncmp(word, "--", 2) != 0)
        return ol_usage_error("unknown option '-%c'", optopt);
    if (optopt != 0)
        return ol_usage_error("option '%s' takes no argument", word);
    return ol_usage_error("unknown option '%s'", word);
}

enum ol_options_result ol_options_parse(const struct ol_tool *tool, int argc, char **argv,
                                        struct ol_texts *operands)
{
    ol_program_set(tool->name);
    struct getopt_table table;
    table_build(&table, tool->options);
    int level = 1;
    opterr = 0;
    optind = 0;
    for (;;) {
        const int id = getopt_long(argc, argv, table.letters, table.options, NULL);
        if (id == -1)
            break;
        const struct ol_option *o = find(tool->options, id);
        if (id == '?' || id == ':') {
            complain(id, argv);
            return OL_OPTIONS_USAGE;
        } else if (o != NULL) {
            if (apply(o, optarg) != 0)
                return OL_OPTIONS_USAGE;
        } else if (id == 'h') {
            print_help(tool);
            return OL_OPTIONS_DONE;
        } else if (id == 'V') {
            print_version(tool);
            return OL_OPTIONS_DONE;
        } else {
            level = id == 'q' ? 0 : level + 1;
        }
    }
    ol_verbosity_set(level);
    for (int i = optind; i < argc; i++)
        ol_texts_append(operands, argv[i]);
    return OL_OPTIONS_RUN;
}

int ol_options_status(enum ol_options_result result)
{
    struct ol_error err = {0};
    if (result != OL_OPTIONS_DONE)
        return 2;
    if (ol_stdout_close(&err) == 0)
        return 0;
    ol_warn("%s", err.text);
    return 1;
}

/* ---- lists ---- */

int ol_ranges_parse(const char *list, ol_take_range *take, void *arg)
{
    for (const char *at = list;; at++) {
        char *end;
        if (!isdigit((unsigned char)*at))
            return -1;
        errno = 0;
        const long first = strtol(at, &end, 10);
        long last = first;
        if (*end == '-' && isdigit((unsigned char)end[1]))
            last = strtol(end + 1, &end, 10);
        if (errno != 0 || last < first || last > INT32_MAX)
            return -1;
        if (take != NULL)
            take(arg, first, last);
        if (*end == '\0')
            return 0;
        if (*end != ',')
            return -1;
        at = end;
    }
}

/* ---- the command line as text ---- */

static bool plain_word(const char *word)
{
    if (*word == '\0')
        return false;
    for (; *word != '\0'; word++)
        if (!isalnum((unsigned char)*word) && strchr("_-+=./:,@%", *word) == NULL)
            return false;
    return true;
}

char *ol_command_line(int argc, char **argv)
{
    size_t room = 1;
    for (int i = 0; i < argc; i++)
        room += 4 * strlen(argv[i]) + 3;
    char *line = ol_xmalloc(room);
    char *at = line;
    for (int i = 0; i < argc; i++) {
        if (i > 0)
            *at++ = ' ';
        if (plain_word(argv[i])) {
            at = stpcpy(at, argv[i]);
            continue;
        }
        *at++ = '\'';
        for (const char *c = argv[i]; *c != '\0'; c++) {
            if (*c == '\'')
                at = stpcpy(at, "'\\''");
            else
                *at++ = *c;
        }
        *at++ = '\'';
    }
    *at = '\0';
    return line;
}
