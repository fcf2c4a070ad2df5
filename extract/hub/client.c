#include "extract/hub/client.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"

enum {
    MOST_HOPS = 20,
    MOST_TRIES = 5,
    MOST_LIMITED = 10,
    MOST_SECONDS_TOLD = 3600,
    /* Less in one try is no progress: a line that breaks off again and again, or brings a
     * byte at a time, comes to an end. */
    PROGRESS_BYTES = 32 << 10,
};

struct ol_hub_client {
    struct ol_hub_settings settings;
    char *origin;       /* of the endpoint */
    const char *advice; /* for whoever gave up on a file's bytes */
    atomic_bool stop;
    atomic_long n_requests;
    pthread_mutex_t mutex; /* of what follows, and of notes */
    pthread_cond_t woken;
    double not_before; /* when the Hub may be asked again */
    double last_told;  /* that something is tried again; 0: never */
    void (*wipe)(void *user);
    void *wipe_user;
};

struct ol_hub_client *ol_hub_client_new(struct ol_error *err)
{
    struct ol_hub_client *c = ol_xcalloc(1, sizeof *c);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    c->advice = "; what has come is kept";
    pthread_mutex_init(&c->mutex, NULL);
    pthread_cond_init(&c->woken, &attributes);
    pthread_condattr_destroy(&attributes);
    if (ol_hub_settings_read(&c->settings, err) == 0) {
        c->origin = ol_http_origin(c->settings.endpoint);
        if (c->origin != NULL)
            return c;
        ol_fail(err, "HF_ENDPOINT: '%s' is no address: expected https://...",
                c->settings.endpoint);
    }
    ol_hub_client_free(c);
    return NULL;
}

void ol_hub_client_free(struct ol_hub_client *c)
{
    if (c == NULL)
        return;
    ol_hub_settings_clear(&c->settings);
    pthread_cond_destroy(&c->woken);
    pthread_mutex_destroy(&c->mutex);
    free(c->origin);
    free(c);
}

const struct ol_hub_settings *ol_hub_client_settings(const struct ol_hub_client *c)
{
    return &c->settings;
}

struct ol_http *ol_hub_client_connect(const struct ol_hub_client *c, struct ol_error *err)
{
    return ol_http_new(c->settings.ca_file, err);
}

void ol_hub_client_stop(struct ol_hub_client *c)
{
    atomic_store(&c->stop, true);
    pthread_mutex_lock(&c->mutex);
    pthread_cond_broadcast(&c->woken);
    pthread_mutex_unlock(&c->mutex);
}

bool ol_hub_client_stopped(const struct ol_hub_client *c)
{
    return atomic_load(&c->stop);
}

long ol_hub_client_n_requests(const struct ol_hub_client *c)
{
    return atomic_load(&c->n_requests);
}

void ol_hub_client_set_advice(struct ol_hub_client *c, const char *advice)
{
    c->advice = advice;
}

/* ---- notes ---- */

void ol_hub_client_set_wipe(struct ol_hub_client *c, void (*wipe)(void *user), void *user)
{
    pthread_mutex_lock(&c->mutex);
    c->wipe = wipe;
    c->wipe_user = user;
    pthread_mutex_unlock(&c->mutex);
}

void ol_hub_client_draw(struct ol_hub_client *c, void (*draw)(void *user), void *user)
{
    pthread_mutex_lock(&c->mutex);
    draw(user);
    pthread_mutex_unlock(&c->mutex);
}

void ol_hub_client_note(struct ol_hub_client *c, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = ol_xvasprintf(format, args);
    va_end(args);
    pthread_mutex_lock(&c->mutex);
    if (c->wipe != NULL)
        c->wipe(c->wipe_user);
    ol_note("%s", text);
    pthread_mutex_unlock(&c->mutex);
    free(text);
}

/* ---- waiting ---- */

/* Until that moment, or until everything stops; the mutex is held. */
static void wait_until(struct ol_hub_client *c, double moment)
{
    const struct timespec t = {(time_t)moment, (long)((moment - floor(moment)) * 1e9)};
    while (!atomic_load(&c->stop) && ol_clock_seconds() < moment)
        pthread_cond_timedwait(&c->woken, &c->mutex, &t);
}

