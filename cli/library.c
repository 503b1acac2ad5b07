#include "cli/library.h"

#include <elf.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static bool read_at(FILE *f, uint64_t offset, void *to, size_t n) {
    return offset <= INT64_MAX && !fseeko(f, (off_t)offset, SEEK_SET) && fread(to, 1, n, f) == n;
}

static bool segment_is_cut(const Elf64_Phdr *p, uint64_t size) {
    return p->p_type == PT_LOAD && (p->p_offset > size || p->p_filesz > size - p->p_offset);
}

static bool file_is_cut(FILE *f, uint64_t size) {
    Elf64_Ehdr header;
    if (!read_at(f, 0, &header, sizeof header)) return false;
    if (memcmp(header.e_ident, ELFMAG, SELFMAG) || header.e_ident[EI_CLASS] != ELFCLASS64)
        return false;
    for (unsigned i = 0; i < header.e_phnum; i++) {
        Elf64_Phdr p;
        if (!read_at(f, header.e_phoff + (uint64_t)i * sizeof p, &p, sizeof p)) return true;
        if (segment_is_cut(&p, size)) return true;
    }
    return false;
}

bool library_is_cut(const char *path) {
    struct stat s;
    FILE *f = fopen(path, "rb");
    if (!f) return false;
    bool cut = !fstat(fileno(f), &s) && S_ISREG(s.st_mode) && file_is_cut(f, (uint64_t)s.st_size);
    fclose(f);
    return cut;
}
