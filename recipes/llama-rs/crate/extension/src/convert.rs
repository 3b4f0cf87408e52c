//! Between Python's objects and the core's structures.

use llama_rs_core::{Error, FinishReason, LoadFacts, Options, Override, Part, Sampling, Timings, TokenLogprobs};
use pyo3::exceptions::{
    PyFileNotFoundError, PyMemoryError, PyOSError, PyOverflowError, PyPermissionError, PyRuntimeError, PyTypeError,
    PyValueError,
};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyString};

pyo3::create_exception!(llama_rs._native, EngineError, PyRuntimeError, "llama.cpp refused something.");

/// The exception for an error.
pub fn raise(error: Error) -> PyErr {
    match error {
        Error::Value(message) => PyValueError::new_err(message),
        Error::NotFound(message) => PyFileNotFoundError::new_err(message),
        Error::Permission(message) => PyPermissionError::new_err(message),
        Error::Io(message) => PyOSError::new_err(message),
        Error::Memory(message) => PyMemoryError::new_err(message),
        Error::Engine(message) => EngineError::new_err(message),
        Error::Cancelled => EngineError::new_err("the call was cancelled"),
    }
}

fn bad(message: impl Into<String>) -> PyErr {
    PyValueError::new_err(message.into())
}

/// An integer; those that no C type can hold are bad values like others.
pub fn read_int(name: &str, value: &Bound<'_, PyAny>) -> PyResult<i64> {
    value.extract().map_err(|error| explain(name, value, error))
}

fn read_float(name: &str, value: &Bound<'_, PyAny>) -> PyResult<f64> {
    value.extract().map_err(|error| explain(name, value, error))
}

fn explain(name: &str, value: &Bound<'_, PyAny>, error: PyErr) -> PyErr {
    if error.is_instance_of::<PyOverflowError>(value.py()) {
        return bad(format!("{name} is out of range: {value}"));
    }
    if error.is_instance_of::<PyTypeError>(value.py()) {
        return PyTypeError::new_err(format!("{name}: {}", error.value(value.py())));
    }
    error
}

/// Tokens of any sequence; the vocabulary decides later which of them exist.
pub fn read_tokens(tokens: &Bound<'_, PyAny>) -> PyResult<Vec<i32>> {
    match tokens.extract::<Vec<i32>>() {
        Err(error) if error.is_instance_of::<PyOverflowError>(tokens.py()) => {
            Err(bad("a token is not in the vocabulary: it does not fit into 32 bits"))
        }
        result => result,
    }
}

