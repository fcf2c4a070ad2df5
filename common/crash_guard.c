/* Owns the handlers of signals that a library causes, a clock that looks at it every
 * tenth of a second of processor time, and stderr while it works. Handlers read what was
 * filled in before they were there. */
#include "common/crash_guard.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "common/error.h"
#include "common/process.h"

enum { STACK_BYTES = 1 << 16, TICK_MICROSECONDS = 100000 };
static const int crashes[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
enum { N_CRASHES = sizeof crashes / sizeof crashes[0] };

static struct {
    char *crashed, *endless, *greedy; /* lines */
    struct sigaction before[N_CRASHES], before_tick;
    struct itimerval timer_before;
    stack_t stack_before;
    /* A stack that has no end leaves no room for the handler. */
    char stack[STACK_BYTES];
    clockid_t clock;    /* of the library's thread */
    int kept, messages; /* stderr as it was, and what stands for it; -1: itself */
    int statm;          /* /proc/self/statm; -1: there is none */
    int64_t page_bytes;
    bool there;                 /* is read by the library's thread alone */
    atomic_uint_fast64_t step;  /* how many have begun, */
    atomic_uint_fast64_t bytes; /* what the last one is to give */
    /* Of the handler: the step that the tick before saw, and what ends that: nanoseconds
     * of the clock and bytes of memory. */
    atomic_uint_fast64_t seen;
    atomic_int_fast64_t end, most_memory;
} guard;

static __attribute__((noreturn)) void end_with(const char *line)
{
    ol_process_end(guard.kept >= 0 ? guard.kept : STDERR_FILENO, line);
}

static void on_crash(int number)
{
    (void)number;
    end_with(guard.crashed);
}

static int64_t clock_of_library(void)
{
    struct timespec t = {0};
    clock_gettime(guard.clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Of the process, without pages of files: what is mapped comes in while others read it.
 * statm: pages of addresses, in memory, and of these of files. 0: not known. */
static int64_t memory_taken(void)
{
    char text[96];
    int64_t numbers[3] = {0};
    const ssize_t n = guard.statm >= 0 ? pread(guard.statm, text, sizeof text, 0) : 0;
    int i = 0;
    for (ssize_t at = 0; at < n && i < 3; at++) {
        if (text[at] == ' ')
            i++;
        else if (text[at] >= '0' && text[at] <= '9')
            numbers[i] = 10 * numbers[i] + (text[at] - '0');
    }
    return i == 3 ? (numbers[1] - numbers[2]) * guard.page_bytes : 0;
}

/* What the step that is under way may take from here on. A tick does that and not the
 * step itself, of which there are thousands, most of a few microseconds. */
static void allow(uint64_t step)
{
    const uint64_t bytes = atomic_load(&guard.bytes), most = INT64_MAX / 4 / 1000000000,
                   seconds = bytes / OL_GUARD_BYTES_PER_SECOND;
    atomic_store(&guard.seen, step);
    atomic_store(&guard.end,
                 clock_of_library() +
                     (OL_GUARD_SECONDS + (int64_t)(seconds < most ? seconds : most)) *
                         1000000000);
    atomic_store(&guard.most_memory,
                 memory_taken() + OL_GUARD_BYTES +
                     2 * (int64_t)(bytes < INT64_MAX / 8 ? bytes : INT64_MAX / 8));
}

/* In any thread: the clock is of the process's processor time, and other threads may use
 * most of it. */
static void on_tick(int number)
{
    const int code = errno;
    const uint64_t step = atomic_load(&guard.step);
    (void)number;
    if (step != atomic_load(&guard.seen))
        allow(step);
    else if (clock_of_library() > atomic_load(&guard.end))
        end_with(guard.endless);
    else if (memory_taken() > atomic_load(&guard.most_memory))
        end_with(guard.greedy);
    errno = code;
}

void ol_crash_guard_step(uint64_t bytes)
{
    if (!guard.there)
        return;
    atomic_store(&guard.bytes, bytes);
    atomic_fetch_add(&guard.step, 1);
}

/* ---- stderr ---- */

static void take_stderr(void)
{
    guard.messages = memfd_create("messages", MFD_CLOEXEC);
    guard.kept = guard.messages >= 0 ? fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3) : -1;
    if (guard.kept >= 0)
        dup2(guard.messages, STDERR_FILENO);
}

static void give_stderr_back(void)
{
    char bytes[4096];
    if (guard.kept >= 0) {
        dup2(guard.kept, STDERR_FILENO);
        close(guard.kept);
        off_t at = 0;
        for (ssize_t n; (n = pread(guard.messages, bytes, sizeof bytes, at)) > 0; at += n)
            if (write(STDERR_FILENO, bytes, (size_t)n) < 0)
                break;
    }
    if (guard.messages >= 0)
        close(guard.messages);
    guard.kept = guard.messages = -1;
}

/* Who ends the process while the library works has said why. */
static void end_within(void)
{
    if (guard.there)
        give_stderr_back();
}

static void watch_exit(void)
{
    static bool done;
    if (!done)
        atexit(end_within);
    done = true;
}

/* ---- begin and end ---- */

static void catch_all(void)
{
    const stack_t stack = {.ss_sp = guard.stack, .ss_size = sizeof guard.stack};
    struct sigaction action = {.sa_flags = SA_ONSTACK},
                     tick = {.sa_flags = (int)SA_RESTART};
    action.sa_handler = on_crash;
    sigemptyset(&action.sa_mask);
    sigaltstack(&stack, &guard.stack_before);
    for (int i = 0; i < N_CRASHES; i++)
        sigaction(crashes[i], &action, &guard.before[i]);
    tick.sa_handler = on_tick;
    sigemptyset(&tick.sa_mask);
    sigaction(SIGPROF, &tick, &guard.before_tick);
}

void ol_crash_guard_begin(const char *path, const char *library)
{
    const struct timeval tick = {0, TICK_MICROSECONDS};
    const struct itimerval timer = {tick, tick};
    guard.crashed = ol_line("%s: is damaged in a way that makes %s crash", path, library);
    guard.endless =
        ol_line("%s: is damaged in a way that %s finds no end of", path, library);
    guard.greedy = ol_line("%s: is damaged in a way that makes %s take ever more memory",
                           path, library);
    if (pthread_getcpuclockid(pthread_self(), &guard.clock) != 0)
        guard.clock = CLOCK_PROCESS_CPUTIME_ID;
    guard.statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    guard.page_bytes = sysconf(_SC_PAGESIZE);
    guard.there = true;
    ol_crash_guard_step(0);
    allow(atomic_load(&guard.step));
    watch_exit();
    take_stderr();
    catch_all();
    setitimer(ITIMER_PROF, &timer, &guard.timer_before);
}

void ol_crash_guard_end(void)
{
    setitimer(ITIMER_PROF, &guard.timer_before, NULL);
    /* A tick that is on its way must not meet the action that ends the process. */
    struct sigaction ignore = {0};
    ignore.sa_handler = SIG_IGN;
    sigaction(SIGPROF, &ignore, NULL);
    sigaction(SIGPROF, &guard.before_tick, NULL);
    for (int i = 0; i < N_CRASHES; i++)
        sigaction(crashes[i], &guard.before[i], NULL);
    sigaltstack(&guard.stack_before, NULL);
    give_stderr_back();
    if (guard.statm >= 0)
        close(guard.statm);
    guard.there = false;
    free(guard.crashed);
    free(guard.endless);
    free(guard.greedy);
    guard.crashed = guard.endless = guard.greedy = NULL;
}
