#include "report/convert.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/process.h"

extern char **environ;

/* Where a program's standard files lead; -1: they stay. */
struct ends {
    int in, out, messages;
};

static int add_end(posix_spawn_file_actions_t *files, int from, int to)
{
    return from >= 0 ? posix_spawn_file_actions_adddup2(files, from, to) : 0;
}

/* In a group of its own, with the signals that were blocked before. */
static int spawn(const posix_spawn_file_actions_t *files, char *const *words,
                 pid_t *child)
{
    posix_spawnattr_t how;
    sigset_t before;
    int status = posix_spawnattr_init(&how);
    if (status != 0)
        return status;
    /* Or a signal could come before the child is known. */
    ol_process_block_signals(&before);
    status =
        posix_spawnattr_setflags(&how, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
    if (status == 0)
        status = posix_spawnattr_setsigmask(&how, &before);
    if (status == 0)
        status = posix_spawnp(child, words[0], files, &how, words, environ);
    if (status == 0)
        ol_process_guard_child(*child);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    posix_spawnattr_destroy(&how);
    return status;
}

/* 0, or what posix_spawn says: ENOENT where there is no such program. */
static int start(const char *const *words, const struct ends *ends, pid_t *child)
{
    /* posix_spawn takes words that it may not change. */
    char *copies[16] = {0};
    posix_spawn_file_actions_t files;
    int status = posix_spawn_file_actions_init(&files);
    if (status != 0)
        return status;
    for (int i = 0; words[i] != NULL; i++)
        copies[i] = ol_xstrdup(words[i]);
    status = add_end(&files, ends->in, STDIN_FILENO);
    if (status == 0)
        status = add_end(&files, ends->out, STDOUT_FILENO);
    if (status == 0)
        status = add_end(&files, ends->messages, STDERR_FILENO);
    if (status == 0)
        status = spawn(&files, copies, child);
    posix_spawn_file_actions_destroy(&files);
    for (int i = 0; copies[i] != NULL; i++)
        free(copies[i]);
    return status;
}

static int finish(pid_t child, const char *program, struct ol_error *err)
{
    int status;
    pid_t ended;
    while ((ended = waitpid(child, &status, 0)) < 0 && errno == EINTR)
        continue;
    ol_process_guard_child(0);
    if (ended < 0)
        return ol_fail_errno(err, "%s cannot be waited for", program);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0
               ? 0
               : ol_fail(err, "%s failed", program);
}

/* ---- figures: librsvg's converter ---- */

static int convert(const char *format, const char *zoom, FILE *svg, FILE *out,
                   struct ol_error *err)
{
    static const char program[] = "rsvg-convert";
    char *words_of_format = ol_xasprintf("--format=%s", format),
         *words_of_zoom = ol_xasprintf("--zoom=%s", zoom);
    const char *const words[] = {program, words_of_zoom, words_of_format, NULL};
    pid_t child;
    int code = -1;
    if (fflush(svg) != 0 || lseek(fileno(svg), 0, SEEK_SET) != 0 || fflush(out) != 0)
        ol_fail_errno(err, "a figure cannot be handed to %s", program);
    else
        code = start(words, &(struct ends){fileno(svg), fileno(out), -1}, &child);
    free(words_of_zoom);
    free(words_of_format);
    if (code < 0)
        return -1;
    if (code == ENOENT)
        return ol_fail(err,
                       "--format %s of a figure needs rsvg-convert, which is not there "
                       "(Debian package librsvg2-bin); --format svg does not",
                       format);
    if (code != 0)
        return ol_fail(err, "%s cannot be started: %s", program, strerror(code));
    return finish(child, program, err);
}

int ol_convert_to_png(FILE *svg, FILE *png, struct ol_error *err)
{
    return convert("png", "2", svg, png, err);
}

int ol_convert_to_pdf(FILE *svg, FILE *pdf, struct ol_error *err)
{
    /* Of 3/4 of a point a pixel, which is 9 points for our texts. */
    setenv("SOURCE_DATE_EPOCH", "0", 0); /* the same bytes every time */
    return convert("pdf", "0.7777778", svg, pdf, err);
}

/* ---- pages: a browser without a window ---- */

/* A browser reads and writes files by name only. */
struct page {
    char folder[64];
    char *html, *pdf, *profile, *messages;
};

static int copy(FILE *from, FILE *to, const char *what, struct ol_error *err)
{
    char piece[1 << 16];
    size_t n;
    rewind(from);
    while ((n = fread(piece, 1, sizeof piece, from)) > 0)
        if (fwrite(piece, 1, n, to) != n)
            break;
    return !ferror(from) && !ferror(to) && fflush(to) == 0
               ? 0
               : ol_fail_errno(err, "%s cannot be copied", what);
}

static int page_new(struct page *p, FILE *html, struct ol_error *err)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(p->folder, sizeof p->folder, "%s/ol-report-XXXXXX",
             tmp != NULL && *tmp != '\0' && strlen(tmp) < 40 ? tmp : "/tmp");
    sigset_t before;
    ol_process_block_signals(&before);
    const bool made = mkdtemp(p->folder) != NULL;
    const int code = errno;
    if (made)
        ol_process_guard(p->folder);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = code;
    if (!made) {
        const int status = ol_fail_errno(err, "%s: cannot be made", p->folder);
        *p->folder = '\0';
        return status;
    }
    p->html = ol_xasprintf("%s/page.html", p->folder);
    p->pdf = ol_xasprintf("%s/page.pdf", p->folder);
    p->profile = ol_xasprintf("%s/profile", p->folder);
    p->messages = ol_xasprintf("%s/messages", p->folder);
    FILE *file = fopen(p->html, "w");
    if (file == NULL)
        return ol_fail_errno(err, "%s", p->html);
    const int status = copy(html, file, p->html, err);
    return fclose(file) == 0 || status != 0 ? status : ol_fail_errno(err, "%s", p->html);
}

