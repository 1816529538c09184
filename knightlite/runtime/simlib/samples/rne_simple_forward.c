/* Runs a compiled network in the vendor's order of calls: files or arrays, one input, its outputs.
 *
 *     rne_simple_forward X_r.cfg X_r.weight INPUT [CHIP TYPE] */
#include <stdio.h>
#include <stdlib.h>

#include "ts_rne_c_api.h"

static TS_U8 *read_file(const char *name, long *bytes) {
    FILE *opened = fopen(name, "rb");
    TS_U8 *data;
    if (!opened || fseek(opened, 0, SEEK_END))
        exit(2);
    *bytes = ftell(opened);
    rewind(opened);
    data = malloc((size_t)*bytes);
    if (!data || fread(data, 1, (size_t)*bytes, opened) != (size_t)*bytes)
        exit(2);
    fclose(opened);
    return data;
}

int main(int count, char **words) {
    static RNE_NET_S net; /* zeroed */
    long graph_bytes, params_bytes, input_bytes;
    TS_U8 *input;
    RNE_BLOBS_S *out;
    TS_U32 at;
    if (count < 4)
        return 2;
    if (TS_MPI_TRP_RNE_InitResourceByType(
            count > 4 ? (RNE_TYPE_NAME_E)atoi(words[4]) : RNE_TYPE_NAME_TX5368AV200))
        return 1;
    TS_MPI_TRP_RNE_SetLogLevel(RNE_LOG_INFO);
    net.u8pGraph = read_file(words[1], &graph_bytes);
    net.s32GraphLen = (TS_S32)graph_bytes;
    net.u8pParams = read_file(words[2], &params_bytes);
    net.eInputType = INT_CHW;
    net.eOutputType = NHWC_TO_NCHW;
    if (TS_MPI_TRP_RNE_OpenDevice(NULL, TS_MPI_TRP_RNE_RegisterGpLayers) ||
        TS_MPI_TRP_RNE_LoadModel(&net) || TS_MPI_TRP_RNE_OnceLoad(&net))
        return 1;
    input = read_file(words[3], &input_bytes);
    if (TS_MPI_TRP_RNE_FillInputBlobs(&net, 0, input))
        return 1;
    out = TS_MPI_TRP_RNE_Forward(&net);
    if (!out)
        return 1;
    for (at = 0; at < out->u32NBlob; at++)
        printf("%s: %dx%dx%d, %d bits\n", out->stpBlob[at].cpName, (int)out->stpBlob[at].s32H,
               (int)out->stpBlob[at].s32W, (int)out->stpBlob[at].s32C,
               (int)out->stpBlob[at].s32BitNum);
    RNE_RecordFile(out, "./", NULL, 0, 1);
    printf("crc16: 0x%04x\n", TS_MPI_TRP_RNE_GetBlobsCRC16CCITT(out));
    TS_MPI_TRP_RNE_UnloadModel(&net);
    TS_MPI_TRP_RNE_CloseDevice();
    free(net.u8pGraph);
    free(net.u8pParams);
    free(input);
    return 0;
}
