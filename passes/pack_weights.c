/* pack_weights: the constants of MatMulPacked and ConvPacked in the layout their kernels read.
 *
 *   before:  MatMulPacked<n=40>(%x, @w)      @w f32[K,40]          after:  MatMulPacked<n=40>(%x, @w.packed)      @w.packed f32[3,K,16]
 *
 * Panel p holds columns [16 p, 16 p + 16) of every row of the matrix, one row after the other, so that a kernel of that width reads its
 * weights as one stream. Columns beyond n are zero. Of a weight of i8 four rows go into one, an i32 of four bytes for each column: what a
 * product of bytes multiplies in one step; rows beyond K are zero. Of i16, an i64. A weight that several nodes share is packed once.
 *
 *   before:  ConvPacked<features=10>(%x, @w)  @w f32[10,C,3,3]     after:  ConvPacked<features=10>(%x, @w.packed)  @w.packed f32[2,9*C*6]
 *
 * A row holds 16 features, or 6 where a group has not many (fewer in the last of each group, then zeros), side by side for each tap and
 * channel, taps outside: what the kernels for channels last and for channels apart read. Of one channel per group, and few features of it,
 * all features are side by side for each tap:
 *
 *   before:  ConvPacked<features=40, group=40>(%x, @w)  @w f32[40,1,3,3]     after:  ... (%x, @w.packed)  @w.packed f32[1,9*40]
 *
 * ConvBytes: the matrix [taps*C,M] of i8 or i16 in panels of quads that begin anew at each tap, the rows [taps,C] of i16 of one channel per group as
 * pairs of taps. */
#include "ir/window.h"
#include "passes/cluster.h"
#include "passes/match.h"

enum { DEFAULT_PANEL = 16, CONV_ROWS = 6, CONV_PANEL = 16 };

typedef struct packer {
    pass_ctx *ctx;
    int64_t panel;
    tl_map packed; /* weight -> packed weight */
} packer;

static void copy_panel(ir_tensor *to, int64_t p, const ir_tensor *from, int64_t rows,
                       int64_t columns, int64_t panel) {
    size_t size = ir_dtype_bits(from->type->dtype) / 8;
    int64_t first = p * panel, width = columns - first < panel ? columns - first : panel;
    for (int64_t r = 0; r < rows; r++) {
        char *at = (char *)ir_tensor_data(to) + (size_t)((p * rows + r) * panel) * size;
        memcpy(at, (const char *)from->data + (size_t)(r * columns + first) * size,
               (size_t)width * size);
    }
}

/* Weight `at` of the matrix to place i of a quad. */
static void copy_weight(ir_tensor *to, int64_t quad, int64_t i, const ir_tensor *from, int64_t at) {
    size_t size = ir_dtype_bits(from->type->dtype) / 8;
    memcpy((char *)ir_tensor_data(to) + (size_t)(4 * quad + i) * size,
           (const char *)from->data + (size_t)at * size, size);
}

/* Row r of the panel holds rows 4 r ... 4 r + 3 of the matrix. */
static void copy_quads(ir_tensor *to, int64_t p, const ir_tensor *from, int64_t rows,
                       int64_t columns, int64_t panel) {
    int64_t first = p * panel, width = columns - first < panel ? columns - first : panel;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < width; c++)
            copy_weight(to, (p * ((rows + 3) / 4) + r / 4) * panel + c, r % 4, from,
                        r * columns + first + c);
}

static ir_dtype quad_type(const ir_value *w) {
    return w->type->dtype == DT_i16 ? DT_i64 : DT_i32;
}

static ir_value *pack(packer *s, const ir_value *w) {
    int64_t rows = 0, columns = 0;
    ir_dim_is_const(w->type->dims[0], &rows);
    ir_dim_is_const(w->type->dims[1], &columns);
    int64_t panels = (columns + s->panel - 1) / s->panel;
    bool quads = w->type->dtype == DT_i8 || w->type->dtype == DT_i16;
    int64_t dims[3] = {panels, quads ? (rows + 3) / 4 : rows, s->panel};
    ir_dtype type = quads ? quad_type(w) : (ir_dtype)w->type->dtype;
    const ir_type *t = ir_type_tensor_static(s->ctx->c, type, 3, dims);
    ir_tensor *packed = ir_tensor_alloc(s->ctx->m->arena, t);
    for (int64_t p = 0; p < panels; p++)
        (quads ? copy_quads : copy_panel)(packed, p, w->tensor, rows, columns, s->panel);
    ir_tensor_seal(packed);
    return ir_module_const(s->ctx->m, packed, ir_name_derive(s->ctx->m, w, "packed"));
}

/* Features [first, first + count) of w[M,C,taps...], `row` apart. */
static void copy_features(float *to, const ir_tensor *from, int64_t row, int64_t first,
                          int64_t count, int64_t channels, int64_t taps) {
    for (int64_t f = 0; f < count; f++) {
        const float *w = (const float *)from->data + (first + f) * channels * taps;
        for (int64_t t = 0; t < taps; t++)
            for (int64_t c = 0; c < channels; c++)
                to[(t * channels + c) * row + f] = w[c * taps + t];
    }
}