/// Overrides of metadata; the Python type decides which kind it is.
pub fn read_overrides(list: Vec<(String, Bound<'_, PyAny>)>) -> PyResult<Vec<(String, Override)>> {
    list.into_iter().map(|(key, value)| read_override(&key, &value).map(|value| (key, value))).collect()
}

fn read_override(key: &str, value: &Bound<'_, PyAny>) -> PyResult<Override> {
    // bool is a kind of int, so it is asked for first
    if let Ok(truth) = value.cast::<PyBool>() {
        Ok(Override::Bool(truth.is_true()))
    } else if value.is_instance_of::<PyInt>() {
        Ok(Override::Int(read_int(key, value)?))
    } else if value.is_instance_of::<PyFloat>() {
        Ok(Override::Float(value.extract()?))
    } else if value.is_instance_of::<PyString>() {
        Ok(Override::Text(value.extract()?))
    } else {
        Err(PyTypeError::new_err(format!("the kv_override of {key} must be a bool, an int, a float or a str")))
    }
}

/// The settings of the samplers; what is not named has `llama_cpp`'s default.
pub fn read_sampling(settings: &Bound<'_, PyDict>) -> PyResult<Sampling> {
    let mut sampling = Sampling::default();
    for (name, value) in settings {
        let name: String = name.extract()?;
        let (name, value) = (name.as_str(), &value);
        match name {
            "temperature" => sampling.temperature = read_float(name, value)?,
            "top_k" => sampling.top_k = read_int(name, value)?,
            "top_p" => sampling.top_p = read_float(name, value)?,
            "min_p" => sampling.min_p = read_float(name, value)?,
            "typical_p" => sampling.typical_p = read_float(name, value)?,
            "repeat_penalty" => sampling.repeat_penalty = read_float(name, value)?,
            "frequency_penalty" => sampling.frequency_penalty = read_float(name, value)?,
            "presence_penalty" => sampling.presence_penalty = read_float(name, value)?,
            "penalty_last_n" => sampling.penalty_last_n = read_int(name, value)?,
            "mirostat_mode" => sampling.mirostat_mode = read_int(name, value)?,
            "mirostat_tau" => sampling.mirostat_tau = read_float(name, value)?,
            "mirostat_eta" => sampling.mirostat_eta = read_float(name, value)?,
            // llama.cpp's seed is an unsigned number of 32 bits, and -1 is its largest
            "seed" => sampling.seed = read_int(name, value)? as u32,
            "logit_bias" if value.is_none() => sampling.logit_bias.clear(),
            "logit_bias" => sampling.logit_bias = read_biases(value.cast()?)?,
            "grammar" => sampling.grammar = value.extract()?,
            _ => return Err(bad(format!("unknown setting of the sampler: {name}"))),
        }
    }
    Ok(sampling)
}

fn read_biases(biases: &Bound<'_, PyDict>) -> PyResult<Vec<(i32, f32)>> {
    let read = |(token, bias): (Bound<'_, PyAny>, Bound<'_, PyAny>)| {
        let number = read_int("logit_bias", &token)?;
        let number = i32::try_from(number).map_err(|_| bad(format!("logit_bias has the token {number}")))?;
        Ok((number, read_float("logit_bias", &bias)? as f32))
    };
    biases.iter().map(read).collect()
}

/// When a completion ends.
pub fn read_options(settings: &Bound<'_, PyDict>) -> PyResult<Options> {
    let mut options = Options { max_tokens: None, stop: Vec::new(), logprobs: None, group: Some(1) };
    for (name, value) in settings {
        let name: String = name.extract()?;
        let (name, value) = (name.as_str(), &value);
        match name {
            _ if value.is_none() => {}
            "max_tokens" => options.max_tokens = usize::try_from(read_int(name, value)?).ok().filter(|most| *most > 0),
            "stop" => options.stop = value.extract()?,
            "logprobs" => options.logprobs = Some(read_count(name, value, 0)?),
            "group" => options.group = Some(read_count(name, value, 1)?),
            _ => return Err(bad(format!("unknown option of a completion: {name}"))),
        }
    }
    Ok(options)
}

/// A count that is at least `least`.
pub fn read_count(name: &str, value: &Bound<'_, PyAny>, least: i64) -> PyResult<usize> {
    match read_int(name, value)? {
        number if number >= least => Ok(number as usize),
        number => Err(bad(format!("{name} must be at least {least}, and is {number}"))),
    }
}

/// A part as the dictionary of the contract.
pub fn write_part<'py>(py: Python<'py>, part: &Part) -> PyResult<Bound<'py, PyDict>> {
    let written = PyDict::new(py);
    written.set_item("text", &part.text)?;
    written.set_item("tokens", &part.tokens)?;
    written
        .set_item("logprobs", part.logprobs.as_ref().map(|list| list.iter().map(write_logprobs).collect::<Vec<_>>()))?;
    if let Some((reason, timings)) = &part.end {
        let reason = match reason {
            FinishReason::Stop => "stop",
            FinishReason::Length => "length",
        };
        written.set_item("finish_reason", reason)?;
        written.set_item("timings", write_timings(py, timings)?)?;
    }
    Ok(written)
}

fn write_logprobs(logprobs: &TokenLogprobs) -> (f32, Vec<(i32, f32)>, usize) {
    (logprobs.logprob, logprobs.top.clone(), logprobs.offset)
}

fn write_timings<'py>(py: Python<'py>, timings: &Timings) -> PyResult<Bound<'py, PyDict>> {
    let per_second = |count: usize, ms: f64| if ms > 0.0 { count as f64 / ms * 1e3 } else { 0.0 };
    let written = PyDict::new(py);
    written.set_item("cache_n", timings.cache_n)?;
    written.set_item("prompt_n", timings.prompt_n)?;
    written.set_item("prompt_ms", timings.prompt_ms)?;
    written.set_item("prompt_per_second", per_second(timings.prompt_n, timings.prompt_ms))?;
    written.set_item("predicted_n", timings.predicted_n)?;
    written.set_item("predicted_ms", timings.predicted_ms)?;
    written.set_item("predicted_per_second", per_second(timings.predicted_n, timings.predicted_ms))?;
    written.set_item("time_to_first_token_ms", timings.first_token_ms)?;
    written.set_item("load_ms", timings.load_ms)?;
    Ok(written)
}

/// What the log of loading named.
pub fn write_facts(facts: &LoadFacts, written: &Bound<'_, PyDict>) -> PyResult<()> {
    written.set_item("flash_attn", &facts.flash_attn)?;
    written.set_item("type_k", &facts.type_k)?;
    written.set_item("type_v", &facts.type_v)?;
    written.set_item("rope_freq_base", facts.rope_freq_base)?;
    written.set_item("rope_freq_scale", facts.rope_freq_scale)?;
    written.set_item("rope_scaling", &facts.rope_scaling)?;
    written.set_item("yarn_orig_ctx", facts.yarn_orig_ctx)?;
    written.set_item("use_mmap", facts.use_mmap)
}

/// Bytes, copied once.
pub fn write_bytes<'py>(py: Python<'py>, bytes: &[u8]) -> Bound<'py, PyBytes> {
    PyBytes::new(py, bytes)
}
