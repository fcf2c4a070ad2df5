#include "extract/run/speed.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/clock.h"

double ol_speed_of_products(struct ol_backend *b, struct ol_error *err)
{
    enum { ROWS = 1024, WIDTH = 2048 };
    const double most_seconds = 0.1;
    struct ol_tensor x = {0}, out = {0};
    uint16_t *weight = ol_xcalloc((size_t)WIDTH * WIDTH, sizeof *weight);
    float row[WIDTH]; /* room for either type */
    double rate = -1;
    for (size_t i = 0; i < (size_t)WIDTH * WIDTH; i++)
        weight[i] = ol_bf16_from_f32((float)(i % 251) / 251);
    if (b->op->tensor_new(b, b->dtype, ROWS, WIDTH, &x, err) == 0 &&
        b->op->tensor_new(b, b->dtype, ROWS, WIDTH, &out, err) == 0) {
        const struct ol_matmul product = {
            .x = x,
            .weight = ol_weight_plain(weight, OL_DTYPE_BF16, WIDTH, WIDTH),
            .out = out};
        double seconds = 0;
        int n = -1; /* the first is to warm up */
        for (double start = ol_clock_seconds(); n < 1 || seconds < most_seconds; n++) {
            /* A device is not done before something of the result is there. */
            if (b->op->matmul(b, &product, 1, err) != 0 ||
                b->op->download(b, ol_tensor_rows(out, 0, 1), row, err) != 0)
                goto out;
            if (n < 0)
                start = ol_clock_seconds();
            seconds = ol_clock_seconds() - start;
        }
        rate = 2.0 * ROWS * WIDTH * WIDTH * n / seconds;
    }
out:
    b->op->tensor_free(b, &x);
    b->op->tensor_free(b, &out);
    free(weight);
    return rate;
}

double ol_speed_of_reading(const struct ol_checkpoint *c)
{
    enum { PIECE = 8 << 20, MOST = 256 << 20 };
    const int fd = c != NULL ? open(ol_checkpoint_path(c, 0), O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return 0;
    char *buffer = ol_xmalloc(PIECE);
    const double start = ol_clock_seconds();
    int64_t total = 0;
    for (ssize_t n; total < MOST && (n = read(fd, buffer, PIECE)) > 0;)
        total += n;
    const double seconds = ol_clock_seconds() - start;
    free(buffer);
    close(fd);
    return total >= PIECE && seconds > 0 ? (double)total / seconds : 0;
}
