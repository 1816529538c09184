/* The device and its networks: loaded, given blobs, run. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "inner.h"

enum { HEAD = 16, ENTRY = 64, MOST_SECTIONS = 4, NO_TYPE = -1 };

static int opened;
static int type = NO_TYPE;

static const struct {
    RNE_TYPE_NAME_E type;
    const char *name;
} TYPES[] = {
    {RNE_TYPE_NAME_TX5105C, "TX5105C"},       {RNE_TYPE_NAME_TX5103C, "TX5103C"},
    {RNE_TYPE_NAME_TX5105CV100, "TX5105CV100"}, {RNE_TYPE_NAME_TX5103CV100, "TX5103CV100"},
    {RNE_TYPE_NAME_TX5101C, "TX5101C"},       {RNE_TYPE_NAME_TX5101D, "TX5101D"},
    {RNE_TYPE_NAME_TX5101E, "TX5101E"},       {RNE_TYPE_NAME_TX5368AV200, "TX5368AV200"},
    {RNE_TYPE_NAME_TX5339AV200, "TX5339AV200"}, {RNE_TYPE_NAME_TX5335AV200, "TX5335AV200"},
    {RNE_TYPE_NAME_TX5215CV200, "TX5215CV200"}, {RNE_TYPE_NAME_TX5215DV200, "TX5215DV200"},
    {RNE_TYPE_NAME_TX5215DV300, "TX5215DV300"}, {RNE_TYPE_NAME_TX5215EV300, "TX5215EV300"},
    {RNE_TYPE_NAME_TX5239DV200, "TX5239DV200"}, {RNE_TYPE_NAME_TX5239DV220, "TX5239DV220"},
    {RNE_TYPE_NAME_TX5239DV300, "TX5239DV300"}, {RNE_TYPE_NAME_TX5112CV201, "TX5112CV201"},
    {RNE_TYPE_NAME_TX5112DV201, "TX5112DV201"}, {RNE_TYPE_NAME_TX5112CV300, "TX5112CV300"},
    {RNE_TYPE_NAME_TX5112DV300, "TX5112DV300"}, {RNE_TYPE_NAME_TX5239CV201, "TX5239CV201"},
    {RNE_TYPE_NAME_TX5239DV201, "TX5239DV201"}, {RNE_TYPE_NAME_TX5336AV200, "TX5336AV200"},
    {RNE_TYPE_NAME_TX5256AV200, "TX5256AV200"},
};

enum { TYPE_COUNT = sizeof TYPES / sizeof *TYPES };

TS_S32 TS_MPI_TRP_RNE_InitResourceByType(RNE_TYPE_NAME_E wanted) {
    int at;
    for (at = 0; at < TYPE_COUNT; at++)
        if (TYPES[at].type == wanted) {
            type = at;
            return TS_SUCCESS;
        }
    TS_MPI_TRP_RNE_Error("there is no chip type %d.", (int)wanted);
    return TS_FAILURE;
}

TS_S32 TS_MPI_TRP_RNE_OpenDevice(RNE_DRIVER_S *driver, TS_MPI_TRP_RNE_RegisterAllGpLayers layers) {
    (void)driver;
    if (type == NO_TYPE) {
        TS_MPI_TRP_RNE_Error("InitResourceByType must be called before OpenDevice.");
        return TS_FAILURE;
    }
    if (layers)
        layers();
    opened = 1;
    return TS_SUCCESS;
}

TS_S32 TS_MPI_TRP_RNE_CloseDevice(void) {
    opened = 0;
    return TS_SUCCESS;
}

TS_RNE_BOOL TS_MPI_TRP_RNE_DeviceIsOpened(void) {
    return opened ? TS_RNE_TRUE : TS_RNE_FALSE;
}

TS_RNE_BOOL TS_MPI_TRP_RNE_SetTimeout(TS_S32 milliseconds) {
    return milliseconds >= 0 ? TS_RNE_TRUE : TS_RNE_FALSE;
}

TS_S32 TS_MPI_TRP_RNE_GetCoreNum(void) {
    return 1;
}

TS_S32 TS_MPI_TRP_RNE_GetAvailableCore(RNE_NET_S *net) {
    (void)net;
    return 0;
}

TS_S32 TS_MPI_TRP_RNE_GetExpectedCore(RNE_NET_S *net, TS_S32 idx) {
    (void)net;
    return idx == 0 ? 0 : TS_FAILURE;
}

TS_S32 TS_MPI_TRP_RNE_GetDeviceBufferSize(void) {
    return 0;
}

/* ---- files */

