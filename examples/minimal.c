/* The smallest program with a compiled model inside: no file to load, nothing but the C library at run time.
 *
 *   tlbc compile examples/digits/model.onnx -o digits.o --emit=obj,header
 *   cc -O2 -Iinclude -I. examples/minimal.c digits.o libtlbc_rt.a -lm -lpthread -o minimal
 *   ./minimal */
#define TLBC_NO_DLOPEN
#include "digits.h"

#include <stdio.h>

int main(void) {
    /* a one: two columns of ink in the middle */
    static const float image[DIGITS_IMAGE_ELEMENTS] = {
        0,  0, 0, 12, 12, 0,  0,  0,  0,  0, 8, 16, 14, 0,  0,  0,  0,  4, 16, 16, 12, 0,
        0,  0, 0, 0,  4,  16, 12, 0,  0,  0, 0, 0,  0,  16, 12, 0,  0,  0, 0,  0,  0,  16,
        12, 0, 0, 0,  0,  0,  2,  16, 14, 0, 0, 0,  0,  0,  0,  12, 12, 0, 0,  0,
    };
    float logits[DIGITS_LOGITS_ELEMENTS];
    tlbc_session *session;
    tlbc_status status = tlbc_session_create(&digits_model, NULL, &session);
    if (status) {
        fprintf(stderr, "%s\n", tlbc_status_text(status));
        return 1;
    }
    status = digits_run(session, image, logits);
    if (status) fprintf(stderr, "%s\n", tlbc_session_message(session));
    for (int i = 0; i < DIGITS_LOGITS_DIM_1 && !status; i++)
        printf("%d: %+.3f\n", i, (double)logits[i]);
    tlbc_session_free(session);
    return status != TLBC_OK;
}
