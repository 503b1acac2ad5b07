/* Bytes to protobuf-c structs: slim (wire.c), then unpack. protobuf-c gets an allocator that returns
 * NULL instead of jumping: a jump out of foreign code would leave it half done. */
#include "frontend/onnx_proto.h"

#include <stdlib.h>

static void *counted_alloc(void *data, size_t size) {
    fe_message *m = data;
    bool provoked = m->fail->countdown && --m->fail->countdown == 0;
    void *p = provoked ? NULL : malloc(size ? size : 1);
    if (!p) m->out_of_memory = true;
    return p;
}

static void plain_free(void *data, void *p) {
    (void)data;
    free(p);
}

void fe_message_release(fe_message *m) {
    if (m->root) protobuf_c_message_free_unpacked(m->root, &m->allocator);
    m->root = NULL;
    tl_arena_release(&m->scratch);
}

static void message_cleanup(void *data) {
    fe_message_release(data);
}

static fe_message *message_create(ir_ctx *c) {
    fe_message *m = TL_NEW(&c->arena, fe_message);
    m->fail = c->fail;
    m->allocator = (ProtobufCAllocator){counted_alloc, plain_free, m};
    tl_arena_init(&m->scratch, c->fail);
    ir_ctx_add_cleanup(c, message_cleanup, m);
    return m;
}

/* protobuf-c does not say why it failed. The first pass accepted the file, so what is left besides
 * memory is a number in a wire type that does not fit its field. */
static bool unpack(fe_source *s, fe_message *m, const ProtobufCMessageDescriptor *d) {
    tl_str slim;
    if (!fe_slim(s, &m->scratch, d, &slim)) return false;
    m->root = protobuf_c_message_unpack(d, &m->allocator, slim.len, (const uint8_t *)slim.data);
    if (m->out_of_memory) longjmp(m->fail->jump, 1);
    if (m->root) return true;
    return diag_error(&s->c->diag, s->loc, "not a valid ONNX file: a field has the wrong type");
}

fe_message *fe_message_decode(fe_source *s, const ProtobufCMessageDescriptor *d) {
    fe_message *m = message_create(s->c);
    if (unpack(s, m, d)) return m;
    fe_message_release(m);
    return NULL;
}
