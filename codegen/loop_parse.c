/* Parser of the loop IR's text, by recursive descent; the language is in loop.h.
 *
 *   %a = add i64 %i, 8          the number 8 becomes a constant of its own in front
 *
 * Names are known from where they are defined to the end of the function; whether every use is dominated, and types, are the
 * verifier's business (loop_verify.c). The text is hostile: sizes and depth are limited, the first mistake ends the parse. */
#include "codegen/loop_internal.h"

#include "ir/base/vec.h"
#include "ir/limits.h"
#include "ir/literal.h"

typedef TL_VEC(lp_value *) value_vec;
typedef TL_VEC(const char *) name_vec;

typedef struct parser {
    lexer lx;
    tl_map values; /* interned name with its sigil -> lp_value */
    lp_builder b;
    uint32_t depth;
} parser;

static bool parse_block(parser *p);

/* ---- values --------------------------------------------------------------------------------------------------- */

static bool all_digits(tl_sv s) {
    for (size_t i = 0; i < s.len; i++)
        if (s.data[i] < '0' || s.data[i] > '9') return false;
    return true;
}

/* The current token as a key; numbers are no names. Steps over it. */
static const char *parse_key(parser *p) {
    lexer *l = &p->lx;
    if (l->tok.kind != LEX_VALUE) {
        lex_error(l, "expected a value, found %s", lex_describe(l));
        return NULL;
    }
    tl_sv t = l->tok.text;
    const char *sigil = !l->tok.quoted && all_digits(t) ? "%" : "";
    tl_str key;
    tl_str_init(&key, l->arena);
    tl_str_puts(&key, sigil);
    tl_str_append(&key, t.data, t.len);
    lex_next(l);
    return ir_name(l->c, key.data);
}

static bool define(parser *p, const char *key, lp_value *v) {
    if (!key) return false;
    if (tl_map_get_ptr(&p->values, key))
        return lex_error(&p->lx, "'%%%s' is defined twice", key + (*key == '%'));
    v->name = *key == '%' ? NULL : key;
    tl_map_set_ptr(&p->values, key, v);
    return true;
}

/* A value, or an i64 constant in its place. */
static bool parse_operand(parser *p, lp_value **out) {
    lexer *l = &p->lx;
    int64_t number;
    if (l->tok.kind == LEX_NUMBER) {
        if (!lex_parse_int(l->tok.text, &number))
            return lex_error(l, "expected a 64-bit integer, found %s", lex_describe(l));
        lex_next(l);
        *out = lp_index(&p->b, number);
        return !l->failed;
    }
    const char *key = parse_key(p);
    if (!key) return false;
    *out = tl_map_get_ptr(&p->values, key);
    return *out || lex_error(l, "'%%%s' is not defined before", key + (*key == '%'));
}

static bool push_operand(parser *p, value_vec *args) {
    lp_value *v;
    if (!parse_operand(p, &v)) return false;
    tl_vec_push(p->lx.arena, args, v);
    return true;
}

static bool parse_operands(parser *p, value_vec *args) {
    do
        if (!push_operand(p, args)) return false;
    while (lex_accept(&p->lx, ','));
    return true;
}

static bool parse_int(parser *p, int64_t *out) {
    lexer *l = &p->lx;
    if (l->tok.kind != LEX_NUMBER || !lex_parse_int(l->tok.text, out))
        return lex_error(l, "expected an integer, found %s", lex_describe(l));
    lex_next(l);
    return !l->failed;
}

/* ---- types ---------------------------------------------------------------------------------------------------- */

/* Length of the element type's name: "f32x8" is 3. */
static size_t elem_length(tl_sv t, int64_t *lanes) {
    size_t n = t.len;
    while (n && t.data[n - 1] >= '0' && t.data[n - 1] <= '9')
        n--;
    *lanes = 1;
    if (n < 2 || n == t.len || t.data[n - 1] != 'x') return t.len;
    tl_sv digits = {t.data + n, t.len - n};
    return lex_parse_int(digits, lanes) ? n - 1 : t.len;
}

