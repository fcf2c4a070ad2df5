/* Devices that bring weights to each other: the same bytes as without, over fewer links;
 * on simulated devices whose streams are late, with the smallest ring for what arrives.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/backends.h"

enum {
    N_WEIGHTS = 120, /* of a quarter of a segment each, of four: several times the ring */
    ROWS = 256,
    COLUMNS = 512,
    N_LAYERS = 6, /* in which the devices meet */
    N_SEQUENCES = 8,
    N_TOKENS = 3,
    MOST_DEVICES = 8,
    AHEAD = 6,
};
#define WEIGHT_BYTES ((int64_t)ROWS * COLUMNS * 2)
#define N_OUT        ((size_t)N_TOKENS * ROWS)

/* Which weights a sequence needs: all, or as routers choose experts. */
typedef bool choice(int sequence, int weight);

static bool all(int sequence, int weight)
{
    (void)sequence, (void)weight;
    return true;
}

/* About a quarter of the weights; every seventh is everybody's. */
static bool some(int sequence, int weight)
{
    const unsigned mixed =
        ((unsigned)sequence * 131u + (unsigned)weight * 71u + 7u) * 2654435761u;
    return weight % 7 == 0 || mixed >> 30 == 0;
}

/* What all devices of a run have. */
struct run {
    const uint16_t *codes; /* of the weights */
    choice *needs;
    int n_devices, schedule;
    pthread_barrier_t layer;
    uint16_t *out; /* [N_SEQUENCES][N_WEIGHTS][N_OUT] */
};

/* One device, and the thread that has it compute. */
struct device {
    struct run *run;
    struct ol_backend *backend;
    int number;
    struct ol_tensor x[N_SEQUENCES], out;
    struct ol_error err;
    int status;
    pthread_t thread;
};

static struct ol_weight weight_of(const struct run *run, int i)
{
    struct ol_weight w = ol_weight_plain(run->codes + (size_t)i * ROWS * COLUMNS,
                                         OL_DTYPE_BF16, ROWS, COLUMNS);
    if (i % 12 == 2)
        w.dtype = OL_DTYPE_F16; /* is decoded on the device */
    w.spans[0] = (struct ol_span){w.data, (size_t)WEIGHT_BYTES};
    return w;
}

static bool device_needs(const struct device *d, int weight)
{
    for (int s = d->number; s < N_SEQUENCES; s += d->run->n_devices)
        if (d->run->needs(s, weight))
            return true;
    return false;
}

static int send_ahead(struct device *d, int i)
{
    for (int n = 0; n < AHEAD && i < N_WEIGHTS; i++) {
        const struct ol_weight w = weight_of(d->run, i);
        if (!device_needs(d, i))
            continue;
        if (d->backend->op->prefetch(d->backend, &w, 1, &d->err) != 0)
            return -1;
        n++;
    }
    return 0;
}

static int multiply(struct device *d, int i)
{
    struct ol_backend *b = d->backend;
    for (int s = d->number; s < N_SEQUENCES; s += d->run->n_devices) {
        const struct ol_matmul product = {
            .x = d->x[s],
            .weight = weight_of(d->run, i),
            .out = ol_tensor_rows(d->out, (int64_t)(s * N_WEIGHTS + i) * N_TOKENS,
                                  N_TOKENS)};
        if (d->run->needs(s, i) && b->op->matmul(b, &product, 1, &d->err) != 0)
            return -1;
    }
    return 0;
}

static int compute(struct device *d)
{
    const int per_layer = N_WEIGHTS / N_LAYERS;
    for (int i = 0; i < N_WEIGHTS; i++) {
        if (send_ahead(d, i) != 0 || multiply(d, i) != 0)
            return -1;
        if (i % per_layer < per_layer - 1)
            continue;
        pthread_barrier_wait(&d->run->layer);
        /* What is not needed any more leaves the host, needed or not. */
        for (int k = i - per_layer + 1; k <= i; k++) {
            const struct ol_weight w = weight_of(d->run, k);
            d->backend->op->release(d->backend, &w);
        }
    }
    return 0;
}

