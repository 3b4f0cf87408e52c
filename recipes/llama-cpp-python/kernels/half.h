#pragma once
// Products of weights of F16 with activations of F32, as they are.

#include "ggml.h"

struct ggml_compute_params;

namespace panel {

// Whether MUL_MAT `dst` is computed here.
bool takes_halves(const ggml_tensor * dst);

// Compute it; every thread of the pool calls it.
void mul_mat_halves(const ggml_compute_params * params, ggml_tensor * dst);

} // namespace panel
