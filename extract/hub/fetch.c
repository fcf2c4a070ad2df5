/* Workers, a connection each, take the next bytes that nobody has of the first file that
 * has any; so few files are under way at a time, and the last ranges are short. A second
 * thread for each file under way reads behind the workers, from the page cache, what is
 * there without a gap, and hashes it. */
#include "extract/hub/fetch.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/process.h"
#include "common/sha256.h"
#include "extract/hub/object.h"
#include "extract/hub/partial.h"

enum {
    N_WORKERS = 8,
    MOST_UNDER_WAY = 12, /* files, those counted that are only hashed any more */
    /* Of a mebibyte: what a range costs that another process has to begin again, and what
     * is worth a round trip. */
    MOST_RANGE_PIECES = 64,
    LEAST_RANGE_PIECES = 4,
};

enum file_state {
    FILE_WAITING, /* for a worker, or for another process that has it */
    FILE_UNDER_WAY,
    FILE_THERE,
};

struct work;

struct file {
    struct work *work;
    const struct ol_hub_entry *entry;
    char *blob;
    enum file_state state;
    int lock_fd;
    double ask_again; /* for one that another process has: when */
    struct ol_hub_object *object;
    struct ol_partial *partial;
    unsigned char *taken; /* [n_pieces] by a worker, or there */
    int64_t n_pieces, first_free;
    int64_t bytes_before; /* that were there of it at first */
    int n_wrong;          /* times that the hash was another */
    pthread_t hasher;
    bool hashing;
};

struct work {
    const struct ol_hub_fetch *fetch;
    struct file *files;    /* [fetch->n] */
    pthread_mutex_t mutex; /* of everything here, and of the files' fields */
    pthread_cond_t changed;
    size_t n_there, n_under_way;
    int n_running; /* workers */
    bool failed;
    struct ol_error err;
};

/* ---- waiting ---- */

/* For a change, or a quarter of a second; the mutex is held. */
static void wait_a_little(struct work *w)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_nsec += 250000000;
    t.tv_sec += t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    pthread_cond_timedwait(&w->changed, &w->mutex, &t);
}

/* ---- failure ---- */

/* The first failure is the one that is told; the mutex is held. */
static void fail_all(struct work *w, const struct ol_error *err)
{
    if (!w->failed)
        w->err = *err;
    w->failed = true;
    ol_hub_client_stop(w->fetch->client);
    pthread_cond_broadcast(&w->changed);
}

/* ---- the hash, and the end of a file ---- */

/* The next piece is there: true. Nobody will bring it any more: false. */
static bool wait_for_piece(struct file *f, int64_t piece)
{
    struct work *w = f->work;
    pthread_mutex_lock(&w->mutex);
    while (!w->failed && !ol_partial_has(f->partial, piece))
        pthread_cond_wait(&w->changed, &w->mutex);
    const bool there = !w->failed;
    pthread_mutex_unlock(&w->mutex);
    return there;
}

/* 1 with the digest, 0 when another failure ended it, -1 with err. */
static int hash_file(struct file *f, char hex[OL_SHA256_HEX_BYTES], struct ol_error *err)
{
    const int64_t size = f->entry->size;
    struct ol_sha256 *sha =
        f->entry->is_lfs ? ol_sha256_new() : ol_sha256_new_git((uint64_t)size);
    char *bytes = ol_xmalloc(OL_PARTIAL_PIECE_BYTES);
    int status = 1;
    for (int64_t i = 0; status == 1 && i < f->n_pieces; i++) {
        const int64_t from = i * OL_PARTIAL_PIECE_BYTES, rest = size - from;
        const size_t n =
            rest < OL_PARTIAL_PIECE_BYTES ? (size_t)rest : OL_PARTIAL_PIECE_BYTES;
        if (!wait_for_piece(f, i))
            status = 0;
        else if (ol_partial_read(f->partial, bytes, n, from, err) != 0)
            status = -1;
        else
            ol_sha256_update(sha, bytes, n);
    }
    ol_sha256_finish(sha, hex);
    free(bytes);
    return status;
}

