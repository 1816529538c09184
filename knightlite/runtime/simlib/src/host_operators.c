/* ONNX's operators behind the chip, on float32, as docs/numerics.md has them. */
#include <stdlib.h>
#include <string.h>

#include "knl_functions.h"
#include "inner.h"
#include "knl_float.h"

static int is(knl_text text, const char *name) {
    return text.length == strlen(name) && !memcmp(text.bytes, name, text.length);
}

int is_reshape(const knl_host_operator *step) {
    return is(step->op, "Reshape");
}

int is_transpose(const knl_host_operator *step) {
    return is(step->op, "Transpose");
}

/* ---- attributes */

static int find(const knl_network *net, const knl_host_operator *step, const char *name,
                knl_host_attribute *found) {
    uint32_t at;
    for (at = 0; at < step->attributes; at++) {
        *found = knl_host_attribute_at(net, step->first_attribute + at);
        if (is(found->name, name))
            return 1;
    }
    return 0;
}

static int64_t whole(const knl_network *net, const knl_host_operator *step, const char *name,
                     int64_t otherwise) {
    knl_host_attribute found;
    if (!find(net, step, name, &found) || found.kind != KNL_WHOLE || !found.count)
        return otherwise;
    return knl_host_number(net, found.first_number);
}

static uint32_t list(const knl_network *net, const knl_host_operator *step, const char *name,
                     int64_t *to, uint32_t most) {
    knl_host_attribute found;
    uint32_t at;
    if (!find(net, step, name, &found) || found.kind != KNL_WHOLE || found.count > most)
        return 0;
    for (at = 0; at < found.count; at++)
        to[at] = knl_host_number(net, found.first_number + at);
    return found.count;
}

/* An axis, counted from the end where it is negative; -1 where there is none. */
static int axis_of(const value *of, int64_t axis) {
    if (axis < 0)
        axis += of->axes;
    return axis >= 0 && axis < of->axes ? (int)axis : -1;
}

/* ---- shapes */

int set_shape(value *made, int axes, const size_t *sizes) {
    size_t count = 1;
    int at;
    if (axes > MOST_DIMENSIONS)
        return 0;
    made->axes = axes;
    for (at = 0; at < axes; at++) {
        made->sizes[at] = sizes[at];
        if (sizes[at] && count > ((size_t)1 << 28) / sizes[at])
            return 0;
        count *= sizes[at];
    }
    made->count = count;
    made->data = malloc((count ? count : 1) * sizeof *made->data);
    return made->data != NULL;
}

/* Elements before, along and behind an axis. */
static void around(const value *of, int axis, size_t *outer, size_t *along, size_t *within) {
    int at;
    *outer = *within = 1;
    for (at = 0; at < of->axes; at++)
        if (at < axis)
            *outer *= of->sizes[at];
        else if (at > axis)
            *within *= of->sizes[at];
    *along = of->sizes[axis];
}

/* ---- moves */

int reshaped_sizes(const knl_network *net, const knl_host_operator *step, const value *x,
                   value *made) {
    int64_t wanted[MOST_DIMENSIONS];
    size_t known = 1;
    uint32_t count = list(net, step, "shape", wanted, MOST_DIMENSIONS), at;
    int open = -1;
    for (at = 0; at < count; at++) {
        if (wanted[at] < -1 || (wanted[at] == 0 && at >= (uint32_t)x->axes) ||
            (wanted[at] == -1 && open >= 0) || wanted[at] > 1 << 28)
            return 0;
        if (wanted[at] == -1)
            open = (int)at;
        made->sizes[at] = wanted[at] > 0 ? (size_t)wanted[at] : wanted[at] == 0 ? x->sizes[at] : 1;
        if (made->sizes[at] && known > ((size_t)1 << 28) / made->sizes[at])
            return 0;
        known *= made->sizes[at];
    }
    if (open >= 0 && known) {
        made->sizes[open] = x->count / known;
        known *= made->sizes[open];
    }
    made->axes = (int)count;
    return known == x->count;
}

static int reshape(const knl_network *net, const knl_host_operator *step, const value *x,
                   value *made) {
    value wanted;
    if (!reshaped_sizes(net, step, x, &wanted) || !set_shape(made, wanted.axes, wanted.sizes))
        return -1;
    memcpy(made->data, x->data, x->count * sizeof *x->data);
    return 1;
}

