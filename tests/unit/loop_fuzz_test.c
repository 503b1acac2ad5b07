/* Loop IR text with random mistakes: nothing crashes, and what our verifier accepts, LLVM's accepts as well (it runs in debug builds;
 * in others LLVM at least gets through). */
#include "codegen/object.h"
#include "tests/support/check.h"

#include <stdlib.h>

static const char seed_text[] =
    "func @g(f32 %x, bool %c) => f32 noinline { return %x }\n"
    "func @f(ptr noalias %p, ptr %q, i64 %n, f32 %s) external {\n"
    "%a = load f32x8 %p[%n] %b = load f32x8 %p[8] align 32 %c = fma f32x8 %a, %b, %a\n"
    "%d = lt f32x8 %c, %b %e = select f32x8 %d, %a, %c %h = cast i32x8 %e %i = bitcast u32x8 %e\n"
    "%j = broadcast f32x8 %s %k = iota i64x8 %l = extract f32 %j, 3 %m = insert f32x8 %j, %l, 0\n"
    "%o = shuffle f32x4 %m, %a, [0, 8, 3, 15] %r = reduce_max f32 %o store f32x8 %q[%n], %m\n"
    "%t = load_masked f32x8 %p[%n], %n store_masked f32x8 %q[0], %t, %n\n"
    "%u = gather f32x8 %p[%k] scatter f32x8 %q[%k], %u %v = ptr_add ptr %q, -64\n"
    "%w = alloca ptr 256 prefetch %v, 64 %yes = const bool true %x = call f32 @g(%r, %yes)\n"
    "%f16 = load f16x8 %p[0] %wide = cast f64x8 %f16 %back = cast bf16x8 %wide\n"
    "store bf16x8 %q[0], %back\n"
    "%y, %z = for %i0 = 0 to %n step 8 carry(%k0 = %a, %k1 = %n) { yield %k0, %i0 }\n"
    "%w0 = while carry(%w1 = %z) { %w2 = gt i64 %w1, 9 yield %w2 } do(%w3) {\n"
    "%w4 = shr i64 %w3, 1 yield %w4 }\n"
    "%i1, %i2 = if %yes { yield %x, %r } else { yield %r, %x } if %yes { call void @h(%w0) } }\n";

/* Words that may take each other's place. */
static const char *const groups[][24] = {
    {"f32",   "f64",   "i64",  "i32",    "bool",  "ptr",   "f16",     "bf16",
     "u8",    "i8",    "u64",  "f32x8",  "f32x4", "i64x8", "i32x8",   "boolx8",
     "u32x8", "f64x8", "void", "bf16x8", "f16x8", "ptrx2", "f8e5m2x8"},
    {"add", "sub", "mul", "div", "rem", "min", "max", "lesser", "greater", "and",   "or",    "xor",
     "shl", "shr", "eq",  "ne",  "lt",  "gt",  "fma", "select", "load",    "store", "gather"},
    {"cast", "bitcast", "broadcast", "neg", "abs", "not", "sqrt", "floor", "rint", "trunc",
     "reduce_add", "reduce_mul", "reduce_min", "reduce_max", "yield", "return"},
    {"%a", "%b", "%c", "%d", "%e", "%h", "%i", "%j", "%k", "%l",   "%m", "%n",
     "%o", "%p", "%q", "%r", "%s", "%t", "%u", "%v", "%x", "%yes", "%w"},
    {"0", "1", "2", "3", "7", "8", "9", "-1", "64", "256", "9223372036854775807"},
};
enum { N_GROUPS = sizeof groups / sizeof *groups };

static uint64_t random_state;

static uint32_t random_below(uint32_t n) {
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 33) % n;
}

/* Length of the word at s; 1 for anything else. */
static size_t word_length(const char *s) {
    size_t n = strspn(s + (*s == '%' || *s == '-'),
                      "abcdefghijklmnopqrstuvwxyz_ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789");
    n += n && (*s == '%' || *s == '-');
    return n ? n : 1;
}

/* Another word of the same group; NULL: none. */
static const char *other_word(const char *s, size_t n) {
    for (int g = 0; g < N_GROUPS; g++) {
        uint32_t count = 0;
        bool member = false;
        for (; count < 24 && groups[g][count]; count++)
            member = member || (strlen(groups[g][count]) == n && !strncmp(groups[g][count], s, n));
        if (member) return groups[g][random_below(count)];
    }
    return NULL;
}

/* The seed with about `rate` in a thousand of its words replaced, dropped or doubled. */
static void mutate(tl_str *out, uint32_t rate, bool rough) {
    for (const char *s = seed_text; *s;) {
        size_t n = word_length(s);
        bool hit = *s != ' ' && *s != '\n' && random_below(1000) < rate;
        const char *other = hit ? other_word(s, n) : NULL;
        uint32_t kind = rough ? random_below(4) : 0;
        if (hit && kind == 1)
            ; /* dropped */
        else if (hit && kind == 2)
            tl_str_append(out, s, n), tl_str_append(out, s, n);
        else if (hit && kind == 3)
            tl_str_putc(out, (char)random_below(256));
        else if (other)
            tl_str_puts(out, other);
        else
            tl_str_append(out, s, n);
        s += n;
    }
}

typedef enum outcome { NOT_PARSED, NOT_VERIFIED, COMPILED } outcome;

static outcome try_one(uint32_t rate, bool rough) {
    tl_fail fail = {0};
    ir_ctx c;
    ir_ctx_init(&c, &fail);
    tl_str text;
    tl_sv code;
    tl_str_init(&text, &c.arena);
    mutate(&text, rate, rough);
    lp_module *m = lp_module_parse(&c, &c.arena, "fuzz", text.data, text.len);
    outcome r = NOT_PARSED;
    CHECK(m || c.diag.n_errors > 0);
    if (m) r = lp_module_verify(m, &c.diag) ? COMPILED : NOT_VERIFIED;
    if (r == COMPILED) {
        cg_target t;
        cg_target_find(&c, random_below(2) ? "x86-64-v3" : "x86-64-v2", &t);
        cg_unit *u = cg_unit_create(&c, m, &(cg_unit_options){.target = &t});
        cg_unit_compile(u, CG_LLVM_TEXT);
        if (!CHECK(cg_unit_get_result(u, &code)))
            fprintf(stderr, "%s\n%s\n", c.diag.entries[0].text, text.data);
    }
    ir_ctx_release(&c);
    return r;
}

int main(int argc, char **argv) {
    int rounds = argc > 1 ? atoi(argv[1]) : 600, seen[3] = {0};
    for (int i = 0; i < rounds; i++) {
        random_state = (uint64_t)i * 7919 + 1;
        seen[try_one(i % 3 ? 8 : 40, i % 4 == 0)]++;
    }
    printf("# %d not parsed, %d not verified, %d compiled\n", seen[0], seen[1], seen[2]);
    CHECK(seen[0] > 0 && seen[1] > 0 && seen[2] > rounds / 50);
    return check_done();
}
