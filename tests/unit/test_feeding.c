/* How weights come to where they are used: read from the disk by several threads within a
 * bound (stream.h), and sent to a device ahead of their use (the backend's prefetch). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/error.h"
#include "common/mapping.h"
#include "extract/backend.h"
#include "extract/forward/expert_groups.h"
#include "extract/forward/experts.h"
#include "extract/run/model.h"
#include "extract/weights/stream.h"
#include "tests/unit/backends.h"

#define OK(call)                                                                         \
    do {                                                                                 \
        struct ol_error err = {0};                                                       \
        if ((call) != 0)                                                                 \
            fail_msg("%s", err.text);                                                    \
    } while (0)

/* ---- to the device ---- */

enum { N_WEIGHTS = 40, ROWS = 256, COLUMNS = 512, N_TOKENS = 37 };

/* A quarter of a segment each as bf16: all of them are several times the whole ring. */
static struct ol_weight weight_of(const uint16_t *codes, int i)
{
    return ol_weight_plain(codes + (size_t)i * ROWS * COLUMNS, OL_DTYPE_BF16, ROWS,
                           COLUMNS);
}

static int64_t sent(struct ol_backend *b)
{
    return b->op->usage(b).link_bytes;
}

/* Products with all weights, of which those are sent ahead that `ahead` says: how many
 * before the one that is used. */
static uint16_t *products(const uint16_t *codes, int ahead, int way)
{
    struct ol_backend *b = test_backend_open(TEST_CUDA, OL_DTYPE_BF16, way);
    struct ol_tensor x, out;
    const size_t n = (size_t)N_TOKENS * ROWS;
    uint16_t *all = ol_xcalloc(n * N_WEIGHTS, sizeof *all);
    OK(b->op->tensor_new(b, OL_DTYPE_BF16, N_TOKENS, COLUMNS, &x, &err));
    OK(b->op->tensor_new(b, OL_DTYPE_BF16, N_TOKENS, ROWS, &out, &err));
    OK(b->op->upload(b, x, codes + 99, &err));
    for (int i = 0; i < N_WEIGHTS; i++) {
        for (int k = i; k < i + ahead && k < N_WEIGHTS; k++) {
            const struct ol_weight next = weight_of(codes, k);
            OK(b->op->prefetch(b, &next, 1, &err));
        }
        const struct ol_matmul product = {
            .x = x, .weight = weight_of(codes, i), .out = out};
        OK(b->op->matmul(b, &product, 1, &err));
        OK(b->op->download(b, out, all + (size_t)i * n, &err));
    }
    b->op->tensor_free(b, &out);
    b->op->tensor_free(b, &x);
    test_backend_close(b);
    return all;
}

static uint16_t *random_codes(size_t n)
{
    uint16_t *codes = ol_xcalloc(n, sizeof *codes);
    uint64_t seed = 5;
    for (size_t i = 0; i < n; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        const float value = (float)((double)(seed >> 11) * 0x1p-52 - 1);
        ol_from_f32(OL_DTYPE_BF16, &value, &codes[i], 1);
    }
    return codes;
}

static void test_ahead(void **state)
{
    (void)state;
    uint16_t *codes = random_codes((size_t)N_WEIGHTS * ROWS * COLUMNS);
    for (int way = 0; way < TEST_WAYS; way++) {
        uint16_t *want = products(codes, 0, way);
        const int aheads[] = {1, 2, 3, 7, N_WEIGHTS};
        for (size_t i = 0; i < sizeof aheads / sizeof aheads[0]; i++) {
            uint16_t *got = products(codes, aheads[i], way);
            assert_memory_equal(got, want,
                                (size_t)N_WEIGHTS * N_TOKENS * ROWS * sizeof *got);
            free(got);
        }
        free(want);
    }
    free(codes);
}

/* All products of a call beside each other, with what is there just before and gone just
 * after; every third weight has to be decoded first, some are used twice in a row. */
