/* ONNX's operators element by element. Real numbers are float32, each operation IEEE's own. */
#include "knl_functions.h"
#include "knl_values.h"
#include "knl_float.h"

static int is_known(uint32_t type) {
    return type == KNL_FLOAT32 || type == KNL_INT64 || type == KNL_INT32;
}

static float larger(float a, float b) {
    return a >= b || a != a ? a : b;
}

static float smaller(float a, float b) {
    return a <= b || a != a ? a : b;
}

/* ---- of one operand */

/* Newton's steps in float64, from half the exponent: what they end in rounds to the nearest
 * float32, since no root lies closer to the middle of two than 2^-51 of it. */
static float root(float x) {
    double wide = (double)x, found;
    uint64_t bits;
    int at;
    if (x != x || x == 0.0f || wide > (double)FLT_MAX)
        return x;
    if (x < 0.0f) {
        float none = (float)(1e308 * 10);
        return none - none;
    }
    memcpy(&bits, &wide, sizeof bits);
    bits = (bits >> 1) + UINT64_C(0x1ff7a3bea91d9b1b);
    memcpy(&found, &bits, sizeof found);
    for (at = 0; at < 5; at++)
        found = 0.5 * (found + wide / found);
    return (float)found;
}

/* rne(x). */
static float nearest(float x) {
    volatile double sum;
    if (!(x < 8388608.0f && x > -8388608.0f)) /* 2^23: no bits behind the point, or NaN */
        return x;
    sum = (double)x + 6755399441055744.0; /* 1.5 * 2^52 */
    return (float)(sum - 6755399441055744.0);
}

static float below(float x) {
    float found = nearest(x);
    return found > x ? found - 1.0f : found;
}

static float of_one(unsigned kind, float x, float factor) {
    switch (kind) {
    case 0:
        return x < 0 ? -x : x + 0.0f;
    case 1:
        return -x;
    case 2:
        return larger(x, 0.0f);
    case 3:
        return root(x);
    case 4:
        return below(x);
    case 5:
        return -below(-x);
    case 6:
        return nearest(x);
    case 7:
        return x > 0 ? 1.0f : x < 0 ? -1.0f : x;
    case 8:
        return 1.0f / x;
    default:
        return x >= 0 ? x : factor * x;
    }
}

static int64_t whole_of_one(unsigned kind, int64_t x) {
    switch (kind) {
    case 0:
        return x < 0 ? (int64_t)(0 - (uint64_t)x) : x;
    case 1:
        return (int64_t)(0 - (uint64_t)x);
    case 2:
        return x > 0 ? x : 0;
    default:
        return (x > 0) - (x < 0);
    }
}

/* `kind`: Abs, Neg, Relu, Sqrt, Floor, Ceil, Round, Sign, Reciprocal, LeakyRelu. */
int knl_host_of_one(const knl_step *step, unsigned kind) {
    knl_host_attribute told;
    knl_value x, y;
    float factor = 0.01f;
    size_t at;
    if (step->op.inputs != 1 || step->op.outputs != 1)
        return KNL_UNFIT;
    x = knl_input_of(step, 0);
    y = knl_output_of(step, 0);
    if (!is_known(x.type) || (x.type != KNL_FLOAT32 && kind > 2 && kind != 7))
        return KNL_STRANGE;
    if (x.type != y.type || !knl_same_sizes(&x, &y))
        return KNL_UNFIT;
    if (kind == 9 && knl_find_attribute(step, "alpha", &told) && told.kind == KNL_REAL &&
        told.count)
        factor = (float)knl_host_real(step->net, told.first_number);
    for (at = 0; step->memory && at < x.count; at++)
        if (x.type == KNL_FLOAT32)
            knl_put_float(y.data, at, of_one(kind, knl_float_at(x.data, at), factor));
        else
            knl_put_whole(y.data, y.type, at,
                          whole_of_one(kind, knl_whole_at(x.data, x.type, at)));
    return KNL_DONE;
}

/* `kind`: Exp, Log, Sigmoid, Tanh. Apart from the others, whose programs then are without them. */
int knl_host_function(const knl_step *step, unsigned kind) {
    static double (*const functions[])(double) = {knl_exponential, knl_logarithm, knl_logistic,
                                                  knl_hyperbolic_tangent};
    knl_value x, y;
    size_t at;
    if (step->op.inputs != 1 || step->op.outputs != 1)
        return KNL_UNFIT;
    x = knl_input_of(step, 0);
    y = knl_output_of(step, 0);
    if (x.type != KNL_FLOAT32)
        return KNL_STRANGE;
    if (x.type != y.type || !knl_same_sizes(&x, &y))
        return KNL_UNFIT;
    for (at = 0; step->memory && at < x.count; at++)
        knl_put_float(y.data, at, (float)functions[kind]((double)knl_float_at(x.data, at)));
    return KNL_DONE;
}

