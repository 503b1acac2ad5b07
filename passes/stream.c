/* stream: a model over a whole sequence becomes a step function (--stream INPUT:AXIS:CHUNK).
 *
 *   before:  graph g(f32[1,16,8] %x) => (f32[1,16,8] y) {
 *              %xs = Transpose(%x) ...
 *              %h, %ys = Recur<carries=1>(@16, @h0, %xs) { body(%i, %m, %xi) {... yield %m1, %yi} }
 *   after:   graph g(f32[1,4,8] %x along 1, state f32[8] %m = @h0) => (f32[1,4,8] y along 1, state f32[8] m) {
 *              %xs = Transpose(%x) ...
 *              %h, %ys = Recur<carries=1>(@4, %m, %xs) { ... }
 *
 * One walk over the nodes, in order. What an operator does is in its rule: where the streamed axis of its operands is found in its results,
 * which of its operands have to be cut to this step's positions, which state it needs. The node stays; its operands, attributes and types
 * change. A recurrence begins where it ended in the step before, positions count on, a convolution keeps the end of its input. What needs a
 * position that has not come yet is refused, with the node.
 *
 * An output is the next part of a sequence too, or what the sequence so far gives: a state that is read at the end is an output of every
 * step. Symbolic lengths become the chunk's everywhere; what is computed from the length, other than shapes, is refused. Linear. */
#include "passes/stream.h"

#include "ir/text.h"
#include "passes/util.h"

#include <stdarg.h>

/* ---- values --------------------------------------------------------------------------------------------------- */

const stream_value *stream_get(const streamer *s, const ir_value *v) {
    static const stream_value fixed = {.kind = STREAM_FIXED};
    if (!v || v->mark != s->mark) return &fixed;
    return (const stream_value *)(uintptr_t)v->scratch;
}

void stream_set(streamer *s, ir_value *v, stream_value info) {
    stream_value *copy = TL_NEW(s->ctx->scratch, stream_value);
    *copy = info;
    v->mark = s->mark;
    v->scratch = (uint64_t)(uintptr_t)copy;
}

const ir_type *stream_whole(const streamer *s, const ir_value *v) {
    const stream_value *info = stream_get(s, v);
    return info->whole ? info->whole : v->type;
}

static const char *describe_node(const streamer *s, const ir_node *n) {
    if (!n->loc || !n->loc->node) return op_get(n->op)->name;
    return tl_arena_printf(s->ctx->scratch, "node '%s' (%s)", n->loc->node, op_get(n->op)->name);
}

bool stream_refuse(streamer *s, const ir_node *n, const char *format, ...) {
    tl_str text;
    va_list args;
    tl_str_init(&text, s->ctx->scratch);
    va_start(args, format);
    tl_str_vprintf(&text, format, args);
    va_end(args);
    if (s->tail) {
        s->reason = tl_arena_printf(s->ctx->m->arena, "%s: %s", describe_node(s, n), text.data);
        return false;
    }
    bool named = n->loc && n->loc->op;
    return diag_error(&s->ctx->c->diag, n->loc, "%s%scannot be streamed along '%s': %s",
                      named ? "" : op_get(n->op)->name, named ? "" : " ", s->input, text.data);
}

void stream_follow(streamer *s, ir_node *n, uint32_t out, const stream_value *from, int32_t axis) {
    stream_set(s, &n->out[out],
               (stream_value){.kind = STREAM_PART,
                              .axis = axis,
                              .step = from->step,
                              .outer = from->outer,
                              .lead = from->lead,
                              .tail = from->tail,
                              .pad = from->pad,
                              .whole = n->out[out].type});
}

bool stream_retype(streamer *s, ir_node *n) {
    for (uint32_t i = 0; i < n->n_out; i++) {
        n->out[i].type = NULL;
        n->out[i].known = NULL;
    }
    return ir_node_verify(s->ctx->c, n) && ir_infer_node(s->ctx->c, n);
}

/* ---- states --------------------------------------------------------------------------------------------------- */

static bool is_taken(const ir_graph *g, const char *name) {
    for (uint32_t i = 0; i < g->body->n_params; i++)
        if (!strcmp(g->body->params[i]->name, name)) return true;
    for (uint32_t i = 0; i < ir_region_n_results(g->body); i++)
        if (!strcmp(g->outputs[i], name)) return true;
    return false;
}

