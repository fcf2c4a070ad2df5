/* The Hub answers a request for a large file by a redirect to a store elsewhere, whose
 * signed URL serves any number of ranges until it expires. It is kept, and asked for anew
 * shortly before, or once for a range when the store refuses it. Small files come from
 * the Hub itself. Both are one request here: GET with a range, follow what comes. The
 * store is never asked by HEAD, for which its URLs are not signed. */
#include "extract/hub/object.h"

#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "extract/hub/name.h"

enum {
    LEAST_SECONDS = 60,      /* that a signed URL must still be valid */
    USUAL_SECONDS = 50 * 60, /* where it does not say for how long */
};

struct ol_hub_object {
    struct ol_hub_client *client;
    struct ol_hub_subject about;
    int64_t size;
    const char *etag;
    char *resolve;         /* the URL at the Hub */
    pthread_mutex_t mutex; /* held while the Hub is asked where it is; of url, expires */
    char *url;
    double expires; /* seconds since 1970 */
    atomic_bool ignores_ranges;
};

struct ol_hub_object *ol_hub_object_new(struct ol_hub_client *client,
                                        const struct ol_hub_facts *f)
{
    struct ol_hub_object *o = ol_xcalloc(1, sizeof *o);
    char *path = ol_hub_encode(f->path, false);
    o->client = client;
    o->about = (struct ol_hub_subject){f->repo, f->commit, f->path};
    o->size = f->size;
    o->etag = f->etag;
    o->resolve =
        ol_xasprintf("%s/%s/resolve/%s/%s", ol_hub_client_settings(client)->endpoint,
                     f->repo, f->commit, path);
    pthread_mutex_init(&o->mutex, NULL);
    free(path);
    return o;
}

void ol_hub_object_free(struct ol_hub_object *o)
{
    if (o == NULL)
        return;
    pthread_mutex_destroy(&o->mutex);
    free(o->url);
    free(o->resolve);
    free(o);
}

bool ol_hub_object_ignores_ranges(const struct ol_hub_object *o)
{
    return atomic_load(&o->ignores_ranges);
}

/* ---- signed URLs ---- */

static bool parameter(const char *url, const char *name, const char **value)
{
    const size_t n = strlen(name);
    for (const char *at = strchr(url, '?'); at != NULL; at = strchr(at + 1, '&'))
        if (strncmp(at + 1, name, n) == 0 && at[1 + n] == '=') {
            *value = at + n + 2;
            return true;
        }
    return false;
}

/* X-Amz-Date=20261128T183410Z and X-Amz-Expires=3600, or Expires=1764355000. */
static double expiry(const char *url)
{
    const char *date, *seconds;
    struct tm t = {0};
    if (parameter(url, "X-Amz-Date", &date) &&
        parameter(url, "X-Amz-Expires", &seconds) &&
        sscanf(date, "%4d%2d%2dT%2d%2d%2d", &t.tm_year, &t.tm_mon, &t.tm_mday, &t.tm_hour,
               &t.tm_min, &t.tm_sec) == 6) {
        t.tm_year -= 1900;
        t.tm_mon -= 1;
        return (double)timegm(&t) + strtod(seconds, NULL);
    }
    if (parameter(url, "Expires", &seconds) && strtod(seconds, NULL) > 0)
        return strtod(seconds, NULL);
    return (double)time(NULL) + USUAL_SECONDS;
}

/* One request for a range on its way. */
struct pull {
    struct ol_hub_object *o;
    struct ol_http *http;
    struct ol_http_request request;
    struct ol_http_answer answer;
    char *url;       /* that is asked, */
    bool from_store; /* and whether it was kept from an earlier request */
    bool locked;     /* the object's mutex is ours */
    int64_t pos, from, to;
    int64_t skip; /* bytes before pos that come all the same */
    bool enough;  /* all that was wanted is there, and more would come */
    ol_hub_take *take;
    void *user;
    struct ol_error *err;
    char *wrong; /* what is wrong with the answer, where another try may mend it */
};

/* The URL for the next requests; whoever waits for it goes on. */
static void keep(struct pull *p, double expires)
{
    if (!p->locked)
        return;
    free(p->o->url);
    p->o->url = ol_xstrdup(p->url);
    p->o->expires = expires;
    p->locked = false;
    pthread_mutex_unlock(&p->o->mutex);
}

