/* ONNX models of one node, packed by protobuf-c; see one_node.h. */
#include "tests/support/one_node.h"

#include "ir/base/str.h"

#include <string.h>

/* A message in the arena, as protobuf-c's initialiser leaves it. */
#define NEW_MESSAGE(a, T, init) ((T *)memcpy(TL_NEW(a, T), &(T)init, sizeof(T)))

enum { IR_VERSION = 10 };

void one_node_init(one_node *m, tl_arena *a, const char *domain, const char *op, int opset) {
    *m = (one_node){.arena = a,
                    .domain = domain,
                    .opset = opset,
                    .node = ONNX__NODE_PROTO__INIT,
                    .graph = ONNX__GRAPH_PROTO__INIT};
    m->node.op_type = tl_arena_strdup(a, op);
    m->node.domain = tl_arena_strdup(a, domain);
    m->graph.name = tl_arena_strdup(a, "g");
}

/* ---- types ------------------------------------------------------------------------------------------------------- */

static Onnx__TensorShapeProto__Dimension *dimension(tl_arena *a, const ir_dim *d) {
    Onnx__TensorShapeProto__Dimension *p = NEW_MESSAGE(a, Onnx__TensorShapeProto__Dimension,
                                                       ONNX__TENSOR_SHAPE_PROTO__DIMENSION__INIT);
    int64_t size;
    if (ir_dim_is_const(d, &size)) {
        p->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
        p->dim_value = size;
        return p;
    }
    tl_str text;
    tl_str_init(&text, a);
    ir_dim_print(d, &text);
    p->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
    p->dim_param = text.data;
    return p;
}

static Onnx__TypeProto__Tensor *tensor_type(tl_arena *a, const ir_type *t) {
    Onnx__TypeProto__Tensor *p = NEW_MESSAGE(a, Onnx__TypeProto__Tensor,
                                             ONNX__TYPE_PROTO__TENSOR__INIT);
    p->has_elem_type = true;
    p->elem_type = t->dtype;
    if (!ir_type_is_ranked(t)) return p;
    p->shape = NEW_MESSAGE(a, pb_shape, ONNX__TENSOR_SHAPE_PROTO__INIT);
    p->shape->n_dim = (size_t)t->rank;
    p->shape->dim = TL_NEW_ARRAY(a, Onnx__TensorShapeProto__Dimension *, (size_t)t->rank);
    for (int32_t i = 0; i < t->rank; i++)
        p->shape->dim[i] = dimension(a, t->dims[i]);
    return p;
}

pb_type *one_node_type(tl_arena *a, const ir_type *t) {
    pb_type *p = NEW_MESSAGE(a, pb_type, ONNX__TYPE_PROTO__INIT);
    switch (t->kind) {
    case IR_TYPE_TENSOR:
        p->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
        p->tensor_type = tensor_type(a, t);
        break;
    case IR_TYPE_SEQUENCE:
        p->value_case = ONNX__TYPE_PROTO__VALUE_SEQUENCE_TYPE;
        p->sequence_type = NEW_MESSAGE(a, Onnx__TypeProto__Sequence,
                                       ONNX__TYPE_PROTO__SEQUENCE__INIT);
        p->sequence_type->elem_type = one_node_type(a, t->element);
        break;
    case IR_TYPE_OPTIONAL:
        p->value_case = ONNX__TYPE_PROTO__VALUE_OPTIONAL_TYPE;
        p->optional_type = NEW_MESSAGE(a, Onnx__TypeProto__Optional,
                                       ONNX__TYPE_PROTO__OPTIONAL__INIT);
        p->optional_type->elem_type = one_node_type(a, t->element);
        break;
    case IR_TYPE_MAP:
        p->value_case = ONNX__TYPE_PROTO__VALUE_MAP_TYPE;
        p->map_type = NEW_MESSAGE(a, Onnx__TypeProto__Map, ONNX__TYPE_PROTO__MAP__INIT);
        p->map_type->has_key_type = true;
        p->map_type->key_type = t->dtype;
        p->map_type->value_type = one_node_type(a, t->element);
        break;
    }
    return p;
}

pb_value_info *one_node_value(tl_arena *a, const char *name, const ir_type *t) {
    pb_value_info *p = NEW_MESSAGE(a, pb_value_info, ONNX__VALUE_INFO_PROTO__INIT);
    p->name = tl_arena_strdup(a, name);
    if (t) p->type = one_node_type(a, t);
    return p;
}

/* ---- operands ---------------------------------------------------------------------------------------------------- */

static char *add_operand(one_node *m) {
    char *name = tl_arena_printf(m->arena, "x%u", m->in.len);
    tl_vec_push(m->arena, &m->in, name);
    return name;
}

void one_node_input(one_node *m, const ir_type *t) {
    tl_vec_push(m->arena, &m->inputs, one_node_value(m->arena, add_operand(m), t));
}

void one_node_omit(one_node *m) {
    tl_vec_push(m->arena, &m->in, tl_arena_strdup(m->arena, ""));
}

static void set_strings(tl_arena *a, pb_tensor *p, const ir_tensor *t) {
    const tl_sv *strings = t->data;
    p->n_string_data = ir_tensor_elements(t);
    p->string_data = TL_NEW_ARRAY(a, ProtobufCBinaryData, p->n_string_data);
    for (size_t i = 0; i < p->n_string_data; i++)
        p->string_data[i] = (ProtobufCBinaryData){strings[i].len,
                                                  (uint8_t *)(uintptr_t)strings[i].data};
}

