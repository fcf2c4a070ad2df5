/* One HTTP request at a time, by one connection that is kept. Redirects are told, not
 * followed; nothing is tried twice (request.h does both). The only file that knows
 * libcurl. */
#ifndef OL_HTTP_H
#define OL_HTTP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

enum ol_http_field {
    OL_HTTP_CONTENT_ENCODING,
    OL_HTTP_CONTENT_LENGTH,
    OL_HTTP_CONTENT_RANGE,
    OL_HTTP_ERROR_CODE,    /* X-Error-Code: "GatedRepo" */
    OL_HTTP_ERROR_MESSAGE, /* X-Error-Message */
    OL_HTTP_LINK,
    OL_HTTP_LINKED_ETAG, /* X-Linked-ETag: of the file that a redirect leads to */
    OL_HTTP_LINKED_SIZE, /* X-Linked-Size */
    OL_HTTP_RATE_LIMIT,
    OL_HTTP_REPO_COMMIT, /* X-Repo-Commit */
    OL_HTTP_RETRY_AFTER,
    OL_HTTP_N_FIELDS,
};

enum ol_http_end {
    OL_HTTP_WHOLE,       /* the answer came to its end */
    OL_HTTP_CUT,         /* it broke off, stalled, or never came: another try may do */
    OL_HTTP_STOPPED,     /* by take(), by begin(), or because *stop was set */
    OL_HTTP_UNREACHABLE, /* another try will not do: a certificate, an address */
};

enum { OL_HTTP_START_BYTES = 512 };

struct ol_http_answer {
    enum ol_http_end end;
    long status;                    /* 0: none came */
    char *fields[OL_HTTP_N_FIELDS]; /* NULL: absent */
    char *redirect;                 /* where a 3xx leads, absolute; else NULL */
    char *trouble;                  /* why the answer is not whole; else NULL */
    /* The beginning of a body that nobody took, for messages. */
    char start[OL_HTTP_START_BYTES + 1];
};

enum ol_http_body {
    OL_HTTP_TAKE,   /* it goes to take() */
    OL_HTTP_IGNORE, /* its beginning is kept in the answer */
    OL_HTTP_STOP,
};

struct ol_http_request {
    const char *url;
    const char *token; /* sent along; NULL: none */
    int64_t from, to;  /* bytes from up to to - 1; to < 0: no range is asked for */
    long connect_seconds, stall_seconds;
    const atomic_bool *stop; /* ends it when it becomes true */
    void *user;
    /* With status and fields known, before the first byte of a body. */
    enum ol_http_body (*begin)(void *user, const struct ol_http_answer *answer);
    /* Bytes of the body, in order; 0 goes on. */
    int (*take)(void *user, const void *bytes, size_t n);
};

struct ol_http;

/* ca_file: certificates in place of the system's, borrowed; NULL: the system's. NULL on
 * failure. */
struct ol_http *ol_http_new(const char *ca_file, struct ol_error *err);
void ol_http_free(struct ol_http *http); /* NULL is fine */

/* GET; the answer is to be cleared. */
void ol_http_get(struct ol_http *http, const struct ol_http_request *request,
                 struct ol_http_answer *answer);
void ol_http_answer_clear(struct ol_http_answer *answer);

/* Scheme, host and port of a URL, "https://huggingface.co:443"; NULL when it is none of
 * http or https. The caller frees. */
char *ol_http_origin(const char *url);

#endif
