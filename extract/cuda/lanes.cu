/* Products that run beside each other. An expert's does not fill a large device (1,000
 * rows by 1,024 columns are 32 tiles, for 132 multiprocessors; gate and up, which are one
 * product, twice as many), and cuBLAS has two ways to fill it with several:
 *
 * - a grouped product (cublasGemmGroupedBatchedEx). It chooses its kernel by the whole
 *   group, so that a row's sum depends on which experts are in it, and these depend on
 *   --memory and on the number of devices, which no byte may depend on. It begins when
 *   the last of its weights has arrived, where single products begin with the first; its
 *   table of pointers has to travel ahead of it; and what is decoded tile by tile never
 *   is on the device as a group.
 * - the same products as ever, on several streams. Each is chosen by its own sizes alone,
 *   begins when its own weight is there, and needs nothing new of the library.
 *
 * So every lane has a stream and, because cuBLAS promises the same sums every time only
 * then, a handle with memory of its own. Lane 0 is cuda->stream itself. */
#include "extract/cuda/cuda.h"

/* Sums are not to be rounded on the way, whatever parts a product is made of. */
static int begin_blas(struct ol_cuda *cuda, struct ol_cuda_lane *lane,
                      struct ol_error *err)
{
    if (ol_cublas_check(cublasCreate(&lane->blas), "starting", err) != 0 ||
        ol_cublas_check(cublasSetStream(lane->blas, lane->stream), "choosing a stream",
                        err) != 0 ||
        ol_cublas_check(cublasSetMathMode(
                            lane->blas, CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION),
                        "choosing its precision", err) != 0)
        return -1;
    /* Its own would grow at times that nobody knows. */
    const size_t bytes = (size_t)cuda->sizes.workspace;
    lane->workspace = ol_cuda_memory_new(cuda, bytes, "cuBLAS", err);
    if (lane->workspace == NULL)
        return -1;
    return ol_cublas_check(cublasSetWorkspace(lane->blas, lane->workspace, bytes),
                           "giving it memory", err);
}

int ol_cuda_lanes_new(struct ol_cuda *cuda, struct ol_error *err)
{
    for (int i = 0; i < cuda->sizes.n_lanes; i++) {
        struct ol_cuda_lane *lane = &cuda->lanes[i];
        if (ol_cuda_check(cudaStreamCreateWithFlags(&lane->stream, cudaStreamNonBlocking),
                          "making a stream", err) != 0 ||
            ol_cuda_check(cudaEventCreateWithFlags(&lane->here, cudaEventDisableTiming),
                          "making an event", err) != 0 ||
            begin_blas(cuda, lane, err) != 0)
            return -1;
    }
    cuda->stream = cuda->lanes[0].stream;
    return 0;
}

void ol_cuda_lanes_free(struct ol_cuda *cuda)
{
    for (int i = OL_CUDA_MOST_LANES - 1; i >= 0; i--) {
        struct ol_cuda_lane *lane = &cuda->lanes[i];
        if (lane->blas != NULL)
            cublasDestroy(lane->blas);
        ol_cuda_memory_free(cuda, lane->workspace, (size_t)cuda->sizes.workspace);
        if (lane->here != NULL)
            cudaEventDestroy(lane->here);
        if (lane->stream != NULL)
            cudaStreamDestroy(lane->stream);
    }
}

void ol_cuda_lanes_wait(struct ol_cuda *cuda)
{
    for (int i = 0; i < OL_CUDA_MOST_LANES; i++)
        if (cuda->lanes[i].stream != NULL)
            cudaStreamSynchronize(cuda->lanes[i].stream);
}

/* What comes on `later` waits for what is on `earlier` now. */
static int order(struct ol_cuda_lane *earlier, const struct ol_cuda_lane *later,
                 struct ol_error *err)
{
    if (ol_cuda_check(cudaEventRecord(earlier->here, earlier->stream),
                      "recording an event", err) != 0)
        return -1;
    return ol_cuda_check(cudaStreamWaitEvent(later->stream, earlier->here, 0),
                         "ordering streams", err);
}

int ol_cuda_fork(struct ol_cuda *cuda, int n, struct ol_error *err)
{
    for (int i = 1; i < n; i++)
        if (order(&cuda->lanes[0], &cuda->lanes[i], err) != 0)
            return -1;
    return 0;
}

int ol_cuda_join(struct ol_cuda *cuda, int n, struct ol_error *err)
{
    cuda->lane = 0;
    for (int i = 1; i < n; i++)
        if (order(&cuda->lanes[i], &cuda->lanes[0], err) != 0)
            return -1;
    return 0;
}
