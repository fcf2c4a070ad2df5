/* Makes cases out of seed files and hands them to the target:
 *
 *     fuzz_NAME [-n CASES] [-s FIRST] [-t SECONDS]   cases FIRST, FIRST + 1, ...
 *     fuzz_NAME -w FIRST                             the case as bytes on stdout
 *     fuzz_NAME -d DIRECTORY                         the seeds as files, for libFuzzer
 *     fuzz_NAME FILE...                              these files as they are
 *
 * A case is a function of its number and the seeds alone. When the target crashes or
 * takes too long, the last line says which case it was. Prints TAP. */
#include <glob.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/error.h"
#include "tests/fuzz/fuzz.h"

enum { MOST_SEED_BYTES = 1 << 20, MOST_CHANGES = 6, SECONDS_PER_CASE = 30 };

struct bytes {
    uint8_t *data;
    size_t n;
};

static struct bytes *seeds;
static size_t n_seeds;
static volatile uint64_t current; /* the case that runs */

static struct bytes read_file(const char *path)
{
    struct bytes b = {ol_xmalloc(MOST_SEED_BYTES), 0};
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        fprintf(stderr, "%s: cannot be opened\n", path);
        exit(2);
    }
    b.n = fread(b.data, 1, MOST_SEED_BYTES, file);
    fclose(file);
    return b;
}

static void load_seeds(void)
{
    for (int p = 0; fuzz_seeds[p] != NULL; p++) {
        glob_t found;
        if (glob(fuzz_seeds[p], 0, NULL, &found) != 0) {
            fprintf(stderr, "%s: no such seeds; run from the root of the tree\n",
                    fuzz_seeds[p]);
            exit(2);
        }
        seeds = ol_xrealloc_array(seeds, n_seeds + found.gl_pathc, sizeof *seeds);
        for (size_t i = 0; i < found.gl_pathc; i++)
            seeds[n_seeds++] = read_file(found.gl_pathv[i]);
        globfree(&found);
    }
}

/* ---- changes ---- */

/* splitmix64 */
static uint64_t next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static size_t below(uint64_t *state, size_t n)
{
    return n > 0 ? (size_t)(next(state) % n) : 0;
}

/* Replace `cut` bytes at `at` by n others. */
static void replace(struct bytes *b, size_t at, size_t cut, const void *with, size_t n)
{
    if (cut > b->n - at)
        cut = b->n - at;
    uint8_t *data = ol_xmalloc(b->n - cut + n + 1);
    memcpy(data, b->data, at);
    memcpy(data + at, with, n);
    memcpy(data + at + n, b->data + at + cut, b->n - at - cut);
    free(b->data);
    b->data = data;
    b->n = b->n - cut + n;
}

/* Words of JSON and numbers at the edges of types. */
static const char *const words[] = {
    "0",    "-1",   "1",    "255",     "256",     "65535",      "2147483647",
    "1e30", "-0.0", "1e-9", "5e-324",  "1e308",   "4294967296", "9223372036854775807",
    "null", "true", "[]",   "{}",      "\"\"",    "[[[[[[[[",   "-9223372036854775808",
    "\"",   ",",    ":",    "false",   "}",       "]",          "99999999999999999999",
    "NaN",  "/",    "..",   "\\u0000", "\\ud800", "Infinity",   "18446744073709551615",
};

/* The number, word or string of JSON that begins at or behind `at`: its length. */
static size_t find_token(const struct bytes *b, size_t *at)
{
    while (*at < b->n && strchr(":[, ", b->data[*at]) != NULL && b->data[*at] != '\0')
        ++*at;
    size_t end = *at;
    while (end < b->n && strchr(",]}: \n", b->data[end]) == NULL)
        end++;
    return end - *at;
}

static void change(struct bytes *b, uint64_t *state)
{
    size_t at = below(state, b->n + 1);
    /* What is read first is what most depends on. */
    if (next(state) % 2 == 0)
        at = below(state, b->n < 4096 ? b->n + 1 : 4096);
    const struct bytes *other = &seeds[below(state, n_seeds)];
    const char *word = words[below(state, sizeof words / sizeof words[0])];
    uint8_t byte = (uint8_t)next(state);
    switch (below(state, 9)) {
    case 0:
        if (at < b->n)
            b->data[at] ^= (uint8_t)(1u << byte % 8);
        break;
    case 1:
        replace(b, at, 1, &byte, 1);
        break;
    case 2:
        replace(b, at, below(state, 32), "", 0);
        break;
    case 3:
        replace(b, at, below(state, 4), word, strlen(word));
        break;
    case 4: {
        const size_t from = below(state, other->n + 1), left = other->n - from;
        const size_t n = below(state, left < 256 ? left + 1 : 256);
        replace(b, at, below(state, n + 1), other->data + from, n);
        break;
    }
    case 5:
        if (next(state) % 8 == 0)
            b->n = at;
        break;
    default: { /* a value in the place of another: the most fruitful */
        const size_t n = find_token(b, &at);
        replace(b, at, n, word, strlen(word));
    }
    }
}

