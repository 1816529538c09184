/* The vector engine: affine, two operands, tables, resize, softmax, pick. */
#include "knl_simd.h"

typedef struct tile {
    const uint8_t *at;
    size_t row_stride, column_stride;
    uint32_t type;
} tile;

static tile x_tile(const knl_item *item, const knl_tiles *tiles) {
    tile found;
    found.at = tiles->x;
    found.row_stride = item->x_row_stride;
    found.column_stride = item->x_column_stride;
    found.type = item->x_type;
    return found;
}

static const uint8_t *at(const tile *from, uint32_t row, uint32_t column) {
    return from->at + row * from->row_stride + column * from->column_stride;
}

static uint8_t *y_at(const knl_item *item, const knl_tiles *tiles, uint32_t row, uint32_t column) {
    return tiles->y + (size_t)row * item->y_row_stride + (size_t)column * item->y_column_stride;
}

static void put(uint8_t *y, const knl_item *item, uint32_t channel, int64_t value) {
    knl_bounds bounds = knl_bounds_of(item->y_type, item->y_low, item->y_high);
    knl_put_element(y + (size_t)channel * knl_size(item->y_type), item->y_type,
                    knl_clamp(value, bounds.low, bounds.high));
}

static int32_t get(const uint8_t *pixel, uint32_t type, uint32_t channel) {
    return knl_element(pixel + (size_t)channel * knl_size(type), type);
}

void knl_run_affine(const knl_network *net, const knl_item *item, const knl_tiles *tiles) {
    tile x = x_tile(item, tiles);
    const uint8_t *records = net->mspm + item->parameter_address;
    uint32_t row, column, c;
    for (row = 0; row < item->y_height; row++)
        for (column = 0; column < item->y_width; column++)
            for (c = 0; c < item->y_channels; c++) {
                int32_t value = get(at(&x, row, column), x.type, c);
                uint32_t side = item->two_sided && value < 0 ? item->y_channels : 0;
                put(y_at(item, tiles, row, column), item, c, knl_affine(records, side + c, value));
            }
}

static int64_t combine(const knl_item *item, int64_t x, int64_t z) {
    int64_t a = x * item->multiplier, b = z * item->z_multiplier;
    switch (item->mode) {
    case KNL_ELTWISE_ADD:
        return a + b;
    case KNL_ELTWISE_MUL:
        return a * z;
    case KNL_ELTWISE_MAX:
        return a > b ? a : b;
    default:
        return a < b ? a : b;
    }
}

/* Two to some power. */
static double power(int exponent) {
    double found = 1;
    for (; exponent > 0; exponent--)
        found *= 2;
    for (; exponent < 0; exponent++)
        found /= 2;
    return found;
}

/* All elements of a pixel, or of a row where pixels touch. */
static void join_rows(const knl_simd *simd, const knl_item *item, const tile *x, const tile *z,
                      const knl_tiles *tiles) {
    knl_bounds bounds = knl_bounds_of(item->y_type, item->y_low, item->y_high);
    double unit = power(-(int)(item->shift < 63 ? item->shift : 63));
    uint32_t row, column, columns = item->y_width;
    size_t count = item->y_channels;
    knl_joining how;
    how.x_type = x->type;
    how.z_type = z->type;
    how.y_type = item->y_type;
    how.mode = item->mode;
    how.x_factor = item->multiplier * unit;
    how.z_factor = item->z_multiplier * unit;
    how.low = bounds.low;
    how.high = bounds.high;
    if (x->column_stride == count * knl_size(x->type) &&
        z->column_stride == count * knl_size(z->type) &&
        item->y_column_stride == count * knl_size(item->y_type)) {
        count *= columns;
        columns = 1;
    }
    for (row = 0; row < item->y_height; row++)
        for (column = 0; column < columns; column++)
            simd->join(at(x, row, column), at(z, row, column), &how, count,
                       y_at(item, tiles, row, column));
}

