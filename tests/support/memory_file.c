#define _GNU_SOURCE /* memfd_create */
#include "tests/support/memory_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

void memory_file_open(memory_file *f, const void *data, size_t size) {
    f->fd = memfd_create("test", MFD_CLOEXEC);
    if (f->fd < 0 || write(f->fd, data, size) != (ssize_t)size) abort();
    snprintf(f->path, sizeof f->path, "/proc/self/fd/%d", f->fd);
}

void memory_file_close(memory_file *f) {
    close(f->fd);
}
