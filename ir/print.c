/* Prints modules as text IR (docs/IR.md); parse.c reads it back to a module of equal hash.
 *
 * Names come from the model and are kept. An unnamed value gets a number in print order; a name that occurs twice in a graph
 * gets a suffix (%x, %x.1), as names in text are unique per graph. Constants that nothing uses are left out. The printer also
 * has to show modules that the verifier rejects: it takes no rule for granted but that pointers lead somewhere. */
#include "ir/ir.h"
#include "ir/lex.h"
#include "ir/literal.h"
#include "ir/text.h"

#include <inttypes.h>

enum { INLINE_ELEMENTS = 8 };

/* How a value is spelled in this text. */
typedef struct print_name {
    const char *name; /* NULL: by number */
    uint32_t number;
} print_name;

typedef struct printer {
    tl_str *out;
    tl_arena *arena; /* scratch */
    ir_ctx *c;
    ir_print_options o;
    tl_map names; /* ir_value * -> print_name * */
    tl_map
        taken; /* interned name -> next suffix to try; of the current graph, or of the constants */
    uint32_t next_number;
    uint32_t indent;
    size_t counted;    /* text in which lines have been counted: record_line */
    uint32_t n_lines;  /* in it */
    bool headers_only; /* regions as {...} */
    const ir_note *notes;
    uint32_t n_notes;
} printer;

/* ---- names -------------------------------------------------------------------------------------------------- */

/* Names of one kind start afresh: constants, then each graph. */
static void start_names(printer *p) {
    tl_map_init(&p->taken, p->arena);
    p->next_number = 0;
}

static const char *unique_name(printer *p, const char *name) {
    bool added;
    uint64_t *slot = tl_map_insert(&p->taken, (uint64_t)(uintptr_t)name, &added);
    if (added) return name;
    for (;;) {
        uint64_t suffix = ++*tl_map_find(&p->taken, (uint64_t)(uintptr_t)name);
        const char *other = ir_name(p->c, tl_arena_printf(p->arena, "%s.%" PRIu64, name, suffix));
        tl_map_insert(&p->taken, (uint64_t)(uintptr_t)other, &added);
        if (added) return other;
    }
    (void)slot;
}

/* The spelling, made up where the value is met first: at its definition, in a valid module. */
static const print_name *get_name(printer *p, const ir_value *v) {
    print_name *n = tl_map_get_ptr(&p->names, v);
    if (n) return n;
    n = TL_NEW(p->arena, print_name);
    if (v->name)
        n->name = unique_name(p, ir_name(p->c, v->name));
    else
        n->number = p->next_number++;
    tl_map_set_ptr(&p->names, v, n);
    return n;
}

static void print_operand(printer *p, const ir_value *v) {
    if (!v) {
        tl_str_putc(p->out, '_');
        return;
    }
    const print_name *n = get_name(p, v);
    const char *sigil = v->tensor ? "@" : "%";
    if (n->name)
        lex_print_name(p->out, sigil, n->name);
    else
        tl_str_printf(p->out, "%s%u", sigil, n->number);
}

static void print_plain_or_quoted(printer *p, const char *name) {
    lex_print_name(p->out, "", name);
}

static void print_indent(printer *p) {
    for (uint32_t i = 0; i < p->indent; i++)
        tl_str_puts(p->out, "  ");
}

/* ---- payloads and attributes -------------------------------------------------------------------------------- */

static void print_elements(printer *p, const ir_tensor *t, size_t n) {
    tl_str_putc(p->out, '{');
    for (size_t i = 0; i < n; i++) {
        if (i) tl_str_puts(p->out, ", ");
        literal_print(p->out, t->type->dtype, t->data, i);
    }
    tl_str_putc(p->out, '}');
}

/* Strings have no bytes that a side file could hold: always in full. */
static void print_payload(printer *p, const ir_tensor *t) {
    size_t n = ir_tensor_elements(t);
    bool in_full = n <= INLINE_ELEMENTS || p->o.constants == IR_CONSTANTS_FULL ||
                   t->type->dtype == DT_str;
    if (t->opaque) {
        tl_str_printf(p->out, "#%016" PRIx64, t->hash);
    } else if (p->o.constants == IR_CONSTANTS_NONE && n > INLINE_ELEMENTS) {
        tl_str_puts(p->out, "opaque");
    } else if (n > INLINE_ELEMENTS && t->type->dtype != DT_str && ir_tensor_is_splat(t)) {
        tl_str_puts(p->out, "splat ");
        literal_print(p->out, t->type->dtype, t->data, 0);
    } else if (in_full) {
        print_elements(p, t, n);
    } else {
        tl_str_printf(p->out, "#%016" PRIx64, t->hash);
    }
}

