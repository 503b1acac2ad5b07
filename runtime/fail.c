/* How generated code reports bad data (an index out of range): the first failure of a run is kept, the run goes on (the access
 * itself was clamped), and tlbc_run turns it into TLBC_ERROR_DATA with the model's message. */
#include "runtime/abi.h"

void tlbc_rt_fail(const tlbc_frame *frame, int64_t failure, int64_t a, int64_t b) {
    int64_t none = 0;
    /* Only the thread that claims the place writes the arguments; they are read after all threads have returned. */
    if (!__atomic_compare_exchange_n(&frame->status[0], &none, failure + 1, 0, __ATOMIC_RELAXED,
                                     __ATOMIC_RELAXED))
        return;
    frame->status[1] = a;
    frame->status[2] = b;
}
