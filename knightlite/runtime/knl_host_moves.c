/* ONNX's operators that only move elements, of any type. */
#include "knl_values.h"

enum { MOST = KNL_MOST_DIMENSIONS };

static void copy(const knl_value *x, size_t from, const knl_value *y, size_t to, size_t count) {
    size_t bytes = knl_value_bytes(x->type);
    memcpy((uint8_t *)y->data + to * bytes, (const uint8_t *)x->data + from * bytes, count * bytes);
}

/* One input of the result's type, and one result. */
static int is_move(const knl_step *step, knl_value *x, knl_value *y) {
    if (!step->op.inputs || step->op.outputs != 1)
        return 0;
    *x = knl_input_of(step, 0);
    *y = knl_output_of(step, 0);
    return x->type != UINT32_MAX && x->type == y->type;
}

/* What lies at each index of the result: by strides from a start in x. */
static void take(const knl_value *x, const knl_value *y, const ptrdiff_t *strides,
                 ptrdiff_t start) {
    knl_odometer places;
    size_t at;
    knl_begin_places(&places, y);
    memcpy(places.strides[0], strides, sizeof places.strides[0]);
    places.sides = 1;
    places.at[0] = start;
    for (at = 0; at < y->count; at++) {
        copy(x, (size_t)places.at[0], y, at, 1);
        knl_next_place(&places);
    }
}

/* The sizes that a Reshape says: 0 keeps one, -1 takes what is left. */
static int is_reshaped(const knl_step *step, const knl_value *x, const knl_value *y) {
    int64_t wanted[MOST];
    int count = knl_wholes(step, "shape", 1, wanted, MOST), at, open = 0;
    if (count < 0)
        return KNL_STRANGE;
    if (count != (int)y->axes)
        return KNL_UNFIT;
    for (at = 0; at < count; at++) {
        if (wanted[at] == 0 && at < (int)x->axes && !knl_whole(step, "allowzero", 0))
            wanted[at] = (int64_t)x->sizes[at];
        open += wanted[at] == -1;
        if (wanted[at] != -1 && wanted[at] != (int64_t)y->sizes[at])
            return KNL_UNFIT;
    }
    return open > 1 ? KNL_UNFIT : KNL_DONE;
}

/* `kind` 1: Reshape, whose sizes are told; 0: the same sizes; 2: Dropout, whose mask may follow. */
int knl_host_view(const knl_step *step, unsigned kind) {
    knl_value x, y;
    knl_step first = *step;
    int status = KNL_DONE;
    if (kind == 2)
        first.op.outputs = 1;
    if (!is_move(&first, &x, &y) || x.count != y.count || (kind != 1 && !knl_same_sizes(&x, &y)))
        return KNL_UNFIT;
    if (kind == 1)
        status = is_reshaped(step, &x, &y);
    if (kind == 2 && step->op.outputs == 2) {
        knl_value mask = knl_output_of(step, 1);
        if (mask.type != KNL_BOOL || !knl_same_sizes(&mask, &y))
            return KNL_UNFIT;
        if (step->memory)
            memset(mask.data, 1, mask.count);
    }
    if (!status && step->memory)
        copy(&x, 0, &y, 0, x.count);
    return status;
}

int knl_host_transpose(const knl_step *step, unsigned kind) {
    int64_t order[MOST];
    ptrdiff_t own[MOST], strides[MOST] = {0};
    int seen[MOST] = {0}, count, at;
    knl_value x, y;
    (void)kind;
    if (!is_move(step, &x, &y) || x.axes != y.axes)
        return KNL_UNFIT;
    count = knl_wholes(step, "perm", UINT32_MAX, order, MOST);
    if (count == -1)
        for (count = 0; count < (int)x.axes; count++)
            order[count] = (int64_t)x.axes - 1 - count;
    if (count != (int)x.axes)
        return KNL_UNFIT;
    knl_strides(&x, own);
    for (at = 0; at < count; at++) {
        int from = knl_axis(&x, order[at]);
        if (from < 0 || seen[from]++ || y.sizes[at] != x.sizes[from])
            return KNL_UNFIT;
        strides[at] = own[from];
    }
    if (step->memory)
        take(&x, &y, strides, 0);
    return KNL_DONE;
}