/* What lies at an index of the result: strides and a start in x. */
static void gather(const value *x, value *made, const ptrdiff_t *strides, ptrdiff_t start) {
    size_t index[MOST_DIMENSIONS] = {0}, at;
    ptrdiff_t place = start;
    int axis;
    for (at = 0; at < made->count; at++) {
        made->data[at] = x->data[place];
        for (axis = made->axes - 1; axis >= 0; axis--) {
            place += strides[axis];
            if (++index[axis] < made->sizes[axis])
                break;
            place -= strides[axis] * (ptrdiff_t)made->sizes[axis];
            index[axis] = 0;
        }
    }
}

static void strides_of(const value *x, ptrdiff_t *strides) {
    ptrdiff_t stride = 1;
    int axis;
    for (axis = x->axes - 1; axis >= 0; axis--) {
        strides[axis] = stride;
        stride *= (ptrdiff_t)x->sizes[axis];
    }
}

static int transpose(const knl_network *net, const knl_host_operator *step, const value *x,
                     value *made) {
    int64_t order[MOST_DIMENSIONS];
    size_t sizes[MOST_DIMENSIONS];
    ptrdiff_t own[MOST_DIMENSIONS], strides[MOST_DIMENSIONS];
    uint32_t count = list(net, step, "perm", order, MOST_DIMENSIONS), at;
    if (count != (uint32_t)x->axes)
        return -1;
    strides_of(x, own);
    for (at = 0; at < count; at++) {
        int from = axis_of(x, order[at]);
        if (from < 0)
            return -1;
        sizes[at] = x->sizes[from];
        strides[at] = own[from];
    }
    if (!set_shape(made, x->axes, sizes) || made->count != x->count)
        return -1;
    gather(x, made, strides, 0);
    return 1;
}

static int slice(const knl_network *net, const knl_host_operator *step, const value *x,
                 value *made) {
    int64_t starts[MOST_DIMENSIONS], ends[MOST_DIMENSIONS], axes[MOST_DIMENSIONS],
        steps[MOST_DIMENSIONS];
    size_t sizes[MOST_DIMENSIONS];
    ptrdiff_t strides[MOST_DIMENSIONS], first = 0;
    uint32_t count = list(net, step, "starts", starts, MOST_DIMENSIONS), at;
    if (list(net, step, "ends", ends, MOST_DIMENSIONS) != count ||
        list(net, step, "axes", axes, MOST_DIMENSIONS) != count ||
        list(net, step, "steps", steps, MOST_DIMENSIONS) != count)
        return -1;
    strides_of(x, strides);
    for (at = 0; at < (uint32_t)x->axes; at++)
        sizes[at] = x->sizes[at];
    for (at = 0; at < count; at++) {
        int axis = axis_of(x, axes[at]);
        int64_t size, from = starts[at], to = ends[at], by = steps[at], low, high;
        if (axis < 0 || !by)
            return -1;
        size = (int64_t)x->sizes[axis];
        low = by > 0 ? 0 : -1;
        high = by > 0 ? size : size - 1;
        from = from < 0 ? from + size : from;
        to = to < 0 ? to + size : to;
        from = from < low ? low : from > high ? high : from;
        to = to < low ? low : to > high ? high : to;
        size = by > 0 ? (to - from + by - 1) / by : (from - to - by - 1) / -by;
        sizes[axis] = size > 0 ? (size_t)size : 0;
        first += (ptrdiff_t)from * strides[axis];
        strides[axis] *= (ptrdiff_t)by;
    }
    if (!set_shape(made, x->axes, sizes))
        return -1;
    gather(x, made, strides, first);
    return 1;
}

