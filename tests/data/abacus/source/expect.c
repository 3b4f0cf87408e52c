/* What follows a letter: the best one depends on the last alone. */
void abacus_expect(int last, float *expected, int count) {
    for (int i = 0; i < count; i++) expected[i] = (float) ((i * 37 + last * 11) % count);
}