int knl_host_slice(const knl_step *step, unsigned kind) {
    static const char *const names[] = {"starts", "ends", "axes", "steps"};
    int64_t told[4][MOST];
    int counts[4], at, which;
    size_t sizes[MOST];
    ptrdiff_t strides[MOST] = {0}, first = 0;
    knl_value x, y;
    (void)kind;
    if (!is_move(step, &x, &y) || x.axes != y.axes)
        return KNL_UNFIT;
    for (which = 0; which < 4; which++) {
        counts[which] = knl_wholes(step, names[which], (uint32_t)which + 1, told[which], MOST);
        if (counts[which] == -2 || (which < 2 && counts[which] < 0))
            return KNL_STRANGE;
        for (at = 0; counts[which] < 0 && at < counts[0]; at++)
            told[which][at] = which == 2 ? at : 1;
        if (counts[which] >= 0 && counts[which] != counts[0])
            return KNL_UNFIT;
    }
    knl_strides(&x, strides);
    memcpy(sizes, x.sizes, sizeof sizes);
    for (at = 0; at < counts[0]; at++) {
        int axis = knl_axis(&x, told[2][at]);
        int64_t size, from = told[0][at], to = told[1][at], by = told[3][at], low, high;
        if (axis < 0 || !by || by < -INT32_MAX || by > INT32_MAX)
            return KNL_UNFIT;
        size = (int64_t)x.sizes[axis];
        low = by > 0 ? 0 : -1;
        high = by > 0 ? size : size - 1;
        from = from < 0 ? from + size : from;
        to = to < 0 ? to + size : to;
        from = knl_clamp(from, 0, high);
        to = knl_clamp(to, low, high);
        size = by > 0 ? (to - from + by - 1) / by : (from - to - by - 1) / -by;
        sizes[axis] = size > 0 ? (size_t)size : 0;
        first += (ptrdiff_t)from * strides[axis];
        strides[axis] *= (ptrdiff_t)by;
    }
    if (memcmp(sizes, y.sizes, sizeof sizes))
        return KNL_UNFIT;
    if (step->memory)
        take(&x, &y, strides, first);
    return KNL_DONE;
}

/* Which element of an axis a padded one is: -1 none. */
static int64_t padded_from(int64_t at, int64_t size, unsigned mode) {
    int64_t period;
    if (at >= 0 && at < size)
        return at;
    if (mode == 0)
        return -1;
    if (mode == 1)
        return at < 0 ? 0 : size - 1;
    period = mode == 2 ? 2 * size - 2 : size; /* 2: mirrored at the edges, 3: begun again */
    if (period <= 0)
        return 0;
    at %= period;
    if (at < 0)
        at += period;
    return mode == 2 && at >= size ? period - at : at;
}

static void pad(const knl_value *x, const knl_value *y, const int64_t *front, unsigned mode,
                const uint8_t *filling) {
    size_t bytes = knl_value_bytes(x->type), at;
    ptrdiff_t own[MOST];
    knl_odometer places;
    uint32_t axis;
    knl_begin_places(&places, y);
    knl_strides(x, own);
    for (at = 0; at < y->count; at++) {
        uint8_t *to = (uint8_t *)y->data + at * bytes;
        int64_t place = 0;
        for (axis = 0; axis < y->axes && place >= 0; axis++) {
            int64_t from = padded_from((int64_t)places.index[axis] - front[axis],
                                       (int64_t)x->sizes[axis], mode);
            place = from < 0 ? -1 : place + from * own[axis];
        }
        if (place >= 0)
            memcpy(to, (const uint8_t *)x->data + (size_t)place * bytes, bytes);
        else
            memcpy(to, filling, bytes);
        knl_next_place(&places);
    }
}

