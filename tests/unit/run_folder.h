/* A folder for the file of a run, for tests that look at whole runs. */
#ifndef TEST_RUN_FOLDER_H
#define TEST_RUN_FOLDER_H

#include <stdlib.h>
#include <unistd.h>

#include "common/error.h"

static char test_run_folder[] = "/tmp/ol-test-run-XXXXXX";

/* The file's path; the caller frees. */
static inline char *test_run_path(void)
{
    return ol_xasprintf("%s/run.h5", test_run_folder);
}

/* Before and after the tests of a group. */
static inline int test_run_begin(void **state)
{
    (void)state;
    ol_verbosity_set(0);
    return mkdtemp(test_run_folder) != NULL ? 0 : -1;
}

static inline int test_run_end(void **state)
{
    (void)state;
    char *path = test_run_path();
    unlink(path);
    free(path);
    return rmdir(test_run_folder);
}

#endif
