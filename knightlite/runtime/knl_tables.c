/* The plan of a .cfg: memories, layers, tensors, texts. docs/formats.md */
#include "knl_core.h"
#include "knl_host.h"

static int take_text(const knl_network *net, const uint8_t *at, knl_text *text, knl_error *error) {
    uint64_t offset = knl_u32(at), length = knl_u32(at + 4);
    if (offset + length > net->text_bytes)
        return knl_say(error, KNL_DAMAGED, 0,
                       "the .cfg is damaged: a text of its plan ends at %u, beyond %u bytes.",
                       offset + length, (uint64_t)net->text_bytes);
    text->bytes = (const char *)net->texts + offset;
    text->length = (uint32_t)length;
    return KNL_OK;
}

/* Operators of all general layers; their records begin at a byte of the plan. */
static uint64_t count_operators(const knl_network *net, const uint8_t *head, uint64_t at,
                                size_t bytes) {
    uint64_t found = 0, index;
    if (at + (uint64_t)KNL_GENERAL_SIZE * net->general_count > bytes)
        return 0;
    for (index = 0; index < net->general_count; index++)
        found += knl_u32(head + at + index * KNL_GENERAL_SIZE + KNL_GENERAL_OPERATORS);
    return found;
}

/* Records of the plan: where they lie, and that they are all there. */
static int find_records(knl_network *net, const uint8_t *head, size_t bytes, knl_error *error) {
    uint64_t scales = knl_u32(head + KNL_HEAD_SCALES), at = KNL_HEAD_SIZE;
    uint64_t host, operands, attributes, results, states, numbers, general;
    net->layer_count = knl_u32(head + KNL_HEAD_LAYERS);
    net->tensor_count = knl_u32(head + KNL_HEAD_TENSORS);
    net->input_count = knl_u32(head + KNL_HEAD_INPUTS);
    net->output_count = knl_u32(head + KNL_HEAD_OUTPUTS);
    net->host_operators = knl_u32(head + KNL_HEAD_HOST_OPERATORS);
    net->general_count = knl_u32(head + KNL_HEAD_GENERAL_LAYERS);
    net->general_reads = knl_u32(head + KNL_HEAD_GENERAL_READS);
    at += (uint64_t)KNL_LAYER_SIZE * net->layer_count;
    at += (uint64_t)KNL_TENSOR_SIZE * net->tensor_count;
    general = count_operators(net, head, at, bytes);
    at += (uint64_t)KNL_GENERAL_SIZE * net->general_count;
    at += KNL_PLACE_SIZE * ((uint64_t)net->input_count + net->output_count + net->general_reads);
    at += KNL_SCALE_SIZE * scales;
    host = at;
    net->host_operands = knl_u32(head + KNL_HEAD_HOST_OPERANDS);
    net->host_attributes = knl_u32(head + KNL_HEAD_HOST_ATTRIBUTES);
    net->result_count = knl_u32(head + KNL_HEAD_RESULTS);
    at += KNL_HOST_OPERATOR_SIZE * (net->host_operators + general);
    operands = at;
    at += (uint64_t)KNL_HOST_OPERAND_SIZE * net->host_operands;
    attributes = at;
    at += (uint64_t)KNL_HOST_ATTRIBUTE_SIZE * net->host_attributes;
    results = at;
    at += (uint64_t)KNL_RESULT_SIZE * net->result_count;
    net->state_count = knl_u32(head + KNL_HEAD_STATES);
    states = at;
    at += (uint64_t)KNL_STATE_SIZE * net->state_count;
    numbers = at;
    at += (uint64_t)KNL_NUMBER_SIZE * knl_u32(head + KNL_HEAD_NUMBERS);
    if (at > bytes)
        return knl_say(error, KNL_DAMAGED, 0,
                       "the .cfg is damaged: its plan has %u bytes, but its records end at %u.",
                       (uint64_t)bytes, at);
    net->general_operators = (uint32_t)general; /* at most as many as there are bytes */
    net->layers = head + KNL_HEAD_SIZE;
    net->tensors = net->layers + (size_t)net->layer_count * KNL_LAYER_SIZE;
    net->general = net->tensors + (size_t)net->tensor_count * KNL_TENSOR_SIZE;
    net->places = net->general + (size_t)net->general_count * KNL_GENERAL_SIZE;
    net->scales = head + host - KNL_SCALE_SIZE * scales;
    net->host = head + host;
    net->operands = head + operands;
    net->attributes = head + attributes;
    net->results = head + results;
    net->states = head + states;
    net->numbers = head + numbers;
    net->texts = head + at;
    net->text_bytes = (size_t)(bytes - at);
    return KNL_OK;
}

