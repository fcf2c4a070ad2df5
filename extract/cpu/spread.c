#include "extract/cpu/spread.h"

#include <stdlib.h>
#include <string.h>

#include "extract/cpu/gemm_bf16.h"

enum { MOST_BYTES = 64 << 20, LINE = 32 /* values of a cache line */ };

struct copy {
    struct ol_tensor x;
    uint16_t *to;
    int64_t distance, first; /* of its rows among those of all copies */
};

struct job {
    struct copy *copies;
    int n;
    int64_t n_rows;
};

static int64_t most_distance(int64_t n_cols)
{
    return n_cols + 2 * LINE;
}

int64_t ol_cpu_spread_bytes(enum ol_dtype dtype, int64_t n_rows, int64_t n_cols)
{
    if (dtype != OL_DTYPE_BF16 || ol_gemm_bf16_kind() == NULL)
        return 0;
    const int64_t row = most_distance(n_cols) * (int64_t)sizeof(uint16_t);
    return n_rows > MOST_BYTES / row ? MOST_BYTES : n_rows * row;
}

/* The distance of a copy, or of the rows as they lie where no copy is worth it: one that
 * is read for a single block of columns. */
static int64_t distance_for(const struct ol_matmul *p)
{
    const int64_t n = p->x.n_cols, k = p->weight.n_cols;
    if (!ol_cpu_multiplies_bf16(p) || p->weight.n_rows * k / n <= ol_gemm_bf16_columns(k))
        return n;
    const int64_t distance = ol_gemm_bf16_distance(n, k);
    return p->x.n_rows > MOST_BYTES / (distance * (int64_t)sizeof(uint16_t)) ? n
                                                                             : distance;
}

/* Of the same rows; NULL: there is none yet. */
static const struct copy *find(const struct job *job, struct ol_tensor x,
                               int64_t distance)
{
    for (int i = job->n - 1; i >= 0; i--) {
        const struct copy *c = &job->copies[i];
        if (c->x.data == x.data && c->x.n_rows == x.n_rows && c->x.n_cols == x.n_cols &&
            c->distance == distance)
            return c;
    }
    return NULL;
}

static void copy_rows(void *arg, int64_t first, int64_t end, int thread)
{
    (void)thread;
    const struct job *job = arg;
    for (int i = 0; i < job->n; i++) {
        const struct copy *c = &job->copies[i];
        const int64_t from = first > c->first ? first - c->first : 0;
        const int64_t to = end - c->first < c->x.n_rows ? end - c->first : c->x.n_rows;
        const size_t values = (size_t)c->x.n_cols, more = (size_t)c->distance - values;
        for (int64_t row = from; row < to; row++) {
            uint16_t *at = c->to + row * c->distance;
            memcpy(at, ol_cpu_row(c->x, row), values * sizeof *at);
            memset(at + values, 0, more * sizeof *at);
        }
    }
}

int ol_cpu_spread(struct ol_cpu *cpu, const struct ol_matmul *products, int n,
                  struct ol_cpu_operand *operands)
{
    struct job job = {.copies = ol_xmalloc((size_t)n * sizeof *job.copies)};
    int64_t values = 0, columns = 1;
    int done = 0;
    for (; done < n; done++) {
        const struct ol_matmul *p = &products[done];
        const int64_t distance = distance_for(p);
        operands[done] = (struct ol_cpu_operand){NULL, distance};
        if (distance == p->x.n_cols || find(&job, p->x, distance) != NULL)
            continue;
        if ((values + p->x.n_rows * distance) * (int64_t)sizeof(uint16_t) > MOST_BYTES)
            break;
        job.copies[job.n++] = (struct copy){p->x, NULL, distance, job.n_rows};
        values += p->x.n_rows * distance;
        job.n_rows += p->x.n_rows;
        columns = p->x.n_cols > columns ? p->x.n_cols : columns;
    }
    uint16_t *to = values > 0 ? ol_cpu_spread_room(cpu, (size_t)values) : NULL;
    for (int i = 0; i < job.n; i++) {
        job.copies[i].to = to;
        to += job.copies[i].x.n_rows * job.copies[i].distance;
    }
    ol_cpu_rows(cpu, job.n_rows, columns, copy_rows, &job);
    for (int i = 0; i < done; i++) {
        const struct copy *c = find(&job, products[i].x, operands[i].distance);
        operands[i].data = c != NULL ? c->to : products[i].x.data;
    }
    free(job.copies);
    return done;
}
