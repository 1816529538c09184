/* Networks, blobs and general layers: types of the vendor's interface, written from its public
 * documentation. Zero a structure before its members are set. */
#ifndef TS_RNE_TYPE_H
#define TS_RNE_TYPE_H

#include "ts_type.h"

typedef enum { TS_RNE_FALSE = 0, TS_RNE_TRUE = 1 } TS_RNE_BOOL;

/* Chips. The network's own facts are in its .cfg; what is named here must belong to them. */
typedef enum {
    RNE_TYPE_NAME_TX5105C = 0,
    RNE_TYPE_NAME_TX5103C,
    RNE_TYPE_NAME_TX5105CV100,
    RNE_TYPE_NAME_TX5103CV100,
    RNE_TYPE_NAME_TX5101C,
    RNE_TYPE_NAME_TX5101D,
    RNE_TYPE_NAME_TX5101E = 6,
    RNE_TYPE_NAME_TX5368AV200 = 10,
    RNE_TYPE_NAME_TX5339AV200,
    RNE_TYPE_NAME_TX5335AV200,
    RNE_TYPE_NAME_TX5215CV200,
    RNE_TYPE_NAME_TX5215DV200,
    RNE_TYPE_NAME_TX5215DV300,
    RNE_TYPE_NAME_TX5215EV300,
    RNE_TYPE_NAME_TX5239DV200,
    RNE_TYPE_NAME_TX5239DV220,
    RNE_TYPE_NAME_TX5239DV300,
    RNE_TYPE_NAME_TX5112CV201,
    RNE_TYPE_NAME_TX5112DV201,
    RNE_TYPE_NAME_TX5112CV300,
    RNE_TYPE_NAME_TX5112DV300,
    RNE_TYPE_NAME_TX5239CV201,
    RNE_TYPE_NAME_TX5239DV201,
    RNE_TYPE_NAME_TX5336AV200,
    RNE_TYPE_NAME_TX5256AV200
} RNE_TYPE_NAME_E;

/* What FillInputBlobs gets: float32 or integers, in the order of pixels or channels; pixels of 4
 * bytes with a byte that is left out; grey. FORMAT_0RGB and FORMAT_GREY are of older programs. */
typedef enum {
    FLOAT_HWC = 0,
    FLOAT_CHW = 1,
    INT_HWC = 2,
    INT_CHW = 3,
    FORMAT_RGB0 = 4,
    FORMAT_BGR0 = 5,
    HWC_GREY = 6,
    INT_HWCSTRIDE = 7,
    FORMAT_0RGB = 8,
    FORMAT_GREY = HWC_GREY
} RNE_INPUT_TYPE_E;

/* How DumpOutputBlobs writes. */
typedef enum { NONE = 0, NHWC_TO_NCHW = 1 } RNE_OUTPUT_TYPE_E;

/* How a blob lies. */
typedef enum { N_H_W_Cstride = 0, N_Cn_N_H_W_Cx = 1, N_H_W_C = 2 } RNE_BLOB_FORMAT_E;

/* real = integer * *fCoeff; *s32pQ is -1 where vpAddr holds float32. */
typedef struct {
    TS_S32 s32N, s32H, s32W, s32C;
    const TS_CHAR *cpName;
    void *vpAddr;
    TS_S32 s32Offs;
    TS_S32 s32BitNum;
    TS_RNE_BOOL bIsUnsigned;
    TS_RNE_BOOL bIsJoined;
    TS_S32 *s32pQ;
    TS_FLOAT *fCoeff;
    RNE_BLOB_FORMAT_E eFormat;
    TS_U32 u32Size; /* bytes at vpAddr */
    TS_S32 s32CStride; /* ours: elements between pixels */
    TS_S32 s32Texts;   /* ours: which text files there are: 0 none, 1 one (of values that the host
                          moves), 2 both */
    TS_S32 s32TextShape[4]; /* ours: N, C, H, W of the text by channels */
} RNE_BLOB_S;

typedef struct {
    TS_U32 u32NBlob;
    RNE_BLOB_S *stpBlob;
} RNE_BLOBS_S;

typedef struct {
    RNE_INPUT_TYPE_E eInputType;
    RNE_OUTPUT_TYPE_E eOutputType;
    TS_U8 *u8pParams;  /* .weight: read where it lies */
    TS_U8 *u8pWeight;  /* NULL: u8pParams has all */
    TS_S32 s32GraphLen;
    TS_U8 *u8pGraph;   /* .cfg */
    TS_CHAR *cpDebugLayerName;
    void *vpGpUserData;
    void *vpInnerNd;   /* the library's */
    void *vpSelfBuf;   /* memory of GetBlobsBufSize bytes, or NULL: the library takes its own */
    TS_S32 s32NTask;
    TS_S32 s32HoldCore;
} RNE_NET_S;

typedef struct {
    TS_U32 u32Size;
    void *vpAddr;
} RNE_BIN_DATA_S;

/* General layers: what the host runs behind the chip, or between two of its segments; there sizes and
 * memory of results are there already. `extra` has the attributes as lines of text
 * (name=value, lists with commas). Blobs are float32, dense in ONNX's order of axes, of which
 * s32N, s32H, s32W, s32C are the first four; constants come as inputs. */
typedef void (*RNE_GP_LAYER_HANDLER)(RNE_BLOBS_S *in, RNE_BLOBS_S *out, RNE_BIN_DATA_S *extra,
                                     void *user);

typedef struct {
    TS_S32 s32LayerId;
    TS_U32 u32LayerType;
    const TS_CHAR *cpName;
    const TS_CHAR *cpType; /* ours: ONNX's name of it */
} RNE_GP_LAYER_S;

typedef struct {
    TS_U32 u32NLayer;
    RNE_GP_LAYER_S *stpLayer;
} RNE_GP_LAYERS_S;

typedef void (*TS_MPI_TRP_RNE_RegisterAllGpLayers)(void);

typedef struct {
    void *vpReserved;
} RNE_DRIVER_S;

#endif
