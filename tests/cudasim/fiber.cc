/* Blocks of threads as fibers: each runs until it waits for others, and who is waited for
 * in vain is found by nobody being able to go on. Owns the stacks and the shared memory
 * of the block that runs; one block at a time. */
#include "internal.h"

#include <cmath>
#include <float.h>
#include <map>
#include <memory>
#include <stdio.h>
#include <stdlib.h>
#include <string>
#include <utility>
#include <vector>

#ifdef CUDASIM_ASAN
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef CUDASIM_TSAN
#include <sanitizer/tsan_interface.h>
#endif

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

/* ---- switching stacks ---- */

#ifdef __x86_64__
struct context {
    void *stack_pointer;
};

/* Callee-saved registers onto the old stack, the stack pointer, registers back. */
extern "C" void cudasim_switch(context *from, context *to);
asm(R"(
.text
.globl cudasim_switch
.type cudasim_switch, @function
cudasim_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq (%rsi), %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size cudasim_switch, . - cudasim_switch
)");

static void context_make(context *c, char *stack, size_t bytes, void (*entry)())
{
    enum { REGISTERS = 6 };
    void **top = reinterpret_cast<void **>(stack + bytes);
    *--top = nullptr; /* where entry would return to; as behind a call, which aligns it */
    *--top = reinterpret_cast<void *>(entry);
    for (int i = 0; i < REGISTERS; i++)
        *--top = nullptr;
    c->stack_pointer = top;
}
#else
#include <ucontext.h>
struct context {
    ucontext_t u;
};

static void cudasim_switch(context *from, context *to)
{
    swapcontext(&from->u, &to->u);
}

static void context_make(context *c, char *stack, size_t bytes, void (*entry)())
{
    getcontext(&c->u);
    c->u.uc_stack.ss_sp = stack;
    c->u.uc_stack.ss_size = bytes;
    makecontext(&c->u, entry, 0);
}
#endif

/* ---- fibers ---- */

enum state { FRESH, READY, AT_BLOCK, AT_WARP, DONE };

enum { STACK_BYTES = 256 << 10, WARP = 32, SLOT_BYTES = 64 };

struct copy {
    void *to;
    const void *from;
    bool present;
};

struct stack {
    char *memory;
#ifdef CUDASIM_TSAN
    void *known_as; /* to the thread sanitizer: of its own, which are slow to make */
    int n_uses;
#endif
};

struct fiber {
    context where;
    struct stack stack;
    enum state state;
    uint3 index;
    const char *file; /* AT_BLOCK: of the barrier */
    int line;
    const char *what; /* AT_WARP: the operation */
    unsigned mask;
    alignas(16) char slot[SLOT_BYTES];
    std::vector<copy> copies;
    std::vector<size_t> groups; /* ends in copies, of the committed ones */
    void *fake_stack;           /* the address sanitizer's */
};

static std::vector<fiber> fibers;
static unsigned n_threads, n_done;
static fiber *current;
static context scheduler;
static struct stacks {
    std::vector<stack> free;
    ~stacks()
    {
        for (const stack &s : free)
            ::free(s.memory);
    }
} stacks;
static const std::function<void()> *kernel_body;
#ifdef CUDASIM_ASAN
static const void *scheduler_stack;
static size_t scheduler_stack_bytes;
#endif
#ifdef CUDASIM_TSAN
static void *scheduler_known_as;
#endif

/* ---- shared memory: blocks of the heap, so that their ends are known ---- */

static std::map<std::pair<const char *, int>, std::unique_ptr<char[]>> shared;
static std::map<std::pair<const char *, int>, size_t> shared_sizes;
static char *shared_dynamic;
static size_t shared_dynamic_bytes, shared_total;