static const char *free_name(const streamer *s, const char *name) {
    const char *free = name;
    for (unsigned i = 1; is_taken(s->g, free); i++)
        free = tl_arena_printf(s->ctx->scratch, "%s.%u", name, i);
    return free;
}

void stream_set_next(streamer *s, uint32_t state, ir_value *v) {
    if (!s->tail) ir_graph_set_next(s->g, state, v);
}

/* The state of the graph that is being made; *index is its number there. n: the node that needs it, or NULL. */
static ir_value *add_state(streamer *s, const ir_node *n, const char *what, const ir_type *type,
                           ir_value *initial, uint32_t *index) {
    const char *name = NULL;
    *index = s->g->n_states;
    if (s->tail) {
        stream_origin *o = stream_find_origin(s, n, what, type);
        if (!o) return NULL;
        o->taken = true;
        name = ir_graph_state(s->of, o->state)->name;
        initial = ir_graph_initial(s->of, o->state);
    } else {
        name = free_name(s, what);
        tl_vec_push(s->ctx->scratch, &s->origins,
                    (stream_origin){.loc = n ? n->loc : NULL, .what = what, .state = *index});
    }
    return ir_graph_add_state(s->g, type, name, initial);
}

static ir_value *make_position(streamer *s) {
    if (s->position) return s->position;
    uint32_t state;
    ir_builder b = ir_build_at_start(s->g->body, NULL);
    const ir_type *scalar = ir_type_scalar(s->ctx->c, DT_i64);
    s->position = add_state(s, NULL, "position", scalar, build_scalar(&b, DT_i64, 0), &state);
    if (!s->position) return s->position = build_scalar(&b, DT_i64, 0); /* has been refused */
    ir_value *next = build_op2(&b, OP_Add, s->position, build_scalar(&b, DT_i64, (double)s->chunk));
    stream_set_next(s, state, next);
    return s->position;
}

static int64_t gcd(int64_t a, int64_t b) {
    return b ? gcd(b, a % b) : a;
}

/* position / chunk * step; the position is a multiple of the chunk. */
ir_value *stream_base(streamer *s, ir_builder *b, int64_t step) {
    int64_t common = gcd(s->chunk, step), divide = s->chunk / common, times = step / common;
    ir_value *base = make_position(s);
    if (divide > 1) base = build_op2(b, OP_Div, base, build_scalar(b, DT_i64, (double)divide));
    if (times > 1) base = build_op2(b, OP_Mul, base, build_scalar(b, DT_i64, (double)times));
    return base;
}

const ir_dim *stream_count(streamer *s, const stream_value *v) {
    ir_ctx *c = s->ctx->c;
    if (!s->tail) return ir_dim_const(c, v->step);
    const ir_dim *count = ir_dim_div_exact(c, v->whole->dims[v->axis], ir_dim_const(c, v->outer));
    return count ? count : ir_dim_unknown(c);
}

/* 0, 1, ... count-1 */
ir_value *stream_counted(streamer *s, ir_builder *b, const ir_dim *count) {
    int64_t n;
    if (!ir_dim_is_const(count, &n)) return build_range(b, count);
    int64_t *numbers = TL_NEW_ARRAY(s->ctx->scratch, int64_t, n);
    for (int64_t i = 0; i < n; i++)
        numbers[i] = i;
    return build_i64s(b, numbers, (uint32_t)n);
}

ir_value *stream_take(streamer *s, ir_builder *b, ir_value *v, int32_t axis, int64_t step,
                      const ir_dim *count) {
    ir_value *index = stream_counted(s, b, count);
    index = build_op2(b, OP_Add, index, stream_base(s, b, step));
    return build_op2_int(b, OP_Gather, v, index, "axis", axis);
}

/* The state, or in the first step what it is to begin with. */
static ir_value *choose_initial(streamer *s, ir_node *n, ir_value *state, ir_value *initial) {
    ir_builder b = ir_build_before(n);
    ir_value *position = make_position(s);
    ir_value *first = build_op2(&b, OP_Equal, position, build_scalar(&b, DT_i64, 0));
    return build_op3(&b, OP_Where, first, initial, state);
}

static bool is_constant_for(const ir_value *initial, const ir_type *type) {
    if (!ir_value_is_const(initial) || initial->tensor->opaque) return false;
    return initial->type->dtype == type->dtype && initial->type->rank <= type->rank;
}