static uint64_t number(const TS_U8 *at, unsigned bytes) {
    uint64_t found = 0;
    while (bytes--)
        found = found << 8 | at[bytes];
    return found;
}

/* A .weight says itself how long it is. */
static size_t weight_bytes(const TS_U8 *weight) {
    uint64_t count = number(weight + 12, 4), last;
    const TS_U8 *entry = weight + HEAD + ENTRY * (count ? count - 1 : 0);
    if (memcmp(weight, "KLITEWGT", 8) || !count || count > MOST_SECTIONS)
        return HEAD;
    last = number(entry + 16, 8) + number(entry + 24, 8);
    return last < ((uint64_t)1 << 32) ? (size_t)last : HEAD;
}

static int open_network(RNE_NET_S *net, knl_network *into, inner *it, knl_handler **between,
                        bridge **bridges) {
    const TS_U8 *weight = net && net->u8pParams ? net->u8pParams : net ? net->u8pWeight : NULL;
    knl_error error;
    if (!net || !net->u8pGraph || net->s32GraphLen <= 0 || !weight) {
        TS_MPI_TRP_RNE_Error("a network needs u8pGraph, s32GraphLen and u8pParams.");
        return TS_FAILURE;
    }
    if (knl_open(into, net->u8pGraph, (size_t)net->s32GraphLen, weight, weight_bytes(weight),
                 KNL_CHIP_ONLY | KNL_CHECKED | KNL_HANDLERS, &error) ||
        handle_between(into, it, between, bridges, &error)) {
        TS_MPI_TRP_RNE_Error("%s", error.sentence);
        return TS_FAILURE;
    }
    return TS_SUCCESS;
}

/* The chip asked for is the one compiled for, where that is one of the vendor's. */
static int check_type(const knl_network *net) {
    int at, known = 0;
    for (at = 0; at < TYPE_COUNT; at++)
        known |= strlen(TYPES[at].name) == net->chip.length &&
                 !memcmp(TYPES[at].name, net->chip.bytes, net->chip.length);
    if (type == NO_TYPE || !known ||
        (strlen(TYPES[type].name) == net->chip.length &&
         !memcmp(TYPES[type].name, net->chip.bytes, net->chip.length)))
        return TS_SUCCESS;
    TS_MPI_TRP_RNE_Error("the network was compiled for %.*s, and InitResourceByType was told %s.",
                         (int)net->chip.length, net->chip.bytes, TYPES[type].name);
    return TS_FAILURE;
}

/* ---- blobs */

static TS_S32 stride_of(const knl_tensor *tensor) {
    uint64_t size = tensor->type == KNL_S16 ? 2 : 1, stride = tensor->column_stride / size;
    if (tensor->column_stride > tensor->row_stride || stride < tensor->channels)
        stride = tensor->channels;
    return (TS_S32)stride;
}

static int set_blob(RNE_BLOB_S *blob, const knl_tensor *tensor, knl_text name) {
    uint64_t c;
    uint64_t bytes = (tensor->type == KNL_S16 ? 2u : 1u) * (uint64_t)stride_of(tensor) *
                     tensor->height * tensor->width;
    if (bytes > UINT32_MAX || tensor->channels > INT32_MAX)
        return TS_FAILURE;
    blob->s32N = 1;
    blob->s32H = (TS_S32)tensor->height;
    blob->s32W = (TS_S32)tensor->width;
    blob->s32C = (TS_S32)tensor->channels;
    blob->s32BitNum = tensor->type == KNL_S16 ? 16 : 8;
    blob->bIsUnsigned = tensor->type == KNL_U8 ? TS_RNE_TRUE : TS_RNE_FALSE;
    blob->eFormat = N_H_W_Cstride;
    blob->s32CStride = stride_of(tensor);
    blob->u32Size = (TS_U32)bytes;
    blob->cpName = text_copy(name);
    blob->s32pQ = calloc((size_t)tensor->channels, sizeof *blob->s32pQ);
    blob->fCoeff = calloc((size_t)tensor->channels, sizeof *blob->fCoeff);
    if (!blob->cpName || !blob->s32pQ || !blob->fCoeff)
        return TS_FAILURE;
    for (c = 0; c < tensor->channels; c++)
        blob->fCoeff[c] = knl_scale_of(tensor, c);
    return TS_SUCCESS;
}

