/* Devices, memory, streams and events. A device's memory is one mapping that nobody may
 * touch but while work of one of its streams runs; streams are queues whose work runs
 * when it must (cudasim_set_schedule). */
#include "internal.h"

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <thread>
#include <unistd.h>
#include <vector>

#ifdef CUDASIM_ASAN
#include <sanitizer/asan_interface.h>
#define HIDE(p, n) ASAN_POISON_MEMORY_REGION(p, n)
#define SHOW(p, n) ASAN_UNPOISON_MEMORY_REGION(p, n)
#else
#define HIDE(p, n) (void)(p), (void)(n)
#define SHOW(p, n) (void)(p), (void)(n)
#endif

/* As of cudaMalloc; and how much behind an allocation belongs to nobody. */
enum { ALIGNMENT = 256, RED_ZONE = 256, RED = 0xa5 };
enum : size_t {
    DEFAULT_BYTES = (size_t)1 << 30,
    RESERVED = (size_t)4 << 30,
    LARGE_PAGE = (size_t)2 << 20,
};
enum { MOST_SHARED = 227 << 10, PLAIN_SHARED = 48 << 10, MOST_THREADS = 1024 };

struct device {
    char *memory; /* [RESERVED], mapped once */
    size_t limit, used, top;
    std::map<char *, size_t> blocks;
    int open; /* depth of work that may touch it */
};

struct record {
    cudasim_stream *stream;
    bool done;
    double at; /* clock.cc */
};

struct operation {
    std::function<void()> run;       /* or */
    std::shared_ptr<record> records; /* is done now, or */
    std::shared_ptr<record> waits;   /* for another stream */
    struct cudasim_cost cost;
    double queued;
};

/* Bytes of another device that a copy reads. */
struct fetch {
    const char *src;
    size_t bytes;
    int from;
};

struct cudasim_stream {
    int device;
    std::deque<operation> queue;
    double now;    /* when what has run was done */
    bool computes; /* work of a kernel was queued */
};

struct cudasim_event {
    int device;
    bool is_timed;
    std::shared_ptr<record> last;
};

static device devices[CUDASIM_MAX_DEVICES];
static int n_devices = 1;
static enum cudasim_peers peers = CUDASIM_APART;
static bool reaches[CUDASIM_MAX_DEVICES][CUDASIM_MAX_DEVICES]; /* was enabled */
static thread_local int selected; /* as on a real device, like last_error */
static size_t peak_bytes;
static std::vector<cudasim_stream *> streams;
static std::map<char *, size_t> pinned;
static int n_events;
static size_t most_shared = MOST_SHARED;
static std::map<const void *, int> shared_limits;
static unsigned schedule;
static uint64_t randomness;
static long failure = -1;
static bool failed;
static thread_local cudaError_t last_error;
static bool ready;

/* Threads may each have a device of their own: one call at a time, whoever makes it. */
static std::recursive_mutex calls;
#define ALONE() const std::lock_guard<std::recursive_mutex> alone(calls)

void cudasim_die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "cudasim: ");
    vfprintf(stderr, format, args);
    fprintf(stderr, "\n");
    va_end(args);
    abort();
}

static int owner_of(const void *p)
{
    for (int d = 0; d < CUDASIM_MAX_DEVICES; d++)
        if (devices[d].memory != nullptr && p >= devices[d].memory &&
            p < devices[d].memory + RESERVED)
            return d;
    return -1;
}

#ifndef CUDASIM_ASAN
static void on_fault(int signal, siginfo_t *info, void *)
{
    static const char text[] = "cudasim: the host, or work of another device, touches "
                               "device memory\n";
    if (owner_of(info->si_addr) >= 0 && write(2, text, sizeof text - 1) < 0)
        _exit(3);
    ::signal(signal, SIG_DFL);
    raise(signal);
}
#endif

/* Others take the signal too: cmocka for every test. */
static void watch_faults(void)
{
#ifndef CUDASIM_ASAN
    struct sigaction action = {};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGSEGV, &action, nullptr);