ir_value *stream_state(streamer *s, ir_node *n, const char *what, ir_value *initial,
                       const ir_type *type, uint32_t *index) {
    ir_module *m = s->ctx->m;
    ir_builder b = ir_build_before(n);
    bool constant = is_constant_for(initial, type);
    if (!constant) make_position(s);
    ir_value *zero = constant ? initial : build_scalar(&b, type->dtype, 0);
    ir_value *state = add_state(s, n, ir_name(m->ctx, what), type, zero, index);
    if (!state) return initial; /* has been refused */
    return constant ? state : choose_initial(s, n, state, initial);
}

/* ---- the length of the sequence ------------------------------------------------------------------------------- */

/* The symbol in a length, and its value in a step: of 8*time.steps the steps, 1; of time itself 8. */
static const ir_dim *replace_length(void *data, const char *symbol) {
    const streamer *s = data;
    if (symbol == s->g->steps) return ir_dim_const(s->ctx->c, 1);
    bool own = ir_dim_is_symbol(s->length) && symbol == ir_dim_symbol_name(s->length);
    return own ? ir_dim_const(s->ctx->c, s->chunk) : NULL;
}

static const ir_dim *of_step(streamer *s, const ir_dim *d) {
    return ir_dim_is_unknown(d) ? d : ir_dim_substitute(s->ctx->c, d, replace_length, s);
}

bool stream_has_length(streamer *s, const ir_dim *d) {
    int64_t by;
    if (s->tail) return !stream_tail_moves(s, d, &by) || by;
    return !ir_dim_is_unknown(d) && !ir_dim_equal(d, of_step(s, d));
}

int64_t stream_step_of(streamer *s, const ir_dim *d) {
    int64_t n;
    if (s->tail) return stream_tail_moves(s, d, &n) ? n : -1;
    return ir_dim_is_const(of_step(s, d), &n) ? n : -1;
}

/* Dims: the same expressions of the chunk's length. */
static bool visit_dims(streamer *s, ir_node *n) {
    const ir_attr *value = ir_attr_find(n, "dims");
    bool length = false;
    if (!value || value->kind != ATTR_DIMS) return true;
    if (s->tail) {
        stream_tail_lengths(s, n);
        return true;
    }
    const ir_dim **dims = TL_NEW_ARRAY(s->ctx->m->arena, const ir_dim *, value->n);
    for (uint32_t i = 0; i < value->n; i++) {
        dims[i] = of_step(s, value->v.dims[i]);
        length |= stream_has_length(s, value->v.dims[i]);
    }
    if (!length) return true;
    ir_attr_set_dims(s->ctx->m, n, "dims", dims, value->n);
    stream_set(s, &n->out[0], (stream_value){.kind = STREAM_LENGTH, .whole = n->out[0].type});
    return stream_retype(s, n);
}

/* ---- the walk ------------------------------------------------------------------------------------------------- */

typedef struct operand_kinds {
    bool part, final, length;
} operand_kinds;

static void add_kinds(streamer *s, const ir_node *n, operand_kinds *k) {
    for (uint32_t i = 0; i < n->n_in; i++) {
        stream_kind kind = stream_get(s, n->in[i].value)->kind;
        k->part |= kind == STREAM_PART;
        k->final |= kind == STREAM_FINAL;
        k->length |= kind == STREAM_LENGTH;
    }
}

/* What the regions of n read from outside. */
static void add_captured(streamer *s, const ir_node *n, operand_kinds *k) {
    for (uint32_t i = 0; i < n->n_regions; i++) {
        ir_for_each_node (inner, n->regions[i]) {
            add_kinds(s, inner, k);
            add_captured(s, inner, k);
        }
        add_kinds(s, n->regions[i]->yield, k);
    }
}

static void set_all(streamer *s, ir_node *n, stream_kind kind) {
    for (uint32_t i = 0; i < n->n_out; i++)
        stream_set(s, &n->out[i], (stream_value){.kind = kind, .whole = n->out[i].type});
}

/* Makes values for each position from their number. */
static bool makes_part(const ir_node *n) {
    return n->op == OP_Range || n->op == OP_Expand || n->op == OP_ConstantOfShape ||
           n->op == OP_Slice;
}

/* No operand has positions of this step. */
static bool visit_others(streamer *s, ir_node *n, bool length, bool final) {
    if (s->tail && length) {
        stream_tail_lengths(s, n);
        return true;
    }
    if (length && final)
        return stream_refuse(s, n, "an operand is computed from the length of the sequence");
    if (length) set_all(s, n, STREAM_LENGTH);
    if (final) set_all(s, n, STREAM_FINAL);
    return !length || stream_retype(s, n);
}

