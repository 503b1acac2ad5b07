/* recur_split: what a round of a Recur does without the carried values is done for all rounds at once, before it; and what depends
 * on them but is only collected, behind it. Products of K rows become one product of C*K rows; the serial path gets shorter.
 *
 *   before:  %h, %ys = Recur<carries=1>(%n, %h0, %xs) {                          // xs: f32[C,4,16]
 *              body(%i, %p, %x) {
 *                %q = MatMul(%x, @w)             // not of %p
 *                ... %h1 from %p and %q ...
 *                %y = MatMul(%h1, @v)            // nothing comes back from it
 *                yield %h1, %y}}
 *
 *   after:   %q.all = MatMul(%xs, @w)                                              // f32[C,4,16]
 *            %h, %hs = Recur<carries=1>(%n, %h0, %q.all) {
 *              body(%i, %p, %q) {... yield %h1, %h1}}
 *            %y.all = MatMul(%hs, @v)
 *
 * Only what pays, because values are kept for all rounds where two parts meet: before the loop products, what they need, and what
 * then follows from them; behind it products and what follows, where much is computed from what has to be kept. Every element is
 * computed from the same operands in the same order (recur_widen.h): results keep their bits. The trip count must be known before
 * the run. Linear, but for an inference of the body. */
#include "ir/base/vec.h"
#include "ir/cost.h"
#include "ir/limits.h"
#include "passes/recur_widen.h"
#include "passes/util.h"

enum { WORTH = 32 }; /* operations behind the loop for an element that is kept for them */

typedef struct split {
    pass_ctx *ctx;
    loop_like l;
    widening w;
    uint32_t
        movable; /* mark of nodes that have a rule and operands that come stacked; then of those that move */
} split;

/* ---- what depends on what ------------------------------------------------------------------------------------------ */

/* v->scratch: how a value of the body comes about. */
enum { FIXED, VARIES, CARRIED };

static uint64_t state_of(const split *s, const ir_value *v) {
    bool inside = v && !v->tensor && ir_region_is_inside(ir_value_region(v), s->l.body);
    return inside && ir_value_region(v) == s->l.body ? v->scratch : FIXED;
}

/* The most that any operand is, those read by nested regions included. */
static uint64_t state_of_operands(const split *s, const ir_node *n) {
    uint64_t most = FIXED;
    for (uint32_t i = 0; i < n->n_in; i++) {
        uint64_t state = state_of(s, ir_in(n, i));
        if (state > most) most = state;
    }
    for (uint32_t i = 0; i < n->n_regions; i++) {
        ir_for_each_node (inner, n->regions[i]) {
            uint64_t state = state_of_operands(s, inner);
            if (state > most) most = state;
        }
        uint64_t state = state_of_operands(s, n->regions[i]->yield);
        if (state > most) most = state;
    }
    return most;
}

static void set_state(const split *s, ir_value *v, uint64_t state) {
    v->scratch = state;
    if (state != FIXED) v->mark = s->w.varies;
}

static void classify(const split *s) {
    for (uint32_t i = 0; i < s->l.body->n_params; i++) {
        uint32_t k = i - s->l.first_param;
        bool carried = i >= s->l.first_param && k < s->l.n_carried;
        set_state(s, s->l.body->params[i], carried ? CARRIED : VARIES);
    }
    ir_for_each_node (n, s->l.body) {
        uint64_t state = state_of_operands(s, n);
        n->scratch = state;
        for (uint32_t i = 0; i < n->n_out; i++)
            set_state(s, &n->out[i], state);
    }
}

/* ---- which nodes move before the loop ------------------------------------------------------------------------------- */

static bool is_marked(const split *s, const ir_value *v) {
    return v->def && v->def->parent == s->l.body && v->def->mark == s->movable;
}

/* Made outside, sliced, counted, or made by a node that can move itself. A node that is fixed but has not left cannot be read. */
static bool comes_stacked(const split *s, const ir_value *v) {
    if (!v || v->tensor || !ir_region_is_inside(ir_value_region(v), s->l.body)) return true;
    return is_marked(s, v) || widening_can_get(&s->w, v);
}

