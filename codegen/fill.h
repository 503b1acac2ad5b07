/* The block of constants put into a file that the linker has made without it.
 *
 *   linker:   LOAD 0x0 ... 0x2f00   LOAD .tlbc.weights NOBITS, no bytes   LOAD .text ...
 *   after:    the same, and the block behind all else in the file, loaded where the linker has left room for it
 *
 * A linker copies the block out of a file that holds it, once more than needed: of 500 MB that is more than a
 * second, and as much memory and disk again. */
#ifndef TLBC_CODEGEN_FILL_H
#define TLBC_CODEGEN_FILL_H

#include "codegen/weights.h"

typedef enum cg_fill_result {
    CG_FILL_DONE,
    CG_FILL_NO_ROOM, /* this linker has laid out the file otherwise: link again, with the block in the object */
    CG_FILL_FAILED /* see errno */
} cg_fill_result;

/* path: a shared object, or a relocatable one, linked from what cg_weights_write_room has written. */
cg_fill_result cg_weights_fill(const cg_weights *w, const char *path);

#endif
