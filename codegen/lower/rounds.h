/* Rounds of a loop as code, shared by Loop and Recur: carried values, outputs that are stacked over the rounds, the body.
 *
 *   loop_state *s = rounds_create(g, n, n_carry, n_stacked, first_stacked);
 *   rounds_carry(s, i, initial, param, next, out);           // for each carried value
 *   rounds_stack(s, i, out, element, axis, position, NULL);  // for each stacked output
 *   rounds_counted(s, counter, trips, iter, NULL);
 *   rounds_adopt(s);
 *
 * Carried values live in one buffer each, updated in place where the body has read the old value before the new one is made, copied at
 * the end of the round otherwise. Stacked outputs are written by the kernel that makes them straight into their slice. */
#ifndef TLBC_CODEGEN_LOWER_ROUNDS_H
#define TLBC_CODEGEN_LOWER_ROUNDS_H

#include "codegen/program.h"

typedef struct carried {
    ir_value *param, *next, *out; /* in the body, its new value, the result behind the loop */
    const cg_view *home;
    int32_t cell,
        fresh; /* of a value whose shape or kind changes: this round's, the next one's; else -1 */
} carried;

typedef struct loop_state {
    cg *g;
    ir_node *node;
    ir_region *body;
    carried *carry;
    uint32_t n_carry;
    const cg_view **stacked; /* whole stacked outputs */
    const cg_view **slices;  /* this round's part */
    int32_t *
        stack_cells; /* instead of both: what grows from round to round, NULL = the number of rounds is known */
    uint32_t n_stacked, first_stacked; /* body result number of the first stacked one */
    cg_loop loop;
} loop_state;

loop_state *rounds_create(cg *g, ir_node *n, uint32_t n_carry, uint32_t n_stacked,
                          uint32_t first_stacked);
/* Names the counter: what inference called it, else a fresh symbol below `trip` (NULL = data). */
const ir_dim *rounds_counter(cg *g, ir_value *iter, const ir_dim *trip);
void rounds_set_trip(cg *g, const ir_dim *symbol, const ir_dim *trip);
bool rounds_carry(loop_state *s, uint32_t i, ir_value *init, ir_value *param, ir_value *next,
                  ir_value *out);
bool rounds_stack(loop_state *s, uint32_t i, ir_value *out, const ir_value *element, int32_t axis,
                  const ir_dim *at, const ir_dim *taken);
/* Stacked outputs get a cell each, that grows, where nobody knows how many or how large they will be; counted: the number of rounds is
 * known. false after a refusal. */
bool rounds_stack_in_cells(loop_state *s, bool counted);
/* Part of the view along an axis: `taken` elements from `at` on; NULL: that one, without the axis. */
cg_view *rounds_part(cg *g, const cg_view *v, int32_t axis, const ir_dim *at, const ir_dim *taken);
/* The body once, in a scope that stays open where it succeeds. iter, cond: its counter and condition, which holds in every round; NULL =
 * none. */
bool rounds_body(loop_state *s, const char *symbol, lp_value *counter, ir_value *iter,
                 ir_value *cond);
/* for counter = 0 to trip: the body */
bool rounds_counted(loop_state *s, const char *symbol, lp_value *trip, ir_value *iter,
                    ir_value *cond);
/* Both are known, of the same element type and dims. */
bool rounds_same_shape(const ir_type *a, const ir_type *b);
/* Its result may lie in its operand's memory. */
bool rounds_is_view(const ir_node *n);
/* Behind the loop: results that live in cells. */
void rounds_adopt(loop_state *s);

#endif