static void print_tensor(printer *p, const ir_tensor *t) {
    ir_type_print(t->type, p->out);
    tl_str_putc(p->out, ' ');
    print_payload(p, t);
}

static void print_list_element(printer *p, const ir_attr *a, uint32_t i) {
    switch (a->kind) {
    case ATTR_INTS:
        tl_str_printf(p->out, "%" PRId64, a->v.ints[i]);
        break;
    case ATTR_FLOATS:
        literal_print_attr_float(p->out, a->v.floats[i]);
        break;
    case ATTR_STRINGS:
        lex_print_string(p->out, a->v.strings[i]);
        break;
    case ATTR_TENSORS:
        print_tensor(p, a->v.tensors[i]);
        break;
    case ATTR_DIMS:
        ir_dim_print(a->v.dims[i], p->out);
        break;
    default:
        break;
    }
}

static void print_list(printer *p, const ir_attr *a) {
    for (uint32_t i = 0; i < a->n; i++) {
        if (i) tl_str_putc(p->out, ',');
        print_list_element(p, a, i);
    }
}

/* An empty list says of what. */
static void print_bracketed(printer *p, const ir_attr *a, const char *kind) {
    if (!a->n) tl_str_puts(p->out, kind);
    tl_str_putc(p->out, '[');
    print_list(p, a);
    tl_str_putc(p->out, ']');
}

static void print_attr_value(printer *p, const ir_attr *a) {
    switch (a->kind) {
    case ATTR_INT:
        tl_str_printf(p->out, "%" PRId64, a->v.i);
        break;
    case ATTR_FLOAT:
        literal_print_attr_float(p->out, a->v.f);
        break;
    case ATTR_STRING:
        lex_print_string(p->out, a->v.s);
        break;
    case ATTR_TENSOR:
        print_tensor(p, a->v.t);
        break;
    case ATTR_TYPE:
        ir_type_print(a->v.type, p->out);
        break;
    case ATTR_INTS:
        print_bracketed(p, a, "ints");
        break;
    case ATTR_FLOATS:
        print_bracketed(p, a, "floats");
        break;
    case ATTR_STRINGS:
        print_bracketed(p, a, "strings");
        break;
    case ATTR_TENSORS:
        print_bracketed(p, a, "tensors");
        break;
    case ATTR_DIMS:
        tl_str_puts(p->out, "dims<");
        print_list(p, a);
        tl_str_putc(p->out, '>');
        break;
    case ATTR_KIND_COUNT:
        break;
    }
}

static void print_attrs(printer *p, const ir_node *n) {
    for (uint32_t i = 0; i < n->n_attrs; i++) {
        tl_str_puts(p->out, i ? ", " : "<");
        print_plain_or_quoted(p, n->attrs[i].name);
        tl_str_putc(p->out, '=');
        print_attr_value(p, &n->attrs[i]);
    }
    if (n->n_attrs) tl_str_putc(p->out, '>');
}

/* ---- regions ------------------------------------------------------------------------------------------------ */

/* What a region reads of the values outside of it, in order of first use. */
typedef struct captures {
    printer *p;
    const ir_region *region;
    tl_map seen;
    uint32_t n;
} captures;

static void capture_operands(captures *c, const ir_node *n) {
    for (uint32_t i = 0; i < n->n_in; i++) {
        const ir_value *v = n->in[i].value;
        if (!v || v->tensor || ir_region_is_inside(ir_value_region(v), c->region)) continue;
        if (tl_map_get_ptr(&c->seen, v)) continue;
        tl_map_set_ptr(&c->seen, v, v);
        tl_str_puts(c->p->out, c->n++ ? ", " : " uses(");
        print_operand(c->p, v);
    }
}

static void capture_region(captures *c, const ir_region *r) {
    ir_for_each_node (n, r) {
        capture_operands(c, n);
        for (uint32_t i = 0; i < n->n_regions; i++)
            capture_region(c, n->regions[i]);
    }
    capture_operands(c, r->yield);
}

static void print_uses(printer *p, const ir_region *r) {
    captures c = {.p = p, .region = r};
    tl_map_init(&c.seen, p->arena);
    capture_region(&c, r);
    if (c.n) tl_str_putc(p->out, ')');
}

static void print_typed(printer *p, const ir_value *v) {
    ir_type_print(v->type, p->out);
    tl_str_putc(p->out, ' ');
    print_operand(p, v);
}

