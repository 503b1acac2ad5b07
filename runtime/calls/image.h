/* Decoders of images for ImageDecoder, one per format. Each is given the bytes of a file, which nobody has checked, and calls
 * tlbc_rt_image_begin once it knows the size, then fills in rows of red, green and blue from the top. */
#ifndef TLBC_RUNTIME_IMAGE_H
#define TLBC_RUNTIME_IMAGE_H

#include "runtime/calls/call.h"

typedef struct tlbc_rt_image {
    tlbc_rt_call *c;
    const uint8_t *file;
    size_t bytes;
    int64_t width, height;
    uint8_t *rgb; /* [height, width, 3] */
} tlbc_rt_image;

/* Memory for the pixels; false after reporting a size out of bounds. */
bool tlbc_rt_image_begin(tlbc_rt_image *im, uint64_t width, uint64_t height);
/* Always false: what is wrong with the file. */
bool tlbc_rt_image_fail(tlbc_rt_image *im, const char *format, const char *why);

typedef bool tlbc_rt_decoder(tlbc_rt_image *im);
tlbc_rt_decoder tlbc_rt_decode_bmp, tlbc_rt_decode_pnm, tlbc_rt_decode_jpeg, tlbc_rt_decode_png,
    tlbc_rt_decode_tiff, tlbc_rt_decode_webp, tlbc_rt_decode_jpeg2000;

#endif
