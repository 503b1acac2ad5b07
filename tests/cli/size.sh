#!/bin/bash
# A model of one operator is a small file: below 60 KB for one kind of processor. Of ONNX's own cases where the data is there.
. "$(dirname "$0")/lib.sh"
limit=61440

is_small() { # MODEL
    local name bytes
    name=$(basename "$(dirname "$1")")
    expect 0 "compile $name" "$TLBC" compile "$1" -o one.so --cpu=x86-64-v3
    bytes=$(stat -c %s one.so)
    check "$name: $bytes bytes, at most $limit" [ "$bytes" -le $limit ]
}

for name in batch_norm9 cast1 clip6 concat1 gru1 lstm6_peepholes softmax11_last squeeze11 top_k10 tile1; do
    model=$SOURCE/tests/data/import/good/$name/model.onnx
    [ -f "$model" ] && is_small "$model"
done
for name in add attention_4d averagepool_2d_default cast_FLOAT_to_FLOAT8E4M3FN conv_with_strides_padding convtranspose_2d cumsum_1d \
    dft einsum_sum gather_0 gelu_default_1 gridsample_bilinear gru_defaults image_decoder_decode_png_rgb layer_normalization_2d_axis1 \
    lstm_defaults matmul_2d nonmaxsuppression_two_classes nonzero_example quantizelinear reduce_sum_do_not_keepdims_example \
    regex_full_match_basic resize_upsample_scales_cubic roialign_mode_max scatter_elements_with_axis softmax_axis_0 split_equal_parts_2d \
    string_split_basic strnormalizer_export_monday_casesensintive_lower tfidfvectorizer_tf_batch_onlybigrams_skip0 top_k \
    unique_sorted_without_axis where_example; do
    model=$BUILD/onnx-data/node/test_$name/model.onnx
    [ -f "$model" ] && is_small "$model"
done
finish