/* The memories: instructions address no more, and nothing is divided by 0. */
static int check_memories(const knl_network *net, const uint8_t *head, knl_error *error) {
    uint64_t chip_ddr = knl_u64(head + KNL_HEAD_CHIP_DDR_BYTES);
    if (net->fspm_bytes > 1u << 24 || net->wspm_bytes > 1u << 24 || net->mspm_bytes > 1u << 20 ||
        !net->wspm_align_bytes)
        return knl_say(error, KNL_DAMAGED, KNL_HEAD_FSPM_BYTES,
                       "the .cfg is damaged: no chip has %u, %u and %u bytes of FSPM, WSPM, MSPM, "
                       "and weights at multiples of %u.",
                       net->fspm_bytes, net->wspm_bytes, net->mspm_bytes, net->wspm_align_bytes);
    if (net->constants_bytes > net->ddr_bytes || net->ddr_bytes > chip_ddr ||
        net->ddr_bytes > UINT64_C(1) << 40)
        return knl_say(error, KNL_DAMAGED, KNL_HEAD_DDR_BYTES,
                       "the .cfg asks for %u bytes of DDR, with %u bytes of constants and %u bytes "
                       "on the chip.",
                       net->ddr_bytes, net->constants_bytes, chip_ddr);
    return KNL_OK;
}

/* What lies outside: behind the network's own memory, the inputs before the outputs. */
static int read_outside(knl_network *net, const uint8_t *head, knl_error *error) {
    static const unsigned address[KNL_SIDES] = {KNL_HEAD_INPUTS_ADDRESS, KNL_HEAD_OUTPUTS_ADDRESS};
    static const unsigned size[KNL_SIDES] = {KNL_HEAD_INPUTS_SIZE, KNL_HEAD_OUTPUTS_SIZE};
    uint64_t least = net->constants_bytes;
    unsigned side;
    net->own_end = net->ddr_bytes;
    for (side = 0; side < KNL_SIDES; side++) {
        uint64_t first = knl_u64(head + address[side]), bytes = knl_u64(head + size[side]);
        if (!bytes && !first)
            continue;
        if (!bytes || first < least || first > net->ddr_bytes || bytes > net->ddr_bytes - first)
            return knl_say(error, KNL_DAMAGED, address[side],
                           "the .cfg is damaged: %u bytes at DDR %x outside the network's memory "
                           "must lie between %x and %x.",
                           bytes, first, least, net->ddr_bytes);
        net->outside_first[side] = first;
        net->outside_size[side] = bytes;
        net->own_end = net->own_end < first ? net->own_end : first;
        least = first + bytes;
    }
    return KNL_OK;
}

