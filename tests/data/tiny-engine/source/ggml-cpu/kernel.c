/* The one unit that is compiled for the CPU, and what it says of itself. */
float tiny_kernel(const float *values, int count) {
    float sum = 0;
    for (int i = 0; i < count; i++) sum += values[i] * values[i];
    return sum;
}

#ifdef __SSE4_2__
/* Nothing calls it: it is here so that a kernel for SSE4.2 has an instruction of it. */
unsigned tiny_hash(unsigned value) { return __builtin_ia32_crc32si(0, value); }
#endif

const char *tiny_system_info(void) {
    return "CPU : "
#ifdef __SSE3__
        "SSE3 = 1 | "
#endif
#ifdef __SSSE3__
        "SSSE3 = 1 | "
#endif
#ifdef __AVX__
        "AVX = 1 | "
#endif
#ifdef __AVXVNNI__
        "AVX_VNNI = 1 | "
#endif
#ifdef __AVX2__
        "AVX2 = 1 | "
#endif
#ifdef __F16C__
        "F16C = 1 | "
#endif
#ifdef __FMA__
        "FMA = 1 | "
#endif
#ifdef __BMI2__
        "BMI2 = 1 | "
#endif
#ifdef __AVX512F__
        "AVX512 = 1 | "
#endif
#ifdef __AVX512VBMI__
        "AVX512_VBMI = 1 | "
#endif
#ifdef __AVX512VNNI__
        "AVX512_VNNI = 1 | "
#endif
#ifdef __AVX512BF16__
        "AVX512_BF16 = 1 | "
#endif
#ifdef __AMX_INT8__
        "AMX_INT8 = 1 | "
#endif
        ;
}
