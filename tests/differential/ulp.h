/* Differences between compiled results and the evaluator's, in units in the last place. */
#ifndef TLBC_TESTS_DIFFERENTIAL_ULP_H
#define TLBC_TESTS_DIFFERENTIAL_ULP_H

#include "ir/tensor.h"

/* How far a result may be off: `ulp` units in the last place of the element's type, taken at the element or at `size`, whichever is
 * larger (results of sums that cancel are as exact as what was summed). 0 = the same bits, but for the payload of NaNs. */
typedef struct ulp_bound {
    double ulp, size;
} ulp_bound;

/* Element i of two tensors of one type. Integers must be equal; NaN equals NaN, infinities their like. */
bool ulp_equal(const ir_tensor *want, const ir_tensor *got, size_t i, ulp_bound bound);
/* Root of the mean square of the finite elements; 0 where there is none. */
double ulp_mean_size(const ir_tensor *x);

#endif
