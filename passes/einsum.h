/* Einsum while it is being decomposed: operands that shrink and meet in pairs (see decompose_einsum.c). */
#ifndef TLBC_PASSES_EINSUM_H
#define TLBC_PASSES_EINSUM_H

#include "ir/build.h"
#include "ir/einsum.h"

enum { EINSUM_MAX_OPERANDS = 64 };

typedef uint64_t label_set;

/* A constant of zeros and ones with three different labels: which of its elements are 1, for each axis that is looked along. */
typedef struct einsum_pattern einsum_pattern;

/* An operand, or what operands have become. */
typedef struct factor {
    ir_value *v;
    ir_einsum_term term;
    const einsum_pattern *pattern; /* NULL: a tensor like others */
} factor;

typedef struct einsum {
    ir_builder *b;
    ir_einsum e;
    const ir_dim *size[IR_EINSUM_MAX_LABELS];
    factor factors[EINSUM_MAX_OPERANDS];
    uint32_t n;
    tl_arena *arena;
} einsum;

static inline label_set einsum_bit(uint32_t label) {
    return (label_set)1 << label;
}

static inline label_set factor_labels(const factor *f) {
    return ir_einsum_labels(&f->term);
}

/* Labels that the operands outside of `group` (a set of operands) or the result have. */
label_set einsum_needed_outside(const einsum *s, uint64_t group);
/* Number of elements of a tensor with these labels; sizes that only the run knows are guessed. */
double einsum_extent(const einsum *s, label_set set);
/* Adds those labels of `from` that are in `which`, in their order. */
void einsum_append(ir_einsum_term *t, const ir_einsum_term *from, label_set which);

/* einsum_product.c: x and y multiplied, labels that are not needed summed. */
factor einsum_multiply(einsum *s, const factor *x, const factor *y, label_set needed);
/* f's value with its axes in the order of the labels given, and a new axis of 1 for each label it does not have. */
ir_value *einsum_arranged(einsum *s, const factor *f, const ir_einsum_term *order);
/* v with axes in runs of n[0], n[1], ... (adding up to its rank), each run as one axis; a run of none is an axis of 1. */
ir_value *einsum_merge_axes(einsum *s, ir_value *v, const int32_t *n, uint32_t n_runs);

/* einsum_pattern.c: f's pattern, where it is a constant that is one; else NULL. */
const einsum_pattern *einsum_find_pattern(einsum *s, const factor *f);
/* One pattern element is 1 where position = offset + a * (first of the other two axes) + b * (second), for those in range. */
typedef struct affine_pattern {
    int64_t a, b, offset;
} affine_pattern;
/* The pattern as positions along its axis `axis`; false where they do not go evenly. */
bool einsum_pattern_affine(const einsum_pattern *p, int32_t axis, affine_pattern *out);
/* Summing over what a tensor with labels x and p have in common is no more than looking its elements up; false where p is no pattern. */
bool einsum_is_lookup(label_set x, const factor *p, label_set needed);
factor einsum_look_up(einsum *s, const factor *x, const factor *p);

/* einsum_conv.c: the whole as one convolution and its result; false, with nothing built, where it is none. */
bool einsum_as_conv(einsum *s, factor *result);

#endif