#endif
}

static void begin(void)
{
    if (ready)
        return;
    ready = true;
    for (device &d : devices) {
        void *memory = mmap(nullptr, RESERVED + LARGE_PAGE, PROT_NONE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED)
            cudasim_die("no address space for a device");
        const uintptr_t at = (uintptr_t)memory + LARGE_PAGE - 1;
        d.memory = reinterpret_cast<char *>(at / LARGE_PAGE * LARGE_PAGE);
        /* All of it is opened and closed for every operation: by few pages, where the
         * system has large ones. */
        madvise(d.memory, RESERVED, MADV_HUGEPAGE);
        d.limit = DEFAULT_BYTES;
        HIDE(d.memory, RESERVED);
    }
    watch_faults();
}

/* ---- settings ---- */

size_t cudasim_used(void)
{
    ALONE();
    size_t used = 0;
    for (const device &d : devices)
        used += d.used;
    return used;
}

size_t cudasim_peak(void)
{
    ALONE();
    return peak_bytes;
}

int cudasim_handles(void)
{
    ALONE();
    return (int)streams.size() + n_events + (int)pinned.size();
}

void cudasim_set_devices(int n, size_t bytes_each)
{
    ALONE();
    begin();
    if (cudasim_used() > 0)
        cudasim_die("devices are set while their memory is in use");
    n_devices = n;
    selected = 0;
    peak_bytes = 0;
    for (device &d : devices)
        d.limit = bytes_each;
}

void cudasim_set_peers(enum cudasim_peers how)
{
    ALONE();
    peers = how;
    memset(reaches, 0, sizeof reaches);
}

void cudasim_set_schedule(unsigned seed)
{
    ALONE();
    schedule = seed;
    randomness = seed;
}

void cudasim_set_shared(size_t bytes)
{
    ALONE();
    most_shared = bytes;
}

void cudasim_set_failure(long n)
{
    ALONE();
    failure = n;
    failed = false;
}

int cudasim_failed(void)
{
    ALONE();
    return failed;
}

void cudasim_reset(void)
{
    ALONE();
    cudasim_set_devices(1, DEFAULT_BYTES);
    cudasim_set_peers(CUDASIM_APART);
    cudasim_set_schedule(0);
    cudasim_set_failure(-1);
    cudasim_set_shared(MOST_SHARED);
    shared_limits.clear();
    last_error = cudaSuccess;
    watch_faults();
}

bool cudasim_fails(void)
{
    ALONE();
    if (failure < 0 || failure-- != 0)
        return false;
    failed = true;
    return true;
}

/* The result of a call, kept as on the device until it is asked for. */
static cudaError_t result(cudaError_t status)
{
    if (status != cudaSuccess && status != cudaErrorNotReady)
        last_error = status;
    return status;
}

#define FAILS(status)                                                                    \
    do {                                                                                 \
        if (cudasim_fails())                                                             \
            return result(status);                                                       \
    } while (0)

/* ---- what is counted; under the lock ---- */

static struct cudasim_counts counts;

/* The thread that counts: made when it is first asked for, as a program's settings come
 * before its static objects. */
static std::thread::id &counted(void)
{
    static std::thread::id id;
    return id;
}

static bool counts_here(void)
{
    return std::this_thread::get_id() == counted();
}

static void count(long cudasim_counts::*what)
{
    if (counts_here())
        counts.*what += 1;
}

/* How often counting began, and which of these times this thread launched a kernel last.
 */
static long beginning;
static thread_local long launched_in = -1;

/* Whether this thread launches kernels since counting began. */
static bool launches_kernels(void)
{
    return launched_in == beginning;
}

/* A wait for something on that device. */
static void count_wait(int device)
{
    count(&cudasim_counts::waits);
    if (launches_kernels())
        counts.control[device].waits++;
}

