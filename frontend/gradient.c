/* Gradient (ai.onnx.preview.training): derivatives of a value named `y` by the values named `xs`, by walking back from y.
 *
 *   %c = Add(%a, %b)                                               %1 = Mul(ones, %a)     dy/dc
 *   %y = Mul(%c, %a)                                        ->     %2 = Mul(ones, %c)
 *   %da, %db = Gradient<xs=["a","b"], y="y">(%a, %b)               %da = Add(%2, %1)      %db = %1
 *
 * A target of several elements stands for their sum. Where the operands of Gradient are other values than those named, the piece
 * between is first copied with the operands in their place. */
#include "frontend/gradient.h"

/* The piece of the graph between the xs (and zs) and y. */
typedef struct piece {
    fe_node *f;
    uint32_t n_named, n_xs;
    ir_value **named;              /* xs, then zs: where the walk ends */
    TL_VEC(const ir_node *) order; /* nodes between, operands first; a node is in it once */
    tl_map seen;        /* node -> in order, or known not to depend on the named values */
    tl_map copies;      /* value -> its copy at the operands of Gradient */
    tl_map active;      /* results of nodes between */
    tl_map derivatives; /* value -> derivative of y by it, as far as summed up */
} piece;

enum { DEPENDS = 1, CONSTANT = 2 };

/* ---- finding the piece ------------------------------------------------------------------------- */

static bool is_named(const piece *p, const ir_value *v, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        if (p->named[i] == v) return true;
    return false;
}

/* One step of the walk: a node whose operands are being looked at. */
typedef struct visit {
    const ir_node *node;
    uint32_t next;
    bool depends;
} visit;

typedef TL_VEC(visit) visit_stack;

static bool depends(const piece *p, const ir_value *v) {
    if (is_named(p, v, p->n_named)) return true;
    const uint64_t *state = v->def ? tl_map_find(&p->seen, (uint64_t)(uintptr_t)v->def) : NULL;
    return state && *state == DEPENDS;
}

static void enter(piece *p, visit_stack *s, const ir_value *v) {
    if (!v || !v->def || is_named(p, v, p->n_named)) return;
    bool added;
    uint64_t *slot = tl_map_insert(&p->seen, (uint64_t)(uintptr_t)v->def, &added);
    if (!added) return;
    *slot = CONSTANT;
    tl_vec_push(p->f->im->scratch, s, ((visit){.node = v->def}));
}

/* Depth first, without recursion: a chain may be as long as the model. */
static void find_nodes(piece *p, const ir_value *y) {
    visit_stack s = {0};
    enter(p, &s, y);
    while (s.len) {
        visit *top = &s.data[s.len - 1];
        if (top->next < top->node->n_in) {
            enter(p, &s, top->node->in[top->next++].value);
            continue;
        }
        const ir_node *n = top->node;
        bool found = false;
        for (uint32_t i = 0; i < n->n_in && !found; i++)
            found = n->in[i].value && depends(p, n->in[i].value);
        if (found) {
            *tl_map_find(&p->seen, (uint64_t)(uintptr_t)n) = DEPENDS;
            tl_vec_push(p->f->im->scratch, &p->order, n);
        }
        s.len--;
    }
}

/* ---- the piece at other operands ----------------------------------------------------------------- */

static ir_value *copy_of(const piece *p, ir_value *v) {
    ir_value *copy = v ? tl_map_get_ptr(&p->copies, v) : NULL;
    return copy ? copy : v;
}

static bool copy_node(piece *p, const ir_node *n) {
    fe_node *f = p->f;
    if (n->n_regions) return fe_error(f, "cannot be computed elsewhere: %s", op_get(n->op)->name);
    ir_value **in = TL_NEW_ARRAY(f->im->scratch, ir_value *, n->n_in + 1);
    for (uint32_t i = 0; i < n->n_in; i++)
        in[i] = copy_of(p, n->in[i].value);
    ir_node *copy = ir_node_clone(f->im->m, n, in);
    copy->loc = f->loc;
    ir_node_append(f->region, copy);
    for (uint32_t i = 0; i < n->n_out; i++) {
        const char *name = n->out[i].name ? n->out[i].name : "";
        copy->out[i].name = fe_derived_name(f->im, f->scope, name, "again");
        copy->out[i].type = NULL;
        tl_map_set_ptr(&p->copies, &n->out[i], &copy->out[i]);
    }
    return ir_infer_node(f->im->c, copy);
}

/* Afterwards the piece is the copy. */
static bool move_to_operands(piece *p, ir_value **y) {
    bool same = true;
    for (uint32_t i = 0; i < p->n_named; i++) {
        same = same && p->named[i] == fe_in(p->f, i);
        tl_map_set_ptr(&p->copies, p->named[i], fe_in(p->f, i));
    }
    if (same) return true;
    for (uint32_t i = 0; i < p->order.len; i++) {
        const ir_node *n = p->order.data[i];
        if (!copy_node(p, n)) return false;
        if (n->n_out) p->order.data[i] = copy_of(p, (ir_value *)&n->out[0])->def;
    }
    for (uint32_t i = 0; i < p->n_named; i++)
        p->named[i] = fe_in(p->f, i);
    *y = copy_of(p, *y);
    return true;
}

/* ---- backwards ----------------------------------------------------------------------------------- */

static bool add_derivative(piece *p, ir_value *v, ir_value *g) {
    ir_value *old = tl_map_get_ptr(&p->derivatives, v);
    if (old) g = fe_build2(p->f, OP_Add, old, g);
    if (g) tl_map_set_ptr(&p->derivatives, v, g);
    return g != NULL;
}

