/* For build/tests/ol-extract-sim, ol-extract on simulated devices: what tests of it say
 * in the environment. CUDASIM_DEVICES: how many (1), CUDASIM_MIB: memory of each (64),
 * CUDASIM_SCHEDULE: as of cudasim_set_schedule, CUDASIM_FAILURE: which call fails. */
#include <stdlib.h>

#include "tests/cudasim/cudasim.h"

static long setting(const char *name, long otherwise)
{
    const char *text = getenv(name);
    return text != NULL ? strtol(text, NULL, 10) : otherwise;
}

__attribute__((constructor)) static void set(void)
{
    cudasim_set_devices((int)setting("CUDASIM_DEVICES", 1),
                        (size_t)setting("CUDASIM_MIB", 64) << 20);
    cudasim_set_schedule((unsigned)setting("CUDASIM_SCHEDULE", 0));
    cudasim_set_failure(setting("CUDASIM_FAILURE", -1));
}
