/* Matrix products: MatMul (batched, broadcasting, vectors), Gemm, MatMulPacked. Sums in double, or in wrapping integers. */
#include "ir/eval/eval_internal.h"

/* A matrix in a flat array: element (i, j) is at `at + i * row + j * column`. */
typedef struct matrix {
    const void *values; /* double or int64_t */
    int64_t at, row, column;
} matrix;

static double dot_f64(const matrix *a, const matrix *b, int64_t i, int64_t j, int64_t k) {
    const double *x = (const double *)a->values + a->at + i * a->row,
                 *y = (const double *)b->values + b->at + j * b->column;
    double sum = 0;
    for (int64_t l = 0; l < k; l++)
        sum += x[l * a->column] * y[l * b->row];
    return sum;
}

static int64_t dot_i64(const matrix *a, const matrix *b, int64_t i, int64_t j, int64_t k) {
    const int64_t *x = (const int64_t *)a->values + a->at + i * a->row,
                  *y = (const int64_t *)b->values + b->at + j * b->column;
    uint64_t sum = 0;
    for (int64_t l = 0; l < k; l++)
        sum += (uint64_t)x[l * a->column] * (uint64_t)y[l * b->row];
    return (int64_t)sum;
}

static const void *read_all(ir_eval *e, const ir_tensor *t) {
    size_t count;
    return ir_dtype_is_float(t->type->dtype) ? (const void *)ev_f64s(e, t) : ev_i64s(e, t, &count);
}

/* sums += x[0] y[0] + x[1] y[1] + ..., in this order, for rows of y that lie side by side: four at a time, so that a sum is loaded and
 * stored once for them. */
static void add_rows(const double *x, int64_t x_step, const double *y, int64_t y_step, int64_t n,
                     int64_t k, double *restrict sums) {
    int64_t l = 0;
    for (; l + 4 <= k; l += 4, x += 4 * x_step, y += 4 * y_step) {
        const double f0 = x[0], f1 = x[x_step], f2 = x[2 * x_step], f3 = x[3 * x_step];
        for (int64_t j = 0; j < n; j++)
            sums[j] = sums[j] + f0 * y[j] + f1 * y[j + y_step] + f2 * y[j + 2 * y_step] +
                      f3 * y[j + 3 * y_step];
    }
    for (; l < k; l++, x += x_step, y += y_step)
        for (int64_t j = 0; j < n; j++)
            sums[j] += *x * y[j];
}

/* Row i of n columns of a product. The sums of all columns grow together, each in the order of l, so that b is read as it lies: constant folding
 * comes by with large matrices. */
static void row_f64(const matrix *a, const matrix *b, int64_t i, int64_t n, int64_t k,
                    double *sums) {
    const double *x = (const double *)a->values + a->at + i * a->row,
                 *y = (const double *)b->values + b->at;
    for (int64_t j = 0; j < n; j++)
        sums[j] = 0;
    if (b->column == 1) {
        add_rows(x, a->column, y, b->row, n, k, sums);
        return;
    }
    for (int64_t l = 0; l < k; l++)
        for (int64_t j = 0; j < n; j++)
            sums[j] += x[l * a->column] * y[l * b->row + j * b->column];
}

enum { COLUMNS = 32 }; /* of b that stay in the cache while rows of a go by */

static void product_f64(const matrix *a, const matrix *b, int64_t m, int64_t n, int64_t k,
                        ir_tensor *y, int64_t at) {
    double sums[COLUMNS];
    for (int64_t first = 0; first < n; first += COLUMNS) {
        int64_t width = n - first < COLUMNS ? n - first : COLUMNS;
        matrix part = *b;
        part.at += first * b->column;
        for (int64_t i = 0; i < m; i++) {
            row_f64(a, &part, i, width, k, sums);
            for (int64_t j = 0; j < width; j++)
                ir_tensor_set_f64(y, (size_t)(at + i * n + first + j), sums[j]);
        }
    }
}

