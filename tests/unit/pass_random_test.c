/* The default pipeline on a few hundred random graphs: tests/fuzz/fuzz_passes.c with fixed seeds. It aborts on a finding, naming the
 * seed. */
#include "ir/base/hash.h"
#include "tests/fuzz/fuzz_passes.c"
#include "tests/support/check.h"
#include "tests/support/random_graph.c"

#include <signal.h>

enum { SEEDS = 500, BYTES = 300 };

static uint64_t current;

static void name_seed(int signal_number) {
    (void)signal_number;
    fprintf(stderr, "seed %llu\n", (unsigned long long)current);
}

static void run_seed(uint64_t seed) {
    uint8_t bytes[BYTES];
    for (uint32_t i = 0; i < BYTES; i++)
        bytes[i] = (uint8_t)(tl_hash_mix(seed, i) >> 13);
    size_t n = 20 + tl_hash_mix(seed, 999) % (BYTES - 20);
    LLVMFuzzerTestOneInput(bytes, n);
    check_passed++;
}

int main(int argc, char **argv) {
    signal(SIGABRT, name_seed);
    if (argc > 1) run_seed(strtoull(argv[1], NULL, 10));
    for (uint64_t seed = 1; seed <= SEEDS && argc == 1; seed++) {
        current = seed;
        run_seed(seed);
    }
    return check_done();
}
