/* Output blobs: to memory, to files, to a checksum. */
#ifndef TS_RNE_NN_OUTPUT_H
#define TS_RNE_NN_OUTPUT_H

#include "ts_rne_type.h"

#ifdef __cplusplus
extern "C" {
#endif

TS_S32 TS_MPI_TRP_RNE_DumpOutputBlob(RNE_NET_S *net, void *output, TS_S32 blobIdx);
TS_S32 TS_MPI_TRP_RNE_DumpOutputBlobs(RNE_NET_S *net, void *output);
TS_S32 TS_MPI_TRP_RNE_FormatConversion(RNE_BLOB_S *src, RNE_BLOB_S *dst);

/* CRC-16/CCITT (0x1021, begun with 0xFFFF) of the integer blobs as they lie: `knightlite sim`
 * prints the same. */
TS_U16 TS_MPI_TRP_RNE_GetBlobsCRC16CCITT(RNE_BLOBS_S *blobs);

/* The simulator's text files of the integer blobs: result-NAME_p.txt and result-NAME_hwc.txt in
 * `folder`, which ends in '/'. `name`: of one blob, or NULL for all. `frame`: its number where
 * `frames` are more than one. */
TS_S32 RNE_RecordFile(RNE_BLOBS_S *blobs, const TS_CHAR *folder, const TS_CHAR *name, TS_S32 frame,
                      TS_S32 frames);

#ifdef __cplusplus
}
#endif

#endif