static void product(const matrix *a, const matrix *b, int64_t m, int64_t n, int64_t k, ir_tensor *y,
                    int64_t at) {
    if (ir_dtype_is_float(y->type->dtype)) {
        product_f64(a, b, m, n, k, y, at);
        return;
    }
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++, at++)
            ir_tensor_set_i64(y, (size_t)at, dot_i64(a, b, i, j, k));
}

/* ---- MatMul ---------------------------------------------------------------------------------------------------------- */

/* The dims before the last two. */
static ev_shape batch_of(const ev_shape *s) {
    ev_shape batch = *s;
    batch.rank = s->rank > 2 ? s->rank - 2 : 0;
    return batch;
}

bool eval_matmul(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    const ir_tensor *a = ev_need(e, n, in, 0), *b = ev_need(e, n, in, 1);
    if (!a || !b) return false;
    ev_shape sa = ev_shape_of(a), sb = ev_shape_of(b);
    bool vector_a = sa.rank == 1, vector_b = sb.rank == 1;
    if (!sa.rank || !sb.rank) return ev_error(e, n, "an operand has rank 0");
    if (a->type->dtype != b->type->dtype)
        return ev_error(e, n, "operands of different element types");
    if (vector_a) sa = (ev_shape){2, {1, sa.dims[0]}};
    if (vector_b) sb = (ev_shape){2, {sb.dims[0], 1}};
    int64_t m = sa.dims[sa.rank - 2], k = sa.dims[sa.rank - 1], width = sb.dims[sb.rank - 1];
    if (sb.dims[sb.rank - 2] != k)
        return ev_error(e, n, "%s times %s", ev_shape_text(e, &sa), ev_shape_text(e, &sb));
    ev_shape batch_a = batch_of(&sa), batch_b = batch_of(&sb), batch = batch_a;
    if (!ev_broadcast(e, n, &batch, &batch_b)) return false;
    ev_shape s = batch;
    if (s.rank + 2 > IR_MAX_RANK) return ev_error(e, n, "too many dimensions");
    if (!vector_a) s.dims[s.rank++] = m;
    if (!vector_b) s.dims[s.rank++] = width;
    ir_tensor *y = ev_alloc(e, n, a->type->dtype, &s);
    if (!y) return false;
    out[0].tensor = y;
    int64_t step_a[IR_MAX_RANK], step_b[IR_MAX_RANK], index[IR_MAX_RANK] = {0},
                                                      count = ev_count(&s) ? ev_count(&batch) : 0;
    ev_broadcast_strides(&batch_a, &batch, step_a);
    ev_broadcast_strides(&batch_b, &batch, step_b);
    matrix x = {read_all(e, a), 0, k, 1}, w = {read_all(e, b), 0, width, 1};
    for (int64_t i = 0; i < count; i++, ev_next(&batch, index)) {
        x.at = ev_dot(index, step_a, batch.rank) * m * k;
        w.at = ev_dot(index, step_b, batch.rank) * k * width;
        product(&x, &w, m, width, k, y, i * m * width);
    }
    return true;
}

/* ---- Gemm ------------------------------------------------------------------------------------------------------------ */

/* y[at] = alpha * sum + beta * c. Integers stay exact where the factors are 1. */
static void gemm_element(const ir_node *n, const matrix *a, const matrix *b, int64_t i, int64_t j,
                         int64_t k, const ir_tensor *c, int64_t c_at, ir_tensor *y, int64_t at) {
    double alpha = ir_attr_float(n, "alpha", 1), beta = ir_attr_float(n, "beta", 1);
    if (ir_dtype_is_float(y->type->dtype)) {
        double v = alpha * dot_f64(a, b, i, j, k);
        ir_tensor_set_f64(y, (size_t)at, c ? v + beta * ir_tensor_get_f64(c, (size_t)c_at) : v);
        return;
    }
    int64_t v = dot_i64(a, b, i, j, k), bias = c ? ir_tensor_get_i64(c, (size_t)c_at) : 0;
    if (alpha != 1) v = (int64_t)(alpha * (double)v);
    if (beta != 1) bias = (int64_t)(beta * (double)bias);
    ir_tensor_set_i64(y, (size_t)at, (int64_t)((uint64_t)v + (uint64_t)bias));
}

