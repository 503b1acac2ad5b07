/* The Recur of a plan. See reroll.h.
 *
 * The body is made of the first step's nodes. Results are read by others as
 *   the last value of a carry         where only the last step's is read
 *   a stacked output, reshaped        where a Concat puts all of them side by side
 *   elements of a stacked output      else
 *
 * Nodes outside that depend on the steps and stand between them move behind the Recur. */
#include "ir/base/assert.h"
#include "ir/limits.h"
#include "passes/reroll.h"
#include "passes/util.h"

/* Somebody outside reads result `result` of the orbit. */
typedef struct output {
    const reroll_orbit *orbit;
    uint32_t result;
    ir_node *concat; /* that reads all steps' side by side, from operand `at` on; else NULL */
    uint32_t at;
    bool last; /* only the last step's value is read: of carry `index` */
    bool reverse;
    int64_t axis;
    uint32_t index; /* among the carries or the stacked outputs */
} output;

typedef struct build {
    const reroll_plan *p;
    ir_module *m;
    ir_builder b; /* in front of the last node of the steps */
    ir_node *at;
    ir_node *recur;
    ir_region *body;
    ir_value **params; /* of carries, then of inputs */
    ir_node **copies;  /* by orbit */
    TL_VEC(output) outputs;
    TL_VEC(reroll_carry) carries; /* the plan's, and those that only keep the last value */
    uint32_t n_stacked;
} build;

/* ---- who reads results ------------------------------------------------------------------------------------------ */

static bool is_inside_use(const build *s, const ir_use *u) {
    return reroll_orbit_of(s->p, u->user) != NULL;
}

static ir_value *value_of_step(const build *s, const reroll_orbit *x, uint32_t result,
                               uint32_t step) {
    ir_node *n = reroll_member(s->p, x, step);
    return n ? &n->out[result] : NULL;
}

/* Operands at, at + 1, ... (or at, at - 1, ...) of the concatenation are the steps' results. */
static bool reads_all(const build *s, const reroll_orbit *x, uint32_t result, const ir_node *n,
                      uint32_t at, bool reverse) {
    uint32_t rounds = reroll_rounds(s->p);
    for (uint32_t i = 0; i < rounds; i++) {
        const ir_value *v = value_of_step(s, x, result, s->p->first + i);
        if (reverse && i > at) return false;
        uint32_t k = reverse ? at - i : at + i;
        if (!v || k >= n->n_in || n->in[k].value != v) return false;
    }
    return true;
}

static void find_concats(build *s, const reroll_orbit *x, uint32_t result) {
    const ir_value *v = value_of_step(s, x, result, s->p->first);
    ir_for_each_use (u, v) {
        ir_node *n = u->user;
        if (n->op != OP_Concat || is_inside_use(s, u)) continue;
        uint32_t at = (uint32_t)(u - n->in);
        bool reverse = !reads_all(s, x, result, n, at, false);
        if (reverse && !reads_all(s, x, result, n, at, true)) continue;
        int32_t axis = normal_axis(ir_attr_int(n, "axis", 0), v->type->rank);
        if (axis < 0 || !type_is_computable(n->parent->graph, n->out[0].type)) continue;
        output o = {x,     result,  n,    reverse ? at - reroll_rounds(s->p) + 1 : at,
                    false, reverse, axis, s->n_stacked++};
        tl_vec_push(s->p->s->ctx->scratch, &s->outputs, o);
    }
}

static bool is_found(const build *s, const ir_use *u) {
    for (uint32_t i = 0; i < s->outputs.len; i++) {
        const output *o = &s->outputs.data[i];
        uint32_t k = (uint32_t)(u - u->user->in);
        if (o->concat == u->user && k >= o->at && k < o->at + reroll_rounds(s->p)) return true;
    }
    return false;
}

static bool is_read_outside(const build *s, const ir_value *v) {
    ir_for_each_use (u, v)
        if (!is_inside_use(s, u) && !is_found(s, u)) return true;
    return false;
}

/* The carry whose last value this is. */
static bool find_carry(const build *s, const reroll_orbit *x, uint32_t result, uint32_t *index) {
    for (*index = 0; *index < s->carries.len; ++*index) {
        const reroll_carry *c = &s->carries.data[*index];
        if (&s->p->orbits[c->orbit] == x && c->result == result) return true;
    }
    return false;
}