/* The file is whole under its name, or was before; the mutex is held. */
static void set_there(struct file *f)
{
    struct work *w = f->work;
    if (f->state == FILE_UNDER_WAY)
        w->n_under_way--;
    f->state = FILE_THERE;
    w->n_there++;
    if (f->lock_fd >= 0)
        close(f->lock_fd);
    f->lock_fd = -1;
    pthread_cond_broadcast(&w->changed);
}

static int begin_partial(struct file *f, struct ol_error *err);

/* A byte was wrong, on the way or in an earlier try: once more from the start, and no
 * more than once. */
static int begin_again(struct file *f, const char *hex, struct ol_error *err)
{
    const struct ol_hub_entry *e = f->entry;
    const char *what = e->is_lfs ? "SHA-256" : "git's SHA-1";
    struct work *w = f->work;
    ol_partial_discard(f->partial);
    f->partial = NULL;
    ol_meter_lose(w->fetch->meter, e->size);
    if (++f->n_wrong > 1)
        return ol_fail(err,
                       "%s: %s: its %s is %s, the Hub's listing says %s, for the second "
                       "time: refused",
                       w->fetch->repo, e->path, what, hex, e->etag);
    ol_hub_client_note(w->fetch->client,
                       "%s: %s: its %s is not what the Hub says: fetching it once more",
                       w->fetch->repo, e->path, what);
    return begin_partial(f, err);
}

static int finish_file(struct file *f, struct ol_error *err)
{
    const struct ol_hub_store *store = f->work->fetch->store;
    pthread_mutex_lock(&f->work->mutex);
    struct ol_partial *partial = f->partial;
    f->partial = NULL;
    pthread_mutex_unlock(&f->work->mutex);
    return ol_partial_commit(partial, err) == 0
               ? ol_hub_store_link(store, f->entry->etag, f->entry->path, err)
               : -1;
}

static void *run_hasher(void *argument)
{
    struct file *f = argument;
    struct work *w = f->work;
    struct ol_error err = {0};
    char hex[OL_SHA256_HEX_BYTES];
    int status = 1;
    while (status == 1) {
        status = hash_file(f, hex, &err);
        if (status != 1)
            break;
        if (strcmp(hex, f->entry->etag) == 0) {
            status = finish_file(f, &err);
            break;
        }
        pthread_mutex_lock(&w->mutex);
        status = begin_again(f, hex, &err) == 0 ? 1 : -1;
        pthread_cond_broadcast(&w->changed);
        pthread_mutex_unlock(&w->mutex);
    }
    pthread_mutex_lock(&w->mutex);
    if (status != 0)
        fail_all(w, &err);
    else if (!w->failed)
        set_there(f);
    pthread_mutex_unlock(&w->mutex);
    return NULL;
}

/* ---- the beginning of a file ---- */

static int begin_partial(struct file *f, struct ol_error *err)
{
    f->partial = ol_partial_open(f->blob, f->entry->size, err);
    if (f->partial == NULL)
        return -1;
    f->n_pieces = ol_partial_n_pieces(f->partial);
    free(f->taken);
    f->taken = ol_xcalloc((size_t)f->n_pieces + 1, 1);
    for (int64_t i = 0; i < f->n_pieces; i++)
        f->taken[i] = ol_partial_has(f->partial, i);
    f->first_free = 0;
    return 0;
}

/* 0 when it is under way, there, or somebody else's for now. */
static int begin_file(struct file *f, struct ol_error *err)
{
    struct work *w = f->work;
    const struct ol_hub_fetch *fetch = w->fetch;
    f->lock_fd = ol_hub_store_lock(fetch->store, f->entry->etag, err);
    if (f->lock_fd < 0)
        return err->text[0] != '\0' ? -1 : 0;
    const int there = ol_hub_store_look(fetch->store, f->entry, err);
    if (there < 0)
        return -1;
    if (there == 1) { /* meanwhile, by another process */
        if (ol_hub_store_link(fetch->store, f->entry->etag, f->entry->path, err) != 0)
            return -1;
        ol_meter_skip(fetch->meter, f->entry->size - f->bytes_before);
        set_there(f);
        return 0;
    }
    const struct ol_hub_facts facts = {fetch->repo, fetch->commit, f->entry->path,
                                       f->entry->size, f->entry->etag};
    if (begin_partial(f, err) != 0)
        return -1;
    f->object = ol_hub_object_new(fetch->client, &facts);
    sigset_t before;
    ol_process_block_signals(&before);
    const int code = pthread_create(&f->hasher, NULL, run_hasher, f);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (code != 0)
        return ol_fail(err, "cannot start a thread: %s", strerror(code));
    f->hashing = true;
    f->state = FILE_UNDER_WAY;
    w->n_under_way++;
    return 0;
}