/* Features fill vectors, where there are enough of them or channels enough that the operand has them side by side; else positions do. */
static int64_t features_in_row(const ir_node *n, const ir_type *w) {
    enum { ENOUGH = 8 };
    int64_t features = 0, channels = 0;
    ir_dim_is_const(w->dims[0], &features);
    ir_dim_is_const(w->dims[1], &channels);
    bool many = features / ir_attr_int(n, "group", 1) >= ENOUGH || channels >= ENOUGH;
    return many ? CONV_PANEL : CONV_ROWS;
}

static ir_value *pack_conv(packer *s, const ir_value *w, int64_t groups, int64_t row) {
    int64_t features = 0, channels = 0, elements = (int64_t)ir_tensor_elements(w->tensor);
    ir_dim_is_const(w->type->dims[0], &features);
    ir_dim_is_const(w->type->dims[1], &channels);
    int64_t per_group = features / groups, rows = (per_group + row - 1) / row,
            taps = elements / features / channels, width = taps * channels * row;
    const ir_type *t = ir_type_tensor_static(s->ctx->c, DT_f32, 2,
                                             (int64_t[]){groups * rows, width});
    ir_tensor *packed = ir_tensor_alloc(s->ctx->m->arena, t);
    for (int64_t r = 0; r < groups * rows; r++) {
        int64_t at = r % rows * row, left = per_group - at;
        copy_features((float *)ir_tensor_data(packed) + r * width, w->tensor, row,
                      r / rows * per_group + at, left < row ? left : row, channels, taps);
    }
    ir_tensor_seal(packed);
    return ir_module_const(s->ctx->m, packed, ir_name_derive(s->ctx->m, w, "packed"));
}

/* ---- ConvBytes ------------------------------------------------------------------------------------------------------- */

/* Two taps of a channel side by side. */
static ir_value *pack_pairs(packer *s, const ir_value *w) {
    int64_t taps = 0, channels = 0;
    ir_dim_is_const(w->type->dims[0], &taps);
    ir_dim_is_const(w->type->dims[1], &channels);
    const ir_type *t = ir_type_tensor_static(s->ctx->c, DT_i32, 2,
                                             (int64_t[]){(taps + 1) / 2, channels});
    ir_tensor *packed = ir_tensor_alloc(s->ctx->m->arena, t);
    int16_t *to = ir_tensor_data(packed);
    for (int64_t i = 0; i < taps * channels; i++)
        to[(i / channels / 2 * channels + i % channels) * 2 + i / channels % 2] = (int16_t)
            ir_tensor_get_i64(w->tensor, (size_t)i);
    ir_tensor_seal(packed);
    return ir_module_const(s->ctx->m, packed, ir_name_derive(s->ctx->m, w, "packed"));
}

/* Panels of quads, which begin anew at each tap. */
static ir_value *pack_taps(packer *s, const ir_value *w, int64_t channels) {
    int64_t rows = 0, columns = 0, quads = (channels + 3) / 4, panel = s->panel;
    ir_dim_is_const(w->type->dims[0], &rows);
    ir_dim_is_const(w->type->dims[1], &columns);
    int64_t taps = rows / channels;
    const ir_type *t = ir_type_tensor_static(
        s->ctx->c, quad_type(w), 3,
        (int64_t[]){(columns + panel - 1) / panel, taps * quads, panel});
    ir_tensor *packed = ir_tensor_alloc(s->ctx->m->arena, t);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t m = 0; m < columns; m++) {
            int64_t quad = (m / panel * taps + r / channels) * quads + r % channels / 4;
            copy_weight(packed, quad * panel + m % panel, r % channels % 4, w->tensor,
                        r * columns + m);
        }
    ir_tensor_seal(packed);
    return ir_module_const(s->ctx->m, packed, ir_name_derive(s->ctx->m, w, "packed"));
}

/* How a matrix is cut into taps another node may see otherwise: this form is not shared. */
static ir_value *pack_bytes(packer *s, const ir_node *n, const ir_value *w) {
    int64_t channels = 1;
    const ir_type *x = ir_in(n, 0)->type;
    ir_dim_is_const(x->dims[x->rank - 1], &channels);
    return pack_taps(s, w, channels);
}

/* Too few features for a row of them read the same single channel: the kernel for windows over one channel does them one by one. */
static bool is_windows(const ir_node *n, const ir_type *w) {
    int64_t features = 0;
    ir_dim_is_const(w->dims[0], &features);
    return ir_dim_is(w->dims[1], 1) && features / ir_attr_int(n, "group", 1) < CONV_ROWS;
}

/* w[M,1,taps...] as [1, taps * M]. */
static ir_value *pack_windows(packer *s, const ir_value *w) {
    int64_t features = 0, elements = (int64_t)ir_tensor_elements(w->tensor);
    ir_dim_is_const(w->type->dims[0], &features);
    int64_t taps = elements / features;
    const ir_type *t = ir_type_tensor_static(s->ctx->c, DT_f32, 2, (int64_t[]){1, elements});
    ir_tensor *packed = ir_tensor_alloc(s->ctx->m->arena, t);
    float *to = ir_tensor_data(packed);
    for (int64_t f = 0; f < features; f++)
        for (int64_t i = 0; i < taps; i++)
            to[i * features + f] = ((const float *)w->tensor->data)[f * taps + i];
    ir_tensor_seal(packed);
    return ir_module_const(s->ctx->m, packed, ir_name_derive(s->ctx->m, w, "packed"));
}

