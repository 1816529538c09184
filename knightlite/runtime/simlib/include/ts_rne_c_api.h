/* The vendor's C interface over the runtime that simulates its chips: a program in its order of calls
 * compiles unchanged. TS_S32: 0 is success. */
#ifndef TS_RNE_C_API_H
#define TS_RNE_C_API_H

#include "ts_rne_device.h"
#include "ts_rne_log.h"
#include "ts_rne_nn_input.h"
#include "ts_rne_nn_output.h"
#include "ts_rne_plat_port.h"
#include "ts_rne_time.h"
#include "ts_rne_type.h"
#include "ts_rne_version.h"

#ifdef __cplusplus
extern "C" {
#endif

TS_S32 TS_MPI_TRP_RNE_LoadModel(RNE_NET_S *net);
TS_S32 TS_MPI_TRP_RNE_UnloadModel(RNE_NET_S *net);
TS_S32 TS_MPI_TRP_RNE_OnceLoad(RNE_NET_S *net);
RNE_BLOBS_S *TS_MPI_TRP_RNE_Forward(RNE_NET_S *net); /* NULL: failed */

RNE_BLOBS_S *TS_MPI_TRP_RNE_GetInputBlobs(RNE_NET_S *net);
RNE_BLOBS_S *TS_MPI_TRP_RNE_GetResultBlobs(RNE_NET_S *net);
RNE_BLOBS_S *TS_MPI_TRP_RNE_GetHideBlobs(RNE_NET_S *net);
TS_U32 TS_MPI_TRP_RNE_GetBlobsBufSize(RNE_NET_S *net);
TS_S32 TS_MPI_TRP_RNE_CStride(TS_S32 chan, TS_S32 bitNum, TS_RNE_BOOL isJoined);
TS_S32 TS_MPI_TRP_RNE_GetBlobCStride(RNE_BLOB_S *blob);
TS_SIZE_T TS_MPI_TRP_RNE_GetBlobSize(RNE_BLOB_S *blob);
TS_SIZE_T TS_MPI_TRP_RNE_GetBlobsSize(RNE_BLOBS_S *blobs);
TS_S64 TS_MPI_TRP_RNE_GetWeightSize(RNE_NET_S *net);
TS_S64 TS_MPI_TRP_RNE_GetCfgSize(RNE_NET_S *net);

/* Memory of the caller for blobs; one behind the other. */
TS_S32 TS_MPI_TRP_RNE_SetInputBlobsAddr(RNE_NET_S *net, void *vir, void *phy);
TS_S32 TS_MPI_TRP_RNE_SetResultBlobsAddr(RNE_NET_S *net, void *vir, void *phy);
TS_S32 TS_MPI_TRP_RNE_SetWeightAddr(RNE_NET_S *net, void *addr, TS_RNE_BOOL isPhy);
TS_S32 TS_MPI_TRP_RNE_SetCommonBlobsMemoryCache(RNE_NET_S *net, TS_RNE_BOOL isCached);

/* General layers: OpenDevice's second argument registers those that come with the library. */
void TS_MPI_TRP_RNE_RegisterGpLayers(void);
TS_S32 TS_MPI_TRP_RNE_InitGpLayerNum(TS_U32 num);
TS_S32 TS_MPI_TRP_RNE_RegisterGpLayer(TS_U32 layerType, RNE_GP_LAYER_HANDLER handler);
TS_S32 TS_MPI_TRP_RNE_RegisterGpUserData(RNE_NET_S *net, TS_S32 layerId, void *userData);
RNE_GP_LAYERS_S *TS_MPI_TRP_RNE_GetGpLayers(RNE_NET_S *net);
/* Ours: the type of a layer that ONNX calls so. */
TS_U32 TS_MPI_TRP_RNE_GpLayerType(const TS_CHAR *op);

#ifdef __cplusplus
}
#endif

#endif
