#include "codegen/header.h"

#include "ir/base/vec.h"

/* One input or output. */
typedef struct header_tensor {
    const char *name;   /* in the model */
    const char *c_name; /* parameter: "image", "input_1" */
    const char *macro;  /* part of constants: "IMAGE" */
    const ir_type *type;
    bool input;
} header_tensor;

typedef struct header {
    tl_arena *arena;
    tl_str *out;
    const char *name, *upper;
    TL_VEC(header_tensor) tensors; /* inputs, then outputs */
    uint32_t n_inputs, n_states;
    TL_VEC(const char *) symbols, symbol_names; /* of the inputs' dimensions, and as parameters */
} header;

/* ---- names ---------------------------------------------------------------------------------------------------- */

/* Words of C and C++ that a tensor may well be called, and our own parameters and locals. */
static const char *const reserved[] = {
    "and",    "asm",      "auto",     "bool",     "break",     "case",     "catch",     "char",
    "class",  "const",    "continue", "default",  "delete",    "do",       "double",    "else",
    "enum",   "explicit", "export",   "extern",   "false",     "float",    "for",       "friend",
    "goto",   "if",       "inline",   "int",      "long",      "mutable",  "namespace", "new",
    "not",    "operator", "or",       "private",  "protected", "public",   "register",  "restrict",
    "return", "short",    "signed",   "sizeof",   "static",    "struct",   "switch",    "template",
    "this",   "throw",    "true",     "try",      "typedef",   "typename", "union",     "unsigned",
    "using",  "virtual",  "void",     "volatile", "while",     "xor",      "session",   "status",
    "in",     "out",
};

static bool is_taken(const header *h, const char *name) {
    for (size_t i = 0; i < sizeof reserved / sizeof reserved[0]; i++)
        if (!strcmp(reserved[i], name)) return true;
    for (uint32_t i = 0; i < h->symbol_names.len; i++)
        if (!strcmp(h->symbol_names.data[i], name)) return true;
    for (uint32_t i = 0; i < h->tensors.len; i++)
        if (!strcmp(h->tensors.data[i].c_name, name)) return true;
    return false;
}

/* A parameter name no other has: "layer/x:0" -> "layer_x_0", "x" taken -> "x_2". */
static const char *parameter_name(const header *h, const char *text) {
    bool digit = text[0] >= '0' && text[0] <= '9';
    char *s = tl_arena_printf(h->arena, "%s%s", digit || !text[0] ? "t" : "", text);
    for (char *p = s; *p; p++) {
        bool ok = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9');
        if (!ok) *p = '_';
    }
    const char *name = s;
    for (unsigned i = 2; is_taken(h, name); i++)
        name = tl_arena_printf(h->arena, "%s_%u", s, i);
    return name;
}

static const char *upper_case(tl_arena *a, const char *text) {
    char *s = tl_arena_strdup(a, text);
    for (char *p = s; *p; p++)
        if (*p >= 'a' && *p <= 'z') *p = (char)(*p - 'a' + 'A');
    return s;
}

static void add_symbol(void *data, const char *symbol) {
    header *h = data;
    for (uint32_t i = 0; i < h->symbols.len; i++)
        if (!strcmp(h->symbols.data[i], symbol)) return;
    const char *name = parameter_name(
        h, symbol); /* before there is room for it in the list it looks at */
    tl_vec_push(h->arena, &h->symbols, symbol);
    tl_vec_push(h->arena, &h->symbol_names, name);
}

static void add_tensor(header *h, const char *name, const ir_type *type, bool input) {
    const char *c_name = parameter_name(h, name);
    tl_vec_push(h->arena, &h->tensors,
                (header_tensor){name, c_name, upper_case(h->arena, c_name), type, input});
}

