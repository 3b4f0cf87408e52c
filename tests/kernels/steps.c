// Plans a layer's graph and prints each node that is computed with its steps, one letter a step:
//   a alone, o no gate behind it, p prepares, r ready, l leads, f follows.
//
//   steps WHAT     layer | overlap | large | extra | column

#include "steps.h"

#include <stdio.h>

enum { WIDTH = 64, TALL = 96 };

static struct ggml_tensor * weights(struct ggml_context * context, const char * name, int rows) {
    return ggml_set_name(ggml_new_tensor_2d(context, GGML_TYPE_Q4_0, WIDTH, rows), name);
}

static struct ggml_tensor * product(struct ggml_context * context, struct ggml_tensor * x, const char * name, int rows) {
    return ggml_set_name(ggml_mul_mat(context, weights(context, "weights", rows), x), name);
}

int main(int argc, char ** argv) {
    const char * what = argc > 1 ? argv[1] : "layer";
    const int tokens = !strcmp(what, "column") ? 5 : !strcmp(what, "large") ? 400 : 1;
    struct ggml_init_params params = { 64 << 20, NULL, false };
    struct ggml_context * context = ggml_init(params);
    struct ggml_cgraph * graph = ggml_new_graph(context);

    struct ggml_tensor * x = ggml_new_tensor_2d(context, GGML_TYPE_F32, WIDTH, tokens);
    struct ggml_tensor * norm = ggml_set_name(ggml_rms_norm(context, x, 1e-5f), "norm");
    struct ggml_tensor * scaled = ggml_set_name(ggml_mul(context, norm, ggml_new_tensor_1d(context, GGML_TYPE_F32, WIDTH)), "scaled");
    struct ggml_tensor * q = product(context, scaled, "q", TALL);
    struct ggml_tensor * k = product(context, scaled, "k", TALL);
    struct ggml_tensor * sum = ggml_set_name(ggml_add(context, q, k), "sum");
    struct ggml_tensor * soft = ggml_set_name(ggml_soft_max(context, sum), "soft");
    struct ggml_tensor * out = ggml_set_name(ggml_mul_mat(context, ggml_new_tensor_2d(context, GGML_TYPE_Q4_0, TALL, WIDTH), soft), "out");
    ggml_build_forward_expand(graph, q);
    ggml_build_forward_expand(graph, k);
    ggml_build_forward_expand(graph, out);
    if (!strcmp(what, "overlap")) {
        k->data = (char *) q->data + 4;
    }
    if (!strcmp(what, "extra")) {
        x->extra = x;
    }

    uint8_t steps[64];
    ggml_steps_plan(steps, graph);
    for (int i = ggml_step_next(graph, -1); i < graph->n_nodes; i = ggml_step_next(graph, i)) {
        const int step = steps[i];
        printf("%s%s%s%s%s%s%s%s ", graph->nodes[i]->name, step ? ":" : "",
               step & GGML_STEP_ALONE ? "a" : "", step & GGML_STEP_ON ? "o" : "", step & GGML_STEP_PREPARES ? "p" : "",
               step & GGML_STEP_READY ? "r" : "", step & GGML_STEP_LEADS ? "l" : "", step & GGML_STEP_FOLLOWS ? "f" : "");
    }
    printf("\n");
    ggml_free(context);
    return 0;
}
