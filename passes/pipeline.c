/* The default order of passes. One line per stage, with what holds after it. */
#include "passes/pass.h"

const char pipeline_default[] =
    /* what the importer could not know: types and the contents of shape tensors */
    "settle_ranks, infer_shapes,"
    /* a step that an exporter has written out many times is one step: all that follows has less to do then. Before folding, which makes the
     * first step another one where its state is a constant; but sizes must not tell the steps apart */
    "fold_shapes, dce, cse, reroll,"
    /* quantised products in integers, before their constants are folded to floats */
    "fuse_dequantize, move_quantized, fuse_quantized,"
    /* patches of patches, while they are convolutions */
    "compose_conv,"
    /* fewer operators to know: Gemm, batch normalisation, variadic sums... in simpler terms */
    "decompose,"
    /* constants computed, shape arithmetic reduced to expressions over the model's dimensions, noise gone */
    "fix(infer_shapes, fold_constants, simplify, control_flow, guard_branches, cse, dce),"
    /* functions of a byte are tables */
    "tabulate, dce,"
    /* loops know how often they run; sequences that they append to become stacked outputs; recurrences have one form */
    "loop_count, loop_ragged, loop_lists, recur_from_scan, recur_from_loop, recur_from_rnn,"
    "recur_peel, recur_slices, recur_buffers,"
    "fix(infer_shapes, fold_constants, simplify, control_flow, cse, dce),"
    /* steps that have become alike only now */
    "reroll,"
    /* what exporters spelled out is one operator: normalisation, activation functions, attention */
    "fuse_normalization, fuse_activation, fuse_attention, decompose, fuse_chunked_attention, dce,"
    /* where that is asked for (--stream), one step of it */
    "stream,"
    "fix(infer_shapes, fold_constants, simplify, control_flow, cse, dce, merge_heads, narrow),"
    /* fewer products in front of and behind attention, fewer normalisations of one value */
    "attention_small, fix(fold_constants, simplify, cse, dce), merge_norms, fix(fold_constants, "
    "simplify, cse, dce),"
    /* where that is asked for (--batch-streams), a step of many streams at once */
    "batch_streams,"
    /* recurrences: what does not need the carried values runs for all rounds at once */
    "recur_invariant, recur_split, schedule,"
    /* room for more rows than there are */
    "trim_padding, narrow,"
    "fix(infer_shapes, fold_constants, simplify, control_flow, cse, dce, merge_heads, narrow),"
    /* unless another engine is asked for (--simplify=classic), the cheapest forms that the rewrite rules reach, for which constants are computed */
    "with_egraph(egraph, fix(infer_shapes, fold_constants, simplify, control_flow, cse, dce, "
    "merge_heads, narrow)),"
    /* products in the form of their kernels, with what happens before and after them; one nest for what is elementwise */
    "fix(channels_last, fold_constants, simplify, cse, dce), requantize, dce, merge_matmul, "
    "tabulate_rows, cse, dce, "
    "fuse_arg, fuse_matmul, fuse_conv, "
    "pack_weights, fuse_elementwise, dce";