static ir_value *find_packed(packer *s, const ir_node *n) {
    ir_value *w = ir_in(n, 1), *packed = tl_map_get_ptr(&s->packed, w);
    int64_t groups = ir_attr_int(n, "group", 1);
    if (n->op == OP_ConvBytes && groups == 1) return pack_bytes(s, n, w);
    if (packed) return packed;
    if (n->op == OP_ConvBytes)
        packed = pack_pairs(s, w);
    else if (n->op != OP_ConvPacked)
        packed = pack(s, w);
    else if (is_windows(n, w->type))
        packed = pack_windows(s, w);
    else
        packed = pack_conv(s, w, groups, features_in_row(n, w->type));
    tl_map_set_ptr(&s->packed, w, packed);
    return packed;
}

/* The weight is there as the model has it, and a kernel wants it otherwise. */
static bool wants_packing(const ir_node *n) {
    if (n->op == OP_MatMulPacked) return ir_in(n, 1)->type->rank == 2;
    ir_dtype t = n->op == OP_ConvBytes ? (ir_dtype)ir_in(n, 1)->type->dtype : DT_f32;
    if (n->op == OP_ConvBytes) return t != DT_i32 && t != DT_i64;
    if (n->op != OP_ConvPacked) return false;
    const ir_type *w = ir_in(n, 1)->type;
    return w->rank > 2 && (!is_windows(n, w) || ir_attr_int(n, "group", 1) > 1);
}

/* Winograd's algorithm has other bits, and tiles that begin where the rows do: under the default rules of arithmetic alone, and not in a
 * step function, whose rows begin elsewhere than the sequence's (cli/verify_stream.c compares with a whole that goes without, too). */
static bool allows_winograd(const pass_options *o) {
    return pass_get_math(o) != PASS_MATH_STRICT && !(o && o->n_streams);
}

/* Tiles along an axis; of a size that only the run knows, as many as make it pay: sizes that are left open are those of images. */
static int64_t count_tiles(const ir_dim *size) {
    enum { TILE = 4, LIKELY = 4 };
    int64_t most = ir_dim_upper_bound(size);
    return most < TILE * LIKELY || ir_dim_is_const(size, &most) ? (most + TILE - 1) / TILE : LIKELY;
}

/* Whether Winograd's algorithm pays (codegen/kernels/winograd.h): a kernel of 3 x 3 with stride 1, channels and features enough that their
 * products outweigh the transforms, and few enough that the transformed weight, four times as large, comes from the
 * caches and is used often enough. */
static bool suits_winograd(const packer *s, const ir_node *n, const ir_type *w) {
    enum { LEAST = 32, VECTOR = 16, MOST_WEIGHTS = 1 << 16, LEAST_TILES = 16 };
    int64_t channels = 0, features = 0, tiles = 1;
    ir_window window;
    if (w->rank != 4 || ir_attr_int(n, "group", 1) != 1 || !allows_winograd(s->ctx->options) ||
        ir_window_init(&window, s->ctx->c, n, 2, ir_in(n, 0)->type->dims + 2, NULL))
        return false;
    for (int32_t i = 0; i < 2; i++) {
        if (!ir_dim_is(window.kernel[i], 3) || window.stride[i] != 1 || window.dilation[i] != 1)
            return false;
        tiles *= count_tiles(window.out[i]);
    }
    ir_dim_is_const(w->dims[0], &features);
    ir_dim_is_const(w->dims[1], &channels);
    return tiles >= LEAST_TILES && channels >= LEAST && channels % VECTOR == 0 &&
           features >= LEAST && channels * features <= MOST_WEIGHTS;
}

static bool pack_region(packer *s, ir_region *r) {
    bool changed = false;
    ir_for_each_node (n, r) {
        for (uint32_t i = 0; i < n->n_regions && !cluster_is_node(n); i++)
            changed = pack_region(s, n->regions[i]) || changed;
        if (!wants_packing(n) || !ctx_take(s->ctx, "packed")) continue;
        if (n->op == OP_ConvPacked && suits_winograd(s, n, ir_in(n, 1)->type) &&
            ctx_take(s->ctx, "winograd"))
            ir_attr_set_int(s->ctx->m, n, "winograd", 1);
        ir_node_set_operand(n, 1, find_packed(s, n));
        changed = true;
    }
    return changed;
}

pass_result pass_pack_weights(pass_ctx *ctx, ir_graph *g) {
    packer s = {.ctx = ctx,
                .panel = ctx->options && ctx->options->panel ? ctx->options->panel : DEFAULT_PANEL};
    tl_map_init(&s.packed, ctx->scratch);
    return pack_region(&s, g->body) ? PASS_CHANGED : PASS_SAME;
}
