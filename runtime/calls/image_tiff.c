/* TIFF by libtiff: the first page, from the top left, in 8 bits a colour. */
#ifdef TLBC_HAVE_IMAGES
#include "runtime/calls/image.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <tiffio.h>

typedef struct rt_tiff {
    tlbc_rt_image *im;
    uint64_t at;
    char why[128];
} rt_tiff;

static tmsize_t rt_tiff_read(thandle_t handle, void *to, tmsize_t n) {
    rt_tiff *t = (rt_tiff *)handle;
    uint64_t left = t->at < t->im->bytes ? t->im->bytes - t->at : 0;
    if (n < 0) return 0;
    if ((uint64_t)n > left) n = (tmsize_t)left;
    if (n) memcpy(to, t->im->file + t->at, (size_t)n);
    t->at += (uint64_t)n;
    return n;
}

static tmsize_t rt_tiff_write(thandle_t handle, void *from, tmsize_t n) {
    (void)handle, (void)from, (void)n;
    return 0;
}

static toff_t rt_tiff_seek(thandle_t handle, toff_t to, int whence) {
    rt_tiff *t = (rt_tiff *)handle;
    t->at = whence == SEEK_SET ? to : whence == SEEK_CUR ? t->at + to : t->im->bytes + to;
    return t->at;
}

static int rt_tiff_close(thandle_t handle) {
    (void)handle;
    return 0;
}

static toff_t rt_tiff_size(thandle_t handle) {
    return ((rt_tiff *)handle)->im->bytes;
}

static int rt_tiff_error(TIFF *tiff, void *data, const char *module, const char *format,
                         va_list args) {
    (void)tiff, (void)module;
    rt_tiff *t = data;
    if (!t->why[0]) vsnprintf(t->why, sizeof t->why, format, args);
    return 1;
}

static int rt_tiff_quiet(TIFF *tiff, void *data, const char *module, const char *format,
                         va_list args) {
    (void)tiff, (void)data, (void)module, (void)format, (void)args;
    return 1;
}

static bool rt_tiff_pixels(rt_tiff *t, TIFF *tiff) {
    uint32_t width = 0, height = 0;
    TIFFGetField(tiff, TIFFTAG_IMAGEWIDTH, &width);
    TIFFGetField(tiff, TIFFTAG_IMAGELENGTH, &height);
    if (!tlbc_rt_image_begin(t->im, width, height)) return false;
    size_t n = (size_t)width * height;
    uint32_t *pixels = tlbc_rt_alloc(t->im->c, n, sizeof *pixels);
    if (!pixels) return false;
    if (!TIFFReadRGBAImageOriented(tiff, width, height, pixels, ORIENTATION_TOPLEFT, 1))
        return tlbc_rt_image_fail(t->im, "TIFF", t->why[0] ? t->why : "cannot be decoded");
    for (size_t i = 0; i < n; i++) {
        uint8_t *to = t->im->rgb + 3 * i;
        to[0] = TIFFGetR(pixels[i]), to[1] = TIFFGetG(pixels[i]), to[2] = TIFFGetB(pixels[i]);
    }
    return true;
}

bool tlbc_rt_decode_tiff(tlbc_rt_image *im) {
    rt_tiff t = {.im = im};
    TIFFOpenOptions *options = TIFFOpenOptionsAlloc();
    if (!options) return tlbc_rt_image_fail(im, "TIFF", "out of memory");
    TIFFOpenOptionsSetErrorHandlerExtR(options, rt_tiff_error, &t);
    TIFFOpenOptionsSetWarningHandlerExtR(options, rt_tiff_quiet, &t);
    TIFFOpenOptionsSetMaxSingleMemAlloc(options, 1 << 30);
    TIFF *tiff = TIFFClientOpenExt("image", "rm", (thandle_t)&t, rt_tiff_read, rt_tiff_write,
                                   rt_tiff_seek, rt_tiff_close, rt_tiff_size, NULL, NULL, options);
    TIFFOpenOptionsFree(options);
    if (!tiff) return tlbc_rt_image_fail(im, "TIFF", t.why[0] ? t.why : "no such file");
    bool ok = rt_tiff_pixels(&t, tiff);
    TIFFClose(tiff);
    return ok;
}
#endif
