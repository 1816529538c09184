/* Values of general layers: where they lie, what attributes say, how sizes go together. */
#include "knl_values.h"

enum { ALIGN = 16 };
static const uint64_t MOST_ELEMENTS = UINT64_C(1) << 28;

int knl_is(const knl_text *text, const char *name) {
    uint32_t at;
    for (at = 0; at < text->length; at++)
        if (!name[at] || name[at] != text->bytes[at])
            return 0;
    return !name[at];
}

size_t knl_value_bytes(uint32_t type) {
    static const uint8_t sizes[KNL_ELEMENT_TYPES] = {1, 1, 2, 4, 8, 1, 2, 4, 8, 2, 4, 8};
    return type < KNL_ELEMENT_TYPES ? sizes[type] : 0;
}

/* ---- values */

/* A value as its record has it: type UINT32_MAX where it is not known, or too large. */
static knl_value described(const knl_network *net, const knl_host_operand *operand) {
    knl_value found;
    uint64_t count = 1, turns = 1; /* over some of the axes, where another has none */
    uint32_t axis;
    memset(&found, 0, sizeof found);
    found.type = operand->type;
    if (operand->type >= KNL_ELEMENT_TYPES || operand->axes > KNL_MOST_DIMENSIONS) {
        found.type = UINT32_MAX;
        return found;
    }
    found.axes = operand->axes;
    for (axis = 0; axis < operand->axes; axis++) {
        int64_t size = knl_host_number(net, (uint64_t)operand->first_size + axis);
        if (size < 0 || (uint64_t)size > MOST_ELEMENTS ||
            (size && turns > MOST_ELEMENTS / (uint64_t)size)) {
            found.type = UINT32_MAX;
            return found;
        }
        turns *= size ? (uint64_t)size : 1;
        found.sizes[axis] = (size_t)size;
        count *= (uint64_t)size;
    }
    found.count = (size_t)count;
    return found;
}

/* A tensor that a layer reads, as real numbers. */
static knl_value of_tensor(const knl_network *net, const knl_layer *layer, uint32_t index) {
    uint64_t place = (uint64_t)net->input_count + net->output_count + layer->first_read + index;
    knl_tensor tensor =
        knl_tensor_at(net, knl_u32(net->places + (size_t)place * KNL_PLACE_SIZE));
    knl_value found;
    memset(&found, 0, sizeof found);
    found.type = KNL_FLOAT32;
    found.axes = 4;
    found.sizes[0] = 1;
    found.sizes[1] = (size_t)tensor.channels;
    found.sizes[2] = (size_t)tensor.height;
    found.sizes[3] = (size_t)tensor.width;
    found.count = (size_t)(tensor.channels * tensor.height * tensor.width);
    return found;
}

static uint64_t bytes_of(const knl_value *of) {
    return ((uint64_t)of->count * knl_value_bytes(of->type) + ALIGN - 1) / ALIGN * ALIGN;
}

/* All values in order, up to one. */
static knl_value walk(const knl_network *net, const knl_layer *layer, uint64_t number,
                      uint64_t *offset) {
    knl_value found;
    uint64_t at = 0;
    uint32_t which, output;
    *offset = 0;
    for (which = 0; which < layer->reads; which++, at++) {
        found = of_tensor(net, layer, which);
        if (at == number)
            return found;
        *offset += bytes_of(&found);
    }
    for (which = 0; which < layer->operators; which++) {
        knl_host_operator op = knl_host_operator_at(net, layer->first_operator + which);
        for (output = 0; output < op.outputs; output++, at++) {
            knl_host_operand operand =
                knl_host_operand_at(net, op.first_operand + op.inputs + output);
            found = described(net, &operand);
            if (at == number)
                return found;
            if (found.type == UINT32_MAX)
                *offset = UINT64_MAX - UINT32_MAX;
            else if (*offset < UINT64_MAX / 2)
                *offset += bytes_of(&found);
        }
    }
    memset(&found, 0, sizeof found);
    found.type = UINT32_MAX;
    return found;
}

knl_value knl_numbered(const knl_network *net, const knl_layer *layer, uint32_t number,
                       uint8_t *memory) {
    uint64_t offset;
    knl_value found = walk(net, layer, number, &offset);
    found.data = memory ? memory + offset : NULL;
    return found;
}

uint64_t knl_values_bytes(const knl_network *net, const knl_layer *layer) {
    uint64_t offset;
    walk(net, layer, UINT64_MAX, &offset);
    return offset > UINT64_MAX / 2 ? UINT64_MAX : offset;
}

knl_value knl_input_of(const knl_step *step, uint32_t index) {
    knl_host_operand operand = knl_host_operand_at(step->net, step->op.first_operand + index);
    knl_value found;
    if (operand.value != UINT32_MAX)
        return knl_numbered(step->net, step->layer, operand.value, step->memory);
    found = described(step->net, &operand);
    if (operand.is_constant)
        found.data = (void *)(uintptr_t)operand.data.bytes;
    return found;
}

