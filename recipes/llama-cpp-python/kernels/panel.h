#pragma once
// Products of quantized weights with activations, in bytes. See docs/concepts/kernels.md.

#include "ggml.h"

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ggml_compute_params;

// Whether products with weights of this type are computed here, from the layout of the file: repacking them would
// double their memory for nothing.
bool ggml_panel_takes(enum ggml_type type);

// Bytes of work space for MUL_MAT or MUL_MAT_ID `dst` with so many threads; 0 where it is not computed here.
size_t ggml_panel_work_size(int n_threads, const struct ggml_tensor * dst);

// Compute MUL_MAT `dst`; every thread of the pool calls it. False where it is not computed here.
bool ggml_panel_mul_mat(const struct ggml_compute_params * params, struct ggml_tensor * dst);

// Whether MUL_MAT `dst` has so few columns that its weights are used as they are unpacked: then one thread alone may
// quantize the activations ahead of it, and it may be computed together with others.
bool ggml_panel_takes_few(const struct ggml_tensor * dst);

// Whether two of those multiply the same activations, quantized alike.
bool ggml_panel_same_right(const struct ggml_tensor * one, const struct ggml_tensor * other);

// Quantize the activations of one of those; one thread calls it, before all wait for each other and compute the
// product with GGML_STEP_READY.
void ggml_panel_prepare(const struct ggml_compute_params * params, const struct ggml_tensor * dst);

// Compute several of those that multiply the same activations; every thread of the pool calls it.
void ggml_panel_mul_mat_few(const struct ggml_compute_params * params, struct ggml_tensor * const * dsts, int count);

// The same as ggml_panel_mul_mat for MUL_MAT_ID.
bool ggml_panel_mul_mat_id(const struct ggml_compute_params * params, struct ggml_tensor * dst);

// What these kernels are, for an account of the backend: "avx512-vnni", "avx512", "avx-vnni", "avx2", or "none" where
// the instruction set has none or TRUEWHEEL_KERNELS=upstream switched them off.
const char * ggml_panel_name(void);

#ifdef __cplusplus
}
#endif
