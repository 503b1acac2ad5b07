/* ImageDecoder: which format the bytes are in, and the pixels in the order that is asked for. JPEG, PNG, TIFF, WebP and JPEG 2000 are
 * decoded by the libraries that everybody uses for them (image_*.c), so that the numbers are those of other programs; a model that has
 * this operator needs those libraries where it runs, others do not. */
#include "runtime/calls/image.h"

#include <string.h>

enum { RT_MAX_PIXELS = 1 << 27 };

bool tlbc_rt_image_begin(tlbc_rt_image *im, uint64_t width, uint64_t height) {
    bool sane = width && height && width <= RT_MAX_PIXELS && height <= RT_MAX_PIXELS;
    if (!sane || width * height > RT_MAX_PIXELS)
        return tlbc_rt_call_fail(im->c, "an image of %llu x %llu pixels", (unsigned long long)width,
                                 (unsigned long long)height);
    im->width = (int64_t)width, im->height = (int64_t)height;
    im->rgb = tlbc_rt_alloc(im->c, (size_t)(width * height), 3);
    return im->rgb;
}

bool tlbc_rt_image_fail(tlbc_rt_image *im, const char *format, const char *why) {
    return tlbc_rt_call_fail(im->c, "%s: %s", format, why);
}

/* ---- formats ----------------------------------------------------------------------------------------------------------- */

#ifdef TLBC_HAVE_IMAGES
#define LIBRARY(format) tlbc_rt_decode_##format
#else
#define LIBRARY(format) rt_without
static bool rt_without(tlbc_rt_image *im) {
    return tlbc_rt_call_fail(im->c, "this tlbc was built without a library for this format");
}
#endif

static const struct rt_format {
    const char *magic;
    size_t length, at;
    tlbc_rt_decoder *decode;
} rt_formats[] = {
    {"BM", 2, 0, tlbc_rt_decode_bmp},
    {"P2", 2, 0, tlbc_rt_decode_pnm},
    {"P3", 2, 0, tlbc_rt_decode_pnm},
    {"P5", 2, 0, tlbc_rt_decode_pnm},
    {"P6", 2, 0, tlbc_rt_decode_pnm},
    {"\xff\xd8\xff", 3, 0, LIBRARY(jpeg)},
    {"\x89PNG\r\n\x1a\n", 8, 0, LIBRARY(png)},
    {"II*\0", 4, 0, LIBRARY(tiff)},
    {"MM\0*", 4, 0, LIBRARY(tiff)},
    {"WEBP", 4, 8, LIBRARY(webp)},
    {"jP  \r\n", 6, 4, LIBRARY(jpeg2000)},
    {"\xff\x4f\xff\x51", 4, 0, LIBRARY(jpeg2000)},
};

static bool rt_decode(tlbc_rt_image *im) {
    for (size_t i = 0; i < sizeof rt_formats / sizeof *rt_formats; i++) {
        const struct rt_format *f = &rt_formats[i];
        bool is = im->bytes >= f->at + f->length &&
                  memcmp(im->file + f->at, f->magic, f->length) == 0;
        if (is) return f->decode(im);
    }
    return tlbc_rt_call_fail(im->c, "the bytes are no image of a known format");
}

/* Brightness as ITU-R 601-2 weighs the colours, in 16 bits after the point. */
static uint8_t rt_gray(const uint8_t *p) {
    return (uint8_t)((p[0] * 19595 + p[1] * 38470 + p[2] * 7471 + 0x8000) >> 16);
}

bool tlbc_rt_op_ImageDecoder(tlbc_rt_call *c) {
    const tlbc_tensor *x = c->in[0];
    tlbc_rt_image im = {.c = c, .file = x->data, .bytes = (size_t)tlbc_rt_elements(x)};
    bool gray = tlbc_rt_string_is(c, "pixel_format", "Grayscale"),
         reversed = tlbc_rt_string_is(c, "pixel_format", "BGR");
    if (!gray && !reversed && !tlbc_rt_string_is(c, "pixel_format", "RGB"))
        return tlbc_rt_call_fail(c, "attribute 'pixel_format' is not RGB, BGR or Grayscale");
    if (x->rank != 1) return tlbc_rt_call_fail(c, "rank is %u, expected 1", x->rank);
    if (!rt_decode(&im)) return false;
    int64_t dims[] = {im.height, im.width, gray ? 1 : 3}, pixels = im.width * im.height;
    tlbc_tensor *y = tlbc_rt_result(c, 0, TLBC_U8, 3, dims);
    if (!y) return false;
    uint8_t *to = y->data;
    for (int64_t i = 0; i < pixels; i++) {
        const uint8_t *p = im.rgb + 3 * i;
        if (gray) {
            to[i] = rt_gray(p);
            continue;
        }
        to[3 * i] = p[reversed ? 2 : 0], to[3 * i + 1] = p[1], to[3 * i + 2] = p[reversed ? 0 : 2];
    }
    return true;
}

/* ---- Windows bitmaps ------------------------------------------------------------------------------------------------------ */

static uint32_t rt_le(const uint8_t *p, unsigned bytes) {
    uint32_t v = 0;
    while (bytes-- > 0)
        v = v << 8 | p[bytes];
    return v;
}

