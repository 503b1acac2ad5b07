/* If, Loop, Scan and Recur.
 *
 * Values carried from step to step have one type for all steps. It is found as a fixed point: take the initial value's type,
 * infer the body, join with what the body yields; dims that differ become "?", which a parameter turns into a symbol of its
 * own ("h.d0": the size in this step); repeat until nothing changes. So a list that grows by one row each step, starting from
 * f32[0,4], has the type f32[h.d0,4] in the body, where Concat(%h, %row) is f32[h.d0 + 1,4]. Recur is our own: there the type of
 * the initial value is the type of all rounds.
 *
 * Symbols that are defined inside a region mean nothing outside: dims of results that mention one are left to the data. */
#include "ir/infer/infer.h"

/* ---- symbols of a region ----------------------------------------------------------------------------------------- */

typedef struct scope {
    tl_map inner; /* interned names of the symbols defined in the region */
    bool found;
} scope;

/* Whether the symbol is "<name>.d<digits>". */
static bool is_symbol_of(const char *symbol, const char *name) {
    size_t n = name ? strlen(name) : 0;
    return name && symbol && strncmp(symbol, name, n) == 0 && symbol[n] == '.' &&
           symbol[n + 1] == 'd';
}

static void scope_add(scope *s, const ir_value *v) {
    for (int32_t i = 0; ir_type_is_ranked(v->type) && i < v->type->rank; i++) {
        const char *symbol = ir_dim_symbol_name(v->type->dims[i]);
        if (is_symbol_of(symbol, v->name)) tl_map_set_ptr(&s->inner, symbol, symbol);
    }
}

static bool type_mentions(const ir_type *t, const ir_dim *symbol) {
    for (int32_t i = 0; ir_type_is_ranked(t) && i < t->rank; i++)
        if (t->dims[i] == symbol) return true;
    return false;
}

/* A size that depends on the counter is named after its expression (infer_name_dims), not after a value: the node whose
 * operands do not have it defines it. */
static void scope_add_bounded(scope *s, const ir_node *n, const ir_value *v) {
    for (int32_t i = 0; ir_type_is_ranked(v->type) && i < v->type->rank; i++) {
        const ir_dim *d = v->type->dims[i];
        bool bounded = ir_dim_is_symbol(d) && d->terms[0].atoms[0]->b;
        for (uint32_t k = 0; bounded && k < n->n_in; k++)
            bounded = !ir_in(n, k) || !type_mentions(ir_in(n, k)->type, d);
        if (bounded) tl_map_set_ptr(&s->inner, ir_dim_symbol_name(d), d);
    }
}

static void scope_init(ir_ctx *c, scope *s, const ir_region *r) {
    tl_map_init(&s->inner, &c->arena);
    for (uint32_t i = 0; i < r->n_params; i++)
        scope_add(s, r->params[i]);
    ir_for_each_node (n, r)
        for (uint32_t i = 0; i < n->n_out; i++) {
            scope_add(s, &n->out[i]);
            scope_add_bounded(s, n, &n->out[i]);
        }
}

static void look_up(void *data, const char *symbol) {
    scope *s = data;
    if (tl_map_get_ptr(&s->inner, symbol)) s->found = true;
}

/* The type as the region's surroundings see it. */
static const ir_type *outer_type(ir_ctx *c, scope *s, const ir_type *t) {
    const ir_dim *dims[IR_MAX_RANK];
    if (t->kind == IR_TYPE_SEQUENCE) return ir_type_sequence(c, outer_type(c, s, t->element));
    if (t->kind == IR_TYPE_OPTIONAL) return ir_type_optional(c, outer_type(c, s, t->element));
    if (!ir_type_is_ranked(t)) return t;
    for (int32_t i = 0; i < t->rank; i++) {
        s->found = false;
        ir_dim_each_symbol(t->dims[i], look_up, s);
        dims[i] = s->found ? ir_dim_unknown(c) : t->dims[i];
    }
    return ir_type_tensor(c, t->dtype, t->rank, dims);
}

/* ---- regions ----------------------------------------------------------------------------------------------------- */

/* Types below are void once a parameter's type has become more general: forget them, so that they do not survive as if the
 * model had declared them. */
