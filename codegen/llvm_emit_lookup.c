/* Emitter: bytes from a table of 256.
 *
 *   lookup u8x32 %x, %table     with AVX2     the low half of a byte chooses in each of the 16 rows of the table (vpshufb), its upper four
 *                                             bits, one after the other, between two rows each (vpblendvb): 16 + 15 instructions
 *                               else          a load for each byte */
#include "codegen/llvm_emit_ints.h"

enum { ROWS = 16, ROW_BYTES = 16 };

static LLVMValueRef address(emitter *e, LLVMValueRef table, LLVMValueRef at) {
    return LLVMBuildGEP2(e->b, LLVMInt8TypeInContext(e->ctx), table, &at, 1, "");
}

static LLVMValueRef load_one(emitter *e, LLVMValueRef table, LLVMValueRef x) {
    LLVMTypeRef i64 = LLVMInt64TypeInContext(e->ctx), i8 = LLVMInt8TypeInContext(e->ctx);
    return LLVMBuildLoad2(e->b, i8, address(e, table, LLVMBuildZExt(e->b, x, i64, "")), "");
}

static LLVMValueRef by_loads(emitter *e, unsigned lanes, LLVMValueRef x, LLVMValueRef table) {
    LLVMValueRef y = LLVMGetPoison(LLVMTypeOf(x));
    if (lanes == 1) return load_one(e, table, x);
    for (unsigned i = 0; i < lanes; i++) {
        LLVMValueRef lane = LLVMConstInt(LLVMInt32TypeInContext(e->ctx), i, false);
        LLVMValueRef one = load_one(e, table, LLVMBuildExtractElement(e->b, x, lane, ""));
        y = LLVMBuildInsertElement(e->b, y, one, lane, "");
    }
    return y;
}

/* Row r of the table in both halves, chosen in by the low bits of x. */
static LLVMValueRef row_bytes(emitter *e, LLVMValueRef table, unsigned r, LLVMValueRef low) {
    LLVMTypeRef i32 = LLVMInt32TypeInContext(e->ctx), row = int_type(e, 8, ROW_BYTES);
    LLVMValueRef at = LLVMConstInt(LLVMInt64TypeInContext(e->ctx), r * ROW_BYTES, false);
    LLVMValueRef half = LLVMBuildLoad2(e->b, row, address(e, table, at), ""), mask[2 * ROW_BYTES];
    LLVMSetAlignment(half, 1);
    for (unsigned i = 0; i < 2 * ROW_BYTES; i++)
        mask[i] = LLVMConstInt(i32, i % ROW_BYTES, false);
    LLVMValueRef both = LLVMBuildShuffleVector(e->b, half, LLVMGetPoison(row),
                                               LLVMConstVector(mask, 2 * ROW_BYTES), "");
    return emit_intrinsic(e, "llvm.x86.avx2.pshuf.b", NULL, 0, (LLVMValueRef[]){both, low}, 2);
}

/* Bit `bit` of each byte as its highest. */
static LLVMValueRef on_top(emitter *e, LLVMValueRef x, unsigned bit) {
    LLVMTypeRef i16 = int_type(e, 16, ROW_BYTES);
    ints s = {e, i16};
    if (bit == 7) return x;
    LLVMValueRef moved = k_shl(s, LLVMBuildBitCast(e->b, x, i16, ""), 7 - bit);
    return LLVMBuildBitCast(e->b, moved, LLVMTypeOf(x), "");
}

static LLVMValueRef by_shuffles(emitter *e, LLVMValueRef x, LLVMValueRef table) {
    LLVMValueRef rows[ROWS], low = k_and((ints){e, LLVMTypeOf(x)}, x, ROW_BYTES - 1);
    for (unsigned r = 0; r < ROWS; r++)
        rows[r] = row_bytes(e, table, r, low);
    for (unsigned bit = 4, n = ROWS / 2; bit < 8; bit++, n /= 2) {
        LLVMValueRef choice = on_top(e, x, bit);
        for (unsigned r = 0; r < n; r++) {
            LLVMValueRef in[3] = {rows[2 * r], rows[2 * r + 1], choice};
            rows[r] = emit_intrinsic(e, "llvm.x86.avx2.pblendvb", NULL, 0, in, 3);
        }
    }
    return rows[0];
}

LLVMValueRef emit_lookup(emitter *e, unsigned lanes, LLVMValueRef *args) {
    bool avx2 = strncmp(e->options->target->triple, "x86_64", 6) == 0 &&
                e->options->target->lanes_f32 >= 8;
    return avx2 && lanes == 2 * ROW_BYTES ? by_shuffles(e, args[0], args[1])
                                          : by_loads(e, lanes, args[0], args[1]);
}
