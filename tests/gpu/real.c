/* On a real device the tests' settings of simulated ones do nothing, and nothing is known
 * of what is in use. */
#include "tests/cudasim/cudasim.h"

void cudasim_reset(void)
{
}

void cudasim_set_devices(int n, size_t bytes_each)
{
    (void)n;
    (void)bytes_each;
}

void cudasim_set_schedule(unsigned seed)
{
    (void)seed;
}

void cudasim_set_shared(size_t bytes)
{
    (void)bytes;
}

void cudasim_set_failure(long n)
{
    (void)n;
}

int cudasim_failed(void)
{
    return 0;
}

size_t cudasim_used(void)
{
    return 0;
}

size_t cudasim_peak(void)
{
    return 0;
}

int cudasim_handles(void)
{
    return 0;
}

void cudasim_set_speeds(const struct cudasim_speeds *speeds)
{
    (void)speeds;
}

void cudasim_count_begin(void)
{
}

struct cudasim_counts cudasim_counted(void)
{
    const struct cudasim_counts none = {0};
    return none;
}
