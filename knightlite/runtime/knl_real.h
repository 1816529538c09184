/* Real numbers at the border of a network: what it reads is quantized, what it makes is scaled. In
 * float32, operation by operation as docs/numerics.md has it; nothing is called.
 *
 *     knl_write_real(&net, knl_input(&net, 0), values, count, &error);
 *     knl_run(&net, NULL, NULL);
 *     knl_read_real(&net, knl_output(&net, 0), values, count, &error);
 *
 * Pictures: knl_write_picture, with the recipe that the network was quantized with.
 */
#ifndef KNL_REAL_H
#define KNL_REAL_H

#include "knl.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Dense [C, H, W] real numbers into an integer tensor, or out of it. */
int knl_write_real(knl_network *net, uint32_t tensor, const float *values, size_t count,
                   knl_error *error);
int knl_read_real(const knl_network *net, uint32_t tensor, float *values, size_t count,
                  knl_error *error);

/* One number into memory of the tensor's type; not 0, and nothing written, where it is none. */
int knl_put_real(void *to, const knl_tensor *tensor, uint64_t channel, float value);

/* The scale of a channel. */
float knl_scale_of(const knl_tensor *tensor, uint64_t channel);

/* Order of colours, kinds of resizing and of interpolation: as recipes have them. */
enum { KNL_RGB = 0, KNL_BGR = 1, KNL_GRAY = 2 };
enum {
    KNL_KEEP = 0,
    KNL_EXACT = 1,
    KNL_SHORT_SIDE = 2,
    KNL_PAD_RIGHT = 3,
    KNL_PAD_CENTER = 4,
    KNL_PAD_CORNER = 5
};
enum { KNL_NEAREST = 0, KNL_BILINEAR = 1, KNL_BICUBIC = 2 };

/* How a picture becomes an input: (pixel / divide_by - mean) / std, pixels being 0 to 255. */
typedef struct knl_recipe {
    unsigned color, resize, interpolation;
    uint32_t resize_height, resize_width; /* 0: the input's; of KNL_SHORT_SIDE both are the side */
    uint32_t crop_height, crop_width;     /* 0: no crop */
    float divide_by, pad_value;
    float mean[3], std[3]; /* in the order of `color` */
} knl_recipe;

/* Bytes of scratch memory for a picture of this size; 0 where that is more than can be addressed. */
size_t knl_picture_bytes(const knl_network *net, uint32_t tensor, const knl_recipe *recipe,
                         uint32_t height, uint32_t width);

/* RGB pixels, 3 bytes each, rows one behind the other, into an input: resized as Pillow does. */
int knl_write_picture(knl_network *net, uint32_t tensor, const knl_recipe *recipe,
                      const uint8_t *pixels, uint32_t height, uint32_t width, void *scratch,
                      size_t bytes, knl_error *error);

#ifdef __cplusplus
}
#endif

#endif
