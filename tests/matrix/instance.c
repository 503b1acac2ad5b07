/* Models and data from recipes; see instance.h. */
#include "tests/matrix/instance.h"

#include "tests/support/one_node.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- variables --------------------------------------------------------------------------------------------------- */

/* Variables that are not in question have the first of these that they may have. */
static const ir_dtype usual[] = {DT_f32,  DT_i64, DT_i32, DT_u8,      DT_i8,
                                 DT_bool, DT_f16, DT_f64, DT_f8e4m3fn};

static ir_dtype most_usual(uint32_t types) {
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
        if (types >> usual[i] & 1) return usual[i];
    for (int t = 1; t < DT_COUNT; t++)
        if (types >> t & 1) return (ir_dtype)t;
    return DT_undefined;
}

static uint32_t mask_of(const ir_schema_types *t, recipe_kind kind) {
    const uint32_t masks[KIND_COUNT] = {t->tensor, t->seq, t->optional, t->optional_seq};
    return masks[kind];
}

static variable *find_variable(const instance *k, const char *name) {
    for (uint32_t i = 0; i < k->n_variables; i++)
        if (strcmp(k->variables[i].name, name) == 0) return (variable *)(uintptr_t)&k->variables[i];
    return NULL;
}

static const ir_schema_types *schema_types(const instance *k, const char *name) {
    for (uint32_t i = 0; k->schema && i < k->schema->n_constraints; i++)
        if (strcmp(k->schema->constraints[i].name, name) == 0)
            return k->schema->constraints[i].types;
    return NULL;
}

/* An element type is no variable, nor is one the recipe calls equal to another. */
static void add_variable(instance *k, const char *name, recipe_kind kind) {
    ir_dtype fixed;
    if (find_variable(k, name) || ir_dtype_parse(name, strlen(name), &fixed) ||
        k->n_variables == INSTANCE_VARIABLES)
        return;
    const ir_schema_types *t = schema_types(k, name);
    if (t && !mask_of(t, kind)) kind = KIND_SEQUENCE; /* an attribute may name what a list is of */
    uint32_t types = recipe_types(k->recipe, name, t ? mask_of(t, kind) : UINT32_MAX);
    k->variables[k->n_variables++] = (variable){name, types, kind, most_usual(types)};
}

/* The name of the type or variable of operand i. */
static const char *type_name(const instance *k, uint32_t i) {
    const recipe_operand *o = &k->recipe->operands[i];
    const ir_schema_slot *slot = k->schema ? ir_schema_find_input(k->schema, i) : NULL;
    if (o->type || !slot) return o->type ? o->type : "f32";
    return k->schema->constraints[slot->constraint].name;
}

static const char *variable_of_attr(const recipe_pair *p) {
    if (*p->text == '$') return p->text + 1;
    return strncmp(p->text, "tensor:", 7) == 0 ? p->text + 7 : NULL;
}

void instance_init(instance *k, const recipe *r, const ir_schema *s) {
    *k = (instance){.recipe = r, .schema = s};
    for (uint32_t i = 0; i < r->n_operands; i++)
        if (!r->operands[i].omitted) add_variable(k, type_name(k, i), r->operands[i].kind);
    for (uint32_t i = 0; i < r->n_attrs; i++)
        if (variable_of_attr(&r->attrs[i]))
            add_variable(k, variable_of_attr(&r->attrs[i]), KIND_TENSOR);
    for (uint32_t i = 0; i < k->n_variables; i++)
        instance_choose(k, i, k->variables[i].type);
}

void instance_choose(instance *k, uint32_t i, ir_dtype t) {
    k->variables[i].type = t;
    for (uint32_t j = 0; j < k->n_variables; j++) {
        const char *tie = recipe_option(k->recipe, k->variables[j].name);
        if (!tie || *tie != '=' || strcmp(tie + 1, k->variables[i].name) != 0) continue;
        k->variables[j].type = t;
        k->variables[j].types = 0; /* goes with the other */
    }
}

