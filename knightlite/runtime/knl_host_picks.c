/* ONNX's operators that compare and pick along axes, and running sums: the first of equals wins. */
#include "knl_values.h"

enum { MOST = KNL_MOST_DIMENSIONS };

static int is_known(uint32_t type) {
    return type == KNL_FLOAT32 || type == KNL_INT64 || type == KNL_INT32;
}

/* Whether one element is larger than another; of real numbers, NaN never is. */
static int is_larger(const knl_value *x, size_t one, size_t other) {
    if (x->type == KNL_FLOAT32)
        return knl_float_at(x->data, one) > knl_float_at(x->data, other);
    return knl_whole_at(x->data, x->type, one) > knl_whole_at(x->data, x->type, other);
}

static int is_first(const knl_value *x, size_t one, size_t other, int largest) {
    return largest ? is_larger(x, one, other) : is_larger(x, other, one);
}

/* Whether the result has x's sizes but `size` along an axis, or lacks the axis where it is 0. */
static int fits(const knl_value *x, const knl_value *y, int axis, size_t size) {
    uint32_t at, to = 0;
    for (at = 0; at < x->axes; at++) {
        if (at == (uint32_t)axis && !size)
            continue;
        if (to >= y->axes || y->sizes[to] != (at == (uint32_t)axis ? size : x->sizes[at]))
            return 0;
        to++;
    }
    return to == y->axes;
}

/* `kind` 0: ArgMax, 1: ArgMin. */
int knl_host_arg(const knl_step *step, unsigned kind) {
    size_t outer, along, within, i, j, at;
    knl_value x, y;
    int axis, last = knl_whole(step, "select_last_index", 0) != 0;
    if (step->op.inputs != 1 || step->op.outputs != 1)
        return KNL_UNFIT;
    x = knl_input_of(step, 0);
    y = knl_output_of(step, 0);
    axis = knl_axis(&x, knl_whole(step, "axis", 0));
    if (!is_known(x.type))
        return KNL_STRANGE;
    if (axis < 0 || y.type != KNL_INT64 || !x.sizes[axis] ||
        !fits(&x, &y, axis, knl_whole(step, "keepdims", 1) != 0))
        return KNL_UNFIT;
    knl_around(&x, axis, &outer, &along, &within);
    for (i = 0; step->memory && i < outer; i++)
        for (j = 0; j < within; j++) {
            size_t first = i * along * within + j, best = 0;
            for (at = 1; at < along; at++) {
                size_t here = first + at * within, there = first + best * within;
                if (last ? !is_first(&x, there, here, !kind) : is_first(&x, here, there, !kind))
                    best = at;
            }
            knl_put_whole(y.data, KNL_INT64, i * within + j, (int64_t)best);
        }
    return KNL_DONE;
}

/* The best of a row, then each time the best of what comes behind the last one. */
static void pick(const knl_value *x, size_t first, size_t along, size_t within, int largest,
                 const knl_value *y, const knl_value *places, size_t to, size_t count) {
    size_t taken = 0, at, each;
    for (each = 0; each < count; each++) {
        size_t best = along;
        for (at = 0; at < along; at++) {
            size_t here = first + at * within, there = first + taken * within;
            if (each && (at == taken || is_first(x, here, there, largest) ||
                         (!is_first(x, there, here, largest) && at < taken)))
                continue;
            if (best == along || is_first(x, here, first + best * within, largest))
                best = at;
        }
        taken = best == along ? taken : best; /* what cannot be compared: no more are found */
        memcpy((uint8_t *)y->data + (to + each * within) * knl_value_bytes(y->type),
               (const uint8_t *)x->data + (first + taken * within) * knl_value_bytes(x->type),
               knl_value_bytes(x->type));
        knl_put_whole(places->data, KNL_INT64, to + each * within, (int64_t)taken);
    }
}

int knl_host_top(const knl_step *step, unsigned kind) {
    size_t outer, along, within, i, j;
    int64_t count;
    int axis, largest = knl_whole(step, "largest", 1) != 0;
    knl_value x, y, places;
    (void)kind;
    if (step->op.inputs != 2 || step->op.outputs != 2)
        return KNL_UNFIT;
    x = knl_input_of(step, 0);
    y = knl_output_of(step, 0);
    places = knl_output_of(step, 1);
    axis = knl_axis(&x, knl_whole(step, "axis", -1));
    if (!is_known(x.type) || !knl_whole(step, "sorted", 1) ||
        knl_wholes(step, "k", 1, &count, 1) != 1)
        return KNL_STRANGE;
    if (axis < 0 || count < 1 || (uint64_t)count > x.sizes[axis] || y.type != x.type ||
        places.type != KNL_INT64 || !fits(&x, &y, axis, (size_t)count) ||
        !knl_same_sizes(&y, &places))
        return KNL_UNFIT;
    knl_around(&x, axis, &outer, &along, &within);
    for (i = 0; step->memory && i < outer; i++)
        for (j = 0; j < within; j++)
            pick(&x, i * along * within + j, along, within, largest, &y, &places,
                 i * (size_t)count * within + j, (size_t)count);
    return KNL_DONE;
}

