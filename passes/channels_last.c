/* channels_last: what follows an image with channels last is done before the image is transposed.
 *
 *   before:  %a = Transpose<perm=[0,3,1,2]>(%p)          after:  %s = Add(%p, %q)
 *            %b = Transpose<perm=[0,3,1,2]>(%q)                  %r = Relu(%s)
 *            %s = Add(%a, %b)                                    %y = Transpose<perm=[0,3,1,2]>(%r)
 *            %y = Relu(%s)
 *
 * Kernels that want channels last (integer convolutions) stand between such transpositions; elementwise operators, tables, Concat, Split,
 * Slice and reductions let them through, until they meet the next kernel's and cancel. Constants are transposed instead, and so is what
 * has one element for each channel. A transposition is never made of one that is not there: every image beside has to be transposed in
 * the same way, or to come from a pool or Resize of such an image, whose kernels leave channels where they are in memory.
 *
 * Holds for any element type and for one spatial axis and more. Linear. */
#include "ir/limits.h"
#include "passes/match.h"
#include "passes/quantized.h"
#include "passes/util.h"

enum { MAX_OPERANDS = 16 };

/* ---- images ----------------------------------------------------------------------------------------------------------- */

/* Axis i of the image with channels first is axis to_first(i) of the one with channels last. */
static int32_t to_first(int32_t i, int32_t rank) {
    return i == 0 ? 0 : i == 1 ? rank - 1 : i - 1;
}

static ir_value *transpose(ir_builder *b, ir_value *x, bool to_last) {
    int64_t perm[IR_MAX_RANK];
    int32_t rank = x->type->rank;
    for (int32_t i = 0; i < rank; i++)
        perm[to_last ? to_first(i, rank) : i] = to_last ? i : to_first(i, rank);
    return build_transpose(b, x, perm, (uint32_t)rank);
}

static bool is_to_first(const ir_node *n) {
    int64_t perm[IR_MAX_RANK];
    uint32_t rank;
    if (!n || n->op != OP_Transpose || !get_perm(n, perm, &rank) || rank < 3) return false;
    for (uint32_t i = 0; i < rank; i++)
        if (perm[i] != to_first((int32_t)i, (int32_t)rank)) return false;
    return true;
}

/* Whose kernel reads and writes images as they lie. */
static bool keeps_layout(const ir_node *n) {
    return n->op == OP_AveragePool || n->op == OP_Resize ||
           (n->op == OP_MaxPool && (n->n_out == 1 || !n->out[1].uses));
}

/* v lies with channels last. */
static bool is_image(const ir_value *v) {
    for (unsigned depth = 0; v->def && depth < 8; depth++) {
        if (is_to_first(v->def)) return true;
        if (!keeps_layout(v->def)) return false;
        v = ir_in(v->def, 0);
    }
    return false;
}

static ir_value *image_of(ir_builder *b, ir_value *v) {
    return is_to_first(v->def) ? ir_in(v->def, 0) : transpose(b, v, true);
}

/* ---- elementwise ------------------------------------------------------------------------------------------------------ */

/* [N,C,1,1], where it is not rank 0: one element for each channel at most. */
static bool is_of_channels(const ir_value *v, int32_t rank) {
    const ir_type *t = v->type;
    if (!ir_type_is_ranked(t) || t->rank != rank) return false;
    for (int32_t i = 2; i < rank; i++)
        if (!ir_dim_is(t->dims[i], 1)) return false;
    return true;
}

static bool is_small_constant(const ir_value *v, int32_t rank) {
    return ir_value_is_const(v) && !v->tensor->opaque && v->type->rank <= rank;
}

static bool can_be_last(const ir_value *v, int32_t rank) {
    return is_single_element(v) || is_small_constant(v, rank) || is_of_channels(v, rank);
}