typedef struct rt_bmp {
    uint64_t pixels, palette, stride; /* offsets in the file; bytes of a row */
    unsigned bits, colours;
    bool top_down;
} rt_bmp;

static bool rt_bmp_header(tlbc_rt_image *im, rt_bmp *b) {
    const uint8_t *f = im->file;
    if (im->bytes < 54) return tlbc_rt_image_fail(im, "BMP", "the file ends in its header");
    uint32_t header = rt_le(f + 14, 4), width = rt_le(f + 18, 4), height = rt_le(f + 22, 4);
    b->bits = rt_le(f + 28, 2);
    bool palette = b->bits == 1 || b->bits == 4 || b->bits == 8;
    if (header < 40 || rt_le(f + 30, 4) != 0 || (!palette && b->bits != 24 && b->bits != 32))
        return tlbc_rt_image_fail(im, "BMP", "a kind that is not supported");
    b->top_down = height >> 31;
    if (b->top_down) height = -height;
    b->pixels = rt_le(f + 10, 4), b->palette = (uint64_t)header + 14;
    b->colours = rt_le(f + 46, 4);
    if (palette && (!b->colours || b->colours > 1u << b->bits)) b->colours = 1u << b->bits;
    b->stride = ((uint64_t)width * b->bits + 31) / 32 * 4;
    if (b->pixels > im->bytes || b->stride * height > im->bytes - b->pixels ||
        (palette && b->palette + 4ull * b->colours > im->bytes))
        return tlbc_rt_image_fail(im, "BMP", "the file ends before its pixels");
    return tlbc_rt_image_begin(im, width, height);
}

bool tlbc_rt_decode_bmp(tlbc_rt_image *im) {
    rt_bmp b = {0};
    if (!rt_bmp_header(im, &b)) return false;
    uint8_t *to = im->rgb;
    for (int64_t y = 0; y < im->height; y++) {
        int64_t line = b.top_down ? y : im->height - 1 - y;
        const uint8_t *row = im->file + b.pixels + (uint64_t)line * b.stride;
        for (uint64_t x = 0; x < (uint64_t)im->width; x++, to += 3) {
            const uint8_t *p = row + x * b.bits / 8;
            if (b.bits <= 8) {
                unsigned at = *p >> (8 - b.bits - x * b.bits % 8) & ((1u << b.bits) - 1);
                p = im->file + b.palette + 4ull * (at < b.colours ? at : 0);
            }
            to[0] = p[2], to[1] = p[1], to[2] = p[0];
        }
    }
    return true;
}

/* ---- portable maps ----------------------------------------------------------------------------------------------------------- */

static bool rt_pnm_space(uint8_t c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* The next number of a header or of a text file; what follows # is a comment. */
static bool rt_pnm_number(const tlbc_rt_image *im, size_t *at, uint32_t *v) {
    const uint8_t *f = im->file;
    while (*at < im->bytes && (rt_pnm_space(f[*at]) || f[*at] == '#')) {
        bool comment = f[*at] == '#';
        while (comment && *at < im->bytes && f[*at] != '\n')
            ++*at;
        *at += *at < im->bytes;
    }
    size_t start = *at;
    for (*v = 0; *at < im->bytes && f[*at] >= '0' && f[*at] <= '9' && *at - start < 9; ++*at)
        *v = 10 * *v + (uint32_t)(f[*at] - '0');
    return *at > start;
}

/* One sample, as so many parts of 255. */
static bool rt_pnm_sample(const tlbc_rt_image *im, size_t *at, uint32_t most, uint8_t *out) {
    bool text = im->file[1] < '4';
    size_t width = most > 255 ? 2 : 1;
    uint32_t v = 0;
    if (text && !rt_pnm_number(im, at, &v)) return false;
    if (!text) {
        if (im->bytes - *at < width) return false;
        v = width == 2 ? (uint32_t)im->file[*at] << 8 | im->file[*at + 1] : im->file[*at];
        *at += width;
    }
    if (v > most) v = most;
    *out = (uint8_t)((v * 255 + most / 2) / most);
    return true;
}

bool tlbc_rt_decode_pnm(tlbc_rt_image *im) {
    size_t at = 2;
    uint32_t width, height, most;
    bool gray = im->file[1] == '2' || im->file[1] == '5';
    if (!rt_pnm_number(im, &at, &width) || !rt_pnm_number(im, &at, &height) ||
        !rt_pnm_number(im, &at, &most) || most < 1 || most > 65535 || at >= im->bytes)
        return tlbc_rt_image_fail(im, "PNM", "the header is no header");
    at++; /* one white space */
    uint64_t samples = (uint64_t)width * height * (gray ? 1 : 3);
    if (samples > im->bytes - at)
        return tlbc_rt_image_fail(im, "PNM", "the file ends before its pixels");
    if (!tlbc_rt_image_begin(im, width, height)) return false;
    for (uint64_t i = 0; i < samples; i++) {
        uint8_t *to = im->rgb + (gray ? 3 * i : i);
        if (!rt_pnm_sample(im, &at, most, to))
            return tlbc_rt_image_fail(im, "PNM", "the file ends before its pixels");
        if (gray) to[1] = to[2] = to[0];
    }
    return true;
}