static void mark_movable(split *s) {
    s->movable = ir_new_mark(s->ctx->c);
    ir_for_each_node (n, s->l.body) {
        bool fits = n->scratch == VARIES && op_is(n->op, OP_PURE) && widening_has_rule(&s->w, n);
        for (uint32_t i = 0; fits && i < n->n_in; i++)
            fits = comes_stacked(s, ir_in(n, i));
        if (fits) n->mark = s->movable;
    }
}

static bool is_product(const split *s, const ir_node *n) {
    return !ir_dim_is(ir_node_flops(s->ctx->c, n), 0);
}

/* More elements come out than go in. */
static bool grows(const split *s, const ir_node *n) {
    const ir_dim *in = ir_dim_const(s->ctx->c, 0), *out = in;
    for (uint32_t i = 0; i < n->n_in; i++)
        if (ir_in(n, i))
            in = ir_dim_add(s->ctx->c, in, ir_type_elements(s->ctx->c, ir_in(n, i)->type));
    for (uint32_t i = 0; i < n->n_out; i++)
        out = ir_dim_add(s->ctx->c, out, ir_type_elements(s->ctx->c, n->out[i].type));
    return ir_dim_lower_bound(ir_dim_sub(s->ctx->c, in, out)) < 0;
}

/* Follows from what moves: at least one operand is made by a node that does, and the others come stacked as well. */
static bool follows(const split *s, const ir_node *n, uint32_t kept) {
    bool any = false;
    for (uint32_t i = 0; i < n->n_in; i++) {
        const ir_value *v = ir_in(n, i);
        bool moved = v && v->def && v->def->parent == s->l.body && v->def->mark == kept;
        if (v && is_marked(s, v)) return false; /* could, but does not */
        any |= moved;
    }
    return any && !grows(s, n);
}

/* Products, what they are made of, and what follows from that. The others lose their mark. */
static uint32_t choose(split *s) {
    uint32_t kept = ir_new_mark(s->ctx->c), count = 0;
    for (ir_node *n = s->l.body->last; n; n = n->prev) {
        if (n->mark == s->movable && is_product(s, n)) n->mark = kept;
        for (uint32_t i = 0; n->mark == kept && i < n->n_in; i++)
            if (ir_in(n, i) && is_marked(s, ir_in(n, i))) ir_in(n, i)->def->mark = kept;
    }
    ir_for_each_node (n, s->l.body)
        if (n->mark == s->movable && follows(s, n, kept)) n->mark = kept;
    s->movable = kept;
    ir_for_each_node (n, s->l.body)
        count += n->mark == kept;
    return count;
}

/* ---- before the loop -------------------------------------------------------------------------------------------------- */

/* The stacked value v is asked for as stacked output: with its axis in place and in its order. */
static ir_value *as_output(split *s, ir_builder *b, ir_value *v, uint32_t i) {
    int64_t perm[IR_MAX_RANK];
    int32_t rank = v->type->rank,
            axis = normal_axis(recur_list_at(s->l.node, "output_axes", i), rank);
    bool reverse = recur_list_at(s->l.node, "output_reverse", i) != 0;
    if (reverse != s->w.reverse) {
        ir_value *in[] = {v, build_i64s(b, (int64_t[]){-1}, 1),
                          build_i64s(b, (int64_t[]){INT64_MIN}, 1),
                          build_i64s(b, (int64_t[]){0}, 1), build_i64s(b, (int64_t[]){-1}, 1)};
        v = build_node(b, OP_Slice, in, 5, 1, NULL, 0)->out;
    }
    for (int32_t k = 0; k < rank; k++)
        perm[k] = k < axis ? k + 1 : k == axis ? 0 : k;
    return axis ? build_transpose(b, v, perm, (uint32_t)rank) : v;
}

/* Stacked outputs of values that are stacked already. */
static void replace_stacked(split *s, ir_builder *b) {
    for (uint32_t i = 0; i < s->l.n_stacked; i++) {
        ir_value *v = loop_stacked(&s->l, i), *out = &s->l.node->out[s->l.n_carried + i];
        if (is_marked(s, v) && out->uses)
            pass_replace(s->ctx, out, as_output(s, b, widening_get(&s->w, b, v), i));
    }
}