static void count_copy(int device, bool from_host, size_t bytes)
{
    count(from_host ? &cudasim_counts::sent : &cudasim_counts::received);
    if (counts_here())
        (from_host ? counts.sent_bytes : counts.received_bytes) += (long long)bytes;
    if (!launches_kernels())
        return;
    if (from_host)
        counts.control[device].sent_bytes += (long long)bytes;
    else
        counts.control[device].received++;
}

void cudasim_count_product(void)
{
    ALONE();
    count(&cudasim_counts::products);
}

void cudasim_count_begin(void)
{
    ALONE();
    counts = {};
    beginning++;
    counted() = std::this_thread::get_id();
}

struct cudasim_counts cudasim_counted(void)
{
    ALONE();
    return counts;
}

cudaError_t cudaGetLastError(void)
{
    const cudaError_t status = last_error;
    last_error = cudaSuccess;
    return status;
}

const char *cudaGetErrorString(cudaError_t status)
{
    switch (status) {
    case cudaSuccess:
        return "no error";
    case cudaErrorInvalidValue:
        return "invalid argument";
    case cudaErrorMemoryAllocation:
        return "out of memory";
    case cudaErrorNoDevice:
        return "no CUDA-capable device is detected";
    case cudaErrorInvalidDevice:
        return "invalid device ordinal";
    case cudaErrorPeerAccessUnsupported:
        return "peer access is not supported between these two devices";
    case cudaErrorNotReady:
        return "device not ready";
    case cudaErrorPeerAccessAlreadyEnabled:
        return "peer access is already enabled";
    case cudaErrorLaunchFailure:
        return "unspecified launch failure";
    }
    return "unknown error";
}

cudaError_t cudaGetDeviceCount(int *n)
{
    ALONE();
    begin();
    *n = n_devices;
    return result(n_devices > 0 ? cudaSuccess : cudaErrorNoDevice);
}

cudaError_t cudaSetDevice(int d)
{
    ALONE();
    FAILS(cudaErrorLaunchFailure);
    if (d < 0 || d >= n_devices)
        return result(cudaErrorInvalidDevice);
    selected = d;
    return cudaSuccess;
}

cudaError_t cudaGetDevice(int *d)
{
    *d = selected;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp *prop, int d)
{
    ALONE();
    FAILS(cudaErrorInvalidDevice);
    *prop = {};
    snprintf(prop->name, sizeof prop->name, "simulated device");
    prop->totalGlobalMem = devices[d].limit;
    prop->sharedMemPerBlockOptin = most_shared;
    prop->major = 9;
    prop->multiProcessorCount = 2;
    return cudaSuccess;
}

/* ---- peers ---- */

static bool are_peers(int a, int b)
{
    return peers != CUDASIM_APART && a != b && a >= 0 && b >= 0 && a < n_devices &&
           b < n_devices;
}

cudaError_t cudaDeviceCanAccessPeer(int *can, int device, int peer)
{
    ALONE();
    FAILS(cudaErrorInvalidDevice);
    if (device < 0 || peer < 0 || device >= n_devices || peer >= n_devices)
        return result(cudaErrorInvalidDevice);
    *can = are_peers(device, peer);
    return cudaSuccess;
}

cudaError_t cudaDeviceGetP2PAttribute(int *value, cudaDeviceP2PAttr attribute, int from,
                                      int to)
{
    ALONE();
    FAILS(cudaErrorInvalidDevice);
    if (from == to || from < 0 || to < 0 || from >= n_devices || to >= n_devices)
        return result(cudaErrorInvalidDevice);
    *value = attribute == cudaDevP2PAttrPerformanceRank         ? peers != CUDASIM_NEAR
             : attribute == cudaDevP2PAttrNativeAtomicSupported ? peers == CUDASIM_NEAR
                                                                : are_peers(from, to);
    return cudaSuccess;
}

