/* tabulate_rows: products of rows that are picked from constants are picked from a table.
 *
 *   before:  %e = Gather(@embedding, %ids)                      // f32[16,64], one row for each token
 *            %x = Add(%e, @positions)                           // f32[16,64]
 *            %n = LayerNormalization(%x, @g, @c)
 *            %y = MatMul(%n, @w)                                // f32[16,192]
 *
 *   after:   %_, %_, %r = LayerNormalization(%x, @ones)         // 1 / deviation of each row
 *            %t = Gather(@t, %ids)                              // @t = (embedding - its rows' means) diag(g) w
 *            %s = Add(%t, @p)                                   // @p = (positions - their rows' means) diag(g) w
 *            %m = Mul(%s, %r)
 *            %y = Add(%m, @b)                                   // @b = c w
 *
 * The first block of a model that reads tokens multiplies rows of which there are few: one for each word, and one for each position. All that is
 * between these constants and the product is linear but for the division by the row's deviation, which is one number for the row. So there is
 * no table of all pairs of word and position, and positions may be those of a whole sequence, a chunk, or a step: a value is mapped by mapping the
 * constants that its rows come from, and by moving and adding the results as the rows were: Gather, Slice, Reshape, Transpose, Expand, Concat,
 * Add, Sub, Mul by one number for each row, slices of a Recur.
 *
 * A table has as many rows as the constant, and as many columns as the product. It must pay for any number of tokens, since a model and its step function
 * are to give the same bits: rows as wide as MIN_WIDTH at least; tables no larger than GROWTH times the matrix that they stand for, or small.
 * The embedding's own indices are checked as before. Rounding changes as with all products of constant matrices: not with strict maths.
 * RMSNormalization has no output for what it divides by, and stays. Linear, but for the products of constants. */
#include "ir/limits.h"
#include "passes/linear.h"
#include "passes/recur.h"
#include "passes/util.h"

enum {
    MIN_WIDTH = 16, /* below, a row of the table costs what its product does */
    GROWTH = 4,     /* rows of the tables for each row of the matrix */
    SMALL =
        1
        << 18, /* rows times width that are welcome in any case: 1 MB, half of a second-level cache */
    MAX_WORK = 1 << 28, /* rows times width times width, for the compiler's sake */
    MAX_DEPTH = 32
};

typedef struct tabulation {
    pass_ctx *ctx;
    ir_node *product;
    norm_affine norm; /* in front of the product; its node is NULL where there is none */
    ir_value *x, *w;  /* what is normalised, or multiplied; the matrix */
    int64_t in, out;  /* its rows and columns */
    int64_t rows;     /* of all constants */
    tl_map values;    /* found: value -> itself; then value -> what it is mapped to */
} tabulation;

/* ---- rows of constants ---------------------------------------------------------------------------------------------- */

static int32_t last_axis(const ir_value *v) {
    return v->type->rank - 1;
}

static bool has_rows(const tabulation *t, const ir_value *v) {
    const ir_type *type = v ? v->type : NULL;
    return type && ir_type_is_known(type) && type->dtype == DT_f32 && type->rank > 0 &&
           ir_dim_is(type->dims[type->rank - 1], t->in);
}

/* One number for each row, or for all. */
static bool is_factor(const ir_value *v) {
    return v->type->rank == 0 || ir_dim_is(v->type->dims[last_axis(v)], 1);
}

/* The Recur that cuts v out, and which of its operands that is; NULL where v is no slice. */
static ir_node *slicing_recur(const ir_value *v, loop_like *l, uint32_t *i) {
    ir_node *owner = v->region ? v->region->owner : NULL;
    if (!owner || owner->op != OP_Recur || !loop_like_get(owner, l)) return NULL;
    if (v->index < l->first_param + l->n_carried) return NULL;
    *i = v->index - l->first_param - l->n_carried;
    return owner;
}

static int32_t slicing_axis(const ir_node *recur, const ir_value *sliced, uint32_t i) {
    return normal_axis(recur_list_at(recur, "input_axes", i), sliced->type->rank);
}

static bool slices_rows(const ir_node *n) {
    int64_t axes[IR_MAX_RANK], count = 0;
    int32_t rank = ir_in(n, 0)->type->rank;
    if (!ir_in(n, 3)) /* the first ones, in order */
        return ir_type_is_ranked(ir_in(n, 1)->type) &&
               ir_dim_is_const(ir_in(n, 1)->type->dims[0], &count) && count < rank;
    count = ir_value_const_ints(ir_in(n, 3), axes, IR_MAX_RANK);
    for (int64_t i = 0; i < count; i++)
        if (normal_axis(axes[i], rank) == rank - 1) return false;
    return count >= 0;
}

static bool keeps_last_axis(const ir_node *n) {
    int64_t perm[IR_MAX_RANK];
    uint32_t rank;
    return get_perm(n, perm, &rank) && perm[rank - 1] == (int64_t)rank - 1;
}