/* What stays on the chip, behind whose loads frames begin. */
static int read_once(knl_network *net, const uint8_t *head, knl_error *error) {
    uint64_t once = knl_u64(head + KNL_HEAD_ONCE);
    uint64_t *first = net->kept_first, *bytes = net->kept_bytes;
    first[KNL_SPACE_WSPM] = knl_u64(head + KNL_HEAD_KEPT_WSPM_ADDRESS);
    bytes[KNL_SPACE_WSPM] = knl_u64(head + KNL_HEAD_KEPT_WSPM_BYTES);
    first[KNL_SPACE_MSPM] = knl_u64(head + KNL_HEAD_KEPT_MSPM_ADDRESS);
    bytes[KNL_SPACE_MSPM] = knl_u64(head + KNL_HEAD_KEPT_MSPM_BYTES);
    if (once > UINT32_MAX || first[KNL_SPACE_WSPM] > net->wspm_bytes ||
        bytes[KNL_SPACE_WSPM] > net->wspm_bytes - first[KNL_SPACE_WSPM] ||
        first[KNL_SPACE_MSPM] > net->mspm_bytes ||
        bytes[KNL_SPACE_MSPM] > net->mspm_bytes - first[KNL_SPACE_MSPM])
        return knl_say(error, KNL_DAMAGED, KNL_HEAD_ONCE,
                       "the .cfg is damaged: %u bytes of WSPM and %u of MSPM cannot be kept.",
                       bytes[KNL_SPACE_WSPM], bytes[KNL_SPACE_MSPM]);
    net->once = (uint32_t)once;
    return KNL_OK;
}

int knl_read_plan(knl_network *net, const uint8_t *head, size_t bytes, knl_error *error) {
    int status;
    net->constants_bytes = knl_u64(head + KNL_HEAD_CONSTANTS_BYTES);
    net->ddr_bytes = knl_u64(head + KNL_HEAD_DDR_BYTES);
    net->fspm_bytes = knl_u64(head + KNL_HEAD_FSPM_BYTES);
    net->wspm_bytes = knl_u64(head + KNL_HEAD_WSPM_BYTES);
    net->mspm_bytes = knl_u64(head + KNL_HEAD_MSPM_BYTES);
    net->wspm_align_bytes = knl_u64(head + KNL_HEAD_WSPM_ALIGN_BYTES);
    net->chip_digest = head + KNL_HEAD_CHIP_DIGEST;
    status = check_memories(net, head, error);
    if (!status)
        status = read_outside(net, head, error);
    if (!status)
        status = read_once(net, head, error);
    return status ? status : find_records(net, head, bytes, error);
}

static int bad_tensor(const knl_tensor *tensor, const char *key, const char *wanted, uint64_t least,
                      knl_error *error) {
    return knl_say(error, KNL_DAMAGED, 0, "the .cfg is damaged: %s of tensor %t must be %s %u.",
                   key, &tensor->name, wanted, least);
}

static int check_stride(const knl_tensor *tensor, const char *key, uint64_t stride, uint64_t turns,
                        uint64_t *reach, knl_error *error) {
    if (turns > 1 && stride < *reach)
        return bad_tensor(tensor, key, "at least", *reach, error);
    *reach += (turns - 1) * stride;
    return KNL_OK;
}

/* Whether a product is larger than `most`, which is at most 2^40. */
static int is_beyond(uint64_t count, uint64_t stride, uint64_t most) {
    return stride && count > most / stride;
}

