/* Elements narrower than a byte, at the border of compiled code.
 *
 *   caller, constants in the file    ONNX's packing: two or four to a byte, over the flattened tensor, low bits first
 *   workspace, constants section     one to a byte: integers sign extended, f4e2m1 the code in the low bits
 *
 * So views, strides and vectors work on them as on any other type. Inputs are unpacked at the start of the program, results packed at
 * its end, constants unpacked while they are collected. */
#include "codegen/program.h"

#include "ir/base/assert.h"

enum { BYTES_PER_UNIT = 64 };

uint32_t cg_elem_bytes(ir_dtype t) {
    uint32_t bits = ir_dtype_bits(t);
    return bits < 8 ? 1 : bits / 8;
}

bool cg_is_packed(ir_dtype t) {
    uint32_t bits = ir_dtype_bits(t);
    return bits > 0 && bits < 8;
}

const ir_tensor *cg_unpacked(tl_arena *a, ir_ctx *c, const ir_tensor *t) {
    ir_dtype type = t->type->dtype;
    if (!cg_is_packed(type)) return t;
    ir_tensor *u = ir_tensor_alloc(a, ir_type_with_dtype(c, t->type, DT_u8));
    uint8_t *to = ir_tensor_data(u);
    for (size_t i = 0; i < ir_tensor_elements(t); i++)
        to[i] = ir_dtype_is_float(type) ? (uint8_t)ir_float_encode(type, ir_tensor_get_f64(t, i), 1)
                                        : (uint8_t)ir_tensor_get_i64(t, i);
    ir_tensor_seal(u);
    return u;
}

/* ---- kernels over bytes of the packed form ------------------------------------------------------------------------- */

typedef struct packing {
    cg_kernel k;
    ir_dtype type;
    uint32_t bits, per_byte;
    lp_value *packed, *bytes, *count; /* pointers, number of elements */
} packing;

static lp_value *u8(packing *p, int64_t v) {
    return lp_const_i(&p->k.b, lp_scalar(DT_u8), v);
}

/* The j-th element of the byte, as the unpacked form has it. */
static lp_value *element_of(packing *p, lp_value *byte, uint32_t j) {
    lp_builder *b = &p->k.b;
    uint32_t above = 8 - (j + 1) * p->bits;
    byte = lp_bin(b, LP_shl, byte, u8(p, above));
    bool is_signed = ir_dtype_is_int(p->type) && ir_dtype_is_signed(p->type);
    lp_value *x = is_signed ? lp_bitcast(b, byte, DT_i8) : byte;
    x = lp_bin(b, LP_shr, x, lp_const_i(b, x->type, 8 - p->bits));
    return lp_bitcast(b, x, DT_u8);
}

static void unpack_byte(packing *p, lp_value *at) {
    lp_builder *b = &p->k.b;
    lp_value *byte = lp_load(b, lp_scalar(DT_u8), p->packed, at);
    lp_value *first = lp_bin(b, LP_mul, at, lp_index(b, p->per_byte));
    for (uint32_t j = 0; j < p->per_byte; j++) {
        lp_value *i = lp_bin(b, LP_add, first, lp_index(b, j));
        lp_loop l = lp_if_begin(b, lp_bin(b, LP_lt, i, p->count), NULL, 0);
        lp_store(b, p->bytes, i, element_of(p, byte, j));
        lp_if_end(b, &l, NULL);
    }
}

/* Bits behind the last element are 0. */
static void pack_byte(packing *p, lp_value *at) {
    lp_builder *b = &p->k.b;
    lp_value *first = lp_bin(b, LP_mul, at, lp_index(b, p->per_byte)), *byte = u8(p, 0);
    lp_value *last = lp_bin(b, LP_sub, p->count, lp_index(b, 1));
    for (uint32_t j = 0; j < p->per_byte; j++) {
        lp_value *i = lp_bin(b, LP_add, first, lp_index(b, j));
        lp_value *x = lp_load(b, lp_scalar(DT_u8), p->bytes, lp_bin(b, LP_min, i, last));
        x = lp_bin(b, LP_and, x, u8(p, (1 << p->bits) - 1));
        x = lp_select(b, lp_bin(b, LP_le, i, last), x, u8(p, 0));
        byte = lp_bin(b, LP_or, byte, lp_bin(b, LP_shl, x, u8(p, j * p->bits)));
    }
    lp_store(b, p->packed, at, byte);
}

static void run(cg *g, const cg_view *packed, const cg_view *bytes, bool pack) {
    uint32_t bits = ir_dtype_bits(bytes->dtype);
    packing p = {.type = bytes->dtype, .bits = bits, .per_byte = 8 / bits};
    const ir_dim *count = cg_dims_product(g, bytes->dims, bytes->rank);
    const ir_dim *n = ir_dim_ceildiv(g->c, count, cg_dc(g, p.per_byte));
    p.k = cg_kernel_begin(g, g->node, ir_dim_ceildiv(g->c, n, cg_dc(g, BYTES_PER_UNIT)));
    lp_builder *b = &p.k.b;
    p.bytes = pack ? cg_kernel_in(&p.k, bytes, false) : cg_kernel_out(&p.k, bytes, false);
    p.packed = pack ? cg_kernel_out(&p.k, packed, false) : cg_kernel_in(&p.k, packed, false);
    p.count = cg_kernel_dim(&p.k, count);
    lp_value *block = lp_index(b, BYTES_PER_UNIT), *total = cg_kernel_dim(&p.k, n);
    lp_value *end = lp_bin(b, LP_min, lp_bin(b, LP_mul, p.k.end, block), total);
    lp_loop l = lp_for_begin(b, lp_bin(b, LP_mul, p.k.begin, block), end, lp_index(b, 1), NULL, 0);
    if (pack)
        pack_byte(&p, l.counter);
    else
        unpack_byte(&p, l.counter);
    lp_for_end(b, &l, NULL);
    cg_kernel_end(&p.k, pack ? "pack" : "unpack");
}

void cg_unpack(cg *g, const cg_view *packed, const cg_view *bytes) {
    run(g, packed, bytes, false);
}

void cg_pack(cg *g, const cg_view *bytes, const cg_view *packed) {
    run(g, packed, bytes, true);
}
