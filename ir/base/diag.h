/* Diagnostics: what a user did wrong, as values that are collected and rendered later; never an exit.
 *
 *   return diag_error(d, n->loc, "input 1 '%s': rank is %u, expected 4", v->name, rank);      // returns false
 *
 * Text follows git's rules: lower case, no full stop, fact first, subject quoted. Rendered:
 *
 *   model.onnx: node 'layer1/conv' (Conv), input 1 'W': rank is 3, expected 4
 *       in graph 'main' > Loop 'decoder' > body
 *       note: 'W' has type f32[64,3,7], declared as initializer
 *
 * What was said before (same text, same place) is counted but not kept again, nor are the notes that follow it: inference runs
 * several times over the same nodes. */
#ifndef TLBC_IR_BASE_DIAG_H
#define TLBC_IR_BASE_DIAG_H

#include "ir/base/str.h"

typedef enum diag_severity { DIAG_ERROR, DIAG_WARNING, DIAG_NOTE } diag_severity;

/* Where something came from. From ONNX: file, node, op, path. From text: file, line, column. NULL/0 = not known. */
typedef struct ir_loc {
    const char *file;
    const char *node; /* name of the ONNX node */
    const char *op;   /* its operator, "Conv" */
    const char *path; /* "graph 'main' > Loop 'decoder' > body" */
    uint32_t index;   /* number of the node in its graph */
    uint32_t line, column;
    const char *source_line; /* text only: the line, for the caret */
} ir_loc;

typedef struct diag_entry {
    diag_severity severity;
    const ir_loc *loc;
    const char *text;
} diag_entry;

enum { DIAG_MAX_ERRORS = 20 }; /* more are counted, not kept */

typedef struct diag {
    tl_arena *arena;
    diag_entry *entries;
    uint32_t n, cap;
    uint32_t n_errors; /* reported, repetitions included */
    uint32_t n_kept;   /* errors among the entries */
    uint32_t n_hidden; /* errors beyond DIAG_MAX_ERRORS */
    bool dropping;     /* the last one that is not a note was dropped: its notes are as well */
} diag;

void diag_init(diag *d, tl_arena *arena);
void diag_clear(diag *d);
/* All return false, so that `return diag_error(...)` reads well. loc may be NULL. */
bool diag_error(diag *d, const ir_loc *loc, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
bool diag_warning(diag *d, const ir_loc *loc, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Belongs to the entry before it. */
bool diag_note(diag *d, const ir_loc *loc, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void diag_render(const diag *d, tl_str *out);
void diag_render_json(const diag *d, tl_str *out);

#endif