static bool parse_type(parser *p, lp_type *out) {
    lexer *l = &p->lx;
    int64_t lanes;
    ir_dtype elem;
    if (l->tok.kind != LEX_IDENT) return lex_error(l, "expected a type, found %s", lex_describe(l));
    tl_sv t = l->tok.text;
    t.len = elem_length(t, &lanes);
    if (lanes < 1 || lanes > LP_MAX_LANES)
        return lex_error(l, "a vector has 1 to %d lanes", LP_MAX_LANES);
    if (tl_sv_is(t, "ptr"))
        *out = lp_vec(LP_PTR, (unsigned)lanes);
    else if (tl_sv_is(t, "void"))
        *out = lp_vec(LP_VOID, (unsigned)lanes);
    else if (ir_dtype_parse(t.data, t.len, &elem))
        *out = lp_vec(elem, (unsigned)lanes);
    else
        return lex_error(l, "expected a type, found %s", lex_describe(l));
    lex_next(l);
    return !l->failed;
}

/* ---- plain instructions --------------------------------------------------------------------------------------- */

/* What is parsed of an instruction before it is made. */
typedef struct pending {
    lp_op op;
    lp_type type;
    value_vec args;
    int64_t imm;
    const int32_t *mask;
    const char *callee;
} pending;

static bool parse_const(parser *p, lp_type t, lp_value **out) {
    uint64_t element = 0;
    if (t.elem >= LP_PTR) return lex_error(&p->lx, "there are no constants of this type");
    if (lp_is_moved(t)) {
        bool zero = p->lx.tok.kind == LEX_NUMBER && tl_sv_is(p->lx.tok.text, "0");
        if (!zero) return lex_error(&p->lx, "the one constant of this type is 0");
        lex_next(&p->lx);
        *out = lp_const_i(&p->b, t, 0);
        return true;
    }
    if (!literal_parse(&p->lx, (ir_dtype)t.elem, &element, 0)) return false;
    if (ir_dtype_is_float((ir_dtype)t.elem))
        *out = lp_const_f(&p->b, t, ir_element_get_f64((ir_dtype)t.elem, &element, 0));
    else
        *out = lp_const_i(&p->b, t, ir_element_get_i64((ir_dtype)t.elem, &element, 0));
    return true;
}

/* ptr[index], operands align n */
static bool parse_address(parser *p, pending *q) {
    lexer *l = &p->lx;
    if (!push_operand(p, &q->args) || !lex_expect(l, '[') || !push_operand(p, &q->args) ||
        !lex_expect(l, ']'))
        return false;
    if (lex_accept(l, ',') && !parse_operands(p, &q->args)) return false;
    return !lex_accept_word(l, "align") || parse_int(p, &q->imm);
}

static bool parse_call(parser *p, pending *q) {
    lexer *l = &p->lx;
    if (l->tok.kind != LEX_CONST)
        return lex_error(l, "expected a function, found %s", lex_describe(l));
    q->callee = tl_intern_get_n(&l->c->names, l->tok.text.data, l->tok.text.len);
    lex_next(l);
    if (!lex_expect(l, '(')) return false;
    if (lex_accept(l, ')')) return true;
    return parse_operands(p, &q->args) && lex_expect(l, ')');
}

/* x, y, [0, 4, 1, 5] */
static bool parse_shuffle(parser *p, pending *q) {
    lexer *l = &p->lx;
    if (!push_operand(p, &q->args) || !lex_expect(l, ',') || !push_operand(p, &q->args) ||
        !lex_expect(l, ',') || !lex_expect(l, '['))
        return false;
    int32_t *mask = TL_NEW_ARRAY(p->b.m->arena, int32_t, q->type.lanes);
    for (unsigned k = 0; k < q->type.lanes; k++) {
        int64_t lane;
        if ((k && !lex_expect(l, ',')) || !parse_int(p, &lane)) return false;
        if (lane < -1 || lane >= 2 * LP_MAX_LANES) return lex_error(l, "no such lane");
        mask[k] = (int32_t)lane;
    }
    q->mask = mask;
    return lex_expect(l, ']');
}