static void release_blobs(RNE_BLOBS_S *blobs, TS_U32 of_the_chip) {
    TS_U32 at;
    for (at = 0; blobs->stpBlob && at < blobs->u32NBlob; at++) {
        free((void *)(uintptr_t)blobs->stpBlob[at].cpName);
        if (at < of_the_chip)
            free(blobs->stpBlob[at].s32pQ);
        if (at < of_the_chip || blobs->stpBlob[at].s32Texts)
            free(blobs->stpBlob[at].fCoeff);
    }
    free(blobs->stpBlob);
}

static void place(RNE_BLOBS_S *blobs, TS_U32 count, unsigned char *memory) {
    TS_U32 at;
    for (at = 0; at < count; at++) {
        blobs->stpBlob[at].vpAddr = memory;
        memory += blobs->stpBlob[at].u32Size;
    }
}

/* Of a network that has its inputs or outputs outside its memory: they lie there as blobs do. */
static int set_outside(inner *it, unsigned side, void *memory, size_t bytes) {
    knl_error error;
    if (!knl_outside_bytes(&it->net, side))
        return TS_SUCCESS;
    if (knl_set_outside(&it->net, side, memory, bytes, &error)) {
        TS_MPI_TRP_RNE_Error("%s", error.sentence);
        return TS_FAILURE;
    }
    it->outside[side] = memory;
    return TS_SUCCESS;
}

/* Whether a blob is where the network itself reads or writes. */
static int is_in_place(const inner *it, uint32_t tensor, const RNE_BLOB_S *blob, unsigned side) {
    uint64_t offset = knl_outside_offset(&it->net, tensor);
    return it->outside[side] && offset != UINT64_MAX &&
           blob->vpAddr == (unsigned char *)it->outside[side] + offset;
}

static int make_inputs(inner *it) {
    uint32_t count = knl_inputs(&it->net), at;
    it->inputs.stpBlob = calloc(count, sizeof *it->inputs.stpBlob);
    if (!it->inputs.stpBlob)
        return TS_FAILURE;
    it->inputs.u32NBlob = count;
    for (at = 0; at < count; at++) {
        knl_tensor tensor = knl_tensor_at(&it->net, knl_input(&it->net, at));
        if (set_blob(&it->inputs.stpBlob[at], &tensor, tensor.name))
            return TS_FAILURE;
        it->input_bytes += it->inputs.stpBlob[at].u32Size;
    }
    it->input_memory = calloc(it->input_bytes + 1, 1);
    if (!it->input_memory)
        return TS_FAILURE;
    place(&it->inputs, count, it->input_memory);
    return set_outside(it, KNL_INPUTS, it->input_memory, it->input_bytes);
}

static int same(knl_text one, knl_text other) {
    return one.length == other.length && !memcmp(one.bytes, other.bytes, one.length);
}

/* Which operator of the host makes a name by moving values; or their number. */
static uint32_t mover_of(const inner *it, knl_text name, int only_reshape) {
    uint32_t steps = knl_host_operators(&it->net), at;
    for (at = 0; at < steps; at++) {
        knl_host_operator step = knl_host_operator_at(&it->net, at);
        if ((is_reshape(&step) || (!only_reshape && is_transpose(&step))) && step.inputs &&
            step.outputs &&
            same(knl_host_operand_at(&it->net, step.first_operand + step.inputs).name, name))
            break;
    }
    return at;
}

