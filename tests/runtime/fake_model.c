#include "tests/runtime/fake_model.h"

#include <math.h>

#define FAKE_MODEL(id, inputs_, outputs_, symbols_, program_) \
    {.abi_version = TLBC_ABI_VERSION,                         \
     .struct_size = sizeof(tlbc_model),                       \
     .name = id,                                              \
     .compiler = "by hand",                                   \
     .target = "any",                                         \
     .options = "",                                           \
     .n_inputs = sizeof inputs_ / sizeof(tlbc_tensor_info),   \
     .inputs = inputs_,                                       \
     .n_outputs = sizeof outputs_ / sizeof(tlbc_tensor_info), \
     .outputs = outputs_,                                     \
     .n_symbols = sizeof symbols_ / sizeof(char *),           \
     .symbols = symbols_,                                     \
     .api = &tlbc_rt_api,                                     \
     .program = &program_}

static const tlbc_tensor_info no_tensors[0];
static const char *const no_symbols[0];

/* ---- mix ------------------------------------------------------------------------------------------------------ */

static int64_t mix_plan(const int64_t *symbols, int64_t *exprs, int64_t *slots, int64_t threads) {
    exprs[0] = symbols[0];
    exprs[1] = 2 * symbols[0];
    slots[0] = 64 * threads;
    return slots[0] + symbols[0] * 16;
}

static void mix_main(const tlbc_frame *f, int64_t tid, int64_t n) {
    const float *x = f->inputs[0], *k = f->inputs[1], *y = f->inputs[2];
    float *out = f->outputs[0], *twice = f->outputs[1];
    float *rows = (float *)(f->workspace + f->slots[0]);
    int64_t batch = f->symbols[0];
    if (isnan(k[0])) tlbc_rt_fail(f, 1, tid < n ? 7 : 0, batch);
    for (int64_t r = tid; r < batch; r += n)
        for (int i = 0; i < 4; i++)
            rows[r * 4 + i] = k[0] * x[r * 4 + i];
    for (int64_t i = tid; i < 2 * batch; i += n)
        twice[i] = (float)i;
    tlbc_rt_barrier(f, tid);
    for (int64_t r = tid; r < batch; r += n)
        for (int i = 0; i < 4; i++)
            out[r * 4 + i] = rows[(batch - 1 - r) * 4 + i] + y[r * 4 + i];
}

static const tlbc_dim batch_by_4[] = {{-1, "batch", 0, 0}, {4, NULL, -1, -1}};
static const tlbc_dim same_batch_by_4[] = {{-1, "batch", 0, -1}, {4, NULL, -1, -1}};
static const tlbc_dim one[] = {{1, NULL, -1, -1}}, two_batches[] = {{-1, "2*batch", 1, -1}};
static const tlbc_tensor_info mix_inputs[] = {
    {"x", TLBC_F32, 2, batch_by_4}, {"k", TLBC_F32, 1, one}, {"y", TLBC_F32, 2, same_batch_by_4}};
static const tlbc_tensor_info mix_outputs[] = {{"out", TLBC_F32, 2, same_batch_by_4},
                                               {"twice", TLBC_F32, 1, two_batches}};
static const char *const mix_symbols[] = {"batch"};
static const char *const mix_failures[] = {
    "not this one", "node 'm' (Mul), input 1: element %lld of %lld is not a number"};
static const tlbc_variant mix_variants[] = {{"none", UINT64_C(1) << 63, NULL, NULL},
                                            {"any", 0, mix_main, mix_plan}};
static const tlbc_program mix_program = {.n_variants = 2,
                                         .n_exprs = 2,
                                         .n_slots = 1,
                                         .n_failures = 2,
                                         .variants = mix_variants,
                                         .weights = "",
                                         .failures = mix_failures};
const tlbc_model fake_mix = FAKE_MODEL("mix", mix_inputs, mix_outputs, mix_symbols, mix_program);

void fake_mix_fill(fake_mix_data *d, int64_t batch) {
    int64_t dims[2] = {batch, 4}, n = 1;
    for (int i = 0; i < batch * 4; i++) {
        d->x[i] = (float)i;
        d->y[i] = 0.5f * (float)i;
        d->out[i] = -1;
    }
    d->k[0] = 3;
    d->in[0] = tlbc_tensor_f32(d->x, 2, dims);
    d->in[1] = tlbc_tensor_f32(d->k, 1, &n);
    d->in[2] = tlbc_tensor_f32(d->y, 2, dims);
    d->result[0] = (tlbc_tensor){.data = d->out, .bytes = sizeof d->out};
    d->result[1] = (tlbc_tensor){.data = d->twice, .bytes = sizeof d->twice};
}