void *cudasim_shared(const char *file, int line, size_t bytes)
{
    /* The limit on arrays of fixed size. */
    enum { MOST = 48 << 10 };
    std::unique_ptr<char[]> &memory = shared[{file, line}];
    size_t &size = shared_sizes[{file, line}];
    if (memory == nullptr || size != bytes) {
        memory.reset(new char[bytes]);
        memset(memory.get(), CUDASIM_POISON, bytes);
        size = bytes;
        shared_total += bytes;
        if (shared_total > MOST)
            cudasim_die("%s:%d: %zu bytes of shared arrays", file, line, shared_total);
    }
    return memory.get();
}

void *cudasim_shared_dynamic(void)
{
    return shared_dynamic;
}

/* ---- the scheduler ---- */

static void leave(bool for_good)
{
    fiber *const me = current;
    (void)for_good;
#ifdef CUDASIM_ASAN
    __sanitizer_start_switch_fiber(for_good ? nullptr : &me->fake_stack, scheduler_stack,
                                   scheduler_stack_bytes);
#endif
#ifdef CUDASIM_TSAN
    __tsan_switch_to_fiber(scheduler_known_as, 0);
#endif
    cudasim_switch(&me->where, &scheduler);
#ifdef CUDASIM_ASAN
    __sanitizer_finish_switch_fiber(me->fake_stack, &scheduler_stack,
                                    &scheduler_stack_bytes);
#endif
}

static void fiber_main()
{
#ifdef CUDASIM_ASAN
    __sanitizer_finish_switch_fiber(nullptr, &scheduler_stack, &scheduler_stack_bytes);
#endif
    (*kernel_body)();
    current->state = DONE;
    leave(true);
    abort();
}

static stack stack_new()
{
    stack s = {};
    if (!stacks.free.empty()) {
        s = stacks.free.back();
        stacks.free.pop_back();
    } else {
        s.memory = static_cast<char *>(aligned_alloc(4096, STACK_BYTES));
    }
#ifdef CUDASIM_TSAN
    /* Calls that a fiber does not return from stay on the sanitizer's own stack. */
    enum { MOST_USES = 4096 };
    if (s.known_as != nullptr && ++s.n_uses == MOST_USES) {
        __tsan_destroy_fiber(s.known_as);
        s.known_as = nullptr;
    }
    if (s.known_as == nullptr) {
        s.known_as = __tsan_create_fiber(0);
        s.n_uses = 0;
    }
#endif
    return s;
}

static void resume(fiber *f)
{
    if (f->state == FRESH) {
        f->stack = stack_new();
        context_make(&f->where, f->stack.memory, STACK_BYTES, fiber_main);
        f->state = READY;
    }
    current = f;
    threadIdx = f->index;
#ifdef CUDASIM_ASAN
    void *fake = nullptr;
    __sanitizer_start_switch_fiber(&fake, f->stack.memory, STACK_BYTES);
#endif
#ifdef CUDASIM_TSAN
    scheduler_known_as = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(f->stack.known_as, 0);
#endif
    cudasim_switch(&scheduler, &f->where);
#ifdef CUDASIM_ASAN
    __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#endif
    if (f->state == DONE) {
        stacks.free.push_back(f->stack);
        n_done++;
    }
}

[[noreturn]] static void die_stuck(void)
{
    std::string text;
    for (unsigned i = 0; i < n_threads && text.size() < 600; i++) {
        const fiber &f = fibers[i];
        char line[200];
        if (f.state == AT_BLOCK)
            snprintf(line, sizeof line, "\n  thread %u waits at %s:%d", i, f.file,
                     f.line);
        else if (f.state == AT_WARP)
            snprintf(line, sizeof line, "\n  thread %u waits in %s of lanes %08x", i,
                     f.what, f.mask);
        else
            snprintf(line, sizeof line, "\n  thread %u has ended", i);
        /* One line for neighbours that do the same. */
        if (i == 0 || fibers[i - 1].state != f.state || fibers[i - 1].line != f.line ||
            (f.state == AT_WARP && fibers[i - 1].what != f.what))
            text += line;
    }
    cudasim_die("divergent barrier in block %u %u %u:%s", blockIdx.x, blockIdx.y,
                blockIdx.z, text.c_str());
}

