/* ONNX's operators that add up: in float64, in the order in which elements lie, rounded once. */
#include "knl_functions.h"
#include "knl_values.h"
#include "knl_float.h"

enum { MOST = KNL_MOST_DIMENSIONS };

/* One operand of float32 and one result. */
static int is_real(const knl_step *step, knl_value *x, knl_value *y) {
    if (!step->op.inputs || step->op.outputs != 1)
        return 0;
    *x = knl_input_of(step, 0);
    *y = knl_output_of(step, 0);
    return x->type == y->type;
}

static void soften(const knl_value *x, const knl_value *y, size_t first, size_t along,
                   size_t within, int logarithmic) {
    float most = knl_float_at(x->data, first);
    double sum = 0;
    size_t at;
    for (at = 1; at < along; at++) {
        float item = knl_float_at(x->data, first + at * within);
        if (item > most || item != item)
            most = most != most ? most : item;
    }
    for (at = 0; at < along; at++)
        sum = sum + knl_exponential((double)(knl_float_at(x->data, first + at * within) - most));
    for (at = 0; at < along; at++) {
        float shifted = knl_float_at(x->data, first + at * within) - most;
        knl_put_float(y->data, first + at * within,
                      (float)(logarithmic ? (double)shifted - knl_logarithm(sum)
                                          : knl_exponential((double)shifted) / sum));
    }
}

/* `kind` 0: Softmax, 1: LogSoftmax. */
int knl_host_soft(const knl_step *step, unsigned kind) {
    size_t outer, along, within, i, j;
    knl_value x, y;
    int axis;
    if (!is_real(step, &x, &y) || !knl_same_sizes(&x, &y))
        return KNL_UNFIT;
    axis = knl_axis(&x, knl_whole(step, "axis", -1));
    if (axis < 0)
        return KNL_UNFIT;
    if (x.type != KNL_FLOAT32)
        return KNL_STRANGE;
    knl_around(&x, axis, &outer, &along, &within);
    for (i = 0; step->memory && i < outer; i++)
        for (j = 0; j < within && along; j++)
            soften(&x, &y, i * along * within + j, along, within, (int)kind);
    return KNL_DONE;
}

/* `kind` 0: ReduceSum, 1: ReduceMean. */
int knl_host_sum(const knl_step *step, unsigned kind) {
    int gone[MOST], status;
    knl_odometer places, inner;
    knl_value x, y, rows;
    ptrdiff_t own[MOST];
    size_t at, each;
    uint32_t axis;
    if (!is_real(step, &x, &y))
        return KNL_UNFIT;
    status = x.type == KNL_FLOAT32 ? knl_gone_axes(step, &x, gone) : KNL_STRANGE;
    if (status)
        return status;
    if (!x.count ||
        !knl_set_reduced(&places, &x, &y, gone, knl_whole(step, "keepdims", 1) != 0))
        return KNL_UNFIT;
    if (!step->memory)
        return KNL_DONE;
    /* two walks through x: over what stays, and from each place over what goes */
    knl_strides(&x, own);
    rows = x;
    for (axis = 0, rows.count = 1; axis < x.axes; axis++) {
        rows.sizes[axis] = gone[axis] ? 1 : x.sizes[axis];
        rows.count *= rows.sizes[axis];
    }
    knl_begin_places(&places, &rows);
    memcpy(places.strides[0], own, sizeof own);
    places.sides = 1;
    for (at = 0; at < rows.count; at++) {
        double sum = 0;
        size_t count = x.count / rows.count;
        knl_begin_places(&inner, &x);
        for (axis = 0; axis < x.axes; axis++)
            inner.sizes[axis] = gone[axis] ? x.sizes[axis] : 1;
        memcpy(inner.strides[0], own, sizeof own);
        inner.sides = 1;
        for (each = 0; each < count; each++) {
            sum = sum + (double)knl_float_at(x.data, (size_t)(places.at[0] + inner.at[0]));
            knl_next_place(&inner);
        }
        knl_put_float(y.data, at, (float)(kind ? sum / (double)count : sum));
        knl_next_place(&places);
    }
    return KNL_DONE;
}