static bool visit(streamer *s, ir_node *n) {
    operand_kinds k = {0}, captured = {0};
    if (n->op == OP_Dims) return visit_dims(s, n);
    add_kinds(s, n, &k);
    add_captured(s, n, &captured);
    if (captured.part || captured.length) {
        if (s->tail && !k.part && !k.length) return stream_tail_region(s, n);
        if (n->op == OP_Loop || n->op == OP_Scan)
            return stream_refuse(s, n,
                                 "it reads positions of the sequence and has not become a "
                                 "recurrence of a known form (--explain recur_from_loop)");
        return stream_refuse(s, n, "a region reads positions of the sequence from outside of it");
    }
    if (k.part && (k.final || captured.final) && !(s->tail && n->op == OP_Concat))
        return stream_refuse(s, n,
                             "it looks ahead: an operand is known only behind the last "
                             "position");
    if (k.part || (k.length && makes_part(n))) {
        stream_rule *rule = stream_rule_of(n->op);
        if (!rule) return stream_refuse(s, n, "there is no rule for this operator");
        return rule(s, n) && !s->reason && (!s->tail || stream_tail_check(s, n));
    }
    return visit_others(s, n, k.length, k.final || captured.final);
}

/* ---- inputs and outputs --------------------------------------------------------------------------------------- */

static bool parse_number(const char *text, size_t n, int64_t *out) {
    *out = 0;
    for (size_t i = 0; i < n; i++) {
        if (text[i] < '0' || text[i] > '9' || *out > INT32_MAX) return false;
        *out = *out * 10 + (text[i] - '0');
    }
    return n > 0;
}

/* Names may hold colons: the numbers are looked for from the end. */
bool stream_next_spec(pass_ctx *ctx, const char **text, stream_spec *spec) {
    size_t n = strcspn(*text, ","), chunk = n, axis;
    while (chunk && (*text)[chunk - 1] != ':')
        chunk--;
    axis = chunk ? chunk - 1 : 0;
    while (axis && (*text)[axis - 1] != ':')
        axis--;
    bool ok = axis > 1 && parse_number(*text + axis, chunk - 1 - axis, &spec->axis) &&
              parse_number(*text + chunk, n - chunk, &spec->chunk) && spec->chunk > 0;
    if (!ok)
        return diag_error(&ctx->c->diag, NULL,
                          "--stream '%.*s': expected INPUT:AXIS:CHUNK[,...], such as x:1:4", (int)n,
                          *text);
    spec->name = (tl_sv){*text, axis - 1};
    *text += n + ((*text)[n] == ',');
    return true;
}

ir_value *stream_find_input(pass_ctx *ctx, ir_graph *g, const stream_spec *spec) {
    for (uint32_t i = 0; i < ir_graph_n_inputs(g); i++) {
        const char *name = g->body->params[i]->name;
        if (name && tl_sv_is(spec->name, name)) return g->body->params[i];
    }
    diag_error(&ctx->c->diag, NULL, "--stream: the model has no input '%.*s'", (int)spec->name.len,
               spec->name.data);
    for (uint32_t i = 0; i < ir_graph_n_inputs(g); i++)
        diag_note(&ctx->c->diag, NULL, "input %u is '%s'", i, g->body->params[i]->name);
    return NULL;
}

/* What stream_lengths made of a symbol. */
static bool is_steps(streamer *s, const ir_dim *length, const stream_spec *spec) {
    ir_ctx *c = s->ctx->c;
    return s->g->steps && ir_dim_equal(length, ir_dim_mul(c, ir_dim_const(c, spec->chunk),
                                                          ir_dim_symbol(c, s->g->steps)));
}

/* The inputs that are streamed agree on the length of the sequence and of a step. */
static bool check_spec(streamer *s, const ir_value *v, const stream_spec *spec) {
    diag *d = &s->ctx->c->diag;
    if (!ir_type_is_ranked(v->type) || spec->axis >= v->type->rank)
        return diag_error(d, NULL, "--stream %s: it has no axis %lld", v->name,
                          (long long)spec->axis);
    const ir_dim *length = v->type->dims[spec->axis];
    int64_t n;
    if (ir_dim_is_const(length, &n) && n % spec->chunk)
        return diag_error(d, NULL,
                          "--stream %s: the model takes %lld positions, which are no multiple of "
                          "%lld",
                          v->name, (long long)n, (long long)spec->chunk);
    if (!ir_dim_is_const(length, NULL) && !ir_dim_is_symbol(length) && !is_steps(s, length, spec))
        return diag_error(d, NULL, "--stream %s: axis %lld has no length of its own", v->name,
                          (long long)spec->axis);
    if (s->length && (!ir_dim_equal(s->length, length) || s->chunk != spec->chunk))
        return diag_error(d, NULL, "--stream %s: all streamed inputs have one length and one chunk",
                          v->name);
    return true;
}

