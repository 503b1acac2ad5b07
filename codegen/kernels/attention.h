/* Scaled dot-product attention of one query block against all keys, in one kernel:
 *     y = softmax(q k^T * scale [cap] + mask) v
 * The score matrix never exists: a row of scores per query lives in the first-level cache.
 *
 *   scores   a vector of the head dimension against `lanes` keys at once; the partial sums are transposed and added in log2(lanes) steps
 *   softmax  maximum, exponentials, sum along the row of scores
 *   values   rows of V times a broadcast weight, one chain of FMAs per output element in the order of the keys
 *
 * Bits depend on the vector width alone, not on threads or on how queries are blocked. */
#ifndef TLBC_CODEGEN_KERNELS_ATTENTION_H
#define TLBC_CODEGEN_KERNELS_ATTENTION_H

#include "codegen/lower.h"

enum { CG_ATTENTION_MAX_WIDTH = 256 }; /* of a head */

typedef struct cg_attention {
    cg *g;
    ir_node *node;
    const cg_view *q, *k, *v,
        *y; /* [batch, heads, length, width], last axis contiguous; k and v may have fewer heads */
    const cg_view *
        mask; /* broadcast to [batch, heads, queries, keys]; f32 to be added, or bool (false = masked); NULL = none */
    const ir_dim *
        mask_keys; /* the mask's last extent where it may be less than the keys: the others are masked out; else NULL */
    const cg_view *lengths;     /* i64 [batch]: keys from there on are masked out; NULL = none */
    const ir_dim *past;         /* keys before those of the first query */
    int64_t width, value_width; /* elements of one head in q and k, in v */
    int64_t group;              /* query heads per key head */
    double scale, softcap;      /* softcap 0 = none */
    bool causal;                /* query i sees keys up to past + i */
} cg_attention;

void cg_attention_kernel(cg_attention *a);

#endif