static ir_dtype dtype_of(const instance *k, const char *name) {
    ir_dtype t;
    const variable *v = find_variable(k, name);
    if (v) return v->type;
    return ir_dtype_parse(name, strlen(name), &t) ? t : DT_f32;
}

/* ---- types ------------------------------------------------------------------------------------------------------- */

typedef struct substitution {
    ir_ctx *c;
    const sizes *s;
} substitution;

static const ir_dim *size_of(void *data, const char *symbol) {
    const substitution *k = data;
    return ir_dim_const(k->c, k->s->of[symbol[0] - 'a']);
}

static const ir_type *tensor_type(const instance *k, ir_ctx *c, uint32_t i, const sizes *s) {
    const recipe_operand *o = &k->recipe->operands[i];
    const ir_dim *dims[RECIPE_RANK];
    substitution sub = {c, s};
    for (int32_t d = 0; d < o->rank; d++) {
        dims[d] = o->constant ? ir_dim_const(c, o->n_values)
                              : ir_dim_parse(c, o->dims[d], strlen(o->dims[d]));
        if (s) dims[d] = ir_dim_substitute(c, dims[d], size_of, &sub);
    }
    return ir_type_tensor(c, dtype_of(k, type_name(k, i)), o->rank, dims);
}

static const ir_type *operand_type(const instance *k, ir_ctx *c, uint32_t i, const sizes *s) {
    recipe_kind kind = k->recipe->operands[i].kind;
    const ir_type *t = tensor_type(k, c, i, s);
    if (kind == KIND_SEQUENCE || kind == KIND_OPTIONAL_SEQUENCE) t = ir_type_sequence(c, t);
    return kind == KIND_OPTIONAL || kind == KIND_OPTIONAL_SEQUENCE ? ir_type_optional(c, t) : t;
}

uint32_t instance_letters(const recipe *r) {
    uint32_t letters = 0;
    for (uint32_t i = 0; i < r->n_operands; i++)
        for (int32_t d = 0; d < r->operands[i].rank && !r->operands[i].constant; d++)
            for (const char *p = r->operands[i].dims[d]; *p; p++)
                if (islower((unsigned char)*p)) letters |= 1u << (*p - 'a');
    return letters;
}

/* ---- data -------------------------------------------------------------------------------------------------------- */

