/* What each step reads of its own becomes slices of one tensor. See reroll.h.
 *
 *   Slice(x, 0, 4), Slice(x, 4, 8), ...        x: f32[N,20,16]    Reshape(x, [N,5,4,16]), sliced along axis 1
 *   Gather(x, 4), Gather(x, 3), ...            x: f32[5,N,16]     x, sliced along axis 0 in reverse
 *   Split(x)                                                      as slices
 *   constants                                                     one constant
 *   anything else                                                 Concat, which copies
 */
#include "ir/base/assert.h"
#include "ir/limits.h"
#include "passes/piece.h"
#include "passes/reroll.h"
#include "passes/util.h"

/* ---- pieces at regular distances --------------------------------------------------------------------------------- */

/* The values are pieces side by side, upwards (+1) or downwards (-1); *low is where the lowest starts. */
static bool are_regular(const reroll_plan *p, const reroll_input *in, piece *low, int *direction) {
    piece first, next;
    uint32_t rounds = reroll_rounds(p);
    if (!find_piece(in->values[0], &first) || !find_piece(in->values[1], &next)) return false;
    *direction = next.start > first.start ? 1 : -1;
    for (uint32_t i = 1; i < rounds; i++) {
        int64_t start = first.start + *direction * (int64_t)i * first.length;
        if (!find_piece(in->values[i], &next) || next.from != first.from ||
            next.axis != first.axis || next.dropped != first.dropped ||
            next.length != first.length || next.start != start)
            return false;
    }
    *low = *direction > 0 ? first : next;
    return true;
}

/* Positions start..start+length of v, or v itself. */
static ir_value *cut(ir_builder *b, ir_value *v, int64_t axis, int64_t start, int64_t length) {
    if (start == 0 && ir_dim_is(v->type->dims[axis], length)) return v;
    const int64_t end = start + length;
    ir_value *in[] = {v, build_i64s(b, &start, 1), build_i64s(b, &end, 1), build_i64s(b, &axis, 1)};
    return &build_node(b, OP_Slice, in, 4, 1, NULL, 0)->out[0];
}

/* Dimension `axis` becomes two, rounds and the rest. NULL where the dims cannot be computed here. */
static ir_value *split_axis(ir_builder *b, ir_value *v, int32_t axis, int64_t rounds,
                            int64_t length) {
    const ir_dim *dims[IR_MAX_RANK + 1];
    int32_t rank = 0;
    if (v->type->rank == IR_MAX_RANK || !type_is_computable(b->region->graph, v->type)) return NULL;
    for (int32_t i = 0; i < v->type->rank; i++) {
        dims[rank++] = i == axis ? ir_dim_const(b->m->ctx, rounds) : v->type->dims[i];
        if (i == axis) dims[rank++] = ir_dim_const(b->m->ctx, length);
    }
    return build_reshape(b, v, dims, (uint32_t)rank);
}

static bool slice_pieces(ir_builder *b, const reroll_plan *p, const reroll_input *in,
                         reroll_slices *out) {
    piece low;
    int direction;
    int64_t rounds = reroll_rounds(p);
    if (!are_regular(p, in, &low, &direction)) return false;
    ir_value *v = cut(b, low.from, low.axis, low.start, rounds * low.length);
    if (!low.dropped) v = split_axis(b, v, low.axis, rounds, low.length);
    *out = (reroll_slices){v, low.axis, direction < 0, "slices of one tensor"};
    return v != NULL;
}

/* ---- constants --------------------------------------------------------------------------------------------------- */

static bool are_constants(const reroll_plan *p, const reroll_input *in) {
    for (uint32_t i = 0; i < reroll_rounds(p); i++) {
        const ir_value *v = in->values[i];
        if (!v->tensor || v->tensor->opaque) return false;
    }
    const ir_type *t = in->values[0]->type;
    return t->dtype != DT_str && ir_dtype_bits(t->dtype) >= 8 && t->rank < IR_MAX_RANK;
}

static ir_value *stack_constants(ir_builder *b, const reroll_plan *p, const reroll_input *in) {
    const ir_type *t = in->values[0]->type;
    const ir_dim *dims[IR_MAX_RANK];
    dims[0] = ir_dim_const(b->m->ctx, reroll_rounds(p));
    for (int32_t i = 0; i < t->rank; i++)
        dims[i + 1] = t->dims[i];
    ir_tensor *all = ir_tensor_alloc(b->m->arena,
                                     ir_type_tensor(b->m->ctx, t->dtype, t->rank + 1, dims));
    char *to = ir_tensor_data(all);
    for (uint32_t i = 0; i < reroll_rounds(p); i++) {
        const ir_tensor *from = in->values[i]->tensor;
        if (from->bytes) memcpy(to + i * from->bytes, from->data, from->bytes);
    }
    ir_tensor_seal(all);
    return ir_module_const(b->m, all, ir_name_derive(b->m, in->values[0], "steps"));
}

/* ---- all ---------------------------------------------------------------------------------------------------------- */

static ir_value *copy_together(ir_builder *b, const reroll_plan *p, const reroll_input *in) {
    uint32_t rounds = reroll_rounds(p);
    const int64_t zero = 0;
    const ir_attr axis = {.name = ir_name(b->m->ctx, "axis"), .kind = ATTR_INT};
    ir_value **parts = TL_NEW_ARRAY(p->s->ctx->scratch, ir_value *, rounds);
    for (uint32_t i = 0; i < rounds; i++)
        parts[i] = build_op2(b, OP_Unsqueeze, in->values[i], build_i64s(b, &zero, 1));
    return &build_node(b, OP_Concat, parts, rounds, 1, &axis, 1)->out[0];
}

reroll_slices reroll_slice(ir_builder *b, const reroll_plan *p, const reroll_input *in) {
    reroll_slices out;
    if (slice_pieces(b, p, in, &out)) return out;
    if (are_constants(p, in))
        return (reroll_slices){stack_constants(b, p, in), 0, false, "constants stacked"};
    return (reroll_slices){copy_together(b, p, in), 0, false, "values copied together"};
}
