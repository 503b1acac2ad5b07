/* Builder of the loop IR: appends to the current block; see loop.h.
 *
 *   lp_bin(&b, LP_mul, i, lp_index(&b, 1))      gives i itself: index arithmetic on constants folds as it is written,
 *                                               so that lowering can be general and the text stays readable */
#include "codegen/loop_internal.h"

#include "ir/base/assert.h"
#include "ir/tensor.h"

#include <math.h>

lp_builder lp_build_in(lp_func *f) {
    return (lp_builder){.m = f->module, .func = f, .block = f->body, .line = f->line};
}

static bool is_float(lp_type t) {
    return t.elem < LP_PTR && ir_dtype_is_float((ir_dtype)t.elem);
}

static lp_value *create_value(lp_builder *b, lp_type t, lp_instr *def) {
    lp_value *v = TL_NEW(b->m->arena, lp_value);
    v->type = t;
    v->def = def;
    return v;
}

static lp_value **copy_values(lp_builder *b, lp_value *const *values, uint32_t n) {
    if (n == 0) return NULL;
    lp_value **copy = TL_NEW_ARRAY(b->m->arena, lp_value *, n);
    memcpy(copy, values, n * sizeof *copy);
    return copy;
}

static void append(lp_builder *b, lp_instr *i) {
    lp_block *block = b->block;
    lp_instr *next = b->before, *prev = next ? next->prev : block->last;
    TL_ASSERT(next || !prev || (prev->op != LP_yield && prev->op != LP_return));
    i->parent = block;
    i->prev = prev;
    i->next = next;
    *(prev ? &prev->next : &block->first) = i;
    *(next ? &next->prev : &block->last) = i;
}

lp_instr *lp_emit(lp_builder *b, lp_op op, lp_type type, lp_value *const *args, uint32_t n_args,
                  uint32_t n_results) {
    TL_ASSERT(lp_op_arity(op) < 0 || (uint32_t)lp_op_arity(op) <= n_args);
    lp_instr *i = TL_NEW(b->m->arena, lp_instr);
    i->op = op;
    i->type = type;
    i->args = copy_values(b, args, n_args);
    i->n_args = n_args;
    i->n_results = n_results;
    i->loc = b->loc;
    i->line = b->line;
    lp_type result = lp_op_is_compare(op) ? lp_vec(DT_bool, type.lanes) : type;
    if (n_results) i->results = TL_NEW_ARRAY(b->m->arena, lp_value *, n_results);
    for (uint32_t r = 0; r < n_results; r++)
        i->results[r] = create_value(b, result, i);
    append(b, i);
    return i;
}

static lp_value *emit1(lp_builder *b, lp_op op, lp_type type, lp_value *const *args, uint32_t n) {
    return lp_emit(b, op, type, args, n, 1)->results[0];
}

/* ---- constants ------------------------------------------------------------------------------------------------ */

/* The one spelling of an integer of this type: u8 -1 and u8 255 are the same constant. */
static int64_t wrap_to(ir_dtype t, int64_t v) {
    uint32_t bits = ir_dtype_bits(t);
    if (t == DT_bool) return v != 0;
    if (bits == 0 || bits >= 64) return v;
    uint64_t high = (uint64_t)v << (64 - bits);
    return ir_dtype_is_signed(t) ? (int64_t)high >> (64 - bits) : (int64_t)(high >> (64 - bits));
}

lp_value *lp_const_i(lp_builder *b, lp_type t, int64_t v) {
    if (is_float(t)) return lp_const_f(b, t, (double)v);
    TL_ASSERT(t.elem < LP_PTR);
    lp_instr *i = lp_emit(b, LP_const, t, NULL, 0, 1);
    i->imm = wrap_to((ir_dtype)t.elem, v);
    return i->results[0];
}

/* Rounded to the type; of the NaNs there is one. */
static double round_to(ir_dtype t, double v) {
    uint64_t element = 0;
    if (isnan(v)) return (double)NAN;
    ir_element_set_f64(t, &element, 0, v);
    return ir_element_get_f64(t, &element, 0);
}

lp_value *lp_const_f(lp_builder *b, lp_type t, double v) {
    TL_ASSERT(is_float(t));
    lp_instr *i = lp_emit(b, LP_const, t, NULL, 0, 1);
    i->fimm = round_to((ir_dtype)t.elem, v);
    return i->results[0];
}

