/* Our own mistakes stop at once and say where. User errors never come here: they are diagnostics (diag.h). */
#ifndef TLBC_IR_BASE_ASSERT_H
#define TLBC_IR_BASE_ASSERT_H

/* Called with the failed condition before aborting, so that the pass manager can write its reproducer. NULL = none.
 * The one process-wide hook of the compiler: an assertion has no context argument to carry it. Set per thread. */
typedef void tl_assert_hook(void *data);
void tl_assert_set_hook(tl_assert_hook *hook, void *data);

_Noreturn void tl_assert_failed(const char *condition, const char *file, int line,
                                const char *function);

#define TL_ASSERT(cond)  ((cond) ? (void)0 : tl_assert_failed(#cond, __FILE__, __LINE__, __func__))
#define TL_UNREACHABLE() tl_assert_failed("unreachable", __FILE__, __LINE__, __func__)

#endif
