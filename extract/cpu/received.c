#include "extract/cpu/received.h"

#include <math.h>
#include <stdlib.h>

static const double units = 0x1p40;

struct ol_received ol_received_new(int64_t n_heads, int64_t n)
{
    const size_t all = (size_t)n_heads * (size_t)n;
    struct ol_received r = {n_heads, n, NULL, NULL};
    r.units = ol_xcalloc(all, sizeof *r.units);
    r.unknown = ol_xcalloc(all, sizeof *r.unknown);
    return r;
}

void ol_received_free(struct ol_received *r)
{
    free(r->unknown);
    free(r->units);
}

void ol_received_add(struct ol_received *r, int64_t head, int64_t first, int64_t n,
                     const float *shares)
{
    for (int64_t i = 0, at = head * r->n + first; i < n; i++, at++)
        if (isfinite(shares[i]))
            r->units[at] += (int64_t)((double)shares[i] * units);
        else
            r->unknown[at] = true;
}

/* How many queries see a key, its own among them. */
static int64_t n_seeing(enum ol_attention_kind kind, int64_t window, int64_t key,
                        int64_t n)
{
    int64_t end = n;
    if (kind == OL_ATTENTION_SLIDING)
        end = key + window;
    else if (kind == OL_ATTENTION_CHUNKED)
        end = (key / window + 1) * window;
    return (end < n ? end : n) - key;
}

struct means {
    const struct ol_received *r;
    enum ol_attention_kind kind;
    int64_t window;
    struct ol_tensor out;
};

static void mean_rows(void *arg, int64_t first, int64_t end, int thread)
{
    (void)thread;
    const struct means *m = arg;
    const struct ol_received *r = m->r;
    for (int64_t key = first; key < end; key++) {
        float *to = ol_cpu_row(m->out, key);
        const double unit = units * (double)n_seeing(m->kind, m->window, key, r->n);
        for (int64_t h = 0; h < r->n_heads; h++)
            to[h] = r->unknown[h * r->n + key]
                        ? NAN
                        : (float)((double)r->units[h * r->n + key] / unit);
    }
}

void ol_received_means(struct ol_cpu *cpu, const struct ol_received *r,
                       enum ol_attention_kind kind, int64_t window, struct ol_tensor out)
{
    struct means m = {r, kind, window, out};
    ol_cpu_rows(cpu, r->n, r->n_heads, mean_rows, &m);
}
