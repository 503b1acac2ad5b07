/* Bytes as a file, for readers that want a path. */
#ifndef TLBC_TESTS_MEMORY_FILE_H
#define TLBC_TESTS_MEMORY_FILE_H

#include <stddef.h>

typedef struct memory_file {
    int fd;
    char path[32];
} memory_file;

void memory_file_open(memory_file *f, const void *data, size_t size); /* aborts where it cannot */
void memory_file_close(memory_file *f);

#endif
