/* Geometry of Resize: which axes change, to which sizes, by which scales. Sizes are dimension expressions: inference and code
 * generation have symbols, the evaluator constants.
 *
 *   size d, scale 0.5                                   -> d/2
 *   sizes {40, 40} for {20, 10}, policy not_larger      -> {40, 20}, both with scale 2 */
#ifndef TLBC_IR_RESIZE_H
#define TLBC_IR_RESIZE_H

#include "ir/ir.h"
#include "ir/limits.h"

typedef struct ir_resize {
    int32_t rank;
    const ir_dim *in[IR_MAX_RANK], *out[IR_MAX_RANK];
    bool resized[IR_MAX_RANK];  /* others are copied */
    int32_t place[IR_MAX_RANK]; /* of an axis in the lists scales, sizes, roi; -1 = not in them */
    int32_t n_axes;             /* in the lists */
    bool by_scales;
    double scale[IR_MAX_RANK]; /* by_scales; NAN: only the run knows */
    /* else: sizes as given, of which `fit` takes the scale of one axis for all */
    const ir_dim *wanted[IR_MAX_RANK];
    enum { RESIZE_STRETCH, RESIZE_NOT_LARGER, RESIZE_NOT_SMALLER } fit;
} ir_resize;

/* The operands' contents: scales or sizes has elements, the other none; roi NULL = not known. Scales that only the run knows (NULL) make
 * the sizes `scaled`, by axis. NULL, or what is wrong, in words. */
typedef struct ir_resize_lists {
    const double *scales, *roi;
    const ir_dim *const *sizes, *const *scaled;
    int32_t n_scales, n_sizes;
} ir_resize_lists;
const char *ir_resize_init(ir_resize *r, ir_ctx *c, const ir_node *n, int32_t rank,
                           const ir_dim *const *dims, const ir_resize_lists *lists);

/* The filter of an axis that shrinks by `scale` (1 and more: as 1): reach on either side of a point, in elements of the operand.
 * nearest: 0; linear: 1 or 1/scale; cubic: 2 or 2/scale. */
int ir_resize_support(const ir_node *n);
/* x*scale is in taps at most this far; what is beyond has weight 0. The number of elements a point may touch. */
const ir_dim *ir_resize_taps(const ir_resize *r, ir_ctx *c, const ir_node *n, int32_t axis);

#endif