static struct bytes make_case(uint64_t number)
{
    uint64_t state = number * 0xd1342543de82ef95u + 1;
    const struct bytes *seed = &seeds[below(&state, n_seeds)];
    struct bytes b = {ol_xmalloc(seed->n + 1), seed->n};
    memcpy(b.data, seed->data, seed->n);
    for (size_t left = 1 + below(&state, MOST_CHANGES); left > 0; left--)
        change(&b, &state);
    return b;
}

/* ---- running ---- */

static void say_case(int signal_number)
{
    char text[96];
    const int n = snprintf(text, sizeof text, "not ok 1 - case %llu: signal %d\n",
                           (unsigned long long)current, signal_number);
    if (write(STDOUT_FILENO, text, (size_t)n) < 0)
        _exit(3);
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

static void run(const uint8_t *data, size_t n)
{
    /* A block of its own size: what reads behind it is seen by sanitizers. */
    uint8_t *own = ol_xmalloc(n > 0 ? n : 1);
    memcpy(own, data, n);
    alarm(SECONDS_PER_CASE);
    LLVMFuzzerTestOneInput(own, n);
    alarm(0);
    free(own);
}

static int run_cases(uint64_t first, uint64_t n, double seconds)
{
    struct timespec begun, now;
    clock_gettime(CLOCK_MONOTONIC, &begun);
    uint64_t done = 0;
    for (; done < n || seconds > 0; done++) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (seconds > 0 && (double)(now.tv_sec - begun.tv_sec) >= seconds)
            break;
        current = first + done;
        struct bytes b = make_case(current);
        run(b.data, b.n);
        free(b.data);
    }
    printf("ok 1 - cases %llu to %llu\n", (unsigned long long)first,
           (unsigned long long)(first + done - 1));
    return 0;
}

static int write_case(uint64_t number)
{
    struct bytes b = make_case(number);
    const bool good = fwrite(b.data, 1, b.n, stdout) == b.n && fflush(stdout) == 0;
    free(b.data);
    return good ? 0 : 1;
}

static int write_seeds(const char *directory)
{
    for (size_t i = 0; i < n_seeds; i++) {
        char *path = ol_xasprintf("%s/%zu", directory, i);
        FILE *file = fopen(path, "wb");
        if (file == NULL || fwrite(seeds[i].data, 1, seeds[i].n, file) != seeds[i].n ||
            fclose(file) != 0) {
            fprintf(stderr, "%s: cannot be written\n", path);
            return 1;
        }
        free(path);
    }
    return 0;
}

static void catch_signals(void)
{
    static const int fatal[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGALRM};
    for (size_t i = 0; i < sizeof fatal / sizeof fatal[0]; i++)
        signal(fatal[i], say_case);
}

int main(int argc, char **argv)
{
    uint64_t n = (uint64_t)fuzz_short_run, first = 0;
    double seconds = 0;
    ol_program_set("fuzz");
    load_seeds();
    catch_signals();
    int status = 0, option;
    while ((option = getopt(argc, argv, "n:s:t:w:d:")) != -1) {
        switch (option) {
        case 'n':
            n = strtoull(optarg, NULL, 10);
            break;
        case 's':
            first = strtoull(optarg, NULL, 10);
            break;
        case 't':
            seconds = strtod(optarg, NULL);
            break;
        case 'w':
            return write_case(strtoull(optarg, NULL, 10));
        case 'd':
            return write_seeds(optarg);
        default:
            return 2;
        }
    }
    for (int i = optind; i < argc; i++) {
        struct bytes b = read_file(argv[i]);
        run(b.data, b.n);
        free(b.data);
    }
    if (optind == argc)
        status = run_cases(first, n, seconds);
    for (size_t i = 0; i < n_seeds; i++)
        free(seeds[i].data);
    free(seeds);
    return status;
}
