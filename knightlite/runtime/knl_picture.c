/* Pictures into a network: resized as Pillow does it, padded, cropped, normalised, quantized.
 *
 * Pillow resizes along the rows and then along the columns, or the other way where that is less
 * work, each pixel as a sum of weights with 22 bits behind the point, rounded to 8 bits in between.
 * Weights come from triangles or cubic curves as wide as an output pixel, computed in float64. Only
 * what the crop leaves is computed.
 */
#include "knl_core.h"
#include "knl_float.h"
#include "knl_real.h"

enum { POINT = 22, LEVELS = 256, MOST_SIDE = 65535, ALIGN = 8 };

/* Where the picture goes. */
typedef struct sizes {
    uint32_t height, width;           /* as it is resized */
    uint32_t pad_top, pad_left;       /* rows and columns in front of it */
    uint32_t whole_height, whole_width;
    uint32_t top, left, rows, columns; /* what is left of the whole */
} sizes;

/* Truncated: of numbers that are not negative. */
static uint32_t whole(double x) {
    return (uint32_t)x;
}

static uint32_t ceiling(double x) {
    uint32_t found = whole(x);
    return found + ((double)found < x);
}

static uint32_t nearest_even(double x) {
    uint32_t floor = whole(x);
    double rest = x - (double)floor;
    return floor + (rest > 0.5 || (rest == 0.5 && (floor & 1)));
}

/* (size - part) / 2, half to even. */
static uint32_t half(uint32_t size, uint32_t part) {
    uint32_t twice = size - part;
    return twice / 2 + (twice & twice / 2 & 1);
}

static uint32_t at_least_1(uint32_t size) {
    return size ? size : 1;
}

static uint32_t quotient(uint32_t side, uint32_t size, uint32_t by) {
    double found = (double)((uint64_t)side * size) / (double)by;
    return found < MOST_SIDE ? whole(found) : MOST_SIDE;
}

static sizes sizes_of(const knl_tensor *tensor, const knl_recipe *recipe, uint32_t height,
                      uint32_t width) {
    uint32_t wanted_height = recipe->resize_height, wanted_width = recipe->resize_width;
    sizes found;
    memset(&found, 0, sizeof found);
    if (!wanted_height || !wanted_width) {
        wanted_height = (uint32_t)tensor->height;
        wanted_width = (uint32_t)tensor->width;
    }
    found.height = height;
    found.width = width;
    switch (recipe->resize) {
    case KNL_EXACT:
        found.height = wanted_height;
        found.width = wanted_width;
        break;
    case KNL_SHORT_SIDE:
        found.height = height <= width ? wanted_height : quotient(wanted_height, height, width);
        found.width = height <= width ? quotient(wanted_height, width, height) : wanted_height;
        break;
    case KNL_PAD_RIGHT: {
        double across = (double)((uint64_t)wanted_height * width) / (double)height;
        found.height = wanted_height;
        found.width = across < (double)wanted_width ? ceiling(across) : wanted_width;
        break;
    }
    case KNL_PAD_CENTER:
    case KNL_PAD_CORNER: {
        double down = (double)wanted_height / (double)height;
        double across = (double)wanted_width / (double)width;
        double ratio = down < across ? down : across;
        int centered = recipe->resize == KNL_PAD_CENTER;
        down = (double)height * ratio;
        across = (double)width * ratio;
        found.height = at_least_1(centered ? nearest_even(down) : whole(down));
        found.width = at_least_1(centered ? nearest_even(across) : whole(across));
        break;
    }
    default:
        break;
    }
    found.whole_height = found.height;
    found.whole_width = found.width;
    if (recipe->resize >= KNL_PAD_RIGHT) {
        found.whole_height = wanted_height;
        found.whole_width = wanted_width;
        if (recipe->resize == KNL_PAD_CENTER) {
            found.pad_top = (wanted_height - found.height) / 2;
            found.pad_left = (wanted_width - found.width) / 2;
        }
    }
    found.rows = found.whole_height;
    found.columns = found.whole_width;
    if (recipe->crop_height && recipe->crop_height <= found.rows &&
        recipe->crop_width <= found.columns) {
        found.top = half(found.rows, recipe->crop_height);
        found.left = half(found.columns, recipe->crop_width);
        found.rows = recipe->crop_height;
        found.columns = recipe->crop_width;
    }
    return found;
}

