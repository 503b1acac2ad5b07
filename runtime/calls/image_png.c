/* PNG by libpng: palettes and grays become colours, 16 bits become the upper 8, transparency is dropped. */
#ifdef TLBC_HAVE_IMAGES
#include "runtime/calls/image.h"

#include <stdio.h>
#include <string.h>

#include <png.h>

typedef struct rt_png {
    tlbc_rt_image *im;
    size_t at;
    char why[128];
    png_structp png;
    png_infop info;
} rt_png;

static void rt_png_error(png_structp png, png_const_charp message) {
    rt_png *p = png_get_error_ptr(png);
    snprintf(p->why, sizeof p->why, "%s", message);
    png_longjmp(png, 1);
}

static void rt_png_quiet(png_structp png, png_const_charp message) {
    (void)png, (void)message;
}

static void rt_png_read(png_structp png, png_bytep to, png_size_t n) {
    rt_png *p = png_get_io_ptr(png);
    if (n > p->im->bytes - p->at) png_error(png, "the file ends too early");
    memcpy(to, p->im->file + p->at, n);
    p->at += n;
}

static bool rt_png_pixels(rt_png *p) {
    png_set_user_limits(p->png, 1 << 27, 1 << 27);
    png_set_read_fn(p->png, p, rt_png_read);
    png_read_info(p->png, p->info);
    png_set_expand(p->png);
    png_set_strip_16(p->png);
    png_set_gray_to_rgb(p->png);
    png_set_strip_alpha(p->png);
    int rounds = png_set_interlace_handling(p->png);
    png_read_update_info(p->png, p->info);
    if (!tlbc_rt_image_begin(p->im, png_get_image_width(p->png, p->info),
                             png_get_image_height(p->png, p->info)))
        return false;
    size_t row = (size_t)p->im->width * 3;
    if (png_get_rowbytes(p->png, p->info) != row) png_error(p->png, "rows of another size");
    for (int round = 0; round < rounds; round++)
        for (int64_t y = 0; y < p->im->height; y++)
            png_read_row(p->png, p->im->rgb + (size_t)y * row, NULL);
    return true;
}

bool tlbc_rt_decode_png(tlbc_rt_image *im) {
    rt_png *p = tlbc_rt_alloc(im->c, 1, sizeof *p);
    if (!p) return false;
    p->im = im;
    p->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, p, rt_png_error, rt_png_quiet);
    p->info = p->png ? png_create_info_struct(p->png) : NULL;
    if (!p->info) {
        png_destroy_read_struct(&p->png, NULL, NULL);
        return tlbc_rt_image_fail(im, "PNG", "out of memory");
    }
    if (setjmp(png_jmpbuf(p->png))) {
        png_destroy_read_struct(&p->png, &p->info, NULL);
        return tlbc_rt_image_fail(im, "PNG", p->why);
    }
    bool ok = rt_png_pixels(p);
    png_destroy_read_struct(&p->png, &p->info, NULL);
    return ok;
}
#endif
