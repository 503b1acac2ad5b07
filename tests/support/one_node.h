/* ONNX models of one node, as bytes, for tests of what files may say: each operand is an input of the graph, or a constant.
 *
 *   one_node m;
 *   one_node_init(&m, &arena, "", "Relu", 6);                   // opset 6
 *   one_node_input(&m, ir_type_unranked(&ctx, DT_bf16));        // x0
 *   one_node_outputs(&m, 1);                                    // y0
 *   tl_sv file = one_node_pack(&m);                             // for fe_import_buffer
 *
 * Names are x0, x1, ... by operand and y0, y1, ... by result; symbols of types become dim_params. */
#ifndef TLBC_TESTS_SUPPORT_ONE_NODE_H
#define TLBC_TESTS_SUPPORT_ONE_NODE_H

#include "frontend/onnx_proto.h"
#include "ir/base/vec.h"
#include "ir/schema.h"
#include "ir/tensor.h"

typedef struct one_node {
    tl_arena *arena;
    const char *domain;
    int opset;
    pb_node node;
    pb_graph graph;
    TL_VEC(char *) in;
    TL_VEC(pb_value_info *) inputs;
    TL_VEC(pb_tensor *) constants;
    TL_VEC(pb_attr *) attrs;
} one_node;

void one_node_init(one_node *m, tl_arena *a, const char *domain, const char *op, int opset);
void one_node_input(one_node *m, const ir_type *t);
void one_node_const(one_node *m, const ir_tensor *t);
void one_node_omit(one_node *m);
void one_node_outputs(one_node *m, uint32_t n);
/* A fresh attribute, whose value the caller sets. */
pb_attr *one_node_attr(one_node *m, const char *name, ir_schema_attr_type type);
pb_tensor *one_node_tensor(tl_arena *a, const char *name, const ir_tensor *t);
pb_type *one_node_type(tl_arena *a, const ir_type *t);
pb_value_info *one_node_value(tl_arena *a, const char *name, const ir_type *t); /* NULL: no type */
/* A graph attribute: "(i,c,v)c2=Identity(c),v2=Add(v,v)->(c2,v2)" has parameters, nodes and results. */
pb_graph *one_node_graph(tl_arena *a, const char *text);
tl_sv one_node_pack(one_node *m);

#endif