static void forget_types(ir_region *r) {
    ir_for_each_node (n, r) {
        for (uint32_t i = 0; i < n->n_out; i++)
            n->out[i].type = NULL, n->out[i].known = NULL;
        for (uint32_t i = 0; i < n->n_regions; i++) {
            for (uint32_t k = 0; k < n->regions[i]->n_params; k++)
                n->regions[i]->params[k]->type = NULL;
            forget_types(n->regions[i]);
        }
    }
}

static bool check_region(ir_ctx *c, const ir_node *n, const ir_region *r, uint32_t n_params,
                         uint32_t n_results) {
    if (r->n_params != n_params)
        return diag_error(&c->diag, n->loc, "'%s' has %u parameters, expected %u", r->name,
                          r->n_params, n_params);
    if (ir_region_n_results(r) != n_results)
        return diag_error(&c->diag, n->loc, "'%s' yields %u values, expected %u", r->name,
                          ir_region_n_results(r), n_results);
    for (uint32_t i = 0; i < n_results; i++)
        if (!ir_region_result(r, i))
            return diag_error(&c->diag, n->loc, "result %u of '%s' is missing", i, r->name);
    return true;
}

static const ir_type *result_type(ir_ctx *c, const ir_node *n, const ir_region *r, uint32_t i) {
    const ir_type *t = ir_region_result(r, i)->type;
    if (!t) diag_error(&c->diag, n->loc, "type of result %u of '%s' is not known", i, r->name);
    return t;
}

/* ---- If ----------------------------------------------------------------------------------------------------------- */

/* A node that cannot be inferred, and never runs: typed all the same, as the verifier wants it. */
static void give_some_types(ir_ctx *c, ir_node *n) {
    for (uint32_t i = 0; op_schema(n->op) && i < n->n_out; i++) {
        ir_dtype t = infer_result_dtype(n, i);
        if (!n->out[i].type && t != DT_undefined) n->out[i].type = ir_type_unranked(c, t);
    }
}

void ir_infer_node_quietly(ir_ctx *c, ir_node *n) {
    diag saved = c->diag;
    if (!ir_infer_node(c, n)) give_some_types(c, n);
    c->diag = saved;
}

/* The branch that is never taken need not make sense: exporters guard a Squeeze by a test of the dimension. */
static void infer_quietly(ir_ctx *c, ir_region *r) {
    ir_for_each_node (n, r)
        ir_infer_node_quietly(c, n);
}

static bool set_from_branch(ir_ctx *c, ir_node *n, const ir_region *r) {
    scope s;
    scope_init(c, &s, r);
    for (uint32_t i = 0; i < n->n_out; i++) {
        const ir_type *t = result_type(c, n, r, i);
        if (!t || !infer_set(c, n, i, outer_type(c, &s, t))) return false;
    }
    return true;
}

static bool set_from_both(ir_ctx *c, ir_node *n, const ir_region *a, const ir_region *b) {
    scope sa, sb;
    scope_init(c, &sa, a);
    scope_init(c, &sb, b);
    for (uint32_t i = 0; i < n->n_out; i++) {
        const ir_type *x = result_type(c, n, a, i), *y = result_type(c, n, b, i);
        if (!x || !y) return false;
        const ir_type *t = ir_type_join(c, outer_type(c, &sa, x), outer_type(c, &sb, y));
        if (!t)
            return diag_error(&c->diag, n->loc,
                              "output %u is %s in 'then_branch' and %s in 'else_branch'", i,
                              infer_type_text(c, x), infer_type_text(c, y));
        if (!infer_set(c, n, i, t)) return false;
    }
    return true;
}

/* A branch that cannot run is no mistake as long as the other one can: exporters write branches for sizes that --dim has ruled out.
 * The pass guard_branches removes it, and says so. */
static bool infer_undecided(ir_ctx *c, ir_node *n, ir_region *a, ir_region *b) {
    diag saved = c->diag;
    if (!infer_region(c, a)) {
        c->diag = saved;
        if (!infer_region(c, b)) return false;
        infer_quietly(c, a);
        return set_from_branch(c, n, b);
    }
    saved = c->diag;
    if (infer_region(c, b)) return set_from_both(c, n, a, b);
    c->diag = saved;
    infer_quietly(c, b);
    return set_from_branch(c, n, a);
}

