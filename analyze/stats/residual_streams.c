/* What each of several residual streams holds after each layer, and how far its largest
 * magnitude jumps from one layer to the next, from the table of streams. */
#include "common/results/residual_streams.h"

#include <math.h>
#include <stdlib.h>

#include "analyze/describe.h"
#include "analyze/moments.h"
#include "analyze/statistics.h"

/* What is known of one stream so far. */
struct peak {
    int64_t stream, layer;
    struct ol_moments m;   /* after the layer of its largest magnitude */
    double before;         /* its largest after the recorded layer before */
    double jump;           /* the largest so far; NAN: none */
    int64_t since, jumped; /* layers of it */
};

struct streams {
    const struct ol_parts *parts;
    int64_t n;
    struct ol_moments *now; /* [n] after one layer */
    struct peak *peaks;     /* [n] */
};

static void read_layer(const struct streams *s, int i_layer)
{
    double *rows = ol_xcalloc((size_t)s->n * OL_N_STREAM_COLUMNS, sizeof *rows);
    for (int64_t i = 0; i < s->n; i++)
        s->now[i] = ol_moments_new();
    for (int64_t file = 0, sequence = 0; file < s->parts->n_files; file++) {
        ol_activation_copy(s->parts->files[file], OL_TABLE_STREAMS, i_layer, rows);
        for (int64_t i = 0; i < s->n; i++)
            ol_moments_join(&s->now[i], rows + i * OL_N_STREAM_COLUMNS,
                            OL_N_STREAM_COLUMNS, sequence);
        sequence += ol_activation_layout(s->parts->files[file])->n_sequences;
    }
    free(rows);
}

/* A stream after a layer; previous: the recorded layer before, -1 where there is none. */
static double follow(struct peak *p, const struct ol_moments *now, int64_t previous,
                     int64_t layer)
{
    const double largest = ol_moments_largest(now),
                 ratio =
                     previous >= 0 && p->before > 0 ? largest / p->before : (double)NAN,
                 jump = isfinite(ratio) ? ratio : (double)NAN;
    if (isfinite(jump) && !(jump <= p->jump)) {
        p->jump = jump;
        p->since = previous;
        p->jumped = layer;
    }
    if (now->max_sequence >= 0 &&
        (p->layer < 0 || ol_moments_magnitude(now) > ol_moments_magnitude(&p->m))) {
        p->m = *now;
        p->layer = layer;
    }
    p->before = largest;
    return jump;
}

static void describe_layer(const struct streams *s, int64_t previous, int64_t layer,
                           struct ol_streams_layer *to, struct ol_arena *arena)
{
    struct ol_stream_values *v = ol_list_new(&to->streams, s->n, sizeof *v, arena);
    struct ol_moments sum = {.width = s->now->width};
    to->layer = layer;
    to->largest = (double)NAN;
    for (int64_t i = 0; i < s->n; i++) {
        const struct ol_moments *m = &s->now[i];
        v[i] = (struct ol_stream_values){
            i,
            ol_moments_rms(m, 1, s->parts->n_tokens),
            ol_moments_largest(m),
            follow(&s->peaks[i], m, previous, layer),
            ol_moments_max(m),
            ol_describe_index(m->max_dimension),
            ol_describe_index(m->max_sequence),
            ol_describe_index(m->max_position),
            ol_moments_min(m),
            ol_describe_index(m->min_dimension),
            ol_describe_index(m->min_sequence),
            ol_describe_index(m->min_position),
        };
        to->largest = fmax(to->largest, v[i].largest);
        sum.squares += m->squares;
    }
    to->rms = ol_moments_rms(&sum, s->n, s->parts->n_tokens);
}

/* By falling magnitude, of equal ones the first stream; without a number last. */
static int compare(const void *x, const void *y)
{
    const struct peak *a = x, *b = y;
    const double p = ol_moments_magnitude(&a->m), q = ol_moments_magnitude(&b->m);
    if (p != q)
        return p > q ? -1 : 1;
    return (a->stream > b->stream) - (a->stream < b->stream);
}

static void describe_peaks(const struct streams *s, struct ol_residual_streams *block,
                           struct ol_arena *arena)
{
    struct ol_stream_peak *to = ol_list_new(&block->streams, s->n, sizeof *to, arena);
    qsort(s->peaks, (size_t)s->n, sizeof *s->peaks, compare);
    for (int64_t i = 0; i < s->n; i++) {
        const struct peak *p = &s->peaks[i];
        const struct ol_moments *m = &p->m;
        const bool up = m->max >= -m->min;
        to[i] = (struct ol_stream_peak){
            p->stream,
            up ? ol_moments_max(m) : ol_moments_min(m),
            ol_describe_index(p->layer),
            ol_describe_index(up ? m->max_dimension : m->min_dimension),
            ol_describe_place(s->parts, up ? m->max_sequence : m->min_sequence,
                              up ? m->max_position : m->min_position),
            p->jump,
            ol_describe_index(p->since),
            ol_describe_index(p->jumped),
        };
    }
}

static bool results(const struct ol_analysis *a, void *state, void *block,
                    struct ol_arena *arena)
{
    (void)state;
    const struct ol_activation_layout *layout = ol_parts_layout(a->parts);
    struct ol_residual_streams *to = block;
    struct streams s = {.parts = a->parts, .n = layout->layers[0].n_streams};
    if (s.n == 0)
        return false;
    struct ol_streams_layer *layers =
        ol_list_new(&to->layers, layout->n_layers, sizeof *layers, arena);
    s.now = ol_xcalloc((size_t)s.n, sizeof *s.now);
    s.peaks = ol_xcalloc((size_t)s.n, sizeof *s.peaks);
    to->n_streams = s.n;
    for (int64_t i = 0; i < s.n; i++)
        s.peaks[i] =
            (struct peak){i, -1, ol_moments_new(), (double)NAN, (double)NAN, -1, -1};
    for (int l = 0; l < layout->n_layers; l++) {
        read_layer(&s, l);
        describe_layer(&s, l > 0 ? layout->layers[l - 1].number : -1,
                       layout->layers[l].number, &layers[l], arena);
    }
    describe_peaks(&s, to, arena);
    free(s.peaks);
    free(s.now);
    return true;
}

const struct ol_statistic ol_residual_streams_statistic = {.name = "residual_streams",
                                                           .results = results};
