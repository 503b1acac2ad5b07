/* Parser of text IR (docs/IR.md), by recursive descent: a function per rule of the grammar.
 *
 *   graph main(f32[N,4] %x) => (f32[N,4] y) {
 *     f32[N,4] %t = Add(%x, @one)
 *     return %t
 *   }
 *
 * Values are defined before they are used. A result without a type gets the inferred one; given types are taken as they are and
 * judged by the verifier. The text is hostile: every count, size and depth is limited, the first mistake ends the parse. */
#include "ir/base/vec.h"
#include "ir/parse_internal.h"

typedef TL_VEC(ir_value *) value_vec;

/* ---- names -------------------------------------------------------------------------------------------------- */

/* A name or a number behind % or @: two spaces of their own. */
typedef struct parse_id {
    const char *name; /* interned; NULL = numbered */
    uint64_t number;
} parse_id;

/* Reads the current token as one and steps over it. */
static bool parse_identity(parser *p, lex_kind kind, parse_id *id) {
    lexer *l = &p->lx;
    tl_sv t = l->tok.text;
    *id = (parse_id){0};
    if (l->tok.kind != kind)
        return lex_error(l, "expected a %s, found %s", kind == LEX_VALUE ? "value" : "constant",
                         lex_describe(l));
    if (l->tok.quoted || t.data[0] < '0' || t.data[0] > '9')
        id->name = tl_intern_get_n(&p->c->names, t.data, t.len);
    else if (!lex_parse_uint(t, &id->number))
        return lex_error(l, "%s starts with a digit: write it in quotes", lex_describe(l));
    lex_next(l);
    return !l->failed;
}

static uint64_t *id_slot(tl_map *named, tl_map *numbered, parse_id id) {
    if (!id.name) return tl_map_insert(numbered, id.number, NULL);
    return tl_map_insert(named, (uint64_t)(uintptr_t)id.name, NULL);
}

/* Gives v its name in the current graph; false without a report where it is taken. */
static bool define_value(parser *p, parse_id id, ir_value *v) {
    uint64_t *slot = id_slot(&p->values, &p->numbered, id);
    if (*slot) return false;
    *slot = (uint64_t)(uintptr_t)v;
    v->name = id.name;
    return true;
}

/* A value may be read where its region is open, and where every region in between lists it in uses(...). */
static bool check_visible(parser *p, const ir_value *v) {
    const ir_region *home = ir_value_region(v);
    for (uint32_t i = p->depth; i-- > 0;) {
        const parse_scope *s = &p->scopes[i];
        if (s->region == home) return true;
        if (s->has_uses && !tl_map_get_ptr(&s->uses, v))
            return lex_error(&p->lx, "%s is not in the uses(...) of region '%s'",
                             lex_describe(&p->lx), s->region->name);
    }
    return lex_error(&p->lx, "%s is not visible here", lex_describe(&p->lx));
}

/* Finds what the current name stands for. The token stays until all is checked: it is what messages point at. */
static bool parse_reference(parser *p, ir_value **out) {
    lexer *l = &p->lx, before = *l;
    bool local = l->tok.kind == LEX_VALUE;
    parse_id id;
    if (!parse_identity(p, l->tok.kind, &id)) return false;
    lexer after = *l;
    *l = before;
    uint64_t *slot = local ? id_slot(&p->values, &p->numbered, id)
                           : id_slot(&p->consts, &p->const_number, id);
    *out = (ir_value *)(uintptr_t)*slot;
    if (!*out) return lex_error(l, "%s is not defined here", lex_describe(l));
    if (local && !check_visible(p, *out)) return false;
    *l = after;
    return true;
}

/* %x, @W, or _ for an omitted operand. */
static bool parse_operand(parser *p, ir_value **out) {
    *out = NULL;
    if (lex_accept_word(&p->lx, "_")) return !p->lx.failed;
    if (p->lx.tok.kind == LEX_VALUE || p->lx.tok.kind == LEX_CONST) return parse_reference(p, out);
    return lex_error(&p->lx, "expected an operand, found %s", lex_describe(&p->lx));
}

