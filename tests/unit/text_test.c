/* Text IR: printing and parsing are inverse; numbers exact; limits hold; side files. Golden cases: tests/golden/print. */
#include "ir/literal.h"
#include "tests/support/module.h"

#include <math.h>

static uint32_t bits_of(float f) {
    uint32_t b;
    memcpy(&b, &f, sizeof b);
    return b;
}

/* Every float pattern of a coarse sample, and all 16-bit floats, survive text. */
static void check_element(test_module *t, ir_dtype type, const void *data, size_t size) {
    char back[16] = {0};
    lexer l;
    tl_str s;
    tl_str_init(&s, &t->arena);
    literal_print(&s, type, data, 0);
    lex_init(&l, &t->c, &t->arena, NULL, s.data, s.len);
    bool same = literal_parse(&l, type, back, 0) && l.tok.kind == LEX_END &&
                memcmp(back, data, size) == 0;
    if (!same) fprintf(stderr, "%s does not read back: %s\n", ir_dtype_name(type), s.data);
    CHECK(same);
}

static void test_floats_read_back(void) {
    test_module t;
    test_module_init(&t);
    for (uint64_t b = 0; b <= UINT32_MAX; b += 1000003) {
        uint32_t word = (uint32_t)b;
        check_element(&t, DT_f32, &word, 4);
    }
    uint64_t x = 1;
    for (int i = 0; i < 3000; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        check_element(&t, DT_f64, &x, 8);
    }
    tl_arena_mark mark = tl_arena_get_mark(&t.arena);
    for (uint32_t b = 0; b <= UINT16_MAX; b++) {
        uint16_t half = (uint16_t)b;
        check_element(&t, DT_f16, &half, 2);
        check_element(&t, DT_bf16, &half, 2);
        tl_arena_reset(&t.arena, mark);
    }
    static const ir_dtype bytes[] = {DT_f8e4m3fn, DT_f8e4m3fnuz, DT_f8e5m2, DT_f8e5m2fnuz,
                                     DT_f8e8m0,   DT_u8,         DT_i8,     DT_bool};
    for (size_t k = 0; k < sizeof bytes / sizeof *bytes; k++)
        for (uint32_t b = 0; b < 256; b++)
            check_element(&t, bytes[k], &(uint8_t){(uint8_t)b}, 1);
    test_module_release(&t);
}

static void test_float_values(void) {
    test_module t;
    test_module_init(&t);
    ir_module *m = test_parse(&t, "const @k f32[6] {0.1, 16777217, 0x1.8p3, 1e-46, 1e39, -inf}\n"
                                  "graph g() => (y) { return @k }");
    const float *f = m->consts->value.tensor->data;
    CHECK_EQ(bits_of(f[0]), 0x3dcccccd);
    CHECK_EQ(bits_of(f[1]), 0x4b800000); /* rounded to even */
    CHECK(f[2] == 12.0f);
    CHECK_EQ(bits_of(f[3]), 0);
    CHECK(f[4] == INFINITY && f[5] == -INFINITY);
    test_module_release(&t);
}

static const char *const whole_module = "tlbc 1\n"
                                        "opset \"\" 27\n"
                                        "\n"
                                        "const @W f32[9] splat 0.5\n"
                                        "\n"
                                        "graph main(f32[N,9] %x, bool[] %p) => (f32[N,9] y) {\n"
                                        "  f32[N,9] %t = Add(%x, @W)\n"
                                        "  f32[N,9] %0 = If(%p) {\n"
                                        "    then_branch() uses(%t) {\n"
                                        "      f32[N,9] %\"a:0\" = Relu(%t)\n"
                                        "      yield %\"a:0\"\n"
                                        "    }\n"
                                        "    else_branch() uses(%x) {\n"
                                        "      yield %x\n"
                                        "    }\n"
                                        "  }\n"
                                        "  f32[N,9] %u = Clip(%0, _, _)\n"
                                        "  f32[N,9] %v = LeakyRelu<alpha=0.1>(%u)\n"
                                        "  return %v\n"
                                        "}\n";

static void test_canonical_text_is_stable(void) {
    test_module t;
    test_module_init(&t);
    ir_module *m = test_parse(&t, whole_module);
    CHECK_STR(test_print(&t, m), whole_module);
    ir_module *again = test_parse(&t, test_print(&t, m));
    CHECK(ir_module_hash(m) == ir_module_hash(again));
    test_module_release(&t);
}