static uint16_t *products_at_once(const uint16_t *codes, bool one_by_one, int seed)
{
    enum { ALL = N_WEIGHTS };
    struct ol_backend *b = test_backend_open(TEST_CUDA, OL_DTYPE_BF16, seed);
    struct ol_tensor x, y, out;
    struct ol_matmul all[ALL];
    uint16_t *found = ol_xcalloc((size_t)ALL * N_TOKENS * ROWS, sizeof *found);
    OK(b->op->tensor_new(b, OL_DTYPE_BF16, N_TOKENS, COLUMNS, &x, &err));
    OK(b->op->tensor_new(b, OL_DTYPE_BF16, N_TOKENS, COLUMNS, &y, &err));
    OK(b->op->tensor_new(b, OL_DTYPE_BF16, ALL * N_TOKENS, ROWS, &out, &err));
    for (int i = 0; i < ALL; i++) {
        all[i] = (struct ol_matmul){.x = x,
                                    .weight = weight_of(codes, i % 3 == 1 ? i - 1 : i),
                                    .out = ol_tensor_rows(out, i * N_TOKENS, N_TOKENS)};
        if (i % 3 == 2)
            all[i].weight.dtype = OL_DTYPE_F16;
    }
    OK(b->op->upload(b, y, codes + 99, &err));
    OK(b->op->add(b, x, y, &err));
    OK(b->op->matmul(b, all, one_by_one ? 1 : ALL, &err));
    for (int i = 1; one_by_one && i < ALL; i++)
        OK(b->op->matmul(b, &all[i], 1, &err));
    OK(b->op->zero(b, x, &err));
    OK(b->op->download(b, out, found, &err));
    b->op->tensor_free(b, &out);
    b->op->tensor_free(b, &y);
    b->op->tensor_free(b, &x);
    test_backend_close(b);
    return found;
}

static void test_beside(void **state)
{
    (void)state;
    uint16_t *codes = random_codes((size_t)N_WEIGHTS * ROWS * COLUMNS);
    uint16_t *want = products_at_once(codes, true, 0);
    for (int seed = 0; seed < 8; seed++) {
        uint16_t *got = products_at_once(codes, false, seed);
        assert_memory_equal(got, want, (size_t)N_WEIGHTS * N_TOKENS * ROWS * sizeof *got);
        free(got);
    }
    free(want);
    free(codes);
}

/* What was sent ahead is not sent again, and no more is sent than stays there. */
static void test_ahead_once(void **state)
{
    (void)state;
    const int64_t bytes = (int64_t)ROWS * COLUMNS * 2;
    uint16_t *codes = random_codes((size_t)N_WEIGHTS * ROWS * COLUMNS);
    struct ol_backend *b = test_backend_open(TEST_CUDA, OL_DTYPE_BF16, 0);
    struct ol_tensor x, out;
    struct ol_weight weights[N_WEIGHTS];
    for (int i = 0; i < N_WEIGHTS; i++)
        weights[i] = weight_of(codes, i);
    OK(b->op->tensor_new(b, OL_DTYPE_BF16, N_TOKENS, COLUMNS, &x, &err));
    OK(b->op->tensor_new(b, OL_DTYPE_BF16, N_TOKENS, ROWS, &out, &err));
    int64_t before = sent(b);
    OK(b->op->prefetch(b, weights, 1, &err));
    assert_int_equal(sent(b) - before, bytes);
    OK(b->op->prefetch(b, weights, N_WEIGHTS, &err));
    const int64_t ahead = (sent(b) - before) / bytes;
    /* Half of four segments of four weights; all, on a real device. */
    assert_true((ahead >= 6 && ahead <= 8) || ahead == N_WEIGHTS);
    before = sent(b);
    for (int i = 0; i < ahead; i++) {
        const struct ol_matmul product = {.x = x, .weight = weights[i], .out = out};
        OK(b->op->matmul(b, &product, 1, &err));
    }
    assert_int_equal(sent(b), before);
    /* Now there is room for others. */
    if (ahead < N_WEIGHTS) {
        OK(b->op->prefetch(b, weights + ahead, 1, &err));
        assert_int_equal(sent(b) - before, bytes);
    }
    const struct ol_backend_usage usage = b->op->usage(b);
    assert_true(usage.memory > 0 && usage.peak_memory >= usage.memory);
    assert_true((size_t)usage.memory == cudasim_used() || cudasim_used() == 0);
    b->op->tensor_free(b, &out);
    b->op->tensor_free(b, &x);
    test_backend_close(b);
    free(codes);
}