/* Operands up to `close`, or (close 0, for return and yield) while commas follow. */
static bool parse_operands(parser *p, char close, value_vec *v) {
    lexer *l = &p->lx;
    if (close ? lex_accept(l, close) : lex_is(l, '}')) return !l->failed;
    do {
        ir_value *x;
        if (!parse_operand(p, &x)) return false;
        if (v->len == IR_MAX_OPERANDS)
            return lex_error(l, "more than %d operands", IR_MAX_OPERANDS);
        tl_vec_push(p->arena, v, x);
    } while (lex_accept(l, ','));
    return close ? lex_expect(l, close) : !l->failed;
}

/* ---- regions ------------------------------------------------------------------------------------------------ */

static bool parse_statements(parser *p, ir_region *r, const char *terminator);

static bool open_scope(parser *p, ir_region *r) {
    if (p->depth > IR_MAX_NESTING)
        return lex_error(&p->lx, "regions are nested deeper than %d", IR_MAX_NESTING);
    parse_scope *s = &p->scopes[p->depth++];
    *s = (parse_scope){.region = r};
    tl_map_init(&s->uses, p->arena);
    return true;
}

/* delay 3, behind the axis of an output. */
static bool parse_delay(parser *p, int64_t *delay) {
    lexer *l = &p->lx;
    if (!lex_accept_word(l, "delay")) return !l->failed;
    if (l->tok.kind != LEX_NUMBER || !lex_parse_int(l->tok.text, delay) || *delay < 0)
        return lex_error(l, "expected a number of positions, found %s", lex_describe(l));
    lex_next(l);
    return !l->failed;
}

/* along 1, behind an input or output of this name. */
static bool parse_along(parser *p, ir_graph *g, const char *name, bool output) {
    lexer *l = &p->lx;
    int64_t axis;
    if (!lex_accept_word(l, "along")) return !l->failed;
    if (l->tok.kind != LEX_NUMBER || !lex_parse_int(l->tok.text, &axis) || axis < 0 ||
        axis >= IR_MAX_RANK || !name)
        return lex_error(l, "expected an axis, found %s", lex_describe(l));
    ir_graph_set_along(g, name, output, (int32_t)axis);
    lex_next(l);
    return !output || parse_delay(p, ir_graph_delay(g, name));
}

/* grows past to 1024: the limit of a symbol in a state's shape. */
static bool parse_growth(parser *p) {
    lexer *l = &p->lx;
    int64_t most;
    if (!lex_accept_word(l, "grows")) return !l->failed;
    const char *symbol = parse_name(p, "a dimension");
    if (!symbol || !lex_accept_word(l, "to"))
        return lex_error(l, "expected 'to' and the largest size, found %s", lex_describe(l));
    if (l->tok.kind != LEX_NUMBER || !lex_parse_int(l->tok.text, &most) || most < 0)
        return lex_error(l, "expected the largest size, found %s", lex_describe(l));
    ir_dim_bounded(p->c, symbol, most);
    lex_next(l);
    return !l->failed;
}

/* = @zero, behind a state: its initial value. */
static bool parse_initial(parser *p, value_vec *initial) {
    lexer *l = &p->lx;
    ir_value *v;
    if (!lex_expect(l, '=')) return false;
    if (l->tok.kind != LEX_CONST)
        return lex_error(l, "expected the constant that the state begins with, found %s",
                         lex_describe(l));
    if (!parse_reference(p, &v)) return false;
    tl_vec_push(p->arena, initial, v);
    return parse_growth(p);
}

static void set_initial(parser *p, ir_region *body, const value_vec *initial) {
    if (!initial->len) return;
    body->graph->n_states = initial->len;
    body->graph->initial = ir_node_create(p->m, OP_Yield, initial->data, initial->len, 0);
    body->graph->initial->parent = body;
}

