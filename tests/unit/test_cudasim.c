/* The simulated devices themselves: programs with one mistake each are caught, and the
 * CUDA backend tells of every call that fails in one sentence. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "extract/run/run.h"
#include "tests/cudasim/mistakes.h"
#include "tests/unit/backends.h"

/* In a process of its own, which is to end by a signal or the sanitizer; what it says. */
static int run_apart(const struct cudasim_mistake *m, char *said, size_t size)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    const pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        /* cmocka's handlers would report a failed test. */
        signal(SIGSEGV, SIG_DFL);
        signal(SIGABRT, SIG_DFL);
        m->run();
        _exit(0);
    }
    close(ends[1]);
    size_t used = 0;
    for (ssize_t n; (n = read(ends[0], said + used, size - 1 - used)) > 0;)
        used += (size_t)n;
    said[used] = '\0';
    close(ends[0]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        fail_msg("%s: was not caught", m->name);
    return status;
}

static void mistake(void **state)
{
    const struct cudasim_mistake *m = *state;
    static char said[1 << 16];
    if (m->message == NULL) {
        assert_int_equal(m->run(), 1);
        cudasim_reset();
        return;
    }
    const int status = run_apart(m, said, sizeof said);
    /* With the address sanitizer a fault is only a fault. */
    const bool fault = WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV;
    if (strstr(said, m->message) == NULL && strstr(said, "AddressSanitizer") == NULL &&
        !fault)
        fail_msg("%s: said '%s'", m->name, said);
}

/* ---- devices that fail ---- */

static char directory[] = "/tmp/ol-test-cudasim-XXXXXX";

static int run(const char *devices, struct ol_error *err)
{
    char *output = ol_xasprintf("%s/run.h5", directory);
    const struct ol_texts no_texts = {0};
    const struct ol_run_request request = {
        .model = "tests/golden/models/qwen3_moe-fp8",
        .output = output,
        .command_line = "test",
        .corpus = {.text_files = &no_texts,
                   .ids_file = "tests/golden/models/qwen3_moe-fp8/ids.txt",
                   .text_field = "text"},
        .precision = OL_DTYPE_BF16,
        .sites = {true, true, false, false},
        .store = OL_STORE_BF16,
        .backend = OL_BACKEND_CUDA,
        .devices = devices,
        .perplexity = true,
    };
    const int status = ol_run(&request, err);
    assert_int_equal(access(output, F_OK) == 0, status == 0);
    char *partial = ol_xasprintf("%s.partial", output);
    char *states = ol_xasprintf("%s.partial.state", output);
    unlink(output), unlink(partial), unlink(states);
    free(states), free(partial), free(output);
    return status;
}

/* Whichever call fails: one sentence of the backend's, nothing left on a device. Early
 * ones all, later ones at growing steps. */
static void sweep(int n_devices, const char *devices)
{
    int stdout_copy = dup(STDOUT_FILENO), null = open("/dev/null", O_WRONLY);
    fflush(stdout);
    dup2(null, STDOUT_FILENO);
    int n_failed = 0;
    for (long n = 0;; n += n < 60 ? 1 : n / 8) {
        struct ol_error err = {0};
        cudasim_set_devices(n_devices, TEST_DEVICE_BYTES);
        cudasim_set_peers(CUDASIM_NEAR);
        cudasim_set_failure(n);
        const int status = run(devices, &err);
        const int reached = cudasim_failed();
        cudasim_set_failure(-1);
        assert_int_equal(cudasim_used(), 0);
        assert_int_equal(cudasim_handles(), 0);
        if (!reached) {
            assert_int_equal(status, 0);
            break;
        }
        if (status != 0) {
            n_failed++;
            if (strncmp(err.text, "CUDA: ", 6) != 0 &&
                strncmp(err.text, "cuBLAS: ", 8) != 0)
                fail_msg("call %ld: '%s'", n, err.text);
        }
    }
    fflush(stdout);
    dup2(stdout_copy, STDOUT_FILENO);
    close(stdout_copy), close(null);
    assert_true(n_failed > 60);
}

static void failing_calls(void **state)
{
    (void)state;
    sweep(1, NULL);
}

