#include "extract/hub/meter.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/clock.h"

struct ol_meter {
    struct ol_hub_client *client;
    _Atomic int64_t total, there, come;
    double start, last_drawn;
    bool visible, drawn;
    /* The speed is that of the last seconds: of a line that was slow at first, the time
     * left would be wrong for long. */
    double speed, last_time;
    int64_t last_come;
};

struct ol_amount ol_amount(double bytes)
{
    struct ol_amount amount;
    const double gb = bytes * 1e-9, mb = bytes * 1e-6;
    if (gb >= 1)
        snprintf(amount.text, sizeof amount.text, "%.2f GB", gb);
    else if (mb >= 1)
        snprintf(amount.text, sizeof amount.text, "%.1f MB", mb);
    else
        snprintf(amount.text, sizeof amount.text, "%.0f kB", bytes * 1e-3);
    return amount;
}

static void wipe(void *user)
{
    struct ol_meter *m = user;
    if (m->drawn)
        fprintf(stderr, "\r\033[K");
    m->drawn = false;
}

struct ol_meter *ol_meter_new(struct ol_hub_client *client, int64_t total, int64_t there)
{
    struct ol_meter *m = ol_xcalloc(1, sizeof *m);
    m->client = client;
    atomic_init(&m->total, total);
    atomic_init(&m->there, there);
    m->start = m->last_time = ol_clock_seconds();
    m->visible = ol_verbosity() >= 1 && isatty(STDERR_FILENO) == 1;
    ol_hub_client_set_wipe(client, wipe, m);
    return m;
}

void ol_meter_add(struct ol_meter *m, int64_t bytes)
{
    atomic_fetch_add(&m->come, bytes);
}

void ol_meter_skip(struct ol_meter *m, int64_t bytes)
{
    atomic_fetch_sub(&m->total, bytes);
}

void ol_meter_lose(struct ol_meter *m, int64_t bytes)
{
    atomic_fetch_sub(&m->there, bytes);
}

static void measure(struct ol_meter *m, double t)
{
    const double half_life = 3, since = t - m->last_time;
    const int64_t come = atomic_load(&m->come);
    const double latest = (double)(come - m->last_come) / since;
    const double weight = m->speed > 0 ? since / (since + half_life) : 1;
    m->speed += weight * (latest - m->speed);
    m->last_come = come;
    m->last_time = t;
}

/* Asked each time: a window may have been made smaller. */
static int columns(void)
{
    struct winsize size;
    const int usual = 80;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col
                                                                           : usual;
}

static void draw(void *user)
{
    struct ol_meter *m = user;
    const double interval = 0.25, t = ol_clock_seconds();
    if (t - m->last_drawn < interval || t - m->last_time < interval / 2)
        return;
    measure(m, t);
    m->last_drawn = t;
    const double total = (double)atomic_load(&m->total),
                 done = (double)(atomic_load(&m->there) + atomic_load(&m->come));
    const double left = m->speed > 0 ? (total - done) / m->speed : 0;
    char line[160];
    snprintf(line, sizeof line, "%s:  %s of %s  %.3f GB/s  %d:%02d left", ol_program(),
             ol_amount(done).text, ol_amount(total).text, m->speed * 1e-9, (int)left / 60,
             (int)left % 60);
    /* In the last column many terminals begin a new line. */
    fprintf(stderr, "\r%.*s\033[K", columns() - 1, line);
    m->drawn = true;
}

void ol_meter_draw(struct ol_meter *m)
{
    if (m->visible)
        ol_hub_client_draw(m->client, draw, m);
}

void ol_meter_end(struct ol_meter *m, bool done)
{
    if (m == NULL)
        return;
    ol_hub_client_set_wipe(m->client, NULL, NULL);
    wipe(m);
    const double seconds = ol_clock_seconds() - m->start,
                 come = (double)atomic_load(&m->come);
    if (done && come > 0)
        ol_note("%s downloaded in %.1f s (%.3f GB/s, %ld requests)", ol_amount(come).text,
                seconds, come * 1e-9 / seconds, ol_hub_client_n_requests(m->client));
    free(m);
}
