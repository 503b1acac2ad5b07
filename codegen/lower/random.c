/* Seed: a word of the frame. Mt19937: one number after the other on one thread, the generator's state on its stack (ir/eval/random.c has it in C). */
#include "codegen/lower.h"
#include "runtime/abi.h"

#include <stddef.h>

bool lower_seed(cg *g, ir_node *n) {
    lp_value *at = lp_ptr_add(&g->b, g->frame,
                              lp_index(&g->b, (int64_t)offsetof(tlbc_frame, seed)));
    lp_value *seed = lp_load(&g->b, lp_scalar(DT_u64), at, lp_index(&g->b, 0));
    const cg_view *y = cg_write(g, &n->out[0]);
    cg_kernel k = cg_kernel_begin(g, n, cg_dc(g, 1));
    lp_value *py = cg_kernel_out(&k, y, false);
    lp_store(&k.b, py, lp_index(&k.b, 0), cg_kernel_value(&k, seed));
    cg_kernel_end(&k, "Seed");
    return true;
}

enum { WORDS = 624, AHEAD = 397 };

typedef struct twister {
    lp_builder *b;
    lp_value *state; /* WORDS numbers of 32 bits */
} twister;

static lp_value *word(const twister *t, uint32_t v) {
    return lp_const_i(t->b, lp_scalar(DT_u32), v);
}
static lp_value *op(const twister *t, lp_op o, lp_value *x, uint32_t y) {
    return lp_bin(t->b, o, x, word(t, y));
}
static lp_value *load(const twister *t, lp_value *at) {
    return lp_load(t->b, lp_scalar(DT_u32), t->state, at);
}

static void init(const twister *t, uint32_t seed) {
    lp_builder *b = t->b;
    lp_value *v = word(t, seed);
    lp_store(b, t->state, lp_index(b, 0), v);
    lp_loop l = lp_for_begin(b, lp_index(b, 1), lp_index(b, WORDS), lp_index(b, 1), &v, 1);
    lp_value *old = l.carried[0];
    v = op(t, LP_mul, lp_bin(b, LP_xor, old, op(t, LP_shr, old, 30)), 1812433253u);
    v = lp_bin(b, LP_add, v, lp_cast(b, l.counter, DT_u32));
    lp_store(b, t->state, l.counter, v);
    lp_for_end(b, &l, &v);
}

/* (at + step) % WORDS */
static lp_value *around(const twister *t, lp_value *at, int64_t step) {
    lp_value *next = lp_bin(t->b, LP_add, at, lp_index(t->b, step));
    return lp_bin(t->b, LP_rem, next, lp_index(t->b, WORDS));
}

static lp_value *next_word(const twister *t, lp_value **at) {
    lp_builder *b = t->b;
    lp_value *following = around(t, *at, 1);
    lp_value *both = lp_bin(b, LP_or, op(t, LP_and, load(t, *at), 0x80000000u),
                            op(t, LP_and, load(t, following), 0x7fffffffu));
    lp_value *odd = lp_bin(b, LP_ne, op(t, LP_and, both, 1), word(t, 0));
    lp_value *v = lp_bin(b, LP_xor, load(t, around(t, *at, AHEAD)), op(t, LP_shr, both, 1));
    v = lp_bin(b, LP_xor, v, lp_select(b, odd, word(t, 0x9908b0dfu), word(t, 0)));
    lp_store(b, t->state, *at, v);
    *at = following;
    v = lp_bin(b, LP_xor, v, op(t, LP_shr, v, 11));
    v = lp_bin(b, LP_xor, v, op(t, LP_and, op(t, LP_shl, v, 7), 0x9d2c5680u));
    v = lp_bin(b, LP_xor, v, op(t, LP_and, op(t, LP_shl, v, 15), 0xefc60000u));
    return lp_bin(b, LP_xor, v, op(t, LP_shr, v, 18));
}

/* In [0, 1), of 53 bits. */
static lp_value *next_number(const twister *t, lp_value **at) {
    lp_builder *b = t->b;
    lp_type f64 = lp_scalar(DT_f64);
    lp_value *high = lp_cast(b, op(t, LP_shr, next_word(t, at), 5), DT_f64);
    lp_value *low = lp_cast(b, op(t, LP_shr, next_word(t, at), 6), DT_f64);
    lp_value *v = lp_bin(b, LP_mul, high, lp_const_f(b, f64, 67108864));
    return lp_bin(b, LP_mul, lp_bin(b, LP_add, v, low), lp_const_f(b, f64, 0x1p-53));
}

bool lower_mt19937(cg *g, ir_node *n) {
    const ir_type *type = n->out[0].type;
    if (!ir_type_is_known(type)) return cg_unsupported(g, n, "shape that depends on data");
    const cg_view *y = cg_write(g, ir_out(n, 0));
    cg_kernel k = cg_kernel_begin(g, n, cg_dc(g, 1));
    lp_builder *b = &k.b;
    lp_value *py = cg_kernel_out(&k, y, false), *index[IR_MAX_RANK_NEST];
    lp_value *count = cg_kernel_dim(&k, cg_dims_product(g, type->dims, type->rank));
    lp_loop unit = lp_for_begin(b, k.begin, k.end, lp_index(b, 1), NULL, 0);
    twister t = {.b = b, .state = lp_alloca(b, 4 * WORDS)};
    init(&t, (uint32_t)ir_attr_int(n, "seed", 0));
    lp_value *at = lp_index(b, 0);
    lp_loop l = lp_for_begin(b, lp_index(b, 0), count, lp_index(b, 1), &at, 1);
    at = l.carried[0];
    lp_value *v = next_number(&t, &at);
    cg_unravel(&k, l.counter, type->dims, type->rank, index);
    lp_store(b, py, cg_offset(&k, y, index, type->rank), v);
    lp_for_end(b, &l, &at);
    lp_for_end(b, &unit, NULL);
    cg_kernel_end(&k, "Mt19937");
    return true;
}