/* What the hash must tell apart, and what not. */
static void test_hash(void) {
    static const char *const same[] = {
        "const @a f32[] {1} graph g(f32[2] %x) => (f32[2] y) { f32[2] %t = Add(%x, @a) return %t }",
        "const @b f32[] {1} const @c f32[] {2} graph g(f32[2] %x) => (y) { f32[2] %0 = Add(%x, @b) "
        "return %0 }"};
    static const char *const other[] = {
        "const @a f32[] {2} graph g(f32[2] %x) => (f32[2] y) { f32[2] %t = Add(%x, @a) return %t }",
        "const @a f32[] {1} graph g(f32[2] %x) => (f32[2] y) { f32[2] %t = Sub(%x, @a) return %t }",
        "const @a f32[] {1} graph g(f32[2] %x) => (f32[2] y) { f32[2] %t = Add(@a, %x) return %t }",
        "const @a f32[] {1} graph g(f32[2] %x) => (f32[2] y) { f32[2] %t = Add(%x, @a) return %x }",
        "const @a f32[] {1} graph g(f32[2] %x) => (f32[2] z) { f32[2] %t = Add(%x, @a) return %t }",
        "const @a f32[] {1} graph g(f32[2] %w) => (f32[2] y) { f32[2] %t = Add(%w, @a) return %t }",
        "const @a f32[] {1} graph h(f32[2] %x) => (f32[2] y) { f32[2] %t = Add(%x, @a) return %t }",
        "const @a f32[] {1} graph g(f32[3] %x) => (f32[2] y) { f32[2] %t = Add(%x, @a) return %t }",
        "const @a f32[] {1} graph g(f32[2] %x) => (f32[2] y) { f32[2] %t = Add<k=1>(%x, @a) return "
        "%t }",
        "const @a f32[] {1} graph g(f32[2] %x) => (f32[2] y) { f32[2] %t = Add<k=1.0>(%x, @a) "
        "return %t }",
        "opset \"\" 20 const @a f32[] {1} graph g(f32[2] %x) => (f32[2] y) { f32[2] %t = Add(%x, "
        "@a) return %t }"};
    test_module t, u; /* contexts of their own: no pointer may enter the hash */
    test_module_init(&t);
    test_module_init(&u);
    uint64_t h = ir_module_hash(test_parse(&t, same[0]));
    CHECK(ir_module_hash(test_parse(&u, same[1])) == h);
    uint64_t seen[16];
    uint32_t n = sizeof other / sizeof *other;
    for (uint32_t i = 0; i < n; i++) {
        seen[i] = ir_module_hash(test_parse(&u, other[i]));
        CHECK(seen[i] != h);
        for (uint32_t j = 0; j < i; j++)
            CHECK(seen[i] != seen[j]);
    }
    test_module_release(&t);
    test_module_release(&u);
}

/* A module built by hand may carry one name twice: text tells the two apart. */
static void test_duplicate_names(void) {
    test_module t;
    test_module_init(&t);
    ir_module *m = test_parse(
        &t, "graph g(f32[] %x) => (f32[] y) {\n"
            "f32[] %a = Neg(%x) f32[] %b = Abs(%a) f32[] %c = Exp(%b) return %c }");
    ir_for_each_node (n, m->graphs->body)
        n->out[0].name = ir_name(&t.c, n->op == OP_Exp ? "x.1" : "x");
    const char *text = test_print(&t, m);
    CHECK(strstr(text, "%x.1 = Neg(%x)") && strstr(text, "%x.2 = Abs(%x.1)") &&
          strstr(text, "%x.1.1 = Exp(%x.2)"));
    CHECK(ir_module_hash(test_parse(&t, text)) == ir_module_hash(m));
    test_module_release(&t);
}

static void test_node_print(void) {
    test_module t;
    test_module_init(&t);
    ir_module *m = test_parse(&t, whole_module);
    tl_str s;
    tl_str_init(&s, &t.arena);
    ir_node_print(test_node(m->graphs, "u"), &s);
    CHECK_STR(s.data, "f32[N,9] %u = Clip(%0, _, _)");
    tl_str_clear(&s);
    ir_node_print(test_node(m->graphs, "u")->prev, &s);
    CHECK_STR(s.data, "f32[N,9] %0 = If(%p) {...}");
    test_module_release(&t);
}

