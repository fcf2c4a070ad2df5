/* measure COMMAND...: run it and print on stderr "measure: SECONDS s" of wall time, the
 * processor time used, and the largest part of memory that is not a mapped file. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Anonymous memory of a process in kB, or 0 once it is gone. */
static long anonymous(pid_t pid)
{
    char path[64], line[128];
    long kb = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return 0;
    while (fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "RssAnon: %ld", &kb) == 1)
            break;
    fclose(file);
    return kb;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: measure COMMAND...\n");
        return 2;
    }
    struct timespec start, end;
    struct rusage usage;
    int status;
    long most = 0;
    clock_gettime(CLOCK_MONOTONIC, &start);
    const pid_t pid = fork();
    if (pid == 0) {
        execvp(argv[1], argv + 1);
        fprintf(stderr, "measure: %s: %s\n", argv[1], strerror(errno));
        _exit(127);
    }
    while (wait4(pid, &status, WNOHANG, &usage) == 0) {
        const long now = anonymous(pid);
        most = now > most ? now : most;
        usleep(10000);
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    const double wall = (double)(end.tv_sec - start.tv_sec) +
                        1e-9 * (double)(end.tv_nsec - start.tv_nsec);
    const double cpu = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                       1e-6 * (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
    fprintf(stderr, "measure: %.2f s, %.2f s of processors, %.2f GB\n", wall, cpu,
            (double)most / 1e6);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
