/* fuse_quantized, products of floats by a constant of small integers: the weight stays as it is, and the kernel multiplies it out.
 *
 *   before:  %w = DequantizeLinear<axis=0, block_size=32>(@q, @s, @z)      @q u4[64,40], @s f32[2,40]
 *            %y = MatMul(%x, %w)
 *   after:   %y = MatMulPacked<n=40, k=64, bits=4, block=32, panel=16>(%x, @q.blocks)      @q.blocks u8[3,2,336]
 *
 * For each panel of columns and block of rows the constant holds the scales (f32), the zero points (u8) and the codes, unsigned and
 * several rows to a byte, low bits first: one stream of memory, an eighth of that of floats. Each weight is (code - zero) * scale in f32, as
 * DequantizeLinear has it, so that the result keeps its bits. */
#include "ir/build.h"
#include "ir/limits.h"
#include "passes/match.h"
#include "passes/quantized.h"
#include "passes/util.h"

enum { DEFAULT_PANEL = 16 };

typedef struct blocks {
    const ir_tensor *codes, *scale, *zero; /* zero NULL: none */
    bool turned;                           /* codes are [N,K] */
    int64_t k, n, bits, block, n_blocks, panel;
    bool scale_by_column; /* else one for all; with several blocks always */
} blocks;

/* ---- what it is ----------------------------------------------------------------------------------------------------- */

static bool is_plain_const(const ir_value *v) {
    return v && ir_value_is_const(v) && !v->tensor->opaque;
}

/* The operand is a DequantizeLinear of a constant, possibly transposed. */
static const ir_node *find_dequantize(const ir_value *w, bool *turned) {
    const ir_node *t = match_def(w, OP_Transpose);
    int64_t perm[IR_MAX_RANK];
    uint32_t rank;
    if (t && get_perm(t, perm, &rank) && rank == 2 && perm[0] == 1) {
        *turned = !*turned;
        w = ir_in(t, 0);
    }
    const ir_node *dq = match_def(w, OP_DequantizeLinear);
    bool usable = dq && is_plain_const(ir_in(dq, 0)) && is_plain_const(ir_in(dq, 1)) &&
                  (!ir_in(dq, 2) || is_plain_const(ir_in(dq, 2)));
    return usable ? dq : NULL;
}

/* Scales per tensor, column, or block of rows. */
static bool read_scales(const ir_node *dq, blocks *d) {
    int64_t size = ir_attr_int(dq, "block_size", 0);
    int32_t rows = d->turned ? 1 : 0, axis = normal_axis(ir_attr_int(dq, "axis", 1), 2);
    d->block = d->k, d->n_blocks = 1;
    if (size == 0 && is_single_element(ir_in(dq, 1))) return true;
    d->scale_by_column = true;
    if (size == 0) return axis == 1 - rows;
    d->block = size < d->k ? size : d->k;
    d->n_blocks = (d->k + d->block - 1) / d->block;
    return axis == rows && size < INT32_MAX;
}

static bool read_weight(const ir_node *dq, bool turned, blocks *d) {
    const ir_type *t = ir_in(dq, 0)->type, *y = dq->out[0].type;
    bool is_small = ir_dtype_is_int(t->dtype) && ir_dtype_bits(t->dtype) <= 8;
    if (!is_small || t->rank != 2 || y->dtype != DT_f32 || ir_in(dq, 1)->type->dtype != DT_f32)
        return false;
    *d = (blocks){.codes = ir_in(dq, 0)->tensor, .scale = ir_in(dq, 1)->tensor, .turned = turned};
    d->zero = ir_in(dq, 2) ? ir_in(dq, 2)->tensor : NULL;
    d->bits = ir_dtype_bits(t->dtype);
    ir_dim_is_const(t->dims[turned], &d->k);
    ir_dim_is_const(t->dims[!turned], &d->n);
    return d->k > 0 && d->n > 0 && read_scales(dq, d);
}

static bool has_rows(const ir_value *x, int64_t k) {
    const ir_type *t = x->type;
    return t->dtype == DT_f32 && ir_type_is_known(t) && t->rank >= 2 &&
           ir_dim_is(t->dims[t->rank - 1], k);
}