/* By the device's clock the copies that are known take what the link takes for them, each
 * by itself however long the link waits between them. */
static void test_timed(void **state)
{
    (void)state;
    static const struct cudasim_speeds speeds = {.link = 1e9,
                                                 .products = 1e10,
                                                 .threads = 1e12,
                                                 .latency = 8e-6,
                                                 .launch = 3e-6,
                                                 .call = 1e-6};
    const double bytes = (double)ROWS * COLUMNS * 2, calls = 4 * speeds.call;
    uint16_t *codes = random_codes((size_t)N_WEIGHTS * ROWS * COLUMNS);
    for (int way = 0; way < TEST_WAYS; way++) {
        struct ol_backend *b = test_backend_open(TEST_CUDA, OL_DTYPE_BF16, way);
        struct ol_tensor x, out;
        OK(b->op->tensor_new(b, OL_DTYPE_BF16, N_TOKENS, COLUMNS, &x, &err));
        OK(b->op->tensor_new(b, OL_DTYPE_BF16, N_TOKENS, ROWS, &out, &err));
        cudasim_set_speeds(&speeds);
        for (int i = 0; i < N_WEIGHTS; i++) {
            const struct ol_matmul product = {
                .x = x, .weight = weight_of(codes, i), .out = out};
            OK(b->op->matmul(b, &product, 1, &err));
        }
        const struct ol_backend_usage usage = b->op->usage(b);
        const double n = (double)usage.copied_bytes / bytes;
        /* A real device has a clock of its own. */
        const bool simulated = cudasim_used() > 0;
        print_message("%.0f of %d copies, each %.2f us\n", n, N_WEIGHTS,
                      1e6 * usage.copy_seconds / n);
        assert_true(n >= 8 && n < N_WEIGHTS && usage.copy_seconds > 0);
        assert_true(!simulated ||
                    usage.copy_seconds >= 0.999 * n * (speeds.latency + bytes / 1e9));
        assert_true(!simulated ||
                    usage.copy_seconds <= n * (speeds.latency + bytes / 1e9 + calls));
        cudasim_set_speeds(NULL);
        b->op->tensor_free(b, &out);
        b->op->tensor_free(b, &x);
        test_backend_close(b);
    }
    free(codes);
}

/* ---- files whose addresses come again ---- */

static const uint16_t *map_codes(const uint16_t *codes, size_t bytes)
{
    char path[] = "/tmp/ol-test-feeding-XXXXXX";
    struct ol_error err = {0};
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    unlink(path);
    assert_int_equal(write(fd, codes, bytes), (ssize_t)bytes);
    const void *map = ol_mapping_new(fd, path, bytes, &err);
    assert_non_null(map);
    close(fd);
    return map;
}

/* What a device keeps of a file is not taken for another one's that is mapped there
 * afterwards. */
static void test_addresses(void **state)
{
    (void)state;
    const size_t bytes = (size_t)ROWS * COLUMNS * sizeof(uint16_t);
    enum { N_FILES = 3, N = N_TOKENS * ROWS };
    uint16_t *codes = random_codes((size_t)N_FILES * ROWS * COLUMNS);
    static uint16_t found[N_FILES][N], want[N_FILES][N];
    struct ol_backend *b = test_backend_open(TEST_CUDA, OL_DTYPE_BF16, 0);
    struct ol_tensor x, out;
    const void *before = NULL;
    bool again = false;
    OK(b->op->tensor_new(b, OL_DTYPE_BF16, N_TOKENS, COLUMNS, &x, &err));
    OK(b->op->tensor_new(b, OL_DTYPE_BF16, N_TOKENS, ROWS, &out, &err));
    OK(b->op->upload(b, x, codes + 99, &err));
    for (int mapped = 1; mapped >= 0; mapped--)
        for (int i = 0; i < N_FILES; i++) {
            const uint16_t *file = codes + (size_t)i * ROWS * COLUMNS;
            const uint16_t *data = mapped ? map_codes(file, bytes) : file;
            const struct ol_matmul product = {
                .x = x,
                .weight = ol_weight_plain(data, OL_DTYPE_BF16, ROWS, COLUMNS),
                .out = out};
            OK(b->op->matmul(b, &product, 1, &err));
            OK(b->op->download(b, out, mapped ? found[i] : want[i], &err));
            again |= data == before;
            before = data;
            if (mapped)
                ol_mapping_free(data, bytes);
        }
    assert_true(again);
    assert_memory_equal(found, want, sizeof found);
    b->op->tensor_free(b, &out);
    b->op->tensor_free(b, &x);
    test_backend_close(b);
    free(codes);
}

