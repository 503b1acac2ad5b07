/* Scores of classifiers and regressors of ai.onnx.ml: what comes after the sums. */
#ifndef TLBC_RUNTIME_ML_SCORES_H
#define TLBC_RUNTIME_ML_SCORES_H

#include "runtime/calls/call.h"

typedef enum tlbc_rt_transform {
    TLBC_RT_NONE,
    TLBC_RT_SOFTMAX,
    TLBC_RT_LOGISTIC,
    TLBC_RT_SOFTMAX_ZERO,
    TLBC_RT_PROBIT
} tlbc_rt_transform;

tlbc_rt_transform
tlbc_rt_post_transform(const tlbc_rt_call *c); /* attribute post_transform, a string */
void tlbc_rt_apply(tlbc_rt_transform t, double *scores, int64_t n);
float tlbc_rt_logistic(double x);

/* Labels of classes: strings or integers. */
typedef struct tlbc_rt_labels {
    const int64_t *ints;
    const tlbc_string *strings;
    uint32_t n;
} tlbc_rt_labels;
tlbc_rt_labels tlbc_rt_read_labels(const tlbc_rt_call *c, const char *ints, const char *strings);
/* Result 0 for so many rows. */
tlbc_tensor *tlbc_rt_label_result(tlbc_rt_call *c, const tlbc_rt_labels *l, int64_t rows);
void tlbc_rt_put_label(tlbc_tensor *y, const tlbc_rt_labels *l, int64_t row, int64_t which);
int64_t tlbc_rt_largest(const double *v, int64_t n);
/* The operand as rows: [n] is one row. */
int64_t tlbc_rt_rows(const tlbc_tensor *x);
int64_t tlbc_rt_columns(const tlbc_tensor *x);

#endif