pb_tensor *one_node_tensor(tl_arena *a, const char *name, const ir_tensor *t) {
    pb_tensor *p = NEW_MESSAGE(a, pb_tensor, ONNX__TENSOR_PROTO__INIT);
    p->name = tl_arena_strdup(a, name);
    p->has_data_type = true;
    p->data_type = t->type->dtype;
    p->n_dims = (size_t)t->type->rank;
    p->dims = TL_NEW_ARRAY(a, int64_t, p->n_dims);
    for (size_t i = 0; i < p->n_dims; i++)
        ir_dim_is_const(t->type->dims[i], &p->dims[i]);
    if (t->type->dtype == DT_str) {
        set_strings(a, p, t);
        return p;
    }
    p->has_raw_data = true;
    p->raw_data = (ProtobufCBinaryData){t->bytes, (uint8_t *)(uintptr_t)t->data};
    return p;
}

void one_node_const(one_node *m, const ir_tensor *t) {
    tl_vec_push(m->arena, &m->constants, one_node_tensor(m->arena, add_operand(m), t));
}

/* ---- the rest ---------------------------------------------------------------------------------------------------- */

void one_node_outputs(one_node *m, uint32_t n) {
    m->node.n_output = m->graph.n_output = n;
    m->node.output = TL_NEW_ARRAY(m->arena, char *, n);
    m->graph.output = TL_NEW_ARRAY(m->arena, pb_value_info *, n);
    for (uint32_t i = 0; i < n; i++) {
        m->node.output[i] = tl_arena_printf(m->arena, "y%u", i);
        m->graph.output[i] = one_node_value(m->arena, m->node.output[i], NULL);
    }
}

pb_attr *one_node_attr(one_node *m, const char *name, ir_schema_attr_type type) {
    pb_attr *p = NEW_MESSAGE(m->arena, pb_attr, ONNX__ATTRIBUTE_PROTO__INIT);
    p->name = tl_arena_strdup(m->arena, name);
    p->has_type = true;
    p->type = (int32_t)type;
    tl_vec_push(m->arena, &m->attrs, p);
    return p;
}

/* The names between the parentheses at *at, which moves behind them. */
static char **read_names(tl_arena *a, char **at, size_t *n) {
    TL_VEC(char *) names = {0};
    char *end = strchr(*at, ')'), *saved = NULL;
    *end = 0;
    for (char *p = strtok_r(*at + 1, ",", &saved); p; p = strtok_r(NULL, ",", &saved))
        tl_vec_push(a, &names, p);
    *at = end + 1;
    *n = names.len;
    return names.data;
}

static pb_value_info **values(tl_arena *a, char **names, size_t n) {
    pb_value_info **v = TL_NEW_ARRAY(a, pb_value_info *, n);
    for (size_t i = 0; i < n; i++)
        v[i] = one_node_value(a, names[i], NULL);
    return v;
}

/* "c2=Identity(c)" at *at. */
static pb_node *read_node(tl_arena *a, char **at) {
    pb_node *p = NEW_MESSAGE(a, pb_node, ONNX__NODE_PROTO__INIT);
    char *equals = strchr(*at, '='), *open = strchr(*at, '(');
    p->n_output = 1, p->output = TL_NEW_ARRAY(a, char *, 1);
    p->output[0] = tl_arena_printf(a, "%.*s", (int)(equals - *at), *at);
    p->op_type = tl_arena_printf(a, "%.*s", (int)(open - equals - 1), equals + 1);
    *at = open;
    p->input = read_names(a, at, &p->n_input);
    return p;
}

pb_graph *one_node_graph(tl_arena *a, const char *text) {
    pb_graph *g = NEW_MESSAGE(a, pb_graph, ONNX__GRAPH_PROTO__INIT);
    char *p = tl_arena_strdup(a, text), **names;
    TL_VEC(pb_node *) nodes = {0};
    g->name = tl_arena_strdup(a, "body");
    names = read_names(a, &p, &g->n_input);
    g->input = values(a, names, g->n_input);
    while (*p && *p != '-') {
        tl_vec_push(a, &nodes, read_node(a, &p));
        p += *p == ',';
    }
    g->n_node = nodes.len, g->node = nodes.data;
    p += 2; /* "->" */
    names = read_names(a, &p, &g->n_output);
    g->output = values(a, names, g->n_output);
    return g;
}

static pb_opset *import(tl_arena *a, const char *domain, int opset) {
    pb_opset *p = NEW_MESSAGE(a, pb_opset, ONNX__OPERATOR_SET_ID_PROTO__INIT);
    p->domain = tl_arena_strdup(a, domain);
    p->has_version = true;
    p->version = opset;
    return p;
}

/* Nodes of other domains may hold graphs of operators of ai.onnx, so there is a version of it always. */
tl_sv one_node_pack(one_node *m) {
    pb_node *nodes[] = {&m->node};
    pb_opset *opsets[] = {import(m->arena, m->domain, m->opset),
                          import(m->arena, "", ir_schema_find_opset(""))};
    m->node.n_input = m->in.len, m->node.input = m->in.data;
    m->node.n_attribute = m->attrs.len, m->node.attribute = m->attrs.data;
    m->graph.n_node = 1, m->graph.node = nodes;
    m->graph.n_input = m->inputs.len, m->graph.input = m->inputs.data;
    m->graph.n_initializer = m->constants.len, m->graph.initializer = m->constants.data;
    pb_model model = ONNX__MODEL_PROTO__INIT;
    model.has_ir_version = true, model.ir_version = IR_VERSION;
    model.graph = &m->graph;
    model.n_opset_import = *m->domain ? 2 : 1, model.opset_import = opsets;
    size_t size = onnx__model_proto__get_packed_size(&model);
    uint8_t *bytes = tl_arena_alloc(m->arena, size, 1);
    onnx__model_proto__pack(&model, bytes);
    return (tl_sv){(const char *)bytes, size};
}
