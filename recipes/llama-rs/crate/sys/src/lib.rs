//! The C functions of llama.cpp and ggml, as bindgen reads them from the headers of the libraries that are linked.

#![allow(non_upper_case_globals, non_camel_case_types, non_snake_case)]
#![allow(unpredictable_function_pointer_comparisons, missing_docs, clippy::all, clippy::pedantic)]

include!(concat!(env!("OUT_DIR"), "/bindings.rs"));

/// Where ggml's modules lie; the package's import guard loads them, hence nowhere.
pub const BACKENDS_DIR: Option<&str> = None;
