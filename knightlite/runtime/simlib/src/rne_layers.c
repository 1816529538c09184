/* General layers: what the host runs behind the chip, by handlers of the user or by ours. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "inner.h"

enum { MOST_TYPES = 256, MOST_TYPE = 64, FIRST_OF_USER = 1152, MOST_OF_USER = 64 };

static char types[MOST_TYPES][MOST_TYPE]; /* a layer's type is its place */
static RNE_GP_LAYER_HANDLER handlers[MOST_TYPES];
static TS_U32 type_count;
static TS_U32 user_types[MOST_OF_USER], user_type_count; /* numbers of user-defined layers */
static RNE_GP_LAYER_HANDLER user_handlers[MOST_OF_USER];
static int ours; /* whether OpenDevice was asked to register those that come with the library */

static const TS_S32 real_q = -1;
static const TS_FLOAT real_scale = 1;

char *text_copy(knl_text text) {
    char *found = malloc((size_t)text.length + 1);
    if (found) {
        memcpy(found, text.bytes, text.length);
        found[text.length] = 0;
    }
    return found;
}

TS_U32 TS_MPI_TRP_RNE_GpLayerType(const TS_CHAR *op) {
    TS_U32 at;
    for (at = 0; at < type_count; at++)
        if (!strcmp(types[at], op))
            return at;
    if (type_count == MOST_TYPES || strlen(op) >= MOST_TYPE)
        return MOST_TYPES;
    strcpy(types[type_count], op);
    return type_count++;
}

void TS_MPI_TRP_RNE_RegisterGpLayers(void) {
    ours = 1;
}

TS_S32 TS_MPI_TRP_RNE_InitGpLayerNum(TS_U32 num) {
    return num <= MOST_TYPES ? TS_SUCCESS : TS_FAILURE;
}

TS_S32 TS_MPI_TRP_RNE_RegisterGpLayer(TS_U32 layerType, RNE_GP_LAYER_HANDLER handler) {
    TS_U32 at = 0;
    if (layerType >= FIRST_OF_USER) {
        while (at < user_type_count && user_types[at] != layerType)
            at++;
        if (at == MOST_OF_USER)
            return TS_FAILURE;
        user_type_count += at == user_type_count;
        user_types[at] = layerType;
        user_handlers[at] = handler;
        return TS_SUCCESS;
    }
    if (layerType >= type_count)
        return TS_FAILURE;
    handlers[layerType] = handler;
    return TS_SUCCESS;
}

RNE_GP_LAYERS_S *TS_MPI_TRP_RNE_GetGpLayers(RNE_NET_S *net) {
    inner *it = inner_of(net);
    return it ? &it->layers : NULL;
}

TS_S32 TS_MPI_TRP_RNE_RegisterGpUserData(RNE_NET_S *net, TS_S32 layerId, void *userData) {
    inner *it = inner_of(net);
    if (!it || layerId < 0 || (TS_U32)layerId >= it->layers.u32NLayer)
        return TS_FAILURE;
    it->user_data[layerId] = userData;
    return TS_SUCCESS;
}

int prepare_layers(RNE_NET_S *net) {
    inner *it = inner_of(net);
    uint32_t count = knl_host_operators(&it->net) + knl_host_between(&it->net), at;
    it->layers.stpLayer = calloc(count + 1, sizeof *it->layers.stpLayer);
    it->user_data = calloc(count + 1, sizeof *it->user_data);
    if (!it->layers.stpLayer || !it->user_data)
        return TS_FAILURE;
    it->layers.u32NLayer = count;
    for (at = 0; at < count; at++) {
        knl_host_operator step = knl_host_operator_at(&it->net, at);
        RNE_GP_LAYER_S *layer = &it->layers.stpLayer[at];
        layer->s32LayerId = (TS_S32)at;
        layer->cpName = text_copy(step.name);
        layer->cpType = text_copy(step.op);
        if (!layer->cpName || !layer->cpType)
            return TS_FAILURE;
        layer->u32LayerType = TS_MPI_TRP_RNE_GpLayerType(layer->cpType);
        it->user_data[at] = net->vpGpUserData;
    }
    return TS_SUCCESS;
}

void release_values(inner *it) {
    uint32_t at;
    for (at = 0; at < it->value_count; at++) {
        free(it->values[at].name);
        free(it->values[at].data);
    }
    free(it->values);
    it->values = NULL;
    it->value_count = 0;
}

void release_layers(inner *it) {
    TS_U32 at;
    release_values(it);
    for (at = 0; it->layers.stpLayer && at < it->layers.u32NLayer; at++) {
        free((void *)(uintptr_t)it->layers.stpLayer[at].cpName);
        free((void *)(uintptr_t)it->layers.stpLayer[at].cpType);
    }
    free(it->layers.stpLayer);
    free(it->user_data);
    free(it->between);
    free(it->bridges);
}