lp_value *lp_index(lp_builder *b, int64_t v) {
    return lp_const_i(b, LP_I64, v);
}

/* ---- folding of i64 scalars ----------------------------------------------------------------------------------- */

static bool fold_arithmetic(lp_op op, int64_t x, int64_t y, int64_t *out) {
    uint64_t ux = (uint64_t)x, uy = (uint64_t)y;
    switch (op) {
    case LP_add:
        *out = (int64_t)(ux + uy);
        return true;
    case LP_sub:
        *out = (int64_t)(ux - uy);
        return true;
    case LP_mul:
        *out = (int64_t)(ux * uy);
        return true;
    case LP_div:
        *out = y && y != -1 ? x / y : 0;
        return y && y != -1;
    case LP_rem:
        *out = y && y != -1 ? x % y : 0;
        return y && y != -1;
    case LP_min:
    case LP_lesser:
        *out = x < y ? x : y;
        return true;
    case LP_max:
    case LP_greater:
        *out = x > y ? x : y;
        return true;
    case LP_and:
        *out = x & y;
        return true;
    case LP_or:
        *out = x | y;
        return true;
    case LP_xor:
        *out = x ^ y;
        return true;
    case LP_shl:
        *out = uy < 64 ? (int64_t)(ux << uy) : 0;
        return uy < 64;
    case LP_shr:
        *out = uy < 64 ? x >> y : 0;
        return uy < 64;
    default:
        return false;
    }
}

static bool fold_compare(lp_op op, int64_t x, int64_t y) {
    switch (op) {
    case LP_eq:
        return x == y;
    case LP_ne:
        return x != y;
    case LP_lt:
        return x < y;
    case LP_le:
        return x <= y;
    case LP_gt:
        return x > y;
    case LP_ge:
        return x >= y;
    default:
        TL_UNREACHABLE();
    }
}

/* x op y where one side is a constant that changes nothing, or decides all. NULL: no such rule. */
static lp_value *fold_identity(lp_builder *b, lp_op op, lp_value *x, lp_value *y) {
    int64_t c;
    if ((op == LP_add || op == LP_mul) && lp_value_is_const_i(x, &c)) {
        lp_value *swap = x;
        x = y;
        y = swap;
    }
    if (!lp_value_is_const_i(y, &c)) return NULL;
    bool keeps_at_0 = op == LP_add || op == LP_sub || op == LP_shl || op == LP_shr || op == LP_or;
    bool keeps_at_1 = op == LP_mul || op == LP_div;
    if ((c == 0 && keeps_at_0) || (c == 1 && keeps_at_1)) return x;
    if ((c == 0 && op == LP_mul) || (c == 1 && op == LP_rem)) return lp_index(b, 0);
    return NULL;
}

static lp_value *fold_i64(lp_builder *b, lp_op op, lp_value *x, lp_value *y) {
    int64_t cx, cy, r;
    if (!lp_value_is_const_i(x, &cx) || !lp_value_is_const_i(y, &cy))
        return fold_identity(b, op, x, y);
    if (lp_op_is_compare(op)) return lp_const_i(b, lp_scalar(DT_bool), fold_compare(op, cx, cy));
    if (fold_arithmetic(op, cx, cy, &r)) return lp_index(b, r);
    return NULL;
}

/* ---- arithmetic ----------------------------------------------------------------------------------------------- */

lp_value *lp_un(lp_builder *b, lp_op op, lp_value *x) {
    TL_ASSERT(lp_op_arity(op) == 1 && !lp_op_is_reduce(op));
    return emit1(b, op, x->type, &x, 1);
}

lp_value *lp_bin(lp_builder *b, lp_op op, lp_value *x, lp_value *y) {
    TL_ASSERT(op >= LP_add && op <= LP_ge);
    TL_ASSERT(lp_type_equal(x->type, y->type));
    if (lp_type_equal(x->type, LP_I64)) {
        lp_value *folded = fold_i64(b, op, x, y);
        if (folded) return folded;
    }
    return emit1(b, op, x->type, (lp_value *[]){x, y}, 2);
}

lp_value *lp_fma(lp_builder *b, lp_value *x, lp_value *y, lp_value *z) {
    TL_ASSERT(lp_type_equal(x->type, y->type) && lp_type_equal(x->type, z->type));
    return emit1(b, LP_fma, x->type, (lp_value *[]){x, y, z}, 3);
}