/* The same, or a new one: it starts with zeros, which nobody reads. */
static bool find_or_add_carry(build *s, const reroll_orbit *x, uint32_t result, uint32_t *index) {
    const ir_type *t = value_of_step(s, x, result, s->p->first)->type;
    if (find_carry(s, x, result, index)) return true;
    if (!ir_type_is_static(t) || t->dtype == DT_str) return false;
    ir_tensor *zeros = ir_tensor_alloc(s->m->arena, t);
    ir_tensor_seal(zeros);
    reroll_carry c = {(uint32_t)(x - s->p->orbits), result, ir_module_const(s->m, zeros, NULL)};
    tl_vec_push(s->p->s->ctx->scratch, &s->carries, c);
    return true;
}

static void find_other_readers(build *s, const reroll_orbit *x, uint32_t result) {
    const reroll_plan *p = s->p;
    output last = {.orbit = x, .result = result, .last = true},
           elements = {.orbit = x, .result = result};
    bool earlier = false;
    for (uint32_t step = p->first; step < p->last; step++) {
        const ir_value *v = value_of_step(s, x, result, step);
        earlier |= v && is_read_outside(s, v);
    }
    const ir_value *v = value_of_step(s, x, result, p->last);
    bool read = v && is_read_outside(s, v);
    bool carried = read && (earlier ? find_carry(s, x, result, &last.index)
                                    : find_or_add_carry(s, x, result, &last.index));
    if (carried) tl_vec_push(p->s->ctx->scratch, &s->outputs, last);
    if (!earlier && (carried || !read)) return;
    elements.index = s->n_stacked++;
    tl_vec_push(p->s->ctx->scratch, &s->outputs, elements);
}

static void find_outputs(build *s) {
    for (uint32_t i = 0; i < s->p->n_orbits; i++) {
        const reroll_orbit *x = &s->p->orbits[i];
        uint32_t results = x->inside ? s->p->s->nodes[x->members[0]].node->n_out : 0;
        for (uint32_t k = 0; k < results; k++) {
            find_concats(s, x, k);
            find_other_readers(s, x, k);
        }
    }
}

/* ---- the body ---------------------------------------------------------------------------------------------------- */

static ir_value *map_operand(const build *s, const reroll_operand *o) {
    switch (o->source) {
    case REROLL_SAME:
        return o->value;
    case REROLL_STEP:
        return &s->copies[o->orbit]->out[o->result];
    case REROLL_CARRIED:
        return s->params[o->index];
    case REROLL_SLICED:
        return s->params[s->carries.len + o->index];
    default:
        return NULL;
    }
}

static void copy_orbit(build *s, uint32_t orbit, const ir_node *n) {
    const reroll_orbit *x = &s->p->orbits[orbit];
    ir_value **in = TL_NEW_ARRAY(s->p->s->ctx->scratch, ir_value *, n->n_in);
    for (uint32_t i = 0; i < n->n_in; i++)
        in[i] = map_operand(s, &x->in[i]);
    ir_node *copy = ir_node_clone(s->m, n, in);
    for (uint32_t i = 0; i < copy->n_out; i++)
        copy->out[i].known = NULL; /* was the first step's */
    ir_node_append(s->body, copy);
    s->copies[orbit] = copy;
}

static void fill_body(build *s) {
    const reroll_plan *p = s->p;
    s->copies = TL_NEW_ARRAY(p->s->ctx->scratch, ir_node *, p->n_orbits);
    for (uint32_t i = 0; i < p->s->n; i++) {
        const reroll_node *r = &p->s->nodes[i];
        const reroll_orbit *x = reroll_orbit_of(p, r->node);
        if (x && x->offset + r->rank == p->first) copy_orbit(s, r->orbit, r->node);
    }
}

static void set_results(build *s) {
    uint32_t n = s->carries.len + s->n_stacked;
    ir_value **v = TL_NEW_ARRAY(s->p->s->ctx->scratch, ir_value *, n);
    for (uint32_t i = 0; i < s->carries.len; i++)
        v[i] = &s->copies[s->carries.data[i].orbit]->out[s->carries.data[i].result];
    for (uint32_t i = 0; i < s->outputs.len; i++) {
        const output *o = &s->outputs.data[i];
        uint32_t orbit = (uint32_t)(o->orbit - s->p->orbits);
        if (!o->last) v[s->carries.len + o->index] = &s->copies[orbit]->out[o->result];
    }
    ir_region_set_results(s->body, v, n);
}

