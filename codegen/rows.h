/* Row kernels: a loop over rows whose body makes passes along one axis. Used by softmax, normalisation, running sums.
 *
 *   cg_rows r;
 *   cg_rows_begin(&r, g, n, rank, dims, axis);
 *   uint32_t x = cg_rows_add(&r, view, false), y = cg_rows_add(&r, out, true);
 *   cg_rows_loop(&r);
 *   cg_row_pass(&r, lanes, LP_reduce_max, &acc, 1, fn, data);       // accumulators start and end as scalars
 *   cg_rows_end(&r, "Softmax");
 *
 * The order of a sum depends on the vector width alone, never on threads or on how rows are grouped. */
#ifndef TLBC_CODEGEN_ROWS_H
#define TLBC_CODEGEN_ROWS_H

#include "codegen/lower.h"

enum { CG_MAX_ROW_VIEWS = 8 };

typedef struct cg_row_view {
    const cg_view *view;
    lp_value *ptr, *stride, *base;
} cg_row_view;

typedef struct cg_rows {
    cg *g;
    cg_kernel k;
    int32_t rank, axis, n_outer;
    const ir_dim *outer[IR_MAX_RANK_NEST];
    const ir_dim *length_dim, *units;
    lp_value *length;
    lp_loop loop;
    cg_row_view views[CG_MAX_ROW_VIEWS];
    uint32_t n;
} cg_rows;

void cg_rows_begin(cg_rows *r, cg *g, const ir_node *n, int32_t rank, const ir_dim *const *dims,
                   int32_t axis);
uint32_t cg_rows_add(cg_rows *r, const cg_view *v,
                     bool write); /* rank equal; broadcast by the caller */
void cg_rows_loop(cg_rows *r);
/* Rows [lo, hi), for kernels that go over them more than once; ended by lp_for_end(&r->k.b, &r->loop, NULL). */
void cg_rows_between(cg_rows *r, lp_value *lo, lp_value *hi);
void cg_rows_end(cg_rows *r, const char *summary);
lp_value *cg_row_load(cg_rows *r, uint32_t i, unsigned lanes,
                      lp_value *j); /* in the compute type */
void cg_row_store(cg_rows *r, uint32_t i, unsigned lanes, lp_value *j, lp_value *x);
bool cg_row_is_contiguous(const cg_rows *r, uint32_t i);
unsigned cg_rows_lanes(const cg_rows *r);

/* Updates acc[] for elements [j, j+lanes). */
typedef void cg_row_fn(cg_rows *r, unsigned lanes, lp_value *j, lp_value **acc, void *data);
void cg_row_pass(cg_rows *r, unsigned lanes, lp_op fold, lp_value **acc, uint32_t n_acc,
                 cg_row_fn *fn, void *data);

#endif
