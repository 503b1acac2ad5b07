/* recur_buffers: a buffer that is carried only so that each round can write its part of it becomes a stacked output.
 *
 *   before:  %h, %b = Recur<carries=2>(%n, %h0, %b0) {                           // n = T/4, b0: f32[T,16]
 *              body(%i, %p, %buffer) {...
 *                %at = Unsqueeze(Slice(Range(0, T, 1), 4*i, 4*i + 4), {1})
 *                %b1 = ScatterND(%buffer, %at, %rows)   yield %h1, %b1}}         // rows: f32[4,16]
 *
 *   after:   %h, %s = Recur<carries=1>(%n, %h0) {body(%i, %p) {... yield %h1, %rows}}
 *            %written = Reshape(%s, {4*(T/4), 16})
 *            %rest = Slice(%b0, {4*(T/4)}, {T}, {0})                             // neither is there where all is written
 *            %b = Concat<axis=0>(%written, %rest)
 *
 * Nobody else may read the buffer in the body. ScatterND by an index for each leading axis up to the one that moves, and
 * ScatterElements along it, in the forms of affine.h; the part is all of the other axes, as long in all rounds, and moves by its
 * length each round, up or down, inside of the buffer. Linear. */
#include "ir/limits.h"
#include "passes/affine.h"
#include "passes/recur.h"
#include "passes/util.h"

/* ---- recognition -------------------------------------------------------------------------------------------- */

typedef struct write {
    ir_node *scatter;
    recur_window w;
    bool has_axis; /* the update has the axis that moves; else it is one element along it */
} write;

/* The linear coordinates of ScatterND's indices, one for each leading axis of the data; their number, 0 where they are not that. */
static uint32_t find_coordinates(ir_ctx *c, const ir_value *indices, affine *coordinate) {
    const ir_node *n = indices->def;
    int32_t last = indices->type->rank - 1;
    if (last < 0) return 0;
    if (ir_dim_is(indices->type->dims[last], 1)) return affine_of(c, indices, coordinate);
    if (!n || n->op != OP_Concat || n->n_in > IR_MAX_RANK ||
        normal_axis(ir_attr_int(n, "axis", 0), last + 1) != last)
        return 0;
    for (uint32_t i = 0; i < n->n_in; i++) {
        const ir_value *part = n->in[i].value;
        if (!ir_type_is_ranked(part->type) || !ir_dim_is(part->type->dims[last], 1) ||
            !affine_of(c, part, &coordinate[i]))
            return 0;
    }
    return n->n_in;
}

/* The coordinate runs along axis `at` of the indices and nowhere else. */
static bool runs_along(const affine *a, const ir_type *t, int32_t at) {
    for (int32_t i = 0; i < t->rank - 1; i++)
        if (a->step[i] != (i == at && !ir_dim_is(t->dims[i], 1))) return false;
    return true;
}

/* Coordinate j covers its axis, in order, as axis `at` of the indices. */
static bool covers(const affine *a, const ir_type *t, int32_t at, const ir_dim *size) {
    return at < t->rank - 1 && ir_dim_is(a->base, 0) && runs_along(a, t, at) &&
           ir_dim_equal(t->dims[at], size);
}

/* All coordinates but one cover their axes; that one moves with the counter. */
static bool match_scatter_nd(pass_ctx *ctx, const loop_like *l, write *k) {
    affine coordinate[IR_MAX_RANK];
    const ir_type *data = ir_in(k->scatter, 0)->type, *t = ir_in(k->scatter, 1)->type;
    if (!ir_type_is_ranked(t) || t->rank > IR_MAX_RANK - 1) return false;
    uint32_t n = find_coordinates(ctx->c, ir_in(k->scatter, 1), coordinate);
    int32_t at = 0;
    bool found = false;
    for (uint32_t j = 0; j < n && (int32_t)j < data->rank; j++) {
        int64_t extent = 1;
        if (covers(&coordinate[j], t, at, data->dims[j])) {
            at++;
            continue;
        }
        if (found) return false;
        k->has_axis = at < t->rank - 1 && ir_dim_is_const(t->dims[at], &extent);
        if (!runs_along(&coordinate[j], t, k->has_axis ? at : -1)) return false;
        k->w.axis = (int32_t)j;
        found = recur_find_window(ctx->c, l, coordinate[j].base, extent, &k->w);
        at += k->has_axis;
        if (!found) return false;
    }
    return found && at == t->rank - 1;
}

/* Indices as large as the update, which has all of the other axes. */
static bool match_scatter_elements(pass_ctx *ctx, const loop_like *l, write *k) {
    const ir_value *indices = ir_in(k->scatter, 1);
    const ir_type *data = ir_in(k->scatter, 0)->type, *t = indices->type;
    affine a;
    int64_t extent;
    k->w.axis = normal_axis(ir_attr_int(k->scatter, "axis", 0), data->rank);
    k->has_axis = true;
    if (k->w.axis < 0 || !ir_type_is_ranked(t) || t->rank != data->rank) return false;
    for (int32_t i = 0; i < t->rank; i++)
        if (i != k->w.axis && !ir_dim_equal(t->dims[i], data->dims[i])) return false;
    if (!ir_dim_is_const(t->dims[k->w.axis], &extent) || !affine_of(ctx->c, indices, &a))
        return false;
    for (int32_t i = 0; i < t->rank; i++)
        if (a.step[i] != (i == k->w.axis && extent > 1)) return false;
    return recur_find_window(ctx->c, l, a.base, extent, &k->w);
}

