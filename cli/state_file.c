#include "cli/state_file.h"

#include "cli/file.h"
#include "codegen/output.h"

/* Bytes of one stream's states; 0 after reporting. */
static size_t bytes_of_stream(cli *c, tlbc_session *s, const char *path) {
    size_t bytes = 0;
    if (!tlbc_session_model(s)->n_states) {
        diag_error(c->diag, NULL, "%s: the model has no states", path);
        return 0;
    }
    tlbc_status status = tlbc_state_save(s, 0, NULL, &bytes);
    if (!status) return bytes;
    model_report(c, s, status, path);
    return 0;
}

bool state_file_load(cli *c, tlbc_session *s, const char *path, uint32_t streams) {
    size_t bytes = bytes_of_stream(c, s, path);
    tl_sv file;
    if (!bytes || !file_read(c->diag, c->arena, path, &file)) return false;
    if (file.len % streams)
        return diag_error(c->diag, NULL, "%s: %zu bytes are no states of %u streams", path,
                          file.len, streams);
    for (uint32_t i = 0; i < streams; i++) {
        size_t part = file.len / streams;
        tlbc_status status = tlbc_state_load(s, i, file.data + i * part, part);
        if (!status) continue;
        model_report(c, s, status, path);
        return false;
    }
    return true;
}

bool state_file_save(cli *c, tlbc_session *s, const char *path, uint32_t streams) {
    size_t part = bytes_of_stream(c, s, path), all;
    if (!part) return false;
    if (!tl_mul_size(part, streams, &all))
        return diag_error(c->diag, NULL, "%s: the size of the states overflows", path);
    char *data = tl_arena_alloc(c->arena, all, 64);
    for (uint32_t i = 0; i < streams; i++) {
        tlbc_status status = tlbc_state_save(s, i, data + i * part, &part);
        if (!status) continue;
        model_report(c, s, status, path);
        return false;
    }
    return cg_file_write(&c->ctx, path, (tl_sv){data, all});
}
