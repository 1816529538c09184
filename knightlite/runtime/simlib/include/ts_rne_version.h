#ifndef TS_RNE_VERSION_H
#define TS_RNE_VERSION_H

#include "ts_rne_type.h"

#ifdef __cplusplus
extern "C" {
#endif

const TS_CHAR *TS_MPI_TRP_RNE_GetSdkVersion(void);
const TS_CHAR *TS_MPI_TRP_RNE_GetResVersion(RNE_NET_S *net); /* what --res-version stored */

#ifdef __cplusplus
}
#endif

#endif