/* ---- weights of one direction */

typedef struct window {
    uint32_t first, count;
} window;

/* Along the rows or the columns of a picture. */
typedef struct axis {
    uint32_t from, to; /* sizes */
    double scale, reach;
    uint32_t most; /* weights of a window */
    int cubic;
    uint32_t skipped;      /* padding in front of what is shown */
    uint32_t start, shown; /* which outputs are left behind padding and crop */
    uint32_t low, high;    /* which inputs they read */
} axis;

static double curve(double x, int cubic) {
    const double a = -0.5;
    if (x < 0.0)
        x = -x;
    if (!cubic)
        return x < 1.0 ? 1.0 - x : 0.0;
    if (x < 1.0)
        return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
    return x < 2.0 ? (((x - 5.0) * x + 8.0) * x - 4.0) * a : 0.0;
}

static double center_of(const axis *along, uint32_t at) {
    return ((double)at + 0.5) * along->scale;
}

/* Which inputs an output reads. */
static window window_of(const axis *along, uint32_t at) {
    double center = center_of(along, at);
    double low = center - along->reach + 0.5, high = center + along->reach + 0.5;
    window found;
    if (along->from == along->to) {
        found.first = at;
        found.count = 1;
        return found;
    }
    found.first = low < 0.0 ? 0 : whole(low);
    found.count = (high > (double)along->from ? along->from : whole(high)) - found.first;
    return found;
}

/* What is left of it: `pad` in front of the picture, `count` from `first` on. */
static axis axis_of(uint32_t from, uint32_t to, unsigned interpolation, uint32_t pad,
                    uint32_t first, uint32_t count) {
    uint32_t end = first + count < pad + to ? first + count : pad + to;
    double wide;
    window last;
    axis found;
    found.from = from;
    found.to = to;
    found.cubic = interpolation == KNL_BICUBIC;
    found.scale = (double)from / (double)to;
    wide = found.scale < 1.0 ? 1.0 : found.scale;
    found.reach = (found.cubic ? 2.0 : 1.0) * wide;
    found.most = ceiling(found.reach) * 2 + 1;
    found.skipped = first < pad ? pad - first : 0;
    found.start = first < pad ? 0 : first - pad;
    found.shown = end > first + found.skipped ? end - first - found.skipped : 0;
    found.low = found.high = 0;
    if (found.shown) {
        last = window_of(&found, found.start + found.shown - 1);
        found.low = window_of(&found, found.start).first;
        found.high = last.first + last.count;
    }
    return found;
}

/* The window of output `at`, its weights with 22 bits behind the point; `work` has their room. */
static window weigh(const axis *along, uint32_t at, int32_t *weights, double *work) {
    double step = 1.0 / (along->scale < 1.0 ? 1.0 : along->scale), sum = 0.0;
    double center = center_of(along, at);
    window found = window_of(along, at);
    uint32_t i;
    weights[0] = 1 << POINT;
    if (along->from == along->to)
        return found;
    for (i = 0; i < found.count; i++) {
        double place = (double)i + (double)found.first - center + 0.5;
        work[i] = curve(place * step, along->cubic);
        sum += work[i];
    }
    for (i = 0; i < found.count; i++) {
        double weight = sum != 0.0 ? work[i] / sum : work[i];
        weight *= (double)(1 << POINT);
        weights[i] = (int32_t)(weight < 0.0 ? weight - 0.5 : weight + 0.5);
    }
    return found;
}

static uint8_t clipped(int32_t sum) {
    int32_t found = sum >= 0 ? sum >> POINT : ~(~sum >> POINT);
    return (uint8_t)knl_clamp(found, 0, 255);
}

/* ---- a picture on its way */

