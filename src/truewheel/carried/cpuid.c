/* Reads CPUID and XCR0 for the import guard. Plain x86-64, no run-time library, nothing else. */
#include <stdint.h>

__attribute__((visibility("default"))) void truewheel_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t *result) {
    __asm__ volatile("cpuid" : "=a"(result[0]), "=b"(result[1]), "=c"(result[2]), "=d"(result[3]) : "a"(leaf), "c"(subleaf));
}

/* Only to be called when CPUID leaf 1 says OSXSAVE. */
__attribute__((visibility("default"))) uint64_t truewheel_xcr0(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return ((uint64_t) high << 32) | low;
}