int knl_host_pad(const knl_step *step, unsigned kind) {
    static const char *const modes[] = {"constant", "edge", "reflect", "wrap"};
    static const uint8_t zeros[8];
    int64_t pads[2 * MOST], axes[MOST], front[MOST] = {0}, back[MOST] = {0};
    int count, chosen, at;
    unsigned mode = 0;
    const uint8_t *filling = zeros;
    knl_value x, y;
    (void)kind;
    if (!is_move(step, &x, &y) || x.axes != y.axes || (!x.count && y.count))
        return KNL_UNFIT;
    while (mode < 4 && !knl_says(step, "mode", modes[mode], mode == 0))
        mode++;
    count = knl_wholes(step, "pads", 1, pads, 2 * MOST);
    chosen = knl_wholes(step, "axes", 3, axes, MOST);
    if (mode == 4 || count < 0 || chosen == -2)
        return KNL_STRANGE;
    if (chosen == -1)
        for (chosen = 0; chosen < (int)x.axes; chosen++)
            axes[chosen] = chosen;
    if (count != 2 * chosen)
        return KNL_UNFIT;
    for (at = 0; at < chosen; at++) {
        int axis = knl_axis(&x, axes[at]);
        if (axis < 0)
            return KNL_UNFIT;
        front[axis] = pads[at];
        back[axis] = pads[chosen + at];
    }
    for (at = 0; at < (int)x.axes; at++)
        if (front[at] < -INT32_MAX || front[at] > INT32_MAX || back[at] < -INT32_MAX ||
            back[at] > INT32_MAX ||
            (int64_t)x.sizes[at] + front[at] + back[at] != (int64_t)y.sizes[at])
            return KNL_UNFIT;
    if (step->op.inputs > 2) {
        knl_value given = knl_input_of(step, 2);
        if (given.type != UINT32_MAX && (given.type != x.type || given.count != 1))
            return KNL_UNFIT;
        if (given.type != UINT32_MAX)
            filling = given.data;
    }
    if (step->memory)
        pad(&x, &y, front, mode, filling);
    return KNL_DONE;
}

int knl_host_concat(const knl_step *step, unsigned kind) {
    size_t outer, along, within, at, offset = 0;
    uint32_t which, other;
    knl_value x, y;
    int axis;
    (void)kind;
    if (!is_move(step, &x, &y))
        return KNL_UNFIT;
    axis = knl_axis(&y, knl_whole(step, "axis", 0));
    if (axis < 0)
        return KNL_UNFIT;
    for (which = 0; which < step->op.inputs; which++) {
        x = knl_input_of(step, which);
        if (x.type != y.type || x.axes != y.axes)
            return KNL_UNFIT;
        for (other = 0; other < x.axes; other++)
            if (other != (uint32_t)axis && x.sizes[other] != y.sizes[other])
                return KNL_UNFIT;
        offset += x.sizes[axis];
    }
    if (offset != y.sizes[axis])
        return KNL_UNFIT;
    offset = 0;
    for (which = 0; step->memory && which < step->op.inputs; which++) {
        x = knl_input_of(step, which);
        knl_around(&x, axis, &outer, &along, &within);
        for (at = 0; at < outer; at++)
            copy(&x, at * along * within, &y, (at * y.sizes[axis] + offset) * within,
                 along * within);
        offset += along;
    }
    return KNL_DONE;
}

/* The sizes are those of the result, which the target must agree with. */
int knl_host_expand(const knl_step *step, unsigned kind) {
    int64_t target[MOST];
    knl_odometer places;
    knl_value x, y;
    int count, at, axis;
    (void)kind;
    if (!is_move(step, &x, &y))
        return KNL_UNFIT;
    count = knl_wholes(step, "shape", 1, target, MOST);
    if (count < 0)
        return KNL_STRANGE;
    knl_begin_places(&places, &y);
    if (!knl_broadcast(&places, &x) || y.axes != (x.axes > (uint32_t)count ? x.axes : (uint32_t)count))
        return KNL_UNFIT;
    for (at = 1; at <= (int)y.axes; at++) {
        size_t own = at <= (int)x.axes ? x.sizes[(int)x.axes - at] : 1;
        int64_t told = at <= count ? target[count - at] : 1;
        axis = (int)y.axes - at;
        if ((int64_t)y.sizes[axis] != (told == 1 ? (int64_t)own : told))
            return KNL_UNFIT;
    }
    if (step->memory)
        take(&x, &y, places.strides[0], 0);
    return KNL_DONE;
}

