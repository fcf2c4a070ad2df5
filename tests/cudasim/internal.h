/* What the files of the simulated runtime share. */
#ifndef CUDASIM_INTERNAL_H
#define CUDASIM_INTERNAL_H

#include <cuda_runtime.h>

#include "cudasim.h"

#if defined(__SANITIZE_ADDRESS__)
#define CUDASIM_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CUDASIM_ASAN 1
#endif
#endif

#if defined(__SANITIZE_THREAD__)
#define CUDASIM_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CUDASIM_TSAN 1
#endif
#endif

/* What memory holds that nobody has written: NaN as float and bf16, -1 as an integer. */
enum { CUDASIM_POISON = 0xff };

/* A mistake of the program under test: one line, and the end. */
[[noreturn]] void cudasim_die(const char *format, ...)
    __attribute__((format(printf, 1, 2)));

/* Run all threads of all blocks now. */
void cudasim_run_grid(dim3 grid, dim3 block, size_t shared_bytes, bool backwards,
                      const std::function<void()> &body);

/* ---- clock.cc; under the lock of calls ---- */

enum {
    CUDASIM_TO_DEVICE,
    CUDASIM_FROM_DEVICE,
    CUDASIM_FROM_PEER,
    CUDASIM_TO_PEER,
    CUDASIM_COMPUTE,
    CUDASIM_N_RESOURCES,
};

/* How long something needs a resource of its device's; FROM_PEER: and TO_PEER of the
 * other. */
struct cudasim_cost {
    int resource;
    double seconds;
    int other;
};
struct cudasim_cost cudasim_copying(bool to_device, size_t bytes);
struct cudasim_cost cudasim_fetching(int from, size_t bytes);
struct cudasim_cost cudasim_running(double n_threads);
struct cudasim_cost cudasim_multiplying(double operations);

/* This thread calls for that device, maybe to have it compute: its time; and waits. */
double cudasim_host_call(int device, bool computes);
void cudasim_host_waits(int device, double until);
/* How far it is, and what happened at that moment is told to it. */
double cudasim_host_moment(void);
void cudasim_host_learns(double moment);
/* When work is done that may begin at `start`; in_turn: a copy to the device is for what
 * is computed on the same stream. */
double cudasim_works(int device, const struct cudasim_cost &cost, double start,
                     bool in_turn);

/* Queue work that touches memory of the stream's device. */
void cudasim_enqueue(cudaStream_t stream, std::function<void()> run,
                     const struct cudasim_cost &cost = {});

/* cuBLAS is asked for a product, or a batch of them. */
void cudasim_count_product(void);

/* Whether this call is to fail (cudasim_set_failure). */
bool cudasim_fails(void);

#endif
