/* Reading text IR with options, and the side file that holds the bytes of constants which the text names by hash only.
 * The plain entries are in ir.h: ir_module_print, ir_module_parse.
 *
 *   const @W f32[64,3,7,7] #5d41402abc4b2a76
 *
 * Without a side file such a constant is opaque: typed, equal to itself, never folded. */
#ifndef TLBC_IR_TEXT_H
#define TLBC_IR_TEXT_H

#include "ir/ir.h"

/* The payload with this hash, or NULL. It must live as long as the module. */
typedef const void *ir_payload_fn(void *data, uint64_t hash, size_t bytes);

/* Zero = defaults. */
typedef struct ir_parse_options {
    ir_payload_fn *payload; /* NULL: constants by hash are opaque */
    void *payload_data;
    uint64_t
        max_generated; /* bytes that splat and rand may make in all; 0 = IR_MAX_GENERATED_BYTES */
} ir_parse_options;

ir_module *ir_module_parse_with(ir_ctx *c, tl_arena *a, const char *file, const char *text,
                                size_t len, const ir_parse_options *o);

/* data.c: side files. Written: the bytes of all constants in use. Read: borrowed bytes (a mapped file), aligned to 64.
 *
 *   ir_data d;
 *   if (!ir_data_init(&d, &arena, bytes, n)) ...                       // malformed
 *   ir_parse_options o = {.payload = ir_data_find, .payload_data = &d}; */
typedef struct ir_data {
    const char *bytes;
    size_t n;
    tl_map offsets; /* hash -> where its record is */
} ir_data;

void ir_data_write(const ir_module *m, tl_str *out);
bool ir_data_init(ir_data *d, tl_arena *a, const void *bytes, size_t n);
ir_payload_fn ir_data_find;

/* print.c: the module with verifier messages under the lines they are about (verify.c fills the list). */
typedef struct ir_note {
    const ir_node *node; /* NULL: about the graph or module; printed at the top */
    const char *text;
} ir_note;
void ir_module_print_notes(const ir_module *m, const ir_note *notes, uint32_t n, tl_str *out);

/* verify.c: operand counts, types, attributes and regions of one node against the schema; used before inference runs on a node
 * that comes from a stranger. False after reporting to c->diag. */
bool ir_node_verify(ir_ctx *c, const ir_node *n);
/* Runs the verifier and prints what it found under the offending lines; true when clean. */
bool ir_module_print_annotated(const ir_module *m, tl_str *out);

#endif