bool infer_if(ir_ctx *c, ir_node *n) {
    ir_region *taken = ir_node_find_region(n, "then_branch"),
              *other = ir_node_find_region(n, "else_branch");
    int64_t condition;
    if (!check_region(c, n, taken, 0, n->n_out) || !check_region(c, n, other, 0, n->n_out))
        return false;
    bool decided = ir_value_const_i64(ir_in(n, 0), &condition);
    if (!decided) return infer_undecided(c, n, taken, other);
    if (!condition) {
        ir_region *swap = taken;
        taken = other, other = swap;
    }
    if (!infer_region(c, taken)) return false;
    infer_quietly(c, other);
    return set_from_branch(c, n, taken);
}

/* ---- Guard --------------------------------------------------------------------------------------------------------- */

bool infer_guard(ir_ctx *c, ir_node *n) {
    if (n->n_in != 2 || !ir_in(n, 0) || !ir_in(n, 1))
        return diag_error(&c->diag, n->loc, "expected 2 operands");
    n->out[0].known = ir_in(n, 0)->known;
    return infer_set(c, n, 0, infer_in(n, 0));
}

/* ---- carried values ------------------------------------------------------------------------------------------------ */

/* The carried values of a Loop, Scan or Recur: `count` of them, operands, parameters and results in a row. */
typedef struct carried {
    ir_node *n;
    ir_region *body;
    uint32_t count, operand, param, result;
} carried;

/* Bodies in bodies are inferred once for each attempt of the outer ones: further in, no attempts. */
enum { MAX_EXACT_DEPTH = 4, EXACT_ATTEMPTS = 4 };

static uint32_t loop_depth(const ir_node *n) {
    uint32_t depth = 0;
    for (const ir_region *r = n->parent; r && r->owner; r = r->owner->parent)
        depth++;
    return depth;
}

/* Symbols that stand for the parameter's own dims are "?" to the outside. */
static const ir_type *without_own_symbols(ir_ctx *c, const ir_value *v) {
    const ir_dim *dims[IR_MAX_RANK];
    if (!ir_type_is_ranked(v->type)) return v->type;
    for (int32_t i = 0; i < v->type->rank; i++) {
        bool own = is_symbol_of(ir_dim_symbol_name(v->type->dims[i]), v->name);
        dims[i] = own ? ir_dim_unknown(c) : v->type->dims[i];
    }
    return ir_type_tensor(c, v->type->dtype, v->type->rank, dims);
}

static bool start_carried(ir_ctx *c, const carried *s) {
    for (uint32_t i = 0; i < s->count; i++) {
        ir_value *p = s->body->params[s->param + i];
        const ir_type *initial = infer_in(s->n, s->operand + i);
        if (!initial)
            return infer_error(c, s->n, s->operand + i,
                               "is missing: it is the initial value of a carried one");
        const ir_type *t = ir_type_meet(c, initial, p->type ? without_own_symbols(c, p) : NULL);
        if (!t)
            return infer_error(c, s->n, s->operand + i, "does not fit parameter '%s' of type %s",
                               p->name ? p->name : "", infer_type_text(c, p->type));
        p->type = infer_name_dims(c, t, p->name);
    }
    return true;
}

/* A list that starts empty and is only appended to: the element says what the list holds. NULL where it is not that. */
static const ir_type *appended_list(ir_ctx *c, const carried *s, uint32_t i) {
    const ir_value *initial = ir_in(s->n, s->operand + i), *p = s->body->params[s->param + i];
    const ir_node *insert = ir_region_result(s->body, s->result + i)->def;
    bool empty = initial->def && initial->def->op == OP_SequenceEmpty;
    if (!empty || !insert || insert->op != OP_SequenceInsert || ir_in(insert, 0) != p) return NULL;
    scope inner;
    scope_init(c, &inner, s->body);
    return ir_type_sequence(c, outer_type(c, &inner, infer_in(insert, 1)));
}

static const ir_type *general_type(ir_ctx *c, const ir_type *t, bool keep_rank) {
    const ir_dim *dims[IR_MAX_RANK];
    if (t->kind == IR_TYPE_SEQUENCE)
        return ir_type_sequence(c, general_type(c, t->element, keep_rank));
    if (t->kind == IR_TYPE_OPTIONAL)
        return ir_type_optional(c, general_type(c, t->element, keep_rank));
    if (!ir_type_is_ranked(t)) return t;
    for (int32_t i = 0; i < t->rank; i++)
        dims[i] = ir_dim_unknown(c);
    return keep_rank ? ir_type_tensor(c, t->dtype, t->rank, dims) : ir_type_unranked(c, t->dtype);
}

