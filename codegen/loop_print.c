/* Loop IR as text; the language is in loop.h. Names are kept where they are unique in the function, values without a name get numbers
 * in print order, i64 constants are written where they are used:
 *
 *   %0 = add i64 %i, 8              two instructions: the constant 8 and the sum
 */
#include "codegen/loop.h"

#include "ir/base/hash.h"

#include "ir/literal.h"

#include <inttypes.h>

typedef struct printer {
    tl_str *out;
    tl_arena *arena; /* of the names */
    tl_map names;    /* lp_value -> const char * */
    tl_map numbers;  /* lp_value -> number, where it has no name */
    tl_map used;     /* hash of a name -> number of its last variation */
    uint32_t next;
    int indent;
    const lp_instr *wanted; /* lp_instr_text: this one's line */
    size_t wanted_start, wanted_end;
} printer;

/* ---- values --------------------------------------------------------------------------------------------------- */

static void print_type(tl_str *out, lp_type t) {
    if (t.elem == LP_PTR || t.elem == LP_VOID)
        tl_str_puts(out, t.elem == LP_PTR ? "ptr" : "void");
    else
        tl_str_puts(out, ir_dtype_name((ir_dtype)t.elem));
    if (t.lanes > 1) tl_str_printf(out, "x%u", t.lanes);
}

/* The name, or a variation of it that no value of the function has yet. The map keeps the last number that was given to a name of
 * this kind: the next search goes on from there. */
static const char *claim_name(printer *p, const char *wanted) {
    uint64_t hash = tl_hash_bytes(0, wanted, strlen(wanted)), *last;
    const char *name = wanted;
    bool added;
    last = tl_map_insert(&p->used, hash, &added);
    for (uint64_t k = *last + 1; !added; k++) {
        name = tl_arena_printf(p->arena, "%s.%" PRIu64, wanted, k);
        tl_map_insert(&p->used, tl_hash_bytes(0, name, strlen(name)), &added);
        *tl_map_find(&p->used, hash) = k;
    }
    return name;
}

static void print_name(printer *p, const lp_value *v) {
    const char *name = tl_map_get_ptr(&p->names, v);
    uint64_t *number = tl_map_find(&p->numbers, (uint64_t)(uintptr_t)v);
    if (name)
        lex_print_name(p->out, "%", name);
    else if (number)
        tl_str_printf(p->out, "%%%" PRIu64, *number);
    else
        tl_str_puts(p->out, "%undefined");
}

static void print_new(printer *p, const lp_value *v) {
    if (v->name)
        tl_map_set_ptr(&p->names, v, claim_name(p, v->name));
    else
        *tl_map_insert(&p->numbers, (uint64_t)(uintptr_t)v, NULL) = p->next++;
    print_name(p, v);
}

/* An i64 constant is no line of its own. */
static bool is_inline(const lp_value *v) {
    int64_t x;
    return lp_type_equal(v->type, LP_I64) && lp_value_is_const_i(v, &x);
}

static void print_value(printer *p, const lp_value *v) {
    if (is_inline(v))
        tl_str_printf(p->out, "%" PRId64, v->def->imm);
    else
        print_name(p, v);
}

static void print_values(printer *p, lp_value *const *values, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        if (i) tl_str_puts(p->out, ", ");
        print_value(p, values[i]);
    }
}

/* ---- instructions --------------------------------------------------------------------------------------------- */

static void print_block(printer *p, const lp_block *b);

static void print_const(printer *p, const lp_instr *i) {
    ir_dtype t = (ir_dtype)i->type.elem;
    uint64_t element = 0;
    if (lp_is_moved(i->type)) {
        tl_str_putc(p->out, '0');
        return;
    }
    if (ir_dtype_is_float(t))
        ir_element_set_f64(t, &element, 0, i->fimm);
    else
        ir_element_set_i64(t, &element, 0, i->imm);
    literal_print(p->out, t, &element, 0);
}