/* A value of the frame; NULL without memory. Its name is its own. */
static value *add(inner *it, knl_text name) {
    value *more = realloc(it->values, (it->value_count + 1) * sizeof *more);
    if (!more)
        return NULL;
    it->values = more;
    more += it->value_count;
    memset(more, 0, sizeof *more);
    more->name = text_copy(name);
    if (!more->name)
        return NULL;
    it->value_count++;
    return more;
}

static value *find(const inner *it, knl_text name) {
    uint32_t at;
    for (at = 0; at < it->value_count; at++)
        if (strlen(it->values[at].name) == name.length &&
            !memcmp(it->values[at].name, name.bytes, name.length))
            return &it->values[at];
    return NULL;
}

/* The chip's outputs as real numbers. */
static int take_outputs(inner *it) {
    uint32_t at;
    for (at = 0; at < knl_outputs(&it->net); at++) {
        uint32_t index = knl_output(&it->net, at);
        knl_tensor tensor = knl_tensor_at(&it->net, index);
        size_t sizes[4];
        value *made = add(it, tensor.name);
        knl_error error;
        sizes[0] = 1;
        sizes[1] = (size_t)tensor.channels;
        sizes[2] = (size_t)tensor.height;
        sizes[3] = (size_t)tensor.width;
        if (!made || !set_shape(made, 4, sizes) ||
            knl_read_real(&it->net, index, made->data, made->count, &error))
            return TS_FAILURE;
    }
    return TS_SUCCESS;
}

static int constant(const knl_network *net, const knl_host_operand *operand, value *made) {
    size_t sizes[MOST_DIMENSIONS];
    uint32_t at;
    if (operand->type != KNL_FLOAT32 || operand->axes > MOST_DIMENSIONS)
        return 0;
    for (at = 0; at < operand->axes; at++)
        sizes[at] = (size_t)knl_host_number(net, operand->first_size + at);
    if (!set_shape(made, (int)operand->axes, sizes))
        return 0;
    memcpy(made->data, operand->data.bytes, operand->data.length);
    return 1;
}

/* ---- handlers of the user */

static void blob_of(const value *of, RNE_BLOB_S *blob) {
    TS_S32 sizes[4];
    int at;
    for (at = 0; at < 4; at++)
        sizes[at] = at < of->axes ? (TS_S32)of->sizes[at] : 1;
    memset(blob, 0, sizeof *blob);
    blob->s32N = sizes[0];
    blob->s32H = sizes[1];
    blob->s32W = sizes[2];
    blob->s32C = sizes[3];
    blob->cpName = of->name;
    blob->vpAddr = of->data;
    blob->s32BitNum = 32;
    blob->s32pQ = (TS_S32 *)(uintptr_t)&real_q;
    blob->fCoeff = (TS_FLOAT *)(uintptr_t)&real_scale;
    blob->eFormat = N_H_W_C;
    blob->u32Size = (TS_U32)(of->count * sizeof(float));
    blob->s32CStride = blob->s32C;
}

/* Attributes as lines of text; NULL without memory. */
static char *attributes_of(const knl_network *net, const knl_host_operator *step) {
    size_t room = 64, used = 0;
    char *text = NULL;
    uint32_t at, item;
    for (at = 0; at < step->attributes; at++) {
        knl_host_attribute found = knl_host_attribute_at(net, step->first_attribute + at);
        room += (size_t)found.name.length + 2 + (size_t)found.count * 32;
    }
    text = malloc(room);
    for (at = 0; text && at < step->attributes; at++) {
        knl_host_attribute found = knl_host_attribute_at(net, step->first_attribute + at);
        memcpy(text + used, found.name.bytes, found.name.length);
        used += found.name.length;
        text[used++] = '=';
        for (item = 0; item < found.count; item++) {
            if (item)
                text[used++] = ',';
            if (found.kind == KNL_REAL)
                used += (size_t)snprintf(text + used, room - used, "%.17g",
                                         knl_host_real(net, found.first_number + item));
            else
                used += (size_t)snprintf(text + used, room - used, "%" PRId64,
                                         knl_host_number(net, found.first_number + item));
        }
        text[used++] = '\n';
    }
    if (text)
        text[used] = 0;
    return text;
}

