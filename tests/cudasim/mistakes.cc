#include "mistakes.h"

#include "extract/cuda/cuda.h"
#include "extract/cuda/device.h"

#include "cudasim.h"

enum { N = 64 };

/* ---- a device to make them on ---- */

struct bench {
    cudaStream_t stream, other;
    float *device, *pinned;
};

static void set_up(struct bench *b)
{
    void *memory = nullptr;
    cudasim_reset();
    cudaStreamCreateWithFlags(&b->stream, cudaStreamNonBlocking);
    cudaStreamCreateWithFlags(&b->other, cudaStreamNonBlocking);
    cudaMalloc(&b->device, N * sizeof(float));
    cudaHostAlloc(&memory, N * sizeof(float), cudaHostAllocDefault);
    b->pinned = static_cast<float *>(memory);
}

static void tear_down(struct bench *b)
{
    cudaFree(b->device);
    cudaFreeHost(b->pinned);
    cudaStreamDestroy(b->stream);
    cudaStreamDestroy(b->other);
}

/* Run a kernel of one pointer by one block, and give back its first result. */
static float first_of(void (*kernel)(float *), bool host_memory)
{
    struct bench b;
    set_up(&b);
    float outside[N], result = 0;
    cudasim_launch(kernel, dim3(1), dim3(N), 0, b.stream,
                   host_memory ? outside : b.device);
    cudaMemcpyAsync(b.pinned, b.device, sizeof result, cudaMemcpyDeviceToHost, b.stream);
    cudaStreamSynchronize(b.stream);
    result = b.pinned[0];
    tear_down(&b);
    return result;
}

/* ---- barriers ---- */

static __global__ void barrier_of_half(float *)
{
    if (threadIdx.x < N / 2)
        __syncthreads();
}

static __global__ void barriers_apart(float *)
{
    if (threadIdx.x < N / 2)
        __syncthreads();
    else
        __syncthreads();
}

static __global__ void shuffle_of_half(float *x)
{
    if (threadIdx.x % 2 == 0)
        x[threadIdx.x] = __shfl_sync(OL_FULL_WARP, x[threadIdx.x], 0);
}

static __global__ void shuffle_from_outside(float *x)
{
    const unsigned even = 0x55555555u;
    if (threadIdx.x % 2 == 0)
        x[threadIdx.x] = __shfl_sync(even, x[threadIdx.x], 1);
}

static int half_waits(void)
{
    first_of(barrier_of_half, false);
    return 0;
}

static int two_places(void)
{
    first_of(barriers_apart, false);
    return 0;
}

static int lanes_missing(void)
{
    first_of(shuffle_of_half, false);
    return 0;
}

static int lane_outside(void)
{
    first_of(shuffle_from_outside, false);
    return 0;
}

/* ---- memory ---- */

static __global__ void write_one(float *x)
{
    x[threadIdx.x] = 1;
}

static __global__ void write_past(float *x)
{
    x[threadIdx.x + 8] = 1;
}

static __global__ void read_shared(float *x)
{
    OL_SHARED(float, values, N);
    x[threadIdx.x] = values[threadIdx.x];
}

static __global__ void read_early(float *x)
{
    OL_SHARED(float, values, 4 * N);
    float *mine = values + 4 * threadIdx.x;
    ol_copy_async(mine, x + threadIdx.x / 4 * 4, true);
    ol_copy_async_commit();
    x[threadIdx.x] = mine[0];
    ol_copy_async_wait<0>();
}

static int host_touches_device(void)
{
    struct bench b;
    set_up(&b);
    volatile float *memory = b.device;
    return memory[0] > 0 ? 0 : 0;
}

static int kernel_on_host_memory(void)
{
    first_of(write_one, true);
    return 0;
}

static int past_the_end(void)
{
    first_of(write_past, false);
    return 0;
}

static int copy_past_the_end(void)
{
    struct bench b;
    set_up(&b);
    cudaMemcpyAsync(b.device + 1, b.pinned, N * sizeof(float), cudaMemcpyHostToDevice,
                    b.stream);
    return 0;
}

static int uninitialised(void)
{
    return isnan(first_of(read_shared, false));
}

static int not_waited_for(void)
{
    return isnan(first_of(read_early, false));
}

/* ---- streams ---- */

/* A kernel on one stream reads what a copy on another brings: once nobody said that it
 * has to wait. */