bool eval_gemm(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    const ir_tensor *a = ev_need(e, n, in, 0), *b = ev_need(e, n, in, 1), *c = ev_tensor(n, in, 2);
    if (!a || !b) return false;
    ev_shape sa = ev_shape_of(a), sb = ev_shape_of(b), sc = c ? ev_shape_of(c) : (ev_shape){0};
    if (sa.rank != 2 || sb.rank != 2) return ev_error(e, n, "operands must be matrices");
    if (a->type->dtype != b->type->dtype)
        return ev_error(e, n, "operands of different element types");
    bool ta = ir_attr_int(n, "transA", 0) != 0, tb = ir_attr_int(n, "transB", 0) != 0;
    int64_t m = sa.dims[ta], k = sa.dims[!ta], width = sb.dims[!tb];
    if (sb.dims[tb] != k)
        return ev_error(e, n, "%s times %s", ev_shape_text(e, &sa), ev_shape_text(e, &sb));
    ev_shape s = {2, {m, width}};
    if (c && !ev_broadcasts_to(&sc, &s))
        return ev_error(e, n, "%s does not broadcast to %s", ev_shape_text(e, &sc),
                        ev_shape_text(e, &s));
    ir_tensor *y = ev_alloc(e, n, a->type->dtype, &s);
    if (!y) return false;
    int64_t step[IR_MAX_RANK] = {0};
    if (c) ev_broadcast_strides(&sc, &s, step);
    matrix x = {read_all(e, a), 0, ta ? 1 : k, ta ? m : 1},
           w = {read_all(e, b), 0, tb ? 1 : width, tb ? k : 1};
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < width; j++)
            gemm_element(n, &x, &w, i, j, k, c, i * step[0] + j * step[1], y, i * width + j);
    out[0].tensor = y;
    return true;
}

/* ---- MatMulPacked ---------------------------------------------------------------------------------------------------- */

/* x[..., k] times a weight of k rows and `n` (attribute) columns, stored as panels [ceil(n / width), k, width] (the last one
 * filled up) or, before pack_weights, as the matrix, which is one panel; then the node's region, whose parameters are the product
 * and the operands after the weight. */
/* Panels of lanes of four bytes (i32), or four i16 (i64), [panels, ceil(k / 4), width], as [panels, 4 ceil(k / 4), width] numbers. */
static const int64_t *spread_quads(ir_eval *e, const ir_tensor *w, const ev_shape *s) {
    size_t count;
    const int64_t *quads = ev_i64s(e, w, &count);
    int64_t *numbers = TL_NEW_ARRAY(e->arena, int64_t, 4 * count + 1), width = s->dims[2];
    bool wide = w->type->dtype == DT_i64;
    for (int64_t i = 0; i < (int64_t)count; i++)
        for (int64_t j = 0; j < 4; j++) {
            uint64_t v = (uint64_t)quads[i] >> (wide ? 16 : 8) * j;
            numbers[(i / width * 4 + j) * width + i % width] = wide ? (int16_t)v : (int8_t)v;
        }
    return numbers;
}

/* A weight in blocks of codes (docs/IR.md) as floats [k, columns]; NULL after reporting sizes that do not fit. */
static const double *spread_blocks(ir_eval *e, const ir_node *n, const ir_tensor *w, int64_t k,
                                   int64_t columns) {
    int64_t bits = ir_attr_int(n, "bits", 0), block = ir_attr_int(n, "block", 0),
            panel = ir_attr_int(n, "panel", 0);
    ev_shape s = ev_shape_of(w);
    bool known = (bits == 2 || bits == 4 || bits == 8) && block > 0 && panel > 0 && s.rank == 3;
    if (!known || panel > INT32_MAX || block > INT32_MAX || s.dims[0] * panel < columns ||
        s.dims[1] * block < k || s.dims[2] != panel * (5 + (block * bits + 7) / 8))
        return ev_error(e, n, "blocks %s do not fit", ev_shape_text(e, &s)), NULL;
    double *out = TL_NEW_ARRAY(e->arena, double, (size_t)(k * columns) + 1);
    for (int64_t r = 0; r < k; r++)
        for (int64_t c = 0; c < columns; c++) {
            int64_t at = (c / panel * s.dims[1] + r / block) * s.dims[2], row = r % block;
            const uint8_t *p = (const uint8_t *)w->data + at;
            uint8_t zero = p[4 * panel + c % panel],
                    byte = p[5 * panel + row * bits / 8 * panel + c % panel];
            int code = byte >> row * bits % 8 & ((1 << bits) - 1);
            float scale;
            memcpy(&scale, p + 4 * (c % panel), sizeof scale);
            out[r * columns + c] = (double)((float)(code - zero) * scale);
        }
    return out;
}