/* Its profile is a tree of the browser's own. */
static void page_free(struct page *p)
{
    const char *const words[] = {"rm", "-rf", "--", p->folder, NULL};
    struct ol_error ignored = {0};
    pid_t child;
    if (*p->folder != '\0' && start(words, &(struct ends){-1, -1, -1}, &child) == 0)
        finish(child, words[0], &ignored);
    ol_process_release(p->folder);
    free(p->messages);
    free(p->profile);
    free(p->pdf);
    free(p->html);
}

static int browse(const struct page *p, struct ol_error *err)
{
    static const char *const browsers[] = {"chromium",      "chromium-browser",
                                           "google-chrome", "google-chrome-stable",
                                           "chrome",        NULL};
    char *to = ol_xasprintf("--print-to-pdf=%s", p->pdf),
         *profile = ol_xasprintf("--user-data-dir=%s", p->profile),
         *from = ol_xasprintf("file://%s", p->html);
    FILE *messages = fopen(p->messages, "w");
    const int quiet = messages != NULL ? fileno(messages) : -1;
    int code = ENOENT, status = -1;
    for (int i = 0; code == ENOENT && browsers[i] != NULL; i++) {
        /* Its sandbox cannot be set up by root; the page loads nothing from anywhere. */
        const char *const words[] = {browsers[i],
                                     "--headless",
                                     "--disable-gpu",
                                     geteuid() == 0 ? "--no-sandbox" : "--headless",
                                     "--no-first-run",
                                     "--no-pdf-header-footer",
                                     profile,
                                     to,
                                     from,
                                     NULL};
        pid_t child;
        code = start(words, &(struct ends){-1, quiet, quiet}, &child);
        if (code == 0)
            status = finish(child, browsers[i], err);
    }
    if (code == ENOENT)
        ol_fail(err, "--format pdf of a page needs a browser: none of chromium, "
                     "chromium-browser, google-chrome and chrome is there; --format html "
                     "is printed by any");
    else if (code != 0)
        ol_fail(err, "a browser cannot be started: %s", strerror(code));
    if (messages != NULL)
        fclose(messages);
    free(from);
    free(profile);
    free(to);
    return status;
}

int ol_convert_page(FILE *html, FILE *pdf, struct ol_error *err)
{
    struct page page = {0};
    int status = -1;
    if (fflush(html) != 0)
        ol_fail_errno(err, "a page cannot be handed to a browser");
    else if (page_new(&page, html, err) == 0 && browse(&page, err) == 0) {
        FILE *made = fopen(page.pdf, "r");
        status = made != NULL ? copy(made, pdf, page.pdf, err)
                              : ol_fail(err, "the browser made no PDF of the page");
        if (made != NULL)
            fclose(made);
    }
    page_free(&page);
    return status;
}