static bool find_write(pass_ctx *ctx, const loop_like *l, uint32_t i, write *k) {
    ir_value *param = loop_param(l, i), *next = loop_update(l, i);
    ir_node *n = next->def;
    *k = (write){.scatter = n};
    if (!n || n->parent != l->body || (n->op != OP_ScatterND && n->op != OP_ScatterElements))
        return false;
    if (ir_in(n, 0) != param || !ir_value_has_one_use(param) || !ir_value_has_one_use(next))
        return false;
    if (strcmp(ir_attr_string(n, "reduction", "none"), "none") != 0) return false;
    if (!type_is_computable(l->body->graph, param->type)) return false;
    return n->op == OP_ScatterND ? match_scatter_nd(ctx, l, k) : match_scatter_elements(ctx, l, k);
}

/* ---- the change --------------------------------------------------------------------------------------------- */

static ir_value *take_part(ir_builder *b, ir_value *v, int32_t axis, const ir_dim *from,
                           const ir_dim *to) {
    ir_value *in[] = {v, build_dims(b, &from, 1), build_dims(b, &to, 1),
                      build_i64s(b, (int64_t[]){axis}, 1)};
    return build_node(b, OP_Slice, in, 4, 1, NULL, 0)->out;
}

/* The stacked parts as one axis, between what of the initial buffer is never written. */
static ir_value *assemble(ir_builder *b, const write *k, ir_value *stacked, ir_value *initial,
                          const ir_dim *last, bool whole) {
    const ir_dim *dims[IR_MAX_RANK], *zero = ir_dim_const(b->m->ctx, 0);
    const ir_type *t = initial->type;
    for (int32_t i = 0; i < t->rank; i++)
        dims[i] = i == k->w.axis ? ir_dim_sub(b->m->ctx, last, k->w.first) : t->dims[i];
    ir_value *written = k->has_axis ? build_reshape(b, stacked, dims, (uint32_t)t->rank) : stacked;
    if (whole) return written;
    ir_value *parts[] = {take_part(b, initial, k->w.axis, zero, k->w.first), written,
                         take_part(b, initial, k->w.axis, last, t->dims[k->w.axis])};
    uint32_t from = ir_dim_is(k->w.first, 0) ? 1 : 0,
             to = ir_dim_equal(last, t->dims[k->w.axis]) ? 2 : 3;
    ir_attr axis = {.name = "axis", .kind = ATTR_INT, .v.i = k->w.axis};
    return build_node(b, OP_Concat, parts + from, to - from, 1, &axis, 1)->out;
}

static ir_node *replace_buffer(pass_ctx *ctx, loop_like *l, uint32_t i, const write *k,
                               const ir_dim *last, bool whole) {
    ir_node *n = l->node;
    ir_value *initial = loop_initial(l, i), *update = ir_in(k->scatter, 2);
    const char *name = ir_name_derive(ctx->m, &n->out[i], "stacked");
    uint32_t at = recur_add_stacked(ctx, n, update, k->w.axis, k->w.reverse);
    n->out[at].name = name;
    if (!ir_infer_node(ctx->c, n)) return NULL;
    ir_builder b = ir_build_after(n);
    pass_replace(ctx, &n->out[i], assemble(&b, k, &n->out[at], initial, last, whole));
    ir_node_set_operand(l->body->yield, i, NULL);
    ir_node_remove(k->scatter);
    bool *keep = TL_NEW_ARRAY(ctx->scratch, bool, n->n_out);
    for (uint32_t r = 0; r < n->n_out; r++)
        keep[r] = r != i;
    l->n_stacked++;
    return loop_like_shrink(ctx, l, keep);
}

static pass_result visit(pass_ctx *ctx, ir_node *n) {
    loop_like l;
    write k;
    const ir_dim *last;
    bool whole, changed = false;
    for (uint32_t i = 0; n->op == OP_Recur && loop_like_get(n, &l) && i < l.n_carried;) {
        bool found = find_write(ctx, &l, i, &k) &&
                     recur_window_range(ctx->c, &l, &k.w, loop_param(&l, i)->type->dims[k.w.axis],
                                        &last, &whole);
        if (!found || !ctx_take(ctx, "buffers")) {
            i++;
            continue;
        }
        if (!(n = replace_buffer(ctx, &l, i, &k, last, whole))) return PASS_FAILED;
        changed = true;
    }
    return changed ? PASS_CHANGED : PASS_SAME;
}

pass_result pass_recur_buffers(pass_ctx *ctx, ir_graph *g) {
    return pass_each_node(ctx, g, visit);
}
