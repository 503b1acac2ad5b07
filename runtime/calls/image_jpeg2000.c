/* JPEG 2000 by OpenJPEG: files (JP2) and bare streams of one component or of three that are red, green and blue, of up to 16 bits. */
#ifdef TLBC_HAVE_IMAGES
#include "runtime/calls/image.h"

#include <string.h>

#include <openjpeg.h>

typedef struct rt_j2k {
    tlbc_rt_image *im;
    size_t at;
} rt_j2k;

static OPJ_SIZE_T rt_j2k_read(void *to, OPJ_SIZE_T n, void *data) {
    rt_j2k *j = data;
    size_t left = j->im->bytes - j->at;
    if (!left) return (OPJ_SIZE_T)-1;
    if (n > left) n = left;
    memcpy(to, j->im->file + j->at, n);
    j->at += n;
    return n;
}

static OPJ_OFF_T rt_j2k_skip(OPJ_OFF_T n, void *data) {
    rt_j2k *j = data;
    size_t left = j->im->bytes - j->at;
    if (n < 0) return -1;
    if ((uint64_t)n > left) n = (OPJ_OFF_T)left;
    j->at += (size_t)n;
    return n;
}

static OPJ_BOOL rt_j2k_seek(OPJ_OFF_T to, void *data) {
    rt_j2k *j = data;
    if (to < 0 || (uint64_t)to > j->im->bytes) return OPJ_FALSE;
    j->at = (size_t)to;
    return OPJ_TRUE;
}

static bool rt_j2k_is_plain(const tlbc_rt_image *im, const opj_image_t *o) {
    uint32_t used = o->numcomps < 3 ? 1 : 3;
    bool plain = o->numcomps >= 1 && o->color_space != OPJ_CLRSPC_SYCC &&
                 o->color_space != OPJ_CLRSPC_EYCC && o->color_space != OPJ_CLRSPC_CMYK;
    for (uint32_t i = 0; plain && i < used; i++) {
        const opj_image_comp_t *c = &o->comps[i];
        plain = c->w == im->width && c->h == im->height && c->prec <= 16 && c->prec >= 1 && c->data;
    }
    return plain;
}

static bool rt_j2k_pixels(tlbc_rt_image *im, const opj_image_t *o) {
    if (!rt_j2k_is_plain(im, o))
        return tlbc_rt_image_fail(im, "JPEG 2000", "components that are not supported");
    int64_t n = im->width * im->height;
    for (int i = 0; i < 3; i++) {
        const opj_image_comp_t *c = &o->comps[o->numcomps < 3 ? 0 : i];
        int64_t low = c->sgnd ? -((int64_t)1 << (c->prec - 1)) : 0;
        for (int64_t k = 0; k < n; k++) {
            int64_t v = c->data[k] - low;
            v = c->prec > 8 ? v >> (c->prec - 8) : v << (8 - c->prec);
            im->rgb[3 * k + i] = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
        }
    }
    return true;
}

/* The size is known after the header: nothing is decoded that is too large. */
static bool rt_j2k_decode(tlbc_rt_image *im, opj_codec_t *codec, opj_stream_t *stream,
                          opj_image_t **o) {
    opj_dparameters_t parameters;
    opj_set_default_decoder_parameters(&parameters);
    if (!opj_setup_decoder(codec, &parameters) || !opj_read_header(stream, codec, o))
        return tlbc_rt_image_fail(im, "JPEG 2000", "the header is no header");
    uint32_t width = (*o)->x1 - (*o)->x0, height = (*o)->y1 - (*o)->y0;
    if (!tlbc_rt_image_begin(im, width, height)) return false;
    if (!opj_decode(codec, stream, *o) || !opj_end_decompress(codec, stream))
        return tlbc_rt_image_fail(im, "JPEG 2000", "cannot be decoded");
    return rt_j2k_pixels(im, *o);
}

bool tlbc_rt_decode_jpeg2000(tlbc_rt_image *im) {
    rt_j2k j = {.im = im};
    bool bare = im->file[0] == 0xff, ok = false;
    opj_codec_t *codec = opj_create_decompress(bare ? OPJ_CODEC_J2K : OPJ_CODEC_JP2);
    opj_stream_t *stream = opj_stream_default_create(OPJ_TRUE);
    opj_image_t *o = NULL;
    if (codec && stream) {
        opj_stream_set_user_data(stream, &j, NULL);
        opj_stream_set_user_data_length(stream, im->bytes);
        opj_stream_set_read_function(stream, rt_j2k_read);
        opj_stream_set_skip_function(stream, rt_j2k_skip);
        opj_stream_set_seek_function(stream, rt_j2k_seek);
        ok = rt_j2k_decode(im, codec, stream, &o);
    } else {
        tlbc_rt_image_fail(im, "JPEG 2000", "out of memory");
    }
    if (o) opj_image_destroy(o);
    if (stream) opj_stream_destroy(stream);
    if (codec) opj_destroy_codec(codec);
    return ok;
}
#endif
