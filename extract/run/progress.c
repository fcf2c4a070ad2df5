#include "extract/run/progress.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "common/error.h"
#include "extract/run/memory.h"

/* Redrawn at most so often. */
#define INTERVAL_SECONDS 0.25

struct ol_progress {
    struct ol_progress_sources sources;
    pthread_mutex_t mutex; /* of steps */
    int64_t n_tokens;
    int n_layers;
    double total, skipped, done;
    double start, last_drawn;
    bool visible, drawn;
    int layer; /* where the first device is, */
    double layer_start;
    int64_t peak_memory; /* the most anonymous memory that was resident at any step */
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

struct ol_progress *ol_progress_new(int64_t n_tokens, int n_layers, double total,
                                    double skipped,
                                    const struct ol_progress_sources *sources)
{
    struct ol_progress *p = ol_xcalloc(1, sizeof *p);
    p->sources = *sources;
    pthread_mutex_init(&p->mutex, NULL);
    p->n_tokens = n_tokens;
    p->n_layers = n_layers;
    p->total = total;
    p->skipped = skipped;
    p->start = p->layer_start = now();
    p->layer = -1;
    p->visible = ol_verbosity() >= 1 && isatty(STDERR_FILENO) == 1;
    return p;
}

/* Of all devices together. */
static struct ol_backend_usage usage(const struct ol_progress *p)
{
    struct ol_backend_usage all = {0};
    for (int i = 0; i < p->sources.n_backends; i++) {
        struct ol_backend *b = p->sources.backends[i];
        const struct ol_backend_usage one = b->op->usage(b);
        all.memory += one.memory;
        all.peak_memory += one.peak_memory;
        all.link_bytes += one.link_bytes;
        all.link_seconds += one.link_seconds;
        all.compute_seconds += one.compute_seconds;
    }
    return all;
}

static struct ol_activation_receipt receipt_of(const struct ol_progress *p)
{
    const struct ol_stream_stats stream = ol_stream_stats(p->sources.stream);
    const struct ol_backend_usage device = usage(p);
    /* One thread waits for each device: their mean. */
    const double n = p->sources.n_backends;
    return (struct ol_activation_receipt){
        .bytes_read = stream.bytes_read,
        .link_bytes = device.link_bytes,
        .peak_memory = p->peak_memory,
        .peak_device_memory = device.peak_memory,
        .n_devices = device.peak_memory > 0 ? p->sources.n_backends : 0,
        .seconds = now() - p->start,
        .disk_seconds = stream.wait_seconds / n,
        .link_seconds = device.link_seconds / n,
        .compute_seconds = device.compute_seconds / n,
        .writer_seconds = ol_writer_waited(p->sources.writer) / n,
    };
}

/* Shares of the time so far, "waiting: disk 3 %, link 40 %, ...". */
static void print_stalls(const struct ol_activation_receipt *r, char *text, size_t bytes)
{
    const double percent = 100 / r->seconds;
    if (r->peak_device_memory > 0)
        snprintf(text, bytes, "waits: disk %.0f %%, link %.0f %%, compute %.0f %%",
                 percent * r->disk_seconds, percent * r->link_seconds,
                 percent * r->compute_seconds);
    else
        snprintf(text, bytes, "waits: disk %.0f %%", percent * r->disk_seconds);
}

/* ---- the line ---- */

enum { MOST_PIECE = 96, USUAL_COLUMNS = 80 };

/* In the order in which they stand; what matters least is left out first. */
enum piece {
    PIECE_LAYER,
    PIECE_SPEED,
    PIECE_READ,
    PIECE_LINK,
    PIECE_MEMORY,
    PIECE_STALLS,
    PIECE_LEFT,
    N_PIECES,
};
static const enum piece by_worth[N_PIECES] = {PIECE_LAYER, PIECE_LEFT,   PIECE_SPEED,
                                              PIECE_READ,  PIECE_STALLS, PIECE_MEMORY,
                                              PIECE_LINK};

/* Asked each time: a window may have been made smaller. */
static int columns(void)
{
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0
               ? size.ws_col
               : USUAL_COLUMNS;
}

/* Those of the pieces that fit into `room` columns, with two spaces before each; none
 * when the first in worth does not. */
static void join_pieces(char pieces[N_PIECES][MOST_PIECE], int room, char *line)
{
    bool shown[N_PIECES] = {false};
    for (int i = 0; i < N_PIECES; i++) {
        const int n = (int)strlen(pieces[by_worth[i]]) + 2;
        shown[by_worth[i]] = n > 2 && n <= room;
        room -= shown[by_worth[i]] ? n : 0;
    }
    *line = '\0';
    for (int i = 0; i < N_PIECES && shown[by_worth[0]]; i++)
        if (shown[i])
            strcat(strcat(line, "  "), pieces[i]);
}

static void write_pieces(struct ol_progress *p, int layer,
                         char pieces[N_PIECES][MOST_PIECE])
{
    const struct ol_activation_receipt r = receipt_of(p);
    const double fraction = p->total > 0 ? (p->skipped + p->done) / p->total : 1;
    const double left =
        p->done > 0 ? r.seconds * (1 / fraction - 1) * (p->skipped + p->done) / p->done
                    : 0;
    const double own = p->total > 0 ? p->done / p->total : 1;
    const double read = (double)r.bytes_read * 1e-9;
    snprintf(pieces[PIECE_LAYER], MOST_PIECE, "layer %d/%d  %3.0f %%",
             layer < p->n_layers ? layer + 1 : p->n_layers, p->n_layers, 100 * fraction);
    snprintf(pieces[PIECE_SPEED], MOST_PIECE, "%.0f tokens/s",
             (double)p->n_tokens * own / r.seconds);
    snprintf(pieces[PIECE_READ], MOST_PIECE, "%.2f GB read, %.2f GB/s", read,
             read / r.seconds);
    if (r.peak_device_memory > 0)
        snprintf(pieces[PIECE_LINK], MOST_PIECE, "link %.2f GB/s, %.2f GB device",
                 (double)r.link_bytes * 1e-9 / r.seconds, (double)usage(p).memory * 1e-9);
    snprintf(pieces[PIECE_MEMORY], MOST_PIECE, "%.2f GB memory",
             (double)ol_memory_resident() * 1e-9);
    print_stalls(&r, pieces[PIECE_STALLS], MOST_PIECE);
    snprintf(pieces[PIECE_LEFT], MOST_PIECE, "%d:%02d left", (int)left / 60,
             (int)left % 60);
}

static void draw(struct ol_progress *p, int layer)
{
    char pieces[N_PIECES][MOST_PIECE] = {""}, line[N_PIECES * (MOST_PIECE + 2)];
    write_pieces(p, layer, pieces);
    /* In the last column many terminals begin a new line. */
    const int room = columns() - 1, name = (int)strlen(ol_program()) + 1;
    join_pieces(pieces, room - name, line);
    if (*line != '\0')
        fprintf(stderr, "\r%s:%s\033[K", ol_program(), line);
    else
        fprintf(stderr, "\r%.*s\033[K", room, pieces[PIECE_LAYER]);
    p->drawn = true;
}

/* Layers as they end, for --verbose. */
static void tell_layer(struct ol_progress *p, int layer, double t)
{
    if (layer <= p->layer)
        return;
    if (p->layer >= 0 && ol_verbosity() >= 2) {
        if (p->drawn)
            fprintf(stderr, "\r\033[K");
        p->drawn = false;
        ol_detail("layer %d: %.3f s, %.2f GB of weights read so far", p->layer,
                  t - p->layer_start, (double)receipt_of(p).bytes_read * 1e-9);
    }
    p->layer = layer;
    p->layer_start = t;
}

void ol_progress_step(struct ol_progress *p, int layer, double done)
{
    pthread_mutex_lock(&p->mutex);
    p->done += done;
    const double t = now();
    tell_layer(p, layer, t);
    const int64_t resident = ol_memory_resident();
    if (resident > p->peak_memory)
        p->peak_memory = resident;
    if (p->visible && t - p->last_drawn >= INTERVAL_SECONDS && t > p->start) {
        p->last_drawn = t;
        draw(p, layer);
    }
    pthread_mutex_unlock(&p->mutex);
}

void ol_progress_finish(struct ol_progress *p, struct ol_activation_receipt *receipt)
{
    tell_layer(p, p->n_layers, now());
    if (p->drawn)
        fprintf(stderr, "\r\033[K");
    p->drawn = false;
    const struct ol_activation_receipt r = receipt_of(p);
    const double read = (double)r.bytes_read * 1e-9;
    ol_note("%lld tokens through %d layers in %.1f s (%.0f tokens/s, %.1f GFLOP/s); "
            "%.2f GB of weights read (%.2f GB/s, waited %.1f s); peak memory %.2f GB",
            (long long)p->n_tokens, p->n_layers, r.seconds,
            (double)p->n_tokens / r.seconds, p->done * 1e-9 / r.seconds, read,
            read / r.seconds, r.disk_seconds, (double)p->peak_memory * 1e-9);
    if (r.peak_device_memory > 0)
        ol_note("%.2f GB to and from the device (%.2f GB/s); waited %.1f s for the link, "
                "%.1f s for results, %.1f s for the disk that writes; peak device memory "
                "%.2f GB",
                (double)r.link_bytes * 1e-9, (double)r.link_bytes * 1e-9 / r.seconds,
                r.link_seconds, r.compute_seconds, r.writer_seconds,
                (double)r.peak_device_memory * 1e-9);
    *receipt = r;
}

void ol_progress_free(struct ol_progress *p)
{
    if (p != NULL && p->drawn)
        fputc('\n', stderr);
    if (p != NULL)
        pthread_mutex_destroy(&p->mutex);
    free(p);
}
