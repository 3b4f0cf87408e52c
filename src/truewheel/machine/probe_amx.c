/* Multiplies two int8 tiles. gcc 12.2's amxtileintrin.h tells the optimizer that _tile_loadconfig reads 8 bytes
   of the 64: the other stores are dropped, and the first tile load is then an illegal instruction. */
#include <stdio.h>
#if defined(__AMX_TILE__) && defined(__AMX_INT8__)
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>
struct tile_config { unsigned char palette, start; unsigned char reserved[14]; unsigned short columns[16]; unsigned char rows[16]; };
static signed char left[16][64], right[16][64];
static int result[16][16];
/* Apart from the code that uses the tiles, as in a real kernel: then nothing else keeps the stores alive. */
static __attribute__((noinline)) void configure(void) {
    __attribute__((aligned(64))) struct tile_config config = {0};
    config.palette = 1;
    config.rows[0] = 16; config.columns[0] = 64;
    config.rows[3] = 16; config.columns[3] = 64;
    config.rows[7] = 16; config.columns[7] = 64;
    _tile_loadconfig(&config);
}
static __attribute__((noinline)) void multiply(void) {
    _tile_zero(0);
    _tile_loadd(3, left, 64);
    _tile_loadd(7, right, 64);
    _tile_dpbssd(0, 3, 7);
    _tile_stored(0, result, 64);
    _tile_release();
}
int main(int argc, char **argv) {
    (void) argv;
    /* ARCH_REQ_XCOMP_PERM for XTILEDATA: without the kernel's permission no tile may be used at all. */
    if (syscall(SYS_arch_prctl, 0x1023, 18) != 0) { puts("refused"); return 0; }
    for (int i = 0; i < 16; i++) for (int j = 0; j < 64; j++) { left[i][j] = (signed char) (i + argc); right[i][j] = 2; }
    configure();
    multiply();
    for (int i = 0; i < 16; i++) for (int j = 0; j < 16; j++) if (result[i][j] != (i + argc) * 2 * 64) { puts("wrong"); return 1; }
}
#else
int main(void) { return 0; }
#endif
