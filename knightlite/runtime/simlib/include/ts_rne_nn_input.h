/* Input blobs. FillInputBlobs has two generations: (net, coreIdx, input), and of older programs
 * (net, blobs, 0, input); both compile. `input` has all inputs, one behind the other. */
#ifndef TS_RNE_NN_INPUT_H
#define TS_RNE_NN_INPUT_H

#include "ts_rne_type.h"

#ifdef __cplusplus
extern "C" {
#endif

TS_S32 TS_MPI_TRP_RNE_FillInputBlob(RNE_NET_S *net, TS_S32 coreIdx, const void *input,
                                    TS_S32 blobIdx);
TS_S32 TS_MPI_TRP_RNE_FillInputBlobs(RNE_NET_S *net, TS_S32 coreIdx, const void *input);
TS_S32 TS_MPI_TRP_RNE_FillGivenInputBlobs(RNE_NET_S *net, RNE_BLOBS_S *blobs, TS_S32 coreIdx,
                                          const void *input);

#ifdef __cplusplus
}
#endif

#define RNE_FIFTH(a, b, c, d, e, ...) e
#define TS_MPI_TRP_RNE_FillInputBlobs(...)                                                         \
    RNE_FIFTH(__VA_ARGS__, TS_MPI_TRP_RNE_FillGivenInputBlobs, (TS_MPI_TRP_RNE_FillInputBlobs),    \
              0)(__VA_ARGS__)

#endif
