/* TopK: a row at a time. The first k elements become a heap in the results themselves, its root the worst of them; every further element
 * that is better than the root takes its place; at the end the heap is sorted. n log k steps at most, n where few are better.
 *
 *   %v, %i = TopK<axis=-1>(%x, @k)      for every row { heap of x[0..k); for j = k to n { if before(x[j], heap[0]) sift down }; sort }
 *
 * Equal values go by their index, NaN counts as larger than everything: there is one order, whatever the number of threads. */
#include "codegen/rows.h"

typedef struct top_k {
    cg_rows r;
    uint32_t x, values, indices;
    lp_value *k;
    bool largest;
} top_k;

typedef struct item {
    lp_value *value, *index;
} item;

static lp_value *larger(lp_builder *b, lp_value *x, lp_value *y) {
    lp_value *gt = lp_bin(b, LP_gt, x, y);
    if (!ir_dtype_is_float((ir_dtype)x->type.elem)) return gt;
    lp_value *only_x = lp_bin(b, LP_and, lp_bin(b, LP_ne, x, x), lp_bin(b, LP_eq, y, y));
    return lp_bin(b, LP_or, gt, only_x);
}

/* x comes before y in the result. */
static lp_value *before(top_k *t, item x, item y) {
    lp_builder *b = &t->r.k.b;
    lp_value *better = t->largest ? larger(b, x.value, y.value) : larger(b, y.value, x.value),
             *worse = t->largest ? larger(b, y.value, x.value) : larger(b, x.value, y.value);
    lp_value *tie = lp_bin(b, LP_and, lp_un(b, LP_not, worse), lp_bin(b, LP_lt, x.index, y.index));
    return lp_bin(b, LP_or, better, tie);
}

static item load_item(top_k *t, lp_value *at) {
    return (item){cg_row_load(&t->r, t->values, 1, at), cg_row_load(&t->r, t->indices, 1, at)};
}

static void store_item(top_k *t, lp_value *at, item x) {
    cg_row_store(&t->r, t->values, 1, at, x.value);
    cg_row_store(&t->r, t->indices, 1, at, x.index);
}

/* The child of `at` that comes later in the result. The heap has `size` elements, the first child exists. */
static lp_value *worse_child(top_k *t, lp_value *first, lp_value *size) {
    lp_builder *b = &t->r.k.b;
    lp_value *second = lp_bin(b, LP_add, first, lp_index(b, 1));
    lp_type type = LP_I64;
    lp_loop l = lp_if_begin(b, lp_bin(b, LP_lt, second, size), &type, 1);
    lp_value *later = before(t, load_item(t, first), load_item(t, second));
    lp_value *child = lp_select(b, later, second, first);
    lp_if_else(b, &l, &child);
    lp_if_end(b, &l, &first);
    return l.results[0];
}

/* Moves the worse child of `at` up where it comes after x; yields the place for x and whether to go on. */
static void sift_step(top_k *t, lp_value *at, lp_value *size, item x, lp_value *next[2]) {
    lp_builder *b = &t->r.k.b;
    lp_value *stop[2] = {at, lp_const_i(b, lp_scalar(DT_bool), 0)};
    lp_type types[2] = {LP_I64, lp_scalar(DT_bool)};
    lp_value *first = lp_bin(b, LP_add, lp_bin(b, LP_mul, at, lp_index(b, 2)), lp_index(b, 1));
    lp_loop has_child = lp_if_begin(b, lp_bin(b, LP_lt, first, size), types, 2);
    lp_value *child = worse_child(t, first, size);
    item c = load_item(t, child);
    lp_loop moves = lp_if_begin(b, before(t, x, c), types, 2);
    store_item(t, at, c);
    lp_if_else(b, &moves, (lp_value *[]){child, lp_const_i(b, lp_scalar(DT_bool), 1)});
    lp_if_end(b, &moves, stop);
    lp_if_else(b, &has_child, moves.results);
    lp_if_end(b, &has_child, stop);
    next[0] = has_child.results[0], next[1] = has_child.results[1];
}