static void test_locations(void) {
    test_module t;
    test_module_init(&t);
    ir_module *m = test_parse(
        &t, "graph g(f32[] %x) => (f32[] y) {\n  f32[] %a = Neg(%x)\n  return %a }");
    ir_node *n = m->graphs->body->first;
    CHECK_STR(n->loc->file, "test.tl");
    CHECK_EQ(n->loc->line, 2);
    CHECK_EQ(n->loc->column, 3);
    CHECK_STR(n->loc->source_line, "  f32[] %a = Neg(%x)");
    n->loc = &(ir_loc){.node = "layer0/neg"};
    tl_str s;
    tl_str_init(&s, &t.arena);
    ir_module_print(m, &(ir_print_options){.locations = true}, &s);
    CHECK(strstr(s.data, "f32[] %a = Neg(%x)  // \"layer0/neg\"\n") != NULL);
    test_module_release(&t);
}

static void test_error_has_caret(void) {
    test_module t;
    test_module_init(&t);
    const char *text = "graph g(f32[] %x) => (f32[] y) {\n\tf32[] %a = Neg(%z)\n  return %a }";
    CHECK(ir_module_parse(&t.c, &t.arena, "m.tl", text, strlen(text)) == NULL);
    CHECK_STR(test_messages(&t), "m.tl:2:17: '%z' is not defined here\n"
                                 "    \tf32[] %a = Neg(%z)\n"
                                 "    \t               ^\n");
    test_module_release(&t);
}

/* A text of `n` times the same opening, for depth limits. */
static char *repeat(test_module *t, const char *head, const char *part, int n) {
    tl_str s;
    tl_str_init(&s, &t->arena);
    tl_str_puts(&s, head);
    for (int i = 0; i < n; i++)
        tl_str_puts(&s, part);
    return s.data;
}

static void check_rejected(test_module *t, const char *text, const char *message) {
    CHECK(ir_module_parse(&t->c, &t->arena, NULL, text, strlen(text)) == NULL);
    const char *found = test_messages(t);
    if (!CHECK(strstr(found, message) != NULL))
        fprintf(stderr, "  found:    %.200s\n  expected: %s\n", found, message);
}

static void test_depth_is_limited(void) {
    test_module t;
    test_module_init(&t);
    check_rejected(&t, repeat(&t, "graph g(", "seq(", 100000), "types are nested deeper than");
    check_rejected(&t, repeat(&t, "graph g(bool[] %p) => () {", "If(%p) { b() {", 100000),
                   "regions are nested deeper than");
    check_rejected(&t, repeat(&t, "graph g(f32[", "(", 100000), "not a dimension");
    check_rejected(&t, repeat(&t, "graph g(f32[] %x) => () { f32[] %a = Fused<a=", "[", 100000),
                   "expected an attribute value");
    test_module_release(&t);
}

/* A side file with one payload. */
typedef struct payload {
    uint64_t hash;
    const void *data;
} payload;

static const void *find_payload(void *data, uint64_t hash, size_t bytes) {
    const payload *p = data;
    return hash == p->hash && bytes == 36 ? p->data : NULL;
}

static void test_opaque_and_side_file(void) {
    test_module t;
    test_module_init(&t);
    ir_module *m = test_parse(
        &t, "const @k f32[9] {1, 2, 3, 4, 5, 6, 7, 8, 9} graph g() => (f32[9] y) { return @k }");
    const ir_tensor *k = m->consts->value.tensor;
    const char *text = test_print(&t, m);
    ir_module *opaque = test_parse(&t, text);
    CHECK(opaque->consts->value.tensor->opaque && !opaque->consts->value.tensor->data);
    CHECK_STR(test_print(&t, opaque), text);
    CHECK(ir_module_hash(opaque) == ir_module_hash(m));
    payload p = {k->hash, k->data};
    ir_parse_options o = {.payload = find_payload, .payload_data = &p};
    ir_module *full = ir_module_parse_with(&t.c, &t.arena, NULL, text, strlen(text), &o);
    CHECK(full && !full->consts->value.tensor->opaque &&
          ir_tensor_equal(full->consts->value.tensor, k));
    p.data = (float[9]){0};
    CHECK(ir_module_parse_with(&t.c, &t.arena, NULL, text, strlen(text), &o) == NULL);
    CHECK(strstr(test_messages(&t), "the side file holds other bytes") != NULL);
    test_module_release(&t);
}

