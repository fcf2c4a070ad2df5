/* What every tool does before anything else, and what it removes however it ends. */
#ifndef OL_PROCESS_H
#define OL_PROCESS_H

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

/* The first statement of every main. Descriptors 0 to 2 that came closed are opened on
 * /dev/null, the wrong way round, so that no file takes their place and what would be
 * lost there is an error. A limit of the file size (SIGXFSZ) becomes a write that fails.
 * Signals that end the process remove its temporary files first. */
void ol_process_begin(void);

/* Whether standard output came closed: who closed it does not want what is printed beside
 * a file. */
bool ol_process_stdout_closed(void);

/* path of a file, or of a folder with all that is in it, which stays the caller's and
 * must not change, is removed if the process ends
 * before it is released: by exit() or by a signal that can be caught. At most
 * OL_MOST_TEMPORARIES at a time. */
enum { OL_MOST_TEMPORARIES = 8 };
void ol_process_guard(const char *path);
void ol_process_release(const char *path);

/* The child that is waited for, which leads a group of its own: the group is killed if
 * the process ends before, as above. One at a time; 0: no more. */
void ol_process_guard_child(pid_t pid);

/* Block, in the calling thread, the signals that come from outside: around the start of a
 * thread, which inherits it, so that the main thread alone is interrupted. Those that a
 * thread causes itself (SIGBUS of a mapped file, say) stay: blocked, they would end the
 * process without their handler. Undone by pthread_sigmask(SIG_SETMASK, before, NULL). */
void ol_process_block_signals(sigset_t *before);

/* While it is deferred, SIGTERM is only noted, and ends the process when it comes again:
 * for work that can be left where it may be taken up again. _undefer() raises nothing; a
 * SIGTERM that is ignored stays ignored. */
void ol_process_defer_term(void);
void ol_process_undefer_term(void);
bool ol_process_term_came(void);

/* End as that signal would have. */
void ol_process_end_by_term(void);

/* Remove all of them now, or also write a line, with its end, to an open file and end
 * with status 1. Async-signal-safe: for handlers of other signals. */
void ol_process_remove_temporaries(void);
void ol_process_end(int fd, const char *line) __attribute__((noreturn));

#endif