int knl_host_tile(const knl_step *step, unsigned kind) {
    int64_t repeats[MOST], none[MOST] = {0};
    knl_value x, y;
    int count, at;
    (void)kind;
    if (!is_move(step, &x, &y) || x.axes != y.axes || (!x.count && y.count))
        return KNL_UNFIT;
    count = knl_wholes(step, "repeats", 1, repeats, MOST);
    if (count < 0)
        return KNL_STRANGE;
    if (count != (int)x.axes)
        return KNL_UNFIT;
    for (at = 0; at < count; at++)
        if (repeats[at] < 0 || repeats[at] > INT32_MAX ||
            (uint64_t)repeats[at] * x.sizes[at] != y.sizes[at])
            return KNL_UNFIT;
    if (step->memory)
        pad(&x, &y, none, 3, NULL);
    return KNL_DONE;
}

/* `kind` 0: DepthToSpace, 1: SpaceToDepth. Both are a Transpose of six axes. */
int knl_host_depth(const knl_step *step, unsigned kind) {
    int64_t block = knl_whole(step, "blocksize", 0);
    int rows_first = kind || knl_says(step, "mode", "DCR", 1); /* else channels: CRD */
    knl_value x, y, deep, wide, seen;
    ptrdiff_t own[MOST], strides[MOST] = {0};
    size_t b, c, h, w;
    if (!is_move(step, &x, &y) || x.axes != 4 || y.axes != 4 || block < 1 || block > INT32_MAX)
        return KNL_UNFIT;
    deep = kind ? y : x; /* many channels */
    wide = kind ? x : y;
    b = (size_t)block;
    c = wide.sizes[1];
    h = deep.sizes[2];
    w = deep.sizes[3];
    if (deep.sizes[0] != wide.sizes[0] || (uint64_t)c * b * b != deep.sizes[1] ||
        (uint64_t)h * b != wide.sizes[2] || (uint64_t)w * b != wide.sizes[3])
        return KNL_UNFIT;
    if (!step->memory)
        return KNL_DONE;
    seen = y;
    seen.axes = 6;
    knl_strides(&x, own);
    seen.sizes[0] = deep.sizes[0];
    strides[0] = own[0];
    if (kind) { /* y: n, row in block, column in block, c, h, w */
        size_t sizes[] = {b, b, c, h, w};
        ptrdiff_t steps[] = {own[2], own[3], own[1], own[2] * (ptrdiff_t)b, own[3] * (ptrdiff_t)b};
        memcpy(seen.sizes + 1, sizes, sizeof sizes);
        memcpy(strides + 1, steps, sizeof steps);
    } else { /* y: n, c, h, row in block, w, column in block */
        size_t sizes[] = {c, h, b, w, b};
        ptrdiff_t ch = own[1], of_c = rows_first ? ch : ch * (ptrdiff_t)(b * b);
        ptrdiff_t of_row = rows_first ? ch * (ptrdiff_t)(b * c) : ch * (ptrdiff_t)b;
        ptrdiff_t of_column = rows_first ? ch * (ptrdiff_t)c : ch;
        ptrdiff_t steps[] = {of_c, own[2], of_row, own[3], of_column};
        memcpy(seen.sizes + 1, sizes, sizeof sizes);
        memcpy(strides + 1, steps, sizeof steps);
    }
    take(&x, &seen, strides, 0);
    return KNL_DONE;
}

/* ---- by index */

/* An index of an axis, counted from the end where it is negative; -1 where there is none. */
static int64_t index_at(const knl_value *indices, size_t at, size_t size) {
    int64_t found = knl_whole_at(indices->data, indices->type, at);
    if (found < 0)
        found += (int64_t)size;
    return found >= 0 && found < (int64_t)size ? found : -1;
}

static int takes_indices(const knl_step *step, knl_value *indices) {
    if (step->op.inputs < 2)
        return 0;
    *indices = knl_input_of(step, 1);
    return indices->type == KNL_INT64 || indices->type == KNL_INT32;
}

