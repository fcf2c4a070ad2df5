/* A library that reads a file which may be damaged: it may crash on it, never come to an
 * end, or take ever more memory, where it believes what it should have checked. */
#ifndef OL_CRASH_GUARD_H
#define OL_CRASH_GUARD_H

#include <stdint.h>

/* From here to the end, in the calling thread, this ends the process with one line that
 * names the file, its temporary files removed, and status 1: a signal that says that the
 * library crashed (SIGSEGV, SIGBUS, SIGFPE, SIGABRT, a stack without end); a step, which
 * is a call of the library or a few, that takes more than OL_GUARD_SECONDS of processor
 * time and 1 more for each OL_GUARD_BYTES_PER_SECOND that it is to give; or one after
 * which the process has OL_GUARD_BYTES more than before, and twice what it is to
 * give. What others write to stderr meanwhile appears at the end: the C library says
 * something of its own before it gives up a heap that was overwritten. Not to be nested,
 * and of one thread at a time. */
void ol_crash_guard_begin(const char *path, const char *library);
void ol_crash_guard_end(void);

/* The next step begins, which is to give so many bytes; what it takes is counted from the
 * tenth of a second on in which it begins. Nothing without a guard. */
void ol_crash_guard_step(uint64_t bytes);

enum {
    OL_GUARD_SECONDS = 4,
    OL_GUARD_BYTES_PER_SECOND = 4 << 20, /* a slow inflate, in a slow checker of memory */
    OL_GUARD_BYTES = 256 << 20,
};

#endif
