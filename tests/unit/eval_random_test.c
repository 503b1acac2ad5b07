/* Random nodes through inference and evaluation: neither may crash, and they must agree.
 *
 * For each ONNX operator, nodes with random operands (types the schema allows, shapes of rank 0 to 4 with zeros and ones,
 * omitted optionals) and random attributes are built twice: with constant operands, and with operands that are inputs of the
 * graph whose dimensions are all symbols. Then
 *   - what inference accepts must evaluate to the inferred type, or end in a message;
 *   - what evaluates with constants must not be refused by inference once the sizes are unknown.
 *
 * Deterministic: the seed is the number of the case. `eval_random_test OP CASE` prints one case. */
#include "tests/support/eval_fixture.h"

#include "ir/text.h"

#include <stdlib.h>

enum { CASES = 400, MAX_OPERANDS = 7 };

typedef struct random_case {
    fixture f;
    uint64_t state;
    op_id op;
    const ir_schema *schema;
    ir_dtype types[256]; /* chosen for each constraint of the schema */
    int64_t dims[4];     /* most operands have this shape */
    int32_t rank;
    uint32_t n_in, n_out;
    const ir_tensor *operands[MAX_OPERANDS];
} random_case;

static uint32_t draw(random_case *k, uint32_t limit) {
    k->state = k->state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(k->state >> 33) % limit;
}

static int64_t draw_dim(random_case *k) {
    static const int64_t dims[] = {0, 1, 1, 2, 2, 3, 4};
    return dims[draw(k, 7)];
}

static void choose_types(random_case *k) {
    for (uint32_t i = 0; i < k->schema->n_constraints; i++) {
        uint32_t mask = k->schema->constraints[i].types->tensor;
        k->types[i] = DT_undefined;
        for (uint32_t tries = 0; mask && tries < 200; tries++) {
            uint32_t t = 1 + draw(k, DT_COUNT - 1);
            if (mask >> t & 1) k->types[i] = (ir_dtype)t;
            if (k->types[i]) break;
        }
    }
}

static const ir_tensor *random_tensor(random_case *k, ir_dtype t) {
    int32_t rank = k->rank;
    int64_t dims[4];
    memcpy(dims, k->dims, sizeof dims);
    uint32_t how = draw(k, 8);
    bool small = t == DT_i64 && draw(k, 2); /* shapes, axes, indices */
    if (small || how == 0) rank = small ? (int32_t)draw(k, 2) : (int32_t)draw(k, 5);
    for (int32_t i = 0; i < rank; i++)
        if (small || how < 2 || (how == 2 && draw(k, 2))) dims[i] = draw_dim(k);
    ir_tensor *y = ir_tensor_alloc(&k->f.arena, ir_type_tensor_static(&k->f.ctx, t, rank, dims));
    for (size_t i = 0; i < ir_tensor_elements(y); i++) {
        if (t == DT_str)
            ((tl_sv *)ir_tensor_data(y))[i] = tl_sv_from(draw(k, 2) ? "12" : "text");
        else if (t == DT_bool)
            ((uint8_t *)ir_tensor_data(y))[i] = (uint8_t)draw(k, 2);
        else if (ir_dtype_get_class(t) != DTYPE_COMPLEX)
            ir_tensor_set_i64(y, i, (int64_t)draw(k, 7) - 2);
    }
    ir_tensor_seal(y);
    return y;
}

static void choose_operands(random_case *k) {
    const ir_schema *s = k->schema;
    uint32_t most = s->max_in < MAX_OPERANDS ? s->max_in : s->min_in + 2;
    if (most > MAX_OPERANDS) most = MAX_OPERANDS;
    k->n_in = s->min_in + draw(k, most - s->min_in + 1);
    k->n_out = s->max_out == IR_SCHEMA_UNBOUNDED
                   ? 1 + draw(k, 3)
                   : s->min_out + draw(k, s->max_out - s->min_out + 1u);
    k->rank = (int32_t)draw(k, 5);
    for (int i = 0; i < 4; i++)
        k->dims[i] = draw_dim(k);
    for (uint32_t i = 0; i < k->n_in; i++) {
        const ir_schema_slot *slot = ir_schema_find_input(s, i);
        ir_dtype t = k->types[slot->constraint];
        bool omit = slot->kind == IR_SCHEMA_OPTIONAL && draw(k, 3) == 0;
        k->operands[i] = t && !omit ? random_tensor(k, t) : NULL;
    }
}