lp_value *lp_dot4(lp_builder *b, lp_value *x, lp_value *y, lp_value *z, bool narrow) {
    TL_ASSERT(z->type.elem == DT_i32);
    TL_ASSERT(lp_type_equal(x->type, z->type) && lp_type_equal(y->type, z->type));
    return emit1(b, narrow ? LP_dot4n : LP_dot4, z->type, (lp_value *[]){x, y, z}, 3);
}

lp_value *lp_pairs(lp_builder *b, lp_value *x, lp_value *y) {
    TL_ASSERT(x->type.elem == DT_i32 && lp_type_equal(x->type, y->type));
    return emit1(b, LP_pairs, lp_vec(DT_i16, 2 * x->type.lanes), (lp_value *[]){x, y}, 2);
}

lp_value *lp_dot2(lp_builder *b, lp_value *x, lp_value *y, lp_value *z) {
    TL_ASSERT(z->type.elem == DT_i32);
    TL_ASSERT(lp_type_equal(x->type, z->type) && lp_type_equal(y->type, z->type));
    return emit1(b, LP_dot2, z->type, (lp_value *[]){x, y, z}, 3);
}

lp_value *lp_lookup(lp_builder *b, lp_value *x, lp_value *table) {
    TL_ASSERT(x->type.elem == DT_u8 && table->type.elem == LP_PTR);
    return emit1(b, LP_lookup, x->type, (lp_value *[]){x, table}, 2);
}

lp_value *lp_select(lp_builder *b, lp_value *c, lp_value *x, lp_value *y) {
    TL_ASSERT(lp_type_equal(x->type, y->type) && c->type.elem == DT_bool);
    TL_ASSERT(c->type.lanes == x->type.lanes);
    return emit1(b, LP_select, x->type, (lp_value *[]){c, x, y}, 3);
}

lp_value *lp_cast(lp_builder *b, lp_value *x, int elem) {
    if (x->type.elem == elem) return x;
    return emit1(b, LP_cast, lp_vec(elem, x->type.lanes), &x, 1);
}

lp_value *lp_bitcast(lp_builder *b, lp_value *x, int elem) {
    if (x->type.elem == elem) return x;
    TL_ASSERT(ir_dtype_bits((ir_dtype)x->type.elem) == ir_dtype_bits((ir_dtype)elem));
    return emit1(b, LP_bitcast, lp_vec(elem, x->type.lanes), &x, 1);
}

lp_value *lp_regroup(lp_builder *b, lp_value *x, lp_type t) {
    TL_ASSERT(ir_dtype_bits((ir_dtype)x->type.elem) * x->type.lanes ==
              ir_dtype_bits((ir_dtype)t.elem) * t.lanes);
    return emit1(b, LP_bitcast, t, &x, 1);
}

/* ---- vectors -------------------------------------------------------------------------------------------------- */

lp_value *lp_broadcast(lp_builder *b, lp_value *x, unsigned lanes) {
    TL_ASSERT(x->type.lanes == 1);
    if (lanes == 1) return x;
    return emit1(b, LP_broadcast, lp_vec(x->type.elem, lanes), &x, 1);
}

lp_value *lp_iota(lp_builder *b, lp_type t) {
    return emit1(b, LP_iota, t, NULL, 0);
}

lp_value *lp_extract(lp_builder *b, lp_value *x, int64_t lane) {
    TL_ASSERT(lane >= 0 && lane < x->type.lanes);
    lp_instr *i = lp_emit(b, LP_extract, lp_scalar(x->type.elem), &x, 1, 1);
    i->imm = lane;
    return i->results[0];
}

lp_value *lp_insert(lp_builder *b, lp_value *x, lp_value *s, int64_t lane) {
    TL_ASSERT(lane >= 0 && lane < x->type.lanes);
    TL_ASSERT(lp_type_equal(s->type, lp_scalar(x->type.elem)));
    lp_instr *i = lp_emit(b, LP_insert, x->type, (lp_value *[]){x, s}, 2, 1);
    i->imm = lane;
    return i->results[0];
}

lp_value *lp_shuffle(lp_builder *b, lp_value *x, lp_value *y, const int32_t *mask, unsigned lanes) {
    TL_ASSERT(lp_type_equal(x->type, y->type));
    lp_type t = lp_vec(x->type.elem, lanes);
    lp_instr *i = lp_emit(b, LP_shuffle, t, (lp_value *[]){x, y}, 2, 1);
    int32_t *copy = TL_NEW_ARRAY(b->m->arena, int32_t, lanes);
    memcpy(copy, mask, lanes * sizeof *copy);
    i->mask = copy;
    return i->results[0];
}

