/* Scores for the next token: which one is best depends on the last token alone. */
float tiny_kernel(const float *values, int count);

void tiny_logits(int last, float *logits, int count) {
    for (int i = 0; i < count; i++) logits[i] = (float) ((i * 37 + last * 11) % count);
    logits[0] += tiny_kernel(logits, count) * 1e-9f;
}
