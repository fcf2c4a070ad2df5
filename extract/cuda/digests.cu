/* Digests and the histogram as results (results.cu):
 *
 *     digest      [ n of occurrences | columns | as many of the list as have room ]
 *     histogram   [ n of other codes | counts of near codes | a list of others ]
 *
 * Where the list of occurrences had no room for all, they are looked for once more when
 * that is known: the rows are to be there as long. Where there are more other codes than
 * their list has room for, the whole histogram comes: there are two, and one is cleared
 * for the next values but one, when it has arrived. */
#include "extract/cuda/digest.cuh"

/* Of a digest, until it arrives. */
struct about {
    struct ol_tensor x;
    uint32_t least;
    int64_t listed; /* occurrences for which there is room */
    struct ol_digest *digest;
};

int ol_cuda_digests_new(struct ol_cuda *cuda, struct ol_error *err)
{
    for (struct ol_cuda_histogram &h : cuda->histograms) {
        h.counts = (unsigned long long *)ol_cuda_memory_new(cuda, OL_CUDA_HISTOGRAM_BYTES,
                                                            "a histogram", err);
        if (h.counts == NULL)
            return -1;
    }
    return 0;
}

void ol_cuda_digests_free(struct ol_cuda *cuda)
{
    for (struct ol_cuda_histogram &h : cuda->histograms) {
        ol_cuda_memory_free(cuda, h.counts, OL_CUDA_HISTOGRAM_BYTES);
        h.counts = NULL;
    }
}

/* The histogram that counts now, cleared since what it counted before; NULL with err. */
static struct ol_cuda_histogram *current(struct ol_cuda *cuda, struct ol_error *err)
{
    struct ol_cuda_histogram *h = &cuda->histograms[cuda->histogram];
    if (h->counts_now)
        return h;
    if ((h->until > 0 && ol_cuda_results_wait(&cuda->base, h->until, err) != 0) ||
        ol_cuda_check(
            cudaMemsetAsync(h->counts, 0, OL_CUDA_HISTOGRAM_BYTES, cuda->stream),
            "clearing a buffer", err) != 0)
        return NULL;
    h->counts_now = true;
    return h;
}

/* ---- more than the list has room for ---- */

/* The rows themselves. */
static int get_codes(struct ol_cuda *cuda, struct ol_tensor x, uint16_t *codes,
                     struct ol_error *err)
{
    const int64_t n = x.n_rows * x.n_cols;
    if (x.dtype == OL_DTYPE_BF16)
        return ol_cuda_get(cuda, x.data, codes, (size_t)n * sizeof *codes, err);
    const int64_t most =
        min(n, cuda->unit / OL_CUDA_DIGEST_SHARES / (int64_t)sizeof *codes);
    uint16_t *room = (uint16_t *)ol_cuda_scratch(cuda, (size_t)most * sizeof *room, err);
    for (int64_t first = 0; first < n; first += most) {
        const int64_t some = min(n - first, most);
        if (room == NULL ||
            ol_cuda_round_codes(cuda, (const float *)x.data + first, some, room, err) !=
                0 ||
            ol_cuda_get(cuda, room, codes + first, (size_t)some * sizeof *codes, err) !=
                0)
            return -1;
    }
    return 0;
}

/* Once more, into a list that has room, unless the rows themselves are shorter. */
static int get_more(struct ol_cuda *cuda, const struct about *a, struct ol_error *err)
{
    struct ol_digest *digest = a->digest;
    const int64_t n = digest->n_occurrences;
    const int64_t most =
        cuda->unit / OL_CUDA_DIGEST_SHARES / (int64_t)sizeof *digest->occurrences;
    if (ol_cuda_enter(cuda, err) != 0)
        return -1;
    digest->listed = n <= min(digest->most_occurrences, most);
    if (!digest->listed)
        return get_codes(cuda, a->x, digest->codes, err);
    const size_t bytes = (size_t)n * sizeof *digest->occurrences;
    const int64_t n_cols = a->x.n_cols;
    struct ol_cuda_occurrences o;
    o.most = (unsigned long long)n;
    o.n = (unsigned long long *)ol_cuda_scratch(cuda, sizeof *o.n, err);
    o.list = (struct ol_occurrence *)ol_cuda_scratch(cuda, bytes, err);
    void *columns = ol_cuda_scratch(cuda, ol_digest_columns_bytes(n_cols), err);
    if (o.n == NULL || o.list == NULL || columns == NULL)
        return -1;
    const struct ol_cuda_digest_task task = {
        a->x, a->least, ol_cuda_columns_in(columns, n_cols), o, NULL};
    if (ol_cuda_check(cudaMemsetAsync(o.n, 0, sizeof *o.n, cuda->stream),
                      "clearing a counter", err) != 0 ||
        ol_cuda_run_digest(cuda, &task, err) != 0)
        return -1;
    return ol_cuda_get(cuda, o.list, digest->occurrences, bytes, err);
}

