/* A mapped file that becomes shorter, and a library that crashes on a file or finds no
 * end of it, end the process with one line that names it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/crash_guard.h"
#include "common/mapping.h"

enum { BYTES = 1 << 16 };

static char path[] = "/tmp/ol-test-mapping-XXXXXX";

/* What a child that does this writes to stderr; it must exit with that status. */
static void expect(void (*work)(void), int status, const char *said)
{
    int ends[2];
    char text[512] = "";
    size_t n = 0;
    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        work();
        _exit(0);
    }
    close(ends[1]);
    for (ssize_t got; (got = read(ends[0], text + n, sizeof text - 1 - n)) > 0;)
        n += (size_t)got;
    close(ends[0]);
    int found;
    assert_int_equal(waitpid(child, &found, 0), child);
    assert_true(WIFEXITED(found));
    assert_int_equal(WEXITSTATUS(found), status);
    assert_string_equal(text, said);
}

static volatile const char *mapped;
static int fd;

static void map(void)
{
    struct ol_error err = {0};
    fd = open(path, O_RDWR);
    if (ftruncate(fd, BYTES) != 0)
        _exit(3);
    mapped = ol_mapping_new(fd, path, BYTES, &err);
    if (mapped == NULL || mapped[BYTES - 1] != 0)
        _exit(3);
}

static void read_what_is_gone(void)
{
    map();
    if (ftruncate(fd, 100) != 0)
        _exit(3);
    (void)mapped[BYTES - 1];
}

static void read_after_another_was_freed(void)
{
    struct ol_error err = {0};
    const int other = open("/dev/zero", O_RDWR);
    const void *first = ol_mapping_new(other, "another file", BYTES, &err);
    map();
    ol_mapping_free(first, BYTES);
    first = ol_mapping_new(other, "a third", BYTES, &err);
    if (ftruncate(fd, 0) != 0)
        _exit(3);
    (void)mapped[0];
    ol_mapping_free(first, BYTES);
}

/* By reading the file: what it holds now, at any place, and an error where it ends. */
static void copies(void **state)
{
    (void)state;
    enum { MANY = 1 << 20, FROM = 12345 };
    struct ol_error err = {0};
    char *bytes = ol_xcalloc(MANY, 1), *copy = ol_xcalloc(MANY, 1);
    for (int i = 0; i < MANY; i++)
        bytes[i] = (char)(i * 7 + i / 256);
    fd = open(path, O_RDWR);
    assert_int_equal(write(fd, bytes, MANY), MANY);
    const char *m = ol_mapping_new(fd, path, MANY, &err);
    assert_non_null(m);
    close(fd);
    assert_int_equal(ol_mapping_copy(copy, m + FROM, MANY - FROM, &err), 0);
    assert_memory_equal(copy, bytes + FROM, MANY - FROM);
    assert_int_equal(ol_mapping_copy(copy, m + 3, 5, &err), 0);
    assert_memory_equal(copy, bytes + 3, 5);
    assert_int_equal(ol_mapping_copy(copy, bytes, MANY, &err), 0); /* no mapping */
    assert_memory_equal(copy, bytes, MANY);
    assert_int_equal(truncate(path, MANY / 2), 0);
    assert_int_equal(ol_mapping_copy(copy, m + FROM, MANY - FROM, &err), -1);
    assert_non_null(strstr(err.text, ": the bytes from 524288 on cannot be read (524288 "
                                     "were wanted): the file became shorter"));
    ol_mapping_free(m, MANY);
    free(copy);
    free(bytes);
}

/* Take processor time. */
static void burn(double seconds)
{
    const clock_t begun = clock();
    while ((double)(clock() - begun) < seconds * CLOCKS_PER_SEC)
        continue;
}

static void crash(void)
{
    ol_crash_guard_begin("a\033file", "HDF5");
    if (write(STDERR_FILENO, "what the C library says\n", 24) != 24)
        _exit(3);
    abort();
}

static int fill_stack(int depth)
{
    volatile char room[4096];
    room[0] = (char)depth;
    return depth < 0 ? 0 : fill_stack(depth + 1) + room[0];
}

static void fill_all_stack(void)
{
    ol_crash_guard_begin("file", "HDF5");
    fill_stack(1);
}

#ifndef __SANITIZE_ADDRESS__ /* which says something of its own about so many bytes */
static void run_out_of_memory(void)
{
    ol_crash_guard_begin("file", "HDF5");
    ol_xmalloc(PTRDIFF_MAX);
}
#endif

/* Each step in its time, which all of them together are longer than. */
static void take_steps(void)
{
    ol_crash_guard_begin("file", "HDF5");
    for (int i = 0; i < 2; i++) {
        burn(0.6 * OL_GUARD_SECONDS);
        ol_crash_guard_step(0);
    }
    ol_crash_guard_end();
    _exit(7);
}

static void find_no_end(void)
{
    ol_crash_guard_begin("file", "HDF5");
    for (volatile int more = 1; more == 1;)
        continue;
}

/* Memory that a step gives is no fault of it. */
static void take_memory(void)
{
    enum { PIECE = 1 << 20 };
    ol_crash_guard_begin("file", "HDF5");
    ol_crash_guard_step(2 * (uint64_t)OL_GUARD_BYTES);
    for (int64_t i = 0; i < 2 * (int64_t)OL_GUARD_BYTES / PIECE; i++)
        memset(ol_xmalloc(PIECE), 1, PIECE);
    burn(0.3);
    ol_crash_guard_step(0);
    if (write(STDERR_FILENO, "one\n", 4) != 4)
        _exit(3);
    ol_crash_guard_end();
    ol_crash_guard_begin("file", "HDF5");
    if (write(STDERR_FILENO, "two\n", 4) != 4)
        _exit(3);
    for (;;)
        memset(ol_xmalloc(PIECE), 1, PIECE);
}

static void crash_later(void)
{
    ol_crash_guard_begin("file", "HDF5");
    ol_crash_guard_end();
    signal(SIGABRT, SIG_DFL);
    _exit(7);
}

static void test_mapping(void **state)
{
    (void)state;
    char said[256];
    snprintf(said, sizeof said,
             "ol: %s: cannot be read any more: it became shorter meanwhile, or its disk "
             "fails\n",
             path);
    expect(read_what_is_gone, 1, said);
    expect(read_after_another_was_freed, 1, said);
}

static void test_guard(void **state)
{
    (void)state;
    expect(crash, 1, "ol: a\\x1bfile: is damaged in a way that makes HDF5 crash\n");
    expect(fill_all_stack, 1, "ol: file: is damaged in a way that makes HDF5 crash\n");
    expect(crash_later, 7, "");
#ifndef __SANITIZE_ADDRESS__
    expect(run_out_of_memory, 1,
           "ol: out of memory: 9223372036854775807 bytes could not be had\n");
#endif
    expect(find_no_end, 1, "ol: file: is damaged in a way that HDF5 finds no end of\n");
    expect(take_steps, 7, "");
    expect(take_memory, 1,
           "one\nol: file: is damaged in a way that makes HDF5 take ever more memory\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mapping),
        cmocka_unit_test(test_guard),
        cmocka_unit_test(copies),
    };
    const int made = mkstemp(path);
    if (made < 0)
        return 1;
    close(made);
    const int status = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    return status;
}
