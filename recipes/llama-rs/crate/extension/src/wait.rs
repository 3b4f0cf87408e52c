//! Wait for the worker without the GIL, and look for signals meanwhile.

use std::time::Duration;

use llama_rs_core::Pending;
use pyo3::prelude::*;

use crate::convert::raise;

/// How long Ctrl-C goes unnoticed at most.
pub const PATIENCE: Duration = Duration::from_millis(50);

/// Wait for a result. A signal that raises cancels the work, and the exception leaves when the worker is free again.
pub fn wait<T: Send>(py: Python<'_>, pending: llama_rs_core::Result<Pending<T>>) -> PyResult<T> {
    let mut pending = pending.map_err(raise)?;
    loop {
        let (returned, result) = py.detach(move || {
            let result = pending.wait(PATIENCE);
            (pending, result)
        });
        if let Some(result) = result {
            return result.map_err(raise);
        }
        pending = returned;
        if let Err(interrupt) = py.check_signals() {
            pending.cancel();
            py.detach(move || while pending.has_begun() && pending.wait(PATIENCE).is_none() {});
            return Err(interrupt);
        }
    }
}