static int check_tensor(const knl_network *net, uint32_t index, uint64_t scales,
                        knl_error *error) {
    const uint8_t *at = net->tensors + (size_t)index * KNL_TENSOR_SIZE;
    knl_tensor tensor;
    knl_text name;
    uint64_t most = net->ddr_bytes, reach, pixel, scale = knl_u32(at + KNL_TENSOR_SCALE_INDEX);
    int status = take_text(net, at + KNL_TENSOR_NAME_OFFSET, &name, error);
    if (status)
        return status;
    tensor = knl_tensor_at(net, index);
    if (tensor.type >= KNL_TYPES)
        return bad_tensor(&tensor, "type", "below", KNL_TYPES, error);
    if (!tensor.channels || !tensor.height || !tensor.width || tensor.channels > most ||
        tensor.height > most || tensor.width > most)
        return bad_tensor(&tensor, "shape", "of sizes from 1 to", most, error);
    if (tensor.address > most || tensor.row_stride > most || tensor.column_stride > most)
        return bad_tensor(&tensor, "address and strides", "at most", most, error);
    if ((tensor.scales != 1 && tensor.scales != tensor.channels) || scale + tensor.scales > scales)
        return bad_tensor(&tensor, "number of scales", "1, or one per channel, of", scales, error);
    if (tensor.first < -1 || tensor.first > tensor.ready ||
        (tensor.first < 0) != (tensor.ready < 0))
        return knl_say(error, KNL_DAMAGED, 0,
                       "the .cfg is damaged: tensor %t is its own from %d on and ready after %d.",
                       &name, tensor.first, tensor.ready);
    if (tensor.ready >= (int64_t)net->instructions)
        return knl_say(error, KNL_DAMAGED, 0,
                       "tensor %t must be ready after one of %u instructions, not after number %d.",
                       &name, (uint64_t)net->instructions, tensor.ready);
    reach = pixel = tensor.channels * knl_size(tensor.type);
    if (pixel > most || is_beyond(tensor.width - 1, tensor.column_stride, most) ||
        is_beyond(tensor.height - 1, tensor.row_stride, most))
        return bad_tensor(&tensor, "reach", "at most", most, error);
    if (tensor.column_stride <= tensor.row_stride) {
        status = check_stride(&tensor, "column_stride", tensor.column_stride, tensor.width, &reach,
                              error);
        if (!status)
            status = check_stride(&tensor, "row_stride", tensor.row_stride, tensor.height, &reach,
                                  error);
    } else { /* transposed */
        status = check_stride(&tensor, "row_stride", tensor.row_stride, tensor.height, &reach,
                              error);
        if (!status)
            status = check_stride(&tensor, "column_stride", tensor.column_stride, tensor.width,
                                  &reach, error);
    }
    if (!status && tensor.address + reach > most)
        return knl_say(error, KNL_DAMAGED, 0, "tensor %t ends at DDR %x, beyond %u bytes.", &name,
                       tensor.address + reach, most);
    if (!status && knl_crosses(net, tensor.address, tensor.address + reach))
        return knl_say(error, KNL_DAMAGED, 0,
                       "the .cfg is damaged: tensor %t must lie in one memory, the network's or "
                       "that of its inputs or outputs, not at DDR %x.",
                       &name, tensor.address);
    if (!status && tensor.first >= 0 && knl_is_given(net, tensor.address))
        return knl_say(error, KNL_DAMAGED, 0,
                       "the .cfg is damaged: tensor %t must lie outside the inputs' own memory.",
                       &name);
    return status;
}

/* Inputs are there from the start, apart from one another and from the constants. */
static int check_inputs(const knl_network *net, knl_error *error) {
    uint32_t at, other;
    for (at = 0; at < net->input_count; at++) {
        knl_tensor one = knl_tensor_at(net, knl_input(net, at));
        if (one.ready != -1)
            return knl_say(error, KNL_DAMAGED, 0,
                           "the .cfg is damaged: ready of input %t must be -1, not %d.", &one.name,
                           one.ready);
        if (one.address < net->constants_bytes)
            return knl_say(error, KNL_DAMAGED, 0,
                           "input %t lies at DDR %x, inside the constants.", &one.name,
                           one.address);
        for (other = 0; other < at; other++) {
            knl_tensor two = knl_tensor_at(net, knl_input(net, other));
            if (one.address < knl_tensor_end(&two) && two.address < knl_tensor_end(&one))
                return knl_say(error, KNL_DAMAGED, 0, "input %t lies inside input %t.", &one.name,
                               &two.name);
        }
    }
    return KNL_OK;
}

/* All inputs lie outside where any does, and all outputs. */
static int check_sides(const knl_network *net, knl_error *error) {
    uint32_t places = net->input_count + net->output_count, at;
    for (at = 0; at < places; at++) {
        unsigned side = at < net->input_count ? KNL_INPUTS : KNL_OUTPUTS;
        knl_tensor tensor = knl_tensor_at(net, knl_input(net, at));
        if (net->outside_size[side] &&
            tensor.address - net->outside_first[side] >= net->outside_size[side])
            return knl_say(error, KNL_DAMAGED, 0,
                           "the .cfg is damaged: tensor %t must lie in the %s' own memory.",
                           &tensor.name, side == KNL_INPUTS ? "inputs" : "outputs");
    }
    return KNL_OK;
}

