/* Memory. There is one kind here: physical addresses are those of the program. */
#ifndef TS_RNE_PLAT_PORT_H
#define TS_RNE_PLAT_PORT_H

#include "ts_type.h"

#ifdef __cplusplus
extern "C" {
#endif

void *TS_MPI_TRP_RNE_Alloc(TS_SIZE_T len);
void TS_MPI_TRP_RNE_Free(void *ptr);
void *TS_MPI_TRP_RNE_AllocLinearMemCached(TS_SIZE_T len, TS_U32 flags);
void TS_MPI_TRP_RNE_FreeLinearMemCached(void *ptr);
TS_S32 TS_MPI_TRP_RNE_CleanLinearMemCached(void *ptr, TS_SIZE_T len);
TS_S32 TS_MPI_TRP_RNE_InvalidateLinearMemCached(void *ptr, TS_SIZE_T len);
void *TS_MPI_TRP_RNE_VirtualToPhysicalAddress(void *ptr);
void *TS_MPI_TRP_RNE_PhysicalToVirtualAddress(void *ptr);

#ifdef __cplusplus
}
#endif

#endif
