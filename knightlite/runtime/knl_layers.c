/* General layers: what the host computes between two segments of the chip. */
#include "knl_values.h"

static const knl_handler *handler_of(const knl_network *net, const knl_text *op,
                                     uint32_t layer_type) {
    const knl_handler *all = net->handlers;
    uint32_t at;
    for (at = 0; at < net->handler_count; at++)
        if (op ? all[at].op && knl_is(op, all[at].op)
               : !all[at].op && layer_type && all[at].layer_type == layer_type)
            return &all[at];
    return NULL;
}

static knl_layer layer_at(const knl_network *net, uint32_t index) {
    const uint8_t *at = net->general + (size_t)index * KNL_GENERAL_SIZE;
    knl_layer found;
    found.name.bytes = (const char *)net->texts + knl_u32(at + KNL_GENERAL_NAME_OFFSET);
    found.name.length = knl_u32(at + KNL_GENERAL_NAME_BYTES);
    found.at = knl_u64(at + KNL_GENERAL_AT);
    found.output = knl_u32(at + KNL_GENERAL_OUTPUT);
    found.reads = knl_u32(at + KNL_GENERAL_READS);
    found.first_read = knl_u32(at + KNL_GENERAL_FIRST_READ);
    found.layer_type = knl_u32(at + KNL_GENERAL_LAYER_TYPE);
    found.first_operator = knl_u32(at + KNL_GENERAL_FIRST_OPERATOR);
    found.operators = knl_u32(at + KNL_GENERAL_OPERATORS);
    found.result = knl_u32(at + KNL_GENERAL_RESULT);
    return found;
}

static knl_step step_at(const knl_network *net, const knl_layer *layer, uint32_t index,
                        uint8_t *memory) {
    knl_step found;
    found.net = net;
    found.layer = layer;
    found.op = knl_host_operator_at(net, layer->first_operator + index);
    found.memory = memory;
    return found;
}

/* ---- what a layer says */

static uint32_t read_at(const knl_network *net, const knl_layer *layer, uint32_t index) {
    uint64_t place = (uint64_t)net->input_count + net->output_count + layer->first_read + index;
    return knl_u32(net->places + (size_t)place * KNL_PLACE_SIZE);
}

/* Operands are values that are there, results the next ones. */
static int check_numbers(const knl_network *net, const knl_layer *layer, knl_error *error) {
    uint64_t count = layer->reads;
    uint32_t which, at;
    for (which = 0; which < layer->operators; which++) {
        knl_host_operator op = knl_host_operator_at(net, layer->first_operator + which);
        for (at = 0; at < op.inputs + op.outputs; at++) {
            uint32_t value = knl_host_operand_at(net, op.first_operand + at).value;
            if (at < op.inputs ? value != UINT32_MAX && value >= count : value != count++)
                return knl_say(error, KNL_DAMAGED, 0,
                               "the .cfg is damaged: host operator %t of %t reads or makes value "
                               "%u, and there are %u.",
                               &op.name, &layer->name, (uint64_t)value, count);
        }
    }
    if (layer->result >= count)
        return knl_say(error, KNL_DAMAGED, 0,
                       "the .cfg is damaged: general layer %t writes value %u, and there are %u.",
                       &layer->name, (uint64_t)layer->result, count);
    return KNL_OK;
}

