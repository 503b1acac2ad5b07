/* SHA-256 (FIPS 180-4): names the model file a compiled model was made from. */
#ifndef TLBC_FRONTEND_SHA256_H
#define TLBC_FRONTEND_SHA256_H

#include <stddef.h>
#include <stdint.h>

void fe_sha256(const void *data, size_t size, uint8_t digest[32]);

#endif
