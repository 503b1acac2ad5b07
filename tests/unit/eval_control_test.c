/* Graphs, regions, symbols, loops, sequences: built with the IR's own functions, without inference. */
#include "tests/support/eval_fixture.h"

#define A(...) ((const double[]){__VA_ARGS__})

static ir_value *op(fixture *f, ir_region *r, op_id id, ir_value *a, ir_value *b) {
    ir_node *n = ir_node_create(f->module, id, (ir_value *[]){a, b}, b ? 2 : 1, 1);
    ir_node_append(r, n);
    return n->out;
}

static ir_value *constant(fixture *f, ir_dtype t, double v) {
    ir_tensor *y = ir_tensor_alloc(&f->arena, ir_type_scalar(&f->ctx, t));
    ir_tensor_set_f64(y, 0, v);
    ir_tensor_seal(y);
    return ir_module_const(f->module, y, NULL);
}

/* Loop body: x' = x + x, goes on while x' < limit; stacks x'. */
static ir_node *doubling_loop(fixture *f, double limit) {
    ir_node *n = fx_node(f, OP_Loop, 3, 2);
    ir_region *r = ir_node_add_region(f->module, n, "body");
    ir_region_add_param(r, NULL, NULL);
    ir_region_add_param(r, NULL, NULL);
    ir_value *x = ir_region_add_param(r, NULL, NULL), *twice = op(f, r, OP_Add, x, x);
    ir_region_add_result(r, op(f, r, OP_Less, twice, constant(f, DT_f32, limit)));
    ir_region_add_result(r, twice);
    ir_region_add_result(r, twice);
    return n;
}

static void test_loop(void) {
    fixture f;
    fx_open(&f);
    ir_node *n = doubling_loop(&f, 20);
    fx_run(&f, n, NULL, NULL, fx_scalar(&f, DT_f32, 3)); /* ends by the condition */
    fx_expect_scalar(&f, 0, DT_f32, 24);
    fx_expect_vector(&f, 1, DT_f32, 3, A(6, 12, 24), 0);
    fx_run(&f, n, fx_scalar(&f, DT_i64, 2), NULL, fx_scalar(&f, DT_f32, 3)); /* ends by the count */
    fx_expect_scalar(&f, 0, DT_f32, 12);
    fx_expect_vector(&f, 1, DT_f32, 2, A(6, 12), 0);
    fx_run(&f, n, NULL, fx_scalar(&f, DT_bool, 0), fx_scalar(&f, DT_f32, 3)); /* does not begin */
    fx_expect_scalar(&f, 0, DT_f32, 3);
    CHECK(f.out[1].tensor && ir_tensor_elements(f.out[1].tensor) == 0);
    /* Many iterations: the body's memory is reused. */
    size_t before = f.arena.total;
    fx_run(&f, doubling_loop(&f, INFINITY), fx_scalar(&f, DT_i64, 100), NULL,
           fx_scalar(&f, DT_f32, 1));
    fx_expect_scalar(&f, 0, DT_f32, 0x1p100);
    CHECK(f.arena.total - before < 64 << 10);
    fx_close(&f);
}

/* A carried sequence: s' = insert(s, i). */
static void test_loop_sequence(void) {
    fixture f;
    fx_open(&f);
    ir_node *n = fx_node(&f, OP_Loop, 3, 1);
    ir_region *r = ir_node_add_region(f.module, n, "body");
    ir_value *i = ir_region_add_param(r, NULL, NULL), *go = ir_region_add_param(r, NULL, NULL);
    ir_value *s = ir_region_add_param(r, NULL, NULL);
    ir_region_add_result(r, go);
    ir_region_add_result(r, op(&f, r, OP_SequenceInsert, s, i));
    ir_datum limit = {.tensor = fx_scalar(&f, DT_i64, 3)}, empty = {.is_sequence = true};
    const ir_datum *in[] = {&limit, NULL, &empty};
    if (CHECK(ir_eval_node(&f.eval, n, in, f.out)) && CHECK_EQ(f.out[0].n, 3))
        for (uint32_t k = 0; k < 3; k++)
            CHECK_EQ(ir_tensor_get_i64(f.out[0].items[k].tensor, 0), k);
    ir_datum sequence = f.out[0];
    const ir_datum *operand[] = {&sequence};
    ir_node *stack = fx_node(&f, OP_ConcatFromSequence, 1, 1);
    ir_attr_set_int(f.module, stack, "axis", 0);
    ir_attr_set_int(f.module, stack, "new_axis", 1);
    f.ok = ir_eval_node(&f.eval, stack, operand, f.out);
    fx_expect_vector(&f, 0, DT_i64, 3, A(0, 1, 2), 0);
    fx_close(&f);
}