typedef struct picture {
    const knl_recipe *recipe;
    const uint8_t *pixels;
    uint32_t width; /* as it comes */
    uint32_t channels;
    sizes size;
    axis across, down;
    int down_first;
    int32_t *values; /* per channel: integers of pixels 0 to 255 and of the padding */
    window *columns; /* per column that is left */
    int32_t *column_weights, *row_weights;
    double *work;
    uint8_t *between; /* behind the first of the two directions */
    uint32_t between_rows, between_columns;
    uint64_t bytes;
} picture;

static uint64_t take(uint64_t *bytes, uint64_t count, uint64_t size) {
    uint64_t at = *bytes;
    *bytes += (count * size + ALIGN - 1) / ALIGN * ALIGN;
    return at;
}

/* Everything but the pixels; places in `scratch`, which may be NULL where only bytes are asked. */
static void plan(picture *it, const knl_tensor *tensor, const knl_recipe *recipe, uint32_t height,
                 uint32_t width, uint8_t *scratch) {
    const sizes *size = &it->size;
    uint64_t values, columns, column_weights, row_weights, work, between;
    it->recipe = recipe;
    it->width = width;
    it->channels = recipe->color == KNL_GRAY ? 1 : 3;
    it->size = sizes_of(tensor, recipe, height, width);
    it->across = axis_of(width, size->width, recipe->interpolation, size->pad_left, size->left,
                         size->columns);
    it->down = axis_of(height, size->height, recipe->interpolation, size->pad_top, size->top,
                       size->rows);
    it->down_first = height > size->height &&
                     (int64_t)height - size->height > ((int64_t)width - size->width) * 2;
    it->between_rows = it->down_first ? it->down.shown : it->down.high - it->down.low;
    it->between_columns = it->down_first ? it->across.high - it->across.low : it->across.shown;
    it->bytes = 0;
    values = take(&it->bytes, (uint64_t)it->channels * (LEVELS + 1), sizeof(int32_t));
    columns = take(&it->bytes, it->across.shown, sizeof(window));
    column_weights =
        take(&it->bytes, (uint64_t)it->across.shown * it->across.most, sizeof(int32_t));
    row_weights = take(&it->bytes, it->down.most, sizeof(int32_t));
    work = take(&it->bytes, it->down.most > it->across.most ? it->down.most : it->across.most,
                sizeof(double));
    between = take(&it->bytes, (uint64_t)it->between_rows * it->between_columns, it->channels);
    if (!scratch)
        return;
    it->values = (int32_t *)(void *)(scratch + values);
    it->columns = (window *)(void *)(scratch + columns);
    it->column_weights = (int32_t *)(void *)(scratch + column_weights);
    it->row_weights = (int32_t *)(void *)(scratch + row_weights);
    it->work = (double *)(void *)(scratch + work);
    it->between = scratch + between;
}

/* What the picture has at a place, in RGB or grey. */
static int32_t pixel(const picture *it, uint32_t row, uint32_t column, uint32_t channel) {
    const uint8_t *at = it->pixels + ((size_t)row * it->width + column) * 3;
    if (it->channels == 3)
        return at[channel];
    return (at[0] * 19595 + at[1] * 38470 + at[2] * 7471 + 0x8000) >> 16;
}

static const int32_t *weights_of(const picture *it, uint32_t column) {
    return it->column_weights + (size_t)column * it->across.most;
}

/* The first direction: what the second one reads. */
static void resize(picture *it) {
    uint32_t row, column, channel, i;
    uint8_t *to = it->between;
    for (column = 0; column < it->across.shown; column++)
        it->columns[column] = weigh(&it->across, it->across.start + column,
                                    it->column_weights + (size_t)column * it->across.most,
                                    it->work);
    for (row = 0; row < it->between_rows; row++) {
        window rows = {0, 0};
        if (it->down_first)
            rows = weigh(&it->down, it->down.start + row, it->row_weights, it->work);
        for (column = 0; column < it->between_columns; column++)
            for (channel = 0; channel < it->channels; channel++) {
                int32_t sum = 1 << (POINT - 1);
                if (it->down_first)
                    for (i = 0; i < rows.count; i++)
                        sum += pixel(it, rows.first + i, it->across.low + column, channel) *
                               it->row_weights[i];
                else
                    for (i = 0; i < it->columns[column].count; i++)
                        sum += pixel(it, it->down.low + row, it->columns[column].first + i,
                                     channel) *
                               weights_of(it, column)[i];
                *to++ = clipped(sum);
            }
    }
}

