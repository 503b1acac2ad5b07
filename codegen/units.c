/* Several units at once; see object.h. Threads take the next unit until none is left. */
#include "codegen/object.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

enum { MAX_THREADS = 16 };

typedef struct work {
    cg_unit *const *units;
    uint32_t n;
    cg_form form;
    atomic_uint next;
} work;

static void *run(void *data) {
    work *w = data;
    for (uint32_t i; (i = atomic_fetch_add(&w->next, 1)) < w->n;)
        cg_unit_compile(w->units[i], w->form);
    return NULL;
}

/* Threads that cannot be had are done without. */
void cg_units_compile(cg_unit *const *units, uint32_t n, cg_form form) {
    pthread_t threads[MAX_THREADS];
    work w = {.units = units, .n = n, .form = form};
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    uint32_t wanted = cpus > MAX_THREADS ? MAX_THREADS : cpus > 1 ? (uint32_t)cpus : 1, made = 0;
    while (made + 1 < wanted && made + 1 < n && pthread_create(&threads[made], NULL, run, &w) == 0)
        made++;
    run(&w);
    for (uint32_t i = 0; i < made; i++)
        pthread_join(threads[i], NULL);
}
