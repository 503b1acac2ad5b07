/* TensorProto and SparseTensorProto to constants. */
#ifndef TLBC_FRONTEND_INITIALIZER_H
#define TLBC_FRONTEND_INITIALIZER_H

#include "frontend/onnx_proto.h"
#include "ir/tensor.h"

/* NULL after reporting at loc (or at the file where loc is NULL). */
const ir_tensor *fe_tensor(fe_source *s, const ir_loc *loc, const pb_tensor *t);
const ir_tensor *fe_sparse_tensor(fe_source *s, const ir_loc *loc, const pb_sparse *t);
const ir_tensor *fe_string_tensor(fe_source *s, int32_t rank, const ProtobufCBinaryData *items,
                                  size_t n);

/* external.c: the `bytes` bytes tensor t keeps in another file. false after reporting. */
bool fe_external_bytes(fe_source *s, const ir_loc *loc, const pb_tensor *t, size_t bytes,
                       const uint8_t **out);

#endif
