/* What tests set and ask of the simulated devices; C.
 *
 * Caught, with a message and abort():
 * - device memory touched by the host (it is mapped without access but while a kernel or
 * a copy runs), host memory given to a kernel or to a copy as the device's, memory of
 *   another device, also given to a copy between devices as the other's, or freed before
 *   that copy; such a copy without access to the peer; writes past an allocation's end
 * (at the latest when it is freed; by the address sanitizer at once), frees of what was
 * not allocated;
 * - barriers that some threads of a block do not reach, or reach at another place, warp
 *   operations that some lanes of the mask do not reach;
 * - missing order between streams: nothing runs when it is queued. What is waited for
 *   runs as late as it can, or everything at random times that a seed decides, so that
 *   results of programs with such a gap differ;
 * - launches on a device that was not chosen, events of another device's streams,
 *   shared memory beyond 48 KiB that was not asked for;
 * - shared and device memory that is read before it is written: it holds 0xff.., NaN.
 * Blocks run one by one, threads of a block as fibers, in rising or falling order. */
#ifndef CUDASIM_H
#define CUDASIM_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { CUDASIM_MAX_DEVICES = 8 };

/* As after the start of the process: one device of 1 GiB, everything late, no peers. Not
 * while device memory is allocated. */
void cudasim_reset(void);
void cudasim_set_devices(int n, size_t bytes_each);

/* How devices reach each other: not at all, by the way that the host's copies go too, or
 * by one of their own. */
enum cudasim_peers { CUDASIM_APART, CUDASIM_PEERS, CUDASIM_NEAR };
void cudasim_set_peers(enum cudasim_peers how);

/* 0: queued work runs when it is waited for; else at times drawn from the seed, and odd
 * seeds run threads and blocks backwards. */
void cudasim_set_schedule(unsigned seed);

/* Shared memory that a block may have at most; first 227 KiB. */
void cudasim_set_shared(size_t bytes);

/* The n-th checked call from now on (0: the next) fails as a device would; -1: none. */
void cudasim_set_failure(long n);
/* Whether it was reached. */
int cudasim_failed(void);

/* Device memory in use now, and the most so far, over all devices. */
size_t cudasim_used(void);
size_t cudasim_peak(void);
/* Streams, events and pinned blocks not yet destroyed. */
int cudasim_handles(void);

/* What costs time on a real device, since cudasim_count_begin(): what the thread that
 * called it does itself, but for what is carried and allocations, which are anybody's;
 * these stop a device. */
struct cudasim_counts {
    long waits;          /* for an event, a stream or a device, or a copy that waits */
    long launches;       /* of kernels, */
    long products;       /* and of products by cuBLAS: calls */
    long sent, received; /* copies over the link, */
    long long sent_bytes, received_bytes;
    long carried; /* to devices by any thread, */
    long long carried_bytes, carried_to[CUDASIM_MAX_DEVICES]; /* over each one's link */
    long long fetched_by[CUDASIM_MAX_DEVICES]; /* bytes from another device's memory */
    long allocations; /* of device and pinned memory, and frees */
    /* Of each device, what threads do that launch kernels, whoever they are: those that
     * queue its computing. */
    struct cudasim_control {
        long waits, received;
        long long sent_bytes;
    } control[CUDASIM_MAX_DEVICES];
};
void cudasim_count_begin(void);
struct cudasim_counts cudasim_counted(void);

/* Time that passes on devices, by a clock of their own (clock.cc). Per second: bytes of a
 * link in either direction, of the way between devices into one and out of one,
 * operations of products, threads of other kernels; in seconds: what a copy and a launch
 * take whatever they do, and what a call takes the host. */
struct cudasim_speeds {
    double link, peer, products, threads;
    double latency, launch, call;
};
/* From now on, which is 0; NULL: nothing takes any time. */
void cudasim_set_speeds(const struct cudasim_speeds *speeds);
/* Until all was done; how long links and processors worked, over all devices, and how
 * long a device did while weights were on their way to it. */
struct cudasim_times {
    double wall, to_device, from_device, compute, overlap;
};
struct cudasim_times cudasim_timed(void);

#ifdef __cplusplus
}
#endif

#endif
