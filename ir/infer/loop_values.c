/* What the body of a Loop or Recur knows of its integers: the counter, and carried values that grow by the same amount each step.
 *
 *   %y = Loop(%n, _, %zero) { body(i64[] %i, bool[] %c, i64[] %start) {    i: counter "i.i", 0 to n - 1
 *       %end = Add(%start, @four)                                          start: 4*i.i
 *       %part = Slice(%x, %start, %end, @axis)                             4 rows, where n is time/4
 *       yield %c, %end }}
 *
 * Counters appear in contents only; a type that would mention one has a size that only the data tells (infer_set). */
#include "ir/infer/known.h"

static const ir_dim *single_known(ir_ctx *c, const ir_value *v) {
    known_tensor k;
    bool one = v && known_read(c, v, &k) && k.n == 1 && !ir_dim_is_unknown(k.d[0]);
    return one ? k.d[0] : NULL;
}

static void set_single(ir_ctx *c, ir_value *v, const ir_dim *d) {
    ir_known *k = TL_NEW(&c->arena, ir_known);
    const ir_dim **dims = TL_NEW_ARRAY(&c->arena, const ir_dim *, 1);
    dims[0] = d;
    *k = (ir_known){1, dims};
    v->known = k;
}

/* Same-named counters of nested loops are different symbols. */
static uint32_t depth_of(const ir_region *r) {
    uint32_t depth = 0;
    for (; r && r->owner; r = r->owner->parent)
        depth++;
    return depth;
}

static const ir_dim *make_counter(ir_ctx *c, const ir_node *n, const ir_region *body) {
    const char *name = body->params[0]->name;
    const ir_dim *trips = single_known(c, ir_in(n, 0));
    if (!name) return NULL;
    name = tl_arena_printf(&c->arena, "%s.i%u", name, depth_of(body));
    return ir_dim_counter(c, name, trips ? ir_dim_sub(c, trips, ir_dim_const(c, 1)) : NULL);
}

/* The same in every step: a constant, or made outside of the body. */
static const ir_dim *invariant(ir_ctx *c, const ir_region *body, const ir_value *v) {
    const ir_dim *d = single_known(c, v);
    bool outside = d && (v->tensor || ir_dim_is_const(d, NULL) ||
                         !ir_region_is_inside(ir_value_region(v), body));
    return outside ? d : NULL;
}

/* By how much the parameter grows each step: next = Add(p, step), Sub(p, step) or p; NULL where it is none of these. */
static const ir_dim *find_step(ir_ctx *c, const ir_region *body, const ir_value *p,
                               const ir_value *next) {
    const ir_node *def = next ? next->def : NULL;
    if (next == p) return ir_dim_const(c, 0);
    if (!def || (def->op != OP_Add && def->op != OP_Sub)) return NULL;
    bool first = ir_in(def, 0) == p, second = ir_in(def, 1) == p && def->op == OP_Add;
    if (first == second) return NULL;
    const ir_dim *step = invariant(c, body, ir_in(def, first ? 1 : 0));
    return step && def->op == OP_Sub ? ir_dim_sub(c, ir_dim_const(c, 0), step) : step;
}

void infer_loop_values(ir_ctx *c, const ir_node *n, ir_region *body, uint32_t first,
                       uint32_t n_carried) {
    const ir_dim *counter = make_counter(c, n, body);
    if (counter) set_single(c, body->params[0], counter);
    for (uint32_t i = first; i < first + n_carried; i++) {
        ir_value *p = body->params[i];
        const ir_dim *initial = single_known(c, ir_in(n, i)), *step = NULL;
        bool integer = ir_type_is_tensor(infer_in(n, i)) && ir_dtype_is_int(infer_in(n, i)->dtype);
        p->known = NULL;
        if (counter && initial && integer)
            step = find_step(c, body, p, ir_region_result(body, i - 1));
        if (step) set_single(c, p, ir_dim_add(c, initial, ir_dim_mul(c, step, counter)));
    }
}