/* ---- the operations ---- */

static int arrive(struct ol_cuda *cuda, const void *about, const char *from,
                  struct ol_error *err)
{
    const struct about *a = (const struct about *)about;
    struct ol_digest *digest = a->digest;
    const size_t columns = ol_digest_columns_bytes(a->x.n_cols);
    unsigned long long n;
    memcpy(&n, from, sizeof n);
    memcpy(digest->sums, from + OL_DIGEST_COLUMNS_AT, columns);
    digest->n_occurrences = (int64_t)n;
    digest->listed = true;
    if ((int64_t)n > a->listed)
        return get_more(cuda, a, err);
    memcpy(digest->occurrences, from + OL_DIGEST_COLUMNS_AT + columns,
           (size_t)n * sizeof *digest->occurrences);
    return 0;
}

int ol_cuda_digest_begin(struct ol_backend *b, struct ol_tensor x, uint32_t least,
                         struct ol_digest *digest, struct ol_error *err)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    assert(x.n_rows == digest->n_rows && x.n_cols == digest->n_cols &&
           x.n_cols <= OL_NO_COLUMN);
    /* What is not looked for needs no room. */
    const int64_t listed = least > 0 ? ol_digest_listed(x.n_rows * x.n_cols) : 0;
    const struct about about = {x, least, listed, digest};
    const struct ol_cuda_histogram *histogram =
        digest->uncounted ? NULL : current(cuda, err);
    if (histogram == NULL && !digest->uncounted)
        return -1;
    char *to =
        (char *)ol_cuda_result_begin(cuda, ol_digest_result_bytes(x.n_cols, listed), err);
    if (to == NULL)
        return -1;
    char *columns = to + OL_DIGEST_COLUMNS_AT;
    struct ol_cuda_digest_task task = {};
    task.x = x;
    task.least = least;
    task.columns = ol_cuda_columns_in(columns, x.n_cols);
    task.occurrences.n = (unsigned long long *)(void *)to;
    task.occurrences.list =
        (struct ol_occurrence *)(void *)(columns + ol_digest_columns_bytes(x.n_cols));
    task.occurrences.most = (unsigned long long)listed;
    task.histogram = histogram != NULL ? histogram->counts : NULL;
    if (ol_cuda_check(cudaMemsetAsync(to, 0, sizeof *task.occurrences.n, cuda->stream),
                      "clearing a counter", err) != 0 ||
        ol_cuda_run_digest(cuda, &task, err) != 0)
        return -1;
    return ol_cuda_result_end(cuda, arrive, &about, sizeof about, err);
}

/* Of a histogram, until it arrives. */
struct taken {
    const unsigned long long *histogram;
    int64_t *counts;
};

static int arrive_counts(struct ol_cuda *cuda, const void *about, const char *from,
                         struct ol_error *err)
{
    const struct taken *t = (const struct taken *)about;
    const void *at = from;
    const struct ol_cuda_taken_counts *taken = (const struct ol_cuda_taken_counts *)at;
    if (taken->n_others > OL_CUDA_OTHER_CODES)
        return ol_cuda_get(cuda, t->histogram, t->counts, OL_CUDA_HISTOGRAM_BYTES, err);
    memset(t->counts, 0, OL_N_CODES * sizeof *t->counts);
    for (unsigned i = 0; i < OL_CUDA_NEAR_CODES; i++)
        t->counts[ol_cuda_code_at(i)] = (int64_t)taken->near_counts[i];
    for (unsigned long long i = 0; i < taken->n_others; i++)
        t->counts[taken->others[i].code] = (int64_t)taken->others[i].count;
    return 0;
}

int ol_cuda_histogram_begin(struct ol_backend *b, int64_t *counts, struct ol_error *err)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    struct ol_cuda_histogram *h = current(cuda, err);
    if (h == NULL)
        return -1;
    const struct taken taken = {h->counts, counts};
    struct ol_cuda_taken_counts *to =
        (struct ol_cuda_taken_counts *)ol_cuda_result_begin(cuda, sizeof *to, err);
    if (to == NULL ||
        ol_cuda_check(
            cudaMemsetAsync(&to->n_others, 0, sizeof to->n_others, cuda->stream),
            "clearing a counter", err) != 0 ||
        ol_cuda_take_counts(cuda, h->counts, to, err) != 0 ||
        ol_cuda_result_end(cuda, arrive_counts, &taken, sizeof taken, err) != 0)
        return -1;
    h->counts_now = false;
    h->until = b->n_results;
    cuda->histogram = 1 - cuda->histogram;
    return 0;
}
