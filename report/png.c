/* A drawing as a picture of points: librsvg's converter does it, in a process of its own.
 * A library for it would bring a graphics stack into a tool that draws one figure. */
#include "report/png.h"

#include <errno.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static int start(int from, int to, pid_t *child)
{
    /* Twice the size in points, for screens and paper that show more of them. */
    static char name[] = "rsvg-convert", zoom[] = "--zoom=2", format[] = "--format=png";
    char *const words[] = {name, zoom, format, NULL};
    posix_spawn_file_actions_t files;
    int status = posix_spawn_file_actions_init(&files);
    if (status != 0)
        return status;
    status = posix_spawn_file_actions_adddup2(&files, from, STDIN_FILENO);
    if (status == 0)
        status = posix_spawn_file_actions_adddup2(&files, to, STDOUT_FILENO);
    if (status == 0)
        status = posix_spawnp(child, name, &files, NULL, words, environ);
    posix_spawn_file_actions_destroy(&files);
    return status;
}

int ol_png_convert(FILE *svg, FILE *png, struct ol_error *err)
{
    pid_t child;
    int status;
    if (fflush(svg) != 0 || lseek(fileno(svg), 0, SEEK_SET) != 0 || fflush(png) != 0)
        return ol_fail_errno(err, "a figure cannot be handed to rsvg-convert");
    const int code = start(fileno(svg), fileno(png), &child);
    if (code == ENOENT)
        return ol_fail(err, "--format png needs rsvg-convert, which is not there (Debian "
                            "package librsvg2-bin); --format svg does not");
    if (code != 0)
        return ol_fail(err, "rsvg-convert cannot be started: %s", strerror(code));
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return ol_fail_errno(err, "rsvg-convert cannot be waited for");
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return ol_fail(err, "rsvg-convert failed");
    return 0;
}