/* The second direction: one channel of a pixel that is left; `rows` are weighed. */
static uint8_t resized_pixel(const picture *it, const window *rows, uint32_t row, uint32_t column,
                             uint32_t channel) {
    size_t line = (size_t)it->between_columns * it->channels;
    const window *columns = &it->columns[column];
    const uint8_t *at = it->between + channel;
    int32_t sum = 1 << (POINT - 1);
    uint32_t i;
    if (it->down_first) {
        at += (size_t)row * line + (size_t)(columns->first - it->across.low) * it->channels;
        for (i = 0; i < columns->count; i++)
            sum += at[(size_t)i * it->channels] * weights_of(it, column)[i];
    } else {
        at += (size_t)(rows->first - it->down.low) * line + (size_t)column * it->channels;
        for (i = 0; i < rows->count; i++)
            sum += at[i * line] * it->row_weights[i];
    }
    return clipped(sum);
}

/* Nearest: places are added up step by step, so that they round as Pillow's do; -1: outside. */
static int32_t next_place(double *place, double step, uint32_t size) {
    int32_t found = *place < 0.0 || *place >= (double)size ? -1 : (int32_t)*place;
    *place += step;
    return found;
}

/* All integers that pixels can become. */
static void fill_values(picture *it, const knl_tensor *tensor) {
    const knl_recipe *recipe = it->recipe;
    uint32_t channel, level;
    for (channel = 0; channel < it->channels; channel++)
        for (level = 0; level <= LEVELS; level++) {
            float value = level < LEVELS ? (float)level : recipe->pad_value;
            value = value / recipe->divide_by;
            value = value - recipe->mean[channel];
            value = value / recipe->std[channel];
            it->values[channel * (LEVELS + 1) + level] =
                knl_quantize(value, knl_scale_of(tensor, channel), tensor->type);
        }
}

static void put(const picture *it, uint8_t *at, uint32_t type, uint32_t channel, uint32_t level) {
    uint32_t to = it->recipe->color == KNL_BGR ? 2 - channel : channel;
    knl_put_element(at + to * knl_size(type), type, it->values[to * (LEVELS + 1) + level]);
}

static void put_resized(picture *it, knl_network *net, const knl_tensor *tensor) {
    uint32_t row, column, channel;
    resize(it);
    for (row = 0; row < it->down.shown; row++) {
        window rows = {0, 0};
        if (!it->down_first)
            rows = weigh(&it->down, it->down.start + row, it->row_weights, it->work);
        for (column = 0; column < it->across.shown; column++)
            for (channel = 0; channel < it->channels; channel++)
                put(it,
                    knl_pixel(net, tensor, it->down.skipped + row, it->across.skipped + column),
                    tensor->type, channel, resized_pixel(it, &rows, row, column, channel));
    }
}

static void put_nearest(picture *it, knl_network *net, const knl_tensor *tensor) {
    uint32_t row, column, channel;
    double down = it->down.scale * 0.5;
    for (row = 0; row < it->down.start + it->down.shown; row++) {
        int32_t from_row = next_place(&down, it->down.scale, it->down.from);
        double across = it->across.scale * 0.5;
        for (column = 0; column < it->across.start + it->across.shown; column++) {
            int32_t from = next_place(&across, it->across.scale, it->across.from);
            if (row < it->down.start || column < it->across.start)
                continue;
            for (channel = 0; channel < it->channels; channel++)
                put(it,
                    knl_pixel(net, tensor, it->down.skipped + row - it->down.start,
                              it->across.skipped + column - it->across.start),
                    tensor->type, channel,
                    from < 0 || from_row < 0
                        ? 0
                        : (uint32_t)pixel(it, (uint32_t)from_row, (uint32_t)from, channel));
        }
    }
}