lp_value *lp_reduce(lp_builder *b, lp_op op, lp_value *x) {
    TL_ASSERT(lp_op_is_reduce(op));
    if (x->type.lanes == 1) return x;
    return emit1(b, op, lp_scalar(x->type.elem), &x, 1);
}

/* ---- memory --------------------------------------------------------------------------------------------------- */

lp_value *lp_load(lp_builder *b, lp_type t, lp_value *ptr, lp_value *index) {
    TL_ASSERT(ptr->type.elem == LP_PTR && lp_type_equal(index->type, LP_I64));
    return emit1(b, LP_load, t, (lp_value *[]){ptr, index}, 2);
}

lp_value *lp_load_aligned(lp_builder *b, lp_type t, lp_value *ptr, lp_value *index, int64_t align) {
    lp_value *v = lp_load(b, t, ptr, index);
    v->def->imm = align;
    return v;
}

void lp_store(lp_builder *b, lp_value *ptr, lp_value *index, lp_value *x) {
    TL_ASSERT(ptr->type.elem == LP_PTR && lp_type_equal(index->type, LP_I64));
    lp_emit(b, LP_store, x->type, (lp_value *[]){ptr, index, x}, 3, 0);
}

lp_value *lp_load_masked(lp_builder *b, lp_type t, lp_value *ptr, lp_value *index, lp_value *n) {
    TL_ASSERT(lp_type_equal(index->type, LP_I64) && lp_type_equal(n->type, LP_I64));
    return emit1(b, LP_load_masked, t, (lp_value *[]){ptr, index, n}, 3);
}

void lp_store_masked(lp_builder *b, lp_value *ptr, lp_value *index, lp_value *x, lp_value *n) {
    TL_ASSERT(lp_type_equal(index->type, LP_I64) && lp_type_equal(n->type, LP_I64));
    lp_emit(b, LP_store_masked, x->type, (lp_value *[]){ptr, index, x, n}, 4, 0);
}

lp_value *lp_gather(lp_builder *b, lp_type t, lp_value *ptr, lp_value *indices) {
    TL_ASSERT(lp_type_equal(indices->type, lp_vec(DT_i64, t.lanes)));
    return emit1(b, LP_gather, t, (lp_value *[]){ptr, indices}, 2);
}

void lp_scatter(lp_builder *b, lp_value *ptr, lp_value *indices, lp_value *x) {
    TL_ASSERT(lp_type_equal(indices->type, lp_vec(DT_i64, x->type.lanes)));
    lp_emit(b, LP_scatter, x->type, (lp_value *[]){ptr, indices, x}, 3, 0);
}

lp_value *lp_ptr_add(lp_builder *b, lp_value *ptr, lp_value *bytes) {
    int64_t c;
    TL_ASSERT(ptr->type.elem == LP_PTR && lp_type_equal(bytes->type, LP_I64));
    if (lp_value_is_const_i(bytes, &c) && c == 0) return ptr;
    return emit1(b, LP_ptr_add, ptr->type, (lp_value *[]){ptr, bytes}, 2);
}

lp_value *lp_alloca(lp_builder *b, int64_t bytes) {
    lp_instr *i = lp_emit(b, LP_alloca, lp_scalar(LP_PTR), NULL, 0, 1);
    i->imm = bytes;
    return i->results[0];
}

void lp_prefetch(lp_builder *b, lp_value *ptr, lp_value *byte_offset) {
    lp_emit(b, LP_prefetch, lp_scalar(LP_VOID), (lp_value *[]){ptr, byte_offset}, 2, 0);
}

lp_value *lp_buffer(lp_builder *b, int64_t number) {
    lp_instr *i = lp_emit(b, LP_buffer, lp_scalar(LP_PTR), NULL, 0, 1);
    i->imm = number;
    return i->results[0];
}

lp_value *lp_call(lp_builder *b, const char *callee, lp_type result, lp_value *const *args,
                  uint32_t n) {
    bool has_result = result.elem != LP_VOID;
    lp_instr *i = lp_emit(b, LP_call, result, args, n, has_result);
    i->callee = ir_name(b->m->ctx, callee);
    return has_result ? i->results[0] : NULL;
}

