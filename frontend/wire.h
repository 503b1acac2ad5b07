/* The first look at a protobuf file, before protobuf-c sees it. */
#ifndef TLBC_FRONTEND_WIRE_H
#define TLBC_FRONTEND_WIRE_H

#include "frontend/source.h"

#include <protobuf-c/protobuf-c.h>

/* What raw_data holds in a slimmed message: where its bytes lie in the file. */
typedef struct fe_raw_ref {
    uint64_t offset, size;
} fe_raw_ref;

/* Checks `in` against descriptor d and writes an equivalent, smaller encoding to *out (in
 * `scratch`); see wire.c. false after reporting to s->c->diag. */
bool fe_slim(const fe_source *s, tl_arena *scratch, const ProtobufCMessageDescriptor *d,
             tl_str *out);

#endif
