/* Records of what the host runs. */
#include "knl_host.h"
#include "knl_core.h"

static knl_text text_at(const knl_network *net, const uint8_t *at) {
    knl_text found;
    found.bytes = (const char *)net->texts + knl_u32(at);
    found.length = knl_u32(at + 4);
    return found;
}

uint32_t knl_host_operators(const knl_network *net) {
    return net->host_operators;
}

uint32_t knl_host_between(const knl_network *net) {
    return net->general_operators;
}

knl_host_operator knl_host_operator_at(const knl_network *net, uint32_t index) {
    const uint8_t *at = net->host + (size_t)index * KNL_HOST_OPERATOR_SIZE;
    knl_host_operator found;
    found.name = text_at(net, at + KNL_HOST_OPERATOR_NAME_OFFSET);
    found.op = text_at(net, at + KNL_HOST_OPERATOR_OP_OFFSET);
    found.first_operand = knl_u32(at + KNL_HOST_OPERATOR_FIRST_OPERAND);
    found.inputs = knl_u32(at + KNL_HOST_OPERATOR_INPUTS);
    found.outputs = knl_u32(at + KNL_HOST_OPERATOR_OUTPUTS);
    found.first_attribute = knl_u32(at + KNL_HOST_OPERATOR_FIRST_ATTRIBUTE);
    found.attributes = knl_u32(at + KNL_HOST_OPERATOR_ATTRIBUTES);
    return found;
}

knl_host_operand knl_host_operand_at(const knl_network *net, uint32_t index) {
    const uint8_t *at = net->operands + (size_t)index * KNL_HOST_OPERAND_SIZE;
    knl_host_operand found;
    found.name = text_at(net, at + KNL_HOST_OPERAND_NAME_OFFSET);
    found.type = knl_u32(at + KNL_HOST_OPERAND_TYPE);
    found.value = knl_u32(at + KNL_HOST_OPERAND_VALUE);
    found.is_constant = found.value == UINT32_MAX && found.type != UINT32_MAX;
    found.axes = knl_u32(at + KNL_HOST_OPERAND_AXES);
    found.first_size = knl_u32(at + KNL_HOST_OPERAND_FIRST_SIZE);
    found.data = text_at(net, at + KNL_HOST_OPERAND_DATA_OFFSET);
    return found;
}

knl_host_attribute knl_host_attribute_at(const knl_network *net, uint32_t index) {
    const uint8_t *at = net->attributes + (size_t)index * KNL_HOST_ATTRIBUTE_SIZE;
    knl_host_attribute found;
    found.name = text_at(net, at + KNL_HOST_ATTRIBUTE_NAME_OFFSET);
    found.kind = knl_u32(at + KNL_HOST_ATTRIBUTE_KIND);
    found.is_list = knl_u32(at + KNL_HOST_ATTRIBUTE_IS_LIST);
    found.count = knl_u32(at + KNL_HOST_ATTRIBUTE_COUNT);
    found.first_number = knl_u32(at + KNL_HOST_ATTRIBUTE_FIRST_NUMBER);
    return found;
}

int64_t knl_host_number(const knl_network *net, uint64_t index) {
    return knl_s64(net->numbers + (size_t)index * KNL_NUMBER_SIZE);
}

double knl_host_real(const knl_network *net, uint64_t index) {
    uint64_t bits = knl_u64(net->numbers + (size_t)index * KNL_NUMBER_SIZE);
    double found;
    memcpy(&found, &bits, sizeof found);
    return found;
}

uint32_t knl_results(const knl_network *net) {
    return net->result_count;
}

knl_text knl_result(const knl_network *net, uint32_t index) {
    return text_at(net, net->results + (size_t)index * KNL_RESULT_SIZE);
}