/* Puts x into the heap of `size` elements whose place `at` is free. */
static void sift_down(top_k *t, lp_value *at, lp_value *size, item x) {
    lp_builder *b = &t->r.k.b;
    lp_value *state[2] = {at, lp_const_i(b, lp_scalar(DT_bool), 1)};
    lp_loop l = lp_while_begin(b, state, 2);
    lp_while_do(b, &l, l.carried[1]);
    sift_step(t, l.carried[0], size, x, state);
    lp_while_end(b, &l, state);
    store_item(t, l.results[0], x);
}

static void build_heap(top_k *t) {
    lp_builder *b = &t->r.k.b;
    lp_value *zero = lp_index(b, 0), *one = lp_index(b, 1),
             *half = lp_bin(b, LP_div, t->k, lp_index(b, 2));
    lp_loop fill = lp_for_begin(b, zero, t->k, one, NULL, 0);
    store_item(t, fill.counter, (item){cg_row_load(&t->r, t->x, 1, fill.counter), fill.counter});
    lp_for_end(b, &fill, NULL);
    lp_loop l = lp_for_begin(b, zero, half, one, NULL, 0);
    lp_value *at = lp_bin(b, LP_sub, lp_bin(b, LP_sub, half, one), l.counter);
    sift_down(t, at, t->k, load_item(t, at));
    lp_for_end(b, &l, NULL);
}

static void replace_worst(top_k *t) {
    lp_builder *b = &t->r.k.b;
    lp_value *zero = lp_index(b, 0);
    lp_value *end = lp_select(b, lp_bin(b, LP_gt, t->k, zero), t->r.length, t->k);
    lp_loop l = lp_for_begin(b, t->k, end, lp_index(b, 1), NULL, 0);
    item x = {cg_row_load(&t->r, t->x, 1, l.counter), l.counter};
    lp_loop better = lp_if_begin(b, before(t, x, load_item(t, zero)), NULL, 0);
    sift_down(t, zero, t->k, x);
    lp_if_end(b, &better, NULL);
    lp_for_end(b, &l, NULL);
}

/* The root, the worst that is left, goes behind the heap, which gets one shorter. */
static void sort_heap(top_k *t) {
    lp_builder *b = &t->r.k.b;
    lp_value *zero = lp_index(b, 0), *last = lp_bin(b, LP_sub, t->k, lp_index(b, 1));
    lp_loop l = lp_for_begin(b, zero, last, lp_index(b, 1), NULL, 0);
    lp_value *end = lp_bin(b, LP_sub, last, l.counter);
    item x = load_item(t, end);
    store_item(t, end, load_item(t, zero));
    sift_down(t, zero, end, x);
    lp_for_end(b, &l, NULL);
}

bool lower_top_k(cg *g, ir_node *n) {
    const ir_type *type = n->out[0].type;
    if (!ir_type_is_known(type)) return cg_unsupported(g, n, "number of elements depends on data");
    const cg_view *x = cg_read(g, ir_in(n, 0));
    int64_t axis = ir_attr_int(n, "axis", -1);
    if (axis < 0) axis += x->rank;
    cg_check_at_most(g, type->dims[axis], x->dims[axis]);
    top_k t = {.largest = ir_attr_int(n, "largest", 1) != 0};
    const cg_view *values = cg_write(g, &n->out[0]), *indices = cg_write(g, &n->out[1]);
    cg_rows_begin(&t.r, g, n, x->rank, x->dims, (int32_t)axis);
    t.x = cg_rows_add(&t.r, x, false);
    t.values = cg_rows_add(&t.r, values, true);
    t.indices = cg_rows_add(&t.r, indices, true);
    t.k = cg_kernel_dim(&t.r.k, type->dims[axis]);
    cg_rows_loop(&t.r);
    build_heap(&t);
    replace_worst(&t);
    sort_heap(&t);
    cg_rows_end(&t.r, "TopK");
    return true;
}