/* Which output of the chip has the values of a name, where only moves lie between; else -1. */
static int64_t source_of(const inner *it, knl_text name, int only_reshape) {
    uint32_t steps = knl_host_operators(&it->net), at, back;
    for (back = 0; back <= steps; back++) {
        for (at = 0; at < knl_outputs(&it->net); at++)
            if (same(knl_tensor_at(&it->net, knl_output(&it->net, at)).name, name))
                return at;
        at = mover_of(it, name, only_reshape);
        if (at == steps)
            return -1;
        name = knl_host_operand_at(&it->net, knl_host_operator_at(&it->net, at).first_operand).name;
    }
    return -1;
}

/* The shape that Reshapes give to an output of the chip, in four axes. */
static int reshaped(const inner *it, const knl_tensor *tensor, knl_text name, TS_S32 shape[4]) {
    uint32_t steps = knl_host_operators(&it->net), *chain, length = 0;
    value now, next;
    int at, ok = 1;
    chain = calloc((size_t)steps + 1, sizeof *chain);
    if (!chain)
        return TS_FAILURE;
    while (!same(name, tensor->name) && length <= steps) {
        chain[length] = mover_of(it, name, 1);
        name = knl_host_operand_at(
                   &it->net, knl_host_operator_at(&it->net, chain[length++]).first_operand)
                   .name;
    }
    memset(&now, 0, sizeof now);
    now.axes = 4;
    now.sizes[0] = 1;
    now.sizes[1] = (size_t)tensor->channels;
    now.sizes[2] = (size_t)tensor->height;
    now.sizes[3] = (size_t)tensor->width;
    now.count = now.sizes[1] * now.sizes[2] * now.sizes[3];
    while (length-- && ok) {
        knl_host_operator step = knl_host_operator_at(&it->net, chain[length]);
        next = now;
        ok = reshaped_sizes(&it->net, &step, &now, &next);
        now = next;
    }
    free(chain);
    for (at = 0; at < 4; at++)
        shape[at] = 1;
    for (at = 0; at < now.axes && ok; at++) {
        int back = now.axes - 1 - at;
        shape[now.axes <= 4 ? at : back < 3 ? 3 - back : 0] *= (TS_S32)now.sizes[at];
    }
    return ok ? TS_SUCCESS : TS_FAILURE;
}

/* Whether an output of the network has the chip's values in another order: then scripts read its
 * text instead of the chip's. */
static int is_replaced(const inner *it, uint32_t output, knl_text name) {
    uint32_t at;
    int moved = 0;
    for (at = 0; at < knl_results(&it->net); at++) {
        knl_text result = knl_result(&it->net, at);
        if (same(result, name))
            return 0;
        moved |= source_of(it, result, 1) < 0 && source_of(it, result, 0) == output;
    }
    return moved;
}

/* A result that is an output of the chip. */
static int make_result(inner *it, uint32_t output, knl_text name, TS_U32 count) {
    knl_tensor tensor = knl_tensor_at(&it->net, knl_output(&it->net, output));
    knl_text own = tensor.name;
    RNE_BLOB_S *blob = &it->results.stpBlob[count];
    it->results.u32NBlob = count + 1;
    it->sources[count] = output;
    if (set_blob(blob, &tensor, name) || reshaped(it, &tensor, name, blob->s32TextShape))
        return TS_FAILURE;
    blob->s32Texts = same(name, own) && is_replaced(it, output, own) ? 0 : 2;
    it->result_bytes += blob->u32Size;
    return TS_SUCCESS;
}

/* A result that the host computes: what it is, a frame shows. */
static int make_host_result(inner *it, knl_text name, TS_U32 count) {
    RNE_BLOB_S *blob = &it->results.stpBlob[count];
    int64_t source = source_of(it, name, 0);
    it->results.u32NBlob = count + 1;
    blob->cpName = text_copy(name);
    blob->s32BitNum = 32;
    if (source >= 0) {
        knl_tensor tensor = knl_tensor_at(&it->net, knl_output(&it->net, (uint32_t)source));
        blob->fCoeff = calloc(1, sizeof *blob->fCoeff);
        if (!blob->fCoeff)
            return TS_FAILURE;
        *blob->fCoeff = knl_scale_of(&tensor, 0);
        blob->s32Texts = 1;
    }
    return blob->cpName ? TS_SUCCESS : TS_FAILURE;
}