/* ---- the node ---------------------------------------------------------------------------------------------------- */

static void add_params(build *s) {
    const reroll_plan *p = s->p;
    uint32_t n = 0;
    s->params = TL_NEW_ARRAY(p->s->ctx->scratch, ir_value *, s->carries.len + p->inputs.len);
    ir_region_add_param(s->body, ir_type_scalar(s->m->ctx, DT_i64), ir_name(s->m->ctx, "step"));
    for (uint32_t i = 0; i < s->carries.len; i++) {
        const reroll_carry *c = &s->carries.data[i];
        const ir_value *v = value_of_step(s, &p->orbits[c->orbit], c->result, p->first);
        s->params[n++] = ir_region_add_param(s->body, v->type, ir_name_derive(s->m, v, "before"));
    }
    for (uint32_t i = 0; i < p->inputs.len; i++) {
        const ir_value *v = p->inputs.data[i].values[0];
        s->params[n++] = ir_region_add_param(s->body, v->type, ir_name_derive(s->m, v, "step"));
    }
}

static void set_list(build *s, const char *name, const int64_t *list, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        if (!list[i]) continue;
        ir_attr_set_ints(s->m, s->recur, name, list, n);
        return;
    }
}

static void set_output_lists(build *s) {
    int64_t *axes = TL_NEW_ARRAY(s->p->s->ctx->scratch, int64_t, s->n_stacked),
            *reverse = TL_NEW_ARRAY(s->p->s->ctx->scratch, int64_t, s->n_stacked);
    for (uint32_t i = 0; i < s->outputs.len; i++) {
        const output *o = &s->outputs.data[i];
        if (o->last) continue;
        axes[o->index] = o->axis;
        reverse[o->index] = o->reverse;
    }
    set_list(s, "output_axes", axes, s->n_stacked);
    set_list(s, "output_reverse", reverse, s->n_stacked);
}

/* Operands: the number of rounds, initial values, inputs. */
static void create_recur(build *s) {
    const reroll_plan *p = s->p;
    tl_arena *a = p->s->ctx->scratch;
    uint32_t n = 0, n_inputs = p->inputs.len;
    ir_value **in = TL_NEW_ARRAY(a, ir_value *, 1 + s->carries.len + n_inputs);
    int64_t *axes = TL_NEW_ARRAY(a, int64_t, n_inputs),
            *reverse = TL_NEW_ARRAY(a, int64_t, n_inputs);
    in[n++] = build_dim_scalar(&s->b, ir_dim_const(s->m->ctx, reroll_rounds(p)));
    for (uint32_t i = 0; i < s->carries.len; i++)
        in[n++] = s->carries.data[i].initial;
    for (uint32_t i = 0; i < n_inputs; i++) {
        reroll_slices slices = reroll_slice(&s->b, p, &p->inputs.data[i]);
        ctx_remark(p->s->ctx, "  input %u: %s", i, slices.how);
        in[n++] = slices.value;
        axes[i] = slices.axis;
        reverse[i] = slices.reverse;
    }
    s->recur = ir_node_create(s->m, OP_Recur, in, n, s->carries.len + s->n_stacked);
    s->recur->loc = s->at->loc;
    ir_attr_set_int(s->m, s->recur, "carries", s->carries.len);
    set_list(s, "input_axes", axes, n_inputs);
    set_list(s, "input_reverse", reverse, n_inputs);
    set_output_lists(s);
    s->body = ir_node_add_region(s->m, s->recur, "body");
}

/* ---- its results ------------------------------------------------------------------------------------------------- */

static void move_dependents(build *s) {
    const reroll *r = s->p->s;
    for (uint32_t i = 0; i < (uint32_t)s->at->scratch; i++)
        if (s->p->depends[i]) ir_node_move_before(s->at, r->nodes[i].node);
}