static uint64_t random_bits(void) {
    static uint64_t state = 88172645463325252u;
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

static double random_in(double lo, double hi) {
    return lo + (hi - lo) * ((double)(random_bits() >> 11) * 0x1p-53);
}

static tl_sv random_string(tl_arena *a, const recipe_operand *o) {
    static const char *const words[] = {"a", "bb", "", "1", "word"};
    if (!o->has_range) return tl_sv_from(words[random_bits() % 5]);
    return tl_sv_from(tl_arena_printf(a, "%g", floor(random_in(o->lo, o->hi + 1))));
}

static void set_random(tl_arena *a, ir_tensor *x, const recipe_operand *o) {
    ir_dtype t = x->type->dtype;
    double lo = o->has_range ? o->lo : -2, hi = o->has_range ? o->hi : 2;
    size_t n = ir_tensor_elements(x);
    if (ir_dtype_get_class(t) == DTYPE_COMPLEX) {
        for (size_t i = 0; i < 2 * n; i++)
            ir_element_set_f64(t == DT_c64 ? DT_f32 : DT_f64, ir_tensor_data(x), i,
                               random_in(lo, hi));
        return;
    }
    for (size_t i = 0; i < n; i++)
        if (t == DT_str)
            ((tl_sv *)ir_tensor_data(x))[i] = random_string(a, o);
        else if (t == DT_bool)
            ir_tensor_set_i64(x, i, (int64_t)(random_bits() & 1));
        else if (ir_dtype_is_float(t))
            ir_tensor_set_f64(x, i, random_in(lo, hi));
        else
            ir_tensor_set_i64(
                x, i, (int64_t)floor(random_in(lo < 0 && !ir_dtype_is_signed(t) ? 0 : lo, hi + 1)));
}

static const ir_tensor *random_tensor(const instance *k, ir_ctx *c, tl_arena *a, uint32_t i,
                                      const sizes *s) {
    const recipe_operand *o = &k->recipe->operands[i];
    ir_tensor *x = ir_tensor_alloc(a, tensor_type(k, c, i, s));
    if (!o->constant) set_random(a, x, o);
    for (uint32_t j = 0; o->constant && j < o->n_values; j++)
        if (x->type->dtype == DT_str)
            ((tl_sv *)ir_tensor_data(x))[j] = tl_sv_from(tl_arena_printf(a, "%g", o->values[j]));
        else
            ir_tensor_set_f64(x, j, o->values[j]);
    ir_tensor_seal(x);
    return x;
}

static ir_datum random_datum(const instance *k, ir_ctx *c, tl_arena *a, uint32_t i,
                             const sizes *s) {
    recipe_kind kind = k->recipe->operands[i].kind;
    if (kind == KIND_TENSOR) return (ir_datum){.tensor = random_tensor(k, c, a, i, s)};
    bool list = kind != KIND_OPTIONAL;
    uint32_t n = list ? 2 : 1;
    ir_datum *items = TL_NEW_ARRAY(a, ir_datum, n);
    for (uint32_t j = 0; j < n; j++)
        items[j] = (ir_datum){.tensor = random_tensor(k, c, a, i, s)};
    ir_datum d = {
        .is_sequence = list, .is_optional = !list, .has_value = !list, .n = n, .items = items};
    if (kind != KIND_OPTIONAL_SEQUENCE) return d;
    ir_datum *inner = TL_NEW(a, ir_datum);
    *inner = d;
    return (ir_datum){.is_optional = true, .has_value = true, .n = 1, .items = inner};
}

uint32_t instance_data(const instance *k, ir_ctx *c, tl_arena *a, const sizes *s, ir_datum *out) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < k->recipe->n_operands; i++)
        if (!k->recipe->operands[i].omitted && !k->recipe->operands[i].constant)
            out[n++] = random_datum(k, c, a, i, s);
    return n;
}

/* ---- attributes -------------------------------------------------------------------------------------------------- */

/* The attribute's type by the schema, else by what its text looks like. */
static ir_schema_attr_type attr_type(const instance *k, const recipe_pair *p) {
    const ir_schema_attr *known = k->schema ? ir_schema_attr_find(k->schema, p->name) : NULL;
    if (known) return (ir_schema_attr_type)known->type;
    bool fraction = strpbrk(p->text, ".e") != NULL;
    if (*p->text == '"') return IR_SCHEMA_ATTR_STRING;
    if (*p->text == '[') return fraction ? IR_SCHEMA_ATTR_FLOATS : IR_SCHEMA_ATTR_INTS;
    return fraction ? IR_SCHEMA_ATTR_FLOAT : IR_SCHEMA_ATTR_INT;
}

static ProtobufCBinaryData text_value(tl_arena *a, const char *text) {
    size_t n = strlen(text), quotes = n >= 2 && *text == '"';
    return (ProtobufCBinaryData){n - 2 * quotes, (uint8_t *)tl_arena_strdup(a, text + quotes)};
}

