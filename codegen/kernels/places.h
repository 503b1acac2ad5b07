/* Where the taps of windows read an image with channels last: for a block of positions a table of pointers to the C elements under each tap.
 * Taps in the padding read a row of the padding's value. So a kernel reads windows as they lie, nothing is copied or padded, and nothing is
 * tested in its inner loops.
 *
 *   cg_places p = {.k = &k, .window = &w, .x = view, .image = pointer, ...};
 *   cg_places_begin(&p, 96);                          // once: room for 96 positions, the padding's row
 *   cg_places_fill(&p, lo, hi);                       // positions [lo, hi) of the result, at most 96
 *   ptr = cg_places_get(&p, position - lo, tap);      // of this position under this tap, channel 0 */
#ifndef TLBC_CODEGEN_KERNELS_PLACES_H
#define TLBC_CODEGEN_KERNELS_PLACES_H

#include "codegen/lower.h"
#include "ir/window.h"

enum { CG_PLACES_MAX_CHANNELS = 8192 }; /* of the padding's row, on the stack */

typedef struct cg_places {
    cg_kernel *k;
    const ir_window *window;
    const cg_view *x; /* u8[N,...,C], channels contiguous */
    lp_value *image;  /* its first element */
    int64_t channels, taps;
    int64_t pad;               /* the padding's value */
    lp_value *table, *pad_row; /* made by cg_places_begin */
} cg_places;

/* Positions at once: as many as keep the table in a part of the first-level cache. */
int64_t cg_places_block(int64_t taps, int64_t most);
void cg_places_begin(cg_places *p, int64_t positions);
void cg_places_fill(cg_places *p, lp_value *lo, lp_value *hi);
/* All of the kernel's positions, block by block: fn gets a position and its place in the block. */
typedef void cg_place_fn(void *data, lp_value *position, lp_value *row);
void cg_for_places(cg_places *p, int64_t block, cg_place_fn *fn, void *data);
lp_value *cg_places_get(const cg_places *p, lp_value *position, lp_value *tap);

#endif
