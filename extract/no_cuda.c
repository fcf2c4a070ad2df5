/* In place of cuda/ in a program that was built without it. */
#include "extract/backend.h"

#include <stddef.h>

const char *ol_cuda_libraries(void)
{
    return NULL;
}

int ol_cuda_devices(void)
{
    return 0;
}

int ol_cuda_are_near(const int *devices, int n, char *why, size_t size,
                     struct ol_error *err)
{
    (void)devices, (void)n, (void)why, (void)size, (void)err;
    return 0;
}

struct ol_backend *ol_cuda_open(enum ol_dtype dtype, int n_threads, int device,
                                int64_t memory, struct ol_error *err)
{
    (void)dtype;
    (void)n_threads;
    (void)device;
    (void)memory;
    ol_fail(err,
            "this program was built without CUDA: install the CUDA Toolkit (nvcc and "
            "cuBLAS, version 12 or later) and run make again");
    return NULL;
}
