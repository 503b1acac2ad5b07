/* How large the constants of compiled models are: a weight that a kernel wants in another form is there in that form alone. */
#include "codegen/cg.h"
#include "passes/pass.h"
#include "tests/support/module.h"

static int64_t bytes_of(const char *text, const char *skip) {
    test_module t;
    cg_target target;
    int64_t bytes = -1;
    test_module_init(&t);
    ir_module *m = test_parse(&t, text);
    bool ready = m && CHECK(cg_target_find(&t.c, "x86-64-v3", &target)) &&
                 CHECK(pass_run(m, "default", &(pass_options){.skip = skip}));
    cg_model *model = ready ? cg_lower(m, &(cg_options){.targets = &target, .n_targets = 1}) : NULL;
    if (CHECK(model != NULL)) bytes = model->weight_bytes;
    test_module_release(&t);
    return bytes;
}

static void check_size(int64_t bytes, int64_t least, int64_t most) {
    if (!CHECK(bytes >= least && bytes <= most))
        fprintf(stderr, "%lld bytes, expected %lld to %lld\n", (long long)bytes, (long long)least,
                (long long)most);
}

/* Winograd's algorithm: four times the weight instead of it; `skip` leaves the weight as large as it is. */
static void test_winograd(void) {
    const char *text = "const @w f32[64,64,3,3] rand 3 graph g(f32[1,64,32,32] %x) => (y) {"
                       " %y = Conv<pads=[1,1,1,1]>(%x, @w) return %y }";
    int64_t weight = 64 * 64 * 9 * 4;
    check_size(bytes_of(text, NULL), 4 * weight, 4 * weight + 4096);
    check_size(bytes_of(text, "pack_weights.winograd"), weight, weight + 4096);
}

/* Bytes in groups: the steps, where each reads, and the sizes of the groups of each panel. Some steps may be cut. */
static void test_bytes(void) {
    const char *text = "const @w i4[256,64] rand 3 const @s f32[] {0.5} const @z u8[] {3}"
                       "graph g(u8[8,256] %q) => (y) { %x = DequantizeLinear(%q, @s, @z)"
                       " %v = DequantizeLinear(@w, @s) %y = MatMul(%x, %v) return %y }";
    int64_t weight = 256 * 64;
    check_size(bytes_of(text, NULL), weight, weight + weight / 16 + 4096);
}

int main(void) {
    test_winograd();
    test_bytes();
    return check_done();
}
