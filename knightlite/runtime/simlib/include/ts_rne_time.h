/* Microseconds of this computer, not of the chip: `knightlite profile` predicts those. */
#ifndef TS_RNE_TIME_H
#define TS_RNE_TIME_H

#include "ts_rne_type.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    TS_U64 u64Forward, u64Gp, u64Hw;
    TS_U32 u32Forwards;
} RNE_TIME_STATES_S;

TS_U32 TS_MPI_TRP_RNE_GetSysTimeUs(void);
TS_U32 TS_MPI_TRP_RNE_GetSysTimeMs(void);
TS_S32 TS_MPI_TRP_RNE_StartSysTimer(void);
TS_S32 TS_MPI_TRP_RNE_InitTimeState(TS_U32 gpNum, RNE_TIME_STATES_S *state);
TS_S32 TS_MPI_TRP_RNE_ReleaseTimeState(RNE_TIME_STATES_S *state);
TS_S32 TS_MPI_TRP_RNE_ResetTimeState(RNE_TIME_STATES_S *state);
TS_S32 TS_MPI_TRP_RNE_NetBindTimeState(RNE_NET_S *net, RNE_TIME_STATES_S *state);
TS_U64 TS_MPI_TRP_RNE_GetTotalTime(RNE_TIME_STATES_S *state);
TS_U64 TS_MPI_TRP_RNE_GetTimeOfForward(RNE_TIME_STATES_S *state);
TS_U64 TS_MPI_TRP_RNE_GetTimeOfGpLayer(RNE_TIME_STATES_S *state);
TS_U64 TS_MPI_TRP_RNE_GetTimeOfHwLayer(RNE_TIME_STATES_S *state);

#ifdef __cplusplus
}
#endif

#endif