/* The bytes of a module, written and read; and every truncation of them is refused or harmless. */
static void test_side_file_format(void) {
    test_module t;
    test_module_init(&t);
    ir_module *m = test_parse(
        &t, "const @k f32[50] rand 1 const @s str[9] splat \"x\" const @b f16[9] rand 2\n"
            "graph g(f32[] %x) => (a, b, c, f32[] y) {\n"
            "  f32[] %n = Fused<t=i64[10] rand 3, ts=[u4[11] rand 4]>(%x) { body(f32[] %e) { yield "
            "%e } }\n"
            "  return @k, @s, @b, %n\n"
            "}\n");
    tl_str bytes, full;
    tl_str_init(&bytes, &t.arena);
    tl_str_init(&full, &t.arena);
    ir_data_write(m, &bytes);
    ir_module_print(m, &(ir_print_options){.constants = IR_CONSTANTS_FULL}, &full);
    const char *text = test_print(&t, m);
    ir_data d;
    CHECK(ir_data_init(&d, &t.arena, bytes.data, bytes.len));
    ir_parse_options o = {.payload = ir_data_find, .payload_data = &d};
    ir_module *back = ir_module_parse_with(&t.c, &t.arena, NULL, text, strlen(text), &o);
    CHECK(back != NULL);
    tl_str again;
    tl_str_init(&again, &t.arena);
    ir_module_print(back, &(ir_print_options){.constants = IR_CONSTANTS_FULL}, &again);
    CHECK_STR(again.data, full.data);
    for (size_t n = 0; n < bytes.len; n++) {
        void *part = malloc(n ? n : 1); /* exact, for the sanitizer */
        memcpy(part, bytes.data, n);
        if (ir_data_init(&d, &t.arena, part, n))
            ir_data_find(&d, m->consts->value.tensor->hash, 200);
        free(part);
    }
    CHECK(!ir_data_init(&d, &t.arena, "tlbcdatX", 8));
    test_module_release(&t);
}

/* The example of docs/IR.md is canonical text of a valid module. */
static void test_documented_example(void) {
    static char page[65536];
    FILE *f = fopen("docs/IR.md", "rb");
    if (!CHECK(f != NULL)) return;
    page[fread(page, 1, sizeof page - 1, f)] = 0;
    fclose(f);
    char *start = strstr(page, "```\n"), *end = start ? strstr(start + 4, "```\n") : NULL;
    if (!CHECK(end != NULL)) return;
    *end = 0;
    test_module t;
    test_module_init(&t);
    ir_module *m = test_parse(&t, start + 4);
    CHECK_STR(test_print(&t, m), start + 4);
    if (!CHECK(ir_module_verify(m))) fputs(test_messages(&t), stderr);
    test_module_release(&t);
}

static void test_rand_is_deterministic(void) {
    test_module t;
    test_module_init(&t);
    ir_module *m = test_parse(
        &t, "const @a f32[100] rand 7 const @b f32[100] rand 7 const @c f32[100] rand 8\n"
            "graph g() => (x, y, z) { return @a, @b, @c }");
    const ir_const *a = m->consts, *c = a->next;
    CHECK(c && !c->next); /* @b is @a */
    const float *f = a->value.tensor->data;
    float sum = 0;
    for (int i = 0; i < 100; i++) {
        CHECK(f[i] >= -1 && f[i] < 1);
        sum += f[i];
    }
    CHECK(fabsf(sum) < 25);
    CHECK(!ir_tensor_is_splat(a->value.tensor));
    /* The same numbers on every machine; computed by hand from the definition. */
    CHECK_EQ(bits_of(f[0]), 0xbe262d20);
    CHECK_EQ(bits_of(f[1]), 0xbf0cdfcc);
    CHECK_EQ(bits_of(f[99]), 0x3e93f57c);
    test_module_release(&t);
}

/* The n-th allocation fails, for all n: the parser jumps out and leaves nothing behind. */
static void test_out_of_memory(void) {
    volatile uint64_t n = 0, failures = 0;
    volatile bool done = false;
    while (!done) {
        tl_fail fail = {0};
        ir_ctx c;
        tl_arena a;
        n = n + 1;
        c.fail = NULL;
        a = (tl_arena){0};
        if (setjmp(fail.jump) == 0) {
            ir_ctx_init(&c, &fail);
            tl_arena_init(&a, &fail);
            fail.countdown = n;
            ir_module *m = ir_module_parse(&c, &a, "t", whole_module, strlen(whole_module));
            fail.countdown = 0;
            done = true;
            CHECK(m != NULL);
        } else {
            failures = failures + 1;
        }
        tl_arena_release(&a);
        ir_ctx_release(&c);
    }
    CHECK(failures > 20);
}

int main(void) {
    test_floats_read_back();
    test_float_values();
    test_canonical_text_is_stable();
    test_hash();
    test_duplicate_names();
    test_node_print();
    test_locations();
    test_error_has_caret();
    test_depth_is_limited();
    test_opaque_and_side_file();
    test_side_file_format();
    test_documented_example();
    test_rand_is_deterministic();
    test_out_of_memory();
    return check_done();
}