/* `count` of something from `first` on, of which there are `all`. */
static int check_range(const char *what, uint64_t first, uint64_t count, uint64_t all,
                       knl_error *error) {
    if (first + count > all)
        return knl_say(error, KNL_DAMAGED, 0,
                       "the .cfg is damaged: %s of what the host runs end at %u, and there are %u.",
                       what, first + count, all);
    return KNL_OK;
}

/* Bytes of a constant or a result; more than 2^32 where they are too many. */
static uint64_t constant_bytes(const knl_network *net, const uint8_t *at) {
    static const uint8_t sizes[KNL_ELEMENT_TYPES] = {1, 1, 2, 4, 8, 1, 2, 4, 8, 2, 4, 8};
    uint64_t bytes = sizes[knl_u32(at + KNL_HOST_OPERAND_TYPE)], axis;
    for (axis = 0; axis < knl_u32(at + KNL_HOST_OPERAND_AXES); axis++) {
        int64_t size = knl_host_number(net, knl_u32(at + KNL_HOST_OPERAND_FIRST_SIZE) + axis);
        if (size < 0 || size > (int64_t)UINT32_MAX || bytes > UINT32_MAX)
            return UINT64_MAX;
        bytes *= (uint64_t)size;
    }
    return bytes;
}

static int check_operand(const knl_network *net, const uint8_t *at, uint64_t numbers,
                         knl_error *error) {
    uint32_t type = knl_u32(at + KNL_HOST_OPERAND_TYPE), axes = knl_u32(at + KNL_HOST_OPERAND_AXES);
    knl_text text;
    int status = take_text(net, at + KNL_HOST_OPERAND_NAME_OFFSET, &text, error);
    if (status || type == UINT32_MAX)
        return status;
    status = take_text(net, at + KNL_HOST_OPERAND_DATA_OFFSET, &text, error);
    if (!status && (type >= KNL_ELEMENT_TYPES || axes > KNL_MOST_AXES))
        status = knl_say(error, KNL_DAMAGED, 0,
                         "the .cfg is damaged: an operand has type %u and %u axes.",
                         (uint64_t)type, (uint64_t)axes);
    if (!status)
        status = check_range("sizes", knl_u32(at + KNL_HOST_OPERAND_FIRST_SIZE), axes, numbers,
                             error);
    if (!status && knl_u32(at + KNL_HOST_OPERAND_VALUE) == UINT32_MAX &&
        constant_bytes(net, at) != text.length)
        status = knl_say(error, KNL_DAMAGED, 0,
                         "the .cfg is damaged: a constant has other bytes than its sizes say.");
    return status;
}

static int check_attribute(const knl_network *net, const uint8_t *at, uint64_t numbers,
                           knl_error *error) {
    uint64_t first = knl_u32(at + KNL_HOST_ATTRIBUTE_FIRST_NUMBER);
    uint64_t count = knl_u32(at + KNL_HOST_ATTRIBUTE_COUNT), item;
    uint32_t kind = knl_u32(at + KNL_HOST_ATTRIBUTE_KIND);
    knl_text text;
    int status = take_text(net, at + KNL_HOST_ATTRIBUTE_NAME_OFFSET, &text, error);
    if (!status)
        status = check_range("numbers", first, count, numbers, error);
    if (!status &&
        (kind > KNL_TEXTS || (!knl_u32(at + KNL_HOST_ATTRIBUTE_IS_LIST) && count != 1)))
        status = knl_say(error, KNL_DAMAGED, 0,
                         "the .cfg is damaged: attribute %t has kind %u and %u numbers.", &text,
                         (uint64_t)kind, count);
    for (item = 0; item < count && !status && kind == KNL_TEXTS; item++)
        status = take_text(net, net->numbers + (size_t)(first + item) * KNL_NUMBER_SIZE, &text,
                           error);
    return status;
}