static void find_url(struct pull *p)
{
    struct ol_hub_object *o = p->o;
    pthread_mutex_lock(&o->mutex);
    p->from_store = o->url != NULL && o->expires - (double)time(NULL) >= LEAST_SECONDS;
    p->url = ol_xstrdup(p->from_store ? o->url : o->resolve);
    p->locked = !p->from_store;
    if (p->from_store)
        pthread_mutex_unlock(&o->mutex);
}

/* The URL is of no use any more; another one that came meanwhile is. */
static void forget(struct pull *p)
{
    struct ol_hub_object *o = p->o;
    pthread_mutex_lock(&o->mutex);
    if (o->url != NULL && strcmp(o->url, p->url) == 0) {
        free(o->url);
        o->url = NULL;
    }
    pthread_mutex_unlock(&o->mutex);
}

/* ---- what an answer must say ---- */

static int size_changed(struct pull *p, const char *found)
{
    return ol_fail(p->err,
                   "%s: %s: the Hub says that it has %s bytes, its listing %" PRId64
                   ": it was changed meanwhile",
                   p->o->about.repo, p->o->about.path, found, p->o->size);
}

/* A redirect to the store says which file it leads to. */
static int check_linked(struct pull *p)
{
    const char *size = p->answer.fields[OL_HTTP_LINKED_SIZE];
    const char *etag = p->answer.fields[OL_HTTP_LINKED_ETAG];
    char *end;
    if (size != NULL && (strtoll(size, &end, 10) != p->o->size || *end != '\0'))
        return size_changed(p, size);
    if (etag == NULL)
        return 0;
    etag += strncmp(etag, "W/", 2) == 0 ? 2 : 0;
    etag += *etag == '"';
    const size_t n = strlen(p->o->etag);
    if (strncmp(etag, p->o->etag, n) == 0 && (etag[n] == '"' || etag[n] == '\0'))
        return 0;
    return ol_fail(p->err,
                   "%s: %s: the Hub's etag is %.*s, its listing's %s: it was changed "
                   "meanwhile",
                   p->o->about.repo, p->o->about.path, (int)strcspn(etag, "\""), etag,
                   p->o->etag);
}

/* 206: "bytes from-last/size", to the byte. */
static enum ol_http_body check_range(struct pull *p, const char *range)
{
    long long from, last, size;
    char more;
    if (range == NULL) {
        p->wrong = ol_xstrdup("answers 206 without Content-Range");
        return OL_HTTP_STOP;
    }
    if (sscanf(range, "bytes %lld-%lld/%lld%c", &from, &last, &size, &more) != 3) {
        p->wrong = ol_xasprintf("answers Content-Range '%.60s'", range);
        return OL_HTTP_STOP;
    }
    if (size != p->o->size) {
        char text[32];
        snprintf(text, sizeof text, "%lld", size);
        size_changed(p, text);
        return OL_HTTP_STOP;
    }
    if (from == p->pos && last == p->to - 1)
        return OL_HTTP_TAKE;
    p->wrong =
        ol_xasprintf("answers with the bytes %lld-%lld, asked for %" PRId64 "-%" PRId64,
                     from, last, p->pos, p->to - 1);
    return OL_HTTP_STOP;
}

static enum ol_http_body begin_body(void *user, const struct ol_http_answer *a)
{
    struct pull *p = user;
    const char *encoding = a->fields[OL_HTTP_CONTENT_ENCODING],
               *length = a->fields[OL_HTTP_CONTENT_LENGTH];
    if (a->status != 200 && a->status != 206)
        return OL_HTTP_IGNORE;
    if (encoding != NULL && strcmp(encoding, "identity") != 0) {
        p->wrong =
            ol_xasprintf("answers compressed (%.20s), which was not asked for", encoding);
        return OL_HTTP_STOP;
    }
    if (a->status == 206) {
        const enum ol_http_body body = check_range(p, a->fields[OL_HTTP_CONTENT_RANGE]);
        if (body != OL_HTTP_TAKE)
            return body;
    } else {
        if (length != NULL && strtoll(length, NULL, 10) != p->o->size) {
            size_changed(p, length);
            return OL_HTTP_STOP;
        }
        p->skip = p->pos;
        if (p->request.to >= 0)
            atomic_store(&p->o->ignores_ranges, true);
    }
    keep(p, ol_hub_client_is_hub(p->o->client, p->url) ? HUGE_VAL : expiry(p->url));
    return OL_HTTP_TAKE;
}

