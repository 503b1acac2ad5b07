/* Writes a Temporal Latent Bottleneck of the size of a row of Long Range Arena as an .onnx file, all steps written out as PyTorch's exporter
 * does: what tests/recurrence/compile_time.sh compiles. Weights are random.
 *
 *   lra_onnx ROW CHUNKS FILE        listops | text | retrieval | image | pathfinder; CHUNKS 0: as many as the row has
 *
 * A file is a ModelProto: fields of (number << 3 | kind) and content, where a message is its length and its fields. */
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct row {
    const char *name;
    int d, qkv, heads, ffn, k, m, chunks;
    const char *fast;
} row;

static const row all_rows[] = {
    {"listops", 512, 512, 8, 1024, 100, 100, 20, "SSC"},
    {"text", 256, 256, 4, 1024, 10, 10, 400, "SSC"},
    {"retrieval", 128, 128, 4, 512, 10, 10, 400, "SSC"},
    {"image", 128, 64, 8, 128, 32, 5, 32, "SC"},
    {"pathfinder", 128, 64, 8, 128, 64, 5, 16, "SSC"},
};

/* ---- protobuf ----------------------------------------------------------------------------------------------------------- */

typedef struct bytes {
    char *data;
    size_t len, room;
} bytes;

static void put(bytes *b, const void *data, size_t len) {
    if (b->len + len > b->room) {
        b->room = 2 * (b->len + len);
        b->data = realloc(b->data, b->room);
        if (!b->data) exit(1);
    }
    memcpy(b->data + b->len, data, len);
    b->len += len;
}

static void put_varint(bytes *b, uint64_t v) {
    for (; v > 127; v >>= 7)
        put(b, &(uint8_t){(uint8_t)(v | 128)}, 1);
    put(b, &(uint8_t){(uint8_t)v}, 1);
}

static void put_int(bytes *b, unsigned field, int64_t v) {
    put_varint(b, field << 3);
    put_varint(b, (uint64_t)v);
}

static void put_data(bytes *b, unsigned field, const void *data, size_t len) {
    put_varint(b, field << 3 | 2);
    put_varint(b, len);
    put(b, data, len);
}

static void put_text(bytes *b, unsigned field, const char *s) {
    put_data(b, field, s, strlen(s));
}

/* Appends the message and empties it. */
static void put_message(bytes *b, unsigned field, bytes *message) {
    put_data(b, field, message->data, message->len);
    message->len = 0;
}

/* ---- parts of a model -------------------------------------------------------------------------------------------------- */

enum { FLOAT = 1, INT64 = 7 }; /* of TensorProto.DataType */

typedef struct writer {
    const row *r;
    bytes graph, node, part, inner;
    unsigned count; /* of values */
    uint32_t seed;
} writer;

typedef struct value {
    char name[32];
} value;

static value named(const char *format, ...) {
    value v;
    va_list args;
    va_start(args, format);
    vsnprintf(v.name, sizeof v.name, format, args);
    va_end(args);
    return v;
}

static void put_tensor(writer *w, value name, int type, const int64_t *dims, int rank,
                       const void *data, size_t size) {
    for (int i = 0; i < rank; i++)
        put_int(&w->part, 1, dims[i]);
    put_int(&w->part, 2, type);
    put_text(&w->part, 8, name.name);
    put_data(&w->part, 9, data, size);
    put_message(&w->graph, 5, &w->part);
}

/* [rows, columns], or [columns] where rows is 0; from -0.1 to 0.1. */
static value weight(writer *w, value name, int rows, int columns) {
    size_t n = (size_t)(rows ? rows : 1) * (size_t)columns;
    float *data = malloc(n * sizeof *data);
    if (!data) exit(1);
    for (size_t i = 0; i < n; i++) {
        w->seed = w->seed * 1664525u + 1013904223u;
        data[i] = (float)(w->seed >> 8) / 83886080.0f - 0.1f;
    }
    int64_t dims[] = {rows ? rows : columns, columns};
    put_tensor(w, name, FLOAT, dims, rows ? 2 : 1, data, n * sizeof *data);
    free(data);
    return name;
}

static value scalar(writer *w, const char *name, float x) {
    put_tensor(w, named("%s", name), FLOAT, NULL, 0, &x, sizeof x);
    return named("%s", name);
}

