/* trim_padding: of rows that a mask sets to zero only the others are computed.
 *
 *   before:  %real = LessOrEqual(@iota, %count)              // bool[200]: a sentence of count + 1 words, in room for 200
 *            %y = Mul(%x, Cast(Unsqueeze(%real, 1)))         // or Where(%real, %x, 0); %x f32[200,32]
 *
 *   after:   %k = ...                                        // i64[1], known to hold the size k: passes/prefix.h
 *            %xs = Slice(%x, 0, %k)                          // f32[min(k, 200),32]
 *            %all = Concat(%xs, @zeros)                      // one row more, of zeros
 *            %y = Gather(%all, Min(@iota, %k))               // that row for all behind
 *
 * The pass `narrow` then moves the Slice in front of what makes %x. Sizes from data cost barriers and memory from the session's heap
 * (docs/decisions/011), so the products that make %x must be worth it: WORTH operations for all rows.
 *
 * A row of zeros is what the product with 0 was, unless the row held an infinity or no number: --math=strict has none of this.
 * Left alone: masks that are no prefix, a row count for each entry of a batch, values that others read whole. */
#include "passes/narrow.h"
#include "passes/prefix.h"

#include "ir/cost.h"
#include "ir/limits.h"
#include "passes/recur.h"

enum { WORTH = 2000000 }; /* of them half are saved on average; a size from data takes about 2 us */

typedef struct padded {
    ir_node *n;   /* makes zeros of hidden rows */
    ir_value *x;  /* of all rows */
    int32_t axis; /* of x and of the result */
    prefix rows;
} padded;

/* ---- finding -------------------------------------------------------------------------------------------------------- */

/* x is as large as the result, and the mask's long axis is one of it. */
static bool fits(padded *p) {
    const ir_type *t = p->n->out[0].type;
    if (!ir_type_is_known(t) || !same_dims(p->x->type, t)) return false;
    p->axis = t->rank - p->rows.from_back;
    return p->axis >= 0 && ir_dim_is(t->dims[p->axis], p->rows.rows);
}

static bool find_product(padded *p) {
    for (uint32_t i = 0; p->n->op == OP_Mul && i < 2; i++) {
        p->x = ir_in(p->n, i);
        if (prefix_find(ir_in(p->n, 1 - i), &p->rows) && !p->rows.is_negated && fits(p))
            return true;
    }
    return false;
}

static bool find_choice(padded *p) {
    if (p->n->op != OP_Where || !prefix_find(ir_in(p->n, 0), &p->rows)) return false;
    p->x = ir_in(p->n, p->rows.is_negated ? 2 : 1);
    return ir_value_is_splat(ir_in(p->n, p->rows.is_negated ? 1 : 2), 0) && fits(p);
}

/* ---- is it worth it? ------------------------------------------------------------------------------------------------ */

/* Operations of the products that make v and of whose rows the others need not be computed; each node once. */
static int64_t saved_work(pass_ctx *ctx, const ir_value *v, int64_t rows, uint32_t seen) {
    ir_node *n = v ? v->def : NULL;
    bool has_rows = false;
    int64_t work = 0;
    if (!n || n->mark == seen || !narrow_has_rule(n) || !ir_type_is_known(v->type)) return 0;
    n->mark = seen;
    for (int32_t i = 0; i < v->type->rank; i++)
        has_rows |= ir_dim_is(v->type->dims[i], rows);
    if (!has_rows) return 0;
    if (!ir_dim_is_const(ir_node_flops(ctx->c, n), &work)) return 0;
    for (uint32_t i = 0; i < n->n_in; i++)
        work += saved_work(ctx, ir_in(n, i), rows, seen);
    return work;
}

/* ---- the change ----------------------------------------------------------------------------------------------------- */

/* Behind what makes the end, as early as that is: slices of all that follows it can use it. */
static ir_builder place_of(const padded *p) {
    const ir_value *end = p->rows.end;
    ir_region *here = p->n->parent;
    bool inside = ir_value_region(end) == here && end->def;
    return inside ? ir_build_after(end->def) : ir_build_at_start(here, p->n->loc);
}

static ir_value *zero_row(ir_builder *b, const ir_type *t, int32_t axis) {
    const ir_dim *dims[IR_MAX_RANK];
    for (int32_t i = 0; i < t->rank; i++)
        dims[i] = i == axis ? ir_dim_const(b->m->ctx, 1) : t->dims[i];
    ir_value *in[] = {build_scalar(b, t->dtype, 0), build_dims(b, dims, (uint32_t)t->rank)};
    return build_node(b, OP_Expand, in, 2, 1, NULL, 0)->out;
}

/* x[:length] along the axis, and zeros up to the size it had. */
static ir_value *build_trimmed(ir_builder *b, const padded *p, ir_value *length) {
    const ir_dim *rows[] = {ir_dim_const(b->m->ctx, p->rows.rows)};
    ir_value *in[] = {p->x, build_i64s(b, (int64_t[]){0}, 1), length,
                      build_i64s(b, (int64_t[]){p->axis}, 1)};
    ir_value *shown = build_node(b, OP_Slice, in, 4, 1, NULL, 0)->out;
    ir_value *all = build_op2_int(b, OP_Concat, shown, zero_row(b, p->x->type, p->axis), "axis",
                                  p->axis);
    ir_value *table = build_cast(b, build_reshape(b, p->rows.table, rows, 1), DT_i64);
    return build_op2_int(b, OP_Gather, all, build_op2(b, OP_Min, table, length), "axis", p->axis);
}

static pass_result visit(pass_ctx *ctx, ir_node *n) {
    padded p = {.n = n};
    if (!(find_product(&p) || find_choice(&p)) || !ir_value_has_one_use(p.x) || !p.x->def ||
        p.x->def->parent != n->parent)
        return PASS_SAME;
    ir_builder b = ir_build_before(n), early = place_of(&p);
    int64_t work = saved_work(ctx, p.x, p.rows.rows, ir_new_mark(ctx->c));
    if (work < WORTH || !n->out[0].name || !can_build_type(&b, p.x->type) ||
        !ctx_take(ctx, "trimmed"))
        return PASS_SAME;
    ctx_remark(ctx, "%s: of %lld rows only those that are shown, of up to %.2f MFLOP", node_name(n),
               (long long)p.rows.rows, (double)work * 1e-6);
    const char *name = ir_name_derive(ctx->m, n->out, "shown");
    ir_value *now = build_trimmed(&b, &p, prefix_length(&early, &p.rows, name));
    pass_replace(ctx, &n->out[0], now);
    ir_node_remove(n);
    return PASS_CHANGED;
}

pass_result pass_trim_padding(pass_ctx *ctx, ir_graph *g) {
    return pass_get_math(ctx->options) == PASS_MATH_STRICT ? PASS_SAME
                                                           : pass_each_node(ctx, g, visit);
}