static int check_tensors(const knl_network *net, const knl_layer *layer, knl_error *error) {
    knl_tensor made = knl_tensor_at(net, layer->output);
    uint32_t at;
    int is_read = 0;
    for (at = 0; at < net->input_count; at++)
        is_read |= knl_input(net, at) == layer->output;
    for (at = 0; at < net->state_count; at++)
        is_read |= knl_state_input(net, at) == layer->output;
    for (at = 0; at < layer->reads; at++)
        is_read |= read_at(net, layer, at) == layer->output;
    if (is_read || made.ready != (int64_t)layer->at - 1)
        return knl_say(error, KNL_DAMAGED, 0,
                       "the .cfg is damaged: general layer %t before instruction %u must write no "
                       "input and nothing that it reads, nor %t, which is ready after %d.",
                       &layer->name, layer->at, &made.name, made.ready);
    if (made.address < net->constants_bytes)
        return knl_say(error, KNL_DAMAGED, layer->at,
                       "general layer %t writes to DDR %x, inside the constants.", &layer->name,
                       made.address);
    if (knl_is_given(net, made.address))
        return knl_say(error, KNL_DAMAGED, layer->at,
                       "general layer %t writes to DDR %x, inside the inputs' own memory.",
                       &layer->name, made.address);
    return KNL_OK;
}

int knl_check_general(const knl_network *net, knl_error *error) {
    uint64_t operators = net->host_operators, before = 0;
    uint64_t index, at;
    knl_layer behind; /* the chip: its outputs, then what its caller computes */
    int found;
    memset(&behind, 0, sizeof behind);
    behind.name = net->name;
    behind.reads = net->output_count;
    behind.operators = net->host_operators;
    found = check_numbers(net, &behind, error);
    if (found)
        return found;
    for (index = 0; index < net->general_count; index++) {
        knl_layer layer = layer_at(net, (uint32_t)index);
        int status;
        if (layer.at > net->instructions)
            return knl_say(error, KNL_DAMAGED, layer.at,
                           "general layer %t must run before one of %u instructions or behind the "
                           "last, not before number %u.",
                           &layer.name, (uint64_t)net->instructions, layer.at);
        if ((uint64_t)layer.first_read + layer.reads > net->general_reads ||
            layer.first_operator != operators || !layer.reads || !layer.operators ||
            layer.output >= net->tensor_count || layer.at < before)
            return knl_say(error, KNL_DAMAGED, 0,
                           "the .cfg is damaged: general layer %t begins with operator %u of %u, "
                           "reads to %u of %u, and runs before instruction %u.",
                           &layer.name, (uint64_t)layer.first_operator, operators,
                           (uint64_t)layer.first_read + layer.reads, (uint64_t)net->general_reads,
                           layer.at);
        operators += layer.operators;
        for (at = 0; at < layer.reads; at++)
            if (read_at(net, &layer, (uint32_t)at) >= net->tensor_count)
                return knl_say(error, KNL_DAMAGED, 0,
                               "the .cfg is damaged: general layer %t reads tensor %u of %u.",
                               &layer.name, (uint64_t)read_at(net, &layer, (uint32_t)at),
                               (uint64_t)net->tensor_count);
        before = layer.at;
        status = check_numbers(net, &layer, error);
        if (!status)
            status = check_tensors(net, &layer, error);
        if (status)
            return status;
    }
    return KNL_OK;
}

/* ---- what is needed */

/* Of a handler's call: its operands, and its constants once more, which the file has anywhere. */
static uint64_t call_bytes(const knl_step *step) {
    uint64_t found = ((uint64_t)step->op.inputs + step->op.outputs) * sizeof(knl_value);
    uint32_t at;
    for (at = 0; at < step->op.inputs; at++) {
        knl_host_operand operand = knl_host_operand_at(step->net, step->op.first_operand + at);
        if (operand.is_constant)
            found += ((uint64_t)operand.data.length + 31) / 16 * 16;
    }
    return found + 16;
}

static int refused(const knl_layer *layer, const knl_step *step, int why, knl_error *error) {
    if (why == KNL_UNFIT)
        return knl_say(error, KNL_DAMAGED, 0,
                       "host operator %t (%t) does not fit what it reads.", &step->op.name,
                       &step->op.op);
    return knl_say(error, KNL_HOST, 0,
                   "general layer %t has %s%t (%t), which the runtime in C does not compute: "
                   "register a handler of it.",
                   &layer->name, why == KNL_STRANGE ? "a form of " : "", &step->op.op,
                   &step->op.name);
}

