/* Files: sections, checksums, the identity of a program, its plan. docs/formats.md */
#include "knl_core.h"

enum { HEAD = 16, ENTRY = 64, NAME = 16, MOST_SECTIONS = 4 };

typedef struct section {
    const uint8_t *data; /* NULL where the file has none */
    size_t bytes;
    const uint8_t *digest;
} section;

typedef struct kind {
    const char *magic, *name;
    const char *sections[MOST_SECTIONS + 1]; /* NULL behind the last */
    unsigned needed;                         /* so many must be there, the first ones */
} kind;

static const kind CFG = {KNL_CFG_MAGIC, "the .cfg", {"meta", "plan", "code", "host", NULL}, 3};
static const kind WEIGHT = {KNL_WEIGHT_MAGIC, "the .weight", {"meta", "data", NULL}, 2};
static const kind MODEL = {KNL_MODEL_MAGIC, "the .tsmodel", {"cfg", "weight", NULL}, 2};

static void hash(const uint8_t *data, size_t bytes, uint8_t digest[KNL_DIGEST]) {
    knl_sha256 running;
    knl_sha256_start(&running);
    knl_sha256_add(&running, data, bytes);
    knl_sha256_end(&running, digest);
}

static int is_hash(const uint8_t *data, size_t bytes, const uint8_t *digest) {
    uint8_t found[KNL_DIGEST];
    hash(data, bytes, found);
    return memcmp(found, digest, KNL_DIGEST) == 0;
}

static knl_text entry_name(const uint8_t *entry) {
    knl_text found;
    found.bytes = (const char *)entry;
    found.length = NAME;
    while (found.length && !entry[found.length - 1])
        found.length--;
    return found;
}

static int same(const knl_text *one, const char *other) {
    uint32_t at;
    for (at = 0; at < one->length; at++)
        if (!other[at] || other[at] != one->bytes[at])
            return 0;
    return !other[at];
}

/* The header: magic, version, number of sections, checksum. */
static int read_head(const kind *file, const uint8_t *data, size_t bytes, uint64_t *end,
                     knl_error *error) {
    uint64_t count;
    if (bytes < 8 || memcmp(data, file->magic, 8))
        return knl_say(error, KNL_NOT_OURS, 0, "%s begins with another file's magic.", file->name);
    if (bytes < HEAD)
        return knl_say(error, KNL_TRUNCATED, bytes, "%s is truncated: %u bytes.", file->name,
                       (uint64_t)bytes);
    if (knl_u32(data + 8) != KNL_FORMAT_VERSION)
        return knl_say(error, KNL_VERSION, 8, "%s has format version %u, not %u.", file->name,
                       (uint64_t)knl_u32(data + 8), (uint64_t)KNL_FORMAT_VERSION);
    count = knl_u32(data + 12);
    *end = HEAD + ENTRY * count;
    if (bytes < *end + KNL_DIGEST)
        return knl_say(error, KNL_TRUNCATED, bytes, "%s is truncated: %u bytes.", file->name,
                       (uint64_t)bytes);
    if (!is_hash(data, (size_t)*end, data + *end))
        return knl_say(error, KNL_DAMAGED, *end, "%s is damaged: its header checksum is wrong.",
                       file->name);
    return KNL_OK;
}

static int read_entry(const kind *file, const uint8_t *data, size_t bytes, const uint8_t *entry,
                      uint64_t *last, section *found, knl_error *error) {
    uint64_t offset = knl_u64(entry + NAME), size = knl_u64(entry + NAME + 8);
    uint64_t place = (uint64_t)(entry - data);
    knl_text name = entry_name(entry);
    unsigned at = 0;
    while (file->sections[at] && !same(&name, file->sections[at]))
        at++;
    if (!file->sections[at])
        return knl_say(error, KNL_DAMAGED, place, "%s is damaged: no reader knows its section %t.",
                       file->name, &name);
    if (found[at].data)
        return knl_say(error, KNL_DAMAGED, place, "%s is damaged: it has two sections %t.",
                       file->name, &name);
    if (offset != *last)
        return knl_say(error, KNL_DAMAGED, place,
                       "%s is damaged: section %t must start at byte %u, not %u.", file->name,
                       &name, *last, offset);
    if (size > bytes - offset)
        return knl_say(error, KNL_TRUNCATED, place,
                       "%s is truncated: %u bytes, but section %t has %u from byte %u on.",
                       file->name, (uint64_t)bytes, &name, size, offset);
    found[at].data = data + offset;
    found[at].bytes = (size_t)size;
    found[at].digest = entry + NAME + 16;
    if (!is_hash(found[at].data, found[at].bytes, found[at].digest))
        return knl_say(error, KNL_DAMAGED, offset,
                       "%s is damaged: the checksum of section %t is wrong.", file->name, &name);
    *last = offset + size;
    return KNL_OK;
}