/* 1 where a row has its first maximum, 0 elsewhere. */
int knl_host_hardmax(const knl_step *step, unsigned kind) {
    size_t outer, along, within, i, j, at;
    knl_value x, y;
    int axis;
    (void)kind;
    if (step->op.inputs != 1 || step->op.outputs != 1)
        return KNL_UNFIT;
    x = knl_input_of(step, 0);
    y = knl_output_of(step, 0);
    axis = knl_axis(&x, knl_whole(step, "axis", -1));
    if (axis < 0 || x.type != KNL_FLOAT32 || y.type != x.type || !knl_same_sizes(&x, &y))
        return KNL_UNFIT;
    knl_around(&x, axis, &outer, &along, &within);
    for (i = 0; step->memory && i < outer; i++)
        for (j = 0; j < within; j++) {
            size_t first = i * along * within + j, best = 0;
            for (at = 1; at < along; at++)
                if (is_larger(&x, first + at * within, first + best * within))
                    best = at;
            for (at = 0; at < along; at++)
                knl_put_float(y.data, first + at * within, at == best ? 1.0f : 0.0f);
        }
    return KNL_DONE;
}

int knl_gone_axes(const knl_step *step, const knl_value *x, int *gone) {
    int64_t axes[MOST];
    int count = knl_wholes(step, "axes", 1, axes, MOST), at;
    if (count == -2)
        return KNL_STRANGE;
    if (count <= 0 && knl_whole(step, "noop_with_empty_axes", 0))
        return KNL_STRANGE;
    for (at = 0; at < (int)x->axes; at++)
        gone[at] = count <= 0;
    for (at = 0; at < count; at++) {
        int axis = knl_axis(x, axes[at]);
        if (axis < 0)
            return KNL_UNFIT;
        gone[axis] = 1;
    }
    return KNL_DONE;
}

int knl_set_reduced(knl_odometer *places, const knl_value *x, const knl_value *y,
                       const int *gone, int kept) {
    ptrdiff_t stride = 1;
    uint32_t axis = x->axes, to = y->axes;
    knl_begin_places(places, x);
    places->sides = 1;
    while (axis--) {
        if (gone[axis] && !kept)
            continue;
        if (!to-- || y->sizes[to] != (gone[axis] ? 1 : x->sizes[axis]))
            return 0;
        if (gone[axis])
            continue;
        places->strides[0][axis] = stride;
        stride *= (ptrdiff_t)x->sizes[axis];
    }
    return !to;
}

/* `kind` 0: ReduceMax, 1: ReduceMin. NaN is kept. */
int knl_host_reduce(const knl_step *step, unsigned kind) {
    int gone[MOST], status;
    knl_odometer places;
    knl_value x, y;
    size_t at;
    if (!step->op.inputs || step->op.outputs != 1)
        return KNL_UNFIT;
    x = knl_input_of(step, 0);
    y = knl_output_of(step, 0);
    status = is_known(x.type) ? knl_gone_axes(step, &x, gone) : KNL_STRANGE;
    if (status)
        return status;
    if (x.type != y.type || !x.count ||
        !knl_set_reduced(&places, &x, &y, gone, knl_whole(step, "keepdims", 1) != 0))
        return KNL_UNFIT;
    if (!step->memory)
        return KNL_DONE;
    if (x.type == KNL_FLOAT32)
        for (at = 0; at < y.count; at++)
            knl_put_float(y.data, at, kind ? 1e38f * 10.0f : -1e38f * 10.0f);
    else
        for (at = 0; at < y.count; at++)
            knl_put_whole(y.data, y.type, at, kind ? INT64_MAX : INT64_MIN);
    if (x.type == KNL_INT32)
        for (at = 0; at < y.count; at++)
            knl_put_whole(y.data, y.type, at, kind ? INT32_MAX : INT32_MIN);
    for (at = 0; at < x.count; at++) {
        size_t to = (size_t)places.at[0];
        if (x.type == KNL_FLOAT32) {
            float item = knl_float_at(x.data, at), best = knl_float_at(y.data, to);
            if ((kind ? item < best : item > best) || item != item)
                knl_put_float(y.data, to, best != best ? best : item);
        } else {
            int64_t item = knl_whole_at(x.data, x.type, at);
            int64_t best = knl_whole_at(y.data, y.type, to);
            if (kind ? item < best : item > best)
                knl_put_whole(y.data, y.type, to, item);
        }
        knl_next_place(&places);
    }
    return KNL_DONE;
}

/* CumSum: y = what was added up, element by element, in the type itself. */
int knl_host_running_sum(const knl_step *step, unsigned kind) {
    size_t outer, along, within, i, j, at;
    int64_t told;
    knl_value x, y;
    int axis, leaves = knl_whole(step, "exclusive", 0) != 0;
    int back = knl_whole(step, "reverse", 0) != 0;
    (void)kind;
    if (step->op.inputs != 2 || step->op.outputs != 1)
        return KNL_UNFIT;
    x = knl_input_of(step, 0);
    y = knl_output_of(step, 0);
    if (!is_known(x.type) || knl_wholes(step, "axis", 1, &told, 1) != 1)
        return KNL_STRANGE;
    axis = knl_axis(&x, told);
    if (axis < 0 || x.type != y.type || !knl_same_sizes(&x, &y))
        return KNL_UNFIT;
    knl_around(&x, axis, &outer, &along, &within);
    for (i = 0; step->memory && i < outer; i++)
        for (j = 0; j < within; j++) {
            float sum = 0;
            uint64_t whole = 0;
            for (at = 0; at < along; at++) {
                size_t here = i * along * within + j + (back ? along - 1 - at : at) * within;
                float before = sum;
                uint64_t whole_before = whole;
                if (x.type == KNL_FLOAT32) {
                    float item = knl_float_at(x.data, here);
                    sum = at ? sum + item : item;
                    knl_put_float(y.data, here, leaves ? before : sum);
                } else {
                    whole += (uint64_t)knl_whole_at(x.data, x.type, here);
                    knl_put_whole(y.data, y.type, here, (int64_t)(leaves ? whole_before : whole));
                }
            }
        }
    return KNL_DONE;
}
