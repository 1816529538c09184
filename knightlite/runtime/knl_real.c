/* Real numbers into a network and out of it. */
#include "knl_real.h"
#include "knl_core.h"
#include "knl_float.h"

float knl_scale_of(const knl_tensor *tensor, uint64_t channel) {
    uint32_t bits = knl_u32(tensor->scale + (tensor->scales == 1 ? 0 : channel * KNL_SCALE_SIZE));
    float found;
    memcpy(&found, &bits, sizeof found);
    return found;
}

int32_t knl_quantize(float value, float scale, uint32_t type) {
    float ratio = value / scale;
    if (!(ratio > (float)knl_minimum(type)))
        return knl_minimum(type);
    if (ratio >= (float)knl_maximum(type))
        return knl_maximum(type);
    return (int32_t)knl_rint(ratio);
}

int knl_put_real(void *to, const knl_tensor *tensor, uint64_t channel, float value) {
    if (value != value)
        return KNL_ARGUMENT;
    knl_put_element(to, tensor->type,
                    knl_quantize(value, knl_scale_of(tensor, channel), tensor->type));
    return KNL_OK;
}

static int check(const knl_network *net, uint32_t index, size_t count, knl_error *error) {
    knl_tensor tensor;
    int status = knl_check_tensor(net, index, error);
    if (status)
        return status;
    tensor = knl_tensor_at(net, index);
    if (tensor.channels * tensor.height * tensor.width != count)
        return knl_say(error, KNL_ARGUMENT, index, "tensor %t has %u numbers, not %u.",
                       &tensor.name, tensor.channels * tensor.height * tensor.width,
                       (uint64_t)count);
    return KNL_OK;
}

int knl_write_real(knl_network *net, uint32_t index, const float *values, size_t count,
                   knl_error *error) {
    knl_tensor tensor;
    uint64_t c, row, column;
    size_t at;
    int status = check(net, index, count, error);
    if (!status)
        status = knl_check_writable(net, index, error);
    if (status)
        return status;
    tensor = knl_tensor_at(net, index);
    for (at = 0; at < count; at++)
        if (values[at] != values[at])
            return knl_say(error, KNL_ARGUMENT, at, "input %t must hold numbers, not NaN.",
                           &tensor.name);
    for (c = 0; c < tensor.channels; c++)
        for (row = 0; row < tensor.height; row++)
            for (column = 0; column < tensor.width; column++)
                knl_put_element(knl_pixel(net, &tensor, row, column) + c * knl_size(tensor.type),
                                tensor.type,
                                knl_quantize(*values++, knl_scale_of(&tensor, c), tensor.type));
    return KNL_OK;
}

static float read_one(const knl_network *net, const knl_tensor *tensor, uint64_t c, uint64_t row,
                      uint64_t column) {
    unsigned size = knl_size(tensor->type), i;
    uint8_t bytes[2] = {0, 0};
    for (i = 0; i < size; i++)
        bytes[i] = knl_ddr_byte(net, tensor->address + row * tensor->row_stride +
                                         column * tensor->column_stride + c * size + i);
    return (float)knl_element(bytes, tensor->type) * knl_scale_of(tensor, c);
}

void knl_read_values(const knl_network *net, uint32_t index, uint8_t *values) {
    knl_tensor tensor = knl_tensor_at(net, index);
    uint64_t c, row, column;
    for (c = 0; c < tensor.channels; c++)
        for (row = 0; row < tensor.height; row++)
            for (column = 0; column < tensor.width; column++, values += 4) {
                float found = read_one(net, &tensor, c, row, column);
                uint32_t bits;
                memcpy(&bits, &found, sizeof bits);
                knl_put(values, bits, 4);
            }
}

void knl_write_values(knl_network *net, uint32_t index, const uint8_t *values) {
    knl_tensor tensor = knl_tensor_at(net, index);
    uint64_t c, row, column;
    for (c = 0; c < tensor.channels; c++)
        for (row = 0; row < tensor.height; row++)
            for (column = 0; column < tensor.width; column++, values += 4) {
                uint32_t bits = knl_u32(values);
                float given;
                memcpy(&given, &bits, sizeof given);
                knl_put_element(knl_pixel(net, &tensor, row, column) + c * knl_size(tensor.type),
                                tensor.type,
                                knl_quantize(given == given ? given : 0.0f,
                                             knl_scale_of(&tensor, c), tensor.type));
            }
}

int knl_read_real(const knl_network *net, uint32_t index, float *values, size_t count,
                  knl_error *error) {
    knl_tensor tensor;
    uint64_t c, row, column;
    int status = check(net, index, count, error);
    if (status)
        return status;
    tensor = knl_tensor_at(net, index);
    for (c = 0; c < tensor.channels; c++)
        for (row = 0; row < tensor.height; row++)
            for (column = 0; column < tensor.width; column++)
                *values++ = read_one(net, &tensor, c, row, column);
    return KNL_OK;
}
