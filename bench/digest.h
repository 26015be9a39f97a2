/* SPDX-License-Identifier: MIT */
/* A file's digest, as sha256sum(1) or xxhsum(1) would print it: SHA-256 (FIPS 180-4, by nettle) or XXH64 (by libxxhash), as lower-case
 * hex. */
#ifndef FILCH_BENCH_DIGEST_H
#define FILCH_BENCH_DIGEST_H

#define XXH_STATIC_LINKING_ONLY /* the state's size, so that it can live on the stack */
#include <xxhash.h>
#include <nettle/sha2.h>
#include <stddef.h>
#include <stdint.h>

#define DIGEST_HEX (2 * SHA256_DIGEST_SIZE + 1)

enum digest_kind { DIGEST_SHA256, DIGEST_XXH64 };

struct digest {
    enum digest_kind kind;
    union {
        struct sha256_ctx sha256;
        XXH64_state_t xxh64;
    };
};

static inline void digest_init(struct digest *digest, enum digest_kind kind)
{
    digest->kind = kind;
    if (kind == DIGEST_SHA256)
        sha256_init(&digest->sha256);
    else
        XXH64_reset(&digest->xxh64, 0);
}

static inline void digest_update(struct digest *digest, const void *bytes, size_t count)
{
    if (digest->kind == DIGEST_SHA256)
        sha256_update(&digest->sha256, count, bytes);
    else
        XXH64_update(&digest->xxh64, bytes, count);
}

static inline void digest_end(struct digest *digest, char hex[DIGEST_HEX])
{
    uint8_t bytes[SHA256_DIGEST_SIZE];
    size_t length = sizeof bytes;
    if (digest->kind == DIGEST_SHA256) {
        sha256_digest(&digest->sha256, sizeof bytes, bytes);
    } else {
        XXH64_canonicalFromHash((XXH64_canonical_t *)bytes, XXH64_digest(&digest->xxh64));
        length = sizeof(XXH64_canonical_t);
    }
    for (size_t i = 0; i < length; i++) {
        *hex++ = "0123456789abcdef"[bytes[i] >> 4];
        *hex++ = "0123456789abcdef"[bytes[i] & 15];
    }
    *hex = 0;
}

#endif
