#include "extract/hub/http.h"

#include <ctype.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>

#include "common/version.h"

static const char *const field_names[OL_HTTP_N_FIELDS] = {
    [OL_HTTP_CONTENT_ENCODING] = "content-encoding",
    [OL_HTTP_CONTENT_LENGTH] = "content-length",
    [OL_HTTP_CONTENT_RANGE] = "content-range",
    [OL_HTTP_ERROR_CODE] = "x-error-code",
    [OL_HTTP_ERROR_MESSAGE] = "x-error-message",
    [OL_HTTP_LINK] = "link",
    [OL_HTTP_LINKED_ETAG] = "x-linked-etag",
    [OL_HTTP_LINKED_SIZE] = "x-linked-size",
    [OL_HTTP_RATE_LIMIT] = "ratelimit",
    [OL_HTTP_REPO_COMMIT] = "x-repo-commit",
    [OL_HTTP_RETRY_AFTER] = "retry-after",
};

struct ol_http {
    CURL *curl;
    const char *ca_file;
    char message[CURL_ERROR_SIZE];
    /* Of the request under way. */
    const struct ol_http_request *request;
    struct ol_http_answer *answer;
    enum ol_http_body body;
    bool begun;
    size_t n_start;
};

/* ---- what libcurl calls ---- */

static void clear_fields(struct ol_http_answer *answer)
{
    for (int i = 0; i < OL_HTTP_N_FIELDS; i++) {
        free(answer->fields[i]);
        answer->fields[i] = NULL;
    }
}

/* One line of the header, not ended by a zero. A status line begins it anew: what came
 * before was of "100 Continue", or of a proxy. */
static size_t on_header(char *line, size_t size, size_t n, void *user)
{
    struct ol_http *h = user;
    const char *colon = memchr(line, ':', n);
    (void)size;
    if (n >= 5 && strncasecmp(line, "HTTP/", 5) == 0)
        clear_fields(h->answer);
    if (colon == NULL)
        return n;
    const size_t length = (size_t)(colon - line);
    for (int i = 0; i < OL_HTTP_N_FIELDS; i++) {
        if (strlen(field_names[i]) != length ||
            strncasecmp(line, field_names[i], length) != 0)
            continue;
        const char *value = colon + 1, *end = line + n;
        while (value < end && isspace((unsigned char)*value))
            value++;
        while (end > value && isspace((unsigned char)end[-1]))
            end--;
        free(h->answer->fields[i]);
        h->answer->fields[i] = ol_xstrndup(value, (size_t)(end - value));
    }
    return n;
}

static void ask_what_to_do(struct ol_http *h)
{
    curl_easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, &h->answer->status);
    h->body = h->request->begin(h->request->user, h->answer);
    h->begun = true;
}

static size_t on_body(char *bytes, size_t size, size_t n, void *user)
{
    struct ol_http *h = user;
    (void)size;
    if (!h->begun)
        ask_what_to_do(h);
    switch (h->body) {
    case OL_HTTP_TAKE:
        return h->request->take(h->request->user, bytes, n) == 0 ? n
                                                                 : CURL_WRITEFUNC_ERROR;
    case OL_HTTP_IGNORE:
        for (size_t i = 0; i < n && h->n_start < OL_HTTP_START_BYTES; i++)
            h->answer->start[h->n_start++] = bytes[i];
        return n;
    case OL_HTTP_STOP:
        break;
    }
    return CURL_WRITEFUNC_ERROR;
}

static int on_progress(void *user, curl_off_t total, curl_off_t now, curl_off_t up_total,
                       curl_off_t up_now)
{
    const struct ol_http *h = user;
    (void)total, (void)now, (void)up_total, (void)up_now;
    return h->request->stop != NULL && atomic_load(h->request->stop);
}

/* ---- a request ---- */

