/* 64-bit hashing of bytes and words; stable across runs and machines (content hashes are printed in text IR). */
#ifndef TLBC_IR_BASE_HASH_H
#define TLBC_IR_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

/* Mixes one word into a running hash (the finaliser of splitmix64). */
static inline uint64_t tl_hash_mix(uint64_t h, uint64_t x) {
    h ^= x + 0x9e3779b97f4a7c15u + (h << 6) + (h >> 2);
    h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9u;
    h = (h ^ (h >> 27)) * 0x94d049bb133111ebu;
    return h ^ (h >> 31);
}

uint64_t tl_hash_bytes(uint64_t seed, const void *data, size_t n);

#endif