static void print_address(printer *p, const lp_instr *i) {
    print_value(p, i->args[0]);
    tl_str_putc(p->out, '[');
    print_value(p, i->args[1]);
    tl_str_putc(p->out, ']');
    if (i->n_args > 2) tl_str_puts(p->out, ", ");
    print_values(p, i->args + 2, i->n_args - 2);
    if (i->imm) tl_str_printf(p->out, " align %" PRId64, i->imm);
}

static void print_mask(printer *p, const lp_instr *i) {
    tl_str_puts(p->out, ", [");
    for (uint32_t k = 0; k < i->type.lanes; k++)
        tl_str_printf(p->out, k ? ", %d" : "%d", i->mask[k]);
    tl_str_putc(p->out, ']');
}

static void print_carried(printer *p, lp_value *const *params, lp_value *const *init, uint32_t n) {
    if (n == 0) return;
    tl_str_puts(p->out, " carry(");
    for (uint32_t i = 0; i < n; i++) {
        if (i) tl_str_puts(p->out, ", ");
        print_new(p, params[i]);
        tl_str_puts(p->out, " = ");
        print_value(p, init[i]);
    }
    tl_str_putc(p->out, ')');
}

static void print_for(printer *p, const lp_instr *i) {
    const lp_block *body = i->blocks[0];
    tl_str_putc(p->out, ' ');
    print_new(p, body->params[0]);
    tl_str_puts(p->out, " = ");
    print_value(p, i->args[0]);
    tl_str_puts(p->out, " to ");
    print_value(p, i->args[1]);
    tl_str_puts(p->out, " step ");
    print_value(p, i->args[2]);
    print_carried(p, body->params + 1, i->args + 3, i->n_args - 3);
    print_block(p, body);
}

static void print_while(printer *p, const lp_instr *i) {
    const lp_block *body = i->blocks[1];
    print_carried(p, i->blocks[0]->params, i->args, i->n_args);
    print_block(p, i->blocks[0]);
    tl_str_puts(p->out, " do");
    for (uint32_t k = 0; k < body->n_params; k++) {
        tl_str_puts(p->out, k ? ", " : "(");
        print_new(p, body->params[k]);
    }
    if (body->n_params) tl_str_putc(p->out, ')');
    print_block(p, body);
}

static void print_if(printer *p, const lp_instr *i) {
    tl_str_putc(p->out, ' ');
    print_value(p, i->args[0]);
    print_block(p, i->blocks[0]);
    if (!i->blocks[1]) return;
    tl_str_puts(p->out, " else");
    print_block(p, i->blocks[1]);
}

static bool is_address_op(lp_op op) {
    return op >= LP_load && op <= LP_scatter;
}

static void print_plain(printer *p, const lp_instr *i) {
    if (i->type.elem != LP_VOID || i->op == LP_call) {
        tl_str_putc(p->out, ' ');
        print_type(p->out, i->type);
    }
    if (i->op != LP_iota) tl_str_putc(p->out, ' ');
    if (i->op == LP_const)
        print_const(p, i);
    else if (is_address_op(i->op))
        print_address(p, i);
    else if (i->op == LP_call)
        lex_print_name(p->out, "@", i->callee), tl_str_putc(p->out, '(');
    if (is_address_op(i->op)) return;
    print_values(p, i->args, i->n_args);
    if (i->op == LP_call) tl_str_putc(p->out, ')');
    if (i->op == LP_extract || i->op == LP_insert)
        tl_str_printf(p->out, ", %" PRId64, i->imm);
    else if (i->op == LP_alloca || i->op == LP_buffer)
        tl_str_printf(p->out, "%" PRId64, i->imm);
    else if (i->op == LP_shuffle)
        print_mask(p, i);
}

static void print_results(printer *p, const lp_instr *i) {
    for (uint32_t r = 0; r < i->n_results; r++) {
        if (r) tl_str_puts(p->out, ", ");
        print_new(p, i->results[r]);
    }
    if (i->n_results) tl_str_puts(p->out, " = ");
}

