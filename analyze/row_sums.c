#include "analyze/row_sums.h"

/* Sums of so many values apart from each other, which need not wait for one another. A
 * row's are floats. */
enum { LANES = 16 };

static inline double sum_of(const float lanes[LANES])
{
    double sum = 0;
    for (int i = 0; i < LANES; i++)
        sum += (double)lanes[i];
    return sum;
}

double ol_squares_between(const float *restrict x, const float *restrict q, int64_t n)
{
    float lanes[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int k = 0; k < LANES; k++) {
            const float error = q[i + k] - x[i + k];
            lanes[k] += error * error;
        }
    for (int k = 0; i + k < n; k++) {
        const float error = q[i + k] - x[i + k];
        lanes[k] += error * error;
    }
    return sum_of(lanes);
}

double ol_squares_of(const float *x, int64_t n)
{
    float lanes[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int k = 0; k < LANES; k++)
            lanes[k] += x[i + k] * x[i + k];
    for (int k = 0; i + k < n; k++)
        lanes[k] += x[i + k] * x[i + k];
    return sum_of(lanes);
}

void ol_multiply(const float *restrict x, int64_t n, float factor,
                 float *restrict product)
{
    for (int64_t c = 0; c < n; c++)
        product[c] = x[c] * factor;
}