/* The body takes an optional and yields what it holds: a list that may be missing at the start. */
static bool is_unwrapped(const ir_type *param, const ir_type *yielded) {
    return param->kind == IR_TYPE_OPTIONAL && yielded->kind != IR_TYPE_OPTIONAL;
}

static const ir_type *join_carried(ir_ctx *c, const ir_type *param, const ir_type *yielded) {
    if (!is_unwrapped(param, yielded)) return ir_type_join(c, param, yielded);
    const ir_type *content = ir_type_join(c, param->element, yielded);
    return content ? ir_type_optional(c, content) : NULL;
}

/* Joins parameters with what the body yields; *changed tells whether one became more general. `attempt` grows from 0: when
 * there were many, what changes gives up its dims, then its rank, so that this ends. */
static bool widen_carried(ir_ctx *c, const carried *s, uint32_t attempt, bool *changed) {
    for (uint32_t i = 0; i < s->count; i++) {
        ir_value *p = s->body->params[s->param + i];
        const ir_type *yielded = result_type(c, s->n, s->body, s->result + i);
        if (!yielded) return false;
        const ir_type *list = attempt == 0 ? appended_list(c, s, i) : NULL,
                      *t = join_carried(c, p->type, yielded);
        if (!t)
            return infer_error(c, s->n, s->operand + i, "the body turns it into %s",
                               infer_type_text(c, yielded));
        if (list) t = list;
        t = infer_name_dims(c, t, p->name);
        bool give_up = attempt >= EXACT_ATTEMPTS + 2 || (t != p->type && attempt >= EXACT_ATTEMPTS);
        if (give_up) t = infer_name_dims(c, general_type(c, t, attempt == EXACT_ATTEMPTS), p->name);
        if (t != p->type) *changed = true;
        p->type = t;
    }
    return true;
}

/* Types of all carried parameters, and of the body's nodes under them. */
static bool infer_carried(ir_ctx *c, const carried *s) {
    if (!start_carried(c, s)) return false;
    bool deep = loop_depth(s->n) >= MAX_EXACT_DEPTH;
    for (uint32_t i = 0; deep && i < s->count; i++) {
        ir_value *p = s->body->params[s->param + i];
        p->type = general_type(c, p->type, false);
    }
    if (deep) forget_types(s->body);
    for (uint32_t attempt = 0;; attempt++) {
        bool changed = false;
        if (!infer_region(c, s->body) || !widen_carried(c, s, attempt, &changed)) return false;
        if (!changed) return true;
        forget_types(s->body);
    }
}

static bool set_carried(ir_ctx *c, const carried *s, scope *inner) {
    for (uint32_t i = 0; i < s->count; i++) {
        const ir_type *t = s->body->params[s->param + i]->type,
                      *yielded = ir_region_result(s->body, s->result + i)->type;
        if (is_unwrapped(t, yielded)) t = t->element;
        if (!infer_set(c, s->n, i, outer_type(c, inner, t))) return false;
    }
    return true;
}

/* A result that is stacked along a new axis: `length` steps. */
/* joined: the results have the axis already, of the rounds that are done at once; else they are put one behind the other along a new one. */
static bool set_stacked(ir_ctx *c, const carried *s, scope *inner, uint32_t output, uint32_t result,
                        int64_t axis, bool joined, const ir_dim *length) {
    const ir_type *t = result_type(c, s->n, s->body, result);
    if (!t) return false;
    if (!ir_type_is_tensor(t))
        return diag_error(&c->diag, s->n->loc, "result %u of 'body' is %s, expected a tensor",
                          result, infer_type_text(c, t));
    t = outer_type(c, inner, t);
    if (!ir_type_is_ranked(t)) return infer_set_unranked(c, s->n, output, t->dtype);
    int32_t at;
    int32_t rank = t->rank + !joined;
    if (rank > IR_MAX_RANK) return infer_set_rank(c, s->n, output, t->dtype, rank); /* reports */
    if (!infer_axis(c, s->n, axis, rank, &at)) return false;
    ir_shape shape = {.rank = rank};
    for (int32_t i = 0; i < rank; i++)
        shape.dims[i] = i == at ? length : t->dims[i > at && !joined ? i - 1 : i];
    return infer_set_shape(c, s->n, output, t->dtype, &shape);
}

/* ---- Loop --------------------------------------------------------------------------------------------------------- */