static void collect(header *h, const ir_graph *g) {
    h->n_inputs = ir_graph_n_inputs(g);
    h->n_states = g->n_states;
    for (uint32_t i = 0; i < h->n_inputs; i++) {
        const ir_type *t = g->body->params[i]->type;
        for (int32_t d = 0; ir_type_is_ranked(t) && d < t->rank; d++)
            ir_dim_each_symbol(t->dims[d], add_symbol, h);
    }
    for (uint32_t i = 0; i < h->n_inputs; i++)
        add_tensor(h, g->body->params[i]->name, g->body->params[i]->type, true);
    for (uint32_t i = 0; i < ir_graph_n_outputs(g); i++)
        add_tensor(h, g->outputs[i], ir_region_result(g->body, i)->type, false);
}

/* ---- types and dimensions as C -------------------------------------------------------------------------------- */

/* What an element is in C; types C has no name for are raw bits. */
static const char *c_type(ir_dtype t) {
    switch (t) {
    case DT_f32:
    case DT_c64:
        return "float";
    case DT_f64:
    case DT_c128:
        return "double";
    case DT_i8:
        return "int8_t";
    case DT_i16:
        return "int16_t";
    case DT_u16:
    case DT_f16:
    case DT_bf16:
        return "uint16_t";
    case DT_i32:
        return "int32_t";
    case DT_u32:
        return "uint32_t";
    case DT_i64:
        return "int64_t";
    case DT_u64:
        return "uint64_t";
    case DT_str:
        return "tlbc_string";
    default:
        return "uint8_t";
    }
}

static const char *symbol_parameter(const header *h, const char *symbol) {
    for (uint32_t i = 0; i < h->symbols.len; i++)
        if (!strcmp(h->symbols.data[i], symbol)) return h->symbol_names.data[i];
    return symbol;
}

static void print_dim(header *h, const ir_dim *d);

static void print_atom(header *h, const ir_dim_atom *a) {
    static const char *const formats[] = {[DIM_FLOORDIV] = "tlbc_floor_div",
                                          [DIM_CEILDIV] = "tlbc_ceil_div",
                                          [DIM_MAX] = "tlbc_max",
                                          [DIM_MIN] = "tlbc_min"};
    if (a->op == DIM_SYMBOL) {
        tl_str_puts(h->out, symbol_parameter(h, a->symbol));
        return;
    }
    tl_str_printf(h->out, "%s(", formats[a->op]);
    print_dim(h, a->a);
    tl_str_puts(h->out, ", ");
    print_dim(h, a->b);
    tl_str_putc(h->out, ')');
}

static void print_dim(header *h, const ir_dim *d) {
    if (d->n_terms == 0) tl_str_putc(h->out, '0');
    for (uint32_t i = 0; i < d->n_terms; i++) {
        const ir_dim_term *t = &d->terms[i];
        if (i) tl_str_puts(h->out, " + ");
        if (t->coef != 1 || t->n_atoms == 0) tl_str_printf(h->out, "%lld", (long long)t->coef);
        for (uint32_t k = 0; k < t->n_atoms; k++) {
            if (k || t->coef != 1) tl_str_puts(h->out, " * ");
            print_atom(h, t->atoms[k]);
        }
    }
}

/* ---- parts of the file ---------------------------------------------------------------------------------------- */

/* ONNX names may hold anything; a comment must not end in one. */
static const char *comment_text(tl_arena *a, const char *text) {
    char *s = tl_arena_strdup(a, text);
    for (char *p = s; *p; p++)
        if ((*p == '*' || *p == '/') && (p[1] == '/' || p[1] == '*')) *p = '_';
    for (char *p = s; *p; p++)
        if ((unsigned char)*p < ' ' || *p == '\\') *p = '_';
    return s;
}

/* What a call is called: a model with states is a step function. */
static const char *verb(const header *h) {
    return h->n_states ? "step" : "run";
}

static void print_top(header *h, const ir_module *m) {
    tl_str_printf(
        h->out,
        "/* Model '%s'%s%s, compiled by tlbc: sizes and typed functions. Generated; do not edit.\n"
        " *\n"
        " *   tlbc_session *session;\n"
        " *   tlbc_session_create(&%s_model, NULL, &session);     or a model from tlbc_open\n"
        " *   status = %s_%s(session, ...);\n"
        " *   tlbc_session_free(session); */\n"
        "#ifndef TLBC_MODEL_%s_H\n#define TLBC_MODEL_%s_H\n\n"
        "#include \"tlbc/runtime.h\"\n\n"
        "#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n",
        h->name, m->producer ? " from " : "",
        comment_text(h->arena, m->producer ? m->producer : ""), h->name, h->name, verb(h), h->upper,
        h->upper);
}