knl_value knl_output_of(const knl_step *step, uint32_t index) {
    knl_host_operand operand =
        knl_host_operand_at(step->net, step->op.first_operand + step->op.inputs + index);
    return knl_numbered(step->net, step->layer, operand.value, step->memory);
}

/* ---- attributes */

int knl_find_attribute(const knl_step *step, const char *name, knl_host_attribute *found) {
    uint32_t at;
    for (at = 0; at < step->op.attributes; at++) {
        *found = knl_host_attribute_at(step->net, step->op.first_attribute + at);
        if (knl_is(&found->name, name))
            return 1;
    }
    return 0;
}

int64_t knl_whole(const knl_step *step, const char *name, int64_t otherwise) {
    knl_host_attribute found;
    if (!knl_find_attribute(step, name, &found) || found.kind != KNL_WHOLE || !found.count)
        return otherwise;
    return knl_host_number(step->net, found.first_number);
}

int knl_says(const knl_step *step, const char *name, const char *text, int otherwise) {
    knl_host_attribute found;
    knl_text said;
    uint64_t bits;
    if (!knl_find_attribute(step, name, &found))
        return otherwise;
    if (found.kind != KNL_TEXTS || !found.count)
        return 0;
    bits = (uint64_t)knl_host_number(step->net, found.first_number);
    said.bytes = (const char *)step->net->texts + (bits & UINT32_MAX);
    said.length = (uint32_t)(bits >> 32);
    return knl_is(&said, text);
}

int knl_wholes(const knl_step *step, const char *name, uint32_t input, int64_t *to, uint32_t most) {
    knl_host_attribute found;
    knl_value given;
    uint32_t at;
    if (knl_find_attribute(step, name, &found)) {
        if ((found.kind != KNL_WHOLE && found.count) || found.count > most)
            return -2;
        for (at = 0; at < found.count; at++)
            to[at] = knl_host_number(step->net, (uint64_t)found.first_number + at);
        return (int)found.count;
    }
    if (input >= step->op.inputs)
        return -1;
    given = knl_input_of(step, input);
    if (!knl_host_operand_at(step->net, step->op.first_operand + input).is_constant)
        return given.type == UINT32_MAX ? -1 : -2;
    if (!knl_is_whole(given.type) || given.count > most)
        return -2;
    for (at = 0; at < given.count; at++)
        to[at] = knl_whole_at(given.data, given.type, at);
    return (int)given.count;
}

/* ---- sizes */

int knl_axis(const knl_value *of, int64_t axis) {
    if (axis < 0)
        axis += of->axes;
    return axis >= 0 && axis < (int64_t)of->axes ? (int)axis : -1;
}

int knl_same_sizes(const knl_value *one, const knl_value *other) {
    uint32_t axis;
    if (one->axes != other->axes)
        return 0;
    for (axis = 0; axis < one->axes; axis++)
        if (one->sizes[axis] != other->sizes[axis])
            return 0;
    return 1;
}

void knl_around(const knl_value *of, int axis, size_t *outer, size_t *along, size_t *within) {
    int at;
    *outer = *within = 1;
    for (at = 0; at < (int)of->axes; at++)
        if (at < axis)
            *outer *= of->sizes[at];
        else if (at > axis)
            *within *= of->sizes[at];
    *along = of->sizes[axis];
}

void knl_strides(const knl_value *of, ptrdiff_t *strides) {
    ptrdiff_t stride = 1;
    uint32_t axis = of->axes;
    while (axis--) {
        strides[axis] = stride;
        stride *= (ptrdiff_t)of->sizes[axis];
    }
}

void knl_begin_places(knl_odometer *places, const knl_value *of) {
    memset(places, 0, sizeof *places);
    places->axes = of->axes;
    memcpy(places->sizes, of->sizes, sizeof places->sizes);
}

int knl_broadcast(knl_odometer *places, const knl_value *side) {
    ptrdiff_t own[KNL_MOST_DIMENSIONS];
    uint32_t axis, before = places->axes - side->axes;
    if (side->axes > places->axes)
        return 0;
    knl_strides(side, own);
    for (axis = 0; axis < side->axes; axis++) {
        if (side->sizes[axis] != 1 && side->sizes[axis] != places->sizes[before + axis])
            return 0;
        places->strides[places->sides][before + axis] = side->sizes[axis] == 1 ? 0 : own[axis];
    }
    places->sides++;
    return 1;
}

int knl_is_covered(const knl_odometer *places) {
    uint32_t axis, side;
    for (axis = 0; axis < places->axes; axis++) {
        int covered = places->sizes[axis] == 1;
        for (side = 0; side < places->sides; side++)
            covered |= places->strides[side][axis] != 0;
        if (!covered)
            return 0;
    }
    return 1;
}