/* The operands in the form the operation has. */
static bool parse_arguments(parser *p, pending *q) {
    lexer *l = &p->lx;
    switch (q->op) {
    case LP_iota:
        return true;
    case LP_alloca:
    case LP_buffer:
        return parse_int(p, &q->imm);
    case LP_extract:
        return push_operand(p, &q->args) && lex_expect(l, ',') && parse_int(p, &q->imm);
    case LP_insert:
        return push_operand(p, &q->args) && lex_expect(l, ',') && push_operand(p, &q->args) &&
               lex_expect(l, ',') && parse_int(p, &q->imm);
    case LP_shuffle:
        return parse_shuffle(p, q);
    case LP_call:
        return parse_call(p, q);
    default:
        break;
    }
    return q->op >= LP_load && q->op <= LP_scatter ? parse_address(p, q)
                                                   : parse_operands(p, &q->args);
}

static bool has_type(lp_op op) {
    return op != LP_prefetch && op != LP_yield && op != LP_return;
}

static bool has_result(const pending *q) {
    bool stores = q->op == LP_store || q->op == LP_store_masked || q->op == LP_scatter;
    return !stores && q->type.elem != LP_VOID;
}

static bool parse_plain(parser *p, lp_op op, const ir_loc *loc, lp_instr **out) {
    pending q = {.op = op, .type = lp_scalar(LP_VOID)};
    lp_value *v;
    if (has_type(op) && !parse_type(p, &q.type)) return false;
    if (op == LP_const) {
        if (!parse_const(p, q.type, &v)) return false;
        *out = v->def;
        return true;
    }
    if (!parse_arguments(p, &q)) return false;
    int arity = lp_op_arity(op);
    if (arity >= 0 && (uint32_t)arity != q.args.len)
        return lex_error(&p->lx, "'%s' takes %d operands, not %u", lp_op_name(op), arity,
                         q.args.len);
    p->b.loc = loc;
    *out = lp_emit(&p->b, op, q.type, q.args.data, q.args.len, has_result(&q));
    (*out)->imm = q.imm;
    (*out)->mask = q.mask;
    (*out)->callee = q.callee;
    return true;
}

/* ---- control flow --------------------------------------------------------------------------------------------- */

/* carry(%a = %x, %b = %y): new names and what they start as. */
static bool parse_carried(parser *p, name_vec *keys, value_vec *init) {
    lexer *l = &p->lx;
    if (!lex_accept_word(l, "carry")) return true;
    if (!lex_expect(l, '(')) return false;
    do {
        const char *key = parse_key(p);
        if (!key || !lex_expect(l, '=') || !push_operand(p, init)) return false;
        tl_vec_push(l->arena, keys, key);
    } while (lex_accept(l, ','));
    return lex_expect(l, ')');
}

static bool define_all(parser *p, const name_vec *keys, lp_value **values, uint32_t n) {
    if (keys->len != n) return lex_error(&p->lx, "%u names for %u values", keys->len, n);
    for (uint32_t i = 0; i < n; i++)
        if (!define(p, keys->data[i], values[i])) return false;
    return true;
}

static bool expect_word(parser *p, const char *word) {
    if (lex_accept_word(&p->lx, word)) return true;
    return lex_error(&p->lx, "expected '%s', found %s", word, lex_describe(&p->lx));
}

static bool parse_for(parser *p, lp_instr **out) {
    lp_value *range[3];
    name_vec keys = {0};
    value_vec init = {0};
    const char *counter = parse_key(p);
    if (!counter || !lex_expect(&p->lx, '=') || !parse_operand(p, &range[0]) ||
        !expect_word(p, "to") || !parse_operand(p, &range[1]) || !expect_word(p, "step") ||
        !parse_operand(p, &range[2]) || !parse_carried(p, &keys, &init))
        return false;
    lp_loop l = lp_for_begin(&p->b, range[0], range[1], range[2], init.data, init.len);
    *out = l.instr;
    bool ok = define(p, counter, l.counter) && define_all(p, &keys, l.carried, init.len) &&
              parse_block(p);
    p->b.block = l.outer;
    return ok;
}