/* Until all is computed: what is downloaded is made last. */
static void *work(void *arg)
{
    struct device *d = arg;
    uint16_t last[ROWS];
    const struct ol_tensor row = ol_tensor_rows(d->out, d->out.n_rows - 1, 1);
    d->status =
        compute(d) != 0 ? -1 : d->backend->op->download(d->backend, row, last, &d->err);
    return NULL;
}

static void check(int status, const struct ol_error *err)
{
    if (status != 0)
        fail_msg("%s", err->text);
}

static void open_device(struct run *run, struct device *d, int number)
{
    /* Half of the threads feed devices: one, two or three each. */
    const int n_threads = run->n_devices * 2 * (1 + run->schedule % 3);
    d->run = run;
    d->number = number;
    d->backend = test_device_open(OL_DTYPE_BF16, n_threads, number);
}

static void set_up(struct device *d)
{
    struct ol_backend *b = d->backend;
    for (int s = d->number; s < N_SEQUENCES; s += d->run->n_devices) {
        check(b->op->tensor_new(b, OL_DTYPE_BF16, N_TOKENS, COLUMNS, &d->x[s], &d->err),
              &d->err);
        check(b->op->upload(b, d->x[s], d->run->codes + 99 * s, &d->err), &d->err);
    }
    check(b->op->tensor_new(b, OL_DTYPE_BF16, N_SEQUENCES * N_WEIGHTS * N_TOKENS, ROWS,
                            &d->out, &d->err),
          &d->err);
}

static void tear_down(struct device *d)
{
    struct ol_backend *b = d->backend;
    uint16_t *out = test_download(b, d->out);
    for (int s = d->number; s < N_SEQUENCES; s += d->run->n_devices) {
        const size_t first = (size_t)s * N_WEIGHTS * N_OUT;
        memcpy(d->run->out + first, out + first, N_WEIGHTS * N_OUT * sizeof *out);
        b->op->tensor_free(b, &d->x[s]);
    }
    free(out);
    b->op->tensor_free(b, &d->out);
}

/* What crossed the links of each device. */
struct crossed {
    int64_t link[MOST_DEVICES], peer[MOST_DEVICES];
    double wall; /* of the devices' clock, where it runs */
};

static struct crossed run_on(struct run *run, enum cudasim_peers peers,
                             const struct cudasim_speeds *speeds)
{
    struct device devices[MOST_DEVICES] = {0};
    struct ol_backend *backends[MOST_DEVICES];
    struct crossed crossed = {0};
    struct ol_error err = {0};
    char how[200];
    const int n = run->n_devices;
    run->out = ol_xcalloc((size_t)N_SEQUENCES * N_WEIGHTS * N_OUT, sizeof *run->out);
    pthread_barrier_init(&run->layer, NULL, (unsigned)n);
    test_devices_set(n, run->schedule);
    cudasim_set_peers(peers);
    for (int i = 0; i < n; i++) {
        open_device(run, &devices[i], i);
        backends[i] = devices[i].backend;
    }
    if (n > 1)
        assert_int_equal(backends[0]->op->share(backends, n, how, sizeof how, &err),
                         peers == CUDASIM_NEAR);
    for (int i = 0; i < n; i++)
        set_up(&devices[i]);
    cudasim_set_speeds(speeds);
    cudasim_count_begin();
    for (int i = 0; i < n; i++)
        pthread_create(&devices[i].thread, NULL, work, &devices[i]);
    for (int i = 0; i < n; i++)
        pthread_join(devices[i].thread, NULL);
    const struct cudasim_counts counts = cudasim_counted();
    crossed.wall = cudasim_timed().wall;
    for (int i = 0; i < n; i++) {
        check(devices[i].status, &devices[i].err);
        tear_down(&devices[i]);
        crossed.link[i] = counts.carried_to[i];
        crossed.peer[i] = counts.fetched_by[i];
        assert_true(backends[i]->op->usage(backends[i]).peer_bytes == crossed.peer[i]);
    }
    cudasim_set_speeds(NULL);
    for (int i = 0; i < n; i++)
        backends[i]->op->close(backends[i]);
    assert_int_equal(cudasim_used(), 0);
    assert_int_equal(cudasim_handles(), 0);
    pthread_barrier_destroy(&run->layer);
    return crossed;
}