/* Results: of every output of the chip the outputs of the network that are its values, or itself;
 * then what the host computes. */
static int make_results(inner *it) {
    uint32_t outputs = knl_outputs(&it->net), results = knl_results(&it->net), at, other;
    TS_U32 count = 0;
    it->results.stpBlob = calloc((size_t)outputs + results, sizeof *it->results.stpBlob);
    it->sources = calloc((size_t)outputs + results, sizeof *it->sources);
    if (!it->results.stpBlob || !it->sources)
        return TS_FAILURE;
    for (at = 0; at < outputs; at++) {
        TS_U32 before = count;
        for (other = 0; other < results; other++)
            if (source_of(it, knl_result(&it->net, other), 1) == at &&
                make_result(it, at, knl_result(&it->net, other), count++))
                return TS_FAILURE;
        if (count == before &&
            make_result(it, at, knl_tensor_at(&it->net, knl_output(&it->net, at)).name, count++))
            return TS_FAILURE;
    }
    it->chip_results = count;
    for (other = 0; other < results; other++)
        if (source_of(it, knl_result(&it->net, other), 1) < 0 &&
            make_host_result(it, knl_result(&it->net, other), count++))
            return TS_FAILURE;
    it->result_memory = calloc(it->result_bytes + 1, 1);
    if (!it->result_memory)
        return TS_FAILURE;
    place(&it->results, it->chip_results, it->result_memory);
    /* an output that the network delivers under two names is two blobs: then all are copied */
    it->results_in_place = it->chip_results == outputs;
    if (!it->results_in_place && knl_outside_bytes(&it->net, KNL_OUTPUTS)) {
        size_t bytes = (size_t)knl_outside_bytes(&it->net, KNL_OUTPUTS);
        it->output_memory = calloc(bytes, 1);
        return it->output_memory ? set_outside(it, KNL_OUTPUTS, it->output_memory, bytes)
                                 : TS_FAILURE;
    }
    return set_outside(it, KNL_OUTPUTS, it->result_memory, it->result_bytes);
}

/* ---- networks */

TS_S32 TS_MPI_TRP_RNE_UnloadModel(RNE_NET_S *net) {
    inner *it = inner_of(net);
    if (!it)
        return TS_FAILURE;
    leave_chip(it);
    release_blobs(&it->inputs, it->inputs.u32NBlob);
    release_layers(it);
    release_blobs(&it->results, it->chip_results ? it->chip_results : it->results.u32NBlob);
    free(it->input_memory);
    free(it->result_memory);
    free(it->output_memory);
    free(it->sources);
    free(it->own_arena);
    free(it->res_version);
    free(it);
    net->vpInnerNd = NULL;
    return TS_SUCCESS;
}

TS_S32 TS_MPI_TRP_RNE_LoadModel(RNE_NET_S *net) {
    inner *it;
    knl_error error;
    size_t bytes;
    if (!opened) {
        TS_MPI_TRP_RNE_Error("OpenDevice must be called before LoadModel.");
        return TS_FAILURE;
    }
    if (!net || net->vpInnerNd)
        return TS_FAILURE;
    it = calloc(1, sizeof *it);
    if (!it)
        return TS_FAILURE;
    if (open_network(net, &it->net, it, &it->between, &it->bridges) || check_type(&it->net)) {
        free(it->between);
        free(it->bridges);
        free(it);
        return TS_FAILURE;
    }
    net->vpInnerNd = it;
    bytes = knl_arena_bytes(&it->net);
    it->arena = net->vpSelfBuf ? net->vpSelfBuf : (it->own_arena = malloc(bytes ? bytes : 1));
    it->res_version = text_copy(it->net.res_version);
    if (!it->arena || !it->res_version || make_inputs(it) || make_results(it) ||
        prepare_layers(net)) {
        TS_MPI_TRP_RNE_Error("there is not enough memory for the network.");
    } else if (knl_start(&it->net, it->arena, bytes, &error)) {
        TS_MPI_TRP_RNE_Error("%s", error.sentence);
    } else if (is_kept(it) || !use_chip(it)) { /* what stays comes with OnceLoad */
        return TS_SUCCESS;
    }
    TS_MPI_TRP_RNE_UnloadModel(net);
    return TS_FAILURE;
}