/* (f32[2] %a, i64[] %b): made in one array, as a graph may have many. A graph's may be followed by states. */
static bool parse_params(parser *p, ir_region *r) {
    lexer *l = &p->lx;
    value_vec params = {0}, initial = {0};
    if (!lex_expect(l, '(')) return false;
    while (!lex_is(l, ')')) {
        ir_value *v = TL_NEW(p->arena, ir_value);
        if (params.len && !lex_expect(l, ',')) return false;
        bool state = !r->owner && lex_accept_word(l, "state");
        if (initial.len && !state) return lex_error(l, "an input stands behind a state");
        *v = (ir_value){.region = r, .index = params.len};
        parse_id id;
        if (!parse_type(p, &v->type) || !parse_identity(p, LEX_VALUE, &id)) return false;
        if (!define_value(p, id, v))
            return lex_error(l, "the parameter before this is defined twice");
        if (params.len == IR_MAX_OPERANDS)
            return lex_error(l, "more than %d parameters", IR_MAX_OPERANDS);
        tl_vec_push(p->arena, &params, v);
        if (state && !parse_initial(p, &initial)) return false;
        if (!r->owner && !state && !parse_along(p, r->graph, id.name, false)) return false;
    }
    set_initial(p, r, &initial);
    r->params = params.data;
    r->n_params = params.len;
    lex_next(l);
    return !l->failed;
}

/* uses(%a, %b): what the region reads from outside. Looked up before its scope opens, so they must be visible there. */
static bool parse_uses(parser *p, value_vec *uses, bool *given) {
    lexer *l = &p->lx;
    *given = lex_accept_word(l, "uses");
    if (!*given) return !l->failed;
    if (!lex_expect(l, '(') || !parse_operands(p, ')', uses)) return false;
    for (uint32_t i = 0; i < uses->len; i++)
        if (!uses->data[i] || ir_value_is_const(uses->data[i]))
            return lex_error(l, "uses(...) lists values only");
    return true;
}

/* The parameters belong to the region, but the values in uses(...) to what is outside of it. */
static bool parse_region(parser *p, ir_node *owner) {
    lexer *l = &p->lx;
    const char *name = parse_name(p, "a region name");
    if (!name) return false;
    ir_region *r = ir_node_add_region(p->m, owner, name);
    value_vec uses = {0};
    bool given;
    if (!parse_params(p, r) || !parse_uses(p, &uses, &given) || !lex_expect(l, '{')) return false;
    if (!open_scope(p, r)) return false;
    parse_scope *s = &p->scopes[p->depth - 1];
    s->has_uses = given;
    for (uint32_t i = 0; i < uses.len; i++)
        tl_map_set_ptr(&s->uses, uses.data[i], uses.data[i]);
    bool ok = parse_statements(p, r, "yield");
    p->depth--;
    return ok;
}

static bool parse_regions(parser *p, ir_node *n) {
    lexer *l = &p->lx;
    if (!lex_accept(l, '{')) return !l->failed;
    while (!lex_is(l, '}')) {
        if (n->n_regions == IR_MAX_NESTING)
            return lex_error(l, "more than %d regions", IR_MAX_NESTING);
        if (!parse_region(p, n)) return false;
    }
    lex_next(l);
    return !l->failed;
}

/* ---- nodes -------------------------------------------------------------------------------------------------- */

/* A result before its node exists: the name is registered once the node is complete, so that it cannot read itself. */
typedef struct parse_result {
    const ir_type *type;
    bool typed;
    parse_id id;
} parse_result;

typedef TL_VEC(parse_result) result_vec;

static bool parse_result_list(parser *p, result_vec *results) {
    lexer *l = &p->lx;
    if (!parse_type_starts(p) && l->tok.kind != LEX_VALUE) return true;
    do {
        parse_result r = {.typed = parse_type_starts(p)};
        if (r.typed && !parse_type(p, &r.type)) return false;
        if (!parse_identity(p, LEX_VALUE, &r.id)) return false;
        if (results->len == IR_MAX_OPERANDS)
            return lex_error(l, "more than %d results", IR_MAX_OPERANDS);
        tl_vec_push(p->arena, results, r);
    } while (lex_accept(l, ','));
    return lex_expect(l, '=');
}

