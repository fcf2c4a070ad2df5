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

/* Queue work that touches memory of the stream's device. */
void cudasim_enqueue(cudaStream_t stream, std::function<void()> run);

/* Whether this call is to fail (cudasim_set_failure). */
bool cudasim_fails(void);

#endif
