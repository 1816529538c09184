/* The device, which is this computer. */
#ifndef TS_RNE_DEVICE_H
#define TS_RNE_DEVICE_H

#include "ts_rne_type.h"

#ifdef __cplusplus
extern "C" {
#endif

TS_S32 TS_MPI_TRP_RNE_InitResourceByType(RNE_TYPE_NAME_E type);
TS_S32 TS_MPI_TRP_RNE_OpenDevice(RNE_DRIVER_S *driver, TS_MPI_TRP_RNE_RegisterAllGpLayers layers);
TS_S32 TS_MPI_TRP_RNE_CloseDevice(void);
TS_RNE_BOOL TS_MPI_TRP_RNE_DeviceIsOpened(void);
TS_RNE_BOOL TS_MPI_TRP_RNE_SetTimeout(TS_S32 milliseconds);
TS_S32 TS_MPI_TRP_RNE_GetCoreNum(void);
TS_S32 TS_MPI_TRP_RNE_GetAvailableCore(RNE_NET_S *net);
TS_S32 TS_MPI_TRP_RNE_GetExpectedCore(RNE_NET_S *net, TS_S32 idx);
TS_S32 TS_MPI_TRP_RNE_GetDeviceBufferSize(void);

#ifdef __cplusplus
}
#endif

#endif