/* The same number for every element. */
static ir_value *filled_like(fe_node *f, ir_value *y, double x) {
    ir_value *shape = fe_shape(f, y);
    if (!shape) return NULL;
    int64_t one = 1;
    ir_tensor *t = ir_tensor_alloc(f->im->s->arena,
                                   ir_type_tensor_static(f->im->c, y->type->dtype, 1, &one));
    ir_tensor_set_f64(t, 0, x);
    ir_tensor_seal(t);
    ir_attr value = {.name = "value", .kind = ATTR_TENSOR, .v.t = t};
    return fe_build(f, OP_ConstantOfShape, &shape, 1, &value, 1);
}

/* Derivatives are wanted by xs, and needed by what is between. */
static bool is_active(const piece *p, const ir_value *v) {
    if (!v || !ir_type_is_tensor(v->type) || !ir_dtype_is_float(v->type->dtype)) return false;
    if (is_named(p, v, p->n_named)) return is_named(p, v, p->n_xs);
    return tl_map_get_ptr(&p->active, v) != NULL;
}

static void mark_active(piece *p) {
    for (uint32_t i = 0; i < p->order.len; i++)
        for (uint32_t k = 0; k < p->order.data[i]->n_out; k++)
            tl_map_set_ptr(&p->active, &p->order.data[i]->out[k], p);
}

static bool walk_back_from(piece *p, const ir_node *n, uint32_t result) {
    ir_value *g = tl_map_get_ptr(&p->derivatives, &n->out[result]);
    for (uint32_t i = 0; g && i < n->n_in; i++) {
        ir_value *x = n->in[i].value;
        if (!is_active(p, x) || gradient_stops(n, i)) continue;
        ir_value *d = gradient_of_operand(p->f, n, i, result, g);
        if (!d || !add_derivative(p, x, d)) return false;
    }
    return true;
}

static bool walk_back(piece *p, const ir_node *n) {
    for (uint32_t i = 0; i < n->n_out; i++)
        if (!walk_back_from(p, n, i)) return false;
    return true;
}

static bool differentiate(piece *p, ir_value *y) {
    ir_value *one = filled_like(p->f, y, 1);
    mark_active(p);
    if (!one || !add_derivative(p, y, one)) return false;
    for (uint32_t i = p->order.len; i-- > 0;)
        if (!walk_back(p, p->order.data[i])) return false;
    return true;
}

/* ---- the node ------------------------------------------------------------------------------------- */

static const char *text_of(const fe_node *f, tl_sv s) {
    return tl_arena_strndup(f->im->scratch, s.data, s.len);
}

static bool find_named(piece *p, const char *attr, uint32_t first) {
    const fe_attr *a = fe_find_attr(p->f, attr);
    for (uint32_t i = 0; a && i < a->a.n; i++) {
        const char *name = text_of(p->f, a->a.v.strings[i]);
        if (!fe_find_value(p->f->im, p->f->scope, p->f->loc, name, &p->named[first + i]))
            return false;
        if (!p->named[first + i]) return fe_error(p->f, "'%s' has no value", name);
    }
    return true;
}

static uint32_t count_names(const fe_node *f, const char *attr) {
    const fe_attr *a = fe_find_attr(f, attr);
    return a && a->a.kind == ATTR_STRINGS ? a->a.n : 0;
}

static bool find_target(fe_node *f, ir_value **y) {
    const char *name = text_of(f, fe_find_attr(f, "y")->a.v.s);
    if (!fe_find_value(f->im, f->scope, f->loc, name, y)) return false;
    if (!*y || !ir_type_is_tensor((*y)->type) || !ir_dtype_is_float((*y)->type->dtype))
        return fe_error(f, "'%s' is not a tensor of floating-point numbers", name);
    return true;
}

/* What y does not depend on has derivative 0. */
static bool give_results(piece *p) {
    fe_node *f = p->f;
    for (uint32_t i = 0; i < f->n_out; i++) {
        ir_value *g = tl_map_get_ptr(&p->derivatives, p->named[i]);
        if (!fe_wants(f, i)) continue;
        if (!g) g = filled_like(f, p->named[i], 0);
        if (!g) return false;
        f->out[i] = g;
    }
    f->done = true;
    return true;
}

static bool gradient(fe_node *f) {
    piece p = {.f = f, .n_xs = count_names(f, "xs")};
    ir_value *y;
    p.n_named = p.n_xs + count_names(f, "zs");
    if (f->in.len != p.n_named || f->n_out > p.n_xs)
        return fe_error(f, "%u inputs and %u outputs for %u names", f->in.len, f->n_out, p.n_named);
    for (uint32_t i = 0; i < f->in.len; i++)
        if (!fe_in(f, i)) return fe_error(f, "input %u is missing", i);
    p.named = TL_NEW_ARRAY(f->im->scratch, ir_value *, p.n_named + 1);
    tl_map_init(&p.seen, f->im->scratch);
    tl_map_init(&p.copies, f->im->scratch);
    tl_map_init(&p.active, f->im->scratch);
    tl_map_init(&p.derivatives, f->im->scratch);
    if (!find_named(&p, "xs", 0) || !find_named(&p, "zs", p.n_xs) || !find_target(f, &y))
        return false;
    find_nodes(&p, y);
    return move_to_operands(&p, &y) && differentiate(&p, y) && give_results(&p);
}

/* clang-format off */
const fe_rule fe_rules_gradient[] = {
    {"ai.onnx.preview.training", "Gradient", FE_ALWAYS, gradient, "Add"},
    {0},
};
/* clang-format on */