static int take_body(void *user, const void *bytes, size_t n)
{
    struct pull *p = user;
    const char *from = bytes;
    if (p->skip > 0) {
        const size_t less = (int64_t)n < p->skip ? n : (size_t)p->skip;
        p->skip -= (int64_t)less;
        from += less;
        n -= less;
    }
    if ((int64_t)n > p->to - p->pos) {
        p->enough = true;
        n = (size_t)(p->to - p->pos);
    }
    if (n > 0 && p->take(p->user, from, n, p->err) != 0)
        return -1;
    p->pos += (int64_t)n;
    return p->enough ? -1 : 0;
}

/* ---- requests ---- */

/* Ask once, and follow where it leads. -1: no other try will do. */
static int pull_once(struct pull *p)
{
    int status = 0, n_hops = 0;
    find_url(p);
    for (char *next = ol_xstrdup(p->url); next != NULL && status == 0;) {
        free(p->url);
        p->url = next;
        p->request.url = next;
        p->request.from = p->pos;
        p->request.to = p->pos == 0 && p->to == p->o->size ? -1 : p->to;
        ol_http_answer_clear(&p->answer);
        ol_hub_client_get(p->o->client, p->http, &p->request, &p->answer);
        char *url = ol_xstrdup(p->url);
        status = ol_hub_client_follow(&url, &n_hops, &p->answer, p->err);
        if (status == 0 && url != NULL)
            status = check_linked(p);
        next = status == 0 ? url : NULL;
        if (next == NULL)
            free(url);
        if (next != NULL && !ol_hub_client_is_hub(p->o->client, next)) {
            free(p->url);
            p->url = ol_xstrdup(next);
            keep(p, expiry(next));
        }
    }
    if (p->locked) {
        p->locked = false;
        pthread_mutex_unlock(&p->o->mutex);
    }
    return status;
}

/* The store refuses a URL that it was to serve: it has expired, or so it believes. */
static bool is_refused(const struct pull *p)
{
    return p->answer.end == OL_HTTP_WHOLE && p->answer.status == 403 &&
           !ol_hub_client_is_hub(p->o->client, p->url);
}

/* After an answer that did not bring everything. */
static int again(struct pull *p, struct ol_hub_tries *tries, int64_t progress)
{
    struct ol_hub_object *o = p->o;
    if (p->err->text[0] != '\0')
        return -1;
    if (p->wrong != NULL) {
        /* Such an answer may be one server's of many. */
        p->answer.end = OL_HTTP_CUT;
        free(p->answer.trouble);
        p->answer.trouble = p->wrong;
        p->wrong = NULL;
    }
    if (p->answer.end == OL_HTTP_WHOLE &&
        (p->answer.status == 200 || p->answer.status == 206)) {
        p->answer.end = OL_HTTP_CUT;
        p->answer.trouble = ol_xasprintf("ends %" PRId64 " bytes early", p->to - p->pos);
    }
    if (is_refused(p)) {
        forget(p);
        if (!tries->renewed) {
            ol_detail("%s: %s: the address has expired: asking for another",
                      o->about.repo, o->about.path);
            tries->renewed = true;
            return 0;
        }
    }
    if (p->answer.end == OL_HTTP_WHOLE && p->answer.status == 416) {
        const char *range = p->answer.fields[OL_HTTP_CONTENT_RANGE];
        const char *size = range != NULL ? strchr(range, '/') : NULL;
        return size_changed(p, size != NULL ? size + 1 : "fewer");
    }
    return ol_hub_client_again(o->client, &o->about, p->url, &p->answer, progress, tries,
                               p->err);
}

int ol_hub_object_get(struct ol_hub_object *o, struct ol_http *http, int64_t from,
                      int64_t to, ol_hub_take *take, void *user, struct ol_error *err)
{
    struct ol_hub_tries tries = {0};
    struct pull p = {
        .o = o,
        .http = http,
        .request = {.begin = begin_body, .take = take_body, .user = &p},
        .from = from,
        .pos = from,
        .to = to,
        .take = take,
        .user = user,
        .err = err,
    };
    int status = 0;
    while (status == 0 && p.pos < to) {
        const int64_t before = p.pos;
        p.skip = 0;
        status = pull_once(&p);
        if (status == 0 && p.pos < to)
            status = again(&p, &tries, p.pos - before);
        ol_http_answer_clear(&p.answer);
        free(p.url);
        p.url = NULL;
        free(p.wrong);
        p.wrong = NULL;
    }
    return status;
}
