/* Scaled dot-product attention of one block of queries against all keys, in one kernel:
 *     y = softmax(q k^T * scale [cap] + mask) v
 * The score matrix never exists: the scores of a block of queries live in the first-level cache.
 *
 *   scores   queries along the vector lanes: products, maximum, exponentials and sum need no step across lanes, whatever the heads' width
 *   values   rows of V times a broadcast weight
 *
 * Every score is one chain of FMAs in the order of the width, every sum one chain in the order of the keys: the bits depend neither on
 * threads nor on how queries are blocked, and keys that are masked out in front or behind change nothing. So a block looks at those keys
 * alone that its queries can see: up to the last query of a causal mask, the neighbourhood of LocalAttention (ir/band.h).
 *
 * Roofline on AVX2, heads 8 wide: a vector of scores takes 8 + 8 FMAs and about 18 instructions of exponential and softmax. */
#ifndef TLBC_CODEGEN_KERNELS_ATTENTION_H
#define TLBC_CODEGEN_KERNELS_ATTENTION_H

#include "codegen/lower.h"
#include "ir/band.h"

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
    const cg_view *lengths;       /* i64 [batch]: keys from there on are masked out; NULL = none */
    const ir_dim *past;           /* keys before those of the first query */
    const cg_view *first, *begin; /* LocalAttention: i64 scalars; NULL = 0 */
    int64_t width, value_width;   /* elements of one head in q and k, in v */
    int64_t group;                /* query heads per key head */
    double scale, softcap;        /* softcap 0 = none */
    bool causal;                  /* Attention: query i sees keys up to past + i */
    bool local;                   /* LocalAttention: what `band` says */
    ir_band band;
} cg_attention;

void cg_attention_kernel(cg_attention *a);

#endif
