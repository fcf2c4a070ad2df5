#include "extract/progress.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/error.h"
#include "extract/memory.h"

/* Redrawn at most so often. */
#define INTERVAL_SECONDS 0.25

struct ol_progress {
    const struct ol_stream *stream;
    int64_t n_tokens;
    int n_layers;
    double total, skipped, done;
    double start, last_drawn;
    bool visible, drawn;
    int64_t peak_memory;
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

struct ol_progress *ol_progress_new(int64_t n_tokens, int n_layers, double total,
                                    double skipped, const struct ol_stream *stream)
{
    struct ol_progress *p = ol_xcalloc(1, sizeof *p);
    p->stream = stream;
    p->n_tokens = n_tokens;
    p->n_layers = n_layers;
    p->total = total;
    p->skipped = skipped;
    p->start = now();
    p->visible = ol_verbosity() >= 1 && isatty(STDERR_FILENO) == 1;
    return p;
}

static void draw(struct ol_progress *p, int layer, double seconds)
{
    const double fraction = p->total > 0 ? (p->skipped + p->done) / p->total : 1;
    const double left =
        p->done > 0 ? seconds * (1 / fraction - 1) * (p->skipped + p->done) / p->done : 0;
    const double read = (double)ol_stream_stats(p->stream).bytes_read;
    const double own = p->total > 0 ? p->done / p->total : 1;
    fprintf(stderr,
            "\r%s: layer %d/%d  %3.0f %%  %.0f tokens/s  %.2f GB read, %.2f GB/s  "
            "%.2f GB memory  %d:%02d left\033[K",
            ol_program(), layer < p->n_layers ? layer + 1 : p->n_layers, p->n_layers,
            100 * fraction, (double)p->n_tokens * own / seconds, read * 1e-9,
            read * 1e-9 / seconds, (double)ol_memory_resident() * 1e-9, (int)left / 60,
            (int)left % 60);
    p->drawn = true;
}

void ol_progress_step(struct ol_progress *p, int layer, double done)
{
    p->done += done;
    const double t = now();
    const int64_t resident = ol_memory_resident();
    if (resident > p->peak_memory)
        p->peak_memory = resident;
    if (!p->visible || t - p->last_drawn < INTERVAL_SECONDS || t <= p->start)
        return;
    p->last_drawn = t;
    draw(p, layer, t - p->start);
}

int64_t ol_progress_peak_memory(const struct ol_progress *p)
{
    return p->peak_memory;
}

void ol_progress_finish(struct ol_progress *p)
{
    if (p->drawn)
        fprintf(stderr, "\r\033[K");
    p->drawn = false;
    const double seconds = now() - p->start;
    const struct ol_stream_stats stats = ol_stream_stats(p->stream);
    const double read = (double)stats.bytes_read;
    ol_note("%lld tokens through %d layers in %.1f s (%.0f tokens/s, %.1f GFLOP/s); "
            "%.2f GB of weights read (%.2f GB/s, waited %.1f s); peak memory %.2f GB",
            (long long)p->n_tokens, p->n_layers, seconds, (double)p->n_tokens / seconds,
            p->done * 1e-9 / seconds, read * 1e-9, read * 1e-9 / seconds,
            stats.wait_seconds, (double)p->peak_memory * 1e-9);
}

void ol_progress_free(struct ol_progress *p)
{
    if (p != NULL && p->drawn)
        fputc('\n', stderr);
    free(p);
}
