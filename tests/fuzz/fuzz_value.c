/* Fuzz target: ONNX's files of test data. The first byte says which type is declared, the rest is the file: any bytes end in a value whose
 * tensors hold as many bytes as their types say, or in a message. */
#include "frontend/frontend.h"
#include "tests/support/memory_file.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const ir_type *declared(ir_ctx *c, unsigned which) {
    static const ir_dtype elements[] = {DT_f32, DT_str, DT_i64, DT_i4};
    const ir_type *t = ir_type_unranked(c, elements[which % 4]);
    switch (which / 4 % 6) {
    case 1:
        return ir_type_sequence(c, t);
    case 2:
        return ir_type_optional(c, t);
    case 3:
        return ir_type_map(c, which & 64 ? DT_str : DT_i64, t);
    case 4:
        return ir_type_sequence(c, ir_type_map(c, DT_i64, t));
    case 5:
        return ir_type_optional(c, ir_type_sequence(c, t));
    default:
        return t;
    }
}

static void require(bool ok, const char *what) {
    if (ok) return;
    fprintf(stderr, "%s\n", what);
    abort();
}

/* Reads each byte of the value: a sanitizer sees whether they are there. */
static unsigned sum_of(const ir_datum *x) {
    unsigned sum = 0;
    if (x->tensor) {
        size_t need;
        require(ir_type_static_bytes(x->tensor->type, &need) && need == x->tensor->bytes,
                "a tensor of another size than its type");
        for (size_t i = 0; i < x->tensor->bytes; i++)
            sum += ((const uint8_t *)x->tensor->data)[i];
    }
    for (uint32_t i = 0; i < x->n; i++)
        sum += sum_of(&x->items[i]);
    return sum;
}

static void run(ir_ctx *c, tl_arena *a, unsigned which, const char *path) {
    ir_datum x = {0};
    bool ok = fe_read_value_pb(c, a, path, declared(c, which), &x);
    require(ok == (c->diag.n_errors == 0), "verdict and messages differ");
    volatile unsigned sum = ok ? sum_of(&x) : 0;
    (void)sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    tl_fail fail = {0};
    ir_ctx c = {0};
    tl_arena a = {0};
    if (size == 0) return 0;
    memory_file file;
    memory_file_open(&file, data + 1, size - 1);
    if (setjmp(fail.jump) == 0) {
        ir_ctx_init(&c, &fail);
        tl_arena_init(&a, &fail);
        run(&c, &a, data[0], file.path);
    }
    tl_arena_release(&a);
    ir_ctx_release(&c);
    memory_file_close(&file);
    return 0;
}