static float copied(bool ordered)
{
    struct bench b;
    set_up(&b);
    cudaEvent_t event;
    cudaEventCreateWithFlags(&event, cudaEventDisableTiming);
    float *second = nullptr;
    cudaMalloc(&second, N * sizeof(float));
    for (int i = 0; i < N; i++)
        b.pinned[i] = 7;
    cudaMemcpyAsync(second, b.pinned, N * sizeof(float), cudaMemcpyHostToDevice, b.other);
    cudaEventRecord(event, b.other);
    if (ordered)
        cudaStreamWaitEvent(b.stream, event, 0);
    cudasim_launch(
        +[](float *to, const float *from) { to[threadIdx.x] = from[threadIdx.x]; },
        dim3(1), dim3(N), 0, b.stream, b.device, static_cast<const float *>(second));
    float result[N];
    cudaMemcpyAsync(result, b.device, sizeof result, cudaMemcpyDeviceToHost, b.stream);
    cudaStreamSynchronize(b.stream);
    cudaFree(second);
    cudaEventDestroy(event);
    tear_down(&b);
    return result[0];
}

static int unordered_streams(void)
{
    return isnan(copied(false)) && copied(true) == 7;
}

/* Pinned memory that is used again before the copy out of it was waited for. */
static int used_too_soon(void)
{
    struct bench b;
    set_up(&b);
    b.pinned[0] = 1;
    cudaMemcpyAsync(b.device, b.pinned, sizeof(float), cudaMemcpyHostToDevice, b.stream);
    b.pinned[0] = 2;
    float result = 0;
    cudaMemcpyAsync(&result, b.device, sizeof result, cudaMemcpyDeviceToHost, b.stream);
    tear_down(&b);
    return result == 2;
}

/* ---- launches ---- */

/* More than every block may have, and nobody asked. */
static int too_much_shared(void)
{
    struct bench b;
    set_up(&b);
    cudasim_launch(write_one, dim3(1), dim3(N), 49 << 10, b.stream, b.device);
    const cudaError_t status = cudaGetLastError();
    tear_down(&b);
    return status == cudaErrorInvalidValue;
}

static int too_many_registers(void)
{
    struct ol_cuda cuda = {};
    struct ol_error err = {};
    ol_launch(&cuda, &err, "a large block", write_one, dim3(1), dim3(512), 0,
              static_cast<float *>(nullptr));
    return 0;
}

static int other_device(void)
{
    cudaStream_t stream;
    cudasim_reset();
    cudasim_set_devices(2, 1 << 20);
    cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
    cudaSetDevice(1);
    cudasim_launch(write_one, dim3(1), dim3(N), 0, stream, static_cast<float *>(nullptr));
    return 0;
}

static int event_of_other(void)
{
    cudaStream_t stream;
    cudaEvent_t event;
    cudasim_reset();
    cudasim_set_devices(2, 1 << 20);
    cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
    cudaSetDevice(1);
    cudaEventCreateWithFlags(&event, cudaEventDisableTiming);
    cudaEventRecord(event, stream);
    return 0;
}

/* ---- copies between devices ---- */

/* Two devices, on each a stream, an event and memory. */
struct pair {
    cudaStream_t streams[2];
    cudaEvent_t events[2];
    float *devices[2], *pinned;
};

static void set_up_pair(struct pair *p, bool access)
{
    void *memory = nullptr;
    cudasim_reset();
    cudasim_set_devices(2, 1 << 20);
    cudasim_set_peers(CUDASIM_NEAR);
    for (int d = 0; d < 2; d++) {
        cudaSetDevice(d);
        cudaStreamCreateWithFlags(&p->streams[d], cudaStreamNonBlocking);
        cudaEventCreateWithFlags(&p->events[d], cudaEventDisableTiming);
        cudaMalloc(&p->devices[d], N * sizeof(float));
        if (access)
            cudaDeviceEnablePeerAccess(1 - d, 0);
    }
    cudaHostAlloc(&memory, 2 * N * sizeof(float), cudaHostAllocDefault);
    p->pinned = static_cast<float *>(memory);
    for (int i = 0; i < 2 * N; i++)
        p->pinned[i] = i < N ? 7 : 8;
}

static void tear_down_pair(struct pair *p)
{
    for (int d = 0; d < 2; d++) {
        cudaStreamSynchronize(p->streams[d]);
        cudaStreamDestroy(p->streams[d]);
        cudaEventDestroy(p->events[d]);
    }
    for (int d = 0; d < 2; d++)
        cudaFree(p->devices[d]);
    cudaFreeHost(p->pinned);
    cudasim_reset();
}

static void fetch(const struct pair *p)
{
    cudaMemcpyPeerAsync(p->devices[1], 1, p->devices[0], 0, N * sizeof(float),
                        p->streams[1]);
}

static void fill(const struct pair *p, const float *from)
{
    cudaMemcpyAsync(p->devices[0], from, N * sizeof(float), cudaMemcpyHostToDevice,
                    p->streams[0]);
}