cudaError_t cudaDeviceEnablePeerAccess(int peer, unsigned)
{
    ALONE();
    FAILS(cudaErrorInvalidDevice);
    if (!are_peers(selected, peer))
        return result(cudaErrorPeerAccessUnsupported);
    if (reaches[selected][peer])
        return result(cudaErrorPeerAccessAlreadyEnabled);
    reaches[selected][peer] = true;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version)
{
    *version = 13000;
    return cudaSuccess;
}

/* ---- memory ---- */

static void set_access(device &d, int access)
{
    const size_t bytes = (d.top + LARGE_PAGE - 1) / LARGE_PAGE * LARGE_PAGE;
    if (bytes > 0 && mprotect(d.memory, bytes, access) != 0)
        cudasim_die("mprotect failed");
}

static void open_memory(device &d)
{
    if (d.open++ == 0)
        set_access(d, PROT_READ | PROT_WRITE);
}

static void close_memory(device &d)
{
    if (--d.open == 0)
        set_access(d, PROT_NONE);
}

static size_t room_of(size_t bytes)
{
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT + RED_ZONE;
}

/* The red zone begins at the last byte asked for. */
static char *zone_of(char *block, size_t bytes, size_t *n)
{
    *n = room_of(bytes) - bytes;
    return block + bytes;
}

cudaError_t cudaMalloc(void **memory, size_t bytes)
{
    ALONE();
    counts.allocations++;
    begin();
    *memory = nullptr;
    FAILS(cudaErrorMemoryAllocation);
    device &d = devices[selected];
    size_t n;
    if (bytes == 0)
        return cudaSuccess;
    if (d.used + bytes > d.limit)
        return result(cudaErrorMemoryAllocation);
    char *at = d.memory;
    for (const auto &block : d.blocks) {
        if ((size_t)(block.first - at) >= room_of(bytes))
            break;
        at = block.first + room_of(block.second);
    }
    const size_t end = (size_t)(at - d.memory) + room_of(bytes);
    if (end > RESERVED)
        return result(cudaErrorMemoryAllocation);
    d.top = end > d.top ? end : d.top;
    open_memory(d);
    set_access(d, PROT_READ | PROT_WRITE);
    SHOW(at, room_of(bytes));
    memset(at, CUDASIM_POISON, bytes);
    char *zone = zone_of(at, bytes, &n);
    memset(zone, RED, n);
    HIDE(zone, n);
    close_memory(d);
    d.blocks[at] = bytes;
    d.used += bytes;
    peak_bytes = cudasim_used() > peak_bytes ? cudasim_used() : peak_bytes;
    *memory = at;
    return cudaSuccess;
}

static void run_all(int of_device);

cudaError_t cudaFree(void *memory)
{
    ALONE();
    counts.allocations++;
    if (memory == nullptr)
        return cudaSuccess;
    const int owner = owner_of(memory);
    char *block = static_cast<char *>(memory);
    if (owner < 0 || devices[owner].blocks.count(block) == 0)
        cudasim_die("cudaFree of %p, which was not allocated", memory);
    run_all(owner);
    device &d = devices[owner];
    size_t n;
    const size_t bytes = d.blocks[block];
    char *zone = zone_of(block, bytes, &n);
    open_memory(d);
    SHOW(zone, n);
    for (size_t i = 0; i < n; i++)
        if (static_cast<unsigned char>(zone[i]) != RED)
            cudasim_die("%zu bytes past an allocation of %zu were written", i, bytes);
    HIDE(block, room_of(bytes));
    close_memory(d);
    d.blocks.erase(block);
    d.used -= bytes;
    return cudaSuccess;
}

cudaError_t cudaHostAlloc(void **memory, size_t bytes, unsigned)
{
    ALONE();
    counts.allocations++;
    *memory = nullptr;
    FAILS(cudaErrorMemoryAllocation);
    *memory = aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
    memset(*memory, CUDASIM_POISON, bytes);
    pinned[static_cast<char *>(*memory)] = bytes;
    return cudaSuccess;
}