/* Whether a name is among others, which are apart by spaces. */
static int is_among(const knl_text *name, const char *others) {
    uint32_t at;
    while (*others) {
        for (at = 0; at < name->length && others[at] && others[at] == name->bytes[at]; at++)
            ;
        if (at == name->length && (!others[at] || others[at] == ' '))
            return 1;
        while (*others && *others++ != ' ')
            ;
    }
    return 0;
}

/* Whether an operator could be computed here. */
static int try_operator(const knl_step *step) {
    const knl_known *known = knl_known_operation(&step->op.op);
    uint32_t at;
    if (!known)
        return KNL_STRANGE + 1;
    if (known->inputs && step->op.inputs > known->inputs)
        return KNL_UNFIT;
    for (at = 0; at < step->op.attributes; at++) {
        knl_text name = knl_host_attribute_at(step->net, step->op.first_attribute + at).name;
        if (!is_among(&name, known->attributes))
            return KNL_UNFIT;
    }
    return known->operation(step, known->kind);
}

/* Whether each operator can be computed; the most bytes that a handler's call needs. */
static int check_operators(const knl_network *net, const knl_layer *layer, uint64_t *most,
                           knl_error *error) {
    uint32_t at;
    for (at = 0; at < layer->operators; at++) {
        knl_step step = step_at(net, layer, at, NULL);
        int status;
        if (handler_of(net, &step.op.op, 0)) {
            uint64_t bytes = call_bytes(&step);
            *most = bytes > *most ? bytes : *most;
            continue;
        }
        status = try_operator(&step);
        if (status)
            return refused(layer, &step, status, error);
    }
    return KNL_OK;
}

static int measure(knl_network *net, const knl_layer *layer, knl_error *error) {
    uint64_t bytes = knl_values_bytes(net, layer), most = 0;
    knl_tensor tensor = knl_tensor_at(net, layer->output);
    knl_value made = knl_numbered(net, layer, layer->result, NULL);
    if (bytes == UINT64_MAX)
        return knl_say(error, KNL_HOST, 0,
                       "general layer %t makes values of which the .cfg says no size, or one "
                       "beyond %u elements.",
                       &layer->name, UINT64_C(1) << 28);
    if (handler_of(net, NULL, layer->layer_type)) {
        most = ((uint64_t)layer->reads + 1) * sizeof(knl_value) + 16;
    } else {
        int status = check_operators(net, layer, &most, error);
        if (status)
            return status;
    }
    if (made.type != KNL_FLOAT32 || made.axes != 4 || made.sizes[0] != 1 ||
        made.sizes[1] != tensor.channels || made.sizes[2] != tensor.height ||
        made.sizes[3] != tensor.width)
        return knl_say(error, KNL_DAMAGED, 0,
                       "general layer %t must make float32 of the shape of %t.", &layer->name,
                       &tensor.name);
    if (bytes + most > net->layer_bytes)
        net->layer_bytes = bytes + most;
    return KNL_OK;
}

int knl_measure_layers(knl_network *net, knl_error *error) {
    uint32_t at;
    int status = KNL_OK;
    net->layer_bytes = 0;
    for (at = 0; at < net->general_count && !status; at++) {
        knl_layer layer = layer_at(net, at);
        status = measure(net, &layer, error);
    }
    net->is_measured = !status;
    return status;
}

int knl_handle(knl_network *net, const knl_handler *handlers, uint32_t count, knl_error *error) {
    net->handlers = handlers;
    net->handler_count = count;
    return knl_measure_layers(net, error);
}

/* ---- running */

