/* recur_from_rnn: RNN, GRU and LSTM become Recur, one for each direction.
 *
 *   before:  %y, %h, %c = LSTM(%x, @w, @r, @b)                    // %x: f32[T,B,I]
 *
 *   after:   %p = MatMul(%x, Transpose(@w)) + @b                  // all steps at once: f32[T,B,4*H]
 *            %h, %c, %ys = Recur<carries=2>(%T, %zeros, %zeros, %p) {
 *              body(i64[] %i, f32[B,H] %h0, f32[B,H] %c0, f32[B,4*H] %x) {
 *                %s = Add(MatMul(%h0, Transpose(@r)), %x)         // one product for all gates
 *                ...                                              // the cell: elementwise
 *                yield %h1, %c1, %h1
 *              }
 *            }
 *            %y = Unsqueeze(%ys, 1)
 *
 * What the input alone gives is outside of the loop. Rows that are shorter than the sequence keep their state where the step is beyond
 * their end and add zeros to the output; from the last step to the first that is also what starts each row at its own end. GRU with the
 * reset gate before the product has a second product in each step. Narrow floats compute in f32. */
#include "passes/decompose.h"
#include "passes/pass.h"
#include "passes/rnn_cell.h"

typedef struct rnn {
    ir_builder *b;
    const ir_node *n;
    ir_rnn spec;
    ir_dtype type; /* computed in */
    const ir_dim *input, *hidden, *rows;
    ir_value *trips, *batch, *state_shape; /* i64[1], i64[1], i64[2] */
    ir_value *mask; /* step t of row b is inside: [steps,batch,1], or batch first; NULL = always */
} rnn;

static ir_value *concat(ir_builder *b, ir_value *const *v, uint32_t n, int64_t axis) {
    ir_attr a = {.name = "axis", .kind = ATTR_INT, .v.i = axis};
    return n == 1 ? v[0] : &build_node(b, OP_Concat, v, n, 1, &a, 1)->out[0];
}

/* ---- sizes ------------------------------------------------------------------------------------------------------ */

static int64_t time_axis(const rnn *k) {
    return k->spec.batch_first ? 1 : 0;
}

/* i64[1]: a dim of an operand. */
static ir_value *size_of(const rnn *k, uint32_t operand, int64_t axis) {
    ir_attr part[] = {{.name = "end", .kind = ATTR_INT, .v.i = axis + 1},
                      {.name = "start", .kind = ATTR_INT, .v.i = axis}};
    ir_value *x = k->n->in[operand].value;
    return &build_node(k->b, OP_Shape, &x, 1, 1, part, 2)->out[0];
}

static void read_sizes(rnn *k) {
    ir_ctx *c = k->b->m->ctx;
    const ir_type *r = k->n->in[RNN_R].value->type;
    k->type = ir_dtype_compute(k->n->in[RNN_X].value->type->dtype);
    k->input = k->n->in[RNN_X].value->type->dims[2];
    k->hidden = k->spec.hidden ? ir_dim_const(c, k->spec.hidden) : r->dims[2];
    k->rows = ir_dim_mul(c, k->hidden, ir_dim_const(c, k->spec.gates));
    k->trips = size_of(k, RNN_X, time_axis(k));
    k->batch = size_of(k, RNN_X, 1 - time_axis(k));
    ir_value *hidden = k->spec.hidden ? build_i64s(k->b, &k->spec.hidden, 1) : size_of(k, RNN_R, 2);
    k->state_shape = concat(k->b, (ir_value *[]){k->batch, hidden}, 2, 0);
}

/* ---- operands, one direction's part of each ----------------------------------------------------------------------- */

static bool has_dims(const ir_type *t, const ir_dim *const *dims, int32_t rank) {
    bool same = t->rank == rank;
    for (int32_t i = 0; same && i < rank; i++)
        same = ir_dim_equal(t->dims[i], dims[i]);
    return same;
}

/* Direction d of an operand, in the type that is computed in. Its shape is named by `shape` where the operand's own dims do not say
 * the same. */
static ir_value *part_of(const rnn *k, uint32_t operand, uint32_t d, int64_t axis,
                         const ir_dim *const *dims, int32_t rank, ir_value *shape) {
    ir_value *x = k->n->in[operand].value, *at = build_scalar(k->b, DT_i64, d);
    x = build_op2_int(k->b, OP_Gather, x, at, "axis", axis);
    if (!has_dims(x->type, dims, rank)) x = build_op2(k->b, OP_Reshape, x, shape);
    return build_cast(k->b, x, k->type);
}

