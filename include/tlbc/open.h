/* Opening and closing a compiled model: static inline functions over dlopen. Part of tlbc/runtime.h; a program that links its
 * models statically defines TLBC_NO_DLOPEN before including that and needs nothing of this.
 *
 *   const tlbc_model *model;
 *   char message[256];
 *   if (tlbc_open("model.so", &model, message, sizeof message)) { fprintf(stderr, "%s\n", message); exit(1); }
 *   ...
 *   tlbc_close(model);      // after the last of its sessions is freed
 *
 * Any thread may call these. A model that is opened twice is the same model, and is closed twice. */
#ifndef TLBC_OPEN_H
#define TLBC_OPEN_H

#include "tlbc/runtime.h"

#include <dlfcn.h>
#include <elf.h>
#include <stdio.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Takes a model out of a loaded library, or says why not. */
static inline tlbc_status tlbc_open_check(const char *path, const tlbc_model *m, char *message,
                                          size_t message_bytes) {
    if (!m) {
        snprintf(message, message_bytes, "%s: not a compiled model: it has no symbol 'tlbc_model'",
                 path);
        return TLBC_ERROR_MODEL;
    }
    if (m->abi_version != TLBC_ABI_VERSION) {
        snprintf(message, message_bytes,
                 "%s: made for version %u of the model interface, this program has %u", path,
                 (unsigned)m->abi_version, (unsigned)TLBC_ABI_VERSION);
        return TLBC_ERROR_VERSION;
    }
    return TLBC_OK;
}

/* Whether the program header says more than the file of `size` bytes holds. */
static inline int tlbc_open_exceeds(const Elf64_Phdr *p, long size) {
    return p->p_type == PT_LOAD &&
           (p->p_offset > (Elf64_Off)size || p->p_filesz > (Elf64_Xword)size - p->p_offset);
}

/* Whether an ELF file lacks bytes that its headers promise: dlopen would map it, and the process end with SIGBUS. 0 for everything
 * else, of which dlopen itself says what is wrong. */
static inline int tlbc_open_is_cut(const char *path) {
    Elf64_Ehdr h;
    Elf64_Phdr p;
    int cut = 0, i;
    long size = -1;
    FILE *f = fopen(path, "rb");
    if (!f) return 0;
    if (!fseek(f, 0, SEEK_END)) size = ftell(f);
    if (size > 0 && !fseek(f, 0, SEEK_SET) && fread(&h, sizeof h, 1, f) == 1 &&
        !memcmp(h.e_ident, ELFMAG, SELFMAG) && h.e_ident[EI_CLASS] == ELFCLASS64) {
        for (i = 0; i < h.e_phnum && !cut; i++)
            cut = fseek(f, (long)(h.e_phoff + (Elf64_Off)i * sizeof p), SEEK_SET) ||
                  fread(&p, sizeof p, 1, f) != 1 || tlbc_open_exceeds(&p, size);
    }
    fclose(f);
    return cut;
}

/* Opens a model. A path without a folder means the current folder (dlopen alone would search the system's). On failure *out is
 * NULL and message (message_bytes > 0 of room) says why; on success it is "". TLBC_ERROR_IO: the file cannot be loaded;
 * TLBC_ERROR_MODEL: it is no compiled model; TLBC_ERROR_VERSION: of another version. Opening runs the file's code: open what you trust. */
static inline tlbc_status tlbc_open(const char *path, const tlbc_model **out, char *message,
                                    size_t message_bytes) {
    char local[1024];
    void *library;
    const tlbc_model *m;
    tlbc_status status;
    *out = NULL;
    message[0] = 0;
    if (tlbc_open_is_cut(path)) {
        snprintf(message, message_bytes, "'%.200s' is cut short", path);
        return TLBC_ERROR_IO;
    }
    if (!strchr(path, '/') && strlen(path) + 3 <= sizeof local) {
        snprintf(local, sizeof local, "./%s", path);
        library = dlopen(local, RTLD_NOW | RTLD_LOCAL);
    } else {
        library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    }
    if (!library) {
        const char *why = dlerror();
        snprintf(message, message_bytes, "%s", why ? why : path);
        return TLBC_ERROR_IO;
    }
    m = (const tlbc_model *)dlsym(library, "tlbc_model");
    status = tlbc_open_check(path, m, message, message_bytes);
    if (status)
        dlclose(library);
    else
        *out = m;
    return status;
}

/* Closes a model that tlbc_open gave; all its sessions must have been freed. NULL is fine. The library is found again by its
 * path, so that a model needs no handle beside it: one reference for this look-up and the one of tlbc_open go. */
static inline void tlbc_close(const tlbc_model *m) {
    const char *path = m ? m->api->library_path(m) : NULL;
    void *library = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
    if (!library) return;
    dlclose(library);
    dlclose(library);
}

#ifdef __cplusplus
}
#endif

#endif