/* ---- from the disk ---- */

enum { N_TENSORS = 64, TENSOR_BYTES = 1 << 20 };

static const char *map_file(void)
{
    char path[] = "/tmp/ol-test-feeding-XXXXXX";
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    unlink(path);
    char *bytes = ol_xmalloc(TENSOR_BYTES);
    for (int i = 0; i < N_TENSORS; i++) {
        memset(bytes, i + 1, TENSOR_BYTES);
        assert_int_equal(write(fd, bytes, TENSOR_BYTES), TENSOR_BYTES);
    }
    free(bytes);
    const char *map =
        mmap(NULL, (size_t)N_TENSORS * TENSOR_BYTES, PROT_READ, MAP_SHARED, fd, 0);
    assert_true(map != MAP_FAILED);
    close(fd);
    return map;
}

static struct ol_weight tensor(const char *map, int i)
{
    return ol_weight_plain(map + (size_t)i * TENSOR_BYTES, OL_DTYPE_BF16, 1,
                           TENSOR_BYTES / 2);
}

/* In any order of waiting, with little and with much room. */
static void test_readers(void **state)
{
    (void)state;
    const char *map = map_file();
    for (int way = 0; way < 6; way++) {
        struct ol_error error = {0};
        const int64_t room = (int64_t)(way % 3 == 0   ? 1
                                       : way % 3 == 1 ? 5
                                                      : 1000) *
                             TENSOR_BYTES;
        struct ol_source *files = ol_source_files_new(true);
        struct ol_stream *s = ol_stream_new(room, files, &error);
        assert_non_null(s);
        for (int i = 0; i < N_TENSORS; i++) {
            const struct ol_weight w = tensor(map, i);
            ol_stream_prefetch(s, 0, &w);
        }
        for (int k = 0; k < N_TENSORS; k++) {
            const int i = way < 3 ? k : k * 37 % N_TENSORS;
            const struct ol_weight w = tensor(map, i);
            OK(ol_stream_wait(s, 0, &w, &err));
            assert_true(ol_stream_is_ready(s, &w));
            assert_int_equal(((const char *)w.data)[TENSOR_BYTES - 1], i + 1);
            ol_stream_release(s, 0, &w);
            assert_false(ol_stream_is_ready(s, &w));
        }
        assert_int_equal(ol_stream_stats(s).bytes_read,
                         (int64_t)N_TENSORS * TENSOR_BYTES);
        ol_stream_free(s);
        ol_source_free(files);
    }
    munmap((void *)(uintptr_t)map, (size_t)N_TENSORS * TENSOR_BYTES);
}

/* Nobody waits: reading stops at the bound. */
static void test_bound(void **state)
{
    (void)state;
    enum { ROOM = 10 };
    const char *map = map_file();
    struct ol_error error = {0};
    struct ol_source *files = ol_source_files_new(true);
    struct ol_stream *s = ol_stream_new((int64_t)ROOM * TENSOR_BYTES, files, &error);
    assert_non_null(s);
    for (int i = 0; i < N_TENSORS; i++) {
        const struct ol_weight w = tensor(map, i);
        ol_stream_prefetch(s, 0, &w);
    }
    int64_t read = 0;
    for (int i = 0; i < 500 && read < (int64_t)ROOM * TENSOR_BYTES; i++) {
        usleep(10000);
        read = ol_stream_stats(s).bytes_read;
    }
    usleep(50000);
    assert_int_equal(ol_stream_stats(s).bytes_read, (int64_t)ROOM * TENSOR_BYTES);
    ol_stream_free(s);
    ol_source_free(files);
    munmap((void *)(uintptr_t)map, (size_t)N_TENSORS * TENSOR_BYTES);
}