/* What every request of this program has, whatever it is for. */
static void set_up(struct ol_http *h)
{
    CURL *c = h->curl;
    char agent[96];
    snprintf(agent, sizeof agent, "ol-extract/%s; libcurl/%s", OL_VERSION,
             curl_version_info(CURLVERSION_NOW)->version);
    curl_easy_setopt(c, CURLOPT_USERAGENT, agent);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    /* A connection each: ranges side by side are to have a window each. */
    curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
#else
    curl_easy_setopt(c, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
    curl_easy_setopt(c, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    curl_easy_setopt(c, CURLOPT_BUFFERSIZE, 512L << 10);
    curl_easy_setopt(c, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, h->message);
    curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(c, CURLOPT_HEADERDATA, (void *)h);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, (void *)h);
    curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(c, CURLOPT_XFERINFODATA, (void *)h);
    if (h->ca_file != NULL)
        curl_easy_setopt(c, CURLOPT_CAINFO, h->ca_file);
}

/* Average below this for stall_seconds: the connection has stalled. */
enum { STALL_BYTES_PER_SECOND = 1024 };

static struct curl_slist *set_request(struct ol_http *h, const struct ol_http_request *r)
{
    CURL *c = h->curl;
    struct curl_slist *headers = curl_slist_append(NULL, "Accept-Encoding: identity");
    if (r->token != NULL) {
        char *line = ol_xasprintf("Authorization: Bearer %s", r->token);
        headers = curl_slist_append(headers, line);
        free(line);
    }
    if (r->to >= 0) {
        char range[64];
        snprintf(range, sizeof range, "%lld-%lld", (long long)r->from,
                 (long long)r->to - 1);
        curl_easy_setopt(c, CURLOPT_RANGE, range);
    } else {
        curl_easy_setopt(c, CURLOPT_RANGE, NULL);
    }
    curl_easy_setopt(c, CURLOPT_URL, r->url);
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, r->connect_seconds);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, (long)STALL_BYTES_PER_SECOND);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, r->stall_seconds);
    return headers;
}

static enum ol_http_end end_of(const struct ol_http *h, CURLcode code)
{
    switch (code) {
    case CURLE_OK:
        return h->body == OL_HTTP_STOP ? OL_HTTP_STOPPED : OL_HTTP_WHOLE;
    case CURLE_WRITE_ERROR:
    case CURLE_ABORTED_BY_CALLBACK:
        return OL_HTTP_STOPPED;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_TOO_MANY_REDIRECTS:
        return OL_HTTP_UNREACHABLE;
    default:
        return OL_HTTP_CUT;
    }
}

void ol_http_get(struct ol_http *h, const struct ol_http_request *request,
                 struct ol_http_answer *answer)
{
    *answer = (struct ol_http_answer){0};
    h->request = request;
    h->answer = answer;
    h->body = OL_HTTP_IGNORE;
    h->begun = false;
    h->n_start = 0;
    h->message[0] = '\0';
    char *redirect = NULL;
    struct curl_slist *headers = set_request(h, request);
    const CURLcode code = curl_easy_perform(h->curl);
    if (!h->begun && code == CURLE_OK)
        ask_what_to_do(h);
    curl_easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, &answer->status);
    curl_easy_getinfo(h->curl, CURLINFO_REDIRECT_URL, &redirect);
    answer->redirect = redirect != NULL ? ol_xstrdup(redirect) : NULL;
    answer->end = end_of(h, code);
    if (code != CURLE_OK)
        answer->trouble =
            ol_xstrdup(h->message[0] != '\0' ? h->message : curl_easy_strerror(code));
    curl_easy_setopt(h->curl, CURLOPT_HTTPHEADER, NULL);
    curl_slist_free_all(headers);
}

void ol_http_answer_clear(struct ol_http_answer *answer)
{
    clear_fields(answer);
    free(answer->redirect);
    free(answer->trouble);
    *answer = (struct ol_http_answer){0};
}

/* ---- */

/* Only who asks the Hub for something needs the library. */
static void begin_library(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

struct ol_http *ol_http_new(const char *ca_file, struct ol_error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, begin_library);
    struct ol_http *h = ol_xcalloc(1, sizeof *h);
    h->ca_file = ca_file;
    h->curl = curl_easy_init();
    if (h->curl == NULL) {
        ol_fail(err, "libcurl cannot be started");
        free(h);
        return NULL;
    }
    set_up(h);
    return h;
}

void ol_http_free(struct ol_http *h)
{
    if (h == NULL)
        return;
    curl_easy_cleanup(h->curl);
    free(h);
}

char *ol_http_origin(const char *url)
{
    char *scheme = NULL, *host = NULL, *port = NULL, *origin = NULL;
    CURLU *parts = curl_url();
    if (parts != NULL && curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK &&
        curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
        curl_url_get(parts, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
        curl_url_get(parts, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK &&
        (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0)) {
        for (char *c = host; *c != '\0'; c++)
            *c = (char)tolower((unsigned char)*c);
        origin = ol_xasprintf("%s://%s:%s", scheme, host, port);
    }
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(parts);
    return origin;
}