/* The first device gets sevens, which the second fetches, and then eights: what is
 * fetched, where it waits for the sevens, and the eights for it, or not. */
static float fetched(bool waits_for_arrival, bool waits_for_copy)
{
    struct pair p;
    float result[N];
    set_up_pair(&p, true);
    fill(&p, p.pinned);
    cudaEventRecord(p.events[0], p.streams[0]);
    if (waits_for_arrival)
        cudaStreamWaitEvent(p.streams[1], p.events[0], 0);
    fetch(&p);
    cudaEventRecord(p.events[1], p.streams[1]);
    if (waits_for_copy)
        cudaStreamWaitEvent(p.streams[0], p.events[1], 0);
    fill(&p, p.pinned + N);
    if (waits_for_arrival)
        cudaStreamSynchronize(p.streams[0]);
    cudaMemcpyAsync(result, p.devices[1], sizeof result, cudaMemcpyDeviceToHost,
                    p.streams[1]);
    cudaStreamSynchronize(p.streams[1]);
    tear_down_pair(&p);
    return result[0];
}

static int fetched_too_early(void)
{
    return isnan(fetched(false, true)) && fetched(true, true) == 7;
}

static int filled_too_early(void)
{
    return fetched(true, false) == 8;
}

static int freed_too_early(void)
{
    struct pair p;
    set_up_pair(&p, true);
    fetch(&p);
    cudaFree(p.devices[0]);
    cudaStreamSynchronize(p.streams[1]);
    return 0;
}

static int no_access(void)
{
    struct pair p;
    set_up_pair(&p, false);
    fetch(&p);
    return 0;
}

static int other_end(void)
{
    struct pair p;
    set_up_pair(&p, true);
    cudaMemcpyPeerAsync(p.devices[1], 1, p.devices[1], 0, sizeof(float), p.streams[1]);
    return 0;
}

static int other_stream(void)
{
    struct pair p;
    set_up_pair(&p, true);
    cudaMemcpyPeerAsync(p.devices[1], 1, p.devices[0], 0, sizeof(float), p.streams[0]);
    return 0;
}

static int past_the_other_end(void)
{
    struct pair p;
    set_up_pair(&p, true);
    cudaMemcpyPeerAsync(p.devices[1], 1, p.devices[0] + 1, 0, N * sizeof(float),
                        p.streams[1]);
    return 0;
}

/* Devices without a way to each other say so, and those with one only once. */
static int access_twice(void)
{
    struct pair p;
    set_up_pair(&p, true);
    cudaSetDevice(0);
    const cudaError_t again = cudaDeviceEnablePeerAccess(1, 0);
    cudasim_set_peers(CUDASIM_APART);
    const cudaError_t apart = cudaDeviceEnablePeerAccess(1, 0);
    tear_down_pair(&p);
    return again == cudaErrorPeerAccessAlreadyEnabled &&
           apart == cudaErrorPeerAccessUnsupported;
}

const struct cudasim_mistake cudasim_mistakes[] = {
    {"a barrier that half the threads reach", "divergent barrier", half_waits},
    {"barriers at two places", "divergent barrier", two_places},
    {"a shuffle that half the lanes reach", "divergent barrier", lanes_missing},
    {"a shuffle from outside its mask", "not in the mask", lane_outside},
    {"the host touches device memory", "device memory", host_touches_device},
    {"a kernel is given host memory", "memory of the host", kernel_on_host_memory},
    {"a write past an allocation", "past an allocation", past_the_end},
    {"a copy past an allocation", "pass the end", copy_past_the_end},
    {"shared memory that nobody wrote", nullptr, uninitialised},
    {"an asynchronous copy that is not waited for", nullptr, not_waited_for},
    {"streams without order", nullptr, unordered_streams},
    {"pinned memory used too soon", nullptr, used_too_soon},
    {"more shared memory than was asked for", nullptr, too_much_shared},
    {"a block that may need too many registers", "Assertion", too_many_registers},
    {"a launch on a device that was not chosen", "not the chosen one", other_device},
    {"an event of another device", "an event of device 1", event_of_other},
    {"a copy between devices before what it reads is there", nullptr, fetched_too_early},
    {"memory filled again that another device still reads", nullptr, filled_too_early},
    {"memory freed that another device still reads", "when it runs", freed_too_early},
    {"a copy between devices without access", "has no access", no_access},
    {"a copy between devices from the wrong one", "no memory of device 0", other_end},
    {"a copy between devices on the wrong stream", "on a stream of", other_stream},
    {"a copy past another device's allocation", "pass the end", past_the_other_end},
    {"access to a peer twice, and without a way", nullptr, access_twice},
};
const int cudasim_n_mistakes = sizeof cudasim_mistakes / sizeof cudasim_mistakes[0];
