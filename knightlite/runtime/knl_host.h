/* What the host runs behind the chip, as the plan lists it, which the core leaves to its caller, and
 * behind that what it runs between segments (knl_layers.h). Indices are below the numbers that are
 * told; all places have been checked by knl_open. */
#ifndef KNL_HOST_H
#define KNL_HOST_H

#include "knl.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { KNL_MOST_AXES = 32, KNL_ELEMENT_TYPES = 12 };

/* Elements of a constant, as numpy calls them. */
enum {
    KNL_BOOL, KNL_INT8, KNL_INT16, KNL_INT32, KNL_INT64, KNL_UINT8, KNL_UINT16, KNL_UINT32,
    KNL_UINT64, KNL_FLOAT16, KNL_FLOAT32, KNL_FLOAT64
};

/* Kinds of attributes. */
enum { KNL_WHOLE = 0, KNL_REAL = 1, KNL_TEXTS = 2 };

typedef struct knl_host_operator {
    knl_text name, op;
    uint32_t first_operand, inputs, outputs; /* outputs follow the inputs */
    uint32_t first_attribute, attributes;
} knl_host_operator;

typedef struct knl_host_operand {
    knl_text name;
    uint32_t value; /* UINT32_MAX: a constant, or left out */
    int is_constant;
    uint32_t type, axes; /* of a constant or a result; UINT32_MAX: not known */
    uint32_t first_size; /* of knl_host_number */
    knl_text data;       /* little-endian, at any address */
} knl_host_operand;

typedef struct knl_host_attribute {
    knl_text name;
    uint32_t kind, is_list, count;
    uint32_t first_number;
} knl_host_attribute;

uint32_t knl_host_operators(const knl_network *net);
uint32_t knl_host_between(const knl_network *net); /* how many follow them */
knl_host_operator knl_host_operator_at(const knl_network *net, uint32_t index);
knl_host_operand knl_host_operand_at(const knl_network *net, uint32_t index);
knl_host_attribute knl_host_attribute_at(const knl_network *net, uint32_t index);
int64_t knl_host_number(const knl_network *net, uint64_t index);
double knl_host_real(const knl_network *net, uint64_t index);

/* Outputs of the network: what the host makes, or the chip. */
uint32_t knl_results(const knl_network *net);
knl_text knl_result(const knl_network *net, uint32_t index);

#ifdef __cplusplus
}
#endif

#endif
