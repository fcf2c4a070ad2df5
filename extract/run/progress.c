#include "extract/run/progress.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/clock.h"
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
    p->start = p->layer_start = ol_clock_seconds();
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
        all.peer_bytes += one.peer_bytes;
        all.copied_bytes += one.copied_bytes;
        all.copy_seconds += one.copy_seconds;
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
        .bytes_fetched = stream.source.bytes_fetched,
        .n_requests = stream.source.n_requests,
        .link_bytes = device.link_bytes,
        .peer_bytes = device.peer_bytes,
        .copied_bytes = device.copied_bytes,
        .copy_seconds = device.copy_seconds / n,
        .peak_memory = p->peak_memory,
        .peak_device_memory = device.peak_memory,
        .n_devices = device.peak_memory > 0 ? p->sources.n_backends : 0,
        .seconds = ol_clock_seconds() - p->start,
        .disk_seconds = stream.wait_seconds / n,
        .link_seconds = device.link_seconds / n,
        .compute_seconds = device.compute_seconds / n,
        .writer_seconds = ol_writer_waited(p->sources.writer) / n,
    };
}

/* The mutex is held. */
static struct ol_figures figures_of(const struct ol_progress *p)
{
    const struct ol_activation_receipt r = receipt_of(p);
    const double seconds = r.seconds > 0 ? r.seconds : 1e-9;
    const double fraction = p->total > 0 ? (p->skipped + p->done) / p->total : 1;
    const double own = p->total > 0 ? p->done / p->total : 1;
    return (struct ol_figures){
        .layer = p->layer < 0 ? 0 : p->layer,
        .n_layers = p->n_layers,
        .n_tokens = p->n_tokens,
        .fraction = fraction,
        .seconds = seconds,
        .layer_seconds = ol_clock_seconds() - p->layer_start,
        .tokens_per_second = (double)p->n_tokens * own / seconds,
        .seconds_left =
            p->done > 0 ? seconds * (1 / fraction - 1) * (p->skipped + p->done) / p->done
                        : 0,
        .bytes_read = r.bytes_read,
        .link_bytes = r.link_bytes,
        .memory = ol_memory_resident(),
        .device_memory = r.peak_device_memory > 0 ? usage(p).memory : 0,
        .disk_waits = r.disk_seconds / seconds,
        .link_waits = r.link_seconds / seconds,
        .compute_waits = r.compute_seconds / seconds,
    };
}

void ol_progress_figures(struct ol_progress *p, struct ol_figures *figures)
{
    pthread_mutex_lock(&p->mutex);
    *figures = figures_of(p);
    pthread_mutex_unlock(&p->mutex);
}

/* ---- the line ---- */

enum { USUAL_COLUMNS = 80 };

/* Asked each time: a window may have been made smaller. */
static int columns(void)
{
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0
               ? size.ws_col
               : USUAL_COLUMNS;
}

static void draw(struct ol_progress *p)
{
    const struct ol_figures figures = figures_of(p);
    char text[OL_FIGURES_TEXT];
    /* In the last column many terminals begin a new line. */
    const int room = columns() - 1, name = (int)strlen(ol_program()) + 1;
    ol_figures_text(&figures, room - name, text);
    if (*text != '\0') {
        fprintf(stderr, "\r%s:%s\033[K", ol_program(), text);
    } else {
        ol_figures_text(&figures, OL_FIGURES_TEXT, text);
        fprintf(stderr, "\r%.*s\033[K", room, text + strspn(text, " "));
    }
    p->drawn = true;
}

void ol_progress_log(const struct ol_figures *figures)
{
    char text[OL_FIGURES_TEXT];
    ol_figures_text(figures, OL_FIGURES_TEXT, text);
    ol_note("%s", text + strspn(text, " "));
}

bool ol_progress_is_drawn(const struct ol_progress *p)
{
    return p->visible;
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
    const double t = ol_clock_seconds();
    tell_layer(p, layer, t);
    const int64_t resident = ol_memory_resident();
    if (resident > p->peak_memory)
        p->peak_memory = resident;
    if (p->visible && t - p->last_drawn >= INTERVAL_SECONDS && t > p->start) {
        p->last_drawn = t;
        draw(p);
    }
    pthread_mutex_unlock(&p->mutex);
}

void ol_progress_finish(struct ol_progress *p, struct ol_activation_receipt *receipt)
{
    pthread_mutex_lock(&p->mutex);
    tell_layer(p, p->n_layers, ol_clock_seconds());
    if (p->drawn)
        fprintf(stderr, "\r\033[K");
    p->drawn = false;
    pthread_mutex_unlock(&p->mutex);
    const struct ol_activation_receipt r = receipt_of(p);
    const double read = (double)r.bytes_read * 1e-9;
    ol_note("%lld tokens through %d layers in %.1f s (%.0f tokens/s, %.1f GFLOP/s); "
            "%.2f GB of weights read (%.2f GB/s, waited %.1f s); peak memory %.2f GB",
            (long long)p->n_tokens, p->n_layers, r.seconds,
            (double)p->n_tokens / r.seconds, p->done * 1e-9 / r.seconds, read,
            read / r.seconds, r.disk_seconds, (double)p->peak_memory * 1e-9);
    if (r.n_requests > 0)
        ol_note("streamed: %.2f GB fetched by %lld requests; nothing of it is kept, and "
                "no digest of the Hub's was checked",
                (double)r.bytes_fetched * 1e-9, (long long)r.n_requests);
    if (r.peak_device_memory > 0)
        ol_note("%.2f GB to and from the device (%.2f GB/s); waited %.1f s for the link, "
                "%.1f s for results, %.1f s for the disk that writes; peak device memory "
                "%.2f GB",
                (double)r.link_bytes * 1e-9, (double)r.link_bytes * 1e-9 / r.seconds,
                r.link_seconds, r.compute_seconds, r.writer_seconds,
                (double)r.peak_device_memory * 1e-9);
    if (r.copy_seconds > 0)
        ol_note("the link of %s carried weights for %.2f s (%.0f %% of the time), at "
                "%.1f GB/s; %.2f GB came from other devices",
                r.n_devices > 1 ? "each device" : "the device", r.copy_seconds,
                100 * r.copy_seconds / r.seconds,
                (double)r.copied_bytes * 1e-9 / r.copy_seconds / (double)r.n_devices,
                (double)r.peer_bytes * 1e-9);
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
