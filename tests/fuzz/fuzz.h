/* Fuzz targets: one file tests/fuzz/fuzz_NAME.c each, found by its name. It defines
 * LLVMFuzzerTestOneInput, which takes any bytes, must not crash, hang or leak, and fails
 * by abort; and fuzz_seeds. With tests/fuzz/driver.c it is a plain program whose cases
 * are the same everywhere (a short run in `make test`, a long one in `make fuzz`); built
 * with clang -fsanitize=fuzzer it is guided by coverage (`make fuzz FUZZER=libfuzzer`).
 */
#ifndef OL_FUZZ_H
#define OL_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Patterns (glob) of the files that cases are made of, from the root of the tree; ends
 * with NULL. */
extern const char *const fuzz_seeds[];

/* Cases of the short run. */
extern const int fuzz_short_run;

#endif