static void wait_for_turn(struct ol_hub_client *c)
{
    pthread_mutex_lock(&c->mutex);
    while (!atomic_load(&c->stop) && ol_clock_seconds() < c->not_before)
        wait_until(c, c->not_before);
    pthread_mutex_unlock(&c->mutex);
}

/* 1, 2, 4, 8, 8 seconds, less up to a half, so that those who failed together do not come
 * back together. */
static void back_off(struct ol_hub_client *c, int n_tries)
{
    static const double seconds[] = {1, 2, 4, 8};
    const int last = (int)(sizeof seconds / sizeof seconds[0]) - 1,
              i = n_tries - 1 < last ? n_tries - 1 : last;
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    const double share = (double)(t.tv_nsec / 1000 % 1000) / 1000;
    pthread_mutex_lock(&c->mutex);
    wait_until(c, ol_clock_seconds() + seconds[i] * (1 - share / 2));
    pthread_mutex_unlock(&c->mutex);
}

/* ---- requests ---- */

bool ol_hub_client_is_hub(const struct ol_hub_client *c, const char *url)
{
    char *origin = ol_http_origin(url);
    const bool same = origin != NULL && strcmp(origin, c->origin) == 0;
    free(origin);
    return same;
}

void ol_hub_client_get(struct ol_hub_client *c, struct ol_http *http,
                       struct ol_http_request *request, struct ol_http_answer *answer)
{
    const bool at_hub = ol_hub_client_is_hub(c, request->url);
    const struct ol_hub_settings *s = &c->settings;
    if (at_hub)
        wait_for_turn(c);
    request->token = at_hub ? s->token : NULL;
    request->connect_seconds = s->connect_seconds;
    request->stall_seconds = request->to < 0 ? s->answer_seconds : s->stall_seconds;
    request->stop = &c->stop;
    atomic_fetch_add(&c->n_requests, 1);
    ol_http_get(http, request, answer);
}

int ol_hub_client_follow(char **url, int *n_hops, struct ol_http_answer *answer,
                         struct ol_error *err)
{
    char *next = answer->status >= 300 && answer->status < 400 ? answer->redirect : NULL;
    int status = -1;
    if (next == NULL) {
        free(*url);
        *url = NULL;
        return 0;
    }
    char *from = ol_hub_shown_url(*url), *origin = ol_http_origin(next);
    if (origin == NULL)
        ol_fail(err, "%s: redirects to an address that is none of http or https", from);
    else if (strncmp(origin, "http:", 5) == 0 && strncmp(*url, "https:", 6) == 0)
        ol_fail(err, "%s: redirects from https to http, which is not followed", from);
    else if (++*n_hops > MOST_HOPS)
        ol_fail(err, "%s: redirects again and again, more than %d times", from,
                MOST_HOPS);
    else
        status = 0;
    free(origin);
    free(from);
    if (status == 0) {
        free(*url);
        *url = next;
        answer->redirect = NULL;
    }
    return status;
}

/* ---- another try ---- */

/* Seconds that the Hub wants us to wait, or -1 where it does not say. */
static double seconds_told(const struct ol_http_answer *a)
{
    const char *limit = a->fields[OL_HTTP_RATE_LIMIT],
               *after = a->fields[OL_HTTP_RETRY_AFTER];
    const char *rest = limit != NULL ? strstr(limit, "r=") : NULL;
    const char *seconds = limit != NULL ? strstr(limit, "t=") : NULL;
    char *end;
    if (rest != NULL && seconds != NULL && strtol(rest + 2, NULL, 10) == 0) {
        const double t = strtod(seconds + 2, &end);
        if (end != seconds + 2 && t >= 0)
            return t + 1;
    }
    if (after != NULL) {
        const double t = strtod(after, &end);
        if (end != after && *end == '\0' && t >= 0)
            return t;
    }
    return -1;
}

