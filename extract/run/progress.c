#include "extract/run/progress.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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
    p->start = now();
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

static void draw(struct ol_progress *p, int layer)
{
    const struct ol_activation_receipt r = receipt_of(p);
    const double fraction = p->total > 0 ? (p->skipped + p->done) / p->total : 1;
    const double left =
        p->done > 0 ? r.seconds * (1 / fraction - 1) * (p->skipped + p->done) / p->done
                    : 0;
    const double read = (double)r.bytes_read * 1e-9;
    const double own = p->total > 0 ? p->done / p->total : 1;
    char stalls[96], device[64] = "";
    print_stalls(&r, stalls, sizeof stalls);
    if (r.peak_device_memory > 0)
        snprintf(device, sizeof device, "  link %.2f GB/s, %.2f GB device",
                 (double)r.link_bytes * 1e-9 / r.seconds, (double)usage(p).memory * 1e-9);
    fprintf(stderr,
            "\r%s: layer %d/%d  %3.0f %%  %.0f tokens/s  %.2f GB read, %.2f GB/s%s  "
            "%.2f GB memory  %s  %d:%02d left\033[K",
            ol_program(), layer < p->n_layers ? layer + 1 : p->n_layers, p->n_layers,
            100 * fraction, (double)p->n_tokens * own / r.seconds, read, read / r.seconds,
            device, (double)ol_memory_resident() * 1e-9, stalls, (int)left / 60,
            (int)left % 60);
    p->drawn = true;
}

void ol_progress_step(struct ol_progress *p, int layer, double done)
{
    pthread_mutex_lock(&p->mutex);
    p->done += done;
    const double t = now();
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