static uint16_t *random_codes(void)
{
    const size_t n = (size_t)N_WEIGHTS * ROWS * COLUMNS;
    uint16_t *codes = ol_xcalloc(n, sizeof *codes);
    uint64_t seed = 11;
    for (size_t i = 0; i < n; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        const float value = (float)((double)(seed >> 11) * 0x1p-52 - 1);
        ol_from_f32(OL_DTYPE_BF16, &value, &codes[i], 1);
    }
    return codes;
}

/* Whatever the number of devices, what they need, and when they do their work. */
static void same_bytes(void **state)
{
    (void)state;
    static choice *const choices[] = {all, some};
    static const int numbers[] = {2, 3, 4, 8};
    uint16_t *codes = random_codes();
    for (size_t c = 0; c < sizeof choices / sizeof choices[0]; c++) {
        struct run one = {.codes = codes, .needs = choices[c], .n_devices = 1};
        run_on(&one, CUDASIM_APART, NULL);
        for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
            struct run several = one;
            several.n_devices = numbers[i];
            several.schedule = (int)(c + i) % 4;
            const struct crossed crossed = run_on(&several, CUDASIM_NEAR, NULL);
            assert_memory_equal(several.out, one.out,
                                N_SEQUENCES * N_WEIGHTS * N_OUT * sizeof *one.out);
            assert_true(crossed.peer[0] + crossed.peer[1] > 0);
            free(several.out);
        }
        free(one.out);
    }
    free(codes);
}

/* Who feeds a device is a real thread, and one that gets no processor for a while brings
 * nothing: then the other device brings more. So one try of several has to show it. */
enum { TRIES = 20, RUNS = 7 };

/* Of two devices each carries about half, and no tile is carried twice; two that do not
 * reach each other, or only by the host's bus, carry all. */
static void links(void **state)
{
    (void)state;
    uint16_t *codes = random_codes();
    struct run run = {.codes = codes, .needs = all, .n_devices = 1};
    const struct crossed one = run_on(&run, CUDASIM_APART, NULL);
    free(run.out);
    run.n_devices = 2;
    for (enum cudasim_peers peers = CUDASIM_APART; peers <= CUDASIM_NEAR; peers++) {
        bool shared = false;
        for (int i = 0; i < TRIES && !shared; i++) {
            const struct crossed two = run_on(&run, peers, NULL);
            free(run.out);
            print_message(
                "peers %d: %lld and %lld bytes of %lld over the links, %lld and %lld "
                "from each other\n",
                (int)peers, (long long)two.link[0], (long long)two.link[1],
                (long long)one.link[0], (long long)two.peer[0], (long long)two.peer[1]);
            for (int d = 0; d < 2; d++) {
                assert_int_equal(two.link[d] + two.peer[d], one.link[0]);
                if (peers != CUDASIM_NEAR)
                    assert_int_equal(two.peer[d], 0);
            }
            shared = peers != CUDASIM_NEAR || (10 * two.link[0] <= 6 * one.link[0] &&
                                               10 * two.link[1] <= 6 * one.link[0]);
        }
        assert_true(shared);
    }
    free(codes);
}

static int rising(const void *x, const void *y)
{
    const double a = *(const double *)x, b = *(const double *)y;
    return (a > b) - (a < b);
}

/* By the devices' clock: links of 1 GB/s, and everything else much faster. Of several
 * runs the one in the middle: what a device awaits that the other, whose thread got no
 * processor, did not ask for yet, it brings itself. */
