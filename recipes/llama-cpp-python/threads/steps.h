#pragma once

// Which nodes of a graph are computed without waiting for each other in between.
//
// A single token's graph has hundreds of nodes of a few thousand numbers. To share one of those out takes longer than to
// compute it: so one member computes it alone, and whatever follows alone as well, while the others wait at the next gate
// once. Alone it also quantizes the activations of the product behind that gate. Products that lie behind one another and
// multiply the same activations are computed as one.

#include "ggml.h"
#include "ggml-cpu-impl.h"
#include "panel/panel.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

// Besides those of ggml_compute_params
enum {
    GGML_STEP_ALONE    = 4,   // one member computes it
    GGML_STEP_ON       = 8,   // no gate lies behind it
    GGML_STEP_LEADS    = 16,  // the products behind it that follow are computed with it
    GGML_STEP_FOLLOWS  = 32,
    GGML_STEP_PREPARES = 64,  // whoever computes it quantizes the activations of the product behind it
};

#define GGML_STEP_MOST_ALONE 16384  // numbers: the widest single token of models that are run on a CPU; not tuned
#define GGML_STEP_MOST_ROWS  4      // tokens, where an operation costs more
#define GGML_STEP_MOST_GROUP 8

static bool ggml_step_computes(const struct ggml_tensor * node) {
    return !ggml_op_is_empty(node->op) && (node->flags & GGML_TENSOR_FLAG_COMPUTE) != 0;
}

// The next node that is computed, or the number of nodes.
static int ggml_step_next(const struct ggml_cgraph * graph, int i) {
    do {
        i++;
    } while (i < graph->n_nodes && !ggml_step_computes(graph->nodes[i]));
    return i;
}

// Whether one member computes it alone: operations that wait for nobody within them, and are soon done.
static bool ggml_step_alone(const struct ggml_tensor * node) {
    if (node->src[0] == NULL || node->src[0]->extra != NULL) {
        return false;
    }
    switch (node->op) {
        case GGML_OP_ADD:
        case GGML_OP_SUB:
        case GGML_OP_MUL:
        case GGML_OP_SCALE:
        case GGML_OP_NORM:
        case GGML_OP_RMS_NORM:
        case GGML_OP_L2_NORM:
        case GGML_OP_CPY:
        case GGML_OP_CONT:
        case GGML_OP_GET_ROWS:
        case GGML_OP_SET_ROWS:
        case GGML_OP_UNARY:
        case GGML_OP_GLU:
            // of SET_ROWS the result is the whole cache, of which it changes as much as it is given
            return ggml_nelements(node->op == GGML_OP_SET_ROWS ? node->src[0] : node) <= GGML_STEP_MOST_ALONE;
        case GGML_OP_ROPE:
            return ggml_nelements(node) <= GGML_STEP_MOST_ALONE && node->ne[2] * node->ne[3] <= GGML_STEP_MOST_ROWS;
        default:
            return false;
    }
}

static bool ggml_step_apart(const struct ggml_tensor * one, const struct ggml_tensor * other) {
    const char * a = (const char *) one->data;
    const char * b = (const char *) other->data;
    return a + ggml_nbytes(one) <= b || b + ggml_nbytes(other) <= a;
}

// Whether a product may be computed together with those from `leader` on.
static bool ggml_step_follows(const struct ggml_cgraph * graph, int leader, int i) {
    const struct ggml_tensor * node = graph->nodes[i];
    int count = 1;
    for (int j = leader; j < i; j = ggml_step_next(graph, j)) {
        count++;
        if (!ggml_panel_same_right(graph->nodes[j], node) || !ggml_step_apart(graph->nodes[j], node)) {
            return false;
        }
    }
    return count <= GGML_STEP_MOST_GROUP && ggml_step_apart(node->src[1], node);
}

// Work out the steps of a graph, one for each node.
static void ggml_steps_plan(uint8_t * steps, const struct ggml_cgraph * graph) {
    memset(steps, 0, graph->n_nodes);
    int before = -1, leader = -1;
    for (int i = ggml_step_next(graph, -1); i < graph->n_nodes; before = i, i = ggml_step_next(graph, i)) {
        const struct ggml_tensor * node = graph->nodes[i];
        if (ggml_step_alone(node)) {
            steps[i] |= GGML_STEP_ALONE;
            if (before >= 0 && (steps[before] & GGML_STEP_ALONE)) {
                steps[before] |= GGML_STEP_ON;
            }
        } else if (ggml_panel_takes_few(node)) {
            if (before >= 0 && (steps[before] & GGML_STEP_ALONE)) {
                steps[before] |= GGML_STEP_PREPARES;
                steps[i] |= GGML_STEP_READY;
            }
            if (leader >= 0 && ggml_step_follows(graph, leader, i)) {
                steps[leader] |= GGML_STEP_LEADS;
                steps[before] |= GGML_STEP_ON;
                steps[i] |= GGML_STEP_FOLLOWS;
            } else {
                leader = i;
            }
            continue;
        }
        leader = -1;
    }
}
