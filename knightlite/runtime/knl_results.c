/* What becomes of sums: requantized, joined, looked up, clamped. */
#include "knl_plan.h"

static double half_to(uint32_t shift) { /* 2^-shift, shift below 1023 */
    uint64_t bits = (uint64_t)(1023 - shift) << 52;
    double found;
    memcpy(&found, &bits, sizeof found);
    return found;
}

/* 0 where results are finished one by one. `most`: magnitude of a sum that with its bias surely
 * stays within 32 bits. */
static int set_rounding(const knl_network *net, const knl_item *item, const knl_plan *p,
                        knl_rounding *how, int64_t *most) {
    double *scale = (double *)(void *)(net->work + p->rounding);
    double *offset = scale + knl_aligned(8 * ((size_t)item->y_channels + 2 * KNL_MOST_LANES)) / 8;
    knl_bounds y = knl_bounds_of(item->y_type, item->y_low, item->y_high), first = y;
    int64_t largest = 0;
    double reach = 0;
    uint32_t c;
    if (item->activation == KNL_ACTIVATION_TWO_SIDED ||
        (item->residual && item->residual_type == KNL_S16))
        return 0;
    if (item->residual || item->activation)
        first = knl_bounds_of(item->middle_type, item->middle_low, item->middle_high);
    for (c = 0; c < item->y_channels; c++) {
        knl_parameter q = knl_parameter_at(net->mspm + item->parameter_address, c);
        if (q.b > largest || -(int64_t)q.b > largest)
            largest = q.b < 0 ? -(int64_t)q.b : q.b;
        scale[c] = q.m * half_to(q.q);
        offset[c] = q.b * scale[c];
        if (scale[c] > reach || -scale[c] > reach)
            reach = scale[c] < 0 ? -scale[c] : scale[c];
    }
    for (; c < item->y_channels + KNL_MOST_LANES; c++) /* lanes of which nothing is kept */
        scale[c] = offset[c] = 0;
    how->scale = scale;
    how->offset = offset;
    how->fits = reach < 0.5; /* a sum and a bias have 31 bits each */
    how->low = first.low;
    how->high = first.high;
    how->y_low = y.low;
    how->y_high = y.high;
    how->factor = item->multiplier * half_to(item->shift);
    how->residual = item->residual_multiplier * half_to(item->shift);
    *most = INT64_C(2147483647) - largest;
    return item->accumulate_in ||
           (int64_t)p->inputs * item->kernel_height * item->kernel_width * 32640 <= *most;
}
/* The results of a table for every 8-bit value. */
static const uint8_t *set_table(const knl_network *net, const knl_item *item, const knl_plan *p) {
    uint8_t *table = net->work + p->table;
    knl_bounds bounds = knl_bounds_of(item->y_type, item->y_low, item->y_high);
    uint32_t size = knl_size(item->y_type);
    int32_t value;
    for (value = knl_minimum(item->middle_type); value <= knl_maximum(item->middle_type); value++) {
        int64_t found = knl_look_up(net->mspm + item->activation_address, item->middle_type, 0, 0,
                                    item->y_type, value);
        knl_put_element(table + (size_t)(value & 0xff) * size, item->y_type,
                        knl_clamp(found, bounds.low, bounds.high));
    }
    return table;
}

void knl_set_target(knl_target *to, const knl_item *item, const knl_plan *p,
                    knl_rounding *rounding) {
    knl_bounds bounds = knl_bounds_of(item->y_type, item->y_low, item->y_high);
    to->how = NULL;
    to->table = to->lines.table = NULL;
    to->most = INT64_C(2147483647);
    if (item->accumulate_out || !set_rounding(to->net, item, p, rounding, &to->most))
        return;
    to->how = rounding;
    if (item->activation && item->middle_type != KNL_S16)
        to->table = set_table(to->net, item, p);
    if (item->activation && item->middle_type == KNL_S16)
        to->lines.table = to->net->mspm + item->activation_address;
    to->lines.shift = 16 - item->activation_intervals;
    to->lines.fraction = item->activation_fraction;
    to->lines.low = bounds.low;
    to->lines.high = bounds.high;
}

/* Add partial sums; 0 where one could saturate, now or with its bias. */
static int add_partial(const uint8_t *partial, const int32_t *sums, uint32_t count, int64_t most,
                       int32_t *total) {
    int fits = 1;
    uint32_t c;
    for (c = 0; c < count; c++) {
        int32_t before;
        int64_t sum;
        memcpy(&before, partial + 4 * (size_t)c, 4);
        sum = (int64_t)before + sums[c];
        fits &= sum <= most && sum >= -most;
        total[c] = (int32_t)(uint32_t)((uint64_t)sum & 0xffffffffu);
    }
    return fits;
}

static void finish_one_by_one(const knl_target *to, const knl_places *places, uint32_t channel,
                              uint32_t channels, const int32_t *sums) {
    uint32_t i, c;
    for (i = 0; i < places->count; i++, sums += places->stride)
        for (c = 0; c < channels; c++)
            knl_finish(to->net, to->item, to->tiles, places->rows[i], places->columns[i],
                       channel + c, sums[c]);
}

/* Sums that are whole, by vectors. */
static void finish(const knl_target *to, const knl_places *places, uint32_t channel,
                   uint32_t channels, const int32_t *sums) {
    const knl_item *item = to->item;
    const knl_simd *simd = to->p->simd;
    uint32_t size = knl_size(item->y_type), i, c;
    int32_t values[KNL_MOST_LANES];
    if (to->lines.table) {
        simd->lines(sums, to->how, &to->lines, channel, places, channels, size == 2);
        return;
    }
    if (!item->activation) {
        simd->finish(sums, to->how, channel, places,
                     item->residual ? item->residual_type : (uint32_t)KNL_S16, channels, size == 2);
        return;
    }
    for (i = 0; i < places->count; i++, sums += places->stride) {
        uint8_t *y = places->y[i] + (size_t)channel * size;
        simd->requantize(sums, to->how, channel, channels, values);
        for (c = 0; c < channels; c++)
            memcpy(y + c * size, to->table + (size_t)(values[c] & 0xff) * size, size);
    }
}

/* Sums of one pixel with its partial ones, or to them. */
static void carry(const knl_target *to, const knl_places *places, uint32_t channel,
                  uint32_t channels, const int32_t *sums) {
    const knl_item *item = to->item;
    uint8_t *partial = to->tiles->sums +
                       4 * (((size_t)places->rows[0] * item->y_width + places->columns[0]) *
                                item->y_channels + channel);
    int32_t values[KNL_MOST_LANES];
    if (item->accumulate_in) {
        if (!add_partial(partial, sums, channels, to->most, values)) {
            finish_one_by_one(to, places, channel, channels, sums);
            return;
        }
        sums = values;
    }
    if (item->accumulate_out)
        memcpy(partial, sums, 4 * (size_t)channels);
    else
        finish(to, places, channel, channels, sums);
}

void knl_put_results(const knl_target *to, const knl_places *places, uint32_t channel,
                     uint32_t channels, const int32_t *sums) {
    const knl_item *item = to->item;
    unsigned i;
    if (!to->how && !item->accumulate_out) {
        finish_one_by_one(to, places, channel, channels, sums);
        return;
    }
    if (!item->accumulate_in && !item->accumulate_out) {
        finish(to, places, channel, channels, sums);
        return;
    }
    for (i = 0; i < places->count; i++, sums += places->stride) {
        knl_places one;
        one.count = 0;
        one.stride = places->stride;
        knl_add_place(to, &one, places->rows[i], places->columns[i]);
        carry(to, &one, channel, channels, sums);
    }
}