static ir_value *operand_of(ir_builder *b, ir_value *v, int32_t rank) {
    if (!v || is_single_element(v)) return v;
    if (!ir_value_is_const(v) && is_image(v)) return image_of(b, v);
    if (v->type->rank < rank) {
        const ir_dim *dims[IR_MAX_RANK];
        int32_t more = rank - v->type->rank;
        for (int32_t i = 0; i < rank; i++)
            dims[i] = i < more ? ir_dim_const(b->m->ctx, 1) : v->type->dims[i - more];
        v = build_reshape(b, v, dims, (uint32_t)rank);
    }
    return transpose(b, v, true);
}

static bool is_pointwise(const ir_node *n) {
    return n->n_out == 1 && !n->n_regions && n->n_in <= MAX_OPERANDS &&
           (op_is(n->op, OP_SCALAR) || n->op == OP_Lookup);
}

/* Operands of a Lookup and of elementwise operators; a table is not transposed. */
static bool find_operands(const ir_node *n, int32_t rank) {
    bool found = false;
    for (uint32_t i = 0; i < n->n_in; i++) {
        const ir_value *v = ir_in(n, i);
        if (!v || (n->op == OP_Lookup && i == 1)) continue;
        bool image = !ir_value_is_const(v) && ir_type_is_ranked(v->type) && v->type->rank == rank &&
                     is_image(v);
        if (!image && !can_be_last(v, rank)) return false;
        found = found || image;
    }
    return found;
}

static ir_value *rebuild_pointwise(ir_builder *b, ir_node *n) {
    ir_value *in[MAX_OPERANDS];
    int32_t rank = n->out[0].type->rank;
    for (uint32_t i = 0; i < n->n_in; i++)
        in[i] = n->op == OP_Lookup && i == 1 ? ir_in(n, i) : operand_of(b, ir_in(n, i), rank);
    return build_node(b, n->op, in, n->n_in, 1, n->attrs, n->n_attrs)->out;
}

/* ---- what has axes ---------------------------------------------------------------------------------------------------- */

static bool all_images(const ir_node *n) {
    for (uint32_t i = 0; i < n->n_in; i++)
        if (ir_value_is_const(ir_in(n, i)) || !is_image(ir_in(n, i))) return false;
    return n->n_in > 0;
}

/* The operand `at` of axes as those of the image; NULL where they are not constants. */
static ir_value *axes_of(ir_builder *b, const ir_node *n, uint32_t at) {
    int64_t axes[IR_MAX_RANK];
    int32_t rank = ir_in(n, 0)->type->rank;
    int32_t count = ir_in(n, at) ? ir_value_const_ints(ir_in(n, at), axes, IR_MAX_RANK) : -1;
    if (count < 1) return NULL;
    for (int32_t i = 0; i < count; i++) {
        int32_t axis = normal_axis(axes[i], rank);
        if (axis < 0) return NULL;
        axes[i] = to_first(axis, rank);
    }
    return build_i64s(b, axes, (uint32_t)count);
}

static ir_node *rebuild_joined(pass_ctx *ctx, ir_builder *b, ir_node *n) {
    ir_value **in = TL_NEW_ARRAY(ctx->scratch, ir_value *, n->n_in);
    for (uint32_t i = 0; i < n->n_in; i++)
        in[i] = image_of(b, ir_in(n, i));
    ir_attr axis = {.name = "axis", .kind = ATTR_INT};
    int32_t rank = n->out[0].type->rank;
    axis.v.i = to_first(normal_axis(ir_attr_int(n, "axis", 0), rank), rank);
    return build_node(b, n->op, in, n->n_in, 1, &axis, 1);
}

/* Split, Slice: of one image. */
static ir_node *rebuild_cut(ir_builder *b, ir_node *n) {
    ir_value *in[5] = {NULL};
    for (uint32_t i = 1; i < n->n_in; i++)
        in[i] = ir_in(n, i);
    if (n->op == OP_Slice && !(in[3] = axes_of(b, n, 3))) return NULL;
    in[0] = image_of(b, ir_in(n, 0));
    if (n->op == OP_Slice) return build_node(b, n->op, in, n->n_in, 1, n->attrs, n->n_attrs);
    ir_attr attrs[8];
    uint32_t count = 0;
    for (uint32_t i = 0; i < n->n_attrs; i++)
        if (strcmp(n->attrs[i].name, "axis") != 0) attrs[count++] = n->attrs[i];
    attrs[count] = (ir_attr){.name = "axis", .kind = ATTR_INT};
    int32_t rank = ir_in(n, 0)->type->rank;
    attrs[count++].v.i = to_first(normal_axis(ir_attr_int(n, "axis", 0), rank), rank);
    return build_node(b, n->op, in, n->n_in, n->n_out, attrs, count);
}

