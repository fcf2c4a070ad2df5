/* The checksum of bytes that a loop has at hand for something else: they come from memory
 * once, and folding them costs nothing that the loop, waiting for memory, would not wait
 * anyway. OL_CRC32_FOLDS is defined where this program is compiled for a processor that
 * folds; others go on by ol_crc32_go_on. */
#ifndef OL_CRC32_FOLD_H
#define OL_CRC32_FOLD_H

#include <string.h>

#include "common/crc32.h"

/* Bytes of a step. */
enum { OL_CRC32_STEP = 128 };

#if defined(__AVX512F__) && defined(__VPCLMULQDQ__)
#include <immintrin.h>
#define OL_CRC32_FOLDS

/* The last 128 bytes and those before them, folded (crc32.c names the paper). */
struct ol_crc32_lanes {
    __m512i first, second;
};

static inline struct ol_crc32_lanes ol_crc32_lanes_of(const struct ol_crc32_run *run)
{
    return (struct ol_crc32_lanes){_mm512_loadu_si512(run->folded),
                                   _mm512_loadu_si512(run->folded + 64)};
}

static inline void ol_crc32_keep_lanes(const struct ol_crc32_lanes *lanes,
                                       struct ol_crc32_run *run)
{
    _mm512_storeu_si512(run->folded, lanes->first);
    _mm512_storeu_si512(run->folded + 64, lanes->second);
}

static inline __m512i ol_crc32_fold_64(__m512i x, __m512i by, const unsigned char *next)
{
    enum { XOR_OF_THREE = 0x96 };
    return _mm512_ternarylogic_epi64(_mm512_clmulepi64_epi128(x, by, 0x00),
                                     _mm512_clmulepi64_epi128(x, by, 0x11),
                                     _mm512_loadu_si512(next), XOR_OF_THREE);
}

static inline void ol_crc32_step(struct ol_crc32_lanes *lanes, const void *bytes)
{
    const __m512i by_1024 =
        _mm512_broadcast_i32x4(_mm_set_epi64x(0x014a7fe880, 0x01e88ef372));
    const unsigned char *next = bytes;
    lanes->first = ol_crc32_fold_64(lanes->first, by_1024, next);
    lanes->second = ol_crc32_fold_64(lanes->second, by_1024, next + 64);
}

#elif defined(__PCLMUL__) && defined(__SSE4_1__)
#include <immintrin.h>
#define OL_CRC32_FOLDS

/* The last 64 bytes. */
struct ol_crc32_lanes {
    __m128i of[4];
};

static inline struct ol_crc32_lanes ol_crc32_lanes_of(const struct ol_crc32_run *run)
{
    struct ol_crc32_lanes lanes;
    memcpy(lanes.of, run->folded + 64, sizeof lanes.of);
    return lanes;
}

static inline void ol_crc32_keep_lanes(const struct ol_crc32_lanes *lanes,
                                       struct ol_crc32_run *run)
{
    memcpy(run->folded + 64, lanes->of, sizeof lanes->of);
}

static inline void ol_crc32_step(struct ol_crc32_lanes *lanes, const void *bytes)
{
    const __m128i by_512 = _mm_set_epi64x(0x01c6e41596, 0x0154442bd4);
    for (int half = 0; half < 2; half++)
        for (int i = 0; i < 4; i++) {
            const __m128i x = lanes->of[i],
                          next = _mm_loadu_si128((const __m128i *)bytes + 4 * half + i);
            lanes->of[i] =
                _mm_xor_si128(_mm_xor_si128(_mm_clmulepi64_si128(x, by_512, 0x00),
                                            _mm_clmulepi64_si128(x, by_512, 0x11)),
                              next);
        }
}

#endif

#endif
