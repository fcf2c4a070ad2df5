/* Owns the process's signal handlers, how it came by standard output, and the list of
 * files that it is to remove. The list is read by handlers: a slot holds a whole pointer
 * or NULL at any moment. */
#include "common/process.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static _Atomic(const char *) temporaries[OL_MOST_TEMPORARIES];
static _Atomic pid_t child; /* 0: none */
static bool stdout_closed;

void ol_process_guard(const char *path)
{
    int i = 0;
    const char *none = NULL;
    for (; i < OL_MOST_TEMPORARIES; i++, none = NULL)
        if (atomic_compare_exchange_strong(&temporaries[i], &none, path))
            break;
    assert(i < OL_MOST_TEMPORARIES);
}

void ol_process_release(const char *path)
{
    for (int i = 0; i < OL_MOST_TEMPORARIES; i++) {
        const char *found = path;
        if (atomic_compare_exchange_strong(&temporaries[i], &found, NULL))
            return;
    }
}

void ol_process_guard_child(pid_t pid)
{
    atomic_store(&child, pid);
}

/* Another program does it: this may run in a handler. */
static void remove_folder(const char *path)
{
    const pid_t remover = fork();
    if (remover == 0) {
        execl("/bin/rm", "rm", "-rf", "--", path, (char *)NULL);
        _exit(1);
    }
    while (remover > 0 && waitpid(remover, NULL, 0) < 0 && errno == EINTR)
        continue;
}

void ol_process_remove_temporaries(void)
{
    const pid_t pid = atomic_exchange(&child, 0);
    if (pid > 0) {
        kill(-pid, SIGKILL);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            continue;
    }
    for (int i = 0; i < OL_MOST_TEMPORARIES; i++) {
        const char *path = atomic_exchange(&temporaries[i], NULL);
        if (path != NULL && unlink(path) != 0 && errno == EISDIR)
            remove_folder(path);
    }
}

void ol_process_end(int fd, const char *line)
{
    ol_process_remove_temporaries();
    if (write(fd, line, strlen(line)) < 0)
        _exit(1);
    _exit(1);
}

void ol_process_block_signals(sigset_t *before)
{
    static const int own[] = {SIGBUS, SIGSEGV, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT};
    sigset_t set;
    sigfillset(&set);
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        sigdelset(&set, own[i]);
    pthread_sigmask(SIG_SETMASK, &set, before);
}

/* The signal is raised again and ends the process when the handler, which is gone by
 * then, returns: whoever waits for it is told the truth. */
static void on_signal(int number)
{
    ol_process_remove_temporaries();
    raise(number);
}

static void catch_signals(void)
{
    static const int signals[] = {SIGTERM, SIGINT,  SIGHUP,  SIGQUIT,
                                  SIGPIPE, SIGABRT, SIGXCPU, SIGALRM};
    struct sigaction action = {.sa_flags = (int)SA_RESETHAND}, before;
    action.sa_handler = on_signal;
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
        /* What nohup, or a shell's background job, ignores stays ignored. */
        if (sigaction(signals[i], NULL, &before) == 0 && before.sa_handler == SIG_DFL)
            sigaction(signals[i], &action, NULL);
    signal(SIGXFSZ, SIG_IGN);
}

/* ---- SIGTERM that waits ---- */

static volatile sig_atomic_t term_came;

static void set_term(void (*handler)(int), int flags)
{
    struct sigaction action = {.sa_flags = flags}, before;
    action.sa_handler = handler;
    sigemptyset(&action.sa_mask);
    if (sigaction(SIGTERM, NULL, &before) == 0 && before.sa_handler != SIG_IGN)
        sigaction(SIGTERM, &action, NULL);
}

static void on_deferred_term(int number)
{
    (void)number;
    term_came = 1;
    set_term(on_signal, (int)SA_RESETHAND);
}

void ol_process_defer_term(void)
{
    set_term(on_deferred_term, SA_RESTART);
}

void ol_process_undefer_term(void)
{
    set_term(on_signal, (int)SA_RESETHAND);
}

bool ol_process_term_came(void)
{
    return term_came != 0;
}

void ol_process_end_by_term(void)
{
    ol_process_undefer_term();
    raise(SIGTERM);
}

static void fill_descriptors(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) != -1 || errno != EBADF)
            continue;
        stdout_closed = stdout_closed || fd == STDOUT_FILENO;
        /* Those below are open: the lowest that is free is this one. */
        if (open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) < 0 &&
            open("/", O_RDONLY | O_DIRECTORY) < 0)
            _exit(1);
    }
}

bool ol_process_stdout_closed(void)
{
    return stdout_closed;
}

void ol_process_begin(void)
{
    fill_descriptors();
    catch_signals();
    atexit(ol_process_remove_temporaries);
}
