/* For tests of the evaluator: makes tensors and nodes from short tables and compares results.
 *
 *   static const double x[] = {1, -2}, y[] = {1, 0};
 *   ir_node *n = fx_node(&f, OP_Relu, 1, 1);
 *   fx_run(&f, n, fx_vector(&f, DT_f32, 2, x));
 *   fx_expect_vector(&f, 0, DT_f32, 2, y, 0);
 *
 * One fixture per test function; fx_open starts it, fx_close frees all. */
#ifndef TLBC_TESTS_EVAL_FIXTURE_H
#define TLBC_TESTS_EVAL_FIXTURE_H

#include "ir/eval.h"
#include "ir/limits.h"
#include "tests/support/check.h"

#include <math.h>

enum { FX_MAX = 8 };

typedef struct fixture {
    tl_fail fail;
    ir_ctx ctx;
    tl_arena arena;
    ir_module *module;
    ir_graph *graph; /* fx_node puts its nodes there */
    ir_eval eval;
    ir_datum out[FX_MAX];
    bool ok; /* of the last fx_run */
} fixture;

static inline void fx_open(fixture *f) {
    memset(f, 0, sizeof *f);
    ir_ctx_init(&f->ctx, &f->fail);
    tl_arena_init(&f->arena, &f->fail);
    f->module = ir_module_create(&f->ctx, &f->arena);
    f->graph = ir_graph_create(f->module, "nodes");
    ir_eval_init(&f->eval, &f->ctx, &f->arena);
}

static inline void fx_close(fixture *f) {
    tl_arena_release(&f->arena);
    ir_ctx_release(&f->ctx);
}

/* values NULL: zeros. */
static inline const ir_tensor *fx_tensor(fixture *f, ir_dtype t, int32_t rank, const int64_t *dims,
                                         const double *values) {
    ir_tensor *y = ir_tensor_alloc(&f->arena, ir_type_tensor_static(&f->ctx, t, rank, dims));
    for (size_t i = 0; values && i < ir_tensor_elements(y); i++)
        ir_tensor_set_f64(y, i, values[i]);
    return y;
}

static inline const ir_tensor *fx_vector(fixture *f, ir_dtype t, int64_t n, const double *values) {
    return fx_tensor(f, t, 1, &n, values);
}

static inline const ir_tensor *fx_scalar(fixture *f, ir_dtype t, double v) {
    return fx_tensor(f, t, 0, NULL, &v);
}

static inline const ir_tensor *fx_matrix(fixture *f, ir_dtype t, int64_t rows, int64_t columns,
                                         const double *values) {
    return fx_tensor(f, t, 2, (int64_t[]){rows, columns}, values);
}

static inline const ir_tensor *fx_strings(fixture *f, int64_t n, const char *const *values) {
    ir_tensor *y = ir_tensor_alloc(&f->arena, ir_type_tensor_static(&f->ctx, DT_str, 1, &n));
    for (int64_t i = 0; i < n; i++)
        ((tl_sv *)ir_tensor_data(y))[i] = tl_sv_from(values[i]);
    return y;
}

/* A node whose operands are given when it runs. */
static inline ir_node *fx_node(fixture *f, op_id op, uint32_t n_in, uint32_t n_out) {
    ir_value *none[FX_MAX] = {0};
    ir_node *n = ir_node_create(f->module, op, none, n_in, n_out);
    ir_node_append(f->graph->body, n);
    return n;
}

/* tensors: n->n_in of them, NULL = omitted. Results in f->out. */
static inline bool fx_run_on(fixture *f, ir_node *n, const ir_tensor *const *tensors) {
    ir_datum data[FX_MAX] = {0};
    const ir_datum *in[FX_MAX] = {0};
    for (uint32_t i = 0; i < n->n_in; i++) {
        data[i].tensor = tensors[i];
        in[i] = tensors[i] ? &data[i] : NULL;
    }
    return f->ok = ir_eval_node(&f->eval, n, in, f->out);
}
#define fx_run(f, n, ...) fx_run_on((f), (n), (const ir_tensor *const[]){__VA_ARGS__})

static inline void fx_fail_note(const char *file, int line, const char *text) {
    fprintf(stderr, "%s:%d: %s\n", file, line, text);
}

/* tolerance: relative to the expected value; 0 = exact. NaN equals NaN. */
static inline void fx_expect_at(fixture *f, const ir_tensor *t, ir_dtype type, int32_t rank,
                                const int64_t *dims, const double *values, double tolerance,
                                const char *file, int line) {
    if (!check_record(f->ok && t, file, line, "evaluation gives a result")) return;
    bool shape = t->type == ir_type_tensor_static(&f->ctx, type, rank, dims);
    if (!check_record(shape, file, line, "result has the expected type and shape")) {
        tl_str s;
        tl_str_init(&s, &f->arena);
        ir_type_print(t->type, &s);
        fprintf(stderr, "  found: %s\n", s.data);
        return;
    }
    for (size_t i = 0; i < ir_tensor_elements(t); i++) {
        double found = ir_tensor_get_f64(t, i), want = values[i];
        bool same = found == want || (isnan(found) && isnan(want)) ||
                    fabs(found - want) <= tolerance * fabs(want);
        if (!check_record(same, file, line, "elements agree"))
            fprintf(stderr, "  element %zu: found %.17g, expected %.17g\n", i, found, want);
    }
}
#define fx_expect(f, i, t, rank, dims, values, tolerance)                                       \
    fx_expect_at((f), (f)->out[i].tensor, (t), (rank), (dims), (values), (tolerance), __FILE__, \
                 __LINE__)
#define fx_expect_vector(f, i, t, n, values, tolerance) \
    fx_expect((f), (i), (t), 1, ((int64_t[]){n}), (values), (tolerance))
#define fx_expect_matrix(f, i, t, rows, columns, values, tolerance) \
    fx_expect((f), (i), (t), 2, ((int64_t[]){rows, columns}), (values), (tolerance))
#define fx_expect_scalar(f, i, t, value) fx_expect((f), (i), (t), 0, NULL, ((double[]){value}), 0)
/* The last run failed and said so. */
#define fx_expect_error(f)               CHECK(!(f)->ok && (f)->ctx.diag.n_errors > 0)

#endif