static void set_list(tl_arena *a, pb_attr *p, ir_schema_attr_type type, const char *text) {
    char *copy = tl_arena_strdup(a, text), *saved = NULL;
    TL_VEC(int64_t) ints = {0};
    TL_VEC(float) floats = {0};
    TL_VEC(ProtobufCBinaryData) strings = {0};
    for (char *item = strtok_r(copy, "[],", &saved); item; item = strtok_r(NULL, "[],", &saved)) {
        tl_vec_push(a, &ints, strtoll(item, NULL, 10));
        tl_vec_push(a, &floats, strtof(item, NULL));
        tl_vec_push(a, &strings, text_value(a, item));
    }
    if (type == IR_SCHEMA_ATTR_INTS) p->n_ints = ints.len, p->ints = ints.data;
    if (type == IR_SCHEMA_ATTR_FLOATS) p->n_floats = floats.len, p->floats = floats.data;
    if (type == IR_SCHEMA_ATTR_STRINGS) p->n_strings = strings.len, p->strings = strings.data;
}

/* One element, 1 or "1". */
static pb_tensor *tensor_value(const instance *k, ir_ctx *c, tl_arena *a, const char *text) {
    int64_t one = 1;
    ir_tensor *x = ir_tensor_alloc(
        a, ir_type_tensor_static(
               c, dtype_of(k, strncmp(text, "tensor:", 7) == 0 ? text + 7 : "f32"), 1, &one));
    if (x->type->dtype == DT_str)
        *(tl_sv *)ir_tensor_data(x) = tl_sv_from("1");
    else if (ir_dtype_get_class(x->type->dtype) == DTYPE_COMPLEX)
        ir_element_set_f64(x->type->dtype == DT_c64 ? DT_f32 : DT_f64, ir_tensor_data(x), 0, 1);
    else
        ir_tensor_set_f64(x, 0, 1);
    return one_node_tensor(a, "", x);
}

static void set_attr(const instance *k, ir_ctx *c, one_node *m, const recipe_pair *pair) {
    ir_schema_attr_type type = attr_type(k, pair);
    pb_attr *p = one_node_attr(m, pair->name, type);
    switch (type) {
    case IR_SCHEMA_ATTR_INT:
        p->has_i = true;
        p->i = *pair->text == '$' ? (int64_t)dtype_of(k, pair->text + 1)
                                  : strtoll(pair->text, NULL, 10);
        break;
    case IR_SCHEMA_ATTR_FLOAT:
        p->has_f = true;
        p->f = strtof(pair->text, NULL);
        break;
    case IR_SCHEMA_ATTR_STRING:
        p->has_s = true;
        p->s = text_value(m->arena, pair->text);
        break;
    case IR_SCHEMA_ATTR_TENSOR:
        p->t = tensor_value(k, c, m->arena, pair->text);
        break;
    case IR_SCHEMA_ATTR_GRAPH:
        p->g = one_node_graph(m->arena, pair->text);
        break;
    default:
        set_list(m->arena, p, type, pair->text);
    }
}

/* ---- the model --------------------------------------------------------------------------------------------------- */

static uint32_t count_outputs(const instance *k) {
    const char *given = recipe_option(k->recipe, "outputs");
    if (given) return (uint32_t)atoi(given);
    return k->schema && k->schema->min_out ? k->schema->min_out : 1;
}

tl_sv instance_model(const instance *k, ir_ctx *c, tl_arena *a, const sizes *s) {
    one_node m;
    const char *opset = recipe_option(k->recipe, "opset");
    one_node_init(&m, a, k->recipe->domain, k->recipe->op,
                  opset       ? atoi(opset)
                  : k->schema ? k->schema->since
                              : 1);
    for (uint32_t i = 0; i < k->recipe->n_operands; i++) {
        const recipe_operand *o = &k->recipe->operands[i];
        if (o->omitted)
            one_node_omit(&m);
        else if (o->constant)
            one_node_const(&m, random_tensor(k, c, a, i, s));
        else
            one_node_input(&m, operand_type(k, c, i, s));
    }
    for (uint32_t i = 0; i < k->recipe->n_attrs; i++)
        set_attr(k, c, &m, &k->recipe->attrs[i]);
    one_node_outputs(&m, count_outputs(k));
    return one_node_pack(&m);
}
