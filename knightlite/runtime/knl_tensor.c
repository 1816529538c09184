/* Tensors of a network: what the plan says of them, and their integers. */
#include "knl_core.h"

size_t knl_network_bytes(void) {
    return sizeof(knl_network);
}

uint32_t knl_inputs(const knl_network *net) {
    return net->input_count;
}

uint32_t knl_outputs(const knl_network *net) {
    return net->output_count;
}

uint32_t knl_tensors(const knl_network *net) {
    return net->tensor_count;
}

uint32_t knl_input(const knl_network *net, uint32_t index) {
    return knl_u32(net->places + (size_t)index * KNL_PLACE_SIZE);
}

uint32_t knl_output(const knl_network *net, uint32_t index) {
    return knl_u32(net->places + ((size_t)net->input_count + index) * KNL_PLACE_SIZE);
}

knl_tensor knl_tensor_at(const knl_network *net, uint32_t index) {
    const uint8_t *at = net->tensors + (size_t)index * KNL_TENSOR_SIZE;
    knl_tensor found;
    found.name.bytes = (const char *)net->texts + knl_u32(at + KNL_TENSOR_NAME_OFFSET);
    found.name.length = knl_u32(at + KNL_TENSOR_NAME_BYTES);
    found.type = knl_u32(at + KNL_TENSOR_TYPE);
    found.scales = knl_u32(at + KNL_TENSOR_SCALES);
    found.scale = net->scales + (size_t)knl_u32(at + KNL_TENSOR_SCALE_INDEX) * KNL_SCALE_SIZE;
    found.channels = knl_u64(at + KNL_TENSOR_CHANNELS);
    found.height = knl_u64(at + KNL_TENSOR_HEIGHT);
    found.width = knl_u64(at + KNL_TENSOR_WIDTH);
    found.address = knl_u64(at + KNL_TENSOR_ADDRESS);
    found.row_stride = knl_u64(at + KNL_TENSOR_ROW_STRIDE);
    found.column_stride = knl_u64(at + KNL_TENSOR_COLUMN_STRIDE);
    found.first = knl_s64(at + KNL_TENSOR_FIRST);
    found.ready = knl_s64(at + KNL_TENSOR_READY);
    return found;
}

uint64_t knl_tensor_bytes(const knl_tensor *tensor) {
    return tensor->channels * tensor->height * tensor->width * knl_size(tensor->type);
}

int knl_check_tensor(const knl_network *net, uint32_t index, knl_error *error) {
    if (index >= net->tensor_count)
        return knl_say(error, KNL_ARGUMENT, index, "the network has %u tensors, not number %u.",
                       (uint64_t)net->tensor_count, (uint64_t)index);
    if (!net->ddr)
        return knl_say(error, KNL_ARENA, 0, "the network has no arena yet.");
    return KNL_OK;
}

int knl_check_writable(const knl_network *net, uint32_t index, knl_error *error) {
    knl_tensor tensor = knl_tensor_at(net, index);
    if (tensor.address < net->constants_bytes)
        return knl_say(error, KNL_ARGUMENT, index, "tensor %t lies inside the constants.",
                       &tensor.name);
    return KNL_OK;
}

uint8_t *knl_pixel(knl_network *net, const knl_tensor *tensor, uint64_t row, uint64_t column) {
    return knl_ddr_at(net, tensor->address) + row * tensor->row_stride +
           column * tensor->column_stride;
}

static int check(const knl_network *net, uint32_t index, size_t bytes, knl_error *error) {
    knl_tensor tensor;
    int status = knl_check_tensor(net, index, error);
    if (status)
        return status;
    tensor = knl_tensor_at(net, index);
    if (knl_tensor_bytes(&tensor) != bytes)
        return knl_say(error, KNL_ARGUMENT, index, "tensor %t has %u bytes, not %u.",
                       &tensor.name, knl_tensor_bytes(&tensor), (uint64_t)bytes);
    return KNL_OK;
}

int knl_write(knl_network *net, uint32_t index, const void *values, size_t bytes,
              knl_error *error) {
    const uint8_t *from = values;
    knl_tensor tensor;
    uint64_t c, row, column;
    unsigned size;
    int status = check(net, index, bytes, error);
    if (!status)
        status = knl_check_writable(net, index, error);
    if (status)
        return status;
    tensor = knl_tensor_at(net, index);
    size = knl_size(tensor.type);
    for (c = 0; c < tensor.channels; c++)
        for (row = 0; row < tensor.height; row++) {
            uint8_t *to = knl_pixel(net, &tensor, row, 0) + c * size;
            for (column = 0; column < tensor.width; column++, from += size) {
                to[0] = from[0];
                if (size == 2)
                    to[1] = from[1];
                to += tensor.column_stride;
            }
        }
    return KNL_OK;
}

int knl_read(const knl_network *net, uint32_t index, void *values, size_t bytes,
             knl_error *error) {
    uint8_t *to = values;
    knl_tensor tensor;
    uint64_t c, row, column;
    unsigned size, i;
    int status = check(net, index, bytes, error);
    if (status)
        return status;
    tensor = knl_tensor_at(net, index);
    size = knl_size(tensor.type);
    for (c = 0; c < tensor.channels; c++)
        for (row = 0; row < tensor.height; row++) {
            uint64_t at = tensor.address + row * tensor.row_stride + c * size;
            if (at >= net->constants_bytes) {
                const uint8_t *from = knl_ddr_at(net, at);
                for (column = 0; column < tensor.width; column++, to += size) {
                    to[0] = from[0];
                    if (size == 2)
                        to[1] = from[1];
                    from += tensor.column_stride;
                }
                continue;
            }
            for (column = 0; column < tensor.width; column++, at += tensor.column_stride)
                for (i = 0; i < size; i++)
                    *to++ = knl_ddr_byte(net, at + i);
        }
    return KNL_OK;
}