/* n puts rows of its operands that have some in another place, or adds them up. */
static bool moves_rows(const ir_node *n) {
    int32_t rank = n->out[0].type->rank;
    switch (n->op) {
    case OP_Add:
    case OP_Sub:
        return true;
    case OP_Mul:
        return is_factor(ir_in(n, 0)) || is_factor(ir_in(n, 1));
    case OP_Slice:
        return slices_rows(n);
    case OP_Transpose:
        return keeps_last_axis(n);
    case OP_Concat:
        return normal_axis(ir_attr_int(n, "axis", 0), rank) != rank - 1;
    case OP_Gather: {
        int32_t own = ir_in(n, 0)->type->rank;
        return normal_axis(ir_attr_int(n, "axis", 0), own) != own - 1;
    }
    case OP_Expand:
        return type_is_computable(n->parent->graph, n->out[0].type);
    default:
        return is_reshape_like(n->op) && type_is_computable(n->parent->graph, n->out[0].type);
    }
}

/* How many operands have rows: of the others n wants indices, sizes or factors. */
static bool is_row_operand(const ir_node *n, uint32_t i) {
    switch (n->op) {
    case OP_Add:
    case OP_Sub:
    case OP_Concat:
        return true;
    case OP_Mul:
        return !is_factor(ir_in(n, i));
    default:
        return i == 0;
    }
}

static bool find_rows(tabulation *t, ir_value *v, unsigned depth);

static bool find_operands(tabulation *t, const ir_node *n, unsigned depth) {
    for (uint32_t i = 0; i < n->n_in; i++)
        if (is_row_operand(n, i) && !find_rows(t, ir_in(n, i), depth + 1)) return false;
    return true;
}

static bool find_slice(tabulation *t, const ir_value *v, unsigned depth) {
    loop_like l;
    uint32_t i;
    ir_node *recur = slicing_recur(v, &l, &i);
    if (!recur) return false;
    ir_value *sliced = loop_sliced(&l, i);
    return find_rows(t, sliced, depth + 1) && slicing_axis(recur, sliced, i) != last_axis(sliced);
}

/* All rows of v come from constants, which are counted. */
static bool find_rows(tabulation *t, ir_value *v, unsigned depth) {
    if (depth > MAX_DEPTH || !has_rows(t, v)) return false;
    if (tl_map_get_ptr(&t->values, v)) return true;
    if (v->tensor) {
        if (v->tensor->opaque) return false;
        t->rows += (int64_t)ir_tensor_elements(v->tensor) / t->in;
    } else if (!v->def) {
        if (!find_slice(t, v, depth)) return false;
    } else if (v->def->n_out != 1 || !moves_rows(v->def) || !find_operands(t, v->def, depth)) {
        return false;
    }
    tl_map_set_ptr(&t->values, v, v);
    return true;
}

static bool pays(const tabulation *t) {
    int64_t most = MAX_WORK / t->in / t->in;
    return t->rows <= most && (t->rows <= GROWTH * t->in || t->rows <= SMALL / t->in);
}

static bool find(tabulation *t, ir_node *n) {
    t->product = n;
    t->x = ir_in(n, 0);
    t->w = ir_in(n, 1);
    ir_dim_is_const(t->w->type->dims[0], &t->in);
    ir_dim_is_const(t->w->type->dims[1], &t->out);
    if (t->in < MIN_WIDTH || !ir_type_is_known(n->out[0].type)) return false;
    if (t->x->def && t->x->def->op == OP_LayerNormalization) {
        if (!norm_read(t->x->def, &t->norm)) return false;
        t->x = t->norm.x;
    }
    return find_rows(t, t->x, 0) && pays(t);
}

/* ---- tables -------------------------------------------------------------------------------------------------------- */

static double mean(const float *row, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += row[i];
    return sum / (double)n;
}

/* sums = row w, in the order of w's rows. */
static void multiply_row(const tabulation *t, const double *row, double *sums) {
    const float *w = t->w->tensor->data;
    memset(sums, 0, (size_t)t->out * sizeof *sums);
    for (int64_t k = 0; k < t->in; k++)
        for (int64_t j = 0; j < t->out; j++)
            sums[j] += row[k] * (double)w[k * t->out + j];
}

/* (rows - means) diag(g) w, rounded once. */
static ir_value *table_of(const tabulation *t, const ir_value *v, const ir_type *type) {
    const float *from = v->tensor->data, *g = t->norm.node ? t->norm.g->tensor->data : NULL;
    ir_tensor *made = ir_tensor_alloc(t->ctx->m->arena, type);
    float *to = ir_tensor_data(made);
    double *row = TL_NEW_ARRAY(t->ctx->scratch, double, t->in),
           *sums = TL_NEW_ARRAY(t->ctx->scratch, double, t->out);
    size_t rows = ir_tensor_elements(v->tensor) / (size_t)t->in;
    for (size_t r = 0; r < rows; r++, from += t->in, to += t->out) {
        double m = g ? mean(from, t->in) : 0;
        for (int64_t k = 0; k < t->in; k++)
            row[k] = (from[k] - m) * (g ? g[k] : 1);
        multiply_row(t, row, sums);
        for (int64_t j = 0; j < t->out; j++)
            to[j] = (float)sums[j];
    }
    ir_tensor_seal(made);
    return ir_module_const(t->ctx->m, made, ir_name_derive(t->ctx->m, v, "product"));
}

