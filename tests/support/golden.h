/* The parts of the golden runner: golden.c (files and cases), golden_run.c (what a RUN line does), golden_check.c (comparing). */
#ifndef TLBC_TESTS_GOLDEN_H
#define TLBC_TESTS_GOLDEN_H

#include "ir/base/vec.h"
#include "ir/ir.h"
#include "ir/text.h"

/* One case of a file. All texts are parts of the file's, which outlives it. */
typedef struct golden_case {
    const char *file;
    uint32_t line; /* where it starts */
    tl_sv run;     /* behind "// RUN:" */
    tl_sv input;
    tl_sv expect; /* behind "// EXPECT"; data NULL: there is none */
    const char *
        text; /* the file up to the end of the input, all before the input blanked: keeps line numbers */
    size_t text_len;
} golden_case;

typedef struct golden_result {
    bool ok;    /* the pipeline went through */
    tl_str out; /* the module afterwards */
} golden_result;

/* golden_run.c: parses the input, runs the pipeline, prints. Messages are in c->diag.
 *
 *   RUN: parse                  print again
 *   RUN: verify                 print annotated with what the verifier found
 *   RUN: infer                  infer all types, print
 *   RUN: dce,fix(cse,dce)       passes (passes/pass.h), with verification around them
 *   RUN: loop                   loop IR: verify, print; what was printed reads back to the same
 *   RUN: split:4                loop IR: functions in pieces of so many instructions, printed
 *   RUN: asm:x86-64-v3          loop IR: assembly for that CPU; RUN: llvm:x86-64-v3 LLVM IR after its passes
 * Options behind it: --constants=full|hash|none, --locations, --math=strict|fast,
 * --state=IN=OUT[,...], --stream=INPUT:AXIS:CHUNK. */
void golden_run(const golden_case *k, ir_ctx *c, tl_arena *a, golden_result *r);

/* golden_loop.c: the same for loop IR; false where the RUN line asks for something else. */
bool golden_run_loop(const golden_case *k, ir_ctx *c, tl_arena *a, golden_result *r);

/* golden_check.c: false after printing what differs to stderr. */
bool golden_check_expect(const golden_case *k, tl_sv found);
bool golden_check_lines(const golden_case *k, tl_sv found); /* // CHECK:, CHECK-NEXT:, CHECK-NOT: */
bool golden_check_errors(const golden_case *k, const ir_ctx *c); /* // ERROR: text */
bool golden_has(tl_sv text, const char *directive);
tl_sv golden_trim(tl_sv s);
/* Takes the first line off *text. */
bool golden_next_line(tl_sv *text, tl_sv *line);

#endif