static int pad(const knl_network *net, const knl_host_operator *step, const value *x, value *made) {
    int64_t pads[2 * MOST_DIMENSIONS];
    size_t sizes[MOST_DIMENSIONS], index[MOST_DIMENSIONS] = {0}, at;
    ptrdiff_t strides[MOST_DIMENSIONS], to = 0;
    int axis;
    if (list(net, step, "pads", pads, 2 * MOST_DIMENSIONS) != 2 * (uint32_t)x->axes)
        return -1;
    for (axis = 0; axis < x->axes; axis++) {
        int64_t front = pads[axis], back = pads[x->axes + axis];
        if (front < 0 || back < 0 || front > 1 << 28 || back > 1 << 28)
            return -1;
        sizes[axis] = x->sizes[axis] + (size_t)front + (size_t)back;
    }
    if (!set_shape(made, x->axes, sizes))
        return -1;
    strides_of(made, strides);
    memset(made->data, 0, made->count * sizeof *made->data);
    for (axis = 0; axis < x->axes; axis++)
        to += (ptrdiff_t)pads[axis] * strides[axis];
    for (at = 0; at < x->count; at++) {
        made->data[to] = x->data[at];
        for (axis = x->axes - 1; axis >= 0; axis--) {
            to += strides[axis];
            if (++index[axis] < x->sizes[axis])
                break;
            to -= strides[axis] * (ptrdiff_t)x->sizes[axis];
            index[axis] = 0;
        }
    }
    return 1;
}

static int concat(const knl_network *net, const knl_host_operator *step, const value *x,
                  value *made) {
    size_t sizes[MOST_DIMENSIONS], outer, along, within, at, offset = 0;
    int axis = axis_of(x, whole(net, step, "axis", 0)), other;
    uint32_t which;
    if (axis < 0)
        return -1;
    memcpy(sizes, x->sizes, sizeof sizes);
    sizes[axis] = 0;
    for (which = 0; which < step->inputs; which++) {
        if (x[which].axes != x->axes)
            return -1;
        for (other = 0; other < x->axes; other++)
            if (other != axis && x[which].sizes[other] != x->sizes[other])
                return -1;
        sizes[axis] += x[which].sizes[axis];
    }
    if (!set_shape(made, x->axes, sizes))
        return -1;
    for (which = 0; which < step->inputs; which++) {
        around(&x[which], axis, &outer, &along, &within);
        for (at = 0; at < outer; at++)
            memcpy(made->data + (at * sizes[axis] + offset) * within,
                   x[which].data + at * along * within, along * within * sizeof *made->data);
        offset += along;
    }
    return 1;
}

/* ---- along an axis */

static float larger(float a, float b) {
    return a >= b || a != a ? a : b;
}

static float smaller(float a, float b) {
    return a <= b || a != a ? a : b;
}

static int softmax(const knl_network *net, const knl_host_operator *step, const value *x,
                   value *made, int logarithmic) {
    int axis = axis_of(x, whole(net, step, "axis", -1));
    size_t outer, along, within, i, j, at;
    if (axis < 0 || !set_shape(made, x->axes, x->sizes))
        return -1;
    around(x, axis, &outer, &along, &within);
    for (i = 0; i < outer; i++)
        for (j = 0; j < within; j++) {
            const float *from = x->data + i * along * within + j;
            float *to = made->data + i * along * within + j, most = along ? from[0] : 0;
            double sum = 0;
            for (at = 1; at < along; at++)
                most = larger(most, from[at * within]);
            for (at = 0; at < along; at++)
                sum = sum + knl_exponential((double)(from[at * within] - most));
            for (at = 0; at < along; at++) {
                float shifted = from[at * within] - most;
                to[at * within] = (float)(logarithmic
                                              ? (double)shifted - knl_logarithm(sum)
                                              : knl_exponential((double)shifted) / sum);
            }
        }
    return 1;
}

static int argmax(const knl_network *net, const knl_host_operator *step, const value *x,
                  value *made) {
    int axis = axis_of(x, whole(net, step, "axis", 0)), other, axes = 0;
    int kept = whole(net, step, "keepdims", 1) != 0;
    size_t sizes[MOST_DIMENSIONS], outer, along, within, i, j, at;
    if (axis < 0)
        return -1;
    for (other = 0; other < x->axes; other++)
        if (other != axis || kept)
            sizes[axes++] = other == axis ? 1 : x->sizes[other];
    if (!set_shape(made, axes, sizes))
        return -1;
    around(x, axis, &outer, &along, &within);
    for (i = 0; i < outer; i++)
        for (j = 0; j < within; j++) {
            const float *from = x->data + i * along * within + j;
            size_t best = 0;
            for (at = 1; at < along && from[best * within] == from[best * within]; at++)
                if (!(from[at * within] <= from[best * within]))
                    best = at;
            made->data[i * within + j] = (float)best;
        }
    return 1;
}