/* What a handler made of an operator that we do not know: it set the sizes and the memory. */
static int taken(const RNE_BLOB_S *blob, value *made) {
    size_t sizes[4];
    if (!blob->vpAddr || blob->s32N < 0 || blob->s32H < 0 || blob->s32W < 0 || blob->s32C < 0)
        return 0;
    sizes[0] = (size_t)blob->s32N;
    sizes[1] = (size_t)blob->s32H;
    sizes[2] = (size_t)blob->s32W;
    sizes[3] = (size_t)blob->s32C;
    if (!set_shape(made, 4, sizes))
        return 0;
    memcpy(made->data, blob->vpAddr, made->count * sizeof *made->data);
    return 1;
}

static int call(RNE_NET_S *net, uint32_t number, const knl_host_operator *step,
                const value *inputs, value *made) {
    inner *it = inner_of(net);
    RNE_GP_LAYER_HANDLER handler = handlers[it->layers.stpLayer[number].u32LayerType];
    RNE_BLOB_S *blobs = calloc((size_t)step->inputs + 1, sizeof *blobs), out;
    RNE_BLOBS_S in_blobs, out_blobs;
    RNE_BIN_DATA_S extra;
    uint32_t at;
    int known = compute(&it->net, step, inputs, made), ok = 0;
    extra.vpAddr = attributes_of(&it->net, step);
    if (blobs && extra.vpAddr) {
        extra.u32Size = (TS_U32)strlen(extra.vpAddr);
        for (at = 0; at < step->inputs; at++)
            blob_of(&inputs[at], &blobs[at]);
        blob_of(made, &out);
        if (known != 1) {
            out.vpAddr = NULL;
            out.s32N = out.s32H = out.s32W = out.s32C = 0;
        }
        in_blobs.u32NBlob = step->inputs;
        in_blobs.stpBlob = blobs;
        out_blobs.u32NBlob = 1;
        out_blobs.stpBlob = &out;
        handler(&in_blobs, &out_blobs, &extra, it->user_data[number]);
        ok = known == 1 || taken(&out, made);
        if (known != 1)
            free(out.vpAddr);
    }
    free(blobs);
    free(extra.vpAddr);
    return ok;
}

/* ---- between two segments of the chip */

static void blob_between(const knl_value *of, const char *name, RNE_BLOB_S *blob) {
    static const TS_S32 integer_q = 0;
    value like;
    uint32_t at;
    memset(&like, 0, sizeof like);
    like.name = (char *)(uintptr_t)name;
    like.axes = (int)of->axes;
    for (at = 0; at < of->axes; at++)
        like.sizes[at] = of->sizes[at];
    like.count = of->count;
    like.data = of->data;
    blob_of(&like, blob);
    if (of->type == KNL_FLOAT32)
        return;
    blob->s32pQ = (TS_S32 *)(uintptr_t)&integer_q;
    blob->s32BitNum = (TS_S32)(8 * knl_value_bytes(of->type));
    blob->bIsUnsigned = of->type == KNL_BOOL || (of->type >= KNL_UINT8 && of->type <= KNL_UINT64)
                            ? TS_RNE_TRUE
                            : TS_RNE_FALSE;
    blob->u32Size = (TS_U32)(of->count * knl_value_bytes(of->type));
}

static int call_between(void *context, const knl_call *called) {
    const bridge *by = context;
    uint32_t count = called->input_count + called->output_count, at;
    const char *name = by->it->layers.stpLayer[called->number].cpName;
    knl_host_operator step = knl_host_operator_at(called->net, called->number);
    RNE_BLOB_S *blobs = calloc(count, sizeof *blobs);
    RNE_BLOBS_S in_blobs, out_blobs;
    RNE_BIN_DATA_S extra;
    extra.vpAddr = attributes_of(called->net, &step);
    if (blobs && extra.vpAddr) {
        extra.u32Size = (TS_U32)strlen(extra.vpAddr);
        for (at = 0; at < count; at++)
            blob_between(at < called->input_count ? &called->inputs[at]
                                                  : &called->outputs[at - called->input_count],
                         name, &blobs[at]);
        in_blobs.u32NBlob = called->input_count;
        in_blobs.stpBlob = blobs;
        out_blobs.u32NBlob = called->output_count;
        out_blobs.stpBlob = blobs + called->input_count;
        by->handler(&in_blobs, &out_blobs, &extra, by->it->user_data[called->number]);
    }
    at = !blobs || !extra.vpAddr;
    free(extra.vpAddr);
    free(blobs);
    return (int)at;
}

