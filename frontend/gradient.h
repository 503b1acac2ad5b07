/* Inside the importer: differentiation of a piece of the graph, in reverse (gradient.c), and the derivative of each operator
 * (gradient_rules.c, gradient_layers.c, gradient_moves.c). */
#ifndef TLBC_FRONTEND_GRADIENT_H
#define TLBC_FRONTEND_GRADIENT_H

#include "frontend/upgrade.h"

/* The derivative of a result of one node with respect to operand i, times the derivative g of the target by that result; NULL after
 * reporting. `f` is the Gradient node at which everything is built. */
ir_value *gradient_of_operand(fe_node *f, const ir_node *n, uint32_t i, uint32_t result,
                              ir_value *g);
/* Results of the operator do not depend smoothly on operand i (indices, shapes, conditions): nothing flows there. */
bool gradient_stops(const ir_node *n, uint32_t i);

#endif
