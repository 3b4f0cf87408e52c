//! `llama_rs._native`: the engine as Python sees it. The contract stands in `python/llama_rs/_native.pyi`.

// PyO3's macros write code that these lints do not fit
#![allow(missing_docs, clippy::needless_pass_by_value, clippy::too_many_arguments, clippy::fn_params_excessive_bools)]
// the names are those of the contract
#![allow(clippy::similar_names)]

mod convert;
mod engine;
mod stream;
mod wait;

use pyo3::prelude::*;

#[cfg(all(feature = "mimalloc", feature = "jemalloc"))]
compile_error!("mimalloc and jemalloc are both allocators; choose one");

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[pymodule]
mod _native {
    #[pymodule_export]
    use super::convert::EngineError;
    #[pymodule_export]
    use super::engine::{bench, check_sampling, system_info, Engine};
    #[pymodule_export]
    use super::stream::Stream;

    use llama_rs_core::{ContextSettings, ModelSettings, Sampling};
    use pyo3::prelude::*;
    use pyo3::types::PyTuple;

    #[pymodule_init]
    fn name_settings(module: &Bound<'_, PyModule>) -> PyResult<()> {
        let engine = [ModelSettings::NAMES, ContextSettings::NAMES].concat();
        module.add("ENGINE_SETTINGS", PyTuple::new(module.py(), engine)?)?;
        module.add("SAMPLING_SETTINGS", PyTuple::new(module.py(), Sampling::NAMES)?)
    }
}
