// The public header in C++11: compiles without warnings, and links with C code through the model's table.
#include "tlbc/runtime.h"

extern "C" const tlbc_model fake_mix;

int main() {
    tlbc_session *s = nullptr;
    if (tlbc_session_create(&fake_mix, nullptr, &s) != TLBC_OK) return 1;
    float x[4] = {1, 2, 3, 4}, k[1] = {3}, y[4] = {0, 0, 0, 0}, out[4], twice[2];
    const int64_t dims[] = {1, 4}, one = 1, two = 2;
    tlbc_tensor in[] = {tlbc_tensor_f32(x, 2, dims), tlbc_tensor_f32(k, 1, &one), tlbc_tensor_f32(y, 2, dims)};
    tlbc_tensor result[] = {tlbc_tensor_f32(out, 2, dims), tlbc_tensor_f32(twice, 1, &two)};
    tlbc_status status = tlbc_run(s, in, result);
    bool ok = status == TLBC_OK && out[3] == 12 && tlbc_session_model(s) == &fake_mix;
    tlbc_session_free(s);
    return ok ? 0 : 1;
}