static void cut_input(streamer *s, ir_value *v, int32_t axis) {
    const ir_dim **dims = TL_NEW_ARRAY(s->ctx->scratch, const ir_dim *, v->type->rank);
    memcpy(dims, v->type->dims, (size_t)v->type->rank * sizeof *dims);
    dims[axis] = ir_dim_const(s->ctx->c, s->chunk);
    v->type = ir_type_tensor(s->ctx->c, v->type->dtype, v->type->rank, dims);
}

static bool stream_input(streamer *s, const stream_spec *spec) {
    ir_value *v = stream_find_input(s->ctx, s->g, spec);
    if (!v || !check_spec(s, v, spec)) return false;
    if (stream_is_part(s, v))
        return diag_error(&s->ctx->c->diag, NULL, "--stream names '%s' twice", v->name);
    if (!s->input) s->input = v->name;
    s->length = v->type->dims[spec->axis];
    s->chunk = spec->chunk;
    stream_set(s, v,
               (stream_value){.kind = STREAM_PART,
                              .axis = (int32_t)spec->axis,
                              .step = spec->chunk,
                              .outer = 1,
                              .whole = v->type});
    if (!s->tail) cut_input(s, v, (int32_t)spec->axis);
    ir_graph_set_along(s->g, v->name, false, (int32_t)spec->axis);
    return true;
}

/* A symbolic length is that of the chunk now: no other input may have it. */
static bool check_other_inputs(streamer *s) {
    for (uint32_t i = 0; i < ir_graph_n_inputs(s->g); i++) {
        const ir_value *v = s->g->body->params[i];
        const stream_value *info = stream_get(s, v);
        for (int32_t d = 0; ir_type_is_ranked(v->type) && d < v->type->rank; d++)
            if ((info->kind != STREAM_PART || info->axis != d) &&
                stream_has_length(s, v->type->dims[d]))
                return diag_error(&s->ctx->c->diag, NULL,
                                  "--stream: input '%s' is as long as '%s' along axis %d: stream "
                                  "it, too (%s:%d:%lld)",
                                  v->name, s->input, d, v->name, d, (long long)s->chunk);
    }
    return true;
}

static bool stream_inputs(streamer *s) {
    for (uint32_t i = 0; i < s->ctx->options->n_streams; i++) {
        const char *text = s->ctx->options->streams[i];
        while (*text) {
            stream_spec spec;
            if (!stream_next_spec(s->ctx, &text, &spec) || !stream_input(s, &spec)) return false;
        }
    }
    return check_other_inputs(s);
}

static bool stream_output(streamer *s, uint32_t i) {
    const char *name = s->g->outputs[i];
    const stream_value *v = stream_get(s, ir_region_result(s->g->body, i));
    diag *d = &s->ctx->c->diag;
    if (v->kind == STREAM_LENGTH)
        return diag_error(d, NULL, "output '%s' is computed from the length of the sequence", name);
    if (v->kind != STREAM_PART) return true;
    if (v->outer != 1 || v->lead || v->tail)
        return diag_error(d, NULL,
                          "output '%s': the positions of a step are not one piece of its axis %d",
                          name, v->axis);
    ir_graph_set_along(s->g, name, true, v->axis);
    return true;
}

bool stream_graph(streamer *s) {
    if (!stream_inputs(s)) return false;
    ir_for_each_node_safe (n, s->g->body)
        if (!visit(s, n)) return false;
    for (uint32_t i = 0; i < ir_graph_n_outputs(s->g); i++)
        if (!stream_output(s, i)) return false;
    return true;
}

pass_result pass_stream(pass_ctx *ctx, ir_graph *g) {
    streamer s = {.ctx = ctx, .g = g, .mark = ir_new_mark(ctx->c)};
    if (!ctx->options->n_streams || g != ctx->m->graphs || g->n_along) return PASS_SAME;
    if (!stream_graph(&s)) return PASS_FAILED;
    stream_find_delays(&s);
    stream_make_tail(&s);
    g->steps = NULL;
    return PASS_CHANGED;
}
