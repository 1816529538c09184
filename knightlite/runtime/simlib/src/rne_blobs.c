/* Blobs: filled, dumped, written as text, summed up. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "inner.h"

enum { MOST_NAME = 160 };

static size_t element_bytes(const RNE_BLOB_S *blob) {
    return (size_t)blob->s32BitNum / 8;
}

static int is_integer(const RNE_BLOB_S *blob) {
    return !blob->s32pQ || *blob->s32pQ != -1;
}

TS_S32 TS_MPI_TRP_RNE_CStride(TS_S32 chan, TS_S32 bitNum, TS_RNE_BOOL isJoined) {
    TS_S32 lanes = bitNum > 8 ? 8 : 16;
    return isJoined ? chan : (chan + lanes - 1) / lanes * lanes;
}

TS_S32 TS_MPI_TRP_RNE_GetBlobCStride(RNE_BLOB_S *blob) {
    return blob ? blob->s32CStride : 0;
}

TS_SIZE_T TS_MPI_TRP_RNE_GetBlobSize(RNE_BLOB_S *blob) {
    return blob ? blob->u32Size : 0;
}

TS_SIZE_T TS_MPI_TRP_RNE_GetBlobsSize(RNE_BLOBS_S *blobs) {
    TS_SIZE_T found = 0;
    TS_U32 at;
    for (at = 0; blobs && at < blobs->u32NBlob; at++)
        found += blobs->stpBlob[at].u32Size;
    return found;
}

static size_t pixels_of(const RNE_BLOB_S *blob) {
    return (size_t)blob->s32N * (size_t)blob->s32H * (size_t)blob->s32W;
}

/* Where an element lies in the blob. */
static unsigned char *element(const RNE_BLOB_S *blob, size_t pixel, size_t channel) {
    size_t at = pixel * (size_t)blob->s32CStride + channel;
    return (unsigned char *)blob->vpAddr + at * element_bytes(blob);
}

static long integer(const RNE_BLOB_S *blob, size_t pixel, size_t channel) {
    const unsigned char *at = element(blob, pixel, channel);
    long found = at[0];
    if (blob->s32BitNum == 16) {
        found |= (long)at[1] << 8;
        return found >= 32768 && !blob->bIsUnsigned ? found - 65536 : found;
    }
    return found >= 128 && !blob->bIsUnsigned ? found - 256 : found;
}

/* ---- inputs */

/* Bytes of a blob's share of what FillInputBlobs gets. */
static size_t given_bytes(const RNE_NET_S *net, const RNE_BLOB_S *blob) {
    size_t count = pixels_of(blob) * (size_t)blob->s32C;
    switch (net->eInputType) {
    case FLOAT_HWC:
    case FLOAT_CHW:
        return count * sizeof(float);
    case FORMAT_RGB0:
    case FORMAT_BGR0:
    case FORMAT_0RGB:
        return pixels_of(blob) * 4;
    case INT_HWCSTRIDE:
        return pixels_of(blob) * (size_t)blob->s32CStride * element_bytes(blob);
    default:
        return count * element_bytes(blob);
    }
}

/* Which byte of a pixel of 4 a channel is. */
static size_t byte_of(const RNE_NET_S *net, size_t channel) {
    if (net->eInputType == FORMAT_BGR0)
        return 2 - channel;
    return net->eInputType == FORMAT_0RGB ? channel + 1 : channel;
}

static int fill_one(const RNE_NET_S *net, const RNE_BLOB_S *blob, const knl_tensor *tensor,
                    const unsigned char *from) {
    size_t pixels = pixels_of(blob), channels = (size_t)blob->s32C, bytes = element_bytes(blob);
    size_t pixel, channel;
    int real = net->eInputType == FLOAT_HWC || net->eInputType == FLOAT_CHW;
    int by_channel = net->eInputType == FLOAT_CHW || net->eInputType == INT_CHW;
    int in_four = net->eInputType == FORMAT_RGB0 || net->eInputType == FORMAT_BGR0 ||
                  net->eInputType == FORMAT_0RGB;
    if ((in_four && channels != 3) || (net->eInputType == HWC_GREY && channels != 1) ||
        ((in_four || net->eInputType == HWC_GREY) && bytes != 1)) {
        TS_MPI_TRP_RNE_Error("input %s has %d channels of %d bits, which eInputType %d does not "
                             "fill.",
                             blob->cpName, (int)blob->s32C, (int)blob->s32BitNum,
                             (int)net->eInputType);
        return TS_FAILURE;
    }
    if (net->eInputType == INT_HWCSTRIDE) {
        memcpy(blob->vpAddr, from, blob->u32Size);
        return TS_SUCCESS;
    }
    for (pixel = 0; pixel < pixels; pixel++)
        for (channel = 0; channel < channels; channel++) {
            size_t at = by_channel ? channel * pixels + pixel : pixel * channels + channel;
            unsigned char *to = element(blob, pixel, channel);
            if (real) {
                float number;
                memcpy(&number, from + at * sizeof number, sizeof number);
                if (knl_put_real(to, tensor, channel, number)) {
                    TS_MPI_TRP_RNE_Error("input %s must hold numbers, not NaN.", blob->cpName);
                    return TS_FAILURE;
                }
            } else if (in_four) {
                to[0] = from[pixel * 4 + byte_of(net, channel)];
            } else {
                memcpy(to, from + at * bytes, bytes);
            }
        }
    return TS_SUCCESS;
}

