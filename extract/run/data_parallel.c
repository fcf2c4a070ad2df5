/* Why sequences, and not experts: a token's way through the model then needs nothing of
 * another device, and of what every device must be sent, all weights, devices that are
 * near each other bring a part each. Splitting the experts would send all tokens back and
 * forth between devices in every layer.
 *
 * The parts share the weights that are read (a weight is read from disk once, because
 * they meet before any gives back what another is still to use) and the writer, which
 * takes what they hand over in the order of one.
 *
 * What is guaranteed: the same bytes as on one device as far as a product's row is the
 * same whatever rows stand beside it. Of attention, norms and everything that is not a
 * product this holds always; so that it holds for the products before and after attention
 * too, parts begin where one device would begin a block. An expert's rows are others with
 * another number of devices: there a library that sums in another order for another
 * number of rows may show in last bits. (The simulated device's does not, and the tests
 * compare bytes.) */
#include "extract/run/data_parallel.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "common/process.h"

struct device {
    struct ol_forward_input in;
    struct ol_observer_context context;
    struct ol_progress *progress;
    struct devices *all;
    struct ol_error *told; /* where the first failure of all goes */
    pthread_t thread;
};

struct devices {
    struct device of[OL_DEVICES_MOST];
    int n, arrived;
    int64_t meeting;
    bool failed;
    pthread_mutex_t mutex;
    pthread_cond_t met;
};

/* ---- meeting ---- */

static int meet(void *arg, struct ol_error *err)
{
    struct devices *all = ((struct device *)arg)->all;
    pthread_mutex_lock(&all->mutex);
    const int64_t meeting = all->meeting;
    if (++all->arrived == all->n) {
        all->arrived = 0;
        all->meeting++;
        pthread_cond_broadcast(&all->met);
    }
    while (all->meeting == meeting && !all->failed)
        pthread_cond_wait(&all->met, &all->mutex);
    const bool failed = all->failed;
    pthread_mutex_unlock(&all->mutex);
    return failed ? ol_fail(err, "another device failed") : 0;
}

/* The first to fail is the one that is told of. */
static void fail(struct device *device, const struct ol_error *err)
{
    struct devices *all = device->all;
    pthread_mutex_lock(&all->mutex);
    if (!all->failed)
        ol_fail(device->told, "%s", err->text);
    all->failed = true;
    pthread_cond_broadcast(&all->met);
    pthread_mutex_unlock(&all->mutex);
}

/* ---- who takes what ---- */

/* The end of the block of whole sequences that begins there (pass.c). */
static int64_t block_end(const int32_t *lengths, int64_t n_sequences, int64_t block_rows,
                         int64_t first)
{
    int64_t rows = lengths[first++];
    while (first < n_sequences && rows + lengths[first] <= block_rows)
        rows += lengths[first++];
    return first;
}

static int64_t rows_in(const int32_t *lengths, int64_t first, int64_t end)
{
    int64_t rows = 0;
    for (int64_t s = first; s < end; s++)
        rows += lengths[s];
    return rows;
}

/* starts [n + 1]: the first sequence of each device. */
static void split(const int32_t *lengths, int64_t n_sequences, int64_t block_rows, int n,
                  int64_t *starts)
{
    int64_t n_blocks = 0;
    for (int64_t s = 0; s < n_sequences; n_blocks++)
        s = block_end(lengths, n_sequences, block_rows, s);
    if (n_blocks < n)
        block_rows = 0; /* of one sequence each, or a device would have nothing to do */
    const int64_t n_rows = rows_in(lengths, 0, n_sequences);
    int64_t s = 0, rows = 0, blocks = n_blocks < n ? n_sequences : n_blocks;
    starts[0] = 0;
    for (int p = 1; p < n; p++) {
        /* At least one block, and one is left for each device to come. */
        do {
            const int64_t end = block_end(lengths, n_sequences, block_rows, s);
            rows += rows_in(lengths, s, end);
            s = end;
            blocks--;
        } while (blocks > n - p && rows < n_rows * p / n);
        starts[p] = s;
    }
    starts[n] = n_sequences;
}

