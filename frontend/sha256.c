/* SHA-256 in plain C, straight from the standard. */
#include "frontend/sha256.h"

#include <string.h>

enum { BLOCK = 64, LENGTH_AT = 56 };

/* The first 32 bits of the fractional parts of the cube roots of the first 64 primes. */
static const uint32_t round_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t rotate(uint32_t x, unsigned n) {
    return x >> n | x << (32 - n);
}

static uint32_t load_big(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void expand(const uint8_t *block, uint32_t w[64]) {
    for (unsigned i = 0; i < 16; i++)
        w[i] = load_big(block + 4 * i);
    for (unsigned i = 16; i < 64; i++) {
        uint32_t a = w[i - 15], b = w[i - 2];
        uint32_t s0 = rotate(a, 7) ^ rotate(a, 18) ^ a >> 3;
        uint32_t s1 = rotate(b, 17) ^ rotate(b, 19) ^ b >> 10;
        w[i] = w[i - 16] + s0 + w[i - 7] + s1;
    }
}

/* One round. v is read from `at` on, around: shifting the roles instead of the eight words. */
static inline void round_step(uint32_t v[8], unsigned at, uint32_t key) {
    uint32_t *a = &v[-at & 7], *d = &v[(3 - at) & 7], *h = &v[(7 - at) & 7];
    uint32_t b = v[(1 - at) & 7], c = v[(2 - at) & 7];
    uint32_t e = v[(4 - at) & 7], f = v[(5 - at) & 7], g = v[(6 - at) & 7];
    uint32_t t = *h + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + ((e & f) ^ (~e & g)) + key;
    *d += t;
    *h = t + (rotate(*a, 2) ^ rotate(*a, 13) ^ rotate(*a, 22)) + ((*a & b) ^ (*a & c) ^ (b & c));
}

static void compress(uint32_t h[8], const uint8_t *block) {
    uint32_t w[64], v[8];
    expand(block, w);
    memcpy(v, h, sizeof v);
    for (unsigned i = 0; i < 64; i += 8) {
        round_step(v, 0, w[i] + round_constants[i]);
        round_step(v, 1, w[i + 1] + round_constants[i + 1]);
        round_step(v, 2, w[i + 2] + round_constants[i + 2]);
        round_step(v, 3, w[i + 3] + round_constants[i + 3]);
        round_step(v, 4, w[i + 4] + round_constants[i + 4]);
        round_step(v, 5, w[i + 5] + round_constants[i + 5]);
        round_step(v, 6, w[i + 6] + round_constants[i + 6]);
        round_step(v, 7, w[i + 7] + round_constants[i + 7]);
    }
    for (unsigned i = 0; i < 8; i++)
        h[i] += v[i];
}

void fe_sha256(const void *data, size_t size, uint8_t digest[32]) {
    uint32_t h[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                     0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    const uint8_t *p = data;
    size_t left = size;
    for (; left >= BLOCK; p += BLOCK, left -= BLOCK)
        compress(h, p);
    uint8_t tail[2 * BLOCK] = {0};
    if (left) memcpy(tail, p, left);
    tail[left] = 0x80;
    size_t tail_size = left < LENGTH_AT ? BLOCK : 2 * BLOCK;
    for (unsigned i = 0; i < 8; i++)
        tail[tail_size - 1 - i] = (uint8_t)((uint64_t)size * 8 >> (8 * i));
    compress(h, tail);
    if (tail_size > BLOCK) compress(h, tail + BLOCK);
    for (unsigned i = 0; i < 32; i++)
        digest[i] = (uint8_t)(h[i / 4] >> (24 - 8 * (i % 4)));
}