cudaError_t cudaFreeHost(void *memory)
{
    ALONE();
    counts.allocations++;
    if (memory == nullptr)
        return cudaSuccess;
    if (pinned.erase(static_cast<char *>(memory)) == 0)
        cudasim_die("cudaFreeHost of %p, which was not allocated", memory);
    run_all(-1);
    free(memory);
    return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t *available, size_t *total)
{
    ALONE();
    FAILS(cudaErrorInvalidValue);
    *total = devices[selected].limit;
    *available = devices[selected].limit - devices[selected].used;
    return cudaSuccess;
}

static bool is_pinned(const void *p, size_t bytes)
{
    const char *at = static_cast<const char *>(p);
    auto block = pinned.upper_bound(const_cast<char *>(at));
    if (block == pinned.begin())
        return false;
    --block;
    return at + bytes <= block->first + block->second;
}

/* Part of one allocation of that device. */
static void check_device(const void *p, size_t bytes, int d, const char *what)
{
    char *at = static_cast<char *>(const_cast<void *>(p));
    auto block = devices[d].blocks.upper_bound(at);
    if (owner_of(p) != d || block == devices[d].blocks.begin())
        cudasim_die("%s: %p is no memory of device %d", what, p, d);
    --block;
    if (at + bytes > block->first + block->second)
        cudasim_die("%s: %zu bytes at %p pass the end of an allocation of %zu", what,
                    bytes, p, block->second);
}

void cudasim_check_argument(const void *argument, cudaStream_t stream)
{
    ALONE();
    const int owner = owner_of(argument);
    if (argument != nullptr && owner != stream->device && !is_pinned(argument, 1))
        cudasim_die("a kernel on device %d is given %p, memory of %s", stream->device,
                    argument, owner < 0 ? "the host" : "another device");
}

/* ---- streams ---- */

static uint64_t draw(uint64_t below)
{
    randomness = randomness * 6364136223846793005u + 1442695040888963407u;
    return (randomness >> 33) % below;
}

static void run_until(const record &r);

static void step(cudasim_stream *s)
{
    operation next = std::move(s->queue.front());
    s->queue.pop_front();
    if (next.waits != nullptr) {
        run_until(*next.waits);
        s->now = std::max(s->now, next.waits->at);
    }
    s->now =
        cudasim_works(s->device, next.cost, std::max(s->now, next.queued), s->computes);
    if (next.records != nullptr) {
        next.records->done = true;
        next.records->at = s->now;
    }
    if (next.run) {
        open_memory(devices[s->device]);
        next.run();
        close_memory(devices[s->device]);
    }
}

/* Once for all of it: access to memory takes longer to change than most work takes. */
static void run_stream(cudasim_stream *s)
{
    if (s->queue.empty())
        return;
    open_memory(devices[s->device]);
    while (!s->queue.empty())
        step(s);
    close_memory(devices[s->device]);
}

static void run_until(const record &r)
{
    if (r.done)
        return;
    open_memory(devices[r.stream->device]);
    while (!r.done)
        step(r.stream);
    close_memory(devices[r.stream->device]);
}

static void run_all(int of_device)
{
    for (cudasim_stream *s : streams)
        if (of_device < 0 || s->device == of_device)
            run_stream(s);
}

static void queue(cudasim_stream *s, operation next)
{
    if (s == nullptr)
        cudasim_die("work on the default stream");
    const bool computes = next.cost.resource == CUDASIM_COMPUTE && next.cost.seconds > 0;
    s->computes |= computes;
    next.queued = cudasim_host_call(s->device, computes);
    s->queue.push_back(std::move(next));
    if (schedule == 0)
        return;
    /* Some stream gets on by a few steps; often it is none. */
    cudasim_stream *lucky = streams[draw(streams.size())];
    for (uint64_t n = draw(6); n > 2 && !lucky->queue.empty(); n--)
        step(lucky);
}

void cudasim_enqueue(cudaStream_t stream, std::function<void()> run,
                     const struct cudasim_cost &cost)
{
    ALONE();
    queue(stream, {std::move(run), nullptr, nullptr, cost, 0});
}