int handle_between(knl_network *net, inner *it, knl_handler **between, bridge **bridges,
                   knl_error *error) {
    TS_U32 count = 0, at;
    *between = calloc(type_count + user_type_count + 1, sizeof **between);
    *bridges = calloc(type_count + user_type_count + 1, sizeof **bridges);
    if (!*between || !*bridges) {
        strcpy(error->sentence, "there is not enough memory for handlers.");
        return TS_FAILURE;
    }
    for (at = 0; at < type_count + user_type_count; at++) {
        TS_U32 user = at - type_count;
        RNE_GP_LAYER_HANDLER handler = at < type_count ? handlers[at] : user_handlers[user];
        if (!handler)
            continue;
        (*bridges)[count].it = it;
        (*bridges)[count].handler = handler;
        (*between)[count].op = at < type_count ? types[at] : NULL;
        (*between)[count].layer_type = at < type_count ? 0 : user_types[user];
        (*between)[count].compute = call_between;
        (*between)[count].context = &(*bridges)[count];
        count++;
    }
    return knl_handle(net, *between, count, error);
}

static int run_one(RNE_NET_S *net, uint32_t number) {
    inner *it = inner_of(net);
    knl_host_operator step = knl_host_operator_at(&it->net, number);
    const RNE_GP_LAYER_S *layer = &it->layers.stpLayer[number];
    value *inputs = calloc((size_t)step.inputs + 1, sizeof *inputs), *constants, *made;
    value result;
    uint32_t at;
    int ok = inputs != NULL, status;
    constants = calloc((size_t)step.inputs + 1, sizeof *constants);
    ok = ok && constants;
    for (at = 0; ok && at < step.inputs; at++) {
        knl_host_operand operand = knl_host_operand_at(&it->net, step.first_operand + at);
        const value *known = operand.is_constant ? NULL : find(it, operand.name);
        if (operand.is_constant)
            ok = constant(&it->net, &operand, &constants[at]);
        else if (operand.name.length)
            ok = known != NULL;
        inputs[at] = known ? *known : constants[at];
    }
    memset(&result, 0, sizeof result);
    if (!ok) {
        TS_MPI_TRP_RNE_Error("layer %s (%s) reads what is not there, or is not float32.",
                             layer->cpName, layer->cpType);
    } else if (layer->u32LayerType < MOST_TYPES && handlers[layer->u32LayerType]) {
        ok = call(net, number, &step, inputs, &result);
        if (!ok)
            TS_MPI_TRP_RNE_Error("the handler of layer %s (%s) made nothing.", layer->cpName,
                                 layer->cpType);
    } else {
        status = ours ? compute(&it->net, &step, inputs, &result) : 0;
        ok = status == 1;
        if (status == 0)
            TS_MPI_TRP_RNE_Error("layer %s (%s) has no handler: register one for its type, or "
                                 "those of the library in OpenDevice.",
                                 layer->cpName, layer->cpType);
        else if (status < 0)
            TS_MPI_TRP_RNE_Error("layer %s (%s) does not fit what it reads.", layer->cpName,
                                 layer->cpType);
    }
    if (ok) {
        made = add(it, knl_host_operand_at(&it->net, step.first_operand + step.inputs).name);
        ok = made != NULL;
        if (ok) {
            result.name = made->name;
            *made = result;
            result.data = NULL;
        }
    }
    free(result.data);
    for (at = 0; constants && at < step.inputs; at++)
        free(constants[at].data);
    free(inputs);
    free(constants);
    return ok ? TS_SUCCESS : TS_FAILURE;
}

/* A result that the host has computed; name, texts and scale are known since it was loaded. */
static void show(const value *found, RNE_BLOB_S *blob) {
    RNE_BLOB_S made;
    int at, back;
    blob_of(found, &made);
    made.cpName = blob->cpName;
    made.s32Texts = blob->s32Texts;
    if (made.s32Texts)
        made.fCoeff = blob->fCoeff;
    for (at = 0; at < 4; at++)
        made.s32TextShape[at] = 1;
    for (at = 0; at < found->axes; at++) {
        back = found->axes - 1 - at; /* axes of 1 behind, or the first ones in one */
        made.s32TextShape[found->axes <= 4 ? at : back < 3 ? 3 - back : 0] *=
            (TS_S32)found->sizes[at];
    }
    *blob = made;
}

int run_layers(RNE_NET_S *net) {
    inner *it = inner_of(net);
    uint32_t at;
    TS_U32 which;
    release_values(it);
    if (it->chip_results == it->results.u32NBlob) /* the host computes no output */
        return TS_SUCCESS;
    if (take_outputs(it))
        return TS_FAILURE;
    for (at = 0; at < knl_host_operators(&it->net); at++)
        if (run_one(net, at))
            return TS_FAILURE;
    for (which = it->chip_results; which < it->results.u32NBlob; which++) {
        RNE_BLOB_S *blob = &it->results.stpBlob[which];
        knl_text text;
        const value *found;
        text.bytes = blob->cpName;
        text.length = (uint32_t)strlen(blob->cpName);
        found = find(it, text);
        if (!found)
            return TS_FAILURE;
        show(found, blob);
    }
    return TS_SUCCESS;
}
