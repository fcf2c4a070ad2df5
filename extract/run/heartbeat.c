#include "extract/run/heartbeat.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/activation_file.h"
#include "common/file.h"
#include "common/process.h"

#define FORMAT "ol-status"
enum {
    FORMAT_VERSION = 1,
    BEAT_SECONDS = 5,
    SILENT_SECONDS = 60, /* after which a run is taken for dead */
};

struct ol_heartbeat {
    struct ol_progress *progress; /* borrowed; NULL when it is not asked any more */
    struct ol_figures figures;    /* what it said last */
    char *path, *new_path;
    double log_seconds, began, last_line;
    char host[256];
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool ending, warned;
};

static char *path_beside(const char *partial_path)
{
    return ol_xasprintf("%s.status", partial_path);
}

static double now(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* ---- writing ---- */

static int write_text(const struct ol_heartbeat *h, const char *text)
{
    FILE *file = fopen(h->new_path, "we");
    if (file == NULL)
        return -1;
    const bool written = fprintf(file, "%s\n", text) > 0;
    if (fclose(file) == 0 && written && rename(h->new_path, h->path) == 0)
        return 0;
    const int number = errno;
    unlink(h->new_path);
    errno = number;
    return -1;
}

/* The mutex is held. */
static void ask(struct ol_heartbeat *h)
{
    if (h->progress != NULL)
        ol_progress_figures(h->progress, &h->figures);
}

/* The mutex is held. */
static void beat(struct ol_heartbeat *h)
{
    ask(h);
    struct ol_json *status = ol_json_new_object();
    ol_json_set(status, "format", ol_json_new_string(FORMAT));
    ol_json_set(status, "format_version", ol_json_new_int(FORMAT_VERSION));
    ol_json_set(status, "host", ol_json_new_string(h->host));
    ol_json_set(status, "pid", ol_json_new_int(getpid()));
    ol_json_set(status, "updated", ol_json_new_real(now(CLOCK_REALTIME)));
    ol_figures_set(&h->figures, status);
    char *text = ol_json_dump_text(status, 0);
    if (write_text(h, text) != 0 && !h->warned) {
        h->warned = true;
        ol_warn("%s: cannot be written (%s): --status will not know of this run", h->path,
                strerror(errno));
    }
    free(text);
    ol_json_free(status);
    const double t = now(CLOCK_MONOTONIC);
    if (h->log_seconds > 0 && h->progress != NULL && t - h->last_line >= h->log_seconds) {
        h->last_line = t;
        ol_progress_log(&h->figures);
    }
}

static void *work(void *arg)
{
    struct ol_heartbeat *h = arg;
    const double every = h->log_seconds > 0 && h->log_seconds < BEAT_SECONDS
                             ? h->log_seconds
                             : BEAT_SECONDS;
    pthread_mutex_lock(&h->mutex);
    while (!h->ending) {
        beat(h);
        const double until = now(CLOCK_MONOTONIC) + every;
        const struct timespec at = {(time_t)until,
                                    (long)((until - (double)(time_t)until) * 1e9)};
        while (!h->ending &&
               pthread_cond_timedwait(&h->changed, &h->mutex, &at) != ETIMEDOUT)
            ;
    }
    pthread_mutex_unlock(&h->mutex);
    return NULL;
}

struct ol_heartbeat *ol_heartbeat_new(const char *partial_path,
                                      struct ol_progress *progress, double log_seconds,
                                      struct ol_error *err)
{
    struct ol_heartbeat *h = ol_xcalloc(1, sizeof *h);
    pthread_condattr_t attributes;
    sigset_t before;
    h->progress = progress;
    h->path = path_beside(partial_path);
    h->new_path = ol_xasprintf("%s.new", h->path);
    h->log_seconds = ol_progress_is_drawn(progress) ? 0 : log_seconds;
    h->last_line = now(CLOCK_MONOTONIC);
    if (gethostname(h->host, sizeof h->host - 1) != 0)
        h->host[0] = '\0';
    pthread_mutex_init(&h->mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&h->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    ol_process_block_signals(&before);
    const int code = pthread_create(&h->thread, NULL, work, h);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (code == 0)
        return h;
    ol_fail(err, "cannot start a thread that tells how far the run is: %s",
            strerror(code));
    free(h->new_path);
    free(h->path);
    free(h);
    return NULL;
}

void ol_heartbeat_detach(struct ol_heartbeat *h)
{
    if (h == NULL)
        return;
    pthread_mutex_lock(&h->mutex);
    ask(h);
    h->progress = NULL;
    pthread_mutex_unlock(&h->mutex);
}

void ol_heartbeat_free(struct ol_heartbeat *h)
{
    if (h == NULL)
        return;
    pthread_mutex_lock(&h->mutex);
    h->ending = true;
    pthread_cond_broadcast(&h->changed);
    pthread_mutex_unlock(&h->mutex);
    pthread_join(h->thread, NULL);
    unlink(h->path);
    pthread_cond_destroy(&h->changed);
    pthread_mutex_destroy(&h->mutex);
    free(h->new_path);
    free(h->path);
    free(h);
}

/* ---- reading ---- */

struct status {
    struct ol_figures figures;
    const char *host; /* borrowed */
    int64_t pid;
    double age; /* seconds since it was written; clocks of machines differ a little */
    bool gone;  /* its process is no more */
};

static int read_status(struct ol_json_section s, struct status *status,
                       struct ol_error *err)
{
    const char *format = "";
    int64_t version;
    double updated;
    if (ol_json_string_or(s, "format", "", &format, err) != 0 ||
        ol_json_need_int(s, "format_version", 0, INT64_MAX, &version, err) != 0)
        return -1;
    if (strcmp(format, FORMAT) != 0 || version != FORMAT_VERSION)
        return ol_fail(err,
                       "%s: format \"%s\" of version %" PRId64 ", expected \"" FORMAT
                       "\" of version %d",
                       s.file, format, version, FORMAT_VERSION);
    if (ol_json_string_or(s, "host", "", &status->host, err) != 0 ||
        ol_json_need_int(s, "pid", 0, INT64_MAX, &status->pid, err) != 0 ||
        ol_json_need_real(s, "updated", &updated, err) != 0 ||
        ol_figures_get(s, &status->figures, err) != 0)
        return -1;
    status->age = now(CLOCK_REALTIME) - updated;
    if (status->age < 0)
        status->age = 0;
    return 0;
}

/* Whether the run ended without a word: its process was of this machine and is no more.
 * One of a container may only be out of sight: then it has the lock. */
static bool is_gone(const struct status *s, const char *partial)
{
    char host[256] = "";
    if (gethostname(host, sizeof host - 1) != 0 || strcmp(host, s->host) != 0 ||
        s->pid <= 0 || s->pid > INT32_MAX || kill((pid_t)s->pid, 0) == 0 ||
        errno != ESRCH)
        return false;
    const int fd = open(partial, O_RDONLY | O_CLOEXEC);
    const bool gone = fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) == 0;
    if (fd >= 0)
        close(fd);
    return gone;
}

static const char *state_of(const struct status *s)
{
    return s->gone || s->age > SILENT_SECONDS ? "silent" : "running";
}

static void tell(const char *path, const struct status *s)
{
    char text[OL_FIGURES_TEXT];
    ol_figures_text(&s->figures, OL_FIGURES_TEXT, text);
    char *shown = ol_shown(path), *host = ol_shown(s->host);
    printf("%s: %s on %s (process %" PRId64
           "), told %.0f s ago, %.0f s in this layer:%s\n",
           shown, state_of(s), host, s->pid, s->age, s->figures.layer_seconds, text);
    free(host);
    free(shown);
}

/* What nobody is at work on. */
static int tell_idle(const char *path, const char *state, bool json, struct ol_error *err)
{
    int status = 0;
    if (json) {
        struct ol_json *object = ol_json_new_object();
        ol_json_set(object, "file", ol_json_new_string(path));
        ol_json_set(object, "state", ol_json_new_string(state));
        status = ol_json_dump(object, 1, stdout, "stdout", err);
        ol_json_free(object);
    } else {
        char *shown = ol_shown(path);
        printf("%s: %s\n", shown, state);
        free(shown);
    }
    return status;
}

static int tell_running(const char *path, const char *status_path, bool json,
                        struct ol_error *err)
{
    struct status s = {.host = ""};
    struct ol_json *object = ol_json_load_file(status_path, err);
    int status = -1;
    if (object != NULL)
        status = read_status((struct ol_json_section){status_path, object}, &s, err);
    s.gone = status == 0 && is_gone(&s, path);
    if (status == 0 && json) {
        ol_json_set(object, "file", ol_json_new_string(path));
        ol_json_set(object, "state", ol_json_new_string(state_of(&s)));
        ol_json_set(object, "age_seconds", ol_json_new_real(s.age));
        status = ol_json_dump(object, 1, stdout, "stdout", err);
    } else if (status == 0) {
        tell(path, &s);
    }
    if (status == 0 && s.gone)
        status =
            ol_fail(err, "%s: process %" PRId64 " has ended without a word", path, s.pid);
    if (status == 0 && s.age > SILENT_SECONDS)
        status = ol_fail(err, "%s: no sign of life for %.0f s", path, s.age);
    ol_json_free(object);
    return status;
}

static int tell_complete(const char *path, bool json, struct ol_error *err)
{
    bool complete;
    if (ol_activation_is_complete(path, &complete, err) != 0)
        return -1;
    return complete ? tell_idle(path, "complete", json, err)
                    : ol_fail(err, "%s: is no finished run", path);
}

int ol_heartbeat_tell(const char *path, bool json, struct ol_error *err)
{
    static const char ending[] = ".partial";
    const size_t n = strlen(path), n_ending = sizeof ending - 1;
    const bool ends = n > n_ending && strcmp(path + n - n_ending, ending) == 0;
    char *final = ol_xasprintf("%.*s", (int)(ends ? n - n_ending : n), path);
    char *partial = ol_xasprintf("%s%s", final, ending);
    char *status_path = path_beside(partial);
    bool unfinished = false, alive = false, there = false;
    int status = ol_file_exists(partial, &unfinished, err) != 0 ||
                         ol_file_exists(status_path, &alive, err) != 0 ||
                         ol_file_exists(final, &there, err) != 0
                     ? -1
                     : 0;
    if (status != 0)
        goto out;
    if (unfinished)
        status = alive ? tell_running(partial, status_path, json, err)
                       : tell_idle(partial, "stopped", json, err);
    else if (there)
        status = tell_complete(final, json, err);
    else
        status = ol_fail(err, "%s: there is no such run, neither %s nor %s", path,
                         partial, final);
out:
    free(status_path);
    free(partial);
    free(final);
    return status;
}