int64_t ol_data_parallel_most_rows(const int32_t *lengths, int64_t n_sequences,
                                   int64_t block_rows, int n)
{
    int64_t starts[OL_DEVICES_MOST + 1], most = 0;
    split(lengths, n_sequences, block_rows, n, starts);
    for (int p = 0; p < n; p++) {
        const int64_t rows = rows_in(lengths, starts[p], starts[p + 1]);
        most = rows > most ? rows : most;
    }
    return most;
}

/* ---- the passes ---- */

static void progress(void *arg, int layer, double operations)
{
    ol_progress_step(((struct device *)arg)->progress, layer, operations);
}

static int run_one(struct device *device, struct ol_error *err)
{
    device->in.taps = ol_taps_new(&device->context);
    const int status = ol_forward_run(&device->in, err);
    ol_taps_free(device->in.taps);
    return status;
}

static void *work(void *arg)
{
    struct device *device = arg;
    struct ol_error err = {0};
    if (run_one(device, &err) != 0)
        fail(device, &err);
    ol_writer_end_device(device->context.writer, device->context.device);
    return NULL;
}

static void set_up(struct devices *all, const struct ol_data_parallel *run,
                   struct ol_error *err)
{
    const struct ol_forward_input *in = &run->forward;
    int64_t starts[OL_DEVICES_MOST + 1];
    int64_t row = 0;
    split(in->lengths, in->n_sequences, in->buffers->block_rows, all->n, starts);
    for (int p = 0; p < all->n; p++) {
        struct device *device = &all->of[p];
        const int64_t n_rows = rows_in(in->lengths, starts[p], starts[p + 1]);
        const bool arms = in->arms->n > 0; /* then on one device */
        device->all = all;
        device->progress = run->progress;
        device->told = err;
        device->context = (struct ol_observer_context){
            .what = {in->spec, run->layout,
                     arms ? rows_in(in->lengths, 0, in->arms->n_sequences) : n_rows,
                     arms ? in->arms->n_sequences : starts[p + 1] - starts[p]},
            .backend = run->backends[p],
            .writer = run->writer,
            .recording = run->recording,
            .device = p,
            .first_row = row,
        };
        device->in = *in;
        device->in.backend = run->backends[p];
        device->in.user = p;
        device->in.meet = all->n > 1 ? meet : NULL;
        device->in.progress = progress;
        device->in.arg = device;
        device->in.n_sequences = starts[p + 1] - starts[p];
        device->in.lengths = in->lengths + starts[p];
        device->in.ids = in->ids + row;
        if (in->states != NULL)
            device->in.states = (const char *)in->states +
                                (size_t)(row * ol_spec_stream_width(in->spec)) *
                                    ol_dtype_size(run->backends[p]->dtype);
        row += n_rows;
    }
}

static int start_all(struct devices *all)
{
    int started = 0;
    for (; started < all->n; started++) {
        struct device *device = &all->of[started];
        struct ol_error why = {0};
        const int code = pthread_create(&device->thread, NULL, work, device);
        if (code != 0) {
            ol_fail(&why, "cannot start a thread for a device: %s", strerror(code));
            fail(device, &why);
            break;
        }
    }
    return started;
}

int ol_data_parallel_run(const struct ol_data_parallel *run, struct ol_error *err)
{
    struct devices *all = ol_xcalloc(1, sizeof *all);
    sigset_t before;
    int status;
    all->n = run->n_devices;
    set_up(all, run, err);
    if (all->n == 1) {
        status = run_one(&all->of[0], err);
        free(all);
        return status;
    }
    pthread_mutex_init(&all->mutex, NULL);
    pthread_cond_init(&all->met, NULL);
    ol_process_block_signals(&before);
    const int started = start_all(all);
    for (int p = started; p < all->n; p++)
        ol_writer_end_device(run->writer, p);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    for (int p = 0; p < started; p++)
        pthread_join(all->of[p].thread, NULL);
    status = all->failed ? -1 : 0;
    pthread_cond_destroy(&all->met);
    pthread_mutex_destroy(&all->mutex);
    free(all);
    return status;
}