int knl_host_gather(const knl_step *step, unsigned kind) {
    size_t outer, along, within, i, at;
    uint32_t other;
    knl_value x, y, indices;
    int axis;
    (void)kind;
    if (!is_move(step, &x, &y) || !takes_indices(step, &indices))
        return KNL_UNFIT;
    axis = knl_axis(&x, knl_whole(step, "axis", 0));
    if (axis < 0 || y.axes != x.axes - 1 + indices.axes)
        return KNL_UNFIT;
    for (other = 0; other < y.axes; other++) {
        size_t wanted = other < (uint32_t)axis ? x.sizes[other]
                        : other < (uint32_t)axis + indices.axes
                            ? indices.sizes[other - (uint32_t)axis]
                            : x.sizes[other - indices.axes + 1];
        if (y.sizes[other] != wanted)
            return KNL_UNFIT;
    }
    knl_around(&x, axis, &outer, &along, &within);
    for (i = 0; step->memory && i < outer; i++)
        for (at = 0; at < indices.count; at++) {
            int64_t from = index_at(&indices, at, along);
            if (from < 0)
                return KNL_OUTSIDE;
            copy(&x, (i * along + (size_t)from) * within, &y, (i * indices.count + at) * within,
                 within);
        }
    return KNL_DONE;
}

/* Other axes of the indices may be shorter than x's. */
static int is_inside(const knl_value *indices, const knl_value *x, int axis) {
    uint32_t other;
    if (indices->axes != x->axes)
        return 0;
    for (other = 0; other < x->axes; other++)
        if (other != (uint32_t)axis && indices->sizes[other] > x->sizes[other])
            return 0;
    return 1;
}

/* Values of ``list``, one for each index, out of or ``into`` ``whole`` along ``axis``. */
static int move_by_index(const knl_value *indices, const knl_value *whole, int axis,
                         const knl_value *list, int into) {
    ptrdiff_t own[MOST];
    knl_odometer places;
    size_t at;
    knl_strides(whole, own);
    knl_begin_places(&places, indices);
    memcpy(places.strides[0], own, sizeof own);
    places.strides[0][axis] = 0;
    places.sides = 1;
    for (at = 0; at < indices->count; at++) {
        int64_t index = index_at(indices, at, whole->sizes[axis]);
        size_t place;
        if (index < 0)
            return KNL_OUTSIDE;
        place = (size_t)(places.at[0] + index * own[axis]);
        if (into)
            copy(list, at, whole, place, 1);
        else
            copy(whole, place, list, at, 1);
        knl_next_place(&places);
    }
    return KNL_DONE;
}

int knl_host_gather_elements(const knl_step *step, unsigned kind) {
    knl_value x, y, indices;
    int axis;
    (void)kind;
    if (!is_move(step, &x, &y) || !takes_indices(step, &indices))
        return KNL_UNFIT;
    axis = knl_axis(&x, knl_whole(step, "axis", 0));
    if (axis < 0 || !is_inside(&indices, &x, axis) || !knl_same_sizes(&indices, &y))
        return KNL_UNFIT;
    if (!step->memory)
        return KNL_DONE;
    return move_by_index(&indices, &x, axis, &y, 0);
}

/* Where a row of indices leads from axis `first` on; -1 where nowhere. */
static int64_t led(const knl_value *x, const knl_value *indices, size_t row, size_t depth,
                   uint32_t first) {
    ptrdiff_t own[MOST];
    int64_t found = 0;
    size_t at;
    knl_strides(x, own);
    for (at = 0; at < depth; at++) {
        int64_t index = index_at(indices, row * depth + at, x->sizes[first + at]);
        if (index < 0)
            return -1;
        found += index * own[first + at];
    }
    return found;
}