int fake_mix_wrong(const fake_mix_data *d, int64_t batch) {
    int wrong = 0;
    for (int64_t r = 0; r < batch; r++)
        for (int64_t i = 0; i < 4; i++)
            wrong += d->out[r * 4 + i] != 3 * d->x[(batch - 1 - r) * 4 + i] + d->y[r * 4 + i];
    for (int64_t i = 0; i < 2 * batch; i++)
        wrong += d->twice[i] != (float)i;
    return wrong;
}

/* ---- stress --------------------------------------------------------------------------------------------------- */

enum { STEPS = 3000 };

static int64_t stress_plan(const int64_t *symbols, int64_t *exprs, int64_t *slots,
                           int64_t threads) {
    (void)symbols, (void)exprs, (void)slots;
    return 64 * threads;
}

/* Each thread keeps its step on its own cache line, in plain memory: only the barrier orders the accesses, which is what the
 * thread sanitizer checks. */
static void stress_main(const tlbc_frame *f, int64_t tid, int64_t n) {
    int64_t *wrong = f->outputs[0], mine = 0;
    if (tid == 0) *wrong = 0;
    for (int64_t step = 0; step < STEPS; step++) {
        *(int64_t *)(f->workspace + 64 * tid) = step;
        tlbc_rt_barrier(f, tid);
        mine += *(int64_t *)(f->workspace + 64 * ((tid + 1 + step) % n)) != step;
        tlbc_rt_barrier(f, tid);
    }
    __atomic_fetch_add(wrong, mine, __ATOMIC_RELAXED);
}

static const tlbc_tensor_info stress_outputs[] = {{"count", TLBC_I64, 1, one}};
static const tlbc_variant stress_variants[] = {{"any", 0, stress_main, stress_plan}};
static const tlbc_program stress_program = {
    .n_variants = 1, .variants = stress_variants, .weights = ""};
const tlbc_model fake_stress = FAKE_MODEL("stress", no_tensors, stress_outputs, no_symbols,
                                          stress_program);

/* ---- team ----------------------------------------------------------------------------------------------------- */

static int64_t team_plan(const int64_t *symbols, int64_t *exprs, int64_t *slots, int64_t threads) {
    (void)slots, (void)threads;
    exprs[0] = symbols[0];
    exprs[1] = symbols[0] * 1000000;
    return 0;
}

static void team_main(const tlbc_frame *f, int64_t tid, int64_t n) {
    int64_t *threads = f->outputs[0];
    if (tid == 0) *threads = n;
}

static const char *const n_symbol[] = {"n"};
static const tlbc_dim team_dims[] = {{-1, "n", 0, 0}};
static const tlbc_tensor_info team_inputs[] = {{"x", TLBC_U8, 1, team_dims}};
static const tlbc_variant team_variants[] = {{"any", 0, team_main, team_plan}};
static const tlbc_program team_program = {
    .n_variants = 1, .n_exprs = 2, .variants = team_variants, .weights = "", .work_expr = 1};
const tlbc_model fake_team = FAKE_MODEL("team", team_inputs, stress_outputs, n_symbol,
                                        team_program);

/* ---- huge, nothing -------------------------------------------------------------------------------------------- */

static int64_t huge_plan(const int64_t *symbols, int64_t *exprs, int64_t *slots, int64_t threads) {
    (void)slots, (void)threads;
    exprs[0] = symbols[0];
    return symbols[0] > 1000 ? -1 : symbols[0];
}

static void huge_main(const tlbc_frame *f, int64_t tid, int64_t n) {
    (void)f, (void)tid, (void)n;
}

static const tlbc_dim huge_dims[] = {{-1, "n", 0, 0}};
static const tlbc_tensor_info huge_tensors[] = {{"x", TLBC_U8, 1, huge_dims}};
static const tlbc_variant huge_variants[] = {{"any", 0, huge_main, huge_plan}};
static const tlbc_program huge_program = {
    .n_variants = 1, .n_exprs = 1, .variants = huge_variants, .weights = ""};
const tlbc_model fake_huge = FAKE_MODEL("huge", huge_tensors, huge_tensors, n_symbol, huge_program);

static const tlbc_program nothing_program = {
    .n_variants = 1, .variants = mix_variants, .weights = ""};
const tlbc_model fake_nothing = FAKE_MODEL("nothing", no_tensors, no_tensors, no_symbols,
                                           nothing_program);