static value ints(writer *w, value name, const int64_t *v, int n) {
    put_tensor(w, name, INT64, &(int64_t){n}, 1, v, (size_t)n * sizeof *v);
    return name;
}

static void put_ints_attr(writer *w, const char *name, const int64_t *v, int n) {
    enum { INT = 2, INTS = 7 };
    put_text(&w->part, 1, name);
    for (int i = 0; i < n; i++)
        put_int(&w->part, n == 1 ? 3 : 8, v[i]);
    put_int(&w->part, 20, n == 1 ? INT : INTS);
    put_message(&w->node, 5, &w->part);
}

/* attr may be NULL; one value is an INT. */
static value op_with(writer *w, const char *op, const value *in, int n, const char *attr,
                     const int64_t *v, int n_v) {
    value out = named("v%u", w->count++);
    for (int i = 0; i < n; i++)
        put_text(&w->node, 1, in[i].name);
    put_text(&w->node, 2, out.name);
    put_text(&w->node, 4, op);
    if (attr) put_ints_attr(w, attr, v, n_v);
    put_message(&w->graph, 1, &w->node);
    return out;
}

static value op(writer *w, const char *name, value a, value b) {
    return op_with(w, name, (value[]){a, b}, 2, NULL, NULL, 0);
}

static void put_interface(writer *w, unsigned field, const char *name, const int64_t *dims) {
    bytes *type = &w->inner, *part = &w->part, *node = &w->node;
    for (int i = 0; i < 3; i++) {
        put_int(type, 1, dims[i]);
        put_message(part, 1, type);
    }
    put_int(type, 1, FLOAT);
    put_message(type, 2, part);
    put_message(part, 1, type);
    put_text(node, 1, name);
    put_message(node, 2, part);
    put_message(&w->graph, field, node);
}

/* ---- the model -------------------------------------------------------------------------------------------------------- */

static value norm(writer *w, value x, const char *block, const char *which) {
    value in[] = {x, named("%s.%s.g", block, which), named("%s.%s.b", block, which)};
    return op_with(w, "LayerNormalization", in, 3, "axis", &(int64_t){-1}, 1);
}

static value heads(writer *w, value x, value weights, const char *shape, const int64_t *perm) {
    value split = op(w, "Reshape", op(w, "MatMul", x, weights), named("%s", shape));
    return op_with(w, "Transpose", &split, 1, "perm", perm, 4);
}

static value softmax(writer *w, value x) {
    return op_with(w, "Softmax", &x, 1, "axis", &(int64_t){-1}, 1);
}

/* x looks at y: x + attention; the shapes are those of the rows of x and of y. */
static value attention(writer *w, value x, value y, const char *block, char of_x, char of_y) {
    static const int64_t rows_first[] = {0, 2, 1, 3}, columns_first[] = {0, 2, 3, 1};
    value nx = norm(w, x, block, "nq");
    value ny = strcmp(x.name, y.name) == 0 ? nx : norm(w, y, block, "nk");
    value sx = named("split.%c", of_x), sy = named("split.%c", of_y);
    value q = heads(w, nx, named("%s.q", block), sx.name, rows_first);
    value k = heads(w, ny, named("%s.k", block), sy.name, columns_first);
    value v = heads(w, ny, named("%s.v", block), sy.name, rows_first);
    value p = softmax(w, op(w, "Div", op(w, "MatMul", q, k), named("root")));
    value o = op(w, "MatMul", p, v);
    o = op_with(w, "Transpose", &o, 1, "perm", rows_first, 4);
    o = op(w, "Reshape", o, named("join.%c", of_x));
    return op(w, "Add", x, op(w, "MatMul", o, named("%s.o", block)));
}

static value gelu(writer *w, value x) {
    value e = op(w, "Div", x, named("sqrt2"));
    e = op_with(w, "Erf", &e, 1, NULL, NULL, 0);
    return op(w, "Mul", op(w, "Mul", x, op(w, "Add", e, named("one"))), named("half"));
}

static value feed_forward(writer *w, value x, const char *block) {
    value up = op(w, "MatMul", norm(w, x, block, "nf"), named("%s.up", block));
    up = gelu(w, op(w, "Add", up, named("%s.up.b", block)));
    value down = op(w, "MatMul", up, named("%s.down", block));
    return op(w, "Add", x, op(w, "Add", down, named("%s.down.b", block)));
}

