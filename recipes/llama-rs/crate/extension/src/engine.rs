//! The class `Engine`: each method converts its arguments, sends them to the worker and waits.

use std::path::PathBuf;
use std::sync::Arc;

use llama_rs_core as core;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::convert::{
    raise, read_count, read_options, read_sampling, read_tokens, read_values, write_bytes, write_facts, write_part,
};
use crate::stream::Stream;
use crate::wait::wait;

/// A text of this length is tokenized fast enough to keep the caller from noticing Ctrl-C no longer than elsewhere.
const LONG_TEXT: usize = 1 << 20;

/// A model with its context, owned by one worker thread; calls from several threads wait for each other.
#[pyclass(frozen, module = "llama_rs._native")]
pub struct Engine {
    engine: core::Engine,
}

#[pymethods]
impl Engine {
    #[new]
    #[pyo3(signature = (path, **settings), text_signature = "(path, **settings)")]
    fn new(py: Python<'_>, path: PathBuf, settings: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let given = settings.map_or_else(|| Ok(Vec::new()), read_values)?;
        let (model, context) = core::settings::read(&given).map_err(raise)?;
        let (engine, pending) = core::Engine::load(path, model, context).map_err(raise)?;
        wait(py, Ok(pending))?;
        Ok(Self { engine })
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| self.engine.close());
    }

    #[getter]
    fn closed(&self) -> bool {
        self.engine.is_closed()
    }

    fn settings<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let loaded = self.engine.loaded().map_err(raise)?;
        let (n_threads, n_threads_batch) = wait(py, self.engine.n_threads())?;
        let written = PyDict::new(py);
        let sizes = loaded.sizes.map(|(sizes, _)| sizes);
        for (index, name) in ["n_ctx", "n_batch", "n_ubatch", "n_seq_max"].into_iter().enumerate() {
            written.set_item(name, sizes.map(|sizes| sizes[index]))?;
        }
        written.set_item("n_threads", sizes.map(|_| n_threads))?;
        written.set_item("n_threads_batch", sizes.map(|_| n_threads_batch))?;
        written.set_item("pooling_type", loaded.sizes.map(|(_, pooling_type)| pooling_type))?;
        write_facts(&loaded.facts, &written)?;
        Ok(written)
    }

    fn load_log(&self) -> PyResult<&str> {
        Ok(&self.engine.loaded().map_err(raise)?.log)
    }

    fn load_ms(&self) -> PyResult<f64> {
        Ok(self.engine.loaded().map_err(raise)?.load_ms)
    }

    fn metadata<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let written = PyDict::new(py);
        for (key, value) in &self.engine.loaded().map_err(raise)?.metadata {
            written.set_item(key, value)?;
        }
        Ok(written)
    }

    fn describe<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let description = &self.engine.loaded().map_err(raise)?.description;
        let written = PyDict::new(py);
        written.set_item("n_vocab", description.n_vocab)?;
        written.set_item("n_embd", description.n_embd)?;
        written.set_item("n_ctx_train", description.n_ctx_train)?;
        written.set_item("n_layer", description.n_layer)?;
        written.set_item("n_params", description.n_params)?;
        written.set_item("size", description.size)?;
        written.set_item("vocab_type", description.vocab_type)?;
        written.set_item("add_bos", description.add_bos)?;
        written.set_item("add_eos", description.add_eos)?;
        for (name, token) in description.special {
            written.set_item(name, token)?;
        }
        Ok(written)
    }

    fn is_eog(&self, token: &Bound<'_, PyAny>) -> PyResult<bool> {
        let token = crate::convert::read_int("token", token)?;
        self.engine.is_eog(i32::try_from(token).unwrap_or(-1)).map_err(raise)
    }

    fn tokenize(&self, py: Python<'_>, text: &[u8], add_special: bool, parse_special: bool) -> PyResult<Vec<i32>> {
        if text.len() > LONG_TEXT {
            return wait(py, self.engine.tokenize_in_worker(text.to_vec(), add_special, parse_special));
        }
        py.detach(|| self.engine.tokenize(text, add_special, parse_special)).map_err(raise)
    }

    fn detokenize<'py>(
        &self,
        py: Python<'py>,
        tokens: &Bound<'py, PyAny>,
        remove_special: bool,
        unparse_special: bool,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let tokens = read_tokens(tokens)?;
        let text = py.detach(|| self.engine.detokenize(&tokens, remove_special, unparse_special)).map_err(raise)?;
        Ok(write_bytes(py, &text))
    }

    fn render_chat(&self, py: Python<'_>, template: &str, context_json: &str) -> PyResult<String> {
        self.engine.loaded().map_err(raise)?;
        py.detach(|| core::render_chat(template, context_json, Arc::new(format_now))).map_err(raise)
    }

    fn reset(&self, py: Python<'_>) -> PyResult<()> {
        wait(py, self.engine.reset())
    }

    fn eval(&self, py: Python<'_>, tokens: &Bound<'_, PyAny>) -> PyResult<()> {
        wait(py, self.engine.eval(read_tokens(tokens)?))
    }

    #[getter]
    fn n_tokens(&self) -> PyResult<usize> {
        self.engine.n_tokens().map_err(raise)
    }

    fn input_ids(&self, py: Python<'_>) -> PyResult<Vec<i32>> {
        wait(py, self.engine.input_ids())
    }

    fn truncate(&self, py: Python<'_>, n_tokens: &Bound<'_, PyAny>) -> PyResult<()> {
        wait(py, self.engine.truncate(read_count("n_tokens", n_tokens, 0)?))
    }

    #[pyo3(signature = (position=-1), text_signature = "($self, position=-1)")]
    fn logits<'py>(&self, py: Python<'py>, position: i64) -> PyResult<Bound<'py, PyBytes>> {
        Ok(write_bytes(py, &wait(py, self.engine.logits(position))?))
    }

    fn sample(&self, py: Python<'_>, sampling: &Bound<'_, PyDict>) -> PyResult<i32> {
        wait(py, self.engine.sample(read_sampling(sampling)?))
    }

    fn embed(&self, py: Python<'_>, inputs: Vec<Bound<'_, PyAny>>) -> PyResult<Vec<Vec<Vec<f32>>>> {
        let inputs = inputs.iter().map(read_tokens).collect::<PyResult<_>>()?;
        wait(py, self.engine.embed(inputs))
    }

    fn save_state<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        Ok(write_bytes(py, &wait(py, self.engine.save_state())?))
    }

    fn load_state(&self, py: Python<'_>, state: &[u8], input_ids: &Bound<'_, PyAny>) -> PyResult<()> {
        wait(py, self.engine.load_state(state.to_vec(), read_tokens(input_ids)?))
    }

    fn set_threads(&self, py: Python<'_>, n_threads: i64, n_threads_batch: i64) -> PyResult<()> {
        wait(py, self.engine.set_threads(n_threads, n_threads_batch))
    }

    fn complete<'py>(
        &self,
        py: Python<'py>,
        prompt: &Bound<'py, PyAny>,
        sampling: &Bound<'py, PyDict>,
        options: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let (prompt, sampling, options) = (read_tokens(prompt)?, read_sampling(sampling)?, read_options(options)?);
        let pending = py.detach(|| self.engine.complete(prompt, &sampling, options));
        write_part(py, &wait(py, pending)?)
    }

    fn stream(
        &self,
        py: Python<'_>,
        prompt: &Bound<'_, PyAny>,
        sampling: &Bound<'_, PyDict>,
        options: &Bound<'_, PyDict>,
    ) -> PyResult<Stream> {
        let (prompt, sampling, options) = (read_tokens(prompt)?, read_sampling(sampling)?, read_options(options)?);
        py.detach(|| self.engine.stream(prompt, &sampling, options)).map(Stream::new).map_err(raise)
    }
}

