/* The public header in strict C99: it compiles without warnings (-Werror here), and its helpers do what they say. */
#include "tlbc/runtime.h"

int main(void) {
    float x[6] = {0};
    const int64_t dims[2] = {2, 3};
    tlbc_tensor t = tlbc_tensor_f32(x, 2, dims);
    return !(t.bytes == sizeof x && t.rank == 2 && t.dims[1] == 3 && t.dims[2] == 0 &&
             t.dtype == TLBC_F32 && !strcmp(tlbc_status_text(TLBC_OK), "ok"));
}