TS_S32 TS_MPI_TRP_RNE_OnceLoad(RNE_NET_S *net) {
    inner *it = inner_of(net);
    if (!it || use_chip(it))
        return TS_FAILURE;
    if (is_kept(it)) {
        uint64_t first, last;
        knl_load_once(&it->net);
        if (knl_scratchpad(&it->net, KNL_MSPM, &first, &last))
            TS_MPI_TRP_RNE_Info("MSPM once load end:%lu", (unsigned long)last);
        if (knl_scratchpad(&it->net, KNL_WSPM, &first, &last))
            TS_MPI_TRP_RNE_Info("WSPM once load end:%lu", (unsigned long)last);
    }
    return TS_SUCCESS;
}

/* The integers of a blob between its pixels and the network's order; 1: into the network. */
static int exchange(inner *it, uint32_t index, RNE_BLOB_S *blob, int into) {
    size_t bytes = (size_t)blob->s32BitNum / 8, pixels = (size_t)blob->s32H * (size_t)blob->s32W;
    size_t channels = (size_t)blob->s32C, size = pixels * channels * bytes, pixel, channel;
    unsigned char *dense = malloc(size ? size : 1);
    knl_error error;
    int status = dense ? TS_SUCCESS : TS_FAILURE;
    if (!status && !into && knl_read(&it->net, index, dense, size, &error))
        status = TS_FAILURE;
    for (pixel = 0; !status && pixel < pixels; pixel++)
        for (channel = 0; channel < channels; channel++) {
            unsigned char *at = (unsigned char *)blob->vpAddr +
                                (pixel * (size_t)blob->s32CStride + channel) * bytes;
            unsigned char *plain = dense + (channel * pixels + pixel) * bytes;
            memcpy(into ? plain : at, into ? at : plain, bytes);
        }
    if (!status && into && knl_write(&it->net, index, dense, size, &error))
        status = TS_FAILURE;
    free(dense);
    return status;
}

RNE_BLOBS_S *TS_MPI_TRP_RNE_Forward(RNE_NET_S *net) {
    inner *it = inner_of(net);
    TS_U32 at, start = TS_MPI_TRP_RNE_GetSysTimeUs(), behind;
    int status = it ? TS_SUCCESS : TS_FAILURE;
    if (!it) {
        TS_MPI_TRP_RNE_Error("LoadModel must be called before Forward.");
        return NULL;
    }
    if (!it->uses_chip) {
        TS_MPI_TRP_RNE_Error("OnceLoad must be called before Forward: what stays on the chip is not "
                             "there yet.");
        return NULL;
    }
    for (at = 0; at < it->inputs.u32NBlob && !status; at++)
        if (!is_in_place(it, knl_input(&it->net, at), &it->inputs.stpBlob[at], KNL_INPUTS))
            status = exchange(it, knl_input(&it->net, at), &it->inputs.stpBlob[at], 1);
    if (!status) {
        knl_error error;
        knl_run(&it->net, NULL, NULL);
        status = knl_host_status(&it->net, &error);
        if (status)
            TS_MPI_TRP_RNE_Error("%s", error.sentence);
    }
    for (at = 0; at < it->chip_results && !status; at++)
        if (!is_in_place(it, knl_output(&it->net, it->sources[at]), &it->results.stpBlob[at],
                         KNL_OUTPUTS))
            status =
                exchange(it, knl_output(&it->net, it->sources[at]), &it->results.stpBlob[at], 0);
    behind = TS_MPI_TRP_RNE_GetSysTimeUs();
    if (!status)
        status = run_layers(net);
    if (it->times) {
        TS_U32 end = TS_MPI_TRP_RNE_GetSysTimeUs();
        it->times->u64Hw += (TS_U32)(behind - start);
        it->times->u64Gp += (TS_U32)(end - behind);
        it->times->u64Forward += (TS_U32)(end - start);
        it->times->u32Forwards++;
    }
    return status ? NULL : &it->results;
}

