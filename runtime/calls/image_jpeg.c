/* JPEG by libjpeg, with its defaults: the exact transform in integers, smoothed colour. */
#ifdef TLBC_HAVE_IMAGES
#include "runtime/calls/image.h"

#include <setjmp.h>
#include <stdio.h>

#include <jpeglib.h>

typedef struct rt_jpeg {
    struct jpeg_decompress_struct d;
    struct jpeg_error_mgr errors;
    jmp_buf out;
    char why[JMSG_LENGTH_MAX];
    tlbc_rt_image *im;
} rt_jpeg;

static void rt_jpeg_error(j_common_ptr d) {
    rt_jpeg *j = d->client_data;
    j->errors.format_message(d, j->why);
    longjmp(j->out, 1);
}

static void rt_jpeg_quiet(j_common_ptr d, int level) {
    (void)d, (void)level;
}

/* Four inks, kept inverted as the programs that write such files do. */
static void rt_jpeg_from_inks(const uint8_t *row, uint8_t *to, int64_t width) {
    for (int64_t x = 0; x < width; x++)
        for (int i = 0; i < 3; i++)
            to[3 * x + i] = (uint8_t)(row[4 * x + i] * row[4 * x + 3] / 255);
}

static bool rt_jpeg_read(rt_jpeg *j) {
    struct jpeg_decompress_struct *d = &j->d;
    jpeg_create_decompress(d);
    jpeg_mem_src(d, j->im->file, j->im->bytes);
    jpeg_read_header(d, TRUE);
    bool inks = d->jpeg_color_space == JCS_CMYK || d->jpeg_color_space == JCS_YCCK;
    d->out_color_space = inks ? JCS_CMYK : JCS_RGB;
    if (!tlbc_rt_image_begin(j->im, d->image_width, d->image_height)) return false;
    uint8_t *row = inks ? tlbc_rt_alloc(j->im->c, (size_t)j->im->width, 4) : NULL;
    if (inks && !row) return false;
    jpeg_start_decompress(d);
    while (d->output_scanline < d->output_height) {
        uint8_t *to = j->im->rgb + 3 * j->im->width * (int64_t)d->output_scanline;
        JSAMPROW at = inks ? row : to;
        jpeg_read_scanlines(d, &at, 1);
        if (inks) rt_jpeg_from_inks(row, to, j->im->width);
    }
    return true;
}

bool tlbc_rt_decode_jpeg(tlbc_rt_image *im) {
    rt_jpeg *j = tlbc_rt_alloc(im->c, 1, sizeof *j);
    if (!j) return false;
    j->im = im;
    j->d.err = jpeg_std_error(&j->errors);
    j->d.client_data = j;
    j->errors.error_exit = rt_jpeg_error;
    j->errors.emit_message = rt_jpeg_quiet;
    if (setjmp(j->out)) {
        jpeg_destroy_decompress(&j->d);
        return tlbc_rt_image_fail(im, "JPEG", j->why);
    }
    bool ok = rt_jpeg_read(j);
    jpeg_destroy_decompress(&j->d);
    return ok;
}
#endif
