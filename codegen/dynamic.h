/* Values whose size or kind only the run tells, in the program being built; see dynamic.c and docs/decisions/011. */
#ifndef TLBC_CODEGEN_DYNAMIC_H
#define TLBC_CODEGEN_DYNAMIC_H

#include "codegen/lower.h"

#include "runtime/abi.h"

/* One of the program's cells; tlbc_cell_info of the descriptor is made of it. */
typedef struct cg_cell {
    uint32_t dtype, rank;
    int32_t input;
    bool borrowed;
    const ir_tensor *constant;
} cg_cell;

/* One call of a function of runtime/calls/. */
typedef struct cg_call {
    const char *function, *where;
    const ir_node *node; /* whose attributes it gets */
    uint32_t n_in, n_out;
    int32_t *cells;
    bool keeps;
} cg_call;

struct cg_cells {
    TL_VEC(cg_cell) cells;
    TL_VEC(cg_call) calls;
    tl_map of_value;  /* ir_value * -> 1 + its cell */
    int32_t *outputs; /* by output: its cell, or -1; NULL = all are written in place */
    int32_t numbers;  /* the cell with the numbers of the node being lowered; -1 = it has none */
    uint32_t n_symbols;
};

void cg_cells_begin(cg *g); /* nothing where they are there */

/* A value that is no tensor or has no known rank: it exists in a cell alone. */
bool cg_is_cell_value(const ir_value *v);
uint32_t cg_value_cell(cg *g, ir_value *v);
void cg_set_cell(cg *g, const ir_value *v, uint32_t cell);
uint32_t cg_cell_create(cg *g, const cg_cell *cell);
/* Known before the run: an expression of the model's own symbols. */
bool cg_is_planned(cg *g, const ir_dim *d);
bool cg_is_planned_type(cg *g, const ir_type *t);
bool cg_is_bounded_type(cg *g, const ir_type *t); /* so, or not above what is known */
/* All that the region's nodes make is a tensor whose size, or at least a bound of it, is known before the run. */
bool cg_is_planned_region(cg *g, const ir_region *r);
/* A buffer in a cell, as large as the expression says here. */
cg_buffer *cg_buffer_grown(cg *g, const ir_dim *bytes, bool per_thread);
lp_value *cg_cell_data(cg *g, uint32_t cell);

/* The dense view's address and dims into a fresh cell of this element type, by thread 0, whose writes no other thread sees before a
 * barrier. */
uint32_t cg_bind(cg *g, const cg_view *v, ir_dtype t);
/* The value as a cell that may be used until the next barrier: its own, or one bound to its memory. Elements of less than a byte are
 * bytes there, as everywhere in the workspace, and the runtime takes them for u8. */
uint32_t cg_as_cell(cg *g, ir_value *v);
/* The operand as it can be bound: nothing for cells, else its dense view. After the last of them a barrier. */
void cg_make_bindable(cg *g, ir_value *v);
/* `v` is what the cell holds: symbols of its type get their values, other dims are compared. */
void cg_adopt(cg *g, ir_value *v, uint32_t cell);
/* barrier; thread 0 calls the runtime with (frame, a, b); barrier; where the run was stopped it ends. */
void cg_serial_call(cg *g, const char *function, int64_t a, lp_value *b);
/* Thread 0 alone, no barriers. */
void cg_alone_call(cg *g, const char *function, int64_t a, lp_value *b);
/* By thread 0: the cell's dims become those of t that are known here, the others 0. */
void cg_cell_clear(cg *g, uint32_t cell, const ir_type *t);
void cg_sync(cg *g); /* barrier; leaves a run that was stopped */

/* The run fails unless the dims are equal (or `from` is 1), here in the program. */
void cg_check_here(cg *g, const ir_dim *from, const ir_dim *to, bool exact, int64_t failure);

/* Which operands hold sizes that are data, as a mask; 0 where the result's shape is known without them. */
uint32_t cg_shape_operands(const ir_node *n);
/* Before such a node: computes its shape, sets the symbols of its results. */
bool cg_resolve_shape(cg *g, ir_node *n);
/* Number i of what the shape function gave for the node being lowered, as a symbol of the program. */
const ir_dim *cg_number(cg *g, uint32_t i);

#endif