static float bound(const knl_step *step, const char *name, uint32_t input, float otherwise,
                   int *status) {
    knl_host_attribute told;
    if (knl_find_attribute(step, name, &told)) {
        if (told.count != 1 || told.kind == KNL_TEXTS)
            *status = KNL_UNFIT;
        else
            return told.kind == KNL_REAL ? (float)knl_host_real(step->net, told.first_number)
                                         : (float)knl_host_number(step->net, told.first_number);
    } else if (input < step->op.inputs) {
        knl_value given = knl_input_of(step, input);
        if (given.type == UINT32_MAX)
            return otherwise;
        if (given.type != KNL_FLOAT32 || given.count != 1)
            *status = KNL_UNFIT;
        else if (given.data) /* a computed one is there once the frame runs */
            return knl_float_at(given.data, 0);
    }
    return otherwise;
}

/* Below `min` it is that, then above `max` that. */
int knl_host_clip(const knl_step *step, unsigned kind) {
    int status = KNL_DONE;
    float endless = (float)(1e308 * 10), low, high;
    knl_value x, y;
    size_t at;
    (void)kind;
    if (!step->op.inputs || step->op.outputs != 1)
        return KNL_UNFIT;
    x = knl_input_of(step, 0);
    y = knl_output_of(step, 0);
    if (x.type != KNL_FLOAT32)
        return KNL_STRANGE;
    low = bound(step, "min", 1, -endless, &status);
    high = bound(step, "max", 2, endless, &status);
    if (status || x.type != y.type || !knl_same_sizes(&x, &y))
        return KNL_UNFIT;
    for (at = 0; step->memory && at < x.count; at++)
        knl_put_float(y.data, at, smaller(larger(knl_float_at(x.data, at), low), high));
    return KNL_DONE;
}

/* Towards zero; beyond the type's ends they are taken, and 0 for NaN. */
static int64_t truncated(float x, uint32_t type) {
    static const int64_t least[] = {0, -128, -32768, INT32_MIN, INT64_MIN, 0, 0, 0, 0};
    static const int64_t most[] = {1, 127, 32767, INT32_MAX, INT64_MAX, 255, 65535, UINT32_MAX,
                                   INT64_MAX};
    if (x != x)
        return 0;
    if (x <= (float)least[type])
        return least[type];
    return x >= (float)most[type] ? most[type] : (int64_t)x;
}

int knl_host_cast(const knl_step *step, unsigned kind) {
    static const char *const names[KNL_ELEMENT_TYPES] = {
        "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
        "float16", "float32", "float64"};
    knl_value x, y;
    size_t at;
    (void)kind;
    if (step->op.inputs != 1 || step->op.outputs != 1)
        return KNL_UNFIT;
    x = knl_input_of(step, 0);
    y = knl_output_of(step, 0);
    if (x.type >= KNL_ELEMENT_TYPES || y.type >= KNL_ELEMENT_TYPES || !knl_same_sizes(&x, &y) ||
        !knl_says(step, "to", names[y.type], 0))
        return KNL_UNFIT;
    if (!(knl_is_whole(x.type) || x.type == KNL_FLOAT32) ||
        !(knl_is_whole(y.type) || y.type == KNL_FLOAT32) || x.type == KNL_UINT64)
        return KNL_STRANGE;
    for (at = 0; step->memory && at < x.count; at++)
        if (x.type == KNL_FLOAT32) {
            float from = knl_float_at(x.data, at);
            if (y.type == KNL_FLOAT32)
                knl_put_float(y.data, at, from);
            else
                knl_put_whole(y.data, y.type, at,
                              y.type == KNL_BOOL ? !(from == 0.0f) : truncated(from, y.type));
        } else {
            int64_t from = knl_whole_at(x.data, x.type, at);
            if (y.type == KNL_FLOAT32)
                knl_put_float(y.data, at, (float)from);
            else
                knl_put_whole(y.data, y.type, at, y.type == KNL_BOOL ? from != 0 : from);
        }
    return KNL_DONE;
}

/* ---- of two */

static float of_two(unsigned kind, float a, float b) {
    switch (kind) {
    case 0:
        return a + b;
    case 1:
        return a - b;
    case 2:
        return a * b;
    case 3:
        return a / b;
    case 4:
        return larger(a, b);
    case 5:
        return smaller(a, b);
    default:
        return a > 0 ? a : a * b;
    }
}

static int64_t whole_of_two(unsigned kind, int64_t a, int64_t b) {
    uint64_t x = (uint64_t)a, y = (uint64_t)b;
    switch (kind) {
    case 0:
        return (int64_t)(x + y);
    case 1:
        return (int64_t)(x - y);
    case 2:
        return (int64_t)(x * y);
    case 4:
        return a > b ? a : b;
    default:
        return a < b ? a : b;
    }
}

