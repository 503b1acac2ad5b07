/* Losses over classes in simpler terms (see decompose.c):
 *
 *   %y = NegativeLogLikelihoodLoss(%x, %t, %w)  ->  %p = GatherElements<axis=1>(%x, Unsqueeze(%t))     the right classes' elements
 *                                                   %k = Gather(%w, %t)                                and weights
 *                                                   %y = ReduceSum(-%p * %k) / ReduceSum(%k)
 *
 * SoftmaxCrossEntropyLoss is the same of LogSoftmax. Elements of the class that is ignored read class 0 and get weight 0: the ignored
 * number need not be a class. */
#include "passes/decompose.h"

#include "passes/util.h"

typedef struct class_loss {
    ir_builder *b;
    ir_node *n;
    ir_value *target;  /* classes that exist */
    ir_value *ignored; /* where nothing counts; NULL = nowhere */
    ir_value *weight;  /* of each element; NULL = 1 */
    ir_dtype type;     /* computed in */
} class_loss;

static ir_value *like(const class_loss *l, double x) {
    return build_scalar(l->b, l->type, x);
}

static void read_target(class_loss *l) {
    const ir_attr *ignore = ir_attr_find(l->n, "ignore_index");
    l->target = l->n->in[1].value;
    if (!ignore) return;
    ir_dtype t = l->target->type->dtype;
    l->ignored = build_op2(l->b, OP_Equal, l->target, build_scalar(l->b, t, (double)ignore->v.i));
    l->target = build_op3(l->b, OP_Where, l->ignored, build_scalar(l->b, t, 0), l->target);
}

static void read_weight(class_loss *l) {
    ir_value *w = ir_in(l->n, 2);
    if (w) w = build_op2(l->b, OP_Gather, build_cast(l->b, w, l->type), l->target);
    if (l->ignored) w = build_op3(l->b, OP_Where, l->ignored, like(l, 0), w ? w : like(l, 1));
    l->weight = w;
}

/* -weight * x[class]; an ignored element is 0 whatever x holds there. */
static ir_value *build_loss(class_loss *l, ir_value *x) {
    ir_value *axis = build_i64s(l->b, (int64_t[]){1}, 1);
    ir_value *at = build_op2(l->b, OP_Unsqueeze, l->target, axis);
    ir_value *y = build_op2_int(l->b, OP_GatherElements, x, at, "axis", 1);
    y = build_op1(l->b, OP_Neg, build_op2(l->b, OP_Squeeze, y, axis));
    if (l->weight) y = build_op2(l->b, OP_Mul, y, l->weight);
    return l->ignored ? build_op3(l->b, OP_Where, l->ignored, like(l, 0), y) : y;
}

static ir_value *reduce_all(class_loss *l, op_id op, ir_value *x) {
    return build_op1_int(l->b, op, x, "keepdims", 0);
}

static ir_value *reduced(class_loss *l, ir_value *loss) {
    const char *reduction = ir_attr_string(l->n, "reduction", "mean");
    if (strcmp(reduction, "none") == 0) return loss;
    if (strcmp(reduction, "sum") == 0) return reduce_all(l, OP_ReduceSum, loss);
    if (!l->weight) return reduce_all(l, OP_ReduceMean, loss);
    ir_value *sum = reduce_all(l, OP_ReduceSum, loss);
    return build_op2(l->b, OP_Div, sum, reduce_all(l, OP_ReduceSum, l->weight));
}

bool decompose_class_loss(ir_builder *b, ir_node *n) {
    const ir_type *t = n->in[0].value->type;
    if (!ir_type_is_ranked(t) || !ir_type_is_ranked(n->in[1].value->type)) return false;
    class_loss l = {.b = b, .n = n, .type = ir_dtype_compute(t->dtype)};
    ir_value *x = build_cast(b, n->in[0].value, l.type);
    if (n->op == OP_SoftmaxCrossEntropyLoss) x = build_op1_int(b, OP_LogSoftmax, x, "axis", 1);
    read_target(&l);
    read_weight(&l);
    ir_value *y = reduced(&l, build_loss(&l, x));
    if (n->n_out > 1 && n->out[1].uses) decompose_give(n, 1, build_cast(b, x, t->dtype));
    return decompose_give(n, 0, build_cast(b, y, t->dtype));
}
