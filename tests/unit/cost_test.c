/* Arithmetic of a graph: products by shape, symbols, loops, what is not known. */
#include "ir/cost.h"
#include "tests/support/check.h"

static tl_fail fail;

static void expect_flops(const char *body, const char *expected) {
    ir_ctx c;
    tl_arena a;
    tl_str text;
    ir_ctx_init(&c, &fail);
    tl_arena_init(&a, &fail);
    tl_str_init(&text, &a);
    tl_str_printf(&text, "tlbc 1\nopset \"\" 24\n\n%s", body);
    ir_module *m = ir_module_parse(&c, &a, "t", text.data, text.len);
    tl_str_clear(&text);
    if (m)
        ir_dim_print(ir_graph_flops(&c, m->graphs), &text);
    else
        diag_render(&c.diag, &text);
    if (!CHECK_STR(text.data, expected)) fprintf(stderr, "%s\n", body);
    tl_arena_release(&a);
    ir_ctx_release(&c);
}

/* 3 x 3, 32 channels, 32 features, 16 x 16 positions */
#define CONV(how)                                                                               \
    "graph g(f32[1,32,16,16] %x, f32[2,9,32,16] %w) => (f32[1,32,16,16] y) {\n"                 \
    "  f32[1,32,16,16] %y = ConvPacked<features=32, kernel_shape=[3, 3], pads=[1, 1, 1, 1]" how \
    ">(%x, %w) {\n"                                                                             \
    "    epilogue(f32[1,32,16,16] %0) {\n      yield %0\n    }\n  }\n  return %y\n}\n"

int main(void) {
    if (setjmp(fail.jump)) return 1;
    expect_flops("graph g(f32[2,3] %x, f32[3,5] %w) => (f32[2,5] y) {\n  f32[2,5] %y = MatMul(%x, "
                 "%w)\n  return %y\n}\n",
                 "60");
    expect_flops("graph g(f32[b,4,3] %x, f32[3,5] %w) => (f32[b,4,5] y) {\n  f32[b,4,5] %y = "
                 "MatMul(%x, %w)\n  return %y\n}\n",
                 "120*b");
    expect_flops("graph g(f32[3,2] %x, f32[3,5] %w) => (f32[2,5] y) {\n  f32[2,5] %y = "
                 "Gemm<transA=1>(%x, %w)\n  return %y\n}\n",
                 "60");
    expect_flops("graph g(f32[4] %x) => (f32[4] y) {\n  f32[4] %y = Tanh(%x)\n  return %y\n}\n",
                 "0");
    expect_flops(
        "graph g(f32[1,2,7,8] %q, f32[1,2,5,8] %k, f32[1,2,5,4] %v) => (f32[1,2,7,4] y) {\n"
        "  f32[1,2,7,4] %y = Attention(%q, %k, %v)\n  return %y\n}\n",
        "1680");
    expect_flops(
        "graph g(f32[1,2,t,8] %q, f32[1,2,t,8] %k) => (f32[1,2,t,8] y) {\n"
        "  f32[1,2,t,8] %y = LocalAttention<before=3, is_causal=1>(%q, %k, %k)\n  return %y\n}\n",
        "256*t");
    expect_flops("graph g(f32[2,3,4] %x, f32[2,5,4] %w) => (f32[2,3,5] y) {\n"
                 "  f32[2,3,5] %y = Einsum<equation=\"bik,bjk->bij\">(%x, %w)\n  return %y\n}\n",
                 "240");
    expect_flops("graph g(f32[2,3] %x) => (f32[2,2] y) {\n"
                 "  f32[2,2] %y = Einsum<equation=\"ij,kj,kl->il\">(%x, %x, %x)\n  return %y\n}\n",
                 "?");
    expect_flops("graph g(f32[t,2,3] %x, f32[1,12,3] %w, f32[1,12,4] %r) => (f32[t,1,2,4] y) {\n"
                 "  f32[t,1,2,4] %y, %h = GRU<hidden_size=4>(%x, %w, %r)\n  return %y\n}\n",
                 "336*t");
    expect_flops("graph g(f32[1,4,5] %x, f32[4,2,3] %w) => (f32[1,2,7] y) {\n"
                 "  f32[1,2,7] %y = ConvTranspose(%x, %w)\n  return %y\n}\n",
                 "240");
    expect_flops("graph g(f32[1,0,5] %x, f32[0,2,3] %w) => (f32[1,2,7] y) {\n"
                 "  f32[1,2,7] %y = ConvTranspose(%x, %w)\n  return %y\n}\n",
                 "0");
    expect_flops(CONV(""), "4718592");
    expect_flops(CONV(", winograd=1"), "1179648"); /* 36 products for the 144 of a tile of 16 */
    expect_flops("graph g(f32[*] %x, f32[3,5] %w) => (f32[*] y) {\n  f32[*] %y = MatMul(%x, %w)\n  "
                 "return %y\n}\n",
                 "?");
    return check_done();
}