/* The stacked values side by side, as the concatenation has them. */
static ir_value *side_by_side(ir_builder *b, const output *o, ir_value *stacked) {
    const ir_dim *dims[IR_MAX_RANK];
    const ir_type *t = stacked->type;
    int32_t rank = 0;
    for (int32_t i = 0; i < t->rank; i++) {
        bool merged = i == o->axis;
        dims[rank++] = merged ? ir_dim_mul(b->m->ctx, t->dims[i], t->dims[i + 1]) : t->dims[i];
        i += merged;
    }
    return build_reshape(b, stacked, dims, (uint32_t)rank);
}

/* Where the run of operands starts now: other runs of the same node may have shrunk already. */
static uint32_t find_run(const build *s, const output *o) {
    uint32_t k = 0;
    while (!reads_all(s, o->orbit, o->result, o->concat,
                      o->reverse ? k + reroll_rounds(s->p) - 1 : k, o->reverse))
        k++;
    return k;
}

static void replace_concat(build *s, ir_builder *b, const output *o, ir_value *stacked) {
    ir_node *n = o->concat;
    uint32_t rounds = reroll_rounds(s->p), at = find_run(s, o), left = 0;
    ir_value *v = side_by_side(b, o, stacked);
    ir_value **in = TL_NEW_ARRAY(s->p->s->ctx->scratch, ir_value *, n->n_in);
    for (uint32_t i = 0; i < n->n_in; i++)
        if (i <= at || i >= at + rounds) in[left++] = i == at ? v : n->in[i].value;
    if (left > 1) {
        for (uint32_t i = 0; i < left; i++)
            ir_node_set_operand(n, i, in[i]);
        ir_node_drop_operands_from(n, left);
        return;
    }
    pass_replace(s->p->s->ctx, &n->out[0], v);
    ir_node_remove(n);
}

static bool is_still_read(const build *s, const ir_value *v) {
    ir_for_each_use (u, v)
        if (!is_inside_use(s, u)) return true;
    return false;
}

static void replace_elements(build *s, ir_builder *b, const output *o, ir_value *stacked) {
    const reroll_plan *p = s->p;
    for (uint32_t step = p->first; step <= p->last; step++) {
        ir_value *v = value_of_step(s, o->orbit, o->result, step);
        if (!v || !is_still_read(s, v)) continue;
        ir_value *index = build_dim_scalar(b, ir_dim_const(s->m->ctx, step - p->first));
        pass_replace(p->s->ctx, v, build_op2(b, OP_Gather, stacked, index));
    }
}

static void replace_outputs(build *s) {
    ir_builder b = ir_build_after(s->recur);
    for (uint32_t i = 0; i < s->outputs.len; i++) {
        const output *o = &s->outputs.data[i];
        ir_value *v = &s->recur->out[o->last ? o->index : s->carries.len + o->index];
        if (o->last)
            pass_replace(s->p->s->ctx, value_of_step(s, o->orbit, o->result, s->p->last), v);
        else if (o->concat)
            replace_concat(s, &b, o, v);
        else
            replace_elements(s, &b, o, v);
    }
}

static void remove_steps(build *s) {
    const reroll *r = s->p->s;
    for (uint32_t i = r->n; i-- > 0;)
        if (reroll_orbit_of(s->p, r->nodes[i].node)) ir_node_remove(r->nodes[i].node);
}

static ir_node *last_of_steps(const reroll_plan *p) {
    for (uint32_t i = p->s->n; i-- > 0;)
        if (reroll_orbit_of(p, p->s->nodes[i].node)) return p->s->nodes[i].node;
    TL_UNREACHABLE();
}

void reroll_build(const reroll_plan *p) {
    build s = {.p = p, .m = p->s->ctx->m, .at = last_of_steps(p)};
    s.b = ir_build_before(s.at);
    for (uint32_t i = 0; i < p->carries.len; i++)
        tl_vec_push(p->s->ctx->scratch, &s.carries, p->carries.data[i]);
    find_outputs(&s);
    create_recur(&s);
    add_params(&s);
    fill_body(&s);
    set_results(&s);
    ir_node_insert_before(s.at, s.recur);
    bool inferred = ir_infer_node(p->s->ctx->c, s.recur);
    TL_ASSERT(inferred);
    move_dependents(&s);
    replace_outputs(&s);
    remove_steps(&s);
}