/* ---- control flow --------------------------------------------------------------------------------------------- */

lp_block *lp_block_create(lp_builder *b, lp_instr *owner, uint32_t n_params) {
    lp_block *block = TL_NEW(b->m->arena, lp_block);
    block->owner = owner;
    block->func = b->func;
    block->n_params = n_params;
    if (n_params) block->params = TL_NEW_ARRAY(b->m->arena, lp_value *, n_params);
    return block;
}

static lp_instr *emit_structure(lp_builder *b, lp_op op, lp_value *const *args, uint32_t n_args,
                                uint32_t n_results) {
    return lp_emit(b, op, lp_scalar(LP_VOID), args, n_args, n_results);
}

static void yield(lp_builder *b, lp_value *const *values, uint32_t n) {
    if (n) emit_structure(b, LP_yield, values, n, 0);
}

lp_loop lp_for_begin(lp_builder *b, lp_value *lo, lp_value *hi, lp_value *step,
                     lp_value *const *init, uint32_t n) {
    lp_value **args = TL_NEW_ARRAY(b->m->arena, lp_value *, 3 + n);
    args[0] = lo, args[1] = hi, args[2] = step;
    if (n) memcpy(args + 3, init, n * sizeof *args);
    lp_instr *i = emit_structure(b, LP_for, args, 3 + n, n);
    lp_block *body = lp_block_create(b, i, 1 + n);
    body->params[0] = create_value(b, LP_I64, NULL);
    for (uint32_t k = 0; k < n; k++) {
        body->params[1 + k] = create_value(b, init[k]->type, NULL);
        i->results[k]->type = init[k]->type;
    }
    i->blocks[0] = body;
    lp_loop l = {i, b->block, body->params[0], body->params + 1, i->results};
    b->block = body;
    return l;
}

void lp_for_end(lp_builder *b, lp_loop *l, lp_value *const *next) {
    yield(b, next, l->instr->n_results);
    b->block = l->outer;
}

lp_loop lp_if_begin(lp_builder *b, lp_value *cond, const lp_type *result_types, uint32_t n) {
    lp_instr *i = emit_structure(b, LP_if, &cond, 1, n);
    for (uint32_t k = 0; k < n; k++)
        i->results[k]->type = result_types[k];
    i->blocks[0] = lp_block_create(b, i, 0);
    lp_loop l = {i, b->block, NULL, NULL, i->results};
    b->block = i->blocks[0];
    return l;
}

void lp_if_else(lp_builder *b, lp_loop *l, lp_value *const *then_results) {
    yield(b, then_results, l->instr->n_results);
    l->instr->blocks[1] = lp_block_create(b, l->instr, 0);
    b->block = l->instr->blocks[1];
}

void lp_if_end(lp_builder *b, lp_loop *l, lp_value *const *results) {
    yield(b, results, l->instr->n_results);
    b->block = l->outer;
}

lp_block *lp_block_create_carried(lp_builder *b, lp_instr *i) {
    lp_block *block = lp_block_create(b, i, i->n_args);
    for (uint32_t k = 0; k < i->n_args; k++)
        block->params[k] = create_value(b, i->args[k]->type, NULL);
    return block;
}

lp_loop lp_while_begin(lp_builder *b, lp_value *const *init, uint32_t n) {
    lp_instr *i = emit_structure(b, LP_while, init, n, n);
    for (uint32_t k = 0; k < n; k++)
        i->results[k]->type = init[k]->type;
    i->blocks[0] = lp_block_create_carried(b, i);
    lp_loop l = {i, b->block, NULL, i->blocks[0]->params, i->results};
    b->block = i->blocks[0];
    return l;
}

void lp_while_do(lp_builder *b, lp_loop *l, lp_value *cond) {
    TL_ASSERT(lp_type_equal(cond->type, lp_scalar(DT_bool)));
    yield(b, &cond, 1);
    b->block = l->instr->blocks[1] = lp_block_create_carried(b, l->instr);
    l->carried = b->block->params;
}

void lp_while_end(lp_builder *b, lp_loop *l, lp_value *const *next) {
    yield(b, next, l->instr->n_results);
    b->block = l->outer;
}

void lp_return(lp_builder *b, lp_value *v) {
    TL_ASSERT(lp_type_equal(v->type, b->func->result));
    emit_structure(b, LP_return, &v, 1, 0);
}
