/* Structural hash and equality of loop functions: what two kernels compute, not how their values are called, where in the model they
 * come from or where their constants stand.
 *
 *   func @a(ptr %x) { store f32 %x[0], %c }   equals   func @b(ptr %y) { store f32 %y[0], %d }   where %c and %d are equal constants
 *
 * Values are numbered in order first (lp_value.id); then one walk, linear in the number of instructions. */
#include "codegen/loop.h"

#include "ir/base/hash.h"

static bool is_const(const lp_value *v) {
    return v->def && v->def->op == LP_const;
}

static uint32_t number_block(const lp_block *b, uint32_t next) {
    for (uint32_t i = 0; i < b->n_params; i++)
        b->params[i]->id = next++;
    for (const lp_instr *i = b->first; i; i = i->next) {
        if (i->op == LP_const) continue;
        for (uint32_t r = 0; r < i->n_results; r++)
            i->results[r]->id = next++;
        for (int k = 0; k < 2; k++)
            if (i->blocks[k]) next = number_block(i->blocks[k], next);
    }
    return next;
}

static void number_func(const lp_func *f) {
    for (uint32_t i = 0; i < f->n_params; i++)
        f->params[i]->id = i;
    number_block(f->body, f->n_params);
}

/* ---- hash ----------------------------------------------------------------------------------------------------- */

static uint64_t double_bits(double x) {
    uint64_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static uint64_t hash_type(uint64_t h, lp_type t) {
    return tl_hash_mix(h, (uint64_t)t.elem << 16 | t.lanes);
}

static uint64_t hash_operand(uint64_t h, const lp_value *v) {
    if (!is_const(v)) return tl_hash_mix(h, v->id);
    h = hash_type(tl_hash_mix(h, UINT64_MAX), v->type);
    return tl_hash_mix(tl_hash_mix(h, (uint64_t)v->def->imm), double_bits(v->def->fimm));
}

static uint64_t hash_block(uint64_t h, const lp_block *b);

static uint64_t hash_instr(uint64_t h, const lp_instr *i) {
    h = hash_type(tl_hash_mix(h, i->op), i->type);
    h = tl_hash_mix(h, (uint64_t)i->n_args << 32 | i->n_results);
    h = tl_hash_mix(h, (uint64_t)i->imm);
    for (uint32_t k = 0; k < i->n_args; k++)
        h = hash_operand(h, i->args[k]);
    for (uint32_t k = 0; k < i->n_results; k++)
        h = hash_type(h, i->results[k]->type);
    if (i->mask) h = tl_hash_bytes(h, i->mask, i->type.lanes * sizeof *i->mask);
    if (i->callee) h = tl_hash_bytes(h, i->callee, strlen(i->callee));
    for (int k = 0; k < 2; k++)
        h = i->blocks[k] ? hash_block(h, i->blocks[k]) : tl_hash_mix(h, 0);
    return h;
}

static uint64_t hash_block(uint64_t h, const lp_block *b) {
    h = tl_hash_mix(h, b->n_params);
    for (uint32_t i = 0; i < b->n_params; i++)
        h = hash_type(h, b->params[i]->type);
    for (const lp_instr *i = b->first; i; i = i->next)
        if (i->op != LP_const) h = hash_instr(h, i);
    return h;
}

uint64_t lp_func_hash(const lp_func *f) {
    number_func(f);
    uint64_t h = hash_type(f->external * 2u + f->noinline_, f->result);
    for (uint32_t i = 0; i < f->n_params; i++)
        h = tl_hash_mix(hash_type(h, f->params[i]->type), f->param_flags[i]);
    return hash_block(tl_hash_mix(h, f->n_params), f->body);
}

/* ---- equality ------------------------------------------------------------------------------------------------- */

static bool equal_operands(const lp_value *a, const lp_value *b) {
    if (is_const(a) != is_const(b) || !lp_type_equal(a->type, b->type)) return false;
    if (!is_const(a)) return a->id == b->id;
    return a->def->imm == b->def->imm && double_bits(a->def->fimm) == double_bits(b->def->fimm);
}

static bool equal_blocks(const lp_block *a, const lp_block *b);

static bool equal_instrs(const lp_instr *a, const lp_instr *b) {
    if (a->op != b->op || !lp_type_equal(a->type, b->type) || a->imm != b->imm) return false;
    if (a->n_args != b->n_args || a->n_results != b->n_results) return false;
    if (!a->callee != !b->callee || (a->callee && strcmp(a->callee, b->callee) != 0)) return false;
    if (!a->mask != !b->mask) return false;
    if (a->mask && memcmp(a->mask, b->mask, a->type.lanes * sizeof *a->mask) != 0) return false;
    for (uint32_t k = 0; k < a->n_args; k++)
        if (!equal_operands(a->args[k], b->args[k])) return false;
    for (uint32_t k = 0; k < a->n_results; k++)
        if (!lp_type_equal(a->results[k]->type, b->results[k]->type)) return false;
    for (int k = 0; k < 2; k++)
        if (!equal_blocks(a->blocks[k], b->blocks[k])) return false;
    return true;
}

static const lp_instr *skip_consts(const lp_instr *i) {
    while (i && i->op == LP_const)
        i = i->next;
    return i;
}

static bool equal_blocks(const lp_block *a, const lp_block *b) {
    if (!a || !b) return a == b;
    if (a->n_params != b->n_params) return false;
    for (uint32_t k = 0; k < a->n_params; k++)
        if (!lp_type_equal(a->params[k]->type, b->params[k]->type)) return false;
    const lp_instr *i = skip_consts(a->first), *j = skip_consts(b->first);
    for (; i && j; i = skip_consts(i->next), j = skip_consts(j->next))
        if (!equal_instrs(i, j)) return false;
    return !i && !j;
}

bool lp_func_equal(const lp_func *a, const lp_func *b) {
    if (a->n_params != b->n_params || !lp_type_equal(a->result, b->result)) return false;
    if (a->external != b->external || a->noinline_ != b->noinline_) return false;
    for (uint32_t i = 0; i < a->n_params; i++) {
        if (!lp_type_equal(a->params[i]->type, b->params[i]->type)) return false;
        if (a->param_flags[i] != b->param_flags[i]) return false;
    }
    number_func(a);
    number_func(b);
    return equal_blocks(a->body, b->body);
}
