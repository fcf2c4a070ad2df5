/* For build/tests/ol-extract-sim, ol-extract on simulated devices: what tests of it say
 * in the environment. CUDASIM_DEVICES: how many (1), CUDASIM_MIB: memory of each (64),
 * CUDASIM_SCHEDULE: as of cudasim_set_schedule, CUDASIM_FAILURE: which call fails.
 * CUDASIM_PEERS: 1, devices reach each other by the host's way, 2, by one of their own.
 * CUDASIM_LINK, CUDASIM_PEER, CUDASIM_PRODUCTS: MB and millions of operations per second;
 * then, at the end, how long what worked is said, by the devices' clock. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/cudasim/cudasim.h"

static long setting(const char *name, long otherwise)
{
    const char *text = getenv(name);
    return text != NULL ? strtol(text, NULL, 10) : otherwise;
}

/* Of each device that got something. */
static void tell_of_links(const struct cudasim_counts *n)
{
    for (int d = 0; d < CUDASIM_MAX_DEVICES; d++)
        if (n->carried_to[d] > 0)
            fprintf(stderr,
                    "cudasim: device %d: %lld bytes over its link, %lld from others\n", d,
                    n->carried_to[d], n->fetched_by[d]);
}

static void tell(void)
{
    const struct cudasim_counts n = cudasim_counted();
    const struct cudasim_times t = cudasim_timed();
    const double most = t.to_device > t.compute ? t.to_device : t.compute;
    tell_of_links(&n);
    fprintf(stderr,
            "cudasim: %ld waits, %ld launches, %ld pieces of %lld bytes carried, %ld of "
            "%lld received\n"
            "cudasim: wall %.6f s, link %.6f s, compute %.6f s, of that while weights "
            "came %.6f s; wall / max(link, compute) %.3f\n",
            n.waits, n.launches, n.carried, n.carried_bytes, n.received, n.received_bytes,
            t.wall, t.to_device, t.compute, t.overlap, most > 0 ? t.wall / most : 0);
}

/* What a copy, a launch and a call take is what they take on an H200, about, as long as
 * the link and products are. */
static void set_speeds(void)
{
    const double link = (double)setting("CUDASIM_LINK", 0) * 1e6;
    const double slower = 55e9 / link;
    if (!(link > 0))
        return;
    const struct cudasim_speeds speeds = {
        .link = link,
        .peer = (double)setting("CUDASIM_PEER", 6 * setting("CUDASIM_LINK", 0)) * 1e6,
        .products = (double)setting("CUDASIM_PRODUCTS", 1000000) * 1e6,
        .threads = 400e9 / slower,
        .latency = 8e-6,
        .launch = 3e-6,
        .call = 5e-6,
    };
    cudasim_count_begin();
    cudasim_set_speeds(&speeds);
    atexit(tell);
}

__attribute__((constructor)) static void set(void)
{
    set_speeds();
    cudasim_set_devices((int)setting("CUDASIM_DEVICES", 1),
                        (size_t)setting("CUDASIM_MIB", 64) << 20);
    cudasim_set_peers((enum cudasim_peers)setting("CUDASIM_PEERS", CUDASIM_APART));
    cudasim_set_schedule((unsigned)setting("CUDASIM_SCHEDULE", 0));
    cudasim_set_failure(setting("CUDASIM_FAILURE", -1));
}
