/* Models as codegen would make them, written by hand, to test the runtime alone.
 *
 *   mix       x f32[batch,4], k f32[1], y f32[batch,4]  ->  out f32[batch,4], twice f32[2*batch]
 *             out[r] = k * x[batch-1-r] + y[r], through the workspace and a barrier; twice[i] = i; k = NaN is a failure
 *   stress    -> count i64[1]: 3000 barriers; how often a thread saw another one out of step
 *   team      x u8[n] -> count i64[1]: n million operations of work; how many threads took part
 *   huge      x u8[n] -> y u8[n]: its plan overflows for n > 1000
 *   nothing   no variant that runs on any machine
 *   side      -> w f32[4]: four numbers from a weights file */
#ifndef TLBC_TESTS_FAKE_MODEL_H
#define TLBC_TESTS_FAKE_MODEL_H

#include "runtime/abi.h"

extern const tlbc_model fake_mix, fake_stress, fake_team, fake_huge, fake_nothing;

/* One run of `mix`; room for batches up to 64. */
typedef struct fake_mix_data {
    float x[64 * 4], k[1], y[64 * 4], out[64 * 4], twice[128];
    tlbc_tensor in[3], result[2];
} fake_mix_data;

void fake_mix_fill(fake_mix_data *d, int64_t batch);
int fake_mix_wrong(const fake_mix_data *d, int64_t batch); /* number of wrong elements */

#endif
