/* States that a step changes where they lie. Most states are read in one place and written whole to another (CG_STATE, CG_NEXT), so that
 * a step that fails leaves them as they were. A cache would pay for all of its rows in each step; it gets a *place* instead:
 *
 *   %k1 = Concat<axis=2>(%k, %new)      return %k1                 a cache that grows: new rows are written behind the old ones
 *   %k1 = Concat<axis=2>(%k, %new)      return Slice(%k1, 1:)      a window: the same, and the next step begins a row later
 *   %k1 = Concat<axis=2>(Slice(%k, 1:), %new)      return %k1      the same window
 *
 * The rows lie in a block that has room for more; the runtime hands in the address of the first one. What is new goes where no old row is,
 * and becomes part of the state when the step has gone well, as the runtime then counts the rows on. Where a window meets the end of
 * its block, the runtime moves it back to the beginning: a row is moved about once in its life.
 *
 *   %k1 = TensorScatter(%k, %new, %at)  return %k1                         rows are written over: ScatterElements and ScatterND, too
 *
 * What is written over is saved first, and put back at the end of the program where the step has failed (cg_places_end). The state must
 * not be read behind that node. A program that can be left in the middle (codegen/dynamic.h) would not come there: it copies.
 *
 * Pieces of a cache may be cut out and put together again (past[layer, 0] ... stack): what counts is that each old row is handed on where
 * it lies. Entry points that have a state in common agree on its place, or it has none. */
#ifndef TLBC_CODEGEN_PLACE_H
#define TLBC_CODEGEN_PLACE_H

#include "codegen/lower.h"

struct cg_place {
    bool used;       /* else the state is copied */
    bool grows;      /* by what each step adds; no row is ever dropped */
    bool written;    /* rows are written over; `axis`: the first one behind what counts streams */
    int32_t axis;    /* of the rows */
    int64_t rows;    /* of a window; of a state that grows: as many as there can be */
    int64_t room;    /* rows that the block holds */
    int64_t advance; /* rows that a step drops in front; a step of a window adds as many */
    const cg_view *now, *next; /* while the graph is lowered: the state, and what becomes of it */
};

/* Of all graphs' states, by graph in the order of the module: arrays in the arena, NULL for a graph without states. */
cg_place **cg_places_decide(ir_module *m, tl_arena *a);
/* Before the graph is lowered: where its states lie, and where what they become has to be written. */
void cg_places_bind(cg *g, const ir_graph *graph);
/* Before n writes over elements of y, its data's view: `run` copies them to `saved` (restore: back from there), which is what it is called
 * for at once, and again at the end of the program in case the step has failed. */
typedef void cg_undo_fn(cg *g, ir_node *n, void *data, bool restore);
void cg_place_save(cg *g, ir_node *n, cg_undo_fn *run, void *data);
/* Behind the last node: a step that has failed gets its states back. */
void cg_places_end(cg *g);
/* No state is written over, in no graph, after all. */
void cg_places_drop_written(cg_place *const *places, const ir_module *m);
/* The two views are the same elements in the same memory. */
bool cg_view_is_same(const cg_view *a, const cg_view *b);

#endif
