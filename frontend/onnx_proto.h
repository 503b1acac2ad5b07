/* Decoding a file into protobuf-c's structs. The only headers with protobuf-c in them are this one
 * and wire.h; nobody outside frontend/ includes them. */
#ifndef TLBC_FRONTEND_ONNX_PROTO_H
#define TLBC_FRONTEND_ONNX_PROTO_H

#include "frontend/wire.h"

#include "onnx.pb-c.h"
#include "onnx_data.pb-c.h"

typedef Onnx__ModelProto pb_model;
typedef Onnx__GraphProto pb_graph;
typedef Onnx__NodeProto pb_node;
typedef Onnx__AttributeProto pb_attr;
typedef Onnx__TensorProto pb_tensor;
typedef Onnx__SparseTensorProto pb_sparse;
typedef Onnx__ValueInfoProto pb_value_info;
typedef Onnx__TypeProto pb_type;
typedef Onnx__TensorShapeProto pb_shape;
typedef Onnx__FunctionProto pb_function;
typedef Onnx__OperatorSetIdProto pb_opset;

/* A decoded message and the memory used on the way. Lives until released, at the latest until the
 * context ends. */
typedef struct fe_message {
    ProtobufCMessage *root;
    ProtobufCAllocator allocator;
    tl_fail *fail; /* counts our allocations too, so that tests can make each of them fail */
    bool out_of_memory;
    tl_arena scratch;
} fe_message;

/* NULL after reporting. raw_data fields hold a fe_raw_ref into s->bytes. */
fe_message *fe_message_decode(fe_source *s, const ProtobufCMessageDescriptor *d);
void fe_message_release(fe_message *m); /* may be called again */

/* Text members are NULL when absent; everybody wants "". */
static inline const char *pb_text(const char *s) {
    return s ? s : "";
}

#endif