/* W or R, transposed: [columns, rows]. */
static ir_value *matrix_of(const rnn *k, uint32_t operand, uint32_t d, const ir_dim *columns) {
    const ir_dim *dims[] = {k->rows, columns};
    ir_value *x = part_of(k, operand, d, 0, dims, 2, build_dims(k->b, dims, 2));
    return build_transpose(k->b, x, (int64_t[]){1, 0}, 2);
}

static void split(ir_builder *b, ir_value *x, int64_t axis, uint32_t n, ir_value **parts) {
    ir_attr attrs[] = {{.name = "axis", .kind = ATTR_INT, .v.i = axis},
                       {.name = "num_outputs", .kind = ATTR_INT, .v.i = n}};
    ir_node *s = build_node(b, OP_Split, &x, 1, n, attrs, 2);
    for (uint32_t i = 0; i < n; i++)
        parts[i] = &s->out[i];
}

static ir_value *state_of(const rnn *k, uint32_t operand, uint32_t d) {
    const ir_dim *dims[] = {k->n->in[RNN_X].value->type->dims[1 - time_axis(k)], k->hidden};
    if (ir_in(k->n, operand)) return part_of(k, operand, d, time_axis(k), dims, 2, k->state_shape);
    return build_op2(k->b, OP_Expand, build_scalar(k->b, k->type, 0), k->state_shape);
}

/* Less(0 .. steps, lengths), with an axis of 1 behind. */
static ir_value *make_mask(const rnn *k) {
    if (!ir_in(k->n, RNN_LENGTHS)) return NULL;
    ir_builder *b = k->b;
    ir_value *zero = build_scalar(b, DT_i64, 0), *one = build_scalar(b, DT_i64, 1);
    ir_value *end = build_op2(b, OP_Squeeze, k->trips, build_i64s(b, (int64_t[]){0}, 1));
    ir_value *steps = build_op3(b, OP_Range, zero, end, one);
    ir_value *lengths = build_cast(b, k->n->in[RNN_LENGTHS].value, DT_i64);
    const ir_dim *batch = k->n->in[RNN_X].value->type->dims[1 - time_axis(k)];
    if (!has_dims(lengths->type, &batch, 1)) lengths = build_op2(b, OP_Reshape, lengths, k->batch);
    int64_t time = time_axis(k), step_axes[] = {1 - time, 2}, length_axes[] = {time, 2};
    steps = build_op2(b, OP_Unsqueeze, steps, build_i64s(b, step_axes, 2));
    lengths = build_op2(b, OP_Unsqueeze, lengths, build_i64s(b, length_axes, 2));
    return build_op2(b, OP_Less, steps, lengths);
}

/* ---- before the loop ------------------------------------------------------------------------------------------------ */

static void read_bias(const rnn *k, uint32_t d, ir_value **wb, ir_value **rb) {
    ir_value *halves[2];
    const ir_dim *dims[] = {ir_dim_mul(k->b->m->ctx, k->rows, ir_dim_const(k->b->m->ctx, 2))};
    *wb = *rb = NULL;
    if (!ir_in(k->n, RNN_B)) return;
    split(k->b, part_of(k, RNN_B, d, 0, dims, 1, build_dims(k->b, dims, 1)), 0, 2, halves);
    *wb = halves[0], *rb = halves[1];
}

/* What the input gives to the gates of all steps. The state's bias goes along unless the reset gate scales it. */
static ir_value *project(const rnn *k, uint32_t d, rnn_cell *cell) {
    ir_value *wb, *rb;
    read_bias(k, d, &wb, &rb);
    ir_value *x = build_cast(k->b, k->n->in[RNN_X].value, k->type);
    ir_value *p = build_op2(k->b, OP_MatMul, x, matrix_of(k, RNN_W, d, k->input));
    if (!wb) return p;
    if (k->n->op == OP_GRU && k->spec.linear_before_reset)
        cell->state_bias = rb;
    else
        wb = build_op2(k->b, OP_Add, wb, rb);
    return build_op2(k->b, OP_Add, p, wb);
}