/* All at one barrier: they go on. */
static void release_block(void)
{
    const fiber &first = fibers[0];
    for (unsigned i = 0; i < n_threads; i++)
        if (fibers[i].state != AT_BLOCK || fibers[i].line != first.line ||
            strcmp(fibers[i].file, first.file) != 0)
            die_stuck();
    for (unsigned i = 0; i < n_threads; i++)
        fibers[i].state = READY;
}

static void run_block(bool backwards)
{
    shared.clear();
    shared_sizes.clear();
    shared_total = 0;
    memset(shared_dynamic, CUDASIM_POISON, shared_dynamic_bytes);
    for (unsigned i = 0; i < n_threads; i++) {
        fiber &f = fibers[i];
        f.state = FRESH;
        f.index = {i % blockDim.x, i / blockDim.x % blockDim.y,
                   i / (blockDim.x * blockDim.y)};
        f.copies.clear();
        f.groups.clear();
    }
    n_done = 0;
    while (n_done < n_threads) {
        bool moved = false;
        for (unsigned i = 0; i < n_threads; i++) {
            fiber &f = fibers[backwards ? n_threads - 1 - i : i];
            if (f.state == FRESH || f.state == READY) {
                resume(&f);
                moved = true;
            }
        }
        if (!moved)
            release_block();
    }
}

void cudasim_run_grid(dim3 grid, dim3 block, size_t shared_bytes, bool backwards,
                      const std::function<void()> &body)
{
    blockDim = block;
    gridDim = grid;
    n_threads = block.x * block.y * block.z;
    kernel_body = &body;
    if (fibers.size() < n_threads)
        fibers.resize(n_threads);
    shared_dynamic_bytes = shared_bytes;
    shared_dynamic = static_cast<char *>(
        aligned_alloc(16, (shared_bytes > 0 ? shared_bytes + 15 : 16) / 16 * 16));
    const uint64_t n_blocks = (uint64_t)grid.x * grid.y * grid.z;
    for (uint64_t i = 0; i < n_blocks; i++) {
        const uint64_t b = backwards ? n_blocks - 1 - i : i;
        blockIdx = {(unsigned)(b % grid.x), (unsigned)(b / grid.x % grid.y),
                    (unsigned)(b / grid.x / grid.y)};
        run_block(backwards);
    }
    free(shared_dynamic);
    shared_dynamic = nullptr;
    current = nullptr;
}

/* ---- barriers ---- */

void cudasim_block_barrier(const char *file, int line)
{
    current->file = file;
    current->line = line;
    current->state = AT_BLOCK;
    leave(false);
}

static unsigned number_of(const fiber *f)
{
    return (unsigned)(f - fibers.data());
}

/* The last lane to come lets the others go on. */
static void warp_wait(unsigned mask, const char *what)
{
    const unsigned me = number_of(current), base = me / WARP * WARP;
    if ((mask >> (me - base) & 1) == 0)
        cudasim_die("%s: lane %u is not in its own mask %08x", what, me - base, mask);
    if (n_threads - base < WARP && mask >> (n_threads - base) != 0)
        cudasim_die("%s: mask %08x has lanes that the block lacks", what, mask);
    current->what = what;
    current->mask = mask;
    current->state = AT_WARP;
    current->line = 0;
    for (unsigned lane = 0; lane < WARP; lane++) {
        if ((mask >> lane & 1) == 0)
            continue;
        const fiber &f = fibers[base + lane];
        if (f.state != AT_WARP || f.mask != mask || f.what != what) {
            leave(false);
            return;
        }
    }
    for (unsigned lane = 0; lane < WARP; lane++)
        if (mask >> lane & 1)
            fibers[base + lane].state = READY;
}

void cudasim_warp_enter(unsigned mask, const char *what, const void *value, size_t bytes)
{
    if (bytes > SLOT_BYTES)
        cudasim_die("%s: %zu bytes", what, bytes);
    if (bytes > 0)
        memcpy(current->slot, value, bytes);
    warp_wait(mask, what);
}

