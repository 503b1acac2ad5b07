/* Values that are parts of another one: ranges of its positions along one axis, cut out by Slice, Split or Gather.
 *
 *   Slice(x, [4], [8], [1])     x's axis 1, positions 4 to 7
 *   Gather<axis=1>(x, 3)        x's axis 1, position 3; the axis is gone
 *   result 1 of Split(x)        what comes behind result 0 */
#ifndef TLBC_PASSES_PIECE_H
#define TLBC_PASSES_PIECE_H

#include "passes/pass.h"

typedef struct piece {
    ir_value *from;
    int32_t axis;
    int64_t start, length;
    bool dropped; /* one position, and the axis is gone */
} piece;

/* false where v is no such part, or where it begins is not known. */
bool find_piece(const ir_value *v, piece *out);

#endif
