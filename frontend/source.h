/* A file being read: its bytes, and where its messages and memory go. */
#ifndef TLBC_FRONTEND_SOURCE_H
#define TLBC_FRONTEND_SOURCE_H

#include "ir/ctx.h"

typedef struct fe_bytes {
    const uint8_t *data;
    size_t size;
} fe_bytes;

typedef struct fe_source {
    ir_ctx *c;
    tl_arena *arena;  /* results live here */
    const char *path; /* names the file in messages */
    fe_bytes bytes;
    const char *folder; /* external data lies below it; NULL = there can be none */
    tl_map externals;   /* interned location -> fe_external * (external.c) */
    const ir_loc *loc;  /* just the file */
} fe_source;

/* Prepares *s for a file that is mapped until the context ends; false after reporting. */
bool fe_source_open(fe_source *s, ir_ctx *c, tl_arena *a, const char *path);
void fe_source_init_buffer(fe_source *s, ir_ctx *c, tl_arena *a, const char *name, fe_bytes bytes);

/* A mapped file, given back when the context ends. Create it before opening the file, so that no
 * allocation can fail while the descriptor is open. */
typedef struct fe_mapping {
    void *data;
    size_t size;
} fe_mapping;

fe_mapping *fe_mapping_create(ir_ctx *c);
/* Maps fd for reading and closes it. 0 or errno. */
int fe_mapping_map(fe_mapping *m, int fd);

#endif