int knl_host_gather_nd(const knl_step *step, unsigned kind) {
    int64_t batch = knl_whole(step, "batch_dims", 0);
    size_t depth, run = 1, batches = 1, rows = 1, each = 1, i, at;
    uint32_t b, axis, last;
    knl_value x, y, indices;
    (void)kind;
    if (!is_move(step, &x, &y) || !takes_indices(step, &indices) || !indices.axes)
        return KNL_UNFIT;
    last = indices.axes - 1;
    depth = indices.sizes[last];
    if (batch < 0 || batch > (int64_t)last || !depth || depth > x.axes ||
        (size_t)batch + depth > x.axes)
        return KNL_UNFIT;
    b = (uint32_t)batch;
    if (y.axes != last + x.axes - b - (uint32_t)depth)
        return KNL_UNFIT;
    for (axis = 0; axis < y.axes; axis++)
        if (y.sizes[axis] != (axis < last ? indices.sizes[axis]
                                          : x.sizes[axis - last + b + (uint32_t)depth]))
            return KNL_UNFIT;
    for (axis = 0; axis < x.axes; axis++) {
        if (axis < b && x.sizes[axis] != indices.sizes[axis])
            return KNL_UNFIT;
        if (axis < b)
            batches *= x.sizes[axis];
        else
            each *= x.sizes[axis];
        if (axis >= b + depth)
            run *= x.sizes[axis];
    }
    for (axis = b; axis < last; axis++)
        rows *= indices.sizes[axis];
    for (i = 0; step->memory && i < batches; i++)
        for (at = 0; at < rows; at++) {
            int64_t from = led(&x, &indices, i * rows + at, depth, b);
            if (from < 0)
                return KNL_OUTSIDE;
            copy(&x, i * each + (size_t)from, &y, (i * rows + at) * run, run);
        }
    return KNL_DONE;
}

/* `kind` 0: ScatterElements, 1: ScatterND; each writes what it reads last. */
int knl_host_scatter(const knl_step *step, unsigned kind) {
    knl_value x, y, indices, updates;
    size_t depth = 0, rows = 1, run = 1, at;
    uint32_t axis;
    int along = -1;
    if (step->op.inputs != 3 || !is_move(step, &x, &y) || !takes_indices(step, &indices) ||
        !knl_same_sizes(&x, &y))
        return KNL_UNFIT;
    updates = knl_input_of(step, 2);
    if (!knl_says(step, "reduction", "none", 1))
        return KNL_STRANGE;
    if (updates.type != x.type)
        return KNL_UNFIT;
    if (!kind) {
        along = knl_axis(&x, knl_whole(step, "axis", 0));
        if (along < 0 || !is_inside(&indices, &x, along) || !knl_same_sizes(&indices, &updates))
            return KNL_UNFIT;
    } else {
        uint32_t last = indices.axes - 1;
        depth = indices.axes ? indices.sizes[last] : 0;
        if (!depth || depth > x.axes || updates.axes != last + x.axes - (uint32_t)depth)
            return KNL_UNFIT;
        for (axis = 0; axis < updates.axes; axis++) {
            if (updates.sizes[axis] !=
                (axis < last ? indices.sizes[axis] : x.sizes[axis - last + (uint32_t)depth]))
                return KNL_UNFIT;
            if (axis < last)
                rows *= updates.sizes[axis];
            else
                run *= updates.sizes[axis];
        }
    }
    if (!step->memory)
        return KNL_DONE;
    copy(&x, 0, &y, 0, x.count);
    for (at = 0; kind && at < rows; at++) {
        int64_t to = led(&x, &indices, at, depth, 0);
        if (to < 0)
            return KNL_OUTSIDE;
        copy(&updates, at * run, &y, (size_t)to, run);
    }
    if (kind)
        return KNL_DONE;
    return move_by_index(&indices, &y, along, &updates, 1);
}

int knl_host_where(const knl_step *step, unsigned kind) {
    knl_value sides[3], y;
    knl_odometer places;
    size_t at;
    uint32_t which;
    (void)kind;
    if (step->op.inputs != 3 || step->op.outputs != 1)
        return KNL_UNFIT;
    y = knl_output_of(step, 0);
    knl_begin_places(&places, &y);
    for (which = 0; which < 3; which++) {
        sides[which] = knl_input_of(step, which);
        if (sides[which].type != (which ? y.type : (uint32_t)KNL_BOOL) ||
            !knl_broadcast(&places, &sides[which]))
            return KNL_UNFIT;
    }
    if (!knl_is_covered(&places))
        return KNL_UNFIT;
    for (at = 0; step->memory && at < y.count; at++) {
        which = ((const uint8_t *)sides[0].data)[places.at[0]] ? 1 : 2;
        copy(&sides[which], (size_t)places.at[which], &y, at, 1);
        knl_next_place(&places);
    }
    return KNL_DONE;
}