/* ---- ranges ---- */

struct range {
    struct file *file;
    int64_t from, to; /* bytes */
    int64_t pos;
};

/* Pieces that nobody has yet, of this file and of those behind it. */
static int64_t pieces_left(const struct work *w, const struct file *f)
{
    int64_t n = 0;
    for (int64_t i = f->first_free; i < f->n_pieces; i++)
        n += !f->taken[i];
    for (const struct file *g = w->files; g < w->files + w->fetch->n; g++)
        if (g->state == FILE_WAITING)
            n += g->entry->size / OL_PARTIAL_PIECE_BYTES + 1;
    return n;
}

static bool take_range(struct work *w, struct file *f, struct range *r)
{
    if (f->state != FILE_UNDER_WAY || f->partial == NULL)
        return false;
    while (f->first_free < f->n_pieces && f->taken[f->first_free])
        f->first_free++;
    if (f->first_free == f->n_pieces)
        return false;
    int64_t most = pieces_left(w, f) / (2 * N_WORKERS);
    most = most < MOST_RANGE_PIECES ? most : MOST_RANGE_PIECES;
    most = most > LEAST_RANGE_PIECES ? most : LEAST_RANGE_PIECES;
    if (ol_hub_object_ignores_ranges(f->object))
        most = f->n_pieces;
    const int64_t first = f->first_free;
    int64_t last = first;
    while (last < f->n_pieces && !f->taken[last] && last - first < most)
        f->taken[last++] = 1;
    f->first_free = last;
    const int64_t to = last * OL_PARTIAL_PIECE_BYTES;
    *r = (struct range){.file = f,
                        .from = first * OL_PARTIAL_PIECE_BYTES,
                        .to = to < f->entry->size ? to : f->entry->size};
    r->pos = r->from;
    return true;
}

static int take_bytes(void *user, const void *bytes, size_t n, struct ol_error *err)
{
    struct range *r = user;
    struct file *f = r->file;
    struct work *w = f->work;
    if (ol_partial_write(f->partial, bytes, n, r->pos, err) != 0)
        return -1;
    int64_t piece = r->pos / OL_PARTIAL_PIECE_BYTES;
    r->pos += (int64_t)n;
    ol_meter_add(w->fetch->meter, (int64_t)n);
    int status = 0;
    for (; status == 0 && piece < f->n_pieces; piece++) {
        const int64_t end = (piece + 1) * OL_PARTIAL_PIECE_BYTES;
        if (r->pos < (end < f->entry->size ? end : f->entry->size))
            break;
        pthread_mutex_lock(&w->mutex);
        status = ol_partial_set(f->partial, piece, err);
        pthread_cond_broadcast(&w->changed);
        pthread_mutex_unlock(&w->mutex);
    }
    return status;
}

/* Begin a file that waits, if it may be. 0 also when another process has it: it is asked
 * for again later. */
static int try_file(struct work *w, struct file *f, struct ol_error *err)
{
    const double pause = 0.2, t = ol_clock_seconds();
    if (f->state != FILE_WAITING || w->n_under_way >= MOST_UNDER_WAY || t < f->ask_again)
        return 0;
    if (begin_file(f, err) != 0)
        return -1;
    if (f->state == FILE_WAITING && f->ask_again == 0)
        ol_hub_client_note(w->fetch->client,
                           "%s: %s: another process is fetching it: waiting",
                           w->fetch->repo, f->entry->path);
    f->ask_again = f->state == FILE_WAITING ? t + pause : 0;
    return 0;
}

