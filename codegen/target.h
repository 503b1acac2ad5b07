/* CPUs that code is generated for: what LLVM must be told, and the numbers that schedules are made from. Data only.
 *
 *   cg_target t;
 *   cg_target_find(ctx, "x86-64-v3", &t);         // t.lanes_f32 == 8, t.n_registers == 16, t.has_fma
 *   cg_target_parse_list(ctx, "x86-64-v2,native", targets, 8, &n);  */
#ifndef TLBC_CODEGEN_TARGET_H
#define TLBC_CODEGEN_TARGET_H

#include "ir/ctx.h"

typedef struct cg_target {
    const char *name;   /* as the user wrote it: "x86-64-v3", "native" */
    const char *triple; /* LLVM's: "x86_64-unknown-linux-gnu" */
    const char *
        cpu; /* LLVM's -mcpu: a level such as "x86-64-v3", so that `required` says all that code may use */
    const char *tune;     /* LLVM's -mtune: whose latencies instructions are scheduled for */
    const char *features; /* LLVM's -mattr: "+avx2,-avx512f", or "" */
    uint64_t required;    /* TLBC_CPU_* bits a machine must have to run it (runtime/cpu.h) */
    uint32_t vector_bytes;
    uint32_t lanes_f32;   /* vector_bytes / 4 */
    uint32_t n_registers; /* vector registers */
    bool has_fma, has_f16c, has_avx512, has_vnni, has_bf16;
    uint32_t l1_bytes, l2_bytes, l3_bytes; /* data caches a core can count on */
} cg_target;

enum { CG_MAX_TARGETS = 8 };

/* "native" is the machine the compiler runs on. Both report unknown names to c->diag. */
bool cg_target_find(ir_ctx *c, const char *name, cg_target *out);
bool cg_target_parse_list(ir_ctx *c, const char *list, cg_target *out, uint32_t *n);
/* One line per CPU for --help. */
void cg_target_list(tl_str *out);

#endif
