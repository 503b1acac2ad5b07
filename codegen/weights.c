/* The block of constants; see weights.h.
 *
 * The object file is written here, byte by byte: ELF header, the block, a symbol table of one symbol, four section headers. An assembler's
 * .incbin would do the same after reading the block into memory twice. */
#include "codegen/weights.h"

#include "codegen/output.h"
#include "ir/base/assert.h"
#include "ir/base/hash.h"
#include "runtime/abi.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

uint64_t cg_weights_hash(const cg_weights *w) {
    uint64_t h = w->bytes;
    for (uint32_t i = 0; i < w->n; i++)
        h = tl_hash_bytes(h ^ w->spans[i].offset, w->spans[i].data, w->spans[i].bytes);
    return h;
}

bool cg_weights_write_block(const cg_weights *w, int fd) {
    uint64_t at = 0;
    for (uint32_t i = 0; i < w->n; i++) {
        const cg_span *s = &w->spans[i];
        TL_ASSERT(s->offset >= at && s->offset + s->bytes <= w->bytes);
        if (!cg_write_zeros(fd, s->offset - at)) return false;
        if (!cg_write_all(fd, s->data, s->bytes)) return false;
        at = s->offset + s->bytes;
    }
    return cg_write_zeros(fd, w->bytes - at);
}

/* ---- object file ---------------------------------------------------------------------------------------------- */

enum { SECTION_WEIGHTS = 1, SECTION_SYMBOLS, SECTION_STRINGS, SECTION_STACK, N_SECTIONS };
static const char section_names[] = "\0.tlbc.weights\0.symtab\0.strtab\0.note.GNU-stack";
enum { NAME_WEIGHTS = 1, NAME_SYMBOLS = 15, NAME_STRINGS = 23, NAME_STACK = 31 };

/* Sections in file order: header, weights, symbols, strings, section headers. */
typedef struct object_layout {
    const cg_weights *block;
    const char *symbol;
    uint16_t machine;
    bool empty; /* the section has addresses but no bytes */
    uint64_t weights, bytes_in_file, symbols, strings, string_bytes, headers;
} object_layout;

static uint64_t align8(uint64_t x) {
    return (x + 7) & ~(uint64_t)7;
}

static void plan_object(object_layout *o) {
    o->weights = sizeof(Elf64_Ehdr);
    o->bytes_in_file = o->empty ? 0 : o->block->bytes;
    o->symbols = align8(o->weights + o->bytes_in_file);
    o->strings = o->symbols + 2 * sizeof(Elf64_Sym);
    o->string_bytes = sizeof section_names + strlen(o->symbol) + 1;
    o->headers = align8(o->strings + o->string_bytes);
}

static Elf64_Ehdr make_header(const object_layout *o) {
    Elf64_Ehdr h = {.e_type = ET_REL, .e_machine = o->machine, .e_version = EV_CURRENT};
    memcpy(h.e_ident, ELFMAG, SELFMAG);
    h.e_ident[EI_CLASS] = ELFCLASS64;
    h.e_ident[EI_DATA] = ELFDATA2LSB;
    h.e_ident[EI_VERSION] = EV_CURRENT;
    h.e_ehsize = sizeof h;
    h.e_shoff = o->headers;
    h.e_shentsize = sizeof(Elf64_Shdr);
    h.e_shnum = N_SECTIONS;
    h.e_shstrndx = SECTION_STRINGS;
    return h;
}

/* Above a gigabyte the block must not stand between code and data: the large flag makes the linker put it at the end. */
static uint64_t weights_flags(const object_layout *o) {
    const uint64_t x86_64_large = 0x10000000;
    bool large = o->machine == EM_X86_64 && o->block->bytes >= (uint64_t)1 << 30;
    return SHF_ALLOC | (large ? x86_64_large : 0);
}

/* Of what is mapped by itself, the largest pages that the machine may have. */
static uint64_t weights_align(const object_layout *o) {
    uint64_t page = o->machine == EM_X86_64 ? 4 << 10 : 64 << 10;
    return o->empty ? page : 64;
}