TS_S32 TS_MPI_TRP_RNE_NetBindTimeState(RNE_NET_S *net, RNE_TIME_STATES_S *state) {
    inner *it = inner_of(net);
    if (!it)
        return TS_FAILURE;
    it->times = state;
    return TS_SUCCESS;
}

RNE_BLOBS_S *TS_MPI_TRP_RNE_GetInputBlobs(RNE_NET_S *net) {
    inner *it = inner_of(net);
    return it ? &it->inputs : NULL;
}

RNE_BLOBS_S *TS_MPI_TRP_RNE_GetResultBlobs(RNE_NET_S *net) {
    inner *it = inner_of(net);
    return it ? &it->results : NULL;
}

RNE_BLOBS_S *TS_MPI_TRP_RNE_GetHideBlobs(RNE_NET_S *net) {
    inner *it = inner_of(net);
    return it ? &it->hidden : NULL; /* none: cpDebugLayerName is for the vendor's _d build */
}

const TS_CHAR *TS_MPI_TRP_RNE_GetResVersion(RNE_NET_S *net) {
    inner *it = inner_of(net);
    return it ? it->res_version : "";
}

TS_U32 TS_MPI_TRP_RNE_GetBlobsBufSize(RNE_NET_S *net) {
    inner *it = inner_of(net);
    knl_network own;
    knl_handler *between = NULL;
    bridge *bridges = NULL;
    size_t found = 0;
    if (it || !open_network(net, &own, NULL, &between, &bridges))
        found = knl_arena_bytes(it ? &it->net : &own);
    free(between);
    free(bridges);
    return found <= UINT32_MAX ? (TS_U32)found : 0;
}

TS_S64 TS_MPI_TRP_RNE_GetWeightSize(RNE_NET_S *net) {
    const TS_U8 *weight = net && net->u8pParams ? net->u8pParams : net ? net->u8pWeight : NULL;
    return weight ? (TS_S64)weight_bytes(weight) : 0;
}

TS_S64 TS_MPI_TRP_RNE_GetCfgSize(RNE_NET_S *net) {
    return net ? net->s32GraphLen : 0;
}

TS_S32 TS_MPI_TRP_RNE_SetInputBlobsAddr(RNE_NET_S *net, void *vir, void *phy) {
    inner *it = inner_of(net);
    (void)phy;
    if (!it || !vir || set_outside(it, KNL_INPUTS, vir, it->input_bytes))
        return TS_FAILURE;
    place(&it->inputs, it->inputs.u32NBlob, vir);
    return TS_SUCCESS;
}

TS_S32 TS_MPI_TRP_RNE_SetResultBlobsAddr(RNE_NET_S *net, void *vir, void *phy) {
    inner *it = inner_of(net);
    (void)phy;
    if (!it || !vir ||
        (it->results_in_place && set_outside(it, KNL_OUTPUTS, vir, it->result_bytes)))
        return TS_FAILURE;
    place(&it->results, it->chip_results, vir);
    return TS_SUCCESS;
}

TS_S32 TS_MPI_TRP_RNE_SetWeightAddr(RNE_NET_S *net, void *addr, TS_RNE_BOOL isPhy) {
    (void)isPhy;
    if (!net || !addr || (uintptr_t)addr % 4 || net->vpInnerNd) {
        TS_MPI_TRP_RNE_Error("weights must lie at a multiple of 4 bytes, and be set before "
                             "LoadModel.");
        return TS_FAILURE;
    }
    net->u8pParams = addr;
    return TS_SUCCESS;
}

TS_S32 TS_MPI_TRP_RNE_SetCommonBlobsMemoryCache(RNE_NET_S *net, TS_RNE_BOOL isCached) {
    (void)isCached;
    return net ? TS_SUCCESS : TS_FAILURE;
}
