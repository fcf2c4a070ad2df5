/* Activation files: any bytes are refused with a message, or read through and held
 * against their checksums. Each case is a process of its own: the HDF5 library may crash
 * on it or find no end of it, which must end that process with status 1 and not by a
 * signal. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/activation_file.h"
#include "tests/fuzz/fuzz.h"

const char *const fuzz_seeds[] = {"tests/fuzz/seeds/activation-*.h5", NULL};
const int fuzz_short_run = 1000;

enum { SECONDS = 20 };

static void look_at(const char *path)
{
    struct ol_error err = {0};
    const struct rlimit limit = {SECONDS, SECONDS};
    const int null = open("/dev/null", O_WRONLY);
    if (null < 0 || dup2(null, STDERR_FILENO) < 0)
        _exit(3);
    setrlimit(RLIMIT_CPU, &limit);
    struct ol_activation_file *file = ol_activation_open(path, &err);
    if (file != NULL && ol_activation_verify(file, &err) < 0 && err.text[0] == '\0')
        abort();
    if (file == NULL && err.text[0] == '\0')
        abort();
    ol_activation_close(file);
    _exit(0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[] = "/tmp/ol-fuzz-XXXXXX";
    const int fd = mkstemp(path);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size || close(fd) != 0)
        exit(3);
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0)
        look_at(path);
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child)
        exit(3);
    unlink(path);
    if (!WIFEXITED(status) || WEXITSTATUS(status) > 1)
        abort();
    return 0;
}
