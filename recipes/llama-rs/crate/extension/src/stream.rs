//! The iterator over the parts of a completion.

use std::sync::{Mutex, PoisonError};

use llama_rs_core::{Error, Part, Stream as CoreStream};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::convert::{raise, write_part};
use crate::wait::PATIENCE;

/// The parts of a completion. Dropping or closing it cancels what is left of it.
#[pyclass(frozen, module = "llama_rs._native")]
pub struct Stream {
    /// None once the last part was read.
    parts: Mutex<Option<CoreStream>>,
}

/// What one wait brought.
enum Waited {
    Part(Part),
    Error(Error),
    Nothing,
    End,
}

impl Stream {
    pub fn new(parts: CoreStream) -> Self {
        Self { parts: Mutex::new(Some(parts)) }
    }

    fn wait(&self) -> Waited {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = match parts.as_ref().map(|stream| stream.wait(PATIENCE)) {
            Some(None) => return Waited::Nothing,
            Some(Some(Ok(part))) if part.end.is_none() => return Waited::Part(part),
            Some(Some(Ok(last))) => Waited::Part(last),
            // read to the end, or closed
            None | Some(Some(Err(Error::Cancelled))) => Waited::End,
            Some(Some(Err(error))) => Waited::Error(error),
        };
        *parts = None;
        waited
    }

    /// Stop, and wait until the worker is free again.
    fn interrupt(&self) {
        let parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(parts) = parts else { return };
        parts.cancel();
        let is_running = |result: Option<Result<Part, Error>>| match result {
            None => true,
            Some(Ok(part)) => part.end.is_none(),
            Some(Err(_)) => false,
        };
        while parts.has_begun() && is_running(parts.wait(PATIENCE)) {}
    }
}

#[pymethods]
impl Stream {
    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
        loop {
            match py.detach(|| self.wait()) {
                Waited::Part(part) => return write_part(py, &part).map(Some),
                Waited::Error(error) => return Err(raise(error)),
                Waited::End => return Ok(None),
                Waited::Nothing => {}
            }
            if let Err(interrupt) = py.check_signals() {
                py.detach(|| self.interrupt());
                return Err(interrupt);
            }
        }
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| drop(self.parts.lock().unwrap_or_else(PoisonError::into_inner).take()));
    }
}
