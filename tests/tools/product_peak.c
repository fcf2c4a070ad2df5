/* product_peak bf16|f32 [THREADS [SECONDS]]: what the backend's matrix product reaches at
 * its best, 4096 rows by 2048 by 2048 again and again, in GFLOP/s; with SECONDS its mean
 * over as many, to run beside what is compared with it. The measure for whole runs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "extract/backend.h"

enum { ROWS = 4096, WIDTH = 2048, TIMES = 10, ROUNDS = 3 };
static const double FLOP = 2.0 * TIMES * ROWS * WIDTH * WIDTH; /* of a round */

int main(int argc, char **argv)
{
    struct ol_error err = {0};
    const bool f32 = argc > 1 && strcmp(argv[1], "f32") == 0;
    const enum ol_dtype dtype = f32 ? OL_DTYPE_F32 : OL_DTYPE_BF16;
    struct ol_backend *b = ol_cpu_open(dtype, argc > 2 ? atoi(argv[2]) : 0, &err);
    struct ol_tensor x, out;
    if (b == NULL || b->op->tensor_new(b, dtype, ROWS, WIDTH, &x, &err) != 0 ||
        b->op->tensor_new(b, dtype, ROWS, WIDTH, &out, &err) != 0) {
        fprintf(stderr, "product_peak: %s\n", err.text);
        return 1;
    }
    const size_t n = (size_t)WIDTH * WIDTH, bytes = ol_dtype_size(dtype);
    char *weight = ol_xmalloc(n * bytes);
    float value;
    for (size_t i = 0; i < n; i++) {
        value = (float)(i % 17) / 16 - 0.5F;
        ol_from_f32(dtype, &value, weight + i * bytes, 1);
    }
    memset(x.data, 0, (size_t)ROWS * WIDTH * bytes);
    const struct ol_matmul product = {
        .x = x, .weight = ol_weight_plain(weight, dtype, WIDTH, WIDTH), .out = out};
    const double asked = argc > 3 ? atof(argv[3]) : 0;
    double best = 0, all = 0;
    int round = 0;
    for (; all < asked || (asked == 0 && round < ROUNDS); round++) {
        struct timespec start, end;
        clock_gettime(CLOCK_MONOTONIC, &start);
        for (int i = 0; i < TIMES; i++)
            if (b->op->matmul(b, &product, 1, &err) != 0)
                return 1;
        clock_gettime(CLOCK_MONOTONIC, &end);
        const double seconds = (double)(end.tv_sec - start.tv_sec) +
                               1e-9 * (double)(end.tv_nsec - start.tv_nsec);
        const double speed = FLOP / seconds / 1e9;
        best = speed > best ? speed : best;
        all += seconds;
    }
    printf("%.0f\n", asked > 0 ? round * FLOP / all / 1e9 : best);
    b->op->tensor_free(b, &x);
    b->op->tensor_free(b, &out);
    b->op->close(b);
    free(weight);
    return 0;
}