/* What stays in the body reads v as a slice. */
static void read_as_slice(split *s, ir_value *v) {
    bool read = false;
    ir_for_each_use (u, v) {
        const ir_node *n = u->user;
        while (n->parent != s->l.body && n != s->l.body->yield)
            n = n->parent->owner;
        read |= n->mark != s->movable || n == s->l.body->yield;
    }
    if (!read) return;
    ir_value *slice = recur_add_slice(s->ctx, s->l.node, tl_map_get_ptr(&s->w.values, v), 0,
                                      s->w.reverse);
    slice->type = v->type;
    slice->name = v->name;
    v->name = NULL;
    ir_value_replace_uses(v, slice);
    slice->mark = 0;
}

static void drop_moved(split *s) {
    for (ir_node *n = s->l.body->last, *prev; n; n = prev) {
        prev = n->prev;
        if (n->mark == s->movable) ir_node_remove(n);
    }
}

static bool move_before(split *s) {
    ir_builder b = ir_build_before(s->l.node);
    ir_for_each_node (n, s->l.body) {
        if (n->mark != s->movable) continue;
        b.loc = n->loc;
        widening_apply(&s->w, &b, n);
    }
    b.loc = s->l.node->loc;
    replace_stacked(s, &b);
    ir_for_each_node (n, s->l.body)
        for (uint32_t i = 0; n->mark == s->movable && i < n->n_out; i++)
            read_as_slice(s, &n->out[i]);
    drop_moved(s);
    return ir_infer_node(s->ctx->c, s->l.node);
}

/* ---- remarks ------------------------------------------------------------------------------------------------------------ */

static const char *dim_text(split *s, const ir_dim *d) {
    tl_str t;
    tl_str_init(&t, s->ctx->scratch);
    ir_dim_print(d, &t);
    return t.data;
}

static void remark(split *s, const char *where, uint32_t count) {
    const ir_dim *moved = ir_dim_const(s->ctx->c, 0), *all = moved;
    int64_t a, m;
    if (!ctx_explains(s->ctx)) return;
    ir_for_each_node (n, s->l.body) {
        const ir_dim *f = ir_node_flops(s->ctx->c, n);
        all = ir_dim_add(s->ctx->c, all, f);
        if (n->mark == s->movable) moved = ir_dim_add(s->ctx->c, moved, f);
    }
    const char *name = node_name(s->l.node);
    if (ir_dim_is_const(all, &a) && ir_dim_is_const(moved, &m) && a > 0)
        ctx_remark(s->ctx, "%s: %u nodes go %s the loop, %.1f of %.1f kFLOP of a round (%.1f %%)",
                   name, count, where, (double)m * 1e-3, (double)a * 1e-3,
                   100 * (double)m / (double)a);
    else
        ctx_remark(s->ctx, "%s: %u nodes go %s the loop, %s of %s FLOP of a round", name, count,
                   where, dim_text(s, moved), dim_text(s, all));
}

/* ---- behind the loop ---------------------------------------------------------------------------------------------------- */

/* Marks the nodes of the body that the node, or one in its regions, reads. */
static void mark_read(const split *s, const ir_node *reader, uint32_t n_in, uint32_t mark) {
    for (uint32_t i = 0; i < n_in; i++) {
        ir_value *v = ir_in(reader, i);
        if (v && v->def && v->def->parent == s->l.body) v->def->mark = mark;
    }
    for (uint32_t i = 0; i < reader->n_regions; i++) {
        ir_for_each_node (inner, reader->regions[i])
            mark_read(s, inner, inner->n_in, mark);
        mark_read(s, reader->regions[i]->yield, reader->regions[i]->yield->n_in, mark);
    }
}

/* What the next round waits for. */
static uint32_t mark_serial(split *s) {
    uint32_t serial = ir_new_mark(s->ctx->c);
    mark_read(s, s->l.body->yield, s->l.n_carried, serial);
    for (const ir_node *n = s->l.body->last; n; n = n->prev)
        if (n->mark == serial) mark_read(s, n, n->n_in, serial);
    return serial;
}