/* sum' = sum + x_t; y_t = sum'. Axis 1, once forward and once reversed (with reversed output). */
static void test_scan(void) {
    fixture f;
    fx_open(&f);
    ir_node *n = fx_node(&f, OP_Scan, 2, 2);
    ir_region *r = ir_node_add_region(f.module, n, "body");
    ir_value *sum = ir_region_add_param(r, NULL, NULL), *x = ir_region_add_param(r, NULL, NULL);
    ir_value *next = op(&f, r, OP_Add, sum, x);
    ir_region_add_result(r, next);
    ir_region_add_result(r, next);
    ir_attr_set_int(f.module, n, "num_scan_inputs", 1);
    ir_attr_set_ints(f.module, n, "scan_input_axes", (int64_t[]){1}, 1);
    ir_attr_set_ints(f.module, n, "scan_output_axes", (int64_t[]){-1}, 1);
    const ir_tensor *zero = fx_vector(&f, DT_f32, 2, A(0, 0)),
                    *data = fx_matrix(&f, DT_f32, 2, 3, A(1, 2, 3, 4, 5, 6));
    fx_run(&f, n, zero, data);
    fx_expect_vector(&f, 0, DT_f32, 2, A(6, 15), 0);
    fx_expect_matrix(&f, 1, DT_f32, 2, 3, A(1, 3, 6, 4, 9, 15), 0);
    ir_attr_set_ints(f.module, n, "scan_input_directions", (int64_t[]){1}, 1);
    ir_attr_set_ints(f.module, n, "scan_output_directions", (int64_t[]){1}, 1);
    fx_run(&f, n, zero, data);
    fx_expect_matrix(&f, 1, DT_f32, 2, 3, A(6, 5, 3, 15, 11, 6), 0);
    fx_close(&f);
}

/* If with captured values; both branches. */
static void test_if(void) {
    fixture f;
    fx_open(&f);
    ir_graph *g = ir_graph_create(f.module, "main");
    const ir_type *scalar = ir_type_scalar(&f.ctx, DT_f32), *flag = ir_type_scalar(&f.ctx, DT_bool);
    ir_value *p = ir_region_add_param(g->body, flag, ir_name(&f.ctx, "p"));
    ir_value *x = ir_region_add_param(g->body, scalar, ir_name(&f.ctx, "x"));
    ir_node *n = ir_node_create(f.module, OP_If, &p, 1, 1);
    ir_node_append(g->body, n);
    ir_region *yes = ir_node_add_region(f.module, n, "then_branch"),
              *no = ir_node_add_region(f.module, n, "else_branch");
    ir_region_add_result(yes, op(&f, yes, OP_Neg, x, NULL));
    ir_region_add_result(no, op(&f, no, OP_Add, x, constant(&f, DT_f32, 1)));
    ir_graph_add_output(g, ir_name(&f.ctx, "y"), n->out);
    for (int k = 0; k < 2; k++) {
        ir_datum a = {.tensor = fx_scalar(&f, DT_bool, k)},
                 b = {.tensor = fx_scalar(&f, DT_f32, 5)};
        f.ok = ir_eval_graph(&f.eval, g, (const ir_datum *[]){&a, &b}, f.out);
        fx_expect_scalar(&f, 0, DT_f32, k ? -5 : 6);
    }
    fx_close(&f);
}