/* do(%a, %b) { ... }: the names of the carried values in the body. */
static bool parse_do(parser *p, lp_loop *l, uint32_t n) {
    name_vec keys = {0};
    lp_instr *last = p->b.block->last;
    if (!last || last->op != LP_yield || last->n_args != 1)
        return lex_error(&p->lx, "a condition block ends with a yield of one value");
    l->instr->blocks[1] = lp_block_create_carried(&p->b, l->instr);
    p->b.block = l->instr->blocks[1];
    if (!expect_word(p, "do")) return false;
    if (n && !lex_expect(&p->lx, '(')) return false;
    for (uint32_t i = 0; i < n; i++) {
        if (i && !lex_expect(&p->lx, ',')) return false;
        const char *key = parse_key(p);
        if (!key) return false;
        tl_vec_push(p->lx.arena, &keys, key);
    }
    if (n && !lex_expect(&p->lx, ')')) return false;
    return define_all(p, &keys, p->b.block->params, n) && parse_block(p);
}

static bool parse_while(parser *p, lp_instr **out) {
    name_vec keys = {0};
    value_vec init = {0};
    if (!parse_carried(p, &keys, &init)) return false;
    lp_loop l = lp_while_begin(&p->b, init.data, init.len);
    *out = l.instr;
    bool ok = define_all(p, &keys, l.carried, init.len) && parse_block(p) &&
              parse_do(p, &l, init.len);
    p->b.block = l.outer;
    return ok;
}

/* Types of the results are those the first block yields. */
static bool parse_if(parser *p, uint32_t n_results, lp_instr **out) {
    lp_value *cond;
    if (!parse_operand(p, &cond)) return false;
    lp_type *types = TL_NEW_ARRAY(p->lx.arena, lp_type, n_results + 1);
    lp_loop l = lp_if_begin(&p->b, cond, types, n_results);
    *out = l.instr;
    bool ok = parse_block(p);
    lp_instr *last = l.instr->blocks[0]->last;
    for (uint32_t i = 0; ok && i < n_results; i++) {
        if (!last || last->op != LP_yield || last->n_args != n_results)
            ok = lex_error(&p->lx, "the block yields other than %u values", n_results);
        else
            l.results[i]->type = last->args[i]->type;
    }
    if (ok && lex_accept_word(&p->lx, "else")) {
        p->b.block = l.instr->blocks[1] = lp_block_create(&p->b, l.instr, 0);
        ok = parse_block(p);
    }
    p->b.block = l.outer;
    return ok;
}

/* ---- blocks and functions ------------------------------------------------------------------------------------- */

static bool parse_result_names(parser *p, name_vec *keys) {
    if (p->lx.tok.kind != LEX_VALUE) return true;
    do {
        const char *key = parse_key(p);
        if (!key) return false;
        tl_vec_push(p->lx.arena, keys, key);
    } while (lex_accept(&p->lx, ','));
    return lex_expect(&p->lx, '=');
}

static bool parse_instr(parser *p) {
    lexer *l = &p->lx;
    name_vec keys = {0};
    lp_op op;
    lp_instr *i = NULL;
    bool ok;
    if (!parse_result_names(p, &keys)) return false;
    const ir_loc *loc = lex_loc(l);
    if (l->tok.kind != LEX_IDENT || !lp_op_find(l->tok.text.data, l->tok.text.len, &op))
        return lex_error(l, "expected an operation, found %s", lex_describe(l));
    lp_instr *last = p->b.block->last;
    if (last && (last->op == LP_yield || last->op == LP_return))
        return lex_error(l, "'%s' stands behind a '%s'", lp_op_name(op), lp_op_name(last->op));
    lex_next(l);
    p->b.loc = loc;
    if (op == LP_for)
        ok = parse_for(p, &i);
    else if (op == LP_while)
        ok = parse_while(p, &i);
    else if (op == LP_if)
        ok = parse_if(p, keys.len, &i);
    else
        ok = parse_plain(p, op, loc, &i);
    return ok && define_all(p, &keys, i->results, i->n_results);
}

