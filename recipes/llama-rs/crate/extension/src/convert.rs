//! Between Python's objects and the core's structures.

use llama_rs_core::{sampling, Error, FinishReason, LoadFacts, Options, Part, Sampling, Timings, TokenLogprobs, Value};
use pyo3::exceptions::{
    PyFileNotFoundError, PyMemoryError, PyOSError, PyOverflowError, PyPermissionError, PyRuntimeError, PyTypeError,
    PyValueError,
};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyString};

pyo3::create_exception!(llama_rs._native, EngineError, PyRuntimeError, "llama.cpp refused something.");

/// The exception for an error.
pub fn raise(error: Error) -> PyErr {
    match error {
        Error::Value(message) => PyValueError::new_err(message),
        Error::Type(message) => PyTypeError::new_err(message),
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

/// Values by name; which names there are and what is taken under each, the tables of the core say.
pub fn read_values(given: &Bound<'_, PyDict>) -> PyResult<Vec<(String, Value)>> {
    given.iter().map(|(name, value)| Ok((name.extract()?, read_value(&value)?))).collect()
}

fn read_value(value: &Bound<'_, PyAny>) -> PyResult<Value> {
    if let Ok(table) = value.cast::<PyDict>() {
        let read = |(key, value): (Bound<'_, PyAny>, Bound<'_, PyAny>)| Ok((read_one(&key)?, read_one(&value)?));
        return Ok(Value::Table(table.iter().map(read).collect::<PyResult<_>>()?));
    }
    match read_one(value)? {
        // a sequence of numbers is one of bytes as well
        Value::Other(kind) if kind != "bytes" && kind != "bytearray" => match value.try_iter() {
            Ok(items) => Ok(Value::List(items.map(|item| read_one(&item?)).collect::<PyResult<_>>()?)),
            Err(_) => Ok(Value::Other(kind)),
        },
        one => Ok(one),
    }
}

/// A value that is none of several: what turns itself into a number is one, as those of numpy do.
fn read_one(value: &Bound<'_, PyAny>) -> PyResult<Value> {
    if value.is_none() {
        return Ok(Value::None);
    }
    // bool is a kind of int, so it is asked for first
    if let Ok(truth) = value.cast::<PyBool>() {
        return Ok(Value::Bool(truth.is_true()));
    }
    if let Ok(text) = value.cast::<PyString>() {
        return Ok(Value::Text(text.extract()?));
    }
    match value.extract::<i64>() {
        Ok(number) => return Ok(Value::Int(number)),
        Err(error) if error.is_instance_of::<PyOverflowError>(value.py()) => return Ok(Value::Huge(value.to_string())),
        Err(_) => {}
    }
    Ok(value.extract::<f64>().map_or_else(|_| Value::Other(kind_of(value)), Value::Float))
}

fn kind_of(value: &Bound<'_, PyAny>) -> String {
    value.get_type().name().map_or_else(|_| "an object".into(), |name| name.to_string())
}

/// The settings of the samplers; what is not named has `llama_cpp`'s default.
pub fn read_sampling(settings: &Bound<'_, PyDict>) -> PyResult<Sampling> {
    sampling::read(&read_values(settings)?).map_err(raise)
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
