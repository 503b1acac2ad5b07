#include "codegen/fill.h"

#include "codegen/output.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { MAX_SECTIONS = 64, MAX_SEGMENTS = 16 }; /* a model has 19 and 7 */

typedef struct image {
    int fd;
    Elf64_Ehdr header;
    Elf64_Shdr sections[MAX_SECTIONS];
    Elf64_Phdr segments[MAX_SEGMENTS];
} image;

static bool read_at(int fd, void *data, size_t n, uint64_t at) {
    return pread(fd, data, n, (off_t)at) == (ssize_t)n;
}

static bool write_at(int fd, const void *data, size_t n, uint64_t at) {
    return lseek(fd, (off_t)at, SEEK_SET) >= 0 && cg_write_all(fd, data, n);
}

static size_t section_bytes(const image *i) {
    return i->header.e_shnum * sizeof *i->sections;
}

static size_t segment_bytes(const image *i) {
    return i->header.e_phnum * sizeof *i->segments;
}

static bool read_tables(image *i) {
    return read_at(i->fd, i->sections, section_bytes(i), i->header.e_shoff) &&
           read_at(i->fd, i->segments, segment_bytes(i), i->header.e_phoff);
}

static bool write_tables(const image *i) {
    return write_at(i->fd, i->sections, section_bytes(i), i->header.e_shoff) &&
           write_at(i->fd, i->segments, segment_bytes(i), i->header.e_phoff);
}

/* Nothing else is empty in the file and never written to. */
static Elf64_Shdr *find_room(image *i, uint64_t bytes) {
    for (uint32_t k = 0; k < i->header.e_shnum; k++) {
        Elf64_Shdr *s = &i->sections[k];
        if (s->sh_type == SHT_NOBITS && !(s->sh_flags & SHF_WRITE) && s->sh_size == bytes) return s;
    }
    return NULL;
}

/* The room is the end of a segment, of which the file has what is before it: that segment ends there now, and one of the room's own
 * takes the place of the entry that describes the table itself, which only programs need. Entries stay in the order of addresses. */
static bool add_segment(image *i, const Elf64_Shdr *room) {
    uint16_t k = 0, n = i->header.e_phnum;
    Elf64_Phdr *p = i->segments;
    while (k < n && !(p[k].p_type == PT_LOAD && p[k].p_flags == PF_R &&
                      p[k].p_vaddr + p[k].p_filesz <= room->sh_addr &&
                      p[k].p_vaddr + p[k].p_memsz == room->sh_addr + room->sh_size))
        k++;
    if (k == n || p[0].p_type != PT_PHDR || room->sh_addr % p[k].p_align) return false;
    p[k].p_memsz = p[k].p_filesz;
    for (uint16_t j = 0; j < k; j++)
        p[j] = p[j + 1];
    p[k].p_offset = room->sh_offset;
    p[k].p_vaddr = p[k].p_paddr = room->sh_addr;
    p[k].p_filesz = p[k].p_memsz = room->sh_size;
    return true;
}

static cg_fill_result fill(image *i, const cg_weights *w) {
    if (!read_at(i->fd, &i->header, sizeof i->header, 0)) return CG_FILL_FAILED;
    if (i->header.e_shnum > MAX_SECTIONS || i->header.e_phnum > MAX_SEGMENTS)
        return CG_FILL_NO_ROOM;
    if (!read_tables(i)) return CG_FILL_FAILED;
    Elf64_Shdr *room = find_room(i, w->bytes);
    off_t end = lseek(i->fd, 0, SEEK_END);
    if (!room || end < 0 || !room->sh_addralign) return CG_FILL_NO_ROOM;
    uint64_t align = room->sh_addralign, at = ((uint64_t)end + align - 1) / align * align;
    room->sh_type = SHT_PROGBITS;
    room->sh_offset = at;
    if (i->header.e_type != ET_REL && !add_segment(i, room)) return CG_FILL_NO_ROOM;
    bool ok = lseek(i->fd, (off_t)at, SEEK_SET) >= 0 && cg_weights_write_block(w, i->fd) &&
              write_tables(i);
    return ok ? CG_FILL_DONE : CG_FILL_FAILED;
}

cg_fill_result cg_weights_fill(const cg_weights *w, const char *path) {
    image i = {.fd = open(path, O_RDWR | O_CLOEXEC)};
    if (i.fd < 0) return CG_FILL_FAILED;
    cg_fill_result result = fill(&i, w);
    int error = errno;
    bool closed = close(i.fd) == 0;
    if (!closed && result == CG_FILL_DONE) return CG_FILL_FAILED;
    errno = error;
    return result;
}