static void make_sections(Elf64_Shdr *s, const object_layout *o) {
    memset(s, 0, N_SECTIONS * sizeof *s);
    s[SECTION_WEIGHTS] = (Elf64_Shdr){.sh_name = NAME_WEIGHTS,
                                      .sh_type = o->empty ? SHT_NOBITS : SHT_PROGBITS,
                                      .sh_flags = weights_flags(o),
                                      .sh_offset = o->weights,
                                      .sh_size = o->block->bytes,
                                      .sh_addralign = weights_align(o)};
    s[SECTION_SYMBOLS] = (Elf64_Shdr){.sh_name = NAME_SYMBOLS,
                                      .sh_type = SHT_SYMTAB,
                                      .sh_offset = o->symbols,
                                      .sh_size = 2 * sizeof(Elf64_Sym),
                                      .sh_link = SECTION_STRINGS,
                                      .sh_info = 1, /* first global symbol */
                                      .sh_addralign = 8,
                                      .sh_entsize = sizeof(Elf64_Sym)};
    s[SECTION_STRINGS] = (Elf64_Shdr){.sh_name = NAME_STRINGS,
                                      .sh_type = SHT_STRTAB,
                                      .sh_offset = o->strings,
                                      .sh_size = o->string_bytes,
                                      .sh_addralign = 1};
    s[SECTION_STACK] = (Elf64_Shdr){
        .sh_name = NAME_STACK, .sh_type = SHT_PROGBITS, .sh_offset = o->headers, .sh_addralign = 1};
}

static bool write_tables(const object_layout *o, int fd) {
    Elf64_Sym symbols[2] = {{0}};
    symbols[1] = (Elf64_Sym){.st_name = sizeof section_names,
                             .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_OBJECT),
                             .st_other = STV_HIDDEN,
                             .st_shndx = SECTION_WEIGHTS,
                             .st_size = o->block->bytes};
    Elf64_Shdr sections[N_SECTIONS];
    make_sections(sections, o);
    return cg_write_zeros(fd, o->symbols - o->weights - o->bytes_in_file) &&
           cg_write_all(fd, symbols, sizeof symbols) &&
           cg_write_all(fd, section_names, sizeof section_names) &&
           cg_write_all(fd, o->symbol, strlen(o->symbol) + 1) &&
           cg_write_zeros(fd, o->headers - o->strings - o->string_bytes) &&
           cg_write_all(fd, sections, sizeof sections);
}

static bool write_object(object_layout *o, int fd) {
    _Static_assert(sizeof(Elf64_Ehdr) % 64 == 0, "the block behind the header stays aligned");
    plan_object(o);
    Elf64_Ehdr header = make_header(o);
    return cg_write_all(fd, &header, sizeof header) &&
           (o->empty || cg_weights_write_block(o->block, fd)) && write_tables(o, fd);
}

bool cg_weights_write_object(const cg_weights *w, uint16_t machine, const char *symbol, int fd) {
    return write_object(&(object_layout){.block = w, .symbol = symbol, .machine = machine}, fd);
}

bool cg_weights_write_room(const cg_weights *w, uint16_t machine, const char *symbol, int fd) {
    return write_object(
        &(object_layout){.block = w, .symbol = symbol, .machine = machine, .empty = true}, fd);
}

/* ---- side file and memory ------------------------------------------------------------------------------------- */

static bool write_side(const cg_weights *w, const char *path) {
    tlbc_weights_header h = {.bytes = w->bytes, .hash = cg_weights_hash(w)};
    memcpy(h.magic, TLBC_WEIGHTS_MAGIC, sizeof h.magic);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0) return false;
    bool ok = cg_write_all(fd, &h, sizeof h) && cg_weights_write_block(w, fd);
    int error = errno;
    if (close(fd) != 0 && ok) return false;
    errno = error;
    return ok;
}

bool cg_weights_write_side(ir_ctx *c, const cg_weights *w, const char *path) {
    const char *temporary = cg_temporary_name(c, path);
    if (!temporary) return false;
    cg_signals *s = cg_signals_hold(c);
    bool ok = write_side(w, temporary);
    if (!ok) {
        diag_error(&c->diag, NULL, "cannot write '%s': %s", path, strerror(errno));
        unlink(temporary);
    }
    ok = ok && cg_file_commit(c, temporary, path);
    cg_signals_release(s);
    return ok;
}

const void *cg_weights_load(ir_ctx *c, const cg_weights *w) {
    size_t size = (w->bytes + 63) / 64 * 64;
    char *p = aligned_alloc(64, size ? size : 64);
    if (!p) {
        diag_error(&c->diag, NULL, "no memory for %llu bytes of weights",
                   (unsigned long long)w->bytes);
        return NULL;
    }
    memset(p, 0, size);
    for (uint32_t i = 0; i < w->n; i++)
        memcpy(p + w->spans[i].offset, w->spans[i].data, w->spans[i].bytes);
    ir_ctx_add_cleanup(c, free, p);
    return p;
}