static int check_operator(const knl_network *net, const uint8_t *at, knl_error *error) {
    uint64_t operands = (uint64_t)knl_u32(at + KNL_HOST_OPERATOR_INPUTS) +
                        knl_u32(at + KNL_HOST_OPERATOR_OUTPUTS);
    knl_text text;
    int status = take_text(net, at + KNL_HOST_OPERATOR_NAME_OFFSET, &text, error);
    if (!status)
        status = take_text(net, at + KNL_HOST_OPERATOR_OP_OFFSET, &text, error);
    if (!status)
        status = check_range("operands", knl_u32(at + KNL_HOST_OPERATOR_FIRST_OPERAND), operands,
                             net->host_operands, error);
    if (!status)
        status = check_range("attributes", knl_u32(at + KNL_HOST_OPERATOR_FIRST_ATTRIBUTE),
                             knl_u32(at + KNL_HOST_OPERATOR_ATTRIBUTES), net->host_attributes,
                             error);
    return status;
}

static int check_host(const knl_network *net, uint64_t numbers, knl_error *error) {
    knl_text text;
    uint64_t at;
    int status = KNL_OK;
    for (at = 0; at < (uint64_t)net->host_operators + net->general_operators && !status; at++)
        status = check_operator(net, net->host + at * KNL_HOST_OPERATOR_SIZE, error);
    for (at = 0; at < net->host_operands && !status; at++)
        status = check_operand(net, net->operands + at * KNL_HOST_OPERAND_SIZE, numbers, error);
    for (at = 0; at < net->host_attributes && !status; at++)
        status =
            check_attribute(net, net->attributes + at * KNL_HOST_ATTRIBUTE_SIZE, numbers, error);
    for (at = 0; at < net->result_count && !status; at++)
        status = take_text(net, net->results + at * KNL_RESULT_SIZE, &text, error);
    return status;
}

int knl_check_plan(knl_network *net, const uint8_t *head, knl_error *error) {
    uint64_t scales = knl_u32(head + KNL_HEAD_SCALES), places, at;
    knl_text name;
    int status = take_text(net, head + KNL_HEAD_NAME_OFFSET, &net->name, error);
    if (!status)
        status = take_text(net, head + KNL_HEAD_CHIP_OFFSET, &net->chip, error);
    if (!status)
        status = take_text(net, head + KNL_HEAD_RES_VERSION_OFFSET, &net->res_version, error);
    for (at = 0; at < net->layer_count && !status; at++)
        status = take_text(net, net->layers + at * KNL_LAYER_SIZE, &name, error);
    if (!status)
        status = check_host(net, knl_u32(head + KNL_HEAD_NUMBERS), error);
    if (!status)
        status = knl_scan(net, error);
    if (!status && net->once > net->instructions)
        status = knl_say(error, KNL_DAMAGED, KNL_HEAD_ONCE,
                         "%u instructions must run once, and the program has %u.",
                         (uint64_t)net->once, (uint64_t)net->instructions);
    for (at = 0; at < net->general_count && !status; at++)
        status = take_text(net, net->general + at * KNL_GENERAL_SIZE, &name, error);
    for (at = 0; at < net->tensor_count && !status; at++)
        status = check_tensor(net, (uint32_t)at, scales, error);
    places = (uint64_t)net->input_count + net->output_count;
    for (at = 0; at < places && !status; at++) {
        uint64_t which = knl_u32(net->places + at * KNL_PLACE_SIZE);
        if (which >= net->tensor_count)
            return knl_say(error, KNL_DAMAGED, 0,
                           "the .cfg is damaged: an input or output must be one of %u tensors, not "
                           "number %u.",
                           (uint64_t)net->tensor_count, which);
    }
    if (!status && (!net->input_count || !net->output_count))
        return knl_say(error, KNL_DAMAGED, 0, "the .cfg is damaged: it has no input or output.");
    if (!status)
        status = check_inputs(net, error);
    if (!status)
        status = check_sides(net, error);
    for (at = 0; at < net->state_count && !status; at++)
        status = take_text(net, net->states + at * KNL_STATE_SIZE + KNL_STATE_INITIAL_OFFSET,
                           &name, error);
    if (!status)
        status = knl_check_states(net, error);
    return status ? status : knl_check_general(net, error);
}

