/* Tensors of several streams and of one: where the rows of a stream lie. Inputs and outputs of a step of n streams have a dimension of n:
 * the symbol that counts them, else the first one if it is 1 in the model, else one more in front. */
#ifndef TLBC_CLI_ROWS_H
#define TLBC_CLI_ROWS_H

#include "cli/model.h"

typedef struct row_layout {
    size_t outer, inner; /* of one stream; streams lie between the two */
    uint32_t axis;
    bool inserted; /* the row has not this axis */
} row_layout;

/* `row`: what one stream has, of a model that may or may not take batches; false where the dims do not say which are streams'. */
bool rows_find(const tlbc_model *m, const tlbc_tensor_info *info, const tlbc_tensor *row,
               row_layout *out);
/* The shape and bytes of n such rows. */
tlbc_tensor rows_shape(const row_layout *l, const tlbc_tensor *row, uint32_t n);
void rows_put(const row_layout *l, const tlbc_tensor *all, uint32_t n, uint32_t k,
              const tlbc_tensor *row);
/* Row k of n: whether it has the same bits. */
bool rows_equal(const row_layout *l, const tlbc_tensor *all, uint32_t n, uint32_t k,
                const tlbc_tensor *row);

#endif
