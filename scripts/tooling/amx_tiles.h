// Compiled before each C++ file of llama.cpp; see wheel.py.
//
// Up to GCC 13 the compiler's own _tile_loadconfig says that it reads 8 bytes. It reads 64: where one fills a
// configuration and loads it at once, as llama.cpp does, the rest is thrown away as never read, and the first
// multiplication of tiles ends in a segmentation fault. This one says what it reads.
#pragma once

#if defined(__cplusplus) && defined(__AMX_TILE__)
#include <immintrin.h>

#undef _tile_loadconfig
#define _tile_loadconfig(config) forebay_tile_loadconfig(config)

static inline void forebay_tile_loadconfig(const void *config) {
    __asm__ volatile("ldtilecfg\t%0" : : "m"(*static_cast<const char(*)[64]>(config)));
}
#endif