double cudasim_host_now(void)
{
    ALONE();
    return cudasim_host_moment();
}

void cudasim_host_not_before(double moment)
{
    ALONE();
    cudasim_host_learns(moment);
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned)
{
    ALONE();
    FAILS(cudaErrorMemoryAllocation);
    *stream = new cudasim_stream{selected, {}, 0, false};
    streams.push_back(*stream);
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    ALONE();
    run_stream(stream);
    for (size_t i = 0; i < streams.size(); i++)
        if (streams[i] == stream)
            streams.erase(streams.begin() + (ptrdiff_t)i--);
    delete stream;
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    ALONE();
    count_wait(stream->device);
    run_stream(stream);
    cudasim_host_waits(stream->device, stream->now);
    FAILS(cudaErrorLaunchFailure);
    return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize(void)
{
    ALONE();
    count_wait(selected);
    run_all(selected);
    for (const cudasim_stream *s : streams)
        if (s->device == selected)
            cudasim_host_waits(selected, s->now);
    FAILS(cudaErrorLaunchFailure);
    return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags)
{
    ALONE();
    FAILS(cudaErrorMemoryAllocation);
    *event = new cudasim_event{selected, (flags & cudaEventDisableTiming) == 0, nullptr};
    n_events++;
    return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    ALONE();
    n_events--;
    delete event;
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    ALONE();
    FAILS(cudaErrorLaunchFailure);
    if (event->device != stream->device)
        cudasim_die("an event of device %d for device %d", event->device, stream->device);
    event->last = std::make_shared<record>(record{stream, false, 0});
    queue(stream, {nullptr, event->last, nullptr, {}, 0});
    return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned)
{
    ALONE();
    FAILS(cudaErrorLaunchFailure);
    if (event->last != nullptr)
        queue(stream, {nullptr, nullptr, event->last, {}, 0});
    return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    ALONE();
    count_wait(event->device);
    if (event->last != nullptr) {
        run_until(*event->last);
        cudasim_host_waits(event->device, event->last->at);
    }
    FAILS(cudaErrorLaunchFailure);
    return cudaSuccess;
}

cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t start, cudaEvent_t end)
{
    ALONE();
    FAILS(cudaErrorLaunchFailure);
    if (!start->is_timed || !end->is_timed || start->last == nullptr ||
        end->last == nullptr)
        return result(cudaErrorInvalidValue);
    if (!start->last->done || !end->last->done)
        return cudaErrorNotReady;
    *milliseconds = (float)(1e3 * (end->last->at - start->last->at));
    return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event)
{
    ALONE();
    return event->last == nullptr || event->last->done ? cudaSuccess : cudaErrorNotReady;
}

/* Of memory that is not pinned the device's driver makes a copy at once, or waits. */
cudaError_t cudaMemcpyAsync(void *dst, const void *src, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream)
{
    ALONE();
    FAILS(cudaErrorInvalidValue);
    const bool to_host = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyHostToHost;
    const bool from_host = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyHostToHost;
    if (bytes == 0)
        return cudaSuccess;
    if (!to_host)
        check_device(dst, bytes, stream->device, "cudaMemcpyAsync");
    if (!from_host)
        check_device(src, bytes, stream->device, "cudaMemcpyAsync");
    if ((to_host && owner_of(dst) >= 0) || (from_host && owner_of(src) >= 0))
        cudasim_die("cudaMemcpyAsync: device memory in place of the host's");
    const bool crosses = from_host != to_host;
    cudasim_enqueue(
        stream, [=] { memcpy(dst, src, bytes); },
        crosses ? cudasim_copying(from_host, bytes)
                : cudasim_running((double)bytes / 16));
    if (from_host && crosses) {
        counts.carried++;
        counts.carried_bytes += (long long)bytes;
        counts.carried_to[stream->device] += (long long)bytes;
    }
    if (crosses)
        count_copy(stream->device, from_host, bytes);
    if ((to_host && !is_pinned(dst, bytes)) || (from_host && !is_pinned(src, bytes))) {
        count_wait(stream->device);
        run_stream(stream);
        cudasim_host_waits(stream->device, stream->now);
    }
    return cudaSuccess;
}