static bool parse_block(parser *p) {
    lexer *l = &p->lx;
    if (!lex_expect(l, '{')) return false;
    if (++p->depth > IR_MAX_NESTING) return lex_error(l, "blocks are nested too deeply");
    while (!lex_is(l, '}') && l->tok.kind != LEX_END)
        if (!parse_instr(p)) return false;
    p->depth--;
    return lex_expect(l, '}');
}

static bool parse_param(parser *p) {
    lexer *l = &p->lx;
    lp_type t;
    unsigned flags = 0;
    if (!parse_type(p, &t)) return false;
    if (lex_accept_word(l, "noalias")) flags |= LP_NOALIAS;
    if (lex_accept_word(l, "readonly")) flags |= LP_READONLY;
    if (lex_accept_word(l, "align64")) flags |= LP_ALIGN64;
    const char *key = parse_key(p);
    return key && define(p, key, lp_func_add_param(p->b.func, t, NULL, flags));
}

static bool parse_params(parser *p) {
    lexer *l = &p->lx;
    if (!lex_expect(l, '(')) return false;
    if (lex_accept(l, ')')) return true;
    do
        if (!parse_param(p)) return false;
    while (lex_accept(l, ','));
    return lex_expect(l, ')');
}

static bool parse_summary(parser *p) {
    lexer *l = &p->lx;
    if (!lex_accept_word(l, "summary")) return true;
    if (l->tok.kind != LEX_STRING || memchr(l->tok.text.data, 0, l->tok.text.len))
        return lex_error(l, "expected a text, found %s", lex_describe(l));
    p->b.func->summary = tl_arena_strndup(p->b.m->arena, l->tok.text.data, l->tok.text.len);
    lex_next(l);
    return !l->failed;
}

static bool parse_properties(parser *p) {
    lexer *l = &p->lx;
    lp_func *f = p->b.func;
    int64_t line = 0;
    if (l->tok.kind == LEX_ARROW) {
        lex_next(l);
        if (!parse_type(p, &f->result)) return false;
    }
    f->noinline_ = lex_accept_word(l, "noinline");
    f->external = lex_accept_word(l, "external");
    if (lex_accept_word(l, "line")) {
        if (!parse_int(p, &line)) return false;
        if (line < 0 || line > INT32_MAX) return lex_error(l, "no such line");
    }
    f->line = (uint32_t)line;
    return parse_summary(p);
}

static bool parse_func(parser *p) {
    lexer *l = &p->lx;
    if (!expect_word(p, "func")) return false;
    if (l->tok.kind != LEX_CONST)
        return lex_error(l, "expected a function's name, found %s", lex_describe(l));
    const char *name = tl_intern_get_n(&l->c->names, l->tok.text.data, l->tok.text.len);
    if (lp_module_find(p->b.m, name)) return lex_error(l, "'@%s' is defined twice", name);
    lex_next(l);
    p->b = lp_build_in(lp_func_create(p->b.m, name));
    tl_map_clear(&p->values);
    p->depth = 0;
    return parse_params(p) && parse_properties(p) && parse_block(p);
}

lp_module *lp_module_parse(ir_ctx *c, tl_arena *a, const char *file, const char *text, size_t len) {
    parser p = {.b = {.m = lp_module_create(c, a)}};
    tl_map_init(&p.values, a);
    lex_init(&p.lx, c, a, file, text, len);
    while (p.lx.tok.kind != LEX_END)
        if (!parse_func(&p)) return NULL;
    return p.lx.failed ? NULL : p.b.m;
}