/* Input shapes bind symbols; a second input, an expression and a Dims node use them. */
static void test_symbols(void) {
    fixture f;
    fx_open(&f);
    ir_ctx *c = &f.ctx;
    const ir_dim *n = ir_dim_symbol(c, "n"), *twice = ir_dim_mul(c, n, ir_dim_const(c, 2));
    ir_graph *g = ir_graph_create(f.module, "main");
    ir_region_add_param(g->body, ir_type_tensor(c, DT_f32, 1, &twice), ir_name(c, "b"));
    ir_region_add_param(g->body, ir_type_tensor(c, DT_f32, 1, &n), ir_name(c, "a"));
    ir_node *dims = ir_node_create(f.module, OP_Dims, NULL, 0, 1);
    const ir_dim *wanted[] = {ir_dim_add(c, twice, ir_dim_const(c, 1)), n};
    ir_attr_set_dims(f.module, dims, "dims", wanted, 2);
    ir_node_append(g->body, dims);
    ir_graph_add_output(g, ir_name(c, "y"), dims->out);
    ir_datum a = {.tensor = fx_vector(&f, DT_f32, 3, NULL)},
             b = {.tensor = fx_vector(&f, DT_f32, 6, NULL)};
    f.ok = ir_eval_graph(&f.eval, g, (const ir_datum *[]){&b, &a}, f.out);
    fx_expect_vector(&f, 0, DT_i64, 2, A(7, 3), 0);
    f.ok = ir_eval_graph(&f.eval, g, (const ir_datum *[]){&a, &a}, f.out); /* 3 is not 2*3 */
    fx_expect_error(&f);
    ir_datum wrong = {.tensor = fx_vector(&f, DT_i32, 3, NULL)};
    f.ok = ir_eval_graph(&f.eval, g, (const ir_datum *[]){&b, &wrong}, f.out);
    fx_expect_error(&f);
    fx_close(&f);
}

/* The evaluator holds inference to account: a result that contradicts its type is an error. */
static void test_result_check(void) {
    fixture f;
    fx_open(&f);
    ir_node *n = fx_node(&f, OP_Relu, 1, 1);
    n->out[0].type = ir_type_tensor_static(&f.ctx, DT_f32, 1, (int64_t[]){4});
    fx_run(&f, n, fx_vector(&f, DT_f32, 3, NULL));
    fx_expect_error(&f);
    fx_run(&f, n, fx_vector(&f, DT_f32, 4, NULL));
    CHECK(f.ok);
    fx_close(&f);
}

static void test_sequence_errors(void) {
    fixture f;
    fx_open(&f);
    ir_datum s = {.is_sequence = true}, at = {.tensor = fx_scalar(&f, DT_i64, 0)},
             item = {.tensor = fx_scalar(&f, DT_f32, 1)};
    CHECK(!ir_eval_node(&f.eval, fx_node(&f, OP_SequenceAt, 2, 1), (const ir_datum *[]){&s, &at},
                        f.out));
    CHECK(!ir_eval_node(&f.eval, fx_node(&f, OP_SequenceErase, 2, 1),
                        (const ir_datum *[]){&s, NULL}, f.out));
    CHECK(!ir_eval_node(&f.eval, fx_node(&f, OP_SequenceLength, 1, 1), (const ir_datum *[]){&item},
                        f.out));
    CHECK(
        !ir_eval_node(&f.eval, fx_node(&f, OP_Add, 2, 1), (const ir_datum *[]){&s, &item}, f.out));
    CHECK_EQ(f.ctx.diag.n_errors, 4);
    fx_close(&f);
}

int main(void) {
    test_loop();
    test_loop_sequence();
    test_scan();
    test_if();
    test_symbols();
    test_result_check();
    test_sequence_errors();
    return check_done();
}