static void print_along(printer *p, const ir_graph *g, const char *name, bool output) {
    int32_t axis = ir_graph_along(g, name, output);
    const int64_t *delay = output ? ir_graph_delay(g, name) : NULL;
    if (axis >= 0) tl_str_printf(p->out, " along %d", axis);
    if (delay && *delay) tl_str_printf(p->out, " delay %lld", (long long)*delay);
}

/* The first n parameters, without the closing parenthesis. */
static void print_some_params(printer *p, const ir_region *r, uint32_t n) {
    tl_str_putc(p->out, '(');
    for (uint32_t i = 0; i < n; i++) {
        if (i) tl_str_puts(p->out, ", ");
        print_typed(p, r->params[i]);
        if (!r->owner) print_along(p, r->graph, r->params[i]->name, false);
    }
}

static void print_params(printer *p, const ir_region *r) {
    print_some_params(p, r, r->n_params);
    tl_str_putc(p->out, ')');
}

static void print_notes(printer *p, const ir_node *n) {
    for (uint32_t i = 0; i < p->n_notes; i++) {
        if (p->notes[i].node != n) continue;
        print_indent(p);
        tl_str_printf(p->out, "// error: %s\n", p->notes[i].text);
    }
}

static void print_node(printer *p, const ir_node *n);

static void print_terminator(printer *p, const ir_region *r, const char *word) {
    print_indent(p);
    tl_str_puts(p->out, word);
    for (uint32_t i = 0; i < r->yield->n_in; i++) {
        tl_str_puts(p->out, i ? ", " : " ");
        print_operand(p, r->yield->in[i].value);
    }
    tl_str_putc(p->out, '\n');
    print_notes(p, r->yield);
}

static void print_body(printer *p, const ir_region *r, const char *terminator) {
    tl_str_puts(p->out, " {\n");
    p->indent++;
    ir_for_each_node (n, r)
        print_node(p, n);
    print_terminator(p, r, terminator);
    p->indent--;
    print_indent(p);
    tl_str_puts(p->out, "}\n");
}

static void print_region(printer *p, const ir_region *r) {
    print_indent(p);
    print_plain_or_quoted(p, r->name ? r->name : "");
    print_params(p, r);
    print_uses(p, r);
    print_body(p, r, "yield");
}

/* ---- nodes -------------------------------------------------------------------------------------------------- */

static void print_header(printer *p, const ir_node *n) {
    for (uint32_t i = 0; i < n->n_out; i++) {
        if (i) tl_str_puts(p->out, ", ");
        print_typed(p, &n->out[i]);
    }
    if (n->n_out) tl_str_puts(p->out, " = ");
    tl_str_puts(p->out, op_get(n->op)->name);
    print_attrs(p, n);
    tl_str_putc(p->out, '(');
    for (uint32_t i = 0; i < n->n_in; i++) {
        if (i) tl_str_puts(p->out, ", ");
        print_operand(p, n->in[i].value);
    }
    tl_str_putc(p->out, ')');
}

static void print_location(printer *p, const ir_node *n) {
    if (!p->o.locations || !n->loc || !n->loc->node) return;
    tl_str_puts(p->out, "  // ");
    lex_print_string(p->out, tl_sv_from(n->loc->node));
}

/* Lines are counted from where the last count ended: linear over the whole module. */
static void record_line(printer *p, const ir_node *n) {
    if (!p->o.lines) return;
    for (; p->counted < p->out->len; p->counted++)
        if (p->out->data[p->counted] == '\n') p->n_lines++;
    *tl_map_insert(p->o.lines, (uint64_t)(uintptr_t)n, NULL) = p->n_lines + 1;
}

static void print_node(printer *p, const ir_node *n) {
    record_line(p, n);
    print_indent(p);
    print_header(p, n);
    if (n->n_regions) tl_str_puts(p->out, " {");
    print_location(p, n);
    tl_str_putc(p->out, '\n');
    print_notes(p, n);
    if (!n->n_regions) return;
    p->indent++;
    for (uint32_t i = 0; i < n->n_regions; i++)
        print_region(p, n->regions[i]);
    p->indent--;
    print_indent(p);
    tl_str_puts(p->out, "}\n");
}

/* ---- graphs and the module ---------------------------------------------------------------------------------- */