static TS_S32 fill(RNE_NET_S *net, RNE_BLOBS_S *blobs, const void *input, TS_U32 first,
                   TS_U32 last) {
    inner *it = inner_of(net);
    const unsigned char *from = input;
    TS_U32 at;
    if (!it || !input || !blobs || blobs->u32NBlob != it->inputs.u32NBlob || last > blobs->u32NBlob) {
        TS_MPI_TRP_RNE_Error("FillInputBlobs needs a loaded network, its input blobs and an input.");
        return TS_FAILURE;
    }
    for (at = first; at < last; at++) {
        knl_tensor tensor = knl_tensor_at(&it->net, knl_input(&it->net, at));
        if (fill_one(net, &blobs->stpBlob[at], &tensor, from))
            return TS_FAILURE;
        from += given_bytes(net, &blobs->stpBlob[at]);
    }
    return TS_SUCCESS;
}

TS_S32 TS_MPI_TRP_RNE_FillInputBlob(RNE_NET_S *net, TS_S32 coreIdx, const void *input,
                                    TS_S32 blobIdx) {
    inner *it = inner_of(net);
    (void)coreIdx;
    if (blobIdx < 0)
        return TS_FAILURE;
    return fill(net, it ? &it->inputs : NULL, input, (TS_U32)blobIdx, (TS_U32)blobIdx + 1);
}

TS_S32 (TS_MPI_TRP_RNE_FillInputBlobs)(RNE_NET_S *net, TS_S32 coreIdx, const void *input) {
    inner *it = inner_of(net);
    (void)coreIdx;
    return fill(net, it ? &it->inputs : NULL, input, 0, it ? it->inputs.u32NBlob : 0);
}

TS_S32 TS_MPI_TRP_RNE_FillGivenInputBlobs(RNE_NET_S *net, RNE_BLOBS_S *blobs, TS_S32 coreIdx,
                                          const void *input) {
    (void)coreIdx;
    return fill(net, blobs, input, 0, blobs ? blobs->u32NBlob : 0);
}

/* ---- outputs */

/* Dense, by pixels or channels; the bytes. */
static size_t dump(const RNE_BLOB_S *blob, int by_channel, unsigned char *to) {
    size_t pixels = pixels_of(blob), channels = (size_t)blob->s32C, bytes = element_bytes(blob);
    size_t pixel, channel;
    if (!is_integer(blob)) {
        memcpy(to, blob->vpAddr, blob->u32Size); /* of the host: in ONNX's order already */
        return blob->u32Size;
    }
    if (!by_channel) {
        memcpy(to, blob->vpAddr, blob->u32Size);
        return blob->u32Size;
    }
    for (pixel = 0; pixel < pixels; pixel++)
        for (channel = 0; channel < channels; channel++)
            memcpy(to + (channel * pixels + pixel) * bytes, element(blob, pixel, channel), bytes);
    return pixels * channels * bytes;
}

TS_S32 TS_MPI_TRP_RNE_DumpOutputBlob(RNE_NET_S *net, void *output, TS_S32 blobIdx) {
    inner *it = inner_of(net);
    if (!it || !output || blobIdx < 0 || (TS_U32)blobIdx >= it->results.u32NBlob)
        return TS_FAILURE;
    dump(&it->results.stpBlob[blobIdx], net->eOutputType == NHWC_TO_NCHW, output);
    return TS_SUCCESS;
}

TS_S32 TS_MPI_TRP_RNE_DumpOutputBlobs(RNE_NET_S *net, void *output) {
    inner *it = inner_of(net);
    unsigned char *to = output;
    TS_U32 at;
    if (!it || !output)
        return TS_FAILURE;
    for (at = 0; at < it->results.u32NBlob; at++)
        to += dump(&it->results.stpBlob[at], net->eOutputType == NHWC_TO_NCHW, to);
    return TS_SUCCESS;
}

TS_S32 TS_MPI_TRP_RNE_FormatConversion(RNE_BLOB_S *src, RNE_BLOB_S *dst) {
    size_t pixel, channel;
    if (!src || !dst || src->s32BitNum != dst->s32BitNum || pixels_of(src) != pixels_of(dst) ||
        src->s32C != dst->s32C)
        return TS_FAILURE;
    for (pixel = 0; pixel < pixels_of(src); pixel++)
        for (channel = 0; channel < (size_t)src->s32C; channel++)
            memcpy(element(dst, pixel, channel), element(src, pixel, channel), element_bytes(src));
    return TS_SUCCESS;
}