/* ---- a source that counts ---- */

/* Bytes come when they are read, and are lost when they are released. */
struct counting {
    struct ol_source source;
    char *memory;
    size_t n_told, n_read, n_released;
    const void *told[N_TENSORS]; /* in this order */
    int64_t held, most_held;
    pthread_mutex_t mutex;
};

static void count_told(struct ol_source *source, const struct ol_span *span)
{
    struct counting *c = (struct counting *)source;
    pthread_mutex_lock(&c->mutex);
    if (c->n_told < N_TENSORS)
        c->told[c->n_told] = span->data;
    c->n_told++;
    c->held += (int64_t)span->bytes;
    c->most_held = c->held > c->most_held ? c->held : c->most_held;
    pthread_mutex_unlock(&c->mutex);
}

static int count_read(struct ol_source *source, const struct ol_span *span,
                      struct ol_error *err)
{
    struct counting *c = (struct counting *)source;
    (void)err;
    memset((char *)(uintptr_t)span->data, 1, span->bytes);
    pthread_mutex_lock(&c->mutex);
    c->n_read++;
    pthread_mutex_unlock(&c->mutex);
    return 0;
}

static void count_released(struct ol_source *source, const struct ol_span *span)
{
    struct counting *c = (struct counting *)source;
    memset((char *)(uintptr_t)span->data, 0, span->bytes);
    pthread_mutex_lock(&c->mutex);
    c->n_released++;
    c->held -= (int64_t)span->bytes;
    pthread_mutex_unlock(&c->mutex);
}

static void nothing(struct ol_source *source)
{
    (void)source;
}

static struct ol_source_stats no_stats(struct ol_source *source)
{
    (void)source;
    return (struct ol_source_stats){0};
}

static const struct ol_source_operations counts = {
    .spares = true,
    .prefetch = count_told,
    .read = count_read,
    .release = count_released,
    .stop = nothing,
    .stats = no_stats,
    .free = nothing,
};

/* Told in the order of use, within the room, each once, and all given back. */
static void test_source(void **state)
{
    (void)state;
    enum { ROOM = 5 };
    struct ol_error error = {0};
    struct counting c = {.source = {&counts}, .mutex = PTHREAD_MUTEX_INITIALIZER};
    c.memory = ol_xcalloc(N_TENSORS, TENSOR_BYTES);
    struct ol_stream *s = ol_stream_new((int64_t)ROOM * TENSOR_BYTES, &c.source, &error);
    assert_non_null(s);
    assert_true(ol_stream_spares(s));
    for (int i = 0; i < N_TENSORS; i++) {
        const struct ol_weight w = tensor(c.memory, i);
        ol_stream_prefetch(s, 0, &w);
        ol_stream_prefetch(s, 0, &w);
    }
    for (int i = 0; i < N_TENSORS; i++) {
        const struct ol_weight w = tensor(c.memory, i);
        OK(ol_stream_wait(s, 0, &w, &err));
        assert_int_equal(c.memory[(size_t)i * TENSOR_BYTES], 1);
        ol_stream_release(s, 0, &w);
    }
    ol_stream_free(s);
    assert_int_equal(c.n_told, N_TENSORS);
    assert_int_equal(c.n_read, N_TENSORS);
    assert_int_equal(c.n_released, N_TENSORS);
    assert_int_equal(c.held, 0);
    assert_true(c.most_held <= (int64_t)ROOM * TENSOR_BYTES);
    for (int i = 0; i < N_TENSORS; i++)
        assert_ptr_equal(c.told[i], c.memory + (size_t)i * TENSOR_BYTES);
    free(c.memory);
}