/* state f32[2] %m = @zero, state f32[past,4] %k = @zero grows past to 1024 */
static void print_states(printer *p, const ir_graph *g) {
    uint32_t n_in = ir_graph_n_inputs(g);
    for (uint32_t i = 0; i < g->n_states; i++) {
        tl_str_puts(p->out, i || n_in ? ", state " : "state ");
        print_typed(p, ir_graph_state(g, i));
        tl_str_puts(p->out, " = ");
        print_operand(p, ir_graph_initial(g, i));
        const ir_dim *limit = ir_graph_state_limit(g, i);
        if (limit)
            tl_str_printf(p->out, " grows %s to %lld", ir_dim_symbol_name(limit),
                          (long long)ir_dim_upper_bound(limit));
    }
    tl_str_putc(p->out, ')');
}

static void print_graph(printer *p, const ir_graph *g) {
    const ir_region *r = g->body;
    start_names(p);
    tl_str_puts(p->out, g->tail ? "\ntail graph " : "\ngraph ");
    print_plain_or_quoted(p, g->name);
    print_some_params(p, r, ir_graph_n_inputs(g));
    print_states(p, g);
    tl_str_puts(p->out, " => (");
    for (uint32_t i = 0; i < ir_region_n_results(r); i++) {
        const ir_value *v = ir_region_result(r, i);
        if (i) tl_str_puts(p->out, ", ");
        if (i >= ir_graph_n_outputs(g)) tl_str_puts(p->out, "state ");
        ir_type_print(v ? v->type : NULL, p->out);
        tl_str_putc(p->out, ' ');
        print_plain_or_quoted(p, g->outputs && g->outputs[i] ? g->outputs[i] : "");
        print_along(p, g, g->outputs ? g->outputs[i] : NULL, true);
    }
    tl_str_putc(p->out, ')');
    print_body(p, r, "return");
}

static void print_consts(printer *p, const ir_module *m) {
    bool any = false;
    start_names(p);
    for (const ir_const *k = m->consts; k; k = k->next) {
        if (!k->value.uses) continue;
        if (!any) tl_str_putc(p->out, '\n');
        any = true;
        tl_str_puts(p->out, "const ");
        print_operand(p, &k->value);
        tl_str_putc(p->out, ' ');
        print_tensor(p, k->value.tensor);
        tl_str_putc(p->out, '\n');
    }
}

static void init_printer(printer *p, const ir_module *m, const ir_print_options *o, tl_str *out) {
    *p = (printer){.out = out, .arena = out->arena, .c = m->ctx, .counted = out->len};
    if (o) p->o = *o;
    tl_map_init(&p->names, p->arena);
    start_names(p);
}

static void print_module(printer *p, const ir_module *m) {
    tl_str_printf(p->out, "tlbc 1\nopset \"\" %d\n", m->opset);
    if (m->producer) {
        tl_str_puts(p->out, "producer ");
        lex_print_string(p->out, tl_sv_from(m->producer));
        tl_str_putc(p->out, '\n');
    }
    print_consts(p, m);
    for (const ir_graph *g = m->graphs; g; g = g->next)
        print_graph(p, g);
}

void ir_module_print(const ir_module *m, const ir_print_options *o, tl_str *out) {
    printer p;
    init_printer(&p, m, o, out);
    print_module(&p, m);
}

void ir_module_print_notes(const ir_module *m, const ir_note *notes, uint32_t n, tl_str *out) {
    printer p;
    init_printer(&p, m, NULL, out);
    p.notes = notes;
    p.n_notes = n;
    print_notes(&p, NULL);
    print_module(&p, m);
}

/* Gives all values of a region the names that the printed module gives them. */
static void name_region(printer *p, const ir_region *r) {
    for (uint32_t i = 0; i < r->n_params; i++)
        get_name(p, r->params[i]);
    ir_for_each_node (n, r) {
        for (uint32_t i = 0; i < n->n_out; i++)
            get_name(p, &n->out[i]);
        for (uint32_t i = 0; i < n->n_regions; i++)
            name_region(p, n->regions[i]);
    }
}

static void name_consts(printer *p, const ir_module *m) {
    start_names(p);
    for (const ir_const *k = m->consts; k; k = k->next)
        if (k->value.uses) get_name(p, &k->value);
    start_names(p);
}

void ir_node_print(const ir_node *n, tl_str *out) {
    const ir_graph *g = n->parent ? n->parent->graph : NULL;
    printer p = {.out = out, .arena = out->arena};
    if (!g) { /* not linked: no module to number its values by */
        tl_str_puts(out, op_get(n->op)->name);
        return;
    }
    init_printer(&p, g->module, NULL, out);
    name_consts(&p, g->module);
    name_region(&p, g->body);
    print_header(&p, n);
    if (n->n_regions) tl_str_puts(out, " {...}");
}