TS_U16 TS_MPI_TRP_RNE_GetBlobsCRC16CCITT(RNE_BLOBS_S *blobs) {
    unsigned sum = 0xffff, bit;
    TS_U32 which, at;
    for (which = 0; blobs && which < blobs->u32NBlob; which++) {
        const RNE_BLOB_S *blob = &blobs->stpBlob[which];
        const unsigned char *bytes = blob->vpAddr;
        for (at = 0; is_integer(blob) && at < blob->u32Size; at++) {
            sum ^= (unsigned)bytes[at] << 8;
            for (bit = 0; bit < 8; bit++)
                sum = sum & 0x8000 ? (sum << 1 ^ 0x1021) & 0xffff : sum << 1 & 0xffff;
        }
    }
    return (TS_U16)sum;
}

/* ---- text files */

/* `result-NAME`, with the frame's number and an ending, as the simulator calls it; 0: too long. */
static int file_name(char *to, size_t room, const char *folder, const char *name, int frame,
                     const char *ending) {
    char plain[MOST_NAME + 1];
    size_t at, length = strlen(name);
    int made;
    if (length + strlen("result-") > MOST_NAME)
        return 0;
    for (at = 0; at <= length; at++) {
        unsigned char letter = (unsigned char)name[at];
        int bad = (letter && letter < 0x20) || letter == 0x7f || (letter && strchr("/\\:<>\"|?*", letter));
        plain[at] = bad ? '_' : name[at];
    }
    if (frame < 0)
        made = snprintf(to, room, "%sresult-%s%s", folder, plain, ending);
    else
        made = snprintf(to, room, "%sresult-%s.%d%s", folder, plain, frame, ending);
    return made > 0 && (size_t)made < room;
}

/* Value number `at` in the order of channels, rows, columns. */
static long value_at(const RNE_BLOB_S *blob, size_t at) {
    size_t pixels = (size_t)blob->s32H * (size_t)blob->s32W;
    double found;
    if (is_integer(blob))
        return integer(blob, at % pixels, at / pixels);
    found = (double)((const float *)blob->vpAddr)[at] / (double)*blob->fCoeff;
    return (long)(found < 0 ? found - 0.5 : found + 0.5); /* it is whole but for rounding */
}

static void write_by_channel(FILE *to, const RNE_BLOB_S *blob) {
    const TS_S32 *shape = blob->s32TextShape;
    size_t planes = (size_t)shape[0] * (size_t)shape[1], plane, row, column, at = 0;
    fprintf(to, "SHAPE:(N:%d, C:%d, H:%d, W:%d)\n", (int)shape[0], (int)shape[1], (int)shape[2],
            (int)shape[3]);
    for (plane = 0; plane < planes; plane++) {
        fprintf(to, "C[%lu]:\n", (unsigned long)(plane % (size_t)shape[1]));
        for (row = 0; row < (size_t)shape[2]; row++) {
            for (column = 0; column < (size_t)shape[3]; column++)
                fprintf(to, "%ld,", value_at(blob, at++));
            fputc('\n', to);
        }
    }
}

static void write_by_pixel(FILE *to, const RNE_BLOB_S *blob) {
    size_t channel, pixel, width = (size_t)blob->s32W, height = (size_t)blob->s32H;
    fprintf(to, "SHAPE:(N:%d,H:%d,W:%d,C:%d)\n", (int)blob->s32N, (int)blob->s32H,
            (int)blob->s32W, (int)blob->s32C);
    for (pixel = 0; pixel < pixels_of(blob); pixel++) {
        fprintf(to, "HW[%lu,%lu]:\n", (unsigned long)(pixel / width % height),
                (unsigned long)(pixel % width));
        for (channel = 0; channel < (size_t)blob->s32C; channel++)
            fprintf(to, "%ld,", integer(blob, pixel, channel));
        fputc('\n', to);
    }
}

TS_S32 RNE_RecordFile(RNE_BLOBS_S *blobs, const TS_CHAR *folder, const TS_CHAR *name, TS_S32 frame,
                      TS_S32 frames) {
    static const char *const endings[2] = {"_p.txt", "_hwc.txt"};
    char path[4096];
    TS_U32 at;
    int form, bad;
    for (at = 0; blobs && at < blobs->u32NBlob; at++) {
        const RNE_BLOB_S *blob = &blobs->stpBlob[at];
        if (name && strcmp(name, blob->cpName))
            continue;
        for (form = 0; form < blob->s32Texts; form++) {
            FILE *to = NULL;
            if (file_name(path, sizeof path, folder ? folder : "./", blob->cpName,
                          frames > 1 ? (int)frame : -1, endings[form]))
                to = fopen(path, "wb");
            if (!to) {
                TS_MPI_TRP_RNE_Error("the text of blob %s cannot be written into %s.",
                                     blob->cpName, folder ? folder : "./");
                return TS_FAILURE;
            }
            if (form)
                write_by_pixel(to, blob);
            else
                write_by_channel(to, blob);
            bad = ferror(to);
            if (fclose(to) || bad) {
                TS_MPI_TRP_RNE_Error("%s cannot be written.", path);
                return TS_FAILURE;
            }
        }
    }
    return blobs ? TS_SUCCESS : TS_FAILURE;
}