static bool reduces(op_id op) {
    return op == OP_ReduceMean || op == OP_ReduceSum || op == OP_ReduceMax || op == OP_ReduceMin;
}

/* The result is transposed where its axes are left; without the spatial axes it is [N,C] anyway. */
static bool leaves_order(const ir_node *n, bool *transposed) {
    int64_t axes[IR_MAX_RANK];
    int32_t rank = ir_in(n, 0)->type->rank;
    int32_t count = ir_in(n, 1) ? ir_value_const_ints(ir_in(n, 1), axes, IR_MAX_RANK) : -1;
    if ((*transposed = ir_attr_int(n, "keepdims", 1))) return count > 0;
    for (int32_t i = 0; i < count; i++)
        if (normal_axis(axes[i], rank) < 2) return false;
    return count == rank - 2;
}

/* ---- the pass --------------------------------------------------------------------------------------------------------- */

static void give(pass_ctx *ctx, ir_builder *b, ir_node *n, ir_node *made, bool transposed) {
    for (uint32_t i = 0; i < n->n_out; i++) {
        if (!n->out[i].uses) continue;
        ir_value *y = &made->out[i];
        pass_replace(ctx, &n->out[i], transposed ? transpose(b, y, false) : y);
    }
    ir_node_remove(n);
}

static ir_node *rebuild(pass_ctx *ctx, ir_builder *b, ir_node *n, bool *transposed) {
    *transposed = true;
    if (is_pointwise(n)) return rebuild_pointwise(b, n)->def;
    if (n->op == OP_Concat) return rebuild_joined(ctx, b, n);
    if (n->op == OP_Split || n->op == OP_Slice) return rebuild_cut(b, n);
    leaves_order(n, transposed);
    ir_value *in[2] = {image_of(b, ir_in(n, 0)), axes_of(b, n, 1)};
    return build_node(b, n->op, in, 2, 1, n->attrs, n->n_attrs);
}

static bool can_rebuild(const ir_node *n) {
    bool unused, known = n->n_out > 0 && n->n_in > 0 && ir_type_is_known(n->out[0].type);
    if (!known || !ir_in(n, 0) || !ir_type_is_known(ir_in(n, 0)->type)) return false;
    if (is_pointwise(n)) return find_operands(n, n->out[0].type->rank);
    if (n->op == OP_Concat) return all_images(n);
    if (ir_value_is_const(ir_in(n, 0)) || !is_image(ir_in(n, 0))) return false;
    if (n->op == OP_Split) return n->n_attrs < 8;
    if (n->op == OP_Slice) return ir_in(n, 3) && ir_value_is_const(ir_in(n, 3));
    return reduces(n->op) && leaves_order(n, &unused);
}

static pass_result visit(pass_ctx *ctx, ir_node *n) {
    bool transposed, used = false;
    for (uint32_t i = 0; i < n->n_out; i++)
        used = used || n->out[i].uses;
    if (!used || !can_rebuild(n) || !ctx_take(ctx, n->op == OP_Concat ? "joined" : "moved"))
        return PASS_SAME;
    ir_builder b = ir_build_before(n);
    ir_node *made = rebuild(ctx, &b, n, &transposed);
    if (!made) return PASS_SAME;
    give(ctx, &b, n, made, transposed);
    return PASS_CHANGED;
}

pass_result pass_channels_last(pass_ctx *ctx, ir_graph *g) {
    return pass_each_node(ctx, g, visit);
}