/* A handler's operands lie behind the layer's values. */
static int call(const knl_step *step, const knl_handler *handler, uint32_t inputs,
                uint32_t outputs, uint32_t number) {
    knl_value *values =
        (knl_value *)(void *)(step->memory + knl_values_bytes(step->net, step->layer));
    uint8_t *copies = (uint8_t *)(values + inputs + outputs);
    uint32_t at;
    knl_call told;
    copies += (16 - (uintptr_t)copies % 16) % 16;
    for (at = 0; at < inputs + outputs; at++) {
        if (number == UINT32_MAX) {
            values[at] = knl_numbered(step->net, step->layer,
                                      at < inputs ? at : step->layer->result, step->memory);
            continue;
        }
        values[at] = at < inputs ? knl_input_of(step, at) : knl_output_of(step, at - inputs);
        if (at < inputs &&
            knl_host_operand_at(step->net, step->op.first_operand + at).is_constant) {
            size_t bytes = values[at].count * knl_value_bytes(values[at].type);
            memcpy(copies, values[at].data, bytes);
            values[at].data = copies;
            copies += (bytes + 15) / 16 * 16;
        }
    }
    told.net = step->net;
    told.number = number == UINT32_MAX ? step->layer->first_operator : number;
    told.input_count = inputs;
    told.output_count = outputs;
    told.inputs = values;
    told.outputs = values + inputs;
    return handler->compute(handler->context, &told);
}

static int compute(const knl_network *net, const knl_layer *layer, uint32_t *failed) {
    const knl_handler *whole = handler_of(net, NULL, layer->layer_type);
    uint32_t at;
    for (at = 0; at < layer->reads; at++) {
        uint32_t index = read_at(net, layer, at);
        knl_value to = knl_numbered(net, layer, at, net->layers_memory);
        knl_read_values(net, index, to.data);
    }
    *failed = layer->first_operator;
    if (whole) {
        knl_step step = step_at(net, layer, 0, net->layers_memory);
        return call(&step, whole, layer->reads, 1, UINT32_MAX) ? KNL_STRANGE : KNL_DONE;
    }
    for (at = 0; at < layer->operators; at++) {
        knl_step step = step_at(net, layer, at, net->layers_memory);
        const knl_handler *handler = handler_of(net, &step.op.op, 0);
        int status;
        *failed = layer->first_operator + at;
        if (handler) {
            status = call(&step, handler, step.op.inputs, step.op.outputs, *failed) ? KNL_STRANGE
                                                                                    : KNL_DONE;
        } else {
            const knl_known *known = knl_known_operation(&step.op.op);
            status = known->operation(&step, known->kind);
        }
        if (status)
            return status;
    }
    return KNL_DONE;
}

void knl_run_layers(knl_network *net) {
    while (net->next_layer < net->general_count) {
        knl_layer layer = layer_at(net, net->next_layer);
        uint32_t operation;
        int status;
        if (layer.at != net->next)
            return;
        net->next_layer++;
        status = compute(net, &layer, &operation);
        if (!status) {
            knl_value made = knl_numbered(net, &layer, layer.result, net->layers_memory);
            knl_write_values(net, layer.output, made.data);
        } else if (!net->failed_why) {
            net->failed = operation;
            net->failed_why = (uint32_t)status;
        }
    }
}

int knl_host_status(const knl_network *net, knl_error *error) {
    knl_host_operator op;
    if (!net->failed_why)
        return KNL_OK;
    op = knl_host_operator_at(net, net->failed);
    return knl_say(error, KNL_FRAME, net->failed,
                   net->failed_why == KNL_OUTSIDE
                       ? "host operator %t (%t) has an index outside of what it picks from."
                       : "the handler of host operator %t (%t) failed.",
                   &op.name, &op.op);
}

uint64_t knl_layer_place(const knl_network *net, uint32_t index) {
    return layer_at(net, index).at;
}

knl_text knl_layer_name(const knl_network *net, uint32_t index) {
    return layer_at(net, index).name;
}

uint32_t knl_layer_output(const knl_network *net, uint32_t index) {
    return layer_at(net, index).output;
}

uint32_t knl_layer_reads(const knl_network *net, uint32_t index) {
    return layer_at(net, index).reads;
}

uint32_t knl_layer_read(const knl_network *net, uint32_t index, uint32_t which) {
    knl_layer layer = layer_at(net, index);
    return read_at(net, &layer, which);
}