static void faster(void **state)
{
    (void)state;
    static const struct cudasim_speeds speeds = {.link = 1e9,
                                                 .peer = 6e9,
                                                 .products = 1e13,
                                                 .threads = 1e12,
                                                 .latency = 8e-6,
                                                 .launch = 3e-6,
                                                 .call = 1e-6};
    uint16_t *codes = random_codes();
    struct run run = {.codes = codes, .needs = all, .n_devices = 1};
    const struct crossed one = run_on(&run, CUDASIM_APART, &speeds);
    free(run.out);
    run.n_devices = 2;
    const struct crossed apart = run_on(&run, CUDASIM_APART, &speeds);
    free(run.out);
    double walls[RUNS];
    for (int i = 0; i < RUNS; i++) {
        const struct crossed near = run_on(&run, CUDASIM_NEAR, &speeds);
        free(run.out);
        print_message(
            "one device %.2f ms, two %.2f ms, two that share %.2f ms, of which %lld "
            "and %lld of %lld bytes cross the links\n",
            1e3 * one.wall, 1e3 * apart.wall, 1e3 * near.wall, (long long)near.link[0],
            (long long)near.link[1], (long long)one.link[0]);
        walls[i] = near.wall;
    }
    qsort(walls, RUNS, sizeof *walls, rising);
    assert_true(one.wall >= 1.7 * walls[RUNS / 2]);
    free(codes);
}

static void multiply_by(struct device *d, int i)
{
    check(multiply(d, i), &d->err);
}

/* What another device has begun to copy stays where it is until that is done, however far
 * its device goes on meanwhile. */
static void held(void **state)
{
    (void)state;
    uint16_t *codes = random_codes();
    struct run run = {.codes = codes, .needs = all, .n_devices = 2};
    struct device devices[2] = {0};
    struct ol_backend *backends[2];
    struct ol_error err = {0};
    char how[200];
    test_devices_set(2, 0);
    cudasim_set_peers(CUDASIM_NEAR);
    for (int i = 0; i < 2; i++) {
        open_device(&run, &devices[i], i);
        backends[i] = devices[i].backend;
        set_up(&devices[i]);
    }
    assert_int_equal(backends[0]->op->share(backends, 2, how, sizeof how, &err), 1);
    const struct ol_weight first = weight_of(&run, 0);
    for (int i = 0; i < 2; i++)
        check(backends[i]->op->prefetch(backends[i], &first, 1, &err), &err);
    while (backends[1]->op->usage(backends[1]).peer_bytes == 0)
        sched_yield();
    for (int i = 0; i < N_WEIGHTS / 2; i++)
        multiply_by(&devices[0], i);
    free(test_download(backends[0], devices[0].out));
    multiply_by(&devices[1], 0);
    uint16_t *second = test_download(backends[1], devices[1].out);
    /* Of the second device's first sequence. */
    uint16_t *got = second + (size_t)1 * N_WEIGHTS * N_OUT;
    struct run one = {.codes = codes, .needs = all, .n_devices = 1};
    for (int i = 0; i < 2; i++) {
        for (int s = i; s < N_SEQUENCES; s += 2)
            backends[i]->op->tensor_free(backends[i], &devices[i].x[s]);
        backends[i]->op->tensor_free(backends[i], &devices[i].out);
    }
    for (int i = 0; i < 2; i++)
        backends[i]->op->close(backends[i]);
    run_on(&one, CUDASIM_APART, NULL);
    assert_memory_equal(got, one.out + (size_t)1 * N_WEIGHTS * N_OUT,
                        N_OUT * sizeof *got);
    free(one.out);
    free(second);
    free(codes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_bytes),
        cmocka_unit_test(held),
        cmocka_unit_test(links),
        cmocka_unit_test(faster),
    };
    /* A tool that slows a device down tries one of them. */
    const char *only = getenv("OL_TEST_FILTER");
    if (only != NULL && only[0] != '\0')
        cmocka_set_test_filter(only);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
