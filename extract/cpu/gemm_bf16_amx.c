/* Products of bfloat16 matrices with AMX: one instruction multiplies a tile of 16 rows by
 * 32 values of a with one of 16 pairs by 16 columns of b, and adds to 16 x 16 sums. Two
 * tiles of a by two of b make four of sums, which stay in tiles over the whole depth:
 *
 *                  b: 6        7
 *                 +--------+--------+
 *                 | 16 x 16| pairs  |
 *          +------+--------+--------+
 *     a: 4 |16x32 |   0    |   1    |
 *        5 |      |   2    |   3    |
 *          +------+--------+--------+
 *
 * Tiles of a are loaded from its rows as they lie: of every line all is used at once, so
 * that it does not matter that rows at a distance of a power of two meet in the first
 * cache. Copying them first took longer.
 *
 * In each step of 32 values the products of even places are summed from zero, those of
 * odd places likewise, both with one rounding per product; their sum is added to that of
 * the steps before. Denormal values count as zero (Intel's manual, TDPBF16PS). So sums
 * differ in their last bits from those of other instructions. */
#include "extract/cpu/gemm_bf16.h"

#include <sys/syscall.h>

#if (defined(__AMX_BF16__) || defined(__AMXBF16__)) && defined(__AVX512BF16__) &&        \
    defined(__AVX512BW__) && defined(__AVX512VL__) && defined(SYS_arch_prctl)

#include <cpuid.h>
#include <stdatomic.h>
#include <unistd.h>

enum { TILE_ROWS = 16, ROWS = 2 * TILE_ROWS, STEP = 32 /* values of k */ };

#include "extract/cpu/gemm_bf16_kernel.h"

/* ---- whether it may be used ---- */

/* The processor has the instructions, and the system keeps the tiles of threads. */
static bool is_there(void)
{
    enum { OSXSAVE = 1 << 27, AMX_BF16 = 1 << 22, AMX_TILE = 1 << 24 };
    const uint64_t tiles = 3 << 17;
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & OSXSAVE) ||
        !__get_cpuid_count(7, 0, &a, &b, &c, &d))
        return false;
    return (d & AMX_BF16) && (d & AMX_TILE) && ((uint64_t)_xgetbv(0) & tiles) == tiles;
}

/* Linux gives a process the room for tiles when it asks, once and for all its threads. */
static bool is_usable(void)
{
    enum { UNKNOWN, NO, YES, REQUEST = 0x1023 /* ARCH_REQ_XCOMP_PERM */, TILE_DATA = 18 };
    static atomic_int known = UNKNOWN;
    int answer = atomic_load(&known);
    if (answer == UNKNOWN) {
        answer =
            is_there() && syscall(SYS_arch_prctl, REQUEST, TILE_DATA) == 0 ? YES : NO;
        atomic_store(&known, answer);
    }
    return answer == YES;
}

/* ---- sums ---- */

/* What memory holds is there before tiles are loaded: gcc does not know that they are. */
static inline void settle(void)
{
    __asm__ volatile("" ::: "memory");
}

/* All tiles of 16 rows of 64 bytes, in this thread. */
static void begin_tiles(void)
{
    enum { N_TILES = 8, N_BYTES = 64 };
    struct {
        uint8_t palette, start_row, reserved[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } config = {.palette = 1};
    _Static_assert(sizeof config == 64, "as the instruction reads it");
    for (int i = 0; i < N_TILES; i++) {
        config.row_bytes[i] = N_BYTES;
        config.rows[i] = TILE_ROWS;
    }
    settle();
    _tile_loadconfig(&config);
}

/* Sums of up to 16 rows. */
static void multiply_half(const uint16_t *a, int64_t lda, int64_t k,
                          const uint16_t *packed, float out[ROWS][COLS])
{
    const size_t a_row = (size_t)lda * sizeof *a, b_row = COLS * 2 * sizeof *packed;
    _tile_zero(0);
    _tile_zero(1);
    for (int64_t at = 0; at < k; at += STEP, packed += STEP * COLS) {
        _tile_loadd(4, a + at, a_row);
        _tile_loadd(6, packed, b_row);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(7, packed + 2 * LANES, b_row);
        _tile_dpbf16ps(1, 4, 7);
    }
    _tile_stored(0, out[0], sizeof out[0]);
    _tile_stored(1, out[0] + LANES, sizeof out[0]);
}

static void multiply_whole(const uint16_t *a, int64_t lda, int64_t k,
                           const uint16_t *packed, float out[ROWS][COLS])
{
    const size_t a_row = (size_t)lda * sizeof *a, b_row = COLS * 2 * sizeof *packed;
    const uint16_t *lower = a + TILE_ROWS * lda;
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int64_t at = 0; at < k; at += STEP, packed += STEP * COLS) {
        _tile_loadd(4, a + at, a_row);
        _tile_loadd(6, packed, b_row);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(7, packed + 2 * LANES, b_row);
        _tile_dpbf16ps(1, 4, 7);
        _tile_loadd(5, lower + at, a_row);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, out[0], sizeof out[0]);
    _tile_stored(1, out[0] + LANES, sizeof out[0]);
    _tile_stored(2, out[TILE_ROWS], sizeof out[0]);
    _tile_stored(3, out[TILE_ROWS] + LANES, sizeof out[0]);
}

static void multiply_rows(const uint16_t *a, int64_t lda, int64_t k,
                          const uint16_t *packed, int64_t rows, float out[ROWS][COLS])
{
    settle();
    if (rows > TILE_ROWS)
        multiply_whole(a, lda, k, packed, out);
    else
        multiply_half(a, lda, k, packed, out);
}

/* Whole tiles alone: a copy has room for them, and what it holds behind its rows becomes
 * sums that nobody reads. */
static bool reads_in_place(const struct ol_gemm_bf16 *g, int64_t rows)
{
    return rows % TILE_ROWS == 0 && g->k % STEP == 0;
}

static int64_t next_rows(int64_t left)
{
    return left < ROWS ? left : ROWS;
}

static void run(const struct ol_gemm_bf16 *g)
{
    begin_tiles();
    run_blocks(g);
    _tile_release();
}

/* Copies took longer. */
static int64_t distance(int64_t n, int64_t k)
{
    (void)k;
    return n;
}

const struct ol_gemm_bf16_kind ol_gemm_bf16_amx = {"amx_bf16", is_usable, scratch,
                                                   distance, run};

#else

const struct ol_gemm_bf16_kind ol_gemm_bf16_amx = {.name = "amx_bf16"};

#endif