static void block_weights(writer *w, const char *block) {
    const row *r = w->r;
    static const char *const norms[] = {"nq", "nk", "nf"};
    for (int i = 0; i < 3; i++) {
        weight(w, named("%s.%s.g", block, norms[i]), 0, r->d);
        weight(w, named("%s.%s.b", block, norms[i]), 0, r->d);
    }
    weight(w, named("%s.q", block), r->d, r->qkv);
    weight(w, named("%s.k", block), r->d, r->qkv);
    weight(w, named("%s.v", block), r->d, r->qkv);
    weight(w, named("%s.o", block), r->qkv, r->d);
    weight(w, named("%s.up", block), r->d, r->ffn);
    weight(w, named("%s.up.b", block), 0, r->ffn);
    weight(w, named("%s.down", block), r->ffn, r->d);
    weight(w, named("%s.down.b", block), 0, r->d);
}

static void constants(writer *w, int chunks) {
    const row *r = w->r;
    int h = r->qkv / r->heads;
    scalar(w, "root", (float)(h == 8 ? 2.8284271 : h == 64 ? 8 : 5.6568542));
    scalar(w, "sqrt2", 1.4142135f);
    scalar(w, "one", 1);
    scalar(w, "half", 0.5f);
    ints(w, named("split.k"), (int64_t[]){1, r->k, r->heads, h}, 4);
    ints(w, named("split.m"), (int64_t[]){1, r->m, r->heads, h}, 4);
    ints(w, named("join.k"), (int64_t[]){1, r->k, r->qkv}, 3);
    ints(w, named("join.m"), (int64_t[]){1, r->m, r->qkv}, 3);
    ints(w, named("axis"), (int64_t[]){1}, 1);
    for (int i = 0; i <= chunks; i++)
        ints(w, named("at%d", i), (int64_t[]){(int64_t)i * r->k}, 1);
}

/* One chunk: the fast blocks on its rows, then the next state. */
static value step(writer *w, value state, int chunk) {
    value in[] = {named("x"), named("at%d", chunk), named("at%d", chunk + 1), named("axis")};
    value x = op_with(w, "Slice", in, 4, NULL, NULL, 0);
    for (int i = 0; w->r->fast[i]; i++) {
        value block = named("f%d", i);
        bool crosses = w->r->fast[i] == 'C';
        x = attention(w, x, crosses ? state : x, block.name, 'k', crosses ? 'm' : 'k');
        x = feed_forward(w, x, block.name);
    }
    return feed_forward(w, attention(w, state, x, "slow", 'm', 'k'), "slow");
}

static void write_graph(writer *w, int chunks) {
    const row *r = w->r;
    for (int i = 0; r->fast[i]; i++)
        block_weights(w, named("f%d", i).name);
    block_weights(w, "slow");
    constants(w, chunks);
    value state = named("state");
    for (int i = 0; i < chunks; i++)
        state = step(w, state, i);
    put_text(&w->graph, 2, "lra");
    put_interface(w, 11, "x", (int64_t[]){1, (int64_t)chunks * r->k, r->d});
    put_interface(w, 11, "state", (int64_t[]){1, r->m, r->d});
    put_interface(w, 12, state.name, (int64_t[]){1, r->m, r->d});
}

static bool write_model(writer *w, const char *path) {
    bytes model = {0};
    put_int(&model, 1, 8); /* ir_version */
    put_text(&w->part, 1, "");
    put_int(&w->part, 2, 17);
    put_message(&model, 8, &w->part);
    put_message(&model, 7, &w->graph);
    FILE *f = fopen(path, "wb");
    bool done = f && fwrite(model.data, 1, model.len, f) == model.len;
    done = f && fclose(f) == 0 && done;
    free(model.data);
    return done;
}

int main(int argc, char **argv) {
    writer w = {.seed = 1};
    for (size_t i = 0; argc == 4 && i < sizeof all_rows / sizeof *all_rows; i++)
        if (strcmp(argv[1], all_rows[i].name) == 0) w.r = &all_rows[i];
    if (!w.r) {
        fprintf(stderr, "usage: lra_onnx ROW CHUNKS FILE\n");
        return 2;
    }
    int chunks = atoi(argv[2]);
    write_graph(&w, chunks > 0 ? chunks : w.r->chunks);
    bool done = write_model(&w, argv[3]);
    free(w.graph.data), free(w.node.data), free(w.part.data), free(w.inner.data);
    return done ? 0 : 1;
}
