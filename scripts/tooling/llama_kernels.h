// Compiled before each C++ file of llama.cpp; see wheel.py.
#pragma once

#if defined(__cplusplus) && defined(__AVX512F__)
#include <immintrin.h>

// Where the processor computes with halves, llama.cpp takes 128 of them at once and what is left over one by one, each
// looked up in a table. Heads of many small models have 64 numbers: all of them are left over. Without this it widens
// them to floats, 16 at once, and adds those up, which is closer to the truth as well.
#undef __AVX512FP16__
#endif

#if defined(__cplusplus) && defined(__AMX_TILE__)
#include <immintrin.h>

// Up to GCC 13 the compiler's own _tile_loadconfig says that it reads 8 bytes. It reads 64: where one fills a
// configuration and loads it at once, as llama.cpp does, the rest is thrown away as never read, and the first
// multiplication of tiles ends in a segmentation fault. This one says what it reads.
#undef _tile_loadconfig
#define _tile_loadconfig(config) forebay_tile_loadconfig(config)

static inline void forebay_tile_loadconfig(const void *config) {
    __asm__ volatile("ldtilecfg\t%0" : : "m"(*static_cast<const char(*)[64]>(config)));
}
#endif