/* The parse ends with an error that was reported at an earlier place than the current token. */
static bool fail(parser *p) {
    p->lx.failed = true;
    return false;
}

static bool define_results(parser *p, ir_node *n, const result_vec *results) {
    for (uint32_t i = 0; i < n->n_out; i++) {
        n->out[i].type = results->data[i].type;
        if (define_value(p, results->data[i].id, &n->out[i])) continue;
        diag_error(&p->c->diag, n->loc, "result %u has a name that is defined already", i);
        return fail(p);
    }
    return true;
}

/* Results written without a type. What the node looks like is checked first: inference relies on it. */
static bool infer_results(parser *p, ir_node *n, const result_vec *results) {
    bool all_typed = true;
    for (uint32_t i = 0; i < results->len; i++)
        all_typed = all_typed && results->data[i].typed;
    if (all_typed) return true;
    uint32_t before = p->c->diag.n_errors;
    if (ir_node_verify(p->c, n) && ir_infer_node(p->c, n)) return true;
    if (p->c->diag.n_errors == before)
        return lex_error(&p->lx, "the types of %s's results cannot be inferred",
                         op_get(n->op)->name);
    return fail(p);
}

static bool parse_op(parser *p, op_id *op) {
    lexer *l = &p->lx;
    if (l->tok.kind != LEX_IDENT)
        return lex_error(l, "expected an operator, found %s", lex_describe(l));
    *op = op_find(tl_arena_strndup(p->arena, l->tok.text.data, l->tok.text.len));
    if (*op == OP_None || *op == OP_Yield)
        return lex_error(l, "unknown operator %s", lex_describe(l));
    lex_next(l);
    return !l->failed;
}

/* type %a, type %b = Op<attributes>(operands) { regions } */
static bool parse_node(parser *p, ir_region *r) {
    lexer *l = &p->lx;
    const ir_loc *loc = lex_loc(l);
    result_vec results = {0};
    value_vec operands = {0};
    op_id op;
    if (++p->n_nodes > IR_MAX_NODES) return lex_error(l, "more than %d nodes", IR_MAX_NODES);
    if (!parse_result_list(p, &results) || !parse_op(p, &op)) return false;
    ir_node attrs = {.op = op};
    if (!parse_attrs(p, &attrs) || !lex_expect(l, '(') || !parse_operands(p, ')', &operands))
        return false;
    ir_node *n = ir_node_create(p->m, op, operands.data, operands.len, results.len);
    n->attrs = attrs.attrs;
    n->n_attrs = attrs.n_attrs;
    n->loc = loc;
    ir_node_append(r, n); /* first, so that its regions know their graph */
    return parse_regions(p, n) && define_results(p, n, &results) && infer_results(p, n, &results);
}

/* Nodes up to `return %a` or `yield %a` and the closing brace. */
static bool parse_statements(parser *p, ir_region *r, const char *terminator) {
    lexer *l = &p->lx;
    while (!lex_is_word(l, terminator))
        if (!parse_node(p, r)) return false;
    const ir_loc *loc = lex_loc(l);
    value_vec results = {0};
    lex_next(l);
    if (!parse_operands(p, 0, &results)) return false;
    r->yield = ir_node_create(p->m, OP_Yield, results.data, results.len, 0);
    r->yield->parent = r;
    r->yield->loc = loc;
    return lex_expect(l, '}');
}

/* ---- graphs and the module ---------------------------------------------------------------------------------- */

typedef struct parse_output {
    bool state;
    const ir_type *type;
    const char *name;
} parse_output;

typedef TL_VEC(parse_output) output_vec;