/* Of a table the rows that are looked up, and in a small one what lies between. */
static void test_rows(void **state)
{
    (void)state;
    enum { N_ROWS = 4096, WIDTH = 1024 }; /* 8 MiB */
    const int32_t ids[] = {7, 4095, 7, 5, 900, 901, 3000};
    const int64_t n = sizeof ids / sizeof ids[0];
    for (int small = 0; small < 2; small++) {
        struct ol_error error = {0};
        struct counting c = {.source = {&counts}, .mutex = PTHREAD_MUTEX_INITIALIZER};
        c.memory = ol_xcalloc(N_ROWS, WIDTH * 2);
        const struct ol_weight table =
            ol_weight_plain(c.memory, OL_DTYPE_BF16, N_ROWS, WIDTH);
        struct ol_stream *s = ol_stream_new((int64_t)N_ROWS * WIDTH * 2 * (small ? 4 : 3),
                                            &c.source, &error);
        assert_non_null(s);
        ol_stream_expect_rows(s, &table, ids, n);
        assert_int_equal(c.n_told, 4); /* 5 to 7, 900 to 901, 3000, 4095 */
        OK(ol_stream_look_up(s, &table, ids, n, &err));
        assert_int_equal(c.n_read, 4);
        for (int64_t row = 0; row < N_ROWS; row++) {
            bool wanted = false;
            for (int64_t i = 0; i < n; i++)
                wanted |= ids[i] == row;
            wanted |= small && row == 6;
            assert_int_equal(c.memory[row * WIDTH * 2], wanted);
            assert_int_equal(c.memory[(row + 1) * WIDTH * 2 - 1], wanted);
        }
        ol_stream_free(s);
        free(c.memory);
    }
}

/* ---- experts that are expected ---- */

enum { MOST_SENT = 64 };
static const void *sent_ahead[MOST_SENT];
static int n_sent_ahead;

static int note_sent(struct ol_backend *b, const struct ol_weight *weights, int n,
                     struct ol_error *err)
{
    (void)b, (void)err;
    for (int i = 0; i < n; i++) {
        assert_true(n_sent_ahead < MOST_SENT);
        sent_ahead[n_sent_ahead++] = weights[i].data;
    }
    return 0;
}

static void no_progress(void *arg, int layer, double share)
{
    (void)arg, (void)layer, (void)share;
}

/* What is sent of layer 2; layer 1 is dense. */
static void expected_of(const struct ol_experts_context *context, bool expected)
{
    const int n_experts = context->spec->router.n_experts;
    const int64_t d = context->spec->d_model;
    struct ol_backend *b = context->backend;
    uint16_t *codes = random_codes((size_t)(context->n_rows * d));
    struct ol_error error = {0};
    struct ol_experts *x = ol_experts_new(context, &error);
    struct ol_tensor input;
    OK(b->op->tensor_new(b, OL_DTYPE_BF16, context->n_rows, d, &input, &err));
    OK(b->op->upload(b, input, codes, &err));
    n_sent_ahead = 0;
    ol_experts_expect(x, 0); /* nothing is known that speaks against it */
    assert_int_equal(ol_experts_expected(x, 0), expected);
    OK(ol_experts_route(x, 0, input, &err));
    OK(ol_experts_prefetch(x, 0, &err));
    ol_experts_expect(x, 2);
    assert_int_equal(ol_experts_expected(x, 2), expected);
    for (int e = 0; expected && e < n_experts; e++)
        OK(ol_layer_weights_wait(&context->weights, OL_ROLE_EXPERT_GATE,
                                 OL_ROLE_EXPERT_DOWN, 2, e, &err));
    for (int again = 0; again < 2; again++)
        OK(ol_experts_send_expected(x, 2, &err));
    assert_int_equal(n_sent_ahead, expected ? 3 * n_experts : 0);
    for (int k = 0; k < n_sent_ahead; k++) {
        const bool out = k >= 2 * n_experts;
        const enum ol_role role = out          ? OL_ROLE_EXPERT_DOWN
                                  : k % 2 == 0 ? OL_ROLE_EXPERT_GATE
                                               : OL_ROLE_EXPERT_UP;
        const struct ol_weight w = ol_weights_get(context->weights.weights, role, 2,
                                                  out ? k - 2 * n_experts : k / 2);
        assert_ptr_equal(sent_ahead[k], w.data);
    }
    b->op->tensor_free(b, &input);
    ol_experts_free(x);
    free(codes);
}

/* After a layer whose router chose nearly all, and at first, the next one's experts are
 * sent before its router is asked, each once, in the order of use; else none. */
