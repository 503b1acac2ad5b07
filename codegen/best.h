/* Searching for the largest or smallest element and its position. A candidate is a value and where it was found, both vectors of the
 * same lanes.
 *
 *   cg_best_choose(s, cg_best_improves(s, v[0], best[0], s->last), v, best);       // v comes behind `best`
 *   cg_best_choose(s, cg_best_precedes(s, v, best), v, best);                      // in whatever order they were found
 *
 * NaN wins over numbers and is equal to NaN, as in numpy. Of equals the first wins, or the last where that is asked for. */
#ifndef TLBC_CODEGEN_BEST_H
#define TLBC_CODEGEN_BEST_H

#include "codegen/lower.h"

enum { CG_CANDIDATE = 2 }; /* value, position */

typedef struct cg_best {
    lp_builder *b;
    bool largest, last; /* last: of equals */
} cg_best;

/* `or_equal` is for values that come later, where the last of equals is wanted. */
lp_value *cg_best_improves(const cg_best *s, lp_value *v, lp_value *best, bool or_equal);
lp_value *cg_best_precedes(const cg_best *s, lp_value *const *v, lp_value *const *best);
/* best = better ? v : best */
void cg_best_choose(const cg_best *s, lp_value *better, lp_value *const *v, lp_value **best);

#endif
