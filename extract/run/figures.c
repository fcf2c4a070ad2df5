#include "extract/run/figures.h"

#include <stdio.h>
#include <string.h>

/* ---- as text ---- */

enum { MOST_PIECE = 96 };

/* In the order in which they stand; what matters least is left out first. */
enum piece {
    PIECE_LAYER,
    PIECE_SPEED,
    PIECE_READ,
    PIECE_LINK,
    PIECE_MEMORY,
    PIECE_STALLS,
    PIECE_LEFT,
    N_PIECES,
};
static const enum piece by_worth[N_PIECES] = {PIECE_LAYER, PIECE_LEFT,   PIECE_SPEED,
                                              PIECE_READ,  PIECE_STALLS, PIECE_MEMORY,
                                              PIECE_LINK};

/* Shares of the time so far, "waits: disk 3 %, link 40 %, ...". */
static void write_stalls(const struct ol_figures *f, char text[MOST_PIECE])
{
    if (f->device_memory > 0)
        snprintf(text, MOST_PIECE, "waits: disk %.0f %%, link %.0f %%, compute %.0f %%",
                 100 * f->disk_waits, 100 * f->link_waits, 100 * f->compute_waits);
    else
        snprintf(text, MOST_PIECE, "waits: disk %.0f %%", 100 * f->disk_waits);
}

static void write_pieces(const struct ol_figures *f, char pieces[N_PIECES][MOST_PIECE])
{
    const int64_t left = (int64_t)f->seconds_left;
    snprintf(pieces[PIECE_LAYER], MOST_PIECE, "layer %lld/%lld  %3.0f %%",
             (long long)(f->layer < f->n_layers ? f->layer + 1 : f->n_layers),
             (long long)f->n_layers, 100 * f->fraction);
    snprintf(pieces[PIECE_SPEED], MOST_PIECE, "%.0f tokens/s", f->tokens_per_second);
    snprintf(pieces[PIECE_READ], MOST_PIECE, "%.2f GB read, %.2f GB/s",
             (double)f->bytes_read * 1e-9, (double)f->bytes_read * 1e-9 / f->seconds);
    if (f->device_memory > 0)
        snprintf(pieces[PIECE_LINK], MOST_PIECE, "link %.2f GB/s, %.2f GB device",
                 (double)f->link_bytes * 1e-9 / f->seconds,
                 (double)f->device_memory * 1e-9);
    snprintf(pieces[PIECE_MEMORY], MOST_PIECE, "%.2f GB memory",
             (double)f->memory * 1e-9);
    write_stalls(f, pieces[PIECE_STALLS]);
    /* Before anything is done nobody knows. */
    if (f->fraction < 1 && f->tokens_per_second <= 0)
        snprintf(pieces[PIECE_LEFT], MOST_PIECE, "?:?? left");
    else
        snprintf(pieces[PIECE_LEFT], MOST_PIECE, "%lld:%02d left", (long long)(left / 60),
                 (int)(left % 60));
}

void ol_figures_text(const struct ol_figures *f, int room, char text[OL_FIGURES_TEXT])
{
    _Static_assert(N_PIECES * (MOST_PIECE + 2) < OL_FIGURES_TEXT, "room for all pieces");
    char pieces[N_PIECES][MOST_PIECE] = {""};
    bool shown[N_PIECES] = {false};
    write_pieces(f, pieces);
    for (int i = 0; i < N_PIECES; i++) {
        const int n = (int)strlen(pieces[by_worth[i]]) + 2;
        shown[by_worth[i]] = n > 2 && n <= room;
        room -= shown[by_worth[i]] ? n : 0;
    }
    *text = '\0';
    for (int i = 0; i < N_PIECES && shown[by_worth[0]]; i++)
        if (shown[i])
            strcat(strcat(text, "  "), pieces[i]);
}

/* ---- as JSON ---- */

static const struct {
    const char *name;
    bool is_real;
    size_t offset; /* in struct ol_figures */
} fields[] = {
#define INTEGER(member)                                                                  \
    {                                                                                    \
#member, false, offsetof(struct ol_figures, member)                              \
    }
#define REAL(member)                                                                     \
    {                                                                                    \
#member, true, offsetof(struct ol_figures, member)                               \
    }
    INTEGER(layer),          INTEGER(n_layers),  INTEGER(n_tokens),
    REAL(fraction),          REAL(seconds),      REAL(layer_seconds),
    REAL(tokens_per_second), REAL(seconds_left), INTEGER(bytes_read),
    INTEGER(link_bytes),     INTEGER(memory),    INTEGER(device_memory),
    REAL(disk_waits),        REAL(link_waits),   REAL(compute_waits),
#undef INTEGER
#undef REAL
};
enum { N_FIELDS = sizeof fields / sizeof fields[0] };

void ol_figures_set(const struct ol_figures *f, struct ol_json *object)
{
    for (int i = 0; i < N_FIELDS; i++) {
        const void *value = (const char *)f + fields[i].offset;
        ol_json_set(object, fields[i].name,
                    fields[i].is_real ? ol_json_new_real(*(const double *)value)
                                      : ol_json_new_int(*(const int64_t *)value));
    }
}

int ol_figures_get(struct ol_json_section s, struct ol_figures *f, struct ol_error *err)
{
    for (int i = 0; i < N_FIELDS; i++) {
        void *value = (char *)f + fields[i].offset;
        if ((fields[i].is_real
                 ? ol_json_need_real(s, fields[i].name, value, err)
                 : ol_json_need_int(s, fields[i].name, 0, INT64_MAX, value, err)) != 0)
            return -1;
    }
    return 0;
}
