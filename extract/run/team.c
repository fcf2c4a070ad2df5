/* Why sequences, and not experts: a token's way through the model then needs nothing of
 * another device, and what every device must be sent, all weights, passes links that work
 * side by side. Splitting the experts would send each to one device only, but all tokens
 * back and forth between devices in every layer.
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
#include "extract/run/team.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

struct part {
    struct ol_forward_input in;
    struct ol_progress *progress;
    struct ol_error *told; /* where the first failure of all parts goes */
    pthread_t thread;
};

struct ol_team {
    struct part parts[OL_TEAM_MOST];
    int n, arrived;
    int64_t meeting;
    bool failed;
    pthread_mutex_t mutex;
    pthread_cond_t met;
};

/* ---- meeting ---- */

int ol_team_meet(struct ol_team *team, struct ol_error *err)
{
    if (team == NULL)
        return 0;
    pthread_mutex_lock(&team->mutex);
    const int64_t meeting = team->meeting;
    if (++team->arrived == team->n) {
        team->arrived = 0;
        team->meeting++;
        pthread_cond_broadcast(&team->met);
    }
    while (team->meeting == meeting && !team->failed)
        pthread_cond_wait(&team->met, &team->mutex);
    const bool failed = team->failed;
    pthread_mutex_unlock(&team->mutex);
    return failed ? ol_fail(err, "another device failed") : 0;
}

/* The first to fail is the one that is told of. */
static void fail(struct ol_team *team, struct part *part, const struct ol_error *err)
{
    pthread_mutex_lock(&team->mutex);
    if (!team->failed)
        ol_fail(part->told, "%s", err->text);
    team->failed = true;
    pthread_cond_broadcast(&team->met);
    pthread_mutex_unlock(&team->mutex);
}

/* ---- parts ---- */

/* The end of the block of whole sequences that begins there (forward.c). */
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

/* starts [n + 1]: the first sequence of each part. */
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
        /* At least one block, and one is left for each part to come. */
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

int64_t ol_team_most_rows(const int32_t *lengths, int64_t n_sequences, int64_t block_rows,
                          int n)
{
    int64_t starts[OL_TEAM_MOST + 1], most = 0;
    split(lengths, n_sequences, block_rows, n, starts);
    for (int p = 0; p < n; p++) {
        const int64_t rows = rows_in(lengths, starts[p], starts[p + 1]);
        most = rows > most ? rows : most;
    }
    return most;
}

static void *work(void *arg)
{
    struct part *part = arg;
    struct ol_error err = {0};
    if (ol_forward_run(&part->in, part->progress, &err) != 0)
        fail(part->in.team, part, &err);
    ol_writer_end_part(part->in.writer, part->in.part);
    return NULL;
}

static void set_up(struct ol_team *team, const struct ol_forward_input *in,
                   struct ol_backend *const *backends, struct ol_progress *progress,
                   struct ol_error *err)
{
    int64_t starts[OL_TEAM_MOST + 1];
    int64_t row = 0;
    split(in->lengths, in->n_sequences, in->memory->block_rows, team->n, starts);
    for (int p = 0; p < team->n; p++) {
        struct part *part = &team->parts[p];
        part->progress = progress;
        part->told = err;
        part->in = *in;
        part->in.team = team;
        part->in.part = p;
        part->in.backend = backends[p];
        part->in.first_row = row;
        part->in.n_sequences = starts[p + 1] - starts[p];
        part->in.lengths = in->lengths + starts[p];
        part->in.ids = in->ids + row;
        if (in->states != NULL)
            part->in.states =
                (const char *)in->states +
                (size_t)(row * in->spec->d_model) * ol_dtype_size(backends[p]->dtype);
        row += rows_in(in->lengths, starts[p], starts[p + 1]);
    }
}

int ol_team_run(const struct ol_forward_input *in, struct ol_backend *const *backends,
                int n, struct ol_progress *progress, struct ol_error *err)
{
    if (n == 1)
        return ol_forward_run(in, progress, err);
    struct ol_team *team = ol_xcalloc(1, sizeof *team);
    sigset_t all, before;
    team->n = n;
    pthread_mutex_init(&team->mutex, NULL);
    pthread_cond_init(&team->met, NULL);
    set_up(team, in, backends, progress, err);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int started = 0;
    for (; started < n; started++) {
        struct part *part = &team->parts[started];
        struct ol_error why = {0};
        const int code = pthread_create(&part->thread, NULL, work, part);
        if (code != 0) {
            ol_fail(&why, "cannot start a thread for a device: %s", strerror(code));
            fail(team, part, &why);
            break;
        }
    }
    for (int p = started; p < n; p++)
        ol_writer_end_part(in->writer, p);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    for (int p = 0; p < started; p++)
        pthread_join(team->parts[p].thread, NULL);
    const int status = team->failed ? -1 : 0;
    pthread_cond_destroy(&team->met);
    pthread_mutex_destroy(&team->mutex);
    free(team);
    return status;
}