/* ---- the stream ----------------------------------------------------------------------------------------------------- */

static size_t scale_at(const blocks *d, int64_t block, int64_t column) {
    if (!d->scale_by_column) return 0;
    return (size_t)(d->turned ? column * d->n_blocks + block : block * d->n + column);
}

/* Codes begin at 0 whatever the type's sign. */
static int64_t lowest(const blocks *d) {
    return ir_dtype_is_signed(d->codes->type->dtype) ? -((int64_t)1 << (d->bits - 1)) : 0;
}

static void fill_block(const blocks *d, int64_t panel, int64_t block, uint8_t *to) {
    int64_t per_byte = 8 / d->bits, first = block * d->block,
            last = first + d->block < d->k ? first + d->block : d->k;
    uint8_t *zeros = to + 4 * d->panel, *codes = zeros + d->panel;
    for (int64_t c = 0; c < d->panel && panel * d->panel + c < d->n; c++) {
        int64_t column = panel * d->panel + c;
        size_t s = scale_at(d, block, column);
        float scale = (float)ir_tensor_get_f64(d->scale, s);
        memcpy(to + 4 * c, &scale, sizeof scale);
        zeros[c] = (uint8_t)((d->zero ? ir_tensor_get_i64(d->zero, s) : 0) - lowest(d));
        for (int64_t r = first; r < last; r++) {
            size_t at = (size_t)(d->turned ? column * d->k + r : r * d->n + column);
            int64_t code = ir_tensor_get_i64(d->codes, at) - lowest(d), row = r - first;
            codes[row / per_byte * d->panel + c] |= (uint8_t)(code << row % per_byte * d->bits);
        }
    }
}

static ir_value *make_stream(pass_ctx *ctx, const blocks *d, const ir_value *name) {
    int64_t panels = (d->n + d->panel - 1) / d->panel,
            bytes = d->panel * (5 + (d->block * d->bits + 7) / 8);
    const ir_type *t = ir_type_tensor_static(ctx->c, DT_u8, 3,
                                             (int64_t[]){panels, d->n_blocks, bytes});
    ir_tensor *stream = ir_tensor_alloc(ctx->m->arena, t);
    for (int64_t p = 0; p < panels; p++)
        for (int64_t b = 0; b < d->n_blocks; b++)
            fill_block(d, p, b, (uint8_t *)ir_tensor_data(stream) + (p * d->n_blocks + b) * bytes);
    ir_tensor_seal(stream);
    return ir_module_const(ctx->m, stream, ir_name_derive(ctx->m, name, "blocks"));
}

/* ---- the product ---------------------------------------------------------------------------------------------------- */

bool fuse_dequantized_weight(pass_ctx *ctx, ir_node *n) {
    bool is_gemm = n->op == OP_Gemm, turned = is_gemm && ir_attr_int(n, "transB", 0);
    blocks d;
    if (is_gemm && ir_attr_int(n, "transA", 0)) return false;
    const ir_node *dq = find_dequantize(ir_in(n, 1), &turned);
    if (!dq || !read_weight(dq, turned, &d) || !has_rows(ir_in(n, 0), d.k)) return false;
    if (!ctx_take(ctx, "weights left quantised")) return false;
    d.panel = ctx->options && ctx->options->panel ? ctx->options->panel : DEFAULT_PANEL;
    ir_value *in[2] = {ir_in(n, 0), make_stream(ctx, &d, ir_in(dq, 0))};
    ir_attr attrs[] = {{.name = "n", .kind = ATTR_INT, .v.i = d.n},
                       {.name = "k", .kind = ATTR_INT, .v.i = d.k},
                       {.name = "bits", .kind = ATTR_INT, .v.i = d.bits},
                       {.name = "block", .kind = ATTR_INT, .v.i = d.block},
                       {.name = "panel", .kind = ATTR_INT, .v.i = d.panel}};
    ir_builder b = ir_build_before(n);
    ir_value *y = build_node(&b, OP_MatMulPacked, in, 2, 1, attrs, 5)->out;
    y = finish_gemm(&b, n, y);
    ir_value_replace_uses(&n->out[0], y);
    ir_node_remove(n);
    return true;
}