static void print_model(header *h, const char *entry) {
    if (entry) tl_str_printf(h->out, "/* ---- entry point '%s' ---- */\n\n", entry);
    tl_str_printf(
        h->out,
        "/* The model, where its object file is linked into the program (--emit=obj). */\n"
        "extern const tlbc_model %s_model;\n\n"
        "#define %s_N_INPUTS %u\n#define %s_N_OUTPUTS %u\n\n",
        h->name, h->upper, h->n_inputs, h->upper, h->tensors.len - h->n_inputs);
}

static void print_constants(header *h, const header_tensor *t, uint32_t number) {
    size_t n;
    tl_str type;
    tl_str_init(&type, h->arena);
    ir_type_print(t->type, &type);
    tl_str_printf(h->out, "/* %s %u '%s': %s */\n", t->input ? "input" : "output", number,
                  comment_text(h->arena, t->name), comment_text(h->arena, type.data));
    tl_str_printf(h->out, "#define %s_%s_INDEX %u\n", h->upper, t->macro, number);
    bool ranked = ir_type_is_ranked(t->type);
    if (ranked) tl_str_printf(h->out, "#define %s_%s_RANK %d\n", h->upper, t->macro, t->type->rank);
    for (int32_t d = 0; ranked && d < t->type->rank; d++) {
        int64_t v;
        if (ir_dim_is_const(t->type->dims[d], &v))
            tl_str_printf(h->out, "#define %s_%s_DIM_%d %lld\n", h->upper, t->macro, d,
                          (long long)v);
    }
    if (ir_type_static_elements(t->type, &n))
        tl_str_printf(h->out, "#define %s_%s_ELEMENTS %zu\n", h->upper, t->macro, n);
    tl_str_putc(h->out, '\n');
}

/* Helpers of dimension expressions, once for all models of a program. */
static void print_helpers(header *h) {
    tl_str_puts(h->out,
                "#ifndef TLBC_DIM_HELPERS\n#define TLBC_DIM_HELPERS\n"
                "static inline int64_t tlbc_floor_div(int64_t a, int64_t b) { return a / b - (a % "
                "b != 0 && (a < 0) != (b < 0)); }\n"
                "static inline int64_t tlbc_ceil_div(int64_t a, int64_t b) { return a / b + (a % b "
                "!= 0 && (a < 0) == (b < 0)); }\n"
                "static inline int64_t tlbc_max(int64_t a, int64_t b) { return a > b ? a : b; }\n"
                "static inline int64_t tlbc_min(int64_t a, int64_t b) { return a < b ? a : b; }\n"
                "#endif\n\n");
}

static void print_input(header *h, const header_tensor *t, uint32_t number) {
    unsigned bits = ir_dtype_bits(t->type->dtype);
    tl_str_printf(h->out, "    in[%u].data = (void *)(size_t)%s;\n", number, t->c_name);
    tl_str_printf(h->out, "    in[%u].dtype = (tlbc_dtype)%d;\n    in[%u].rank = %d;\n", number,
                  (int)t->type->dtype, number, t->type->rank);
    for (int32_t d = 0; d < t->type->rank; d++) {
        tl_str_printf(h->out, "    in[%u].dims[%d] = ", number, d);
        print_dim(h, t->type->dims[d]);
        tl_str_puts(h->out, ";\n");
    }
    /* how much there is only the caller knows: as much as the dimensions say */
    tl_str_printf(h->out, "    in[%u].bytes = ((size_t)%u", number, bits);
    for (int32_t d = 0; d < t->type->rank; d++)
        tl_str_printf(h->out, " * (size_t)in[%u].dims[%d]", number, d);
    tl_str_puts(h->out, " + 7) / 8;\n");
}