static bool is_true(const ir_value *v) {
    int64_t x;
    return ir_value_const_i64(v, &x) && x != 0;
}

/* The condition never ends the loop: true at the start, and the body yields true or hands it on. */
static bool runs_to_the_end(const ir_node *n, const ir_region *body) {
    const ir_value *next = ir_region_result(body, 0);
    while (next->def && next->def->op == OP_Identity && ir_in(next->def, 0))
        next = ir_in(next->def, 0);
    bool starts = !ir_in(n, 1) || is_true(ir_in(n, 1));
    return starts && (is_true(next) || next == body->params[1]);
}

static const ir_dim *trip_count(ir_ctx *c, const ir_node *n, const ir_region *body) {
    const ir_dim *count[IR_MAX_KNOWN];
    if (!runs_to_the_end(n, body) || infer_in_dims(c, n, 0, count) != 1) return ir_dim_unknown(c);
    return ir_dim_max(c, count[0], ir_dim_const(c, 0));
}

bool infer_loop(ir_ctx *c, ir_node *n) {
    ir_region *body = ir_node_find_region(n, "body");
    carried s = {n, body, n->n_in - 2, 2, 2, 1};
    scope inner;
    if (n->n_out < s.count)
        return diag_error(&c->diag, n->loc,
                          "%u outputs, expected %u at least, one for each carried value", n->n_out,
                          s.count);
    if (!check_region(c, n, body, s.count + 2, n->n_out + 1)) return false;
    body->params[0]->type = ir_type_scalar(c, DT_i64);
    body->params[1]->type = ir_type_scalar(c, DT_bool);
    infer_loop_values(c, n, body, 2, s.count);
    if (!infer_carried(c, &s)) return false;
    scope_init(c, &inner, body);
    if (!set_carried(c, &s, &inner)) return false;
    const ir_dim *trips = trip_count(c, n, body);
    for (uint32_t i = s.count; i < n->n_out; i++)
        if (!set_stacked(c, &s, &inner, i, i + 1, 0, false, trips)) return false;
    return true;
}

/* ---- Scan --------------------------------------------------------------------------------------------------------- */

static int64_t list_at(const ir_node *n, const char *attr, uint32_t i) {
    uint32_t count;
    const int64_t *list = ir_attr_ints(n, attr, &count);
    return i < count ? list[i] : 0;
}

/* Rounds that are done at once: `span` or, where that may not divide the length, a symbol for at most so many, "i.n.max12". */
static const ir_dim *span_dim(ir_ctx *c, const ir_region *body, const ir_dim *length,
                              int64_t span) {
    int64_t whole;
    if (ir_dim_is_const(length, &whole) && whole % span == 0) return ir_dim_const(c, span);
    const char *counter = body->params[0]->name;
    counter = tl_arena_printf(&c->arena, "%s.n.max%lld", counter ? counter : "", (long long)span);
    return ir_dim_bounded(c, counter, span);
}

/* Parameters from `first` on are slices of operands: the operand's type without the axis that the attribute `axes` lists, or with
 * `span` of it. *length: the size of that axis. */
static bool infer_slices(ir_ctx *c, ir_node *n, ir_region *body, uint32_t first, const char *axes,
                         int64_t span, const ir_dim **length) {
    for (uint32_t i = first; i < n->n_in; i++) {
        const ir_type *t = infer_in(n, i);
        int32_t axis;
        body->params[i]->type = ir_type_unranked(c, t->dtype);
        if (!ir_type_is_ranked(t)) continue;
        if (!infer_axis(c, n, list_at(n, axes, i - first), t->rank, &axis)) return false;
        if (!infer_expect_dim(c, n, i, axis, *length)) return false;
        if (!ir_dim_is_const(*length, NULL) && !ir_dim_is_unknown(t->dims[axis]))
            *length = t->dims[axis];
        ir_shape s = infer_in_shape(n, i);
        if (span)
            s.dims[axis] = span_dim(c, body, t->dims[axis], span);
        else
            memmove(&s.dims[axis], &s.dims[axis + 1], (size_t)(--s.rank - axis) * sizeof *s.dims);
        body->params[i]->type = ir_type_tensor(c, t->dtype, s.rank, s.dims);
    }
    return true;
}