/* `kind`: Add, Sub, Mul, Div, Max, Min, PRelu. Of several operands, from the first one on. */
int knl_host_of_two(const knl_step *step, unsigned kind) {
    knl_value x, y;
    knl_odometer places;
    uint32_t which, axis;
    size_t at, reached[KNL_MOST_DIMENSIONS];
    if (!step->op.inputs || step->op.outputs != 1 ||
        (step->op.inputs != 2 && kind != 0 && kind != 4 && kind != 5))
        return KNL_UNFIT;
    y = knl_output_of(step, 0);
    if (!is_known(y.type) || (y.type != KNL_FLOAT32 && (kind == 3 || kind == 6)))
        return KNL_STRANGE;
    for (axis = 0; axis < KNL_MOST_DIMENSIONS; axis++)
        reached[axis] = 1;
    for (which = 0; which < step->op.inputs; which++) {
        x = knl_input_of(step, which);
        knl_begin_places(&places, &y);
        if (x.type != y.type || !knl_broadcast(&places, &x))
            return KNL_UNFIT;
        for (axis = 0; axis < x.axes; axis++)
            if (x.sizes[axis] != 1)
                reached[y.axes - x.axes + axis] = x.sizes[axis];
        for (at = 0; step->memory && at < y.count; at++) {
            size_t from = (size_t)places.at[0];
            if (y.type == KNL_FLOAT32) {
                float given = knl_float_at(x.data, from);
                knl_put_float(y.data, at,
                              which ? of_two(kind, knl_float_at(y.data, at), given) : given);
            } else {
                int64_t given = knl_whole_at(x.data, x.type, from);
                knl_put_whole(y.data, y.type, at,
                              which ? whole_of_two(kind, knl_whole_at(y.data, y.type, at), given)
                                    : given);
            }
            knl_next_place(&places);
        }
    }
    return memcmp(reached, y.sizes, y.axes * sizeof *reached) ? KNL_UNFIT : KNL_DONE;
}

/* Pow: the exponent may be whole. */
int knl_host_power(const knl_step *step, unsigned kind) {
    knl_value x, by, y;
    knl_odometer places;
    size_t at;
    (void)kind;
    if (step->op.inputs != 2 || step->op.outputs != 1)
        return KNL_UNFIT;
    x = knl_input_of(step, 0);
    by = knl_input_of(step, 1);
    y = knl_output_of(step, 0);
    if (x.type != KNL_FLOAT32 || !(by.type == KNL_FLOAT32 || knl_is_whole(by.type)) ||
        by.type == KNL_UINT64)
        return KNL_STRANGE;
    knl_begin_places(&places, &y);
    if (y.type != x.type || !knl_broadcast(&places, &x) || !knl_broadcast(&places, &by) ||
        !knl_is_covered(&places))
        return KNL_UNFIT;
    for (at = 0; step->memory && at < y.count; at++) {
        size_t other = (size_t)places.at[1];
        double exponent = by.type == KNL_FLOAT32 ? (double)knl_float_at(by.data, other)
                                                 : (double)knl_whole_at(by.data, by.type, other);
        knl_put_float(y.data, at,
                      (float)knl_power((double)knl_float_at(x.data, (size_t)places.at[0]),
                                       exponent));
        knl_next_place(&places);
    }
    return KNL_DONE;
}

static int holds(unsigned kind, const knl_value *a, size_t i, const knl_value *b, size_t j) {
    int less, same;
    if (a->type == KNL_FLOAT32) {
        float x = knl_float_at(a->data, i), y = knl_float_at(b->data, j);
        if (x != x || y != y)
            return 0;
        less = x < y;
        same = x == y;
    } else {
        int64_t x = knl_whole_at(a->data, a->type, i), y = knl_whole_at(b->data, b->type, j);
        less = x < y;
        same = x == y;
        if (kind > 4)
            return kind == 5 ? x && y : kind == 6 ? x || y : !x != !y;
    }
    switch (kind) {
    case 0:
        return same;
    case 1:
        return !less && !same;
    case 2:
        return !less;
    case 3:
        return less;
    default:
        return less || same;
    }
}

/* `kind`: Equal, Greater, GreaterOrEqual, Less, LessOrEqual; of truth values And, Or, Xor, Not. */
int knl_host_compare(const knl_step *step, unsigned kind) {
    knl_value a, b, y;
    knl_odometer places;
    size_t at;
    uint32_t wanted = kind == 8 ? 1 : 2;
    if (step->op.inputs != wanted || step->op.outputs != 1)
        return KNL_UNFIT;
    a = knl_input_of(step, 0);
    b = knl_input_of(step, wanted - 1);
    y = knl_output_of(step, 0);
    if ((a.type != KNL_FLOAT32 && !knl_is_whole(a.type)) || a.type == KNL_UINT64)
        return KNL_STRANGE;
    knl_begin_places(&places, &y);
    if (a.type != b.type || y.type != KNL_BOOL || (kind > 4 && a.type != KNL_BOOL) ||
        !knl_broadcast(&places, &a) || !knl_broadcast(&places, &b) || !knl_is_covered(&places))
        return KNL_UNFIT;
    for (at = 0; step->memory && at < y.count; at++) {
        int found = kind == 8 ? !knl_whole_at(a.data, a.type, (size_t)places.at[0])
                              : holds(kind, &a, (size_t)places.at[0], &b, (size_t)places.at[1]);
        ((uint8_t *)y.data)[at] = (uint8_t)found;
        knl_next_place(&places);
    }
    return KNL_DONE;
}
