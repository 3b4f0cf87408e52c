/* The engine: it loads one kernel, once, from the file that it is told. */
#include <dlfcn.h>
#include <stddef.h>
#include <stdio.h>

typedef void (*listener)(int, const char *, void *);
static listener told;
static float (*kernel)(const float *values, int count);
static const char *(*info)(void);

void ggml_log_set(listener to, void *data) {
    (void) data;
    told = to;
}

void *ggml_backend_load(const char *path) {
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL) {
        if (told != NULL) told(4, dlerror(), NULL);
        return NULL;
    }
    kernel = (float (*)(const float *, int)) dlsym(handle, "tiny_kernel");
    info = (const char *(*)(void)) dlsym(handle, "tiny_system_info");
    return kernel != NULL && info != NULL ? handle : NULL;
}

const char *tiny_system_info(void) {
    return info != NULL ? info() : "no backend was loaded";
}

/* Scores for the next token: which one is best depends on the last token alone. */
void tiny_logits(int last, float *logits, int count) {
    for (int i = 0; i < count; i++) logits[i] = (float) ((i * 37 + last * 11) % count);
    logits[0] += kernel(logits, count) * 1e-9f;
}