static void print_line_start(printer *p) {
    for (int k = 0; k < p->indent; k++)
        tl_str_puts(p->out, "  ");
}

static void print_instr(printer *p, const lp_instr *i) {
    if (i->n_results == 1 && is_inline(i->results[0])) return;
    print_line_start(p);
    size_t start = p->out->len;
    print_results(p, i);
    tl_str_puts(p->out, lp_op_name(i->op));
    if (i->op == LP_for)
        print_for(p, i);
    else if (i->op == LP_while)
        print_while(p, i);
    else if (i->op == LP_if)
        print_if(p, i);
    else
        print_plain(p, i);
    if (i == p->wanted) p->wanted_start = start, p->wanted_end = p->out->len;
    tl_str_putc(p->out, '\n');
}

static void print_block(printer *p, const lp_block *b) {
    tl_str_puts(p->out, " {\n");
    p->indent++;
    for (const lp_instr *i = b->first; i; i = i->next)
        print_instr(p, i);
    p->indent--;
    print_line_start(p);
    tl_str_putc(p->out, '}');
}

/* ---- functions ------------------------------------------------------------------------------------------------ */

static void print_param(printer *p, const lp_func *f, uint32_t i) {
    unsigned flags = f->param_flags[i];
    print_type(p->out, f->params[i]->type);
    if (flags & LP_NOALIAS) tl_str_puts(p->out, " noalias");
    if (flags & LP_READONLY) tl_str_puts(p->out, " readonly");
    if (flags & LP_ALIGN64) tl_str_puts(p->out, " align64");
    tl_str_putc(p->out, ' ');
    print_new(p, f->params[i]);
}

static void print_header(printer *p, const lp_func *f) {
    tl_str_puts(p->out, "func ");
    lex_print_name(p->out, "@", f->name);
    tl_str_putc(p->out, '(');
    for (uint32_t i = 0; i < f->n_params; i++) {
        if (i) tl_str_puts(p->out, ", ");
        print_param(p, f, i);
    }
    tl_str_putc(p->out, ')');
    if (f->result.elem != LP_VOID) {
        tl_str_puts(p->out, " => ");
        print_type(p->out, f->result);
    }
    if (f->noinline_) tl_str_puts(p->out, " noinline");
    if (f->external) tl_str_puts(p->out, " external");
    if (f->line) tl_str_printf(p->out, " line %u", f->line);
    if (!f->summary) return;
    tl_str_puts(p->out, " summary ");
    lex_print_string(p->out, tl_sv_from(f->summary));
}

static void init(printer *p, tl_str *out, const lp_instr *wanted) {
    *p = (printer){.out = out, .arena = out->arena, .wanted = wanted};
    tl_map_init(&p->names, out->arena);
    tl_map_init(&p->numbers, out->arena);
    tl_map_init(&p->used, out->arena);
}

static void print_func(printer *p, const lp_func *f) {
    print_header(p, f);
    print_block(p, f->body);
    tl_str_putc(p->out, '\n');
}

/* Names live in the arena of the text, which grows by less than the text does. */
void lp_func_print(const lp_func *f, tl_str *out) {
    printer p;
    init(&p, out, NULL);
    print_func(&p, f);
}

const char *lp_instr_text(const lp_func *f, const lp_instr *i, tl_arena *a) {
    printer p;
    tl_str text;
    tl_str_init(&text, a);
    init(&p, &text, i);
    print_func(&p, f);
    const char *start = text.data + p.wanted_start;
    size_t line = strcspn(start, "\n"), n = p.wanted_end - p.wanted_start;
    return tl_arena_strndup(a, start, n < line ? n : line);
}

void lp_module_print(const lp_module *m, tl_str *out) {
    for (const lp_func *f = m->funcs; f; f = f->next) {
        if (f != m->funcs) tl_str_putc(out, '\n');
        lp_func_print(f, out);
    }
}