/* Something to do: a range, or NULL in its file when there is nothing more. The mutex is
 * held. */
static void find_work(struct work *w, struct range *r, struct ol_error *err)
{
    r->file = NULL;
    while (!w->failed && w->n_there < w->fetch->n) {
        for (size_t i = 0; i < w->fetch->n && !w->failed; i++) {
            if (try_file(w, &w->files[i], err) != 0 || take_range(w, &w->files[i], r))
                return;
        }
        if (w->n_there < w->fetch->n)
            wait_a_little(w);
    }
}

static void *run_worker(void *argument)
{
    struct work *w = argument;
    struct ol_error err = {0};
    struct range r = {0};
    struct ol_http *http = ol_hub_client_connect(w->fetch->client, &err);
    pthread_mutex_lock(&w->mutex);
    while (http != NULL && err.text[0] == '\0') {
        find_work(w, &r, &err);
        if (r.file == NULL)
            break;
        pthread_mutex_unlock(&w->mutex);
        const int status =
            ol_hub_object_get(r.file->object, http, r.from, r.to, take_bytes, &r, &err);
        pthread_mutex_lock(&w->mutex);
        if (status != 0)
            break;
    }
    if (err.text[0] != '\0')
        fail_all(w, &err);
    w->n_running--;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->mutex);
    ol_http_free(http);
    return NULL;
}

/* ---- all of it ---- */

static void begin_work(struct work *w)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&w->mutex, NULL);
    pthread_cond_init(&w->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    w->files = ol_xcalloc(w->fetch->n, sizeof *w->files);
    for (size_t i = 0; i < w->fetch->n; i++)
        w->files[i] = (struct file){
            .work = w,
            .entry = w->fetch->entries[i],
            .blob = ol_hub_store_blob(w->fetch->store, w->fetch->entries[i]->etag),
            .lock_fd = -1,
        };
    for (size_t i = 0; i < w->fetch->n; i++)
        w->files[i].bytes_before =
            ol_partial_look(w->files[i].blob, w->files[i].entry->size).bytes;
}

static void end_work(struct work *w)
{
    for (size_t i = 0; i < w->fetch->n; i++) {
        struct file *f = &w->files[i];
        if (f->hashing)
            pthread_join(f->hasher, NULL);
        if (f->partial != NULL && ol_partial_bytes(f->partial) == 0)
            ol_partial_discard(f->partial);
        else
            ol_partial_close(f->partial);
        ol_hub_object_free(f->object);
        if (f->lock_fd >= 0)
            close(f->lock_fd);
        free(f->taken);
        free(f->blob);
    }
    free(w->files);
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->mutex);
}

/* Draws the line while others work. */
static void watch(struct work *w)
{
    pthread_mutex_lock(&w->mutex);
    while (w->n_running > 0) {
        wait_a_little(w);
        pthread_mutex_unlock(&w->mutex);
        ol_meter_draw(w->fetch->meter);
        pthread_mutex_lock(&w->mutex);
    }
    pthread_mutex_unlock(&w->mutex);
}

int ol_hub_fetch(const struct ol_hub_fetch *fetch, struct ol_error *err)
{
    struct work w = {.fetch = fetch};
    pthread_t workers[N_WORKERS];
    int n = 0;
    sigset_t before;
    begin_work(&w);
    ol_process_block_signals(&before);
    w.n_running = N_WORKERS;
    while (n < N_WORKERS && pthread_create(&workers[n], NULL, run_worker, &w) == 0)
        n++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_mutex_lock(&w.mutex);
    w.n_running -= N_WORKERS - n;
    if (n == 0) {
        ol_fail(&w.err, "cannot start a thread");
        w.failed = true;
    }
    pthread_mutex_unlock(&w.mutex);
    watch(&w);
    for (int i = 0; i < n; i++)
        pthread_join(workers[i], NULL);
    end_work(&w);
    return w.failed ? ol_fail(err, "%s", w.err.text) : 0;
}