static bool is_carry_update(const split *s, const ir_use *u) {
    return u->user == s->l.body->yield && (uint32_t)(u - u->user->in) < s->l.n_carried;
}

/* Whoever reads a result moves too, or collects it. */
static bool readers_move(const split *s, const ir_node *n) {
    for (uint32_t i = 0; i < n->n_out; i++)
        ir_for_each_use (u, &n->out[i]) {
            if (is_carry_update(s, u)) return false;
            if (u->user != s->l.body->yield && u->user->mark != s->movable) return false;
        }
    return true;
}

/* Made outside, or a value of each round that can be kept: its sizes are known before the run. */
static bool can_be_kept(const split *s, const ir_value *v) {
    if (!v || v->tensor || !ir_region_is_inside(ir_value_region(v), s->l.body)) return true;
    if (state_of(s, v) == FIXED) return false;
    return widening_can_get(&s->w, v) || type_is_computable(s->l.body->graph, v->type);
}

/* Has to be kept where n moves: made by a node that does not. */
static bool is_kept(const split *s, const ir_value *v) {
    return v && state_of(s, v) != FIXED && !is_marked(s, v) && !widening_can_get(&s->w, v);
}

/* At least as many elements come out as have to be kept. */
static bool shrinks(const split *s, const ir_node *n) {
    const ir_dim *left = ir_dim_const(s->ctx->c, 0);
    for (uint32_t i = 0; i < n->n_out; i++)
        left = ir_dim_add(s->ctx->c, left, ir_type_elements(s->ctx->c, n->out[i].type));
    for (uint32_t i = 0; i < n->n_in; i++)
        if (is_kept(s, ir_in(n, i)))
            left = ir_dim_sub(s->ctx->c, left, ir_type_elements(s->ctx->c, ir_in(n, i)->type));
    return ir_dim_lower_bound(left) >= 0;
}

/* From the end: nodes that only collected values need. */
static uint32_t choose_after(split *s, uint32_t serial) {
    uint32_t count = 0;
    s->movable = ir_new_mark(s->ctx->c);
    for (ir_node *n = s->l.body->last; n; n = n->prev) {
        bool fits = n->mark != serial && op_is(n->op, OP_PURE) && n->scratch != FIXED &&
                    widening_has_rule(&s->w, n) && readers_move(s, n);
        for (uint32_t i = 0; fits && i < n->n_in; i++)
            fits = can_be_kept(s, ir_in(n, i));
        if (!fits) continue;
        n->mark = s->movable;
        count++;
    }
    return count;
}

/* Nodes that start what moves but are no products stay, if more would be kept for them than for what they make. */
static uint32_t trim_after(split *s, uint32_t count) {
    ir_for_each_node (n, s->l.body) {
        if (n->mark != s->movable || is_product(s, n)) continue;
        bool first = true;
        for (uint32_t i = 0; i < n->n_in; i++)
            first &= !ir_in(n, i) || !is_marked(s, ir_in(n, i));
        if (!first || shrinks(s, n)) continue;
        n->mark = 0;
        count--;
    }
    return count;
}

/* Values that the nodes that move read and that stay in the body, each once. */
typedef struct kept_values {
    ir_value **v;
    uint32_t n;
} kept_values;

static kept_values gather_kept(split *s) {
    TL_VEC(ir_value *) list = {0};
    tl_map seen;
    bool added;
    tl_map_init(&seen, s->ctx->scratch);
    ir_for_each_node (n, s->l.body)
        for (uint32_t i = 0; n->mark == s->movable && i < n->n_in; i++) {
            ir_value *v = ir_in(n, i);
            if (!is_kept(s, v)) continue;
            tl_map_insert(&seen, (uint64_t)(uintptr_t)v, &added);
            if (added) tl_vec_push(s->ctx->scratch, &list, v);
        }
    return (kept_values){list.data, (uint32_t)list.len};
}

static bool pays(split *s, const kept_values *k) {
    ir_ctx *c = s->ctx->c;
    const ir_dim *left = ir_dim_const(c, 0), *worth = ir_dim_const(c, WORTH);
    bool any = false;
    ir_for_each_node (n, s->l.body) {
        if (n->mark != s->movable) continue;
        any |= is_product(s, n);
        left = ir_dim_add(c, left, ir_node_flops(c, n));
    }
    for (uint32_t i = 0; i < k->n; i++)
        left = ir_dim_sub(c, left, ir_dim_mul(c, worth, ir_type_elements(c, k->v[i]->type)));
    return any && ir_dim_lower_bound(left) >= 0;
}