void knl_run_eltwise(const knl_network *net, const knl_item *item, const knl_tiles *tiles) {
    tile x = x_tile(item, tiles), z = x;
    uint32_t row, column, c;
    z.at = tiles->other;
    z.row_stride = item->z_row_stride;
    z.column_stride = item->z_column_stride;
    z.type = item->z_type;
    if (net->simd && !item->z_broadcast) {
        join_rows(net->simd, item, &x, &z, tiles);
        return;
    }
    for (row = 0; row < item->y_height; row++)
        for (column = 0; column < item->y_width; column++)
            for (c = 0; c < item->y_channels; c++) {
                int64_t one = get(at(&x, row, column), x.type, c);
                int64_t other = get(at(&z, row, column), z.type, item->z_broadcast ? 0 : c);
                put(y_at(item, tiles, row, column), item, c,
                    knl_round(combine(item, one, other), item->shift));
            }
}

int64_t knl_look_up(const uint8_t *table, uint32_t x_type, uint32_t intervals, uint32_t fraction,
                    uint32_t y_type, int32_t x) {
    uint32_t shift, place, index, rest;
    int64_t left, right;
    if (!intervals)
        return knl_element(table + (size_t)(x - knl_minimum(x_type)) * knl_size(y_type), y_type);
    shift = 16 - intervals;
    place = (uint32_t)(x + 32768);
    index = place >> shift;
    rest = place & ((1u << shift) - 1);
    left = knl_s16(table + 2 * (size_t)index);
    right = knl_s16(table + 2 * (size_t)index + 2);
    return knl_round(left * ((INT64_C(1) << shift) - rest) + right * rest, shift + fraction);
}

void knl_run_lookup(const knl_network *net, const knl_item *item, const knl_tiles *tiles) {
    tile x = x_tile(item, tiles);
    const uint8_t *table = net->mspm + item->table_address;
    uint32_t row, column, c;
    for (row = 0; row < item->y_height; row++)
        for (column = 0; column < item->y_width; column++)
            for (c = 0; c < item->y_channels; c++)
                put(y_at(item, tiles, row, column), item, c,
                    knl_look_up(table, x.type, item->intervals, item->fraction, item->y_type,
                                get(at(&x, row, column), x.type, c)));
}

/* Where an output reads along an axis: an element, the next, and the next one's weight. */
typedef struct position {
    uint32_t first, second;
    int64_t weight;
} position;

static position nearest(uint32_t place, uint32_t step, int32_t offset, uint32_t unit,
                        uint32_t size) {
    int64_t exact = (int64_t)place * step + offset;
    position found;
    found.first = exact < 0 ? 0 : (uint32_t)knl_clamp(exact / unit, 0, size - 1);
    found.second = found.first;
    found.weight = 0;
    return found;
}

static position linear(uint32_t place, uint32_t step, int32_t offset, uint32_t unit,
                       uint32_t size) {
    int64_t exact = knl_clamp((int64_t)place * step + offset, 0, (int64_t)(size - 1) * unit);
    position found;
    found.first = (uint32_t)(exact / unit);
    found.second = found.first + 1 < size ? found.first + 1 : size - 1;
    found.weight = exact % unit;
    return found;
}

