/* Functions of double, each the same to the last bit on every processor: the C library
 * has several, with and without fused multiplication, and chooses by the processor. What
 * a run or an analysis writes comes from these. Their error is below 2 units in the last
 * place where nothing else is said; they are written so that a compiler makes vectors of
 * them in a loop. */
#ifndef OL_REAL_MATH_H
#define OL_REAL_MATH_H

#include <math.h>
#include <stdint.h>
#include <string.h>

static inline double ol_bits_to_real(uint64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline uint64_t ol_real_to_bits(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* Adding it rounds to an integer, which then lies in the last bits. */
#define OL_REAL_SHIFTER 0x1.8p52
#define OL_LN2_HIGH     0x1.62e42feep-1 /* 33 bits: n times it is exact */
#define OL_LN2_LOW      0x1.a39ef35793c76p-33

/* e^x: x = n ln 2 + r, the power series of e^r for |r| <= ln(2) / 2, then 2^n in two
 * factors, because n reaches past the exponents that one double can hold. */
static inline double ol_real_exp(double x)
{
    x = x > 710.0 ? 710.0 : x;
    x = x < -746.0 ? -746.0 : x;
    const double shifted = x * 0x1.71547652b82fep0 + OL_REAL_SHIFTER;
    const double n = shifted - OL_REAL_SHIFTER;
    const double r = (x - n * OL_LN2_HIGH) - n * OL_LN2_LOW;
    double p = 1.0 / 6227020800;
    p = p * r + 1.0 / 479001600;
    p = p * r + 1.0 / 39916800;
    p = p * r + 1.0 / 3628800;
    p = p * r + 1.0 / 362880;
    p = p * r + 1.0 / 40320;
    p = p * r + 1.0 / 5040;
    p = p * r + 1.0 / 720;
    p = p * r + 1.0 / 120;
    p = p * r + 1.0 / 24;
    p = p * r + 1.0 / 6;
    p = p * r + 0.5;
    p = p * (r * r) + r + 1.0;
    const uint64_t biased =
        ol_real_to_bits(shifted) - ol_real_to_bits(OL_REAL_SHIFTER) + 2048; /* n + 2048 */
    const uint64_t half = biased >> 1; /* of n, + 1024 */
    const double first = ol_bits_to_real((half - 1) << 52);
    return p * first * ol_bits_to_real((biased - half - 1) << 52);
}

/* ln x. x = 2^e (1 + f) with 1 + f from sqrt(1/2) to sqrt(2), and with s = f / (2 + f)
 * ln(1 + f) = 2 (s + s^3/3 + s^5/5 ...) = f - f^2/2 + s (f^2/2 + R). */
static inline double ol_real_log(double x)
{
    if (!(x > 0) || x > 0x1.fffffffffffffp1023)
        return x == 0 ? -INFINITY : x > 0 ? x : NAN;
    const int small = x < 0x1p-1022;
    const uint64_t bits = ol_real_to_bits(small ? x * 0x1p54 : x);
    /* Halves above sqrt(2) go with the next exponent. */
    const uint64_t above = bits + (0x3ff0000000000000u - 0x3fe6a09e667f3bcdu);
    const double e = (double)(int64_t)(above >> 52) - 1023 - (small ? 54 : 0);
    const double f =
        ol_bits_to_real((above & 0xfffffffffffffu) + 0x3fe6a09e667f3bcdu) - 1;
    const double s = f / (2 + f), z = s * s, half = 0.5 * f * f;
    double p = 2.0 / 23;
    p = p * z + 2.0 / 21;
    p = p * z + 2.0 / 19;
    p = p * z + 2.0 / 17;
    p = p * z + 2.0 / 15;
    p = p * z + 2.0 / 13;
    p = p * z + 2.0 / 11;
    p = p * z + 2.0 / 9;
    p = p * z + 2.0 / 7;
    p = p * z + 2.0 / 5;
    p = p * z + 2.0 / 3;
    return e * OL_LN2_HIGH - ((half - (s * (half + p * z) + e * OL_LN2_LOW)) - f);
}

/* ln(1 + x), near to 0 too. */
static inline double ol_real_log1p(double x)
{
    const double u = 1 + x;
    if (u == 1 || x == INFINITY)
        return x;
    /* What the sum has lost, in the first order. */
    const double lost = x >= 1 ? 1 - (u - x) : x - (u - 1);
    return u > 0 ? ol_real_log(u) + lost / u : ol_real_log(u);
}

/* Whole where x is a power of two. */
static inline double ol_real_log2(double x)
{
    int exponent;
    const double part = frexp(x, &exponent);
    return isfinite(x) && x > 0
               ? (exponent - 1) + ol_real_log(2 * part) * 0x1.71547652b82fep0
               : ol_real_log(x);
}

/* x^y for x > 0; its relative error is that of y ln x, some |y ln x| units. */
static inline double ol_real_pow(double x, double y)
{
    return ol_real_exp(y * ol_real_log(x));
}

/* sin and cos of x up to 1e8 in magnitude (less exact beyond), to about 1e-16 absolutely.
 * x = n pi/2 + r; pi/2 in parts of 26 bits, so that n times one and the differences are
 * exact. */
static inline void ol_real_sincos(double x, double *sine, double *cosine)
{
    const double shifted = x * 0x1.45f306dc9c883p-1 + OL_REAL_SHIFTER;
    const double n = shifted - OL_REAL_SHIFTER;
    double r = x - n * 0x1.921fb5p0;
    r = r - n * 0x1.110b46p-26;
    r = r - n * 0x1.1a6263p-54;
    r = r - n * 0x1.8a2e03707344ap-81;
    const double z = r * r;
    double s = -1.0 / 121645100408832000;
    s = s * z + 1.0 / 355687428096000;
    s = s * z - 1.0 / 1307674368000;
    s = s * z + 1.0 / 6227020800;
    s = s * z - 1.0 / 39916800;
    s = s * z + 1.0 / 362880;
    s = s * z - 1.0 / 5040;
    s = s * z + 1.0 / 120;
    s = s * z - 1.0 / 6;
    s = s * z * r + r;
    double c = 1.0 / 2432902008176640000;
    c = c * z - 1.0 / 6402373705728000;
    c = c * z + 1.0 / 20922789888000;
    c = c * z - 1.0 / 87178291200;
    c = c * z + 1.0 / 479001600;
    c = c * z - 1.0 / 3628800;
    c = c * z + 1.0 / 40320;
    c = c * z - 1.0 / 720;
    c = c * z + 1.0 / 24;
    c = c * z * z - 0.5 * z + 1.0;
    const uint64_t quadrant = ol_real_to_bits(shifted) & 3;
    *sine = quadrant == 0 ? s : quadrant == 1 ? c : quadrant == 2 ? -s : -c;
    *cosine = quadrant == 0 ? c : quadrant == 1 ? -s : quadrant == 2 ? -c : s;
}

#endif