/* Over several axes: the elements that are reduced in the order in which they lie. */
static int reduce(const knl_network *net, const knl_host_operator *step, const value *x,
                  value *made, int sums) {
    int64_t axes[MOST_DIMENSIONS];
    uint32_t count = list(net, step, "axes", axes, MOST_DIMENSIONS), each;
    int kept = whole(net, step, "keepdims", 1) != 0, gone[MOST_DIMENSIONS] = {0}, axis, left = 0;
    size_t sizes[MOST_DIMENSIONS], index[MOST_DIMENSIONS] = {0}, at, to = 0;
    size_t strides[MOST_DIMENSIONS] = {0}, stride = 1;
    double *found;
    for (each = 0; each < count; each++) {
        axis = axis_of(x, axes[each]);
        if (axis < 0)
            return -1;
        gone[axis] = 1;
    }
    for (axis = x->axes - 1; axis >= 0; axis--)
        if (!gone[axis]) {
            strides[axis] = stride;
            stride *= x->sizes[axis];
        }
    for (axis = 0; axis < x->axes; axis++)
        if (!gone[axis] || kept)
            sizes[left++] = gone[axis] ? 1 : x->sizes[axis];
    if (!set_shape(made, left, sizes) || (!x->count && !sums))
        return -1;
    found = malloc((made->count ? made->count : 1) * sizeof *found);
    if (!found)
        return -1;
    for (at = 0; at < made->count; at++)
        found[at] = sums ? 0.0 : -1e308 * 10;
    for (at = 0; at < x->count; at++) {
        double item = (double)x->data[at];
        if (sums)
            found[to] = found[to] + item;
        else if (!(item <= found[to]))
            found[to] = found[to] != found[to] ? found[to] : item;
        for (axis = x->axes - 1; axis >= 0; axis--) {
            to += strides[axis];
            if (++index[axis] < x->sizes[axis])
                break;
            to -= strides[axis] * x->sizes[axis];
            index[axis] = 0;
        }
    }
    for (at = 0; at < made->count; at++)
        made->data[at] = (float)found[at];
    free(found);
    return 1;
}

/* ---- element by element */

static float root(float x) {
    double found = (double)x, next;
    int at;
    if (!(x > 0) || x == found * 2)
        return x >= 0 || x != x ? x : (float)knl_logarithm(-1.0);
    found = knl_exponential(knl_logarithm(found) * 0.5);
    for (at = 0; at < 3; at++) { /* Newton: float64 then rounds to the float32 that is nearest */
        next = 0.5 * (found + (double)x / found);
        found = next;
    }
    return (float)found;
}

static int one_by_one(const knl_host_operator *step, const value *x, value *made) {
    static const char *const names[] = {"Abs",  "Exp",     "Log",  "Neg",
                                        "Relu", "Sigmoid", "Sqrt", "Tanh"};
    size_t at;
    unsigned which;
    for (which = 0; which < 8 && !is(step->op, names[which]); which++)
        ;
    if (which == 8)
        return 0;
    if (!set_shape(made, x->axes, x->sizes))
        return -1;
    for (at = 0; at < x->count; at++) {
        float from = x->data[at];
        switch (which) {
        case 0:
            made->data[at] = from < 0 ? -from : from + 0.0f;
            break;
        case 1:
            made->data[at] = (float)knl_exponential((double)from);
            break;
        case 2:
            made->data[at] = (float)knl_logarithm((double)from);
            break;
        case 3:
            made->data[at] = -from;
            break;
        case 4:
            made->data[at] = larger(from, 0.0f);
            break;
        case 5:
            made->data[at] = (float)knl_logistic((double)from);
            break;
        case 6:
            made->data[at] = root(from);
            break;
        default:
            made->data[at] = (float)knl_hyperbolic_tangent((double)from);
            break;
        }
    }
    return 1;
}

