/* Seed, of the session; and Mt19937: the random numbers of numpy's older interface, which ONNX's tests of Dropout expect. */
#include "ir/eval/eval_internal.h"

bool eval_seed(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    (void)in;
    ir_tensor *y = ev_alloc(e, n, DT_u64, &(ev_shape){0});
    if (y) ir_tensor_set_i64(y, 0, (int64_t)e->seed);
    return (out[0].tensor = y) != NULL;
}

enum { WORDS = 624, AHEAD = 397 };

typedef struct twister {
    uint32_t s[WORDS], at;
} twister;

static void twister_init(twister *t, uint32_t seed) {
    t->s[0] = seed;
    for (uint32_t i = 1; i < WORDS; i++)
        t->s[i] = 1812433253u * (t->s[i - 1] ^ t->s[i - 1] >> 30) + i;
    t->at = 0;
}

static uint32_t twister_next(twister *t) {
    uint32_t *s = t->s, i = t->at;
    uint32_t both = (s[i] & 0x80000000u) | (s[(i + 1) % WORDS] & 0x7fffffffu);
    uint32_t v = s[i] = s[(i + AHEAD) % WORDS] ^ both >> 1 ^ (both & 1 ? 0x9908b0dfu : 0);
    t->at = (i + 1) % WORDS;
    v ^= v >> 11;
    v ^= v << 7 & 0x9d2c5680u;
    v ^= v << 15 & 0xefc60000u;
    return v ^ v >> 18;
}

bool eval_mt19937(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    const ir_tensor *shape = ev_need(e, n, in, 0);
    size_t rank;
    if (!shape) return false;
    const int64_t *dims = ev_i64s(e, shape, &rank);
    if (rank > IR_MAX_RANK) return ev_error(e, n, "%zu dimensions", rank);
    ev_shape s = {.rank = (int32_t)rank};
    for (size_t i = 0; i < rank; i++) {
        if (dims[i] < 0) return ev_error(e, n, "dimension %lld", (long long)dims[i]);
        s.dims[i] = dims[i];
    }
    ir_tensor *y = ev_alloc(e, n, DT_f64, &s);
    twister *t = TL_NEW(e->arena, twister);
    twister_init(t, (uint32_t)ir_attr_int(n, "seed", 0));
    for (int64_t i = 0; y && i < ev_count(&s); i++) {
        double high = twister_next(t) >> 5, low = twister_next(t) >> 6;
        ir_tensor_set_f64(y, (size_t)i, (high * 67108864 + low) / 9007199254740992);
    }
    return (out[0].tensor = y) != NULL;
}