bool eval_matmul_packed(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    const ir_tensor *x = ev_need(e, n, in, 0), *w = ev_need(e, n, in, 1);
    if (!x || !w) return false;
    ev_shape s = ev_shape_of(x), panels = ev_shape_of(w);
    int64_t columns = ir_attr_int(n, "n", -1);
    if (panels.rank == 2) panels = (ev_shape){3, {1, panels.dims[0], panels.dims[1]}};
    bool whole = x->type->dtype == DT_u8 && !ir_attr_find(n, "bits"),
         quads = whole && (w->type->dtype == DT_i32 || w->type->dtype == DT_i64);
    int64_t depth = s.rank > 0 ? s.dims[s.rank - 1] : 0;
    bool blocks = ir_attr_find(n, "bits") != NULL;
    if (blocks) panels = (ev_shape){3, {1, depth, columns}};
    bool fits = panels.rank == 3 && s.rank > 0 &&
                panels.dims[1] == (quads ? (depth + 3) / 4 : depth) && columns >= 0 &&
                columns <= panels.dims[0] * panels.dims[2];
    if (!fits) return ev_error(e, n, "panels %s do not fit", ev_shape_text(e, &panels));
    int64_t k = depth, width = panels.dims[2], rows = ev_product(&s, 0, s.rank - 1);
    s.dims[s.rank - 1] = columns;
    ir_tensor *y = ev_alloc(e, n, whole ? DT_i32 : x->type->dtype, &s);
    if (!y) return false;
    int64_t panel = quads ? 4 * panels.dims[1] * width : k * width;
    matrix a = {read_all(e, x), 0, k, 1}, b = {NULL, 0, width, 1};
    b.values = blocks  ? spread_blocks(e, n, w, k, columns)
               : quads ? spread_quads(e, w, &panels)
                       : read_all(e, w);
    if (!b.values) return false;
    for (int64_t j = 0; j < columns; j++) {
        b.at = j / width * panel + j % width;
        for (int64_t i = 0; i < rows; i++) {
            size_t at = (size_t)(i * columns + j);
            if (ir_dtype_is_float(y->type->dtype))
                ir_tensor_set_f64(y, at, dot_f64(&a, &b, i, 0, k));
            else
                ir_tensor_set_i64(y, at, dot_i64(&a, &b, i, 0, k));
        }
    }
    return ev_epilogue(e, n, in, y, out);
}

bool ev_epilogue(ir_eval *e, const ir_node *n, const ir_datum *const *in, const ir_tensor *product,
                 ir_datum *out) {
    ir_datum *result = TL_NEW(e->arena, ir_datum);
    result->tensor = product;
    if (n->n_regions == 0) {
        out[0].tensor = product;
        return true;
    }
    if (n->n_regions != 1) return ev_error(e, n, "%u regions, expected 1", n->n_regions);
    const ir_region *epilogue = n->regions[0];
    const ir_datum **params = TL_NEW_ARRAY(e->arena, const ir_datum *, n->n_in);
    params[0] = result;
    for (uint32_t i = 2; i < n->n_in; i++)
        params[i - 1] = in[i];
    if (epilogue->n_params != n->n_in - 1 || ir_region_n_results(epilogue) != n->n_out)
        return ev_error(e, n, "the epilogue has %u parameters for %u operands", epilogue->n_params,
                        n->n_in - 1);
    return ir_eval_region(e, epilogue, params, out);
}
