/* WebP by libwebp; transparency is dropped. */
#ifdef TLBC_HAVE_IMAGES
#include "runtime/calls/image.h"

#include <webp/decode.h>

bool tlbc_rt_decode_webp(tlbc_rt_image *im) {
    int width = 0, height = 0;
    if (!WebPGetInfo(im->file, im->bytes, &width, &height) || width < 1 || height < 1)
        return tlbc_rt_image_fail(im, "WebP", "the header is no header");
    if (!tlbc_rt_image_begin(im, (uint64_t)width, (uint64_t)height)) return false;
    size_t room = (size_t)im->width * (size_t)im->height * 3;
    if (WebPDecodeRGBInto(im->file, im->bytes, im->rgb, room, 3 * width)) return true;
    return tlbc_rt_image_fail(im, "WebP", "cannot be decoded");
}
#endif