void knl_run_resize(const knl_item *item, const knl_tiles *tiles) {
    tile x = x_tile(item, tiles);
    position (*of)(uint32_t, uint32_t, int32_t, uint32_t, uint32_t) =
        item->mode == KNL_RESIZE_LINEAR ? linear : nearest;
    uint32_t row, column, c;
    knl_bounds bounds = knl_bounds_of(item->y_type, item->y_low, item->y_high);
    size_t bytes = item->y_channels * (size_t)knl_size(x.type);
    int copies = item->mode != KNL_RESIZE_LINEAR && x.type == item->y_type &&
                 bounds.low == knl_minimum(x.type) && bounds.high == knl_maximum(x.type);
    for (row = 0; row < item->y_height; row++) {
        position v = of(row, item->step_height, item->offset_height, item->unit_height,
                        item->x_height);
        for (column = 0; column < item->y_width; column++) {
            position h = of(column, item->step_width, item->offset_width, item->unit_width,
                            item->x_width);
            if (copies) {
                memcpy(y_at(item, tiles, row, column), at(&x, v.first, h.first), bytes);
                continue;
            }
            for (c = 0; c < item->y_channels; c++) {
                int64_t value = get(at(&x, v.first, h.first), x.type, c);
                if (item->mode == KNL_RESIZE_LINEAR) {
                    int64_t up = item->unit_height - v.weight, left = item->unit_width - h.weight;
                    int64_t beside = get(at(&x, v.first, h.second), x.type, c);
                    int64_t below = get(at(&x, v.second, h.first), x.type, c);
                    int64_t last = get(at(&x, v.second, h.second), x.type, c);
                    value = up * (value * left + beside * h.weight) +
                            v.weight * (below * left + last * h.weight);
                    value = knl_round(value * item->multiplier, item->shift);
                }
                put(y_at(item, tiles, row, column), item, c, value);
            }
        }
    }
}

/* value / divisor, rounded half to even; not negative. */
static int64_t divide(uint64_t value, uint64_t divisor) {
    uint64_t whole = value / divisor, rest = 2 * (value % divisor);
    return (int64_t)(whole + (rest > divisor || (rest == divisor && whole % 2)));
}

/* exp of so many steps below the largest input, as the tables have it */
static uint64_t exponential(const knl_item *item, const uint8_t *table, uint32_t steps) {
    uint64_t found;
    if (!item->fine)
        return knl_u16(table + 2 * (size_t)steps);
    found = knl_u32(table + 4 * (size_t)(steps % KNL_EXPONENTIALS));
    if (item->x_type != KNL_S16)
        return found;
    table += 4 * (size_t)(KNL_EXPONENTIALS + steps / KNL_EXPONENTIALS);
    return found * knl_u32(table) >> 30;
}

void knl_run_softmax(const knl_network *net, const knl_item *item, const knl_tiles *tiles) {
    tile x = x_tile(item, tiles);
    const uint8_t *table = net->mspm + item->table_address;
    uint32_t row, column, c;
    for (row = 0; row < item->y_height; row++)
        for (column = 0; column < item->y_width; column++) {
            const uint8_t *pixel = at(&x, row, column);
            int32_t most = knl_minimum(x.type);
            uint64_t sum = 0;
            for (c = 0; c < item->x_channels; c++)
                if (get(pixel, x.type, c) > most)
                    most = get(pixel, x.type, c);
            for (c = 0; c < item->x_channels; c++)
                sum += exponential(item, table, (uint32_t)(most - get(pixel, x.type, c)));
            for (c = 0; c < item->x_channels; c++) {
                uint64_t entry = exponential(item, table, (uint32_t)(most - get(pixel, x.type, c)));
                put(y_at(item, tiles, row, column), item, c, sum ? divide(entry * item->numerator,
                                                                          sum) : 0);
            }
        }
}

void knl_run_pick(const knl_item *item, const knl_tiles *tiles) {
    tile x = x_tile(item, tiles);
    uint32_t row, column, c;
    for (row = 0; row < item->y_height; row++)
        for (column = 0; column < item->y_width; column++) {
            const uint8_t *pixel = at(&x, row, column);
            int32_t best = get(pixel, x.type, 0);
            uint32_t found = 0;
            for (c = 1; c < item->x_channels; c++) {
                int32_t value = get(pixel, x.type, c);
                if (value == best ? item->last : item->least ? value < best : value > best)
                    best = value, found = c;
            }
            put(y_at(item, tiles, row, column), item, 0, found);
        }
}