/* The Hub may not be asked by anybody before that moment; true when nobody knew. */
static bool put_off(struct ol_hub_client *c, double until)
{
    pthread_mutex_lock(&c->mutex);
    const bool first = ol_clock_seconds() >= c->not_before;
    if (until > c->not_before)
        c->not_before = until;
    pthread_mutex_unlock(&c->mutex);
    return first;
}

static int wait_as_told(struct ol_hub_client *c, const struct ol_hub_subject *about,
                        const struct ol_http_answer *answer, struct ol_hub_tries *tries,
                        struct ol_error *err)
{
    const double told = seconds_told(answer);
    const char *more =
        c->settings.token == NULL ? ", or set HF_TOKEN, with which it allows more" : "";
    if (told > MOST_SECONDS_TOLD)
        return ol_fail(
            err,
            "%s: the Hub answers 429, too many requests, and asks to wait %.0f s: "
            "try again then%s",
            about->repo, told, more);
    if (++tries->n_limited > MOST_LIMITED)
        return ol_fail(err,
                       "%s: the Hub answers 429, too many requests, %d times: try "
                       "again later%s",
                       about->repo, tries->n_limited, more);
    const double wait = told >= 1   ? told
                        : told >= 0 ? 1
                                    : (double)(1 << (tries->n_limited - 1));
    if (put_off(c, ol_clock_seconds() + wait))
        ol_hub_client_note(
            c, "the Hub answers 429, too many requests: waiting %.0f s%s", wait,
            c->settings.token == NULL ? " (with a token, HF_TOKEN, it allows more)" : "");
    wait_for_turn(c);
    return 0;
}

/* What may be gone at the next try. */
static bool is_passing(const struct ol_http_answer *a)
{
    return a->end == OL_HTTP_CUT || a->status == 408 ||
           (a->end == OL_HTTP_WHOLE && a->status >= 500);
}

static char *describe_trouble(const struct ol_http_answer *a)
{
    return a->trouble != NULL ? ol_xstrdup(a->trouble)
                              : ol_xasprintf("the answer is %ld", a->status);
}

/* Whether it is long since trouble was told: all connections have the same at a time. */
static bool is_news(struct ol_hub_client *c)
{
    const double seconds = 10, t = ol_clock_seconds();
    pthread_mutex_lock(&c->mutex);
    const bool news = c->last_told == 0 || t - c->last_told > seconds;
    if (news)
        c->last_told = t;
    pthread_mutex_unlock(&c->mutex);
    return news;
}

int ol_hub_client_again(struct ol_hub_client *c, const struct ol_hub_subject *about,
                        const char *url, const struct ol_http_answer *answer,
                        int64_t progress, struct ol_hub_tries *tries,
                        struct ol_error *err)
{
    if (atomic_load(&c->stop))
        return ol_fail(err, "stopped");
    if (answer->end == OL_HTTP_WHOLE && answer->status == 429)
        return wait_as_told(c, about, answer, tries, err);
    if (!is_passing(answer))
        return ol_hub_explain(c, about, url, answer, err);
    if (progress >= PROGRESS_BYTES)
        *tries = (struct ol_hub_tries){0};
    char *subject = ol_hub_subject_text(about), *shown = ol_hub_shown_url(url),
         *trouble = describe_trouble(answer);
    int status = 0;
    if (++tries->n >= MOST_TRIES)
        status = ol_fail(
            err, "%s: %s%s: %s, %d times without progress: try again later%s", subject,
            about->path == NULL ? "is no directory, nor in the cache as far as "
                                  "it is needed, and the Hub cannot be asked: "
                                : "",
            shown, trouble, tries->n, about->path == NULL ? "" : c->advice);
    else if (tries->n == 2 && is_news(c))
        ol_hub_client_note(c, "%s: %s: %s; trying again", subject, shown, trouble);
    else
        ol_detail("%s: %s: %s; trying again", subject, shown, trouble);
    free(trouble);
    free(shown);
    free(subject);
    /* What broke off on its way goes on at once. */
    if (status == 0 && (progress < PROGRESS_BYTES || tries->n > 1))
        back_off(c, tries->n);
    return status;
}
