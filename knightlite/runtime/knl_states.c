/* States that stay from one frame to the next: behind a frame an output becomes an input. */
#include "knl_core.h"

static const uint8_t *record(const knl_network *net, uint32_t index) {
    return net->states + (size_t)index * KNL_STATE_SIZE;
}

uint32_t knl_state_input(const knl_network *net, uint32_t index) {
    return knl_u32(record(net, index) + KNL_STATE_INPUT);
}

uint32_t knl_state_output(const knl_network *net, uint32_t index) {
    return knl_u32(record(net, index) + KNL_STATE_OUTPUT);
}

static int meet(const knl_tensor *one, const knl_tensor *other) {
    return one->address < knl_tensor_end(other) && other->address < knl_tensor_end(one);
}

/* That the copy behind a frame takes no bytes that are given, or still read. */
static int check_place(const knl_network *net, uint32_t index, const knl_tensor *input,
                       knl_error *error) {
    uint32_t all = net->input_count + net->output_count + 2 * net->state_count, at;
    for (at = 0; at < all; at++) {
        uint32_t places = net->input_count + net->output_count, which;
        knl_tensor other;
        if (at < places)
            which = knl_u32(net->places + (size_t)at * KNL_PLACE_SIZE);
        else if (at - places < net->state_count)
            which = knl_state_output(net, at - places);
        else if (at - places - net->state_count != index)
            which = knl_state_input(net, at - places - net->state_count);
        else
            continue;
        other = knl_tensor_at(net, which);
        if (meet(input, &other))
            return knl_say(error, KNL_DAMAGED, 0, "state %t lies inside tensor %t.", &input->name,
                           &other.name);
    }
    return KNL_OK;
}

static int check_state(const knl_network *net, uint32_t index, knl_error *error) {
    uint64_t initial = knl_u32(record(net, index) + KNL_STATE_INITIAL_BYTES);
    knl_tensor input = knl_tensor_at(net, knl_state_input(net, index));
    knl_tensor output = knl_tensor_at(net, knl_state_output(net, index));
    uint64_t pixel = input.channels * knl_size(input.type);
    if (input.type != output.type || input.channels != output.channels ||
        input.height != output.height || input.width != output.width)
        return knl_say(error, KNL_DAMAGED, 0,
                       "the .cfg is damaged: state %t must be like its output %t.", &input.name,
                       &output.name);
    if (initial && (initial != pixel || input.height != 1 || input.width != 1))
        return knl_say(error, KNL_DAMAGED, 0,
                       "the .cfg is damaged: state %t begins with %u bytes, not with %u.",
                       &input.name, initial, pixel);
    if (input.ready != -1)
        return knl_say(error, KNL_DAMAGED, 0,
                       "the .cfg is damaged: ready of state %t must be -1, not %d.", &input.name,
                       input.ready);
    if (input.address < net->constants_bytes || output.address < net->constants_bytes)
        return knl_say(error, KNL_DAMAGED, 0,
                       "the .cfg is damaged: state %t or its output lies inside the constants.",
                       &input.name);
    return check_place(net, index, &input, error);
}

int knl_check_states(const knl_network *net, knl_error *error) {
    uint32_t at;
    int status = KNL_OK;
    for (at = 0; at < net->state_count; at++)
        if (knl_state_input(net, at) >= net->tensor_count ||
            knl_state_output(net, at) >= net->tensor_count)
            return knl_say(error, KNL_DAMAGED, 0,
                           "the .cfg is damaged: a state must be of two of %u tensors.",
                           (uint64_t)net->tensor_count);
    for (at = 0; at < net->state_count && !status; at++)
        status = check_state(net, at, error);
    return status;
}

void knl_reset(knl_network *net) {
    uint32_t at;
    uint64_t row, column;
    for (at = 0; at < net->state_count; at++) {
        knl_tensor input = knl_tensor_at(net, knl_state_input(net, at));
        size_t pixel = (size_t)(input.channels * knl_size(input.type));
        size_t initial = knl_u32(record(net, at) + KNL_STATE_INITIAL_BYTES);
        const uint8_t *from = net->texts + knl_u32(record(net, at) + KNL_STATE_INITIAL_OFFSET);
        for (row = 0; row < input.height; row++)
            for (column = 0; column < input.width; column++)
                memset(knl_pixel(net, &input, row, column), 0, pixel);
        if (initial)
            memcpy(knl_pixel(net, &input, 0, 0), from, initial);
    }
}

void knl_keep_states(knl_network *net) {
    uint32_t at;
    uint64_t row, column;
    for (at = 0; at < net->state_count; at++) {
        knl_tensor input = knl_tensor_at(net, knl_state_input(net, at));
        knl_tensor output = knl_tensor_at(net, knl_state_output(net, at));
        size_t pixel = (size_t)(input.channels * knl_size(input.type));
        for (row = 0; row < input.height; row++)
            for (column = 0; column < input.width; column++)
                memcpy(knl_pixel(net, &input, row, column), knl_pixel(net, &output, row, column),
                       pixel);
    }
}