static void read_cell(const rnn *k, uint32_t d, rnn_cell *cell) {
    const ir_dim *three = ir_dim_mul(k->b->m->ctx, k->hidden, ir_dim_const(k->b->m->ctx, 3));
    cell->op = k->n->op;
    cell->spec = &k->spec;
    cell->functions = k->spec.functions[d];
    ir_value *r = matrix_of(k, RNN_R, d, k->hidden), *gates[3];
    cell->r = r;
    if (k->n->op == OP_GRU && !k->spec.linear_before_reset) {
        split(k->b, r, 1, 3, gates);
        cell->r = concat(k->b, gates, 2, 1);
        cell->r_candidate = gates[2];
    }
    if (ir_in(k->n, RNN_P))
        split(k->b, part_of(k, RNN_P, d, 0, &three, 1, build_dims(k->b, &three, 1)), 0, 3,
              cell->peepholes);
}

/* ---- the loop ------------------------------------------------------------------------------------------------------- */

/* next where the step is inside the row, otherwise what was there. */
static ir_value *keep(recur_draft *r, ir_value *inside, ir_value *next, ir_value *old) {
    return inside ? build_op3(&r->b, OP_Where, inside, next, old) : next;
}

/* One direction: last h, (last c,) all h along the axis of time. */
static ir_node *build_direction(const rnn *k, uint32_t d) {
    rnn_cell cell = {0};
    bool reverse = k->spec.reverse[d], has_c = k->n->op == OP_LSTM;
    ir_value *p = project(k, d, &cell), *h0 = state_of(k, RNN_INITIAL_H, d),
             *c0 = has_c ? state_of(k, RNN_INITIAL_C, d) : NULL;
    read_cell(k, d, &cell);
    recur_draft r = recur_begin(k->b, k->trips);
    ir_value *h = recur_add_carried(&r, h0), *c = has_c ? recur_add_carried(&r, c0) : NULL;
    ir_value *x = recur_add_sliced(&r, p, time_axis(k), reverse), *results[3];
    ir_value *inside = k->mask ? recur_add_sliced(&r, k->mask, time_axis(k), reverse) : NULL;
    ir_value *next_c = NULL, *next_h = rnn_cell_step(&cell, &r.b, x, h, c, &next_c);
    uint32_t n = 0;
    results[n++] = keep(&r, inside, next_h, h);
    if (has_c) results[n++] = keep(&r, inside, next_c, c);
    results[n++] = keep(&r, inside, next_h, build_scalar(&r.b, k->type, 0));
    return recur_end(&r, results, n, time_axis(k), reverse);
}

/* ---- behind the loop ------------------------------------------------------------------------------------------------ */

/* Directions side by side along a new axis. */
static void give(const rnn *k, ir_node *n, uint32_t result, ir_value *const *parts, int64_t axis) {
    ir_value *apart[2], *out = ir_out(n, result);
    if (!out || !out->uses) return;
    for (uint32_t d = 0; d < k->spec.directions; d++)
        apart[d] = build_op2(k->b, OP_Unsqueeze, parts[d], build_i64s(k->b, &axis, 1));
    ir_value *all = concat(k->b, apart, k->spec.directions, axis);
    decompose_give(n, result, build_cast(k->b, all, out->type->dtype));
}

static void expand(rnn *k, ir_node *n) {
    ir_value *y[2], *h[2], *c[2];
    read_sizes(k);
    k->mask = make_mask(k);
    for (uint32_t d = 0; d < k->spec.directions; d++) {
        ir_node *r = build_direction(k, d);
        h[d] = &r->out[0], c[d] = &r->out[1], y[d] = &r->out[r->n_out - 1];
    }
    give(k, n, RNN_Y, y, k->spec.batch_first ? 2 : 1);
    give(k, n, RNN_LAST_H, h, k->spec.batch_first ? 1 : 0);
    give(k, n, RNN_LAST_C, c, k->spec.batch_first ? 1 : 0);
}

static bool is_expandable(const ir_node *n) {
    if (n->op != OP_RNN && n->op != OP_GRU && n->op != OP_LSTM) return false;
    for (uint32_t i = 0; i < n->n_in; i++)
        if (ir_in(n, i) && !ir_type_is_known(n->in[i].value->type)) return false;
    return true;
}

static pass_result visit(pass_ctx *ctx, ir_node *n) {
    ir_builder b = ir_build_before(n);
    rnn k = {.b = &b, .n = n};
    if (!is_expandable(n) || ir_rnn_read(&k.spec, ctx->c, n)) return PASS_SAME;
    if (!ctx_take(ctx, op_get(n->op)->name)) return PASS_SAME;
    expand(&k, n);
    ir_node_remove(n);
    return PASS_CHANGED;
}

pass_result pass_recur_from_rnn(pass_ctx *ctx, ir_graph *g) {
    return pass_each_node(ctx, g, visit);
}