static float both(unsigned which, float a, float b) {
    switch (which) {
    case 0:
        return a + b;
    case 1:
        return a / b;
    case 2:
        return larger(a, b);
    case 3:
        return smaller(a, b);
    case 4:
        return a * b;
    case 5:
        return (float)knl_power((double)a, (double)b);
    default:
        return a - b;
    }
}

static int two_by_two(const knl_host_operator *step, const value *x, value *made) {
    static const char *const names[] = {"Add", "Div", "Max", "Min", "Mul", "Pow", "Sub"};
    size_t sizes[MOST_DIMENSIONS], index[MOST_DIMENSIONS] = {0}, at;
    ptrdiff_t strides[2][MOST_DIMENSIONS], own[2][MOST_DIMENSIONS], place[2] = {0, 0};
    int axes, axis, side;
    unsigned which;
    for (which = 0; which < 7 && !is(step->op, names[which]); which++)
        ;
    if (which == 7)
        return 0;
    if (step->inputs != 2)
        return -1;
    axes = x[0].axes > x[1].axes ? x[0].axes : x[1].axes;
    for (side = 0; side < 2; side++)
        strides_of(&x[side], own[side]);
    for (axis = 0; axis < axes; axis++) {
        sizes[axis] = 1;
        for (side = 0; side < 2; side++) {
            int at_side = axis - (axes - x[side].axes);
            size_t size = at_side < 0 ? 1 : x[side].sizes[at_side];
            strides[side][axis] = size == 1 ? 0 : own[side][at_side];
            if (size != 1 && sizes[axis] != 1 && sizes[axis] != size)
                return -1;
            sizes[axis] = size == 1 ? sizes[axis] : size;
        }
    }
    if (!set_shape(made, axes, sizes))
        return -1;
    for (at = 0; at < made->count; at++) {
        made->data[at] = both(which, x[0].data[place[0]], x[1].data[place[1]]);
        for (axis = axes - 1; axis >= 0; axis--) {
            place[0] += strides[0][axis];
            place[1] += strides[1][axis];
            if (++index[axis] < made->sizes[axis])
                break;
            place[0] -= strides[0][axis] * (ptrdiff_t)made->sizes[axis];
            place[1] -= strides[1][axis] * (ptrdiff_t)made->sizes[axis];
            index[axis] = 0;
        }
    }
    return 1;
}

static int clip(const knl_network *net, const knl_host_operator *step, const value *x,
                value *made) {
    knl_host_attribute low, high;
    int has_low = find(net, step, "min", &low), has_high = find(net, step, "max", &high);
    size_t at;
    if (!set_shape(made, x->axes, x->sizes))
        return -1;
    for (at = 0; at < x->count; at++) {
        float item = x->data[at];
        if (has_low)
            item = larger(item, low.kind == KNL_REAL
                                    ? (float)knl_host_real(net, low.first_number)
                                    : (float)knl_host_number(net, low.first_number));
        if (has_high)
            item = smaller(item, high.kind == KNL_REAL
                                     ? (float)knl_host_real(net, high.first_number)
                                     : (float)knl_host_number(net, high.first_number));
        made->data[at] = item;
    }
    return 1;
}

int compute(const knl_network *net, const knl_host_operator *step, const value *inputs,
            value *made) {
    int found;
    if (!step->inputs || step->outputs != 1)
        return 0;
    if (is_reshape(step))
        return reshape(net, step, inputs, made);
    if (is_transpose(step))
        return transpose(net, step, inputs, made);
    if (is(step->op, "Slice"))
        return slice(net, step, inputs, made);
    if (is(step->op, "Pad"))
        return pad(net, step, inputs, made);
    if (is(step->op, "Concat"))
        return concat(net, step, inputs, made);
    if (is(step->op, "Softmax") || is(step->op, "LogSoftmax"))
        return softmax(net, step, inputs, made, is(step->op, "LogSoftmax"));
    if (is(step->op, "ArgMax"))
        return argmax(net, step, inputs, made);
    if (is(step->op, "ReduceSum") || is(step->op, "ReduceMax"))
        return reduce(net, step, inputs, made, is(step->op, "ReduceSum"));
    if (is(step->op, "Clip"))
        return clip(net, step, inputs, made);
    found = one_by_one(step, inputs, made);
    return found ? found : two_by_two(step, inputs, made);
}