static int read_sections(const kind *file, const uint8_t *data, size_t bytes, section *found,
                         knl_error *error) {
    uint64_t end = 0, last;
    const uint8_t *entry;
    unsigned at;
    int status = read_head(file, data, bytes, &end, error);
    if (status)
        return status;
    last = end + KNL_DIGEST;
    for (at = 0; at < MOST_SECTIONS; at++)
        found[at].data = NULL;
    for (entry = data + HEAD; entry < data + end; entry += ENTRY) {
        status = read_entry(file, data, bytes, entry, &last, found, error);
        if (status)
            return status;
    }
    if (last != bytes)
        return knl_say(error, KNL_DAMAGED, last,
                       "%s is damaged: it has %u bytes, but its sections end at %u.", file->name,
                       (uint64_t)bytes, last);
    for (at = 0; at < file->needed; at++)
        if (!found[at].data)
            return knl_say(error, KNL_DAMAGED, 0, "%s has no section %s.", file->name,
                           file->sections[at]);
    return KNL_OK;
}

/* The identity is that of the bytes, and the .weight carries the same. */
static int check_pair(const section *cfg, const section *weight, knl_error *error) {
    static const uint8_t none[KNL_DIGEST];
    static const uint8_t no_host[1];
    static const char key[] = "\"pair\":\"";
    enum { KEY = sizeof key - 1, HEX = 2 * KNL_DIGEST, TAIL = KEY + HEX + 2 };
    const section *plan = &cfg[1];
    uint8_t digests[4][KNL_DIGEST], pair[KNL_DIGEST];
    char tail[TAIL];
    knl_sha256 running;
    unsigned i;
    knl_sha256_start(&running);
    knl_sha256_add(&running, none, KNL_DIGEST);
    knl_sha256_add(&running, plan->data + KNL_DIGEST, plan->bytes - KNL_DIGEST);
    knl_sha256_end(&running, digests[0]);
    memcpy(digests[1], cfg[2].digest, KNL_DIGEST);
    memcpy(digests[2], weight[1].digest, KNL_DIGEST);
    if (cfg[3].data)
        memcpy(digests[3], cfg[3].digest, KNL_DIGEST);
    else
        hash(no_host, 0, digests[3]);
    hash(digests[0], sizeof digests, pair);
    memcpy(tail, key, KEY);
    for (i = 0; i < KNL_DIGEST; i++) {
        tail[KEY + 2 * i] = "0123456789abcdef"[plan->data[i] >> 4];
        tail[KEY + 2 * i + 1] = "0123456789abcdef"[plan->data[i] & 15];
    }
    tail[TAIL - 2] = '"';
    tail[TAIL - 1] = '}';
    if (weight->bytes < TAIL || memcmp(weight->data + weight->bytes - TAIL, tail, TAIL))
        return knl_say(error, KNL_PAIR, 0, "the .cfg and the .weight do not belong together.");
    if (memcmp(pair, plan->data, KNL_DIGEST))
        return knl_say(error, KNL_DAMAGED, 0, "the .cfg is damaged: its pair is of other bytes.");
    return KNL_OK;
}

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

/* Records of the plan: where they lie, and that they are all there. */
static int find_records(knl_network *net, const section *plan, knl_error *error) {
    const uint8_t *head = plan->data;
    uint64_t scales = knl_u32(head + KNL_HEAD_SCALES), at = KNL_HEAD_SIZE;
    net->layer_count = knl_u32(head + KNL_HEAD_LAYERS);
    net->tensor_count = knl_u32(head + KNL_HEAD_TENSORS);
    net->input_count = knl_u32(head + KNL_HEAD_INPUTS);
    net->output_count = knl_u32(head + KNL_HEAD_OUTPUTS);
    net->host_operators = knl_u32(head + KNL_HEAD_HOST_OPERATORS);
    at += (uint64_t)KNL_LAYER_SIZE * net->layer_count + (uint64_t)KNL_TENSOR_SIZE * net->tensor_count;
    at += (uint64_t)KNL_PLACE_SIZE * net->input_count + (uint64_t)KNL_PLACE_SIZE * net->output_count;
    at += KNL_SCALE_SIZE * scales;
    if (at > plan->bytes)
        return knl_say(error, KNL_DAMAGED, 0,
                       "the .cfg is damaged: its plan has %u bytes, but its records end at %u.",
                       (uint64_t)plan->bytes, at);
    net->layers = head + KNL_HEAD_SIZE;
    net->tensors = net->layers + (size_t)net->layer_count * KNL_LAYER_SIZE;
    net->places = net->tensors + (size_t)net->tensor_count * KNL_TENSOR_SIZE;
    net->scales = head + at - KNL_SCALE_SIZE * scales;
    net->texts = head + at;
    net->text_bytes = (size_t)(plan->bytes - at);
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
            status =
                check_stride(&tensor, "row_stride", tensor.row_stride, tensor.height, &reach, error);
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
    return status;
}