/* The other's memory may be given up while the copy waits: as bad as on a real device. */
static void run_fetch(char *dst, const struct fetch &f)
{
    check_device(f.src, f.bytes, f.from, "cudaMemcpyPeerAsync, when it runs");
    open_memory(devices[f.from]);
    memcpy(dst, f.src, f.bytes);
    close_memory(devices[f.from]);
}

cudaError_t cudaMemcpyPeerAsync(void *dst, int to, const void *src, int from,
                                size_t bytes, cudaStream_t stream)
{
    ALONE();
    FAILS(cudaErrorInvalidValue);
    if (to < 0 || from < 0 || to >= n_devices || from >= n_devices || to == from)
        return result(cudaErrorInvalidDevice);
    if (stream->device != to)
        cudasim_die("cudaMemcpyPeerAsync: to device %d on a stream of device %d", to,
                    stream->device);
    if (!reaches[to][from])
        cudasim_die("cudaMemcpyPeerAsync: device %d has no access to device %d", to,
                    from);
    if (bytes == 0)
        return cudaSuccess;
    check_device(dst, bytes, to, "cudaMemcpyPeerAsync");
    check_device(src, bytes, from, "cudaMemcpyPeerAsync");
    const struct fetch f = {static_cast<const char *>(src), bytes, from};
    char *at = static_cast<char *>(dst);
    cudasim_enqueue(
        stream, [=] { run_fetch(at, f); }, cudasim_fetching(from, bytes));
    counts.fetched_by[to] += (long long)bytes;
    return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void *dst, int value, size_t bytes, cudaStream_t stream)
{
    ALONE();
    FAILS(cudaErrorInvalidValue);
    if (bytes == 0)
        return cudaSuccess;
    check_device(dst, bytes, stream->device, "cudaMemsetAsync");
    cudasim_enqueue(
        stream, [=] { memset(dst, value, bytes); }, cudasim_running((double)bytes / 16));
    return cudaSuccess;
}

/* ---- launches ---- */

cudaError_t cudaFuncSetAttribute(const void *kernel, int, int value)
{
    ALONE();
    FAILS(cudaErrorInvalidValue);
    if (value < 0 || (size_t)value > most_shared)
        return result(cudaErrorInvalidValue);
    shared_limits[kernel] = value;
    return cudaSuccess;
}

void cudasim_enqueue_launch(const void *kernel, dim3 grid, dim3 block,
                            size_t shared_bytes, cudaStream_t stream,
                            std::function<void()> body)
{
    ALONE();
    const size_t asked = (size_t)shared_limits[kernel], plain = PLAIN_SHARED;
    const uint64_t n_threads = (uint64_t)block.x * block.y * block.z;
    if (stream->device != selected)
        cudasim_die("a launch on device %d, not the chosen one", stream->device);
    count(&cudasim_counts::launches);
    launched_in = beginning;
    if (cudasim_fails()) {
        result(cudaErrorLaunchFailure);
        return;
    }
    if (n_threads == 0 || n_threads > MOST_THREADS || grid.x == 0 || grid.y == 0 ||
        grid.z == 0 || grid.x > INT32_MAX || grid.y > 65535 || grid.z > 65535 ||
        block.z > 64 || shared_bytes > std::max(asked, plain)) {
        result(cudaErrorInvalidValue);
        return;
    }
    if (n_threads % warpSize != 0)
        cudasim_die("a block of %d threads is not made of whole warps", (int)n_threads);
    const bool backwards = schedule % 2 != 0;
    const double n_blocks = (double)grid.x * grid.y * grid.z;
    cudasim_enqueue(
        stream, [=] { cudasim_run_grid(grid, block, shared_bytes, backwards, body); },
        cudasim_running(n_blocks * (double)n_threads));
}