/* c w */
static ir_value *shift_of(const tabulation *t) {
    const float *c = t->norm.c->tensor->data;
    double *row = TL_NEW_ARRAY(t->ctx->scratch, double, t->in),
           *sums = TL_NEW_ARRAY(t->ctx->scratch, double, t->out);
    for (int64_t k = 0; k < t->in; k++)
        row[k] = c[k];
    multiply_row(t, row, sums);
    ir_tensor *made = ir_tensor_alloc(t->ctx->m->arena,
                                      ir_type_tensor_static(t->ctx->c, DT_f32, 1, &t->out));
    for (int64_t j = 0; j < t->out; j++)
        ((float *)ir_tensor_data(made))[j] = (float)sums[j];
    ir_tensor_seal(made);
    return ir_module_const(t->ctx->m, made, NULL);
}

/* ---- mapping values --------------------------------------------------------------------------------------------------- */

/* As many columns as the product has. */
static const ir_type *mapped_type(const tabulation *t, const ir_type *type) {
    const ir_dim *dims[IR_MAX_RANK];
    memcpy(dims, type->dims, (size_t)type->rank * sizeof *dims);
    dims[type->rank - 1] = ir_dim_const(t->ctx->c, t->out);
    return ir_type_tensor(t->ctx->c, DT_f32, type->rank, dims);
}

static ir_value *map_rows(tabulation *t, ir_value *v);

static ir_value *map_node(tabulation *t, ir_node *n) {
    ir_value **in = TL_NEW_ARRAY(t->ctx->scratch, ir_value *, n->n_in);
    for (uint32_t i = 0; i < n->n_in; i++)
        in[i] = is_row_operand(n, i) ? map_rows(t, ir_in(n, i)) : ir_in(n, i);
    ir_builder b = ir_build_after(n);
    const ir_type *type = mapped_type(t, n->out[0].type);
    ir_value *y;
    if (n->op == OP_Expand)
        y = build_op2(&b, OP_Expand, in[0], build_dims(&b, type->dims, (uint32_t)type->rank));
    else if (is_reshape_like(n->op))
        y = build_reshape(&b, in[0], type->dims, (uint32_t)type->rank);
    else
        y = build_node(&b, n->op, in, n->n_in, 1, n->attrs, n->n_attrs)->out;
    y->type = type; /* inference may have known more when it saw n */
    return y;
}

static ir_value *map_slice(tabulation *t, ir_value *v) {
    loop_like l;
    uint32_t i;
    ir_node *recur = slicing_recur(v, &l, &i);
    int32_t axis = slicing_axis(recur, loop_sliced(&l, i), i);
    ir_value *slice = recur_add_slice(t->ctx, recur, map_rows(t, loop_sliced(&l, i)), axis,
                                      recur_list_at(recur, "input_reverse", i) != 0);
    slice->type = mapped_type(t, v->type);
    return slice;
}

/* The rows of v, times the matrix: where v is computed, and as v is. */
static ir_value *map_rows(tabulation *t, ir_value *v) {
    ir_value *made = tl_map_get_ptr(&t->values, v);
    if (made != v) return made;
    if (v->tensor)
        made = table_of(t, v, mapped_type(t, v->type));
    else
        made = v->def ? map_node(t, v->def) : map_slice(t, v);
    tl_map_set_ptr(&t->values, v, made);
    return made;
}

/* ---- the pass ------------------------------------------------------------------------------------------------------- */

static ir_value *build_result(tabulation *t, ir_builder *b) {
    ir_value *y = map_rows(t, t->x);
    if (!t->norm.node) return y;
    y = build_op2(b, OP_Mul, y, norm_build_inverse(b, &t->norm));
    return t->norm.c ? build_op2(b, OP_Add, y, shift_of(t)) : y;
}

static pass_result tabulate_product(pass_ctx *ctx, ir_node *n) {
    tabulation t = {.ctx = ctx};
    if (!linear_is_product(n)) return PASS_SAME;
    tl_map_init(&t.values, ctx->scratch);
    if (!find(&t, n) || !ctx_take(ctx, "products")) return PASS_SAME;
    ctx_remark(
        ctx,
        "%s: tables of %lld rows, %.1f kB, for a matrix of %.1f kB: %.1f kFLOP less for each row",
        node_name(n), (long long)t.rows, 4e-3 * (double)(t.rows * t.out),
        4e-3 * (double)(t.in * t.out), 2e-3 * (double)(t.in * t.out));
    ir_builder b = ir_build_before(n);
    pass_replace(ctx, &n->out[0], build_result(&t, &b));
    ir_node_remove(n);
    return PASS_CHANGED;
}

pass_result pass_tabulate_rows(pass_ctx *ctx, ir_graph *g) {
    if (pass_get_math(ctx->options) == PASS_MATH_STRICT) return PASS_SAME;
    return pass_each_node(ctx, g, tabulate_product);
}
