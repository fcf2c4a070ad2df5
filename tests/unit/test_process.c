/* What is left of a process that ends in the middle of its output. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <dirent.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/atomic_file.h"
#include "common/parallel.h"
#include "common/process.h"

static char directory[] = "/tmp/ol-test-process-XXXXXX";

static void run_out_of_memory(void)
{
    free(ol_xrealloc_array(NULL, SIZE_MAX, 2));
}

static void run_out_in_a_thread(void *arg, int64_t i, int thread)
{
    (void)arg;
    (void)thread;
    if (i == 1)
        run_out_of_memory();
}

static void run_out_in_a_pool(void)
{
    struct ol_error err = {0};
    struct ol_pool *pool = ol_pool_new(2, &err);
    ol_pool_run(pool, 2, run_out_in_a_thread, NULL);
}

static void be_terminated(void)
{
    struct ol_error err = {0};
    /* Threads of a pool leave such signals to the main one. */
    ol_pool_new(3, &err);
    kill(getpid(), SIGTERM);
    pause();
}

static void write_too_much(void)
{
    kill(getpid(), SIGXFSZ);
    exit(7);
}

/* How a process ends that has an output open, and does that then. */
static int end_of(void (*last)(void))
{
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        struct ol_error err = {0};
        char *path = ol_xasprintf("%s/output", directory);
        if (freopen("/dev/null", "w", stderr) == NULL)
            _exit(9);
        ol_process_begin();
        struct ol_atomic_file *file = ol_atomic_open(path, &err);
        if (file == NULL)
            _exit(8);
        fputs("half", ol_atomic_stream(file));
        fflush(ol_atomic_stream(file));
        last();
        _exit(6);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static int count_files(void)
{
    DIR *dir = opendir(directory);
    int n = 0;
    assert_non_null(dir);
    for (const struct dirent *e; (e = readdir(dir)) != NULL;)
        n += e->d_name[0] != '.';
    closedir(dir);
    return n;
}

static void a_process_that_ends_leaves_no_temporary_file(void **state)
{
    (void)state;
    static void (*const ends[])(void) = {run_out_of_memory, run_out_in_a_pool};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        const int status = end_of(ends[i]);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
        assert_int_equal(count_files(), 0);
    }
    int status = end_of(be_terminated);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    assert_int_equal(count_files(), 0);
    status = end_of(write_too_much);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    assert_int_equal(count_files(), 0);
}

static int set_up(void **state)
{
    (void)state;
    return mkdtemp(directory) != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    return rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_process_that_ends_leaves_no_temporary_file,
                                        set_up, tear_down),
    };
    return cmocka_run_group_tests_name("process", tests, NULL, NULL);
}