static void print_parameters(header *h, bool with_data) {
    tl_str_puts(h->out, "tlbc_session *session");
    for (uint32_t i = 0; i < h->symbol_names.len; i++)
        tl_str_printf(h->out, ", int64_t %s", h->symbol_names.data[i]);
    for (uint32_t i = 0; with_data && i < h->tensors.len; i++) {
        const header_tensor *t = &h->tensors.data[i];
        tl_str_printf(h->out, ", %s%s *%s", t->input ? "const " : "", c_type(t->type->dtype),
                      t->c_name);
    }
}

typedef struct open_dim {
    const header *h;
    bool found;
} open_dim;

static void look_up(void *data, const char *symbol) {
    open_dim *o = data;
    bool known = false;
    for (uint32_t i = 0; i < o->h->symbols.len && !known; i++)
        known = !strcmp(o->h->symbols.data[i], symbol);
    o->found = o->found || !known;
}

/* Something that a pointer and the symbols do not describe: a list, strings that the run makes, a shape that depends on data. */
static bool has_open_values(const header *h) {
    open_dim o = {h, false};
    for (uint32_t i = 0; i < h->tensors.len && !o.found; i++) {
        const ir_type *t = h->tensors.data[i].type;
        bool made = t->dtype == DT_str && !h->tensors.data[i].input;
        if (!ir_type_is_known(t) || made) return true;
        for (int32_t d = 0; d < t->rank; d++)
            ir_dim_each_symbol(t->dims[d], look_up, &o);
    }
    return o.found;
}

static void print_run(header *h) {
    if (has_open_values(h)) {
        tl_str_puts(h->out,
                    "/* Only a run tells the shape or kind of some values: call tlbc_run, which "
                    "fills in the outputs. */\n\n");
        return;
    }
    uint32_t n_out = h->tensors.len - h->n_inputs;
    tl_str_printf(h->out,
                  "/* One %s. Inputs hold as many elements as their dimensions say; outputs have "
                  "room for as many as theirs do\n"
                  " * (static shapes: the _ELEMENTS above; else tlbc_shapes). Row-major, in the "
                  "order of the model. */\n"
                  "static inline tlbc_status %s_%s(",
                  verb(h), h->name, verb(h));
    print_parameters(h, true);
    tl_str_printf(h->out, ") {\n    tlbc_tensor in[%u], out[%u];\n    tlbc_status status;\n",
                  h->n_inputs ? h->n_inputs : 1, n_out ? n_out : 1);
    for (uint32_t i = 0; i < h->n_inputs; i++)
        print_input(h, &h->tensors.data[i], i);
    tl_str_puts(
        h->out,
        "    status = tlbc_shapes(session, in, out, NULL);\n    if (status) return status;\n");
    for (uint32_t i = 0; i < n_out; i++)
        tl_str_printf(h->out, "    out[%u].data = %s;\n", i,
                      h->tensors.data[h->n_inputs + i].c_name);
    tl_str_printf(h->out, "    return tlbc_%s(session, in, out);\n}\n\n", verb(h));
}

static header begin_header(const ir_module *m, const ir_graph *g, const char *name, tl_str *out) {
    if (g != m->graphs) name = tl_arena_printf(m->arena, "%s_%s", name, g->name);
    header h = {.arena = m->arena, .out = out, .name = name, .upper = upper_case(m->arena, name)};
    collect(&h, g);
    return h;
}

void cg_header_print(const ir_module *m, const char *name, tl_str *out) {
    for (const ir_graph *g = m->graphs; g; g = g->next) {
        if (g->tail) continue;
        header h = begin_header(m, g, name, out);
        if (g == m->graphs) print_top(&h, m);
        print_model(&h, g == m->graphs ? NULL : g->name);
        for (uint32_t i = 0; i < h.tensors.len; i++)
            print_constants(&h, &h.tensors.data[i], i < h.n_inputs ? i : i - h.n_inputs);
        if (h.symbols.len) print_helpers(&h);
        print_run(&h);
    }
    tl_str_puts(out, "#ifdef __cplusplus\n}\n#endif\n\n#endif\n");
}
