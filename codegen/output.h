/* Files the compiler writes. A file appears under its name only when it is whole; scratch files have no name at all, so that nothing
 * is left behind, whatever ends the process.
 *
 *   int fd = cg_scratch_create(ctx, "out/model.so");         // unnamed, in the folder of model.so; memory where that cannot be
 *   cg_write_all(fd, data, n);
 *   cg_file_write(ctx, "out/model.h", text);                 // temporary name, then rename; errors go to ctx->diag */
#ifndef TLBC_CODEGEN_OUTPUT_H
#define TLBC_CODEGEN_OUTPUT_H

#include "ir/base/str.h"
#include "ir/ctx.h"

/* -1 after reporting. */
int cg_scratch_create(ir_ctx *c, const char *near);
/* false: see errno. */
bool cg_write_all(int fd, const void *data, size_t n);
bool cg_write_zeros(int fd, uint64_t n);
bool cg_file_write(ir_ctx *c, const char *path, tl_sv content);

/* A named temporary beside `path`, for programs that insist on a name: it does not exist yet. NULL after reporting that path can
 * never become a file (a folder, a device). */
const char *cg_temporary_name(ir_ctx *c, const char *path);
/* Gives the temporary its name, or removes it and reports. */
bool cg_file_commit(ir_ctx *c, const char *temporary, const char *path);

/* While held, the keyboard's and kill's signals wait: for the moments in which a named temporary exists. */
typedef struct cg_signals cg_signals;
cg_signals *cg_signals_hold(ir_ctx *c);
void cg_signals_release(cg_signals *s);
/* Mask to hand to child processes: the one before cg_signals_hold (a const sigset_t *). */
const void *cg_signals_mask(const cg_signals *s);

#endif
