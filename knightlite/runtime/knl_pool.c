/* The vector engine's pools: all channels of a pixel at a time. */
#include "knl_core.h"

enum { BLOCK = 64 }; /* channels whose sums are kept */

/* Of a window the part that lies inside x: rows or columns [first, last). */
static void inside(uint32_t place, uint32_t stride, uint32_t pad, uint32_t taps, uint32_t size,
                   int64_t *first, int64_t *last) {
    int64_t begin = (int64_t)place * stride - pad;
    *first = begin < 0 ? 0 : begin;
    *last = begin + taps > size ? (int64_t)size : begin + taps;
}

static const uint8_t *pixel(const knl_item *item, const uint8_t *x, int64_t row,
                            int64_t column) {
    return x + (size_t)row * item->x_row_stride +
           (size_t)column * item->x_column_stride;
}

static void largest_u8(uint8_t *y, const uint8_t *x, uint32_t channels) {
    uint32_t c;
    for (c = 0; c < channels; c++)
        y[c] = x[c] > y[c] ? x[c] : y[c];
}

static void largest_s8(uint8_t *y, const uint8_t *x, uint32_t channels) {
    uint32_t c;
    for (c = 0; c < channels; c++) /* as unsigned ones with the sign turned */
        y[c] = (uint8_t)(x[c] ^ 0x80) > (uint8_t)(y[c] ^ 0x80) ? x[c] : y[c];
}

static void largest_s16(uint8_t *y, const uint8_t *x, uint32_t channels) {
    uint32_t c;
    for (c = 0; c < channels; c++, x += 2, y += 2)
        if (knl_s16(x) > knl_s16(y))
            memcpy(y, x, 2);
}

static void clamp(uint8_t *y, const knl_item *item) {
    knl_bounds bounds = knl_bounds_of(item->y_type, item->y_low, item->y_high);
    uint32_t size = knl_size(item->y_type), c;
    if (bounds.low == knl_minimum(item->y_type) && bounds.high == knl_maximum(item->y_type))
        return;
    for (c = 0; c < item->y_channels; c++, y += size)
        knl_put_element(y, item->y_type,
                        knl_clamp(knl_element(y, item->y_type), bounds.low, bounds.high));
}

static void maximum(const knl_item *item, const uint8_t *from, const int64_t rows[2],
                    const int64_t columns[2], uint8_t *y) {
    uint32_t size = knl_size(item->x_type), c;
    int64_t row, column;
    int first = 1;
    for (row = rows[0]; row < rows[1]; row++)
        for (column = columns[0]; column < columns[1]; column++, first = 0) {
            const uint8_t *x = pixel(item, from, row, column);
            if (first)
                memcpy(y, x, (size_t)item->x_channels * size);
            else if (item->x_type == KNL_U8)
                largest_u8(y, x, item->x_channels);
            else if (item->x_type == KNL_S8)
                largest_s8(y, x, item->x_channels);
            else
                largest_s16(y, x, item->x_channels);
        }
    for (c = 0; first && c < item->x_channels; c++) /* a window of nothing but border */
        knl_put_element(y + (size_t)c * size, item->x_type, knl_minimum(item->x_type));
    clamp(y, item);
}

/* Sums of `count` channels from `channel` on, requantized. */
static void sum_up(const knl_item *item, const uint8_t *from, const int64_t rows[2],
                   const int64_t columns[2], uint32_t channel, uint32_t count, uint8_t *y) {
    knl_bounds bounds = knl_bounds_of(item->y_type, item->y_low, item->y_high);
    uint32_t size = knl_size(item->x_type), c;
    int64_t sums[BLOCK] = {0}, row, column;
    for (row = rows[0]; row < rows[1]; row++)
        for (column = columns[0]; column < columns[1]; column++) {
            const uint8_t *x = pixel(item, from, row, column) + (size_t)channel * size;
            for (c = 0; c < count; c++)
                sums[c] += knl_element(x + (size_t)c * size, item->x_type);
        }
    for (c = 0; c < count; c++)
        knl_put_element(y + (size_t)(channel + c) * knl_size(item->y_type), item->y_type,
                        knl_clamp(knl_round(sums[c] * item->multiplier, item->shift), bounds.low,
                                  bounds.high));
}

/* Windows of one pixel that leave it as it is; 0 where there is more to do. */
static int copy(const knl_item *item, const knl_tiles *tiles) {
    knl_bounds bounds = knl_bounds_of(item->y_type, item->y_low, item->y_high);
    size_t bytes = (size_t)item->y_channels * knl_size(item->y_type);
    uint32_t row, column, columns = item->y_width;
    if (item->mode != KNL_POOL_MAX || item->kernel_height != 1 || item->kernel_width != 1 ||
        item->pad_top || item->pad_left || bounds.low != knl_minimum(item->y_type) ||
        bounds.high != knl_maximum(item->y_type) ||
        (item->y_height - 1) * (uint64_t)item->stride_height >= item->x_height ||
        (item->y_width - 1) * (uint64_t)item->stride_width >= item->x_width)
        return 0;
    if (item->stride_width == 1 && item->x_column_stride == bytes &&
        item->y_column_stride == bytes) {
        bytes *= columns;
        columns = 1;
    }
    for (row = 0; row < item->y_height; row++) {
        const uint8_t *x = pixel(item, tiles->x, (int64_t)row * item->stride_height, 0);
        uint8_t *y = tiles->y + (size_t)row * item->y_row_stride;
        for (column = 0; column < columns; column++) {
            memcpy(y, x, bytes);
            x += (size_t)item->stride_width * item->x_column_stride;
            y += item->y_column_stride;
        }
    }
    return 1;
}

void knl_run_pool(const knl_item *item, const knl_tiles *tiles) {
    uint32_t row, column, c;
    int64_t rows[2], columns[2];
    if (copy(item, tiles))
        return;
    for (row = 0; row < item->y_height; row++) {
        inside(row, item->stride_height, item->pad_top, item->kernel_height, item->x_height,
               &rows[0], &rows[1]);
        for (column = 0; column < item->y_width; column++) {
            uint8_t *y = tiles->y + (size_t)row * item->y_row_stride +
                         (size_t)column * item->y_column_stride;
            inside(column, item->stride_width, item->pad_left, item->kernel_width, item->x_width,
                   &columns[0], &columns[1]);
            if (item->mode == KNL_POOL_MAX)
                maximum(item, tiles->x, rows, columns, y);
            for (c = 0; item->mode == KNL_POOL_SUM && c < item->y_channels; c += BLOCK) {
                uint32_t left = item->y_channels - c;
                sum_up(item, tiles->x, rows, columns, c, left < BLOCK ? left : BLOCK, y);
            }
        }
    }
}