static void pad(const picture *it, knl_network *net, const knl_tensor *tensor) {
    uint32_t row, column, channel;
    for (row = 0; row < it->size.rows; row++)
        for (column = 0; column < it->size.columns; column++)
            for (channel = 0; channel < it->channels; channel++)
                put(it, knl_pixel(net, tensor, row, column), tensor->type, channel, LEVELS);
}

size_t knl_picture_bytes(const knl_network *net, uint32_t index, const knl_recipe *recipe,
                         uint32_t height, uint32_t width) {
    knl_tensor tensor;
    picture it;
    if (index >= net->tensor_count || !height || !width || height > MOST_SIDE || width > MOST_SIDE)
        return 0;
    tensor = knl_tensor_at(net, index);
    plan(&it, &tensor, recipe, height, width, NULL);
    return it.bytes + ALIGN > (uint64_t)SIZE_MAX ? 0 : (size_t)it.bytes + ALIGN;
}

static int check(const picture *it, const knl_tensor *tensor, knl_error *error) {
    const sizes *size = &it->size;
    if (it->recipe->crop_height && (it->recipe->crop_height > size->whole_height ||
                                    it->recipe->crop_width > size->whole_width))
        return knl_say(error, KNL_ARGUMENT, 0,
                       "the picture has %ux%u pixels where its recipe crops, which must be at "
                       "least %ux%u (height x width).",
                       (uint64_t)size->whole_height, (uint64_t)size->whole_width,
                       (uint64_t)it->recipe->crop_height, (uint64_t)it->recipe->crop_width);
    if (tensor->channels != it->channels || tensor->height != size->rows ||
        tensor->width != size->columns)
        return knl_say(error, KNL_ARGUMENT, 0,
                       "the picture becomes %ux%ux%u with its recipe, but the network's input is "
                       "%ux%ux%u (channels x height x width).",
                       (uint64_t)it->channels, (uint64_t)size->rows, (uint64_t)size->columns,
                       tensor->channels, tensor->height, tensor->width);
    return KNL_OK;
}

int knl_write_picture(knl_network *net, uint32_t index, const knl_recipe *recipe,
                      const uint8_t *pixels, uint32_t height, uint32_t width, void *scratch,
                      size_t bytes, knl_error *error) {
    size_t off = (size_t)((uintptr_t)scratch % ALIGN), wanted;
    knl_tensor tensor;
    picture it;
    int status = knl_check_tensor(net, index, error);
    if (!status)
        status = knl_check_writable(net, index, error);
    if (status)
        return status;
    if (!height || !width || height > MOST_SIDE || width > MOST_SIDE)
        return knl_say(error, KNL_ARGUMENT, 0,
                       "a picture must have 1 to %u rows and columns, not %u and %u.",
                       (uint64_t)MOST_SIDE, (uint64_t)height, (uint64_t)width);
    tensor = knl_tensor_at(net, index);
    wanted = knl_picture_bytes(net, index, recipe, height, width);
    plan(&it, &tensor, recipe, height, width, NULL);
    status = check(&it, &tensor, error);
    if (status)
        return status;
    if (!scratch || !wanted || bytes < wanted)
        return knl_say(error, KNL_ARENA, 0, "the picture needs %u bytes of scratch memory, not %u.",
                       it.bytes + ALIGN, (uint64_t)(scratch ? bytes : 0));
    plan(&it, &tensor, recipe, height, width, (uint8_t *)scratch + (off ? ALIGN - off : 0));
    it.pixels = pixels;
    fill_values(&it, &tensor);
    pad(&it, net, &tensor);
    if (recipe->interpolation == KNL_NEAREST)
        put_nearest(&it, net, &tensor);
    else
        put_resized(&it, net, &tensor);
    return KNL_OK;
}