static const char *random_string(random_case *k, const char *name) {
    static const struct {
        const char *name, *values[4];
    } known[] = {{"mode", {"constant", "reflect", "edge", "wrap"}},
                 {"reduction", {"none", "add", "max", "mul"}},
                 {"direction", {"LEFT", "RIGHT", "LEFT", "RIGHT"}},
                 {"approximate", {"none", "tanh", "none", "tanh"}}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i].name, name) == 0) return known[i].values[draw(k, 4)];
    return "unknown";
}

static void choose_attributes(random_case *k, ir_node *n) {
    for (uint32_t i = 0; i < k->schema->n_attrs; i++) {
        const ir_schema_attr *a = &k->schema->attrs[i];
        if (!a->required && draw(k, 2)) continue;
        int64_t list[4] = {(int64_t)draw(k, 6) - 2, (int64_t)draw(k, 4), (int64_t)draw(k, 4), 1};
        ir_module *m = k->f.module;
        if (a->type == IR_SCHEMA_ATTR_INT)
            ir_attr_set_int(m, n, a->name,
                            strcmp(a->name, "to") ? list[0] : 1 + (int64_t)draw(k, DT_COUNT - 1));
        if (a->type == IR_SCHEMA_ATTR_FLOAT) ir_attr_set_float(m, n, a->name, (float)list[0] / 2);
        if (a->type == IR_SCHEMA_ATTR_STRING)
            ir_attr_set_string(m, n, a->name, random_string(k, a->name));
        if (a->type == IR_SCHEMA_ATTR_INTS) ir_attr_set_ints(m, n, a->name, list, draw(k, 5));
    }
}

static const ir_type *symbolic(random_case *k, const ir_tensor *t, uint32_t operand) {
    const ir_dim *dims[IR_MAX_RANK];
    for (int32_t i = 0; i < t->type->rank; i++) {
        const char *name = tl_arena_printf(&k->f.arena, "s%u_%d", operand, (int)i);
        dims[i] = ir_dim_symbol(&k->f.ctx, ir_name(&k->f.ctx, name));
    }
    return ir_type_tensor(&k->f.ctx, t->type->dtype, t->type->rank, dims);
}

/* The same choices again for the same seed. */
static void make_case(random_case *k, op_id op, uint32_t number) {
    memset(k, 0, sizeof *k);
    fx_open(&k->f);
    k->op = op;
    k->schema = op_schema(op);
    k->state = (uint64_t)op * 1000003 + number;
    choose_types(k);
    choose_operands(k);
    k->f.eval.max_bytes = 1 << 20;
}

typedef enum verdict { REFUSED, NO_VALUE, EVALUATED, WRONG_TYPE } verdict;