/* Of devices that bring weights to each other: nothing hangs either. */
static void failing_peers(void **state)
{
    (void)state;
    sweep(2, "0,1");
}

static void too_little_memory(void **state)
{
    (void)state;
    struct ol_error err = {0};
    cudasim_set_devices(1, (size_t)12 << 20);
    struct ol_backend *b = ol_cuda_open(OL_DTYPE_BF16, 0, 0, 0, &err);
    if (b == NULL)
        fail_msg("%s", err.text);
    struct ol_tensor t;
    assert_int_equal(b->op->tensor_new(b, OL_DTYPE_BF16, 1 << 12, 1 << 12, &t, &err), -1);
    assert_non_null(strstr(err.text, "33554432 bytes"));
    /* The failure stays nowhere. */
    struct ol_error later = {0};
    assert_int_equal(b->op->tensor_new(b, OL_DTYPE_BF16, 4, 4, &t, &later), 0);
    b->op->tensor_free(b, &t);
    test_backend_close(b);
    cudasim_reset();
}

static void too_little_shared(void **state)
{
    (void)state;
    struct ol_error err = {0};
    cudasim_set_devices(1, TEST_DEVICE_BYTES);
    cudasim_set_shared(50 << 10);
    struct ol_backend *b = ol_cuda_open(OL_DTYPE_BF16, 0, 0, 0, &err);
    struct ol_tensor x;
    assert_int_equal(b->op->tensor_new(b, OL_DTYPE_BF16, 3, 192, &x, &err), 0);
    const struct ol_attention_args args = {
        .n_heads = 1, .n_kv_heads = 1, .head_dim = 192, .value_dim = 128, .scale = 1};
    struct ol_tensor v = x;
    v.n_cols = 128;
    assert_int_equal(b->op->attention(b, &args, x, x, v, v, &err), -1);
    assert_string_equal(err.text, "CUDA: attention: 94208 bytes of shared memory are "
                                  "needed, a block has at most 51200 on this device");
    b->op->tensor_free(b, &x);
    test_backend_close(b);
    cudasim_reset();
}

static void no_device(void **state)
{
    (void)state;
    struct ol_error err = {0};
    cudasim_set_devices(0, TEST_DEVICE_BYTES);
    assert_int_equal(ol_cuda_devices(), 0);
    assert_null(ol_backend_open(OL_BACKEND_CUDA, OL_DTYPE_BF16, 1, 0, 0, &err));
    assert_non_null(strstr(err.text, "no CUDA device was found"));
    struct ol_backend *b = ol_backend_open(OL_BACKEND_AUTO, OL_DTYPE_BF16, 1, 0, 0, &err);
    assert_string_equal(b->op->name, "cpu");
    b->op->close(b);
    cudasim_set_devices(2, TEST_DEVICE_BYTES);
    b = ol_backend_open(OL_BACKEND_AUTO, OL_DTYPE_BF16, 1, 1, 0, &err);
    assert_string_equal(b->op->name, "cuda");
    b->op->close(b);
    struct ol_error other = {0};
    assert_null(ol_cuda_open(OL_DTYPE_BF16, 0, 2, 0, &other));
    assert_non_null(strstr(other.text, "no device 2"));
    cudasim_reset();
}

static int begin(void **state)
{
    (void)state;
    ol_verbosity_set(0);
    return mkdtemp(directory) != NULL ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    return rmdir(directory);
}

int main(void)
{
    enum { MOST = 32, OTHERS = 5 };
    struct CMUnitTest tests[MOST + OTHERS] = {
        cmocka_unit_test(failing_calls),     cmocka_unit_test(failing_peers),
        cmocka_unit_test(too_little_memory), cmocka_unit_test(too_little_shared),
        cmocka_unit_test(no_device),
    };
    assert_true(cudasim_n_mistakes <= MOST);
    for (int i = 0; i < cudasim_n_mistakes; i++)
        tests[OTHERS + i] =
            (struct CMUnitTest){cudasim_mistakes[i].name, mistake, NULL, NULL,
                                (void *)(uintptr_t)&cudasim_mistakes[i]};
    return _cmocka_run_group_tests("cudasim", tests,
                                   (size_t)(OTHERS + cudasim_n_mistakes), begin, end);
}
