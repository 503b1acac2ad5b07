/* For the files of passes/mask*.c: what a mask is read into, a list of instructions over rows. A row holds the values for one query and all
 * keys. mask_compile.c makes the list from the graph, mask_bounds.c says of each instruction how it repeats, mask.c runs it. */
#ifndef TLBC_PASSES_MASK_INTERNAL_H
#define TLBC_PASSES_MASK_INTERNAL_H

#include "passes/mask.h"

enum { MASK_INSTRUCTIONS = 256, MASK_GRID = 4096, MASK_NUMBER = 1 << 30 };

/* Where along an axis. */
typedef struct mask_coord {
    int64_t i, j, base; /* i*query + j*key + base */
} mask_coord;

/* (a*i + b*j)/over + r, |r| <= slack; see mask.h. */
typedef struct mask_bounds {
    int64_t a, b, over, period, from, reach, slack;
    bool folded; /* |...| of it: fit for comparison alone */
} mask_bounds;

typedef struct mask_instruction {
    op_id op; /* None: the coordinate, or what a table has there; Dims: a number, *row */
    const ir_node *node;
    uint32_t in[3], n_in;
    mask_coord at;
    const ir_tensor *table;
    mask_bounds bounds;
    double *row;
} mask_instruction;

typedef struct mask_reader {
    pass_ctx *ctx;
    mask_instruction code[MASK_INSTRUCTIONS];
    uint32_t n;
    int64_t rows, columns; /* that a table has; INT64_MAX where there is none */
    bool whole;            /* the sizes are known: no bounds are needed */
    const char *why;
} mask_reader;

/* Keeps the first reason; false. */
static inline bool mask_fail(mask_reader *r, const char *why) {
    if (!r->why) r->why = why;
    return false;
}
static inline int64_t mask_min(int64_t x, int64_t y) {
    return x < y ? x : y;
}
static inline int64_t mask_max(int64_t x, int64_t y) {
    return x > y ? x : y;
}

/* ---- mask_bounds.c --------------------------------------------------------------------------------------------------- */
/* Both over one denominator, with one period. false with a reason where that is too long. */
bool mask_bounds_join(mask_reader *r, mask_bounds *x, mask_bounds *y);
/* Of an instruction from those of its operands. */
bool mask_bounds_of(mask_reader *r, const mask_instruction *x, mask_bounds *out);
bool mask_bounds_are_small(mask_reader *r, const mask_bounds *x);
bool mask_is_number(const mask_reader *r, uint32_t at, double *x);
/* Of a constant number. */
mask_bounds mask_bounds_of_number(double x);

/* ---- mask_compile.c -------------------------------------------------------------------------------------------------- */
/* The number of the instruction that gives v's elements at these coordinates, one for each axis. */
bool mask_compile(mask_reader *r, const ir_value *v, const mask_coord *at, uint32_t *out);

#endif