/// The time as Python's strftime writes it, so that templates see what jinja2 would give them.
fn format_now(format: &str) -> Result<String, String> {
    let call = |py: Python<'_>| py.import("time")?.call_method1("strftime", (format,))?.extract::<String>();
    Python::attach(|py| call(py).map_err(|error| error.to_string()))
}

/// Refuse settings of the samplers that no model takes, before a stream begins.
#[pyfunction]
pub fn check_sampling(sampling: &Bound<'_, PyDict>) -> PyResult<()> {
    read_sampling(sampling)?.check_bounds().map_err(raise)
}

/// What llama.cpp says about the CPU and its own build.
#[pyfunction]
pub fn system_info() -> PyResult<String> {
    core::system_info().map_err(raise)
}

/// Time one pass without sampling as llama-bench does: `prompt_ms` of `n_prompt` tokens, `predicted_ms` of `n_gen`.
#[pyfunction]
pub fn bench<'py>(
    py: Python<'py>,
    engine: &Engine,
    n_prompt: &Bound<'py, PyAny>,
    n_gen: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyDict>> {
    let (n_prompt, n_gen) = (read_count("n_prompt", n_prompt, 0)?, read_count("n_gen", n_gen, 0)?);
    let bench = wait(py, engine.engine.bench(n_prompt, n_gen))?;
    let written = PyDict::new(py);
    written.set_item("prompt_ms", bench.prompt_ms)?;
    written.set_item("predicted_ms", bench.predicted_ms)?;
    Ok(written)
}