bool infer_scan(ir_ctx *c, ir_node *n) {
    ir_region *body = ir_node_find_region(n, "body");
    int64_t scanned = ir_attr_int(n, "num_scan_inputs", 0);
    if (scanned < 1 || scanned > n->n_in)
        return diag_error(&c->diag, n->loc, "attribute 'num_scan_inputs' is %lld, expected 1 to %u",
                          (long long)scanned, n->n_in);
    carried s = {n, body, n->n_in - (uint32_t)scanned, 0, 0, 0};
    scope inner;
    const ir_dim *length = ir_dim_unknown(c);
    if (n->n_out < s.count)
        return diag_error(&c->diag, n->loc, "%u outputs, expected %u at least, one for each state",
                          n->n_out, s.count);
    if (!check_region(c, n, body, n->n_in, n->n_out) ||
        !infer_slices(c, n, body, s.count, "scan_input_axes", 0, &length))
        return false;
    if (!infer_carried(c, &s)) return false;
    scope_init(c, &inner, body);
    if (!set_carried(c, &s, &inner)) return false;
    for (uint32_t i = s.count; i < n->n_out; i++)
        if (!set_stacked(c, &s, &inner, i, i, list_at(n, "scan_output_axes", i - s.count), false,
                         length))
            return false;
    return true;
}

/* ---- Recur -------------------------------------------------------------------------------------------------------- */

/* The parameter has the type of the initial value, in every round. */
static bool fix_carried(ir_ctx *c, const carried *s) {
    for (uint32_t i = 0; i < s->count; i++) {
        ir_value *p = s->body->params[s->param + i];
        const ir_type *initial = infer_in(s->n, s->operand + i),
                      *t = ir_type_meet(c, initial, p->type);
        if (!t)
            return infer_error(c, s->n, s->operand + i, "does not fit parameter '%s' of type %s",
                               p->name ? p->name : "", infer_type_text(c, p->type));
        p->type = t;
    }
    return true;
}

static bool carried_fit(ir_ctx *c, const carried *s) {
    for (uint32_t i = 0; i < s->count; i++) {
        const ir_type *yielded = result_type(c, s->n, s->body, s->result + i);
        if (!yielded) return false;
        if (!ir_type_meet(c, s->body->params[s->param + i]->type, yielded))
            return infer_error(c, s->n, s->operand + i, "the body turns it into %s",
                               infer_type_text(c, yielded));
    }
    return true;
}

/* What the trip count says, or else the length of what is sliced. */
static const ir_dim *recur_length(ir_ctx *c, const ir_node *n, const ir_dim *sliced) {
    const ir_dim *count[IR_MAX_KNOWN];
    if (infer_in_dims(c, n, 0, count) != 1 || ir_dim_is_unknown(count[0])) return sliced;
    return ir_dim_max(c, count[0], ir_dim_const(c, 0));
}

/* Sizes of the parameters that name the rounds done at once mean nothing outside. */
static void scope_add_span(scope *s, const ir_node *n, const ir_region *body) {
    for (uint32_t i = 1; i < n->n_in; i++) {
        const ir_type *t = body->params[i]->type;
        for (int32_t k = 0; ir_type_is_ranked(t) && k < t->rank; k++)
            if (ir_dim_is_symbol(t->dims[k]) && !type_mentions(infer_in(n, i), t->dims[k]))
                tl_map_set_ptr(&s->inner, ir_dim_symbol_name(t->dims[k]), t->dims[k]);
    }
}

bool infer_recur(ir_ctx *c, ir_node *n) {
    ir_region *body = ir_node_find_region(n, "body");
    carried s = {n, body, (uint32_t)ir_attr_int(n, "carries", 0), 1, 1, 0};
    int64_t span = ir_attr_int(n, "span", 0);
    const ir_dim *length = ir_dim_unknown(c);
    scope inner;
    body->params[0]->type = ir_type_scalar(c, DT_i64);
    if (!infer_slices(c, n, body, 1 + s.count, "input_axes", span, &length)) return false;
    infer_loop_values(c, n, body, 1, s.count);
    if (!fix_carried(c, &s) || !infer_region(c, body) || !carried_fit(c, &s)) return false;
    scope_init(c, &inner, body);
    scope_add_span(&inner, n, body);
    if (!set_carried(c, &s, &inner)) return false;
    length = recur_length(c, n, length);
    for (uint32_t i = s.count; i < n->n_out; i++)
        if (!set_stacked(c, &s, &inner, i, i, list_at(n, "output_axes", i - s.count), span > 0,
                         length))
            return false;
    return true;
}