/* The word in front of a state's result, which may also be an output's name. */
static bool accept_state(lexer *l) {
    lexer before = *l;
    if (!lex_accept_word(l, "state")) return false;
    if (!lex_is(l, ',') && !lex_is(l, ')')) return true;
    *l = before;
    return false;
}

/* (f32[N,4] y, z, state m) */
static bool parse_outputs(parser *p, ir_graph *g, output_vec *out) {
    lexer *l = &p->lx;
    if (!lex_expect(l, '(')) return false;
    while (!lex_is(l, ')')) {
        parse_output o = {0};
        if (out->len && !lex_expect(l, ',')) return false;
        o.state = accept_state(l);
        if (parse_type_starts(p) && !parse_type(p, &o.type)) return false;
        o.name = parse_name(p, "an output name");
        if (!o.name || (!o.state && !parse_along(p, g, o.name, true))) return false;
        if (out->len == IR_MAX_OPERANDS)
            return lex_error(l, "more than %d outputs", IR_MAX_OPERANDS);
        tl_vec_push(p->arena, out, o);
    }
    lex_next(l);
    return !l->failed;
}

/* An output's declared type is not stored: it must not contradict the value's. */
static bool check_outputs(parser *p, const ir_graph *g, const output_vec *out) {
    for (uint32_t i = 0; i < out->len; i++) {
        const ir_value *v = ir_region_result(g->body, i);
        const ir_type *declared = out->data[i].type;
        if (!v || !v->type || !declared || ir_type_meet(p->c, v->type, declared)) continue;
        tl_str found, wanted;
        tl_str_init(&found, p->arena);
        tl_str_init(&wanted, p->arena);
        ir_type_print(v->type, &found);
        ir_type_print(declared, &wanted);
        diag_error(&p->c->diag, g->body->yield->loc,
                   "output '%s' is declared %s, the value returned is %s", out->data[i].name,
                   wanted.data, found.data);
        return fail(p);
    }
    return true;
}

/* The states among the outputs are those among the parameters; that their names agree is the verifier's to say. */
static bool check_states(parser *p, const ir_graph *g, const output_vec *out) {
    for (uint32_t i = 0; i < out->len; i++) {
        bool expected = out->len - i <= g->n_states;
        if (out->data[i].state == expected) continue;
        diag_error(&p->c->diag, g->body->yield->loc,
                   "graph '%s' has %u states among its parameters: as many outputs at the end are "
                   "states, no others",
                   g->name, g->n_states);
        return fail(p);
    }
    if (out->len >= g->n_states) return true;
    diag_error(&p->c->diag, g->body->yield->loc, "graph '%s' has %u states and only %u outputs",
               g->name, g->n_states, out->len);
    return fail(p);
}

static bool bind_outputs(parser *p, ir_graph *g, const output_vec *out) {
    uint32_t n = ir_region_n_results(g->body);
    if (n != out->len) {
        diag_error(&p->c->diag, g->body->yield->loc,
                   "graph '%s' has %u outputs, %u values are returned", g->name, out->len, n);
        return fail(p);
    }
    g->outputs = TL_NEW_ARRAY(p->arena, const char *, n);
    for (uint32_t i = 0; i < n; i++)
        g->outputs[i] = out->data[i].name;
    return check_states(p, g, out) && check_outputs(p, g, out);
}

/* tail graph g_tail(...): behind the graph whose sequence it ends. */
static bool accept_graph(lexer *l, bool *tail) {
    *tail = lex_accept_word(l, "tail");
    return lex_accept_word(l, "graph");
}

