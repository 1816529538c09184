/* exp and log by reduction and a polynomial. */
#include "knl_functions.h"

#include <stdint.h>
#include <string.h>

#include "knl_float.h"

static const double LOG2_E = 1.4426950408889634, LN2_HIGH = 0.693147180369123816490,
                    LN2_LOW = 1.90821492927058770002e-10, ROOT_HALF = 0.7071067811865476;
static const double INFINITE = 1e308 * 10, SHIFT = 6755399441055744.0; /* 1.5 * 2^52 */

static double from_bits(uint64_t bits) {
    double found;
    memcpy(&found, &bits, sizeof found);
    return found;
}

static uint64_t bits_of(double x) {
    uint64_t found;
    memcpy(&found, &x, sizeof found);
    return found;
}

static double not_a_number(void) {
    return from_bits(UINT64_C(0x7ff8000000000000));
}

double knl_exponential(double x) {
    static const double terms[] = {
        1.0 / 6227020800.0, 1.0 / 479001600.0, 1.0 / 39916800.0, 1.0 / 3628800.0, 1.0 / 362880.0,
        1.0 / 40320.0, 1.0 / 5040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0,
    };
    volatile double shifted;
    double n, r, sum;
    unsigned at;
    if (x != x)
        return x;
    if (x > 709.0)
        return INFINITE;
    if (x < -708.0)
        return 0.0;
    shifted = x * LOG2_E + SHIFT;
    n = shifted - SHIFT;
    r = x - n * LN2_HIGH;
    r = r - n * LN2_LOW;
    sum = terms[0];
    for (at = 1; at < sizeof terms / sizeof *terms; at++) {
        sum = sum * r;
        sum = sum + terms[at];
    }
    return sum * from_bits((uint64_t)((int64_t)n + 1023) << 52);
}

double knl_logarithm(double x) {
    double exponent, m, s, z, sum;
    int at;
    if (x != x)
        return x;
    if (x < 0.0)
        return not_a_number();
    if (x == 0.0)
        return -INFINITE;
    if (x == INFINITE)
        return x;
    /* of a float32, so never subnormal */
    exponent = (double)((int64_t)(bits_of(x) >> 52 & 2047) - 1022);
    m = from_bits((bits_of(x) & UINT64_C(0x000fffffffffffff)) | UINT64_C(1022) << 52);
    if (m < ROOT_HALF) {
        m = m * 2.0;
        exponent = exponent - 1.0;
    }
    s = (m - 1.0) / (m + 1.0);
    z = s * s;
    sum = 1.0 / 23.0;
    for (at = 21; at >= 1; at -= 2) {
        sum = sum * z;
        sum = sum + 1.0 / (double)at;
    }
    sum = sum * (2.0 * s);
    return exponent * LN2_HIGH + (sum + exponent * LN2_LOW);
}

double knl_hyperbolic_tangent(double x) {
    double size = x < 0.0 ? -x : x, z, sum;
    if (x != x)
        return x;
    if (size < 0.015625) {
        z = x * x;
        sum = z * (-17.0 / 315.0) + 2.0 / 15.0;
        sum = sum * z - 1.0 / 3.0;
        return x * (sum * z + 1.0);
    }
    sum = 1.0 - 2.0 / (knl_exponential(size * 2.0) + 1.0);
    return x < 0.0 ? -sum : sum;
}

double knl_logistic(double x) {
    return 1.0 / (1.0 + knl_exponential(-x));
}

/* Whether a number is whole, and odd. */
static int is_whole(double x, int *odd) {
    double size = x < 0.0 ? -x : x;
    uint64_t number;
    *odd = 0;
    if (!(size < 9007199254740992.0)) /* nor NaN, which no integer stands for */
        return size != INFINITE;
    number = (uint64_t)size;
    *odd = (int)(number & 1) && (double)number == size;
    return (double)number == size;
}

double knl_power(double x, double y) {
    double size = x < 0.0 ? -x : x, found;
    int odd, whole = is_whole(y, &odd);
    if (y == 0.0 || x == 1.0)
        return 1.0;
    if (x != x || y != y)
        return not_a_number();
    if (x == -1.0 && (y == INFINITE || y == -INFINITE))
        return 1.0;
    if (x < 0.0 && x != -INFINITE && !whole && y != INFINITE && y != -INFINITE)
        return not_a_number();
    if (size == 1.0)
        return odd ? -1.0 : 1.0;
    found = knl_exponential(y * knl_logarithm(size));
    return odd && bits_of(x) >> 63 ? -found : found;
}