/* A stacked output for each. */
static bool keep_values(split *s, const kept_values *k) {
    ir_node *recur = s->l.node;
    uint32_t first = recur->n_out;
    for (uint32_t i = 0; i < k->n; i++)
        recur_add_stacked(s->ctx, recur, k->v[i], 0, s->w.reverse);
    for (uint32_t i = 0; i < k->n; i++)
        recur->out[first + i].name = ir_name_derive(s->ctx->m, k->v[i], "all");
    if (!ir_infer_node(s->ctx->c, recur)) return false;
    for (uint32_t i = 0; i < k->n; i++)
        tl_map_set_ptr(&s->w.values, k->v[i], &recur->out[first + i]);
    return loop_like_get(recur, &s->l);
}

static bool move_after(split *s, const kept_values *kept) {
    if (!keep_values(s, kept)) return false;
    ir_node *recur = s->l.node;
    ir_builder b = ir_build_after(recur);
    bool *keep = TL_NEW_ARRAY(s->ctx->scratch, bool, recur->n_out);
    ir_for_each_node (n, s->l.body) {
        if (n->mark != s->movable) continue;
        b.loc = n->loc;
        widening_apply(&s->w, &b, n);
    }
    for (uint32_t i = 0; i < recur->n_out; i++) {
        ir_value *v = ir_region_result(s->l.body, i);
        keep[i] = i < s->l.n_carried || !is_marked(s, v);
        if (keep[i]) continue;
        uint32_t k = i - s->l.n_carried;
        if (recur->out[i].uses)
            pass_replace(s->ctx, &recur->out[i], as_output(s, &b, widening_get(&s->w, &b, v), k));
        ir_node_set_operand(s->l.body->yield, i, NULL);
    }
    drop_moved(s);
    return ir_infer_node(s->ctx->c, loop_like_shrink(s->ctx, &s->l, keep));
}

static pass_result split_after(pass_ctx *ctx, ir_node *n) {
    split s = {.ctx = ctx};
    if (!loop_like_get(n, &s.l) || !s.l.n_stacked) return PASS_SAME;
    widening_init(&s.w, ctx, &s.l);
    classify(&s);
    uint32_t count = trim_after(&s, choose_after(&s, mark_serial(&s)));
    kept_values kept = gather_kept(&s);
    if (!count || !pays(&s, &kept) || !ctx_take(ctx, "after")) return PASS_SAME;
    remark(&s, "behind", count);
    return move_after(&s, &kept) ? PASS_CHANGED : PASS_FAILED;
}

/* ------------------------------------------------------------------------------------------------------------------------- */

static pass_result split_before(pass_ctx *ctx, ir_node *n) {
    split s = {.ctx = ctx};
    if (!loop_like_get(n, &s.l)) return PASS_SAME;
    widening_init(&s.w, ctx, &s.l);
    classify(&s);
    mark_movable(&s);
    uint32_t count = choose(&s);
    if (!count || !ctx_take(ctx, "before")) return PASS_SAME;
    remark(&s, "before", count);
    return move_before(&s) ? PASS_CHANGED : PASS_FAILED;
}

static pass_result visit(pass_ctx *ctx, ir_node *n) {
    if (n->op != OP_Recur) return PASS_SAME;
    const ir_dim *trips = recur_trips(ctx->c, n);
    if (!trips || !dims_are_computable(n->parent->graph, &trips, 1)) {
        ctx_remark(ctx, "%s stays whole: its number of rounds is data", node_name(n));
        return PASS_SAME;
    }
    pass_result before = split_before(ctx, n), after = PASS_SAME;
    if (before != PASS_FAILED) after = split_after(ctx, n);
    return after == PASS_SAME ? before : after;
}

pass_result pass_recur_split(pass_ctx *ctx, ir_graph *g) {
    return pass_each_node(ctx, g, visit);
}
