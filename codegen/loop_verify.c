/* Verifier of the loop IR: operand counts and types of every operation, what blocks yield, and that every use is dominated by its
 * definition. Goes on after an error and reports each with the instruction's text:
 *
 *   func '@scale': operand 2 has type f32x4, expected f32x8
 *       note: %5 = mul f32x8 %4, %0
 *
 * Linear in the number of instructions, except that each report prints its function once. */
#include "codegen/loop.h"

#include "ir/base/hash.h"
#include "ir/base/vec.h"

typedef struct verifier {
    const lp_module *m;
    const lp_func *f;
    const lp_instr *i; /* at fault; NULL: the function itself */
    diag *d;
    tl_arena *arena;
    tl_map funcs;     /* interned name -> lp_func */
    tl_map visible;   /* lp_value -> 1 while it is in scope, 0 after */
    tl_map externals; /* interned name -> first call of it */
    bool ok;
} verifier;

/* ---- reports -------------------------------------------------------------------------------------------------- */

static void fail(verifier *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void fail(verifier *s, const char *format, ...) {
    tl_str text;
    va_list args;
    s->ok = false;
    tl_str_init(&text, s->arena);
    va_start(args, format);
    tl_str_vprintf(&text, format, args);
    va_end(args);
    diag_error(s->d, s->i ? s->i->loc : NULL, "func '@%s': %s", s->f->name, text.data);
    if (s->i && s->d->n_errors <= DIAG_MAX_ERRORS)
        diag_note(s->d, NULL, "%s", lp_instr_text(s->f, s->i, s->arena));
}

static const char *type_text(verifier *s, lp_type t) {
    const char *elem = t.elem == LP_PTR    ? "ptr"
                       : t.elem == LP_VOID ? "void"
                                           : ir_dtype_name((ir_dtype)t.elem);
    if (t.lanes == 1) return elem;
    return tl_arena_printf(s->arena, "%sx%u", elem, t.lanes);
}

static void expect_type(verifier *s, const char *what, uint32_t number, lp_type found,
                        lp_type expected) {
    if (lp_type_equal(found, expected)) return;
    fail(s, "%s %u has type %s, expected %s", what, number, type_text(s, found),
         type_text(s, expected));
}

static void expect_arg(verifier *s, uint32_t k, lp_type expected) {
    if (k < s->i->n_args) expect_type(s, "operand", k + 1, s->i->args[k]->type, expected);
}

/* ---- kinds of types ------------------------------------------------------------------------------------------- */

enum kind {
    KIND_BOOL = 1,
    KIND_INT = 2,
    KIND_FLOAT = 4, /* f32, f64: what arithmetic is done in */
    KIND_SMALL =
        8, /* floats of two bytes and less, integers of less than one: moved and converted */
    KIND_PTR = 16,
    KIND_MOVED = 32, /* complex numbers and strings: moved, and nothing else */
    KIND_ANY = KIND_BOOL | KIND_INT | KIND_FLOAT | KIND_SMALL | KIND_PTR | KIND_MOVED
};

static unsigned kind_of(lp_type t) {
    if (t.elem == LP_PTR) return KIND_PTR;
    if (t.elem >= DT_COUNT) return 0;
    uint32_t bits = ir_dtype_bits((ir_dtype)t.elem);
    switch (ir_dtype_get_class((ir_dtype)t.elem)) {
    case DTYPE_BOOL:
        return KIND_BOOL;
    case DTYPE_INT:
    case DTYPE_UINT:
        return bits >= 8 ? KIND_INT : KIND_SMALL;
    case DTYPE_FLOAT:
        return bits >= 32 ? KIND_FLOAT : KIND_SMALL;
    default:
        return lp_is_moved(t) ? KIND_MOVED : 0;
    }
}

static unsigned kinds_of_binary(lp_op op) {
    switch (op) {
    case LP_sub:
    case LP_div:
    case LP_rem:
        return KIND_INT | KIND_FLOAT;
    case LP_shl:
    case LP_shr:
        return KIND_INT;
    case LP_eq:
    case LP_ne:
        return KIND_BOOL | KIND_INT | KIND_FLOAT | KIND_PTR;
    default:
        return KIND_BOOL | KIND_INT | KIND_FLOAT;
    }
}

static unsigned kinds_of_unary(lp_op op) {
    switch (op) {
    case LP_neg:
    case LP_abs:
        return KIND_INT | KIND_FLOAT;
    case LP_not:
        return KIND_BOOL | KIND_INT;
    default:
        return KIND_FLOAT;
    }
}

static void expect_kind(verifier *s, lp_type t, unsigned kinds) {
    if (!(kind_of(t) & kinds)) fail(s, "not for %s", type_text(s, t));
}

static lp_type with_elem(lp_type t, int elem) {
    return lp_vec(elem, t.lanes);
}

/* ---- operations ----------------------------------------------------------------------------------------------- */

static void verify_arithmetic(verifier *s, unsigned kinds) {
    expect_kind(s, s->i->type, kinds);
    for (uint32_t k = 0; k < s->i->n_args; k++)
        expect_arg(s, k, s->i->type);
}

static void verify_dot(verifier *s) {
    verify_arithmetic(s, KIND_INT);
    if (s->i->type.elem != DT_i32) fail(s, "not for %s", type_text(s, s->i->type));
}

static void verify_pairs(verifier *s) {
    lp_type t = s->i->type;
    if (t.elem != DT_i16 || t.lanes % 2) fail(s, "not for %s", type_text(s, t));
    for (uint32_t k = 0; k < s->i->n_args; k++)
        expect_arg(s, k, lp_vec(DT_i32, t.lanes / 2u));
}

static void verify_lookup(verifier *s) {
    expect_arg(s, 0, s->i->type);
    expect_arg(s, 1, lp_scalar(LP_PTR));
    if (s->i->type.elem != DT_u8) fail(s, "not for %s", type_text(s, s->i->type));
}

static void verify_select(verifier *s) {
    expect_kind(s, s->i->type, KIND_ANY);
    expect_arg(s, 0, with_elem(s->i->type, DT_bool));
    expect_arg(s, 1, s->i->type);
    expect_arg(s, 2, s->i->type);
}

static bool converts(lp_type t) {
    return kind_of(t) & (KIND_BOOL | KIND_INT | KIND_FLOAT | KIND_SMALL);
}

static void verify_cast(verifier *s) {
    lp_type from = s->i->args[0]->type, to = s->i->type;
    if (from.lanes != to.lanes || !converts(from) || !converts(to))
        fail(s, "no conversion from %s to %s", type_text(s, from), type_text(s, to));
}

static void verify_bitcast(verifier *s) {
    lp_type from = s->i->args[0]->type, to = s->i->type;
    bool numbers = kind_of(from) && kind_of(to) && kind_of(from) != KIND_PTR &&
                   kind_of(to) != KIND_PTR;
    uint32_t from_bits = numbers ? ir_dtype_bits((ir_dtype)from.elem) : 0,
             to_bits = numbers ? ir_dtype_bits((ir_dtype)to.elem) : 0;
    /* other lanes: whole bytes of integers alone */
    bool regrouped = kind_of(from) == KIND_INT && kind_of(to) == KIND_INT && from_bits >= 8 &&
                     to_bits >= 8 && from_bits * from.lanes == to_bits * to.lanes;
    if (!numbers || !((from.lanes == to.lanes && from_bits == to_bits) || regrouped))
        fail(s, "%s and %s have different sizes", type_text(s, from), type_text(s, to));
}

static void verify_lane(verifier *s, uint32_t lanes) {
    if (s->i->imm < 0 || s->i->imm >= lanes) fail(s, "there is no lane %d", (int)s->i->imm);
}

static void verify_shuffle(verifier *s) {
    lp_type x = s->i->args[0]->type;
    expect_kind(s, s->i->type, KIND_ANY);
    expect_arg(s, 0, lp_vec(s->i->type.elem, x.lanes));
    expect_arg(s, 1, x);
    if (!s->i->mask) {
        fail(s, "there is no mask");
        return;
    }
    for (uint32_t k = 0; k < s->i->type.lanes; k++)
        if (s->i->mask[k] < -1 || s->i->mask[k] >= 2 * x.lanes)
            fail(s, "mask: there is no lane %d", s->i->mask[k]);
}

static void verify_reduce(verifier *s) {
    lp_type x = s->i->args[0]->type;
    expect_kind(s, s->i->type, KIND_BOOL | KIND_INT | KIND_FLOAT);
    expect_arg(s, 0, lp_vec(s->i->type.elem, x.lanes));
    if (s->i->type.lanes != 1) fail(s, "the result is not a scalar");
    if (x.lanes & (x.lanes - 1)) fail(s, "%u lanes cannot be halved down to one", x.lanes);
}

static void verify_vector(verifier *s) {
    const lp_instr *i = s->i;
    switch (i->op) {
    case LP_broadcast:
        expect_arg(s, 0, lp_scalar(i->type.elem));
        break;
    case LP_iota:
        expect_kind(s, i->type, KIND_INT | KIND_FLOAT);
        break;
    case LP_extract:
        expect_arg(s, 0, lp_vec(i->type.elem, i->args[0]->type.lanes));
        if (i->type.lanes != 1) fail(s, "the result is not a scalar");
        verify_lane(s, i->args[0]->type.lanes);
        break;
    case LP_insert:
        expect_arg(s, 0, i->type);
        expect_arg(s, 1, lp_scalar(i->type.elem));
        verify_lane(s, i->type.lanes);
        break;
    case LP_shuffle:
        verify_shuffle(s);
        break;
    default:
        verify_reduce(s);
        break;
    }
}

/* ptr, index, then the value of a store and the count of a masked form. */
static void verify_access(verifier *s) {
    const lp_instr *i = s->i;
    bool indexed = i->op == LP_gather || i->op == LP_scatter;
    bool stores = i->op == LP_store || i->op == LP_store_masked || i->op == LP_scatter;
    expect_kind(s, i->type, KIND_ANY);
    expect_arg(s, 0, lp_scalar(LP_PTR));
    expect_arg(s, 1, lp_vec(DT_i64, indexed ? i->type.lanes : 1));
    if (stores) expect_arg(s, 2, i->type);
    if (i->op == LP_load_masked || i->op == LP_store_masked) expect_arg(s, i->n_args - 1, LP_I64);
    if (i->imm < 0 || (i->imm & (i->imm - 1))) fail(s, "alignment is not a power of two");
}

static void verify_memory(verifier *s) {
    const lp_instr *i = s->i;
    if (i->op >= LP_load && i->op <= LP_scatter) {
        verify_access(s);
        return;
    }
    if (i->op == LP_alloca && (i->imm <= 0 || i->imm > INT32_MAX)) fail(s, "no such size");
    if (i->op == LP_ptr_add || i->op == LP_prefetch) {
        expect_arg(s, 0, lp_scalar(LP_PTR));
        expect_arg(s, 1, LP_I64);
    }
    lp_type expected = lp_scalar(i->op == LP_prefetch ? LP_VOID : LP_PTR);
    if (!lp_type_equal(i->type, expected)) fail(s, "has no type but %s", type_text(s, expected));
}

/* ---- calls ---------------------------------------------------------------------------------------------------- */

static void verify_call_to(verifier *s, const lp_func *f) {
    if (f->n_params != s->i->n_args)
        fail(s, "'@%s' takes %u arguments, not %u", f->name, f->n_params, s->i->n_args);
    for (uint32_t k = 0; k < f->n_params; k++)
        expect_arg(s, k, f->params[k]->type);
    if (!lp_type_equal(f->result, s->i->type))
        fail(s, "'@%s' returns %s", f->name, type_text(s, f->result));
}

/* Functions from elsewhere: all calls must agree. */
static void verify_external_call(verifier *s) {
    const lp_instr *i = s->i, *first;
    uint64_t key = tl_hash_bytes(0, i->callee, strlen(i->callee));
    bool added;
    uint64_t *place = tl_map_insert(&s->externals, key, &added);
    if (added) *place = (uint64_t)(uintptr_t)i;
    first = (const lp_instr *)(uintptr_t)*place;
    if (first->n_args != i->n_args || !lp_type_equal(first->type, i->type)) {
        fail(s, "'@%s' was called in another way before", i->callee);
        return;
    }
    for (uint32_t k = 0; k < i->n_args; k++)
        expect_arg(s, k, first->args[k]->type);
}

static void verify_call(verifier *s) {
    if (!s->i->callee) {
        fail(s, "there is no function to call");
        return;
    }
    const lp_func *f = tl_map_get_ptr(&s->funcs, s->i->callee);
    if (f)
        verify_call_to(s, f);
    else
        verify_external_call(s);
}

/* ---- blocks --------------------------------------------------------------------------------------------------- */

static void verify_block(verifier *s, const lp_block *b);

static void set_visible(verifier *s, const lp_value *v, bool visible) {
    *tl_map_insert(&s->visible, (uint64_t)(uintptr_t)v, NULL) = visible;
}

/* What a block of the current instruction gives: `n` values of these types. */
static void verify_yield(verifier *s, const lp_block *b, lp_value *const *expected, uint32_t n) {
    const lp_instr *owner = s->i, *last = b->last;
    bool yields = last && last->op == LP_yield;
    if ((yields ? last->n_args : 0) != n) {
        fail(s, "a block yields %u values, expected %u", yields ? last->n_args : 0, n);
        return;
    }
    if (yields) s->i = last;
    for (uint32_t k = 0; k < n; k++)
        expect_arg(s, k, expected[k]->type);
    s->i = owner;
}

/* Parameters of a block from `first` on have the types of these values. */
static void verify_params(verifier *s, const lp_block *b, uint32_t first, lp_value *const *values,
                          uint32_t n) {
    if (b->n_params != first + n) {
        fail(s, "a block has %u parameters, expected %u", b->n_params, first + n);
        return;
    }
    for (uint32_t k = 0; k < n; k++)
        expect_type(s, "carried value", k + 1, b->params[first + k]->type, values[k]->type);
}

static void verify_results(verifier *s, lp_value *const *expected, uint32_t n) {
    if (s->i->n_results != n) {
        fail(s, "%u results, expected %u", s->i->n_results, n);
        return;
    }
    for (uint32_t k = 0; k < n; k++)
        expect_type(s, "result", k + 1, s->i->results[k]->type, expected[k]->type);
}

static bool has_blocks(verifier *s, int n) {
    bool ok = s->i->blocks[0] && (n < 2 || s->i->blocks[1]);
    if (!ok) fail(s, "a block is missing");
    return ok;
}

static void verify_for(verifier *s) {
    const lp_instr *i = s->i;
    if (!has_blocks(s, 1)) return;
    if (i->n_args < 3) {
        fail(s, "bounds are missing");
        return;
    }
    for (uint32_t k = 0; k < 3; k++)
        expect_arg(s, k, LP_I64);
    int64_t step;
    if (lp_value_is_const_i(i->args[2], &step) && step <= 0) fail(s, "the step is not positive");
    verify_params(s, i->blocks[0], 1, i->args + 3, i->n_args - 3);
    verify_results(s, i->args + 3, i->n_args - 3);
    verify_block(s, i->blocks[0]);
    verify_yield(s, i->blocks[0], i->args + 3, i->n_args - 3);
}

static void verify_while(verifier *s) {
    const lp_instr *i = s->i;
    static lp_value condition = {.type = {DT_bool, 1}};
    if (!has_blocks(s, 2)) return;
    verify_params(s, i->blocks[0], 0, i->args, i->n_args);
    verify_params(s, i->blocks[1], 0, i->args, i->n_args);
    verify_results(s, i->args, i->n_args);
    verify_block(s, i->blocks[0]);
    verify_yield(s, i->blocks[0], (lp_value *[]){&condition}, 1);
    verify_block(s, i->blocks[1]);
    verify_yield(s, i->blocks[1], i->args, i->n_args);
}

static void verify_if(verifier *s) {
    const lp_instr *i = s->i;
    if (!has_blocks(s, i->n_results ? 2 : 1)) return;
    expect_arg(s, 0, lp_scalar(DT_bool));
    for (int k = 0; k < 2; k++) {
        if (!i->blocks[k]) continue;
        verify_params(s, i->blocks[k], 0, NULL, 0);
        verify_block(s, i->blocks[k]);
        verify_yield(s, i->blocks[k], i->results, i->n_results);
    }
}

/* A yield needs an owner, a return must not have one. */
static void verify_end(verifier *s) {
    const lp_instr *i = s->i;
    if (i->next) fail(s, "is not the last instruction of its block");
    if (i->op == LP_yield) {
        if (!i->parent->owner) fail(s, "there is nothing to yield to");
        return;
    }
    if (i->parent->owner) fail(s, "stands inside a block");
    if (i->n_args == 1) expect_arg(s, 0, s->f->result);
}

/* ---- instructions --------------------------------------------------------------------------------------------- */

static void verify_operands(verifier *s) {
    const lp_instr *i = s->i;
    for (uint32_t k = 0; k < i->n_args; k++) {
        const lp_value *v = i->args[k];
        uint64_t *visible = tl_map_find(&s->visible, (uint64_t)(uintptr_t)v);
        if (!visible || !*visible) fail(s, "operand %u is not defined here", k + 1);
    }
}

static void verify_kind(verifier *s) {
    lp_op op = s->i->op;
    if (op == LP_const)
        expect_kind(s, s->i->type, KIND_ANY & ~(unsigned)KIND_PTR);
    else if (op <= LP_ge)
        verify_arithmetic(s, kinds_of_binary(op));
    else if (op <= LP_trunc)
        verify_arithmetic(s, kinds_of_unary(op));
    else if (op == LP_fma)
        verify_arithmetic(s, KIND_FLOAT);
    else if (op == LP_dot4 || op == LP_dot4n || op == LP_dot2)
        verify_dot(s);
    else if (op == LP_pairs)
        verify_pairs(s);
    else if (op == LP_lookup)
        verify_lookup(s);
    else if (op == LP_select)
        verify_select(s);
    else if (op == LP_cast)
        verify_cast(s);
    else if (op == LP_bitcast)
        verify_bitcast(s);
    else if (op <= LP_reduce_max)
        verify_vector(s);
    else if (op <= LP_buffer)
        verify_memory(s);
    else if (op == LP_call)
        verify_call(s);
    else
        verify_end(s);
}

static bool gives_result(const lp_instr *i) {
    if (i->op == LP_call) return i->type.elem != LP_VOID;
    return i->op != LP_store && i->op != LP_store_masked && i->op != LP_scatter &&
           i->op != LP_prefetch && i->op != LP_yield && i->op != LP_return;
}

static void verify_instr(verifier *s, const lp_block *b, const lp_instr *i) {
    s->i = i;
    int arity = lp_op_arity(i->op);
    bool counts = arity < 0 || (uint32_t)arity == i->n_args;
    if (!counts) fail(s, "%u operands, expected %d", i->n_args, arity);
    if (i->parent != b) fail(s, "belongs to another block");
    if (i->type.lanes < 1 || i->type.lanes > LP_MAX_LANES) fail(s, "%u lanes", i->type.lanes);
    verify_operands(s);
    if (i->op == LP_for)
        verify_for(s);
    else if (i->op == LP_while)
        verify_while(s);
    else if (i->op == LP_if)
        verify_if(s);
    else if (counts) {
        lp_value result = {.type = lp_op_is_compare(i->op) ? with_elem(i->type, DT_bool) : i->type};
        verify_kind(s);
        verify_results(s, (lp_value *[]){&result}, gives_result(i));
    }
    s->i = i;
    for (uint32_t k = 0; k < i->n_results; k++)
        set_visible(s, i->results[k], true);
}

static void verify_block(verifier *s, const lp_block *b) {
    const lp_instr *owner = s->i;
    for (uint32_t k = 0; k < b->n_params; k++)
        set_visible(s, b->params[k], true);
    for (const lp_instr *i = b->first; i; i = i->next)
        verify_instr(s, b, i);
    for (uint32_t k = 0; k < b->n_params; k++)
        set_visible(s, b->params[k], false);
    for (const lp_instr *i = b->first; i; i = i->next)
        for (uint32_t k = 0; k < i->n_results; k++)
            set_visible(s, i->results[k], false);
    s->i = owner;
}

static void verify_func(verifier *s, const lp_func *f) {
    s->f = f;
    s->i = NULL;
    for (uint32_t k = 0; k < f->n_params; k++) {
        set_visible(s, f->params[k], true);
        expect_kind(s, f->params[k]->type, KIND_ANY);
    }
    if (tl_map_get_ptr(&s->funcs, f->name) != f) fail(s, "the name is used twice");
    verify_block(s, f->body);
    bool returns = f->body->last && f->body->last->op == LP_return;
    if (returns != (f->result.elem != LP_VOID))
        fail(s, returns ? "returns a value it has no type for" : "does not return its result");
}

bool lp_module_verify(const lp_module *m, diag *d) {
    verifier s = {.m = m, .d = d, .arena = m->arena, .ok = true};
    tl_map_init(&s.visible, m->arena);
    tl_map_init(&s.externals, m->arena);
    tl_map_init(&s.funcs, m->arena);
    for (const lp_func *f = m->funcs; f; f = f->next)
        tl_map_set_ptr(&s.funcs, f->name, f);
    for (const lp_func *f = m->funcs; f; f = f->next)
        verify_func(&s, f);
    return s.ok;
}