static verdict run_case(random_case *k, bool as_inputs, bool show) {
    ir_graph *g = ir_graph_create(k->f.module, "case");
    ir_value *operands[MAX_OPERANDS] = {0};
    ir_datum data[MAX_OPERANDS] = {0};
    const ir_datum *inputs[MAX_OPERANDS] = {0};
    uint32_t n_inputs = 0;
    for (uint32_t i = 0; i < k->n_in; i++) {
        if (!k->operands[i]) continue;
        data[i].tensor = k->operands[i];
        if (as_inputs) inputs[n_inputs++] = &data[i];
        operands[i] = as_inputs ? ir_region_add_param(
                                      g->body, symbolic(k, k->operands[i], i),
                                      ir_name(&k->f.ctx, tl_arena_printf(&k->f.arena, "x%u", i)))
                                : ir_module_const(k->f.module, k->operands[i], NULL);
    }
    ir_node *n = ir_node_create(k->f.module, k->op, operands, k->n_in, k->n_out);
    ir_node_append(g->body, n);
    uint64_t state = k->state;
    choose_attributes(k, n);
    k->state = state;
    verdict v = REFUSED;
    if (ir_infer_node(&k->f.ctx, n)) {
        for (uint32_t i = 0; i < n->n_out; i++)
            ir_graph_add_output(g, ir_name(&k->f.ctx, tl_arena_printf(&k->f.arena, "y%u", i)),
                                &n->out[i]);
        ir_datum out[8] = {0};
        v = ir_eval_graph(&k->f.eval, g, inputs, out) ? EVALUATED : NO_VALUE;
    }
    tl_str text;
    tl_str_init(&text, &k->f.arena);
    diag_render(&k->f.ctx.diag, &text);
    if (v == NO_VALUE && strstr(text.data, "its type is")) v = WRONG_TYPE;
    if (show) {
        ir_module_print(k->f.module, &(ir_print_options){.constants = IR_CONSTANTS_FULL}, &text);
        printf("%s\n", text.data);
    }
    return v;
}

static verdict run(op_id op, uint32_t number, bool as_inputs, bool show) {
    random_case k;
    make_case(&k, op, number);
    verdict v = run_case(&k, as_inputs, show);
    fx_close(&k.f);
    return v;
}

static bool complain(op_id op, uint32_t number, const char *what) {
    fprintf(stderr, "%s case %u: %s\n", op_get(op)->name, number, what);
    return false;
}

static int64_t extent_from_right(const ir_tensor *t, int32_t k) {
    int64_t size = -1;
    if (t && k < t->type->rank) ir_dim_is_const(t->type->dims[t->type->rank - 1 - k], &size);
    return size;
}

/* An extent of 0 beside one of 1. Two symbols that may be broadcast have the larger as their result's, which is 1 then: a case
 * inference leaves out and the run refuses (broadcast_dim in ir/infer/infer.c). */
static bool has_zero_beside_one(op_id op, uint32_t number) {
    random_case k;
    bool found = false;
    make_case(&k, op, number);
    for (uint32_t i = 0; i < k.n_in; i++)
        for (uint32_t j = 0; j < k.n_in; j++)
            for (int32_t axis = 0; axis < IR_MAX_RANK; axis++)
                found |= extent_from_right(k.operands[i], axis) == 0 &&
                         extent_from_right(k.operands[j], axis) == 1;
    fx_close(&k.f);
    return found;
}

static bool check_case(op_id op, uint32_t number, uint32_t *evaluated) {
    verdict fixed = run(op, number, false, false), open = run(op, number, true, false);
    *evaluated += fixed == EVALUATED;
    if (fixed == WRONG_TYPE) return complain(op, number, "the result contradicts its type");
    if (open == WRONG_TYPE && !has_zero_beside_one(op, number))
        return complain(op, number, "the result contradicts its type when sizes are symbols");
    if (fixed == EVALUATED && open == REFUSED)
        return complain(op, number, "refused when sizes are symbols");
    if (fixed == EVALUATED && open == NO_VALUE)
        return complain(op, number, "no value when sizes are symbols");
    return true;
}

int main(int argc, char **argv) {
    if (argc == 3) {
        run(op_find(argv[1]), (uint32_t)atoi(argv[2]), false, true);
        run(op_find(argv[1]), (uint32_t)atoi(argv[2]), true, true);
        return 0;
    }
    uint32_t total = 0;
    for (op_id op = 1; op < OP_COUNT; op++) {
        uint32_t evaluated = 0;
        if (!op_schema(op) || op_is(op, OP_REGIONS)) continue;
        for (uint32_t i = 0; i < CASES; i++)
            CHECK(check_case(op, i, &evaluated));
        if (argc == 2) printf("%-28s %u of %u evaluated\n", op_get(op)->name, evaluated, CASES);
        total += evaluated;
    }
    CHECK(total > 1000); /* the test is not empty */
    return check_done();
}