static void test_expected(void **state)
{
    (void)state;
    static const int64_t rows[] = {40, 120};
    struct ol_error error = {0};
    struct ol_model m = {0};
    OK(ol_model_open_config(&m, "tests/golden/models/qwen3_moe", &err));
    struct ol_backend *b = test_backend_open(TEST_CPU, OL_DTYPE_BF16, 0);
    struct ol_backend_operations noting = *b->op;
    const struct ol_backend_operations *before = b->op;
    noting.prefetch = note_sent;
    b->op = &noting;
    struct ol_source *files = ol_source_files_new(true);
    struct ol_stream *s = ol_stream_new(1 << 30, files, &error);
    for (int i = 0; i < 2; i++) {
        const struct ol_experts_context context = {.spec = &m.spec,
                                                   .backend = b,
                                                   .weights = {m.weights, s, 0},
                                                   .n_rows = rows[i],
                                                   .n_baseline_rows = rows[i],
                                                   .group_rows = OL_PRODUCT_ROWS,
                                                   .weight_bytes = 1 << 30,
                                                   .progress = no_progress};
        expected_of(&context, i == 1);
    }
    ol_stream_free(s);
    ol_source_free(files);
    b->op = before;
    b->op->close(b);
    ol_model_clear(&m);
}

/* Blocks of an expert's rows are the same whatever the groups are, and about as long as
 * each other. */
static void one_cut(int64_t n, int64_t most_rows)
{
    enum { BEFORE = 700, BEHIND = 33 };
    int64_t offsets[] = {0, BEFORE, BEFORE + n, BEFORE + n + BEHIND};
    int32_t *rows = ol_xcalloc((size_t)offsets[3], sizeof *rows);
    const struct ol_permutation p = {.n_experts = 3, .offsets = offsets, .rows = rows};
    struct ol_expert_group g = {.most_rows = most_rows, .most_experts = 3};
    const int64_t block = ol_expert_block(&p, 1);
    int64_t past = 0, end = 0;
    assert_true(block <= OL_PRODUCT_ROWS);
    ol_expert_group_make(&g, 3);
    ol_expert_group_begin(&g);
    while (ol_expert_group_next(&g, &p, 1)) {
        assert_int_equal(g.begin, past);
        assert_true(g.end - g.begin <= most_rows);
        past = g.end;
        for (int i = 0; i < g.n; i++) {
            if (g.experts[i] != 1)
                continue;
            assert_int_equal(g.begin + g.firsts[i] - BEFORE, end);
            assert_int_equal(end % block, 0);
            end += g.firsts[i + 1] - g.firsts[i];
        }
    }
    assert_int_equal(past, offsets[3]);
    assert_int_equal(end, n);
    const int64_t n_blocks = (n + block - 1) / block, last = n - (n_blocks - 1) * block;
    assert_int_equal(n_blocks, (n + OL_PRODUCT_ROWS - 1) / OL_PRODUCT_ROWS);
    assert_true(block - last < OL_PRODUCT_STEP * n_blocks);
    ol_expert_group_clear(&g);
    free(rows);
}

static void test_cuts(void **state)
{
    (void)state;
    static const int64_t numbers[] = {1,    16,   2047, 2048, 2049,
                                      4096, 4097, 5000, 6145, 20001};
    static const int64_t groups[] = {OL_PRODUCT_ROWS, OL_PRODUCT_ROWS + 1, 5000, 1 << 20};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        for (size_t k = 0; k < sizeof groups / sizeof groups[0]; k++)
            one_cut(numbers[i], groups[k]);
    assert_int_equal(ol_product_block(2049), 1040);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ahead),    cmocka_unit_test(test_ahead_once),
        cmocka_unit_test(test_beside),   cmocka_unit_test(test_readers),
        cmocka_unit_test(test_bound),    cmocka_unit_test(test_source),
        cmocka_unit_test(test_rows),     cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_expected), cmocka_unit_test(test_cuts),
        cmocka_unit_test(test_timed),
    };
    /* A tool that slows a device down tries one of them. */
    const char *only = getenv("OL_TEST_FILTER");
    if (only != NULL && only[0] != '\0')
        cmocka_set_test_filter(only);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
