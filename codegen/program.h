/* Between the files that build the program: control flow and its loops; see program.c. */
#ifndef TLBC_CODEGEN_PROGRAM_H
#define TLBC_CODEGEN_PROGRAM_H

#include "codegen/lower.h"

/* A loop of the program being lowered: what was made before it lives until its end. */
struct cg_loop {
    struct cg_loop *outer;
    uint32_t first_epoch;
    TL_VEC(cg_buffer *) survivors;
};

void cg_loop_begin(cg *g, cg_loop *l); /* before the loop's first block; contains a barrier */
void cg_loop_end(cg *g, cg_loop *l);   /* inside, at the end of the body; contains a barrier */
void cg_set_dest(cg *g, ir_value *v, const cg_view *view);
bool cg_lower_graph(cg *g, ir_graph *graph);
/* State i goes through as it is: nothing is written, and the runtime leaves it where it lies. */
bool cg_state_is_kept(const ir_graph *graph, uint32_t i);

#endif