static bool parse_graph(parser *p, bool tail) {
    lexer *l = &p->lx;
    const char *name = parse_name(p, "a graph name");
    output_vec outputs = {0};
    if (!name) return false;
    if (p->n_graphs++ == IR_MAX_GRAPHS) return lex_error(l, "more than %d graphs", IR_MAX_GRAPHS);
    if (tail && p->n_graphs != 2) return lex_error(l, "a tail stands behind the first graph");
    ir_graph *g = ir_graph_create(p->m, name);
    g->tail = tail;
    tl_map_init(&p->values, p->arena);
    tl_map_init(&p->numbered, p->arena);
    if (!parse_params(p, g->body)) return false;
    if (l->tok.kind != LEX_ARROW) return lex_error(l, "expected '=>', found %s", lex_describe(l));
    lex_next(l);
    if (!parse_outputs(p, g, &outputs) || !lex_expect(l, '{')) return false;
    p->depth = 0;
    return open_scope(p, g->body) && parse_statements(p, g->body, "return") &&
           bind_outputs(p, g, &outputs);
}

/* const @W f32[2] {1, 2}. Two names may stand for one content. */
static bool parse_const(parser *p) {
    lexer *l = &p->lx;
    parse_id id;
    const ir_type *type;
    if (!parse_identity(p, LEX_CONST, &id)) return false;
    if (*id_slot(&p->consts, &p->const_number, id))
        return lex_error(l, "the constant before this is defined twice");
    if (!parse_type(p, &type)) return false;
    if (!type) return lex_error(l, "a constant needs a type");
    const ir_tensor *t = parse_payload(p, type, id.name);
    if (!t) return false;
    *id_slot(&p->consts, &p->const_number, id) = (uint64_t)(uintptr_t)ir_module_const(p->m, t,
                                                                                      id.name);
    return true;
}

/* opset "" 27 */
static bool parse_opset(parser *p) {
    lexer *l = &p->lx;
    int64_t version;
    if (l->tok.kind != LEX_STRING || l->tok.text.len)
        return lex_error(l, "expected the domain \"\"");
    lex_next(l);
    if (l->tok.kind != LEX_NUMBER || !lex_parse_int(l->tok.text, &version) || version < 1 ||
        version > INT16_MAX)
        return lex_error(l, "expected an opset version, found %s", lex_describe(l));
    p->m->opset = (int)version;
    lex_next(l);
    return !l->failed;
}

/* tlbc 1: the version of the form itself. May be missing in tests. */
static bool parse_version(parser *p) {
    lexer *l = &p->lx;
    int64_t version;
    if (!lex_accept_word(l, "tlbc")) return !l->failed;
    if (l->tok.kind != LEX_NUMBER || !lex_parse_int(l->tok.text, &version) || version != 1)
        return lex_error(l, "text IR of version %s is not known, only 1", lex_describe(l));
    lex_next(l);
    return !l->failed;
}

static bool parse_module(parser *p) {
    lexer *l = &p->lx;
    if (!parse_version(p)) return false;
    while (l->tok.kind != LEX_END) {
        bool ok, tail = false;
        if (lex_accept_word(l, "opset"))
            ok = parse_opset(p);
        else if (lex_accept_word(l, "producer"))
            ok = (p->m->producer = parse_name(p, "the producer's name")) != NULL;
        else if (lex_accept_word(l, "const"))
            ok = parse_const(p);
        else if (accept_graph(l, &tail))
            ok = parse_graph(p, tail);
        else
            ok = lex_error(l, "expected 'opset', 'const' or 'graph', found %s", lex_describe(l));
        if (!ok) return false;
    }
    return !l->failed;
}

ir_module *ir_module_parse_with(ir_ctx *c, tl_arena *a, const char *file, const char *text,
                                size_t len, const ir_parse_options *o) {
    static const ir_parse_options none;
    parser *p = TL_NEW(a, parser);
    *p = (parser){.c = c, .arena = a, .options = o ? o : &none};
    tl_map_init(&p->consts, a);
    tl_map_init(&p->const_number, a);
    p->m = ir_module_create(c, a);
    lex_init(&p->lx, c, a, file, text, len);
    return parse_module(p) ? p->m : NULL;
}

ir_module *ir_module_parse(ir_ctx *c, tl_arena *a, const char *file, const char *text, size_t len) {
    return ir_module_parse_with(c, a, file, text, len, NULL);
}
