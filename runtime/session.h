/* Inside of a session. Private to runtime/.
 *
 * One call goes through these steps (session.c):
 *   check_inputs   types, ranks, constant dimensions; the symbols' values                       check.c
 *   plan           dimension expressions, slots, size of the workspace; only where the symbols changed
 *   check_exprs    input dimensions that are expressions of symbols ("batch" again, "2*time")   check.c
 *   check_outputs  dims and bytes of the outputs; room in the caller's buffers                  check.c
 *   run            on the team of threads                                                       threads.c */
#ifndef TLBC_RUNTIME_SESSION_H
#define TLBC_RUNTIME_SESSION_H

#include "runtime/abi.h"
#include "runtime/threads.h"
#include "runtime/weights.h"

#include <stdbool.h>

enum { TLBC_RT_MESSAGE = 1024, TLBC_RT_ALIGN = 64 };

struct tlbc_session {
    const tlbc_model *model; /* first: the wrappers in runtime.h rely on it */
    const tlbc_variant *variant;
    tlbc_rt_team *team;
    tlbc_rt_weights weights;
    tlbc_frame frame;
    int64_t status[3];  /* frame.status */
    int64_t *symbols;   /* values that exprs and slots were planned for */
    int64_t *candidate; /* values of the call that is being checked */
    int64_t *exprs, *slots;
    void **inputs, **outputs;
    char *workspace;
    size_t workspace_bytes; /* there */
    size_t needed;          /* by the plan */
    bool planned;           /* symbols, exprs, slots and needed are valid */
    bool own_workspace;
    char message[TLBC_RT_MESSAGE];
};

/* Sets the message and returns the status. */
tlbc_status tlbc_rt_report(tlbc_session *s, tlbc_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* All return TLBC_OK or leave a message. with_data: pointers and bytes count, not the shapes alone. */
tlbc_status tlbc_rt_check_inputs(tlbc_session *s, const tlbc_tensor *in, bool with_data);
tlbc_status tlbc_rt_check_exprs(tlbc_session *s, const tlbc_tensor *in);
/* Fills dtype, rank and dims of the outputs, and their `bytes` where no data is asked for. */
tlbc_status tlbc_rt_check_outputs(tlbc_session *s, tlbc_tensor *out, bool with_data);

#endif