static uint64_t tensor_end(const knl_tensor *tensor) {
    knl_operand operand = knl_tensor_operand(tensor, 0);
    return knl_last(&operand);
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
            if (one.address < tensor_end(&two) && two.address < tensor_end(&one))
                return knl_say(error, KNL_DAMAGED, 0, "input %t lies inside input %t.", &one.name,
                               &two.name);
        }
    }
    return KNL_OK;
}

static int check_plan(knl_network *net, const uint8_t *head, knl_error *error) {
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
        status = knl_scan(net, error);
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
    return status ? status : check_inputs(net, error);
}

int knl_open(knl_network *net, const void *cfg, size_t cfg_bytes, const void *weight,
             size_t weight_bytes, unsigned options, knl_error *error) {
    section in_cfg[MOST_SECTIONS], in_weight[MOST_SECTIONS];
    const uint8_t *head;
    int status = read_sections(&CFG, cfg, cfg_bytes, in_cfg, error);
    memset(net, 0, sizeof *net);
    if (!status)
        status = read_sections(&WEIGHT, weight, weight_bytes, in_weight, error);
    if (status)
        return status;
    if (in_cfg[1].bytes < KNL_HEAD_SIZE)
        return knl_say(error, KNL_DAMAGED, 0, "the .cfg is damaged: its plan has only %u bytes.",
                       (uint64_t)in_cfg[1].bytes);
    status = check_pair(in_cfg, in_weight, error);
    if (status)
        return status;
    head = in_cfg[1].data;
    net->options = options;
    net->code = in_cfg[2].data;
    net->code_bytes = in_cfg[2].bytes;
    net->constants = in_weight[1].data;
    net->constants_bytes = knl_u64(head + KNL_HEAD_CONSTANTS_BYTES);
    net->ddr_bytes = knl_u64(head + KNL_HEAD_DDR_BYTES);
    net->fspm_bytes = knl_u64(head + KNL_HEAD_FSPM_BYTES);
    net->wspm_bytes = knl_u64(head + KNL_HEAD_WSPM_BYTES);
    net->mspm_bytes = knl_u64(head + KNL_HEAD_MSPM_BYTES);
    net->wspm_align_bytes = knl_u64(head + KNL_HEAD_WSPM_ALIGN_BYTES);
    net->chip_digest = head + KNL_HEAD_CHIP_DIGEST;
    if (net->constants_bytes != in_weight[1].bytes)
        return knl_say(error, KNL_DAMAGED, KNL_HEAD_CONSTANTS_BYTES,
                       "the .cfg is damaged: constants_bytes must be %u, not %u.",
                       (uint64_t)in_weight[1].bytes, net->constants_bytes);
    status = check_memories(net, head, error);
    if (!status)
        status = find_records(net, &in_cfg[1], error);
    if (status)
        return status;
    if (in_cfg[3].data && !(options & KNL_CHIP_ONLY))
        return knl_say(error, KNL_HOST, 0,
                       "the .cfg has a section host, an ONNX model, which ONNX Runtime must run.");
    if (net->host_operators && !(options & KNL_CHIP_ONLY))
        return knl_say(error, KNL_HOST, 0, "the .cfg has %u operators that the host must run.",
                       (uint64_t)net->host_operators);
    status = check_plan(net, head, error);
    return status ? status : knl_use_kernels(net, knl_best_kernels(), error);
}

int knl_open_model(knl_network *net, const void *model, size_t model_bytes, unsigned options,
                   knl_error *error) {
    section found[MOST_SECTIONS];
    int status = read_sections(&MODEL, model, model_bytes, found, error);
    if (status)
        return status;
    return knl_open(net, found[0].data, found[0].bytes, found[1].data, found[1].bytes, options,
                    error);
}
