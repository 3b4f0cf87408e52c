/* Compiled for exactly this CPU and run: a compiler that guesses the CPU wrong dies here, not in a user's program. */
#include <stdio.h>
static float a[1024], b[1024];
static int n[1024];
int main(int argc, char **argv) {
    long sum = 0; float dot = 0; (void) argv;
    for (int i = 0; i < 1024; i++) { a[i] = (float) (i % 7 * argc); b[i] = (float) (i % 5); n[i] = __builtin_popcount((unsigned) i); }
    for (int i = 0; i < 1024; i++) { dot += a[i] * b[i]; sum += n[i]; }
    printf("%ld %d\n", sum, (int) dot);
    return 0;
}