const void *cudasim_warp_value(unsigned mask, unsigned lane)
{
    if (lane >= WARP || (mask >> lane & 1) == 0)
        cudasim_die("a shuffle reads lane %u, which is not in the mask %08x", lane, mask);
    return fibers[number_of(current) / WARP * WARP + lane].slot;
}

void cudasim_warp_leave(unsigned mask)
{
    warp_wait(mask, "the end of a warp operation");
}

unsigned __ballot_sync(unsigned mask, int predicate)
{
    unsigned votes = 0;
    cudasim_warp_enter(mask, "a vote", &predicate, sizeof predicate);
    for (unsigned lane = 0; lane < WARP; lane++)
        if (mask >> lane & 1) {
            int vote;
            memcpy(&vote, cudasim_warp_value(mask, lane), sizeof vote);
            votes |= vote != 0 ? 1u << lane : 0;
        }
    cudasim_warp_leave(mask);
    return votes;
}

/* ---- tensor cores ---- */

static float half_of(unsigned pair, unsigned high)
{
    return __uint_as_float((high != 0 ? pair >> 16 : pair & 0xffffu) << 16);
}

/* As far off as ex2.approx.ftz may be, now up, now down. */
float cudasim_exp2(float x)
{
    const float y = exp2f(x);
    const unsigned drawn = __float_as_uint(x) * 2654435761u >> 30;
    if (y < FLT_MIN)
        return 0;
    return y == 1 || !std::isfinite(y) ? y
                                       : __uint_as_float(__float_as_uint(y) + drawn - 1);
}

void cudasim_mma_bf16(float d[4], const unsigned a[4], const unsigned b[2])
{
    const unsigned mine[6] = {a[0], a[1], a[2], a[3], b[0], b[1]};
    const unsigned lane = number_of(current) % WARP, all = 0xffffffffu;
    cudasim_warp_enter(all, "mma", mine, sizeof mine);
    for (unsigned i = 0; i < 4; i++) {
        const unsigned row = lane / 4 + (i >= 2 ? 8 : 0), col = 2 * (lane % 4) + i % 2;
        float sum = 0;
        for (unsigned k = 0; k < 16; k++) {
            unsigned from_a[6], from_b[6];
            const unsigned t = k % 8 / 2;
            memcpy(from_a, cudasim_warp_value(all, 4 * (row % 8) + t), sizeof from_a);
            memcpy(from_b, cudasim_warp_value(all, 4 * col + t), sizeof from_b);
            sum += half_of(from_a[(row >= 8 ? 1 : 0) + (k >= 8 ? 2 : 0)], k % 2) *
                   half_of(from_b[4 + (k >= 8 ? 1 : 0)], k % 2);
        }
        d[i] += sum;
    }
    cudasim_warp_leave(all);
}

/* ---- copies beside the computing: as late as they may be ---- */

void cudasim_copy_async(void *to, const void *from, bool present)
{
    if (((uintptr_t)to | (uintptr_t)from) % 16 != 0)
        cudasim_die("an asynchronous copy of 16 bytes is not aligned to them");
    current->copies.push_back({to, from, present});
}

void cudasim_copy_async_commit(void)
{
    current->groups.push_back(current->copies.size());
}

void cudasim_copy_async_wait(int newest)
{
    fiber *f = current;
    if (f->groups.size() <= (size_t)newest)
        return;
    const size_t n_groups = f->groups.size() - (size_t)newest;
    const size_t end = f->groups[n_groups - 1];
    for (size_t i = 0; i < end; i++) {
        if (f->copies[i].present)
            memcpy(f->copies[i].to, f->copies[i].from, 16);
        else
            memset(f->copies[i].to, 0, 16);
    }
    f->copies.erase(f->copies.begin(), f->copies.begin() + (ptrdiff_t)end);
    f->groups.erase(f->groups.begin(), f->groups.begin() + (ptrdiff_t)n_groups);
    for (size_t &group : f->groups)
        group -= end;
}
