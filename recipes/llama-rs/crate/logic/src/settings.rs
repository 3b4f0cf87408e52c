//! How a model and its context are made: the table of settings, with types, defaults and ranges.
//!
//! llama.cpp stops the process for some bad values, so all are checked here, and nowhere else.

use crate::error::{Error, Result};
use crate::machine;
use crate::value::{settings, Setting, Value};

const LARGEST_COUNT: i64 = 1 << 30;
/// `GGML_MAX_N_THREADS`, which is also the length of a pool's mask of CPUs.
const MOST_THREADS: i64 = 512;
/// What a key or a text may have in `llama_model_kv_override`, without the byte that ends it.
const LONGEST_OVERRIDE: usize = 127;
/// The numbers of the types that llama.cpp keeps keys and values in: F32, F16 and BF16.
pub const PLAIN_TYPES: [i64; 3] = [0, 1, 30];
/// `Q4_0`, `Q4_1`, `Q5_0`, `Q5_1`, `Q8_0` and `IQ4_NL`.
pub const QUANTIZED_TYPES: [i64; 6] = [2, 3, 6, 7, 8, 20];

settings! {
    /// How the file is loaded.
    ModelSettings {
        vocab_only: bool = false;
        use_mmap: bool = true;
        use_mlock: bool = false;
        check_tensors: bool = false;
        use_extra_bufts: bool = true;
        kv_overrides: Vec<(String, Override)> = Vec::new();
    }
}

settings! {
    /// How the context is made; what is None is left to llama.cpp.
    ContextSettings {
        // 0 is the model's own
        n_ctx: i64 = 512, in 0..=LARGEST_COUNT;
        n_batch: i64 = 512, in 1..=LARGEST_COUNT;
        // 0 is as many as n_batch
        n_ubatch: i64 = 512, in 0..=LARGEST_COUNT;
        n_threads: i64 = 1, in 1..=MOST_THREADS;
        n_threads_batch: i64 = 1, in 1..=MOST_THREADS;
        rope_scaling_type: Option<i64> = None, in -1..=3;
        pooling_type: i64 = -1, in -1..=4;
        attention_type: i64 = -1, in -1..=1;
        rope_freq_base: f64 = 0.0, in 0.0..;
        rope_freq_scale: f64 = 0.0, in 0.0..;
        yarn_ext_factor: f64 = -1.0;
        yarn_attn_factor: f64 = 1.0;
        yarn_beta_fast: f64 = 32.0;
        yarn_beta_slow: f64 = 1.0;
        yarn_orig_ctx: i64 = 0, in 0..=LARGEST_COUNT;
        type_k: Option<CacheType> = None;
        type_v: Option<CacheType> = None;
        flash_attn: Option<bool> = Some(false);
        embedding: bool = false;
        logits_all: bool = false;
        offload_kqv: bool = true;
        op_offload: Option<bool> = None;
        swa_full: Option<bool> = None;
        no_perf: bool = false;
        // CPUs that the threads may use; none named: any
        cpus: Vec<i64> = Vec::new(), in 0..=MOST_THREADS - 1;
        // how long idle threads spin
        poll: Option<i64> = None, in 0..=100;
    }
}

/// Read settings of model and context by their names.
pub fn read(given: &[(String, Value)]) -> Result<(ModelSettings, ContextSettings)> {
    let (mut model, mut context) = (ModelSettings::default(), ContextSettings::default());
    for (name, value) in given {
        if !model.set(name, value)? && !context.set(name, value)? {
            return Err(Error::Type(format!("there is no setting {name}")));
        }
    }
    Ok((model, context))
}

/// A value that replaces one of the file's metadata.
#[derive(Clone, Debug, PartialEq)]
pub enum Override {
    /// A truth value.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A number.
    Float(f64),
    /// A text of at most 127 bytes.
    Text(String),
}

impl Override {
    fn read(key: &str, value: &Value) -> Result<Self> {
        match value {
            Value::Bool(truth) => Ok(Self::Bool(*truth)),
            Value::Int(number) => Ok(Self::Int(*number)),
            Value::Float(number) => Ok(Self::Float(*number)),
            Value::Text(text) => Ok(Self::Text(text.clone())),
            _ => Err(value.refuse(&format!("the kv_override of {key}"), "a bool, int, float or str")),
        }
    }
}

impl Setting for Vec<(String, Override)> {
    type Bounds = ();

    fn read(name: &str, value: &Value) -> Result<Self> {
        let table = match value {
            Value::None => return Ok(Vec::new()),
            Value::Table(table) => table,
            _ => return Err(value.refuse(name, "a dict")),
        };
        let read = |(key, value): &(Value, Value)| {
            let key = String::read(&format!("a key of {name}"), key)?;
            Override::read(&key, value).map(|value| (key, value))
        };
        table.iter().map(read).collect()
    }

    fn check(&self, _name: &str, _bounds: Option<()>) -> Result<()> {
        for (key, value) in self {
            check_text("the key of a kv_override", key)?;
            if key.is_empty() {
                return Err(Error::value("the key of a kv_override must not be empty"));
            }
            if let Override::Text(text) = value {
                check_text(&format!("the kv_override of {key}"), text)?;
            }
        }
        Ok(())
    }
}

fn check_text(name: &str, text: &str) -> Result<()> {
    if text.len() > LONGEST_OVERRIDE {
        return Err(Error::value(format!("{name} has {} bytes, and {LONGEST_OVERRIDE} is the most", text.len())));
    }
    if text.contains('\0') {
        return Err(Error::value(format!("{name} has a zero byte")));
    }
    Ok(())
}

/// The number of a type that llama.cpp keeps keys or values in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheType(pub i64);

impl CacheType {
    /// Say whether the type has fewer bits than a plain number.
    pub fn is_quantized(self) -> bool {
        QUANTIZED_TYPES.contains(&self.0)
    }
}

impl Setting for CacheType {
    type Bounds = ();

    fn read(name: &str, value: &Value) -> Result<Self> {
        i64::read(name, value).map(Self)
    }

    fn check(&self, name: &str, _bounds: Option<()>) -> Result<()> {
        if self.is_quantized() || PLAIN_TYPES.contains(&self.0) {
            return Ok(());
        }
        let number = self.0;
        Err(Error::value(format!(
            "{name} must be one of {PLAIN_TYPES:?} or, quantized, {QUANTIZED_TYPES:?}, and is {number}"
        )))
    }
}

impl ContextSettings {
    /// Refuse values that llama.cpp would stop the process for, or take for something else.
    pub fn check(&self) -> Result<()> {
        self.check_bounds()?;
        if self.flash_attn == Some(false) && self.type_v.is_some_and(CacheType::is_quantized) {
            return Err(Error::value("a quantized type_v needs flash_attn"));
        }
        let allowed = machine::allowed_cpus();
        let is_allowed = |cpu: i64| allowed.as_ref().is_none_or(|allowed| allowed.contains(&(cpu as usize)));
        match self.cpus.iter().find(|cpu| !is_allowed(**cpu)) {
            Some(cpu) => Err(Error::value(format!("cpus has {cpu}, which this process may not use"))),
            None => Ok(()),
        }
    }

    /// Fit the sizes to each other, as `llama_cpp` does: a batch is no longer than the context.
    ///
    /// Where the model decides how long that is, llama.cpp itself sees to it.
    #[must_use]
    pub fn fit_sizes(mut self) -> Self {
        if self.n_ctx > 0 {
            self.n_batch = self.n_batch.min(self.n_ctx);
        }
        self.n_ubatch = if self.n_ubatch == 0 { self.n_batch } else { self.n_ubatch.min(self.n_batch) };
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_one(name: &str, value: Value) -> Result<ContextSettings> {
        let (model, context) = read(&[(name.into(), value)])?;
        model.check_bounds()?;
        context.check().map(|()| context)
    }

    #[test]
    fn the_defaults_are_fine() {
        let (model, context) = read(&[]).unwrap();
        assert_eq!((model.check_bounds(), context.check()), (Ok(()), Ok(())));
        assert_eq!(context, ContextSettings::default());
    }

    #[test]
    fn names_are_told_once() {
        let mut names = [ModelSettings::NAMES, ContextSettings::NAMES].concat();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ModelSettings::NAMES.len() + ContextSettings::NAMES.len());
        assert!(
            matches!(read_one("n_context", Value::Int(1)), Err(Error::Type(message)) if message.contains("n_context"))
        );
    }

    #[test]
    fn bad_values_are_named() {
        let bad = [
            ("n_ctx", Value::Int(-1)),
            ("n_batch", Value::Int(0)),
            ("n_threads", Value::Int(513)),
            ("rope_scaling_type", Value::Int(4)),
            ("rope_freq_base", Value::Float(-1.0)),
            ("yarn_beta_fast", Value::Float(f64::NAN)),
            ("type_k", Value::Int(9999)),
            ("type_v", Value::Int(8)),
            ("poll", Value::Int(101)),
            ("cpus", Value::List(vec![Value::Int(-1)])),
            ("cpus", Value::List(vec![Value::Int(511)])),
        ];
        for (name, value) in bad {
            let refused = read_one(name, value);
            assert!(matches!(&refused, Err(Error::Value(message)) if message.contains(name)), "{name}: {refused:?}");
        }
    }

    #[test]
    fn values_are_taken() {
        assert_eq!(read_one("type_k", Value::Int(8)).unwrap().type_k, Some(CacheType(8)));
        assert_eq!(read_one("flash_attn", Value::None).unwrap().flash_attn, None);
        assert_eq!(read_one("yarn_beta_fast", Value::Int(3)).unwrap().yarn_beta_fast.to_bits(), 3_f64.to_bits());
    }

    #[test]
    fn overrides_are_bounded() {
        let with = |key: Value, value: Value| read_one("kv_overrides", Value::Table(vec![(key, value)]));
        let text = |length: usize| Value::Text("x".repeat(length));
        assert!(with(text(127), text(127)).is_ok() && read_one("kv_overrides", Value::None).is_ok());
        for (key, value) in [(text(128), Value::Int(1)), (text(1), text(128)), (text(0), Value::Bool(true))] {
            assert!(matches!(with(key, value), Err(Error::Value(_))));
        }
        assert!(matches!(with(Value::Text("a\0b".into()), Value::Float(1.0)), Err(Error::Value(_))));
        assert!(matches!(with(Value::Int(1), Value::Int(1)), Err(Error::Type(_))));
        assert!(matches!(with(text(1), Value::None), Err(Error::Type(_))));
        assert!(matches!(read_one("kv_overrides", Value::List(Vec::new())), Err(Error::Type(_))));
    }

    #[test]
    fn a_batch_is_no_longer_than_the_context() {
        let sizes = |n_ctx: i64, n_batch: i64, n_ubatch: i64| {
            let fit = ContextSettings { n_ctx, n_batch, n_ubatch, ..ContextSettings::default() }.fit_sizes();
            (fit.n_batch, fit.n_ubatch)
        };
        assert_eq!(sizes(256, 512, 512), (256, 256));
        assert_eq!(sizes(0, 512, 0), (512, 512));
        assert_eq!(sizes(1024, 512, 128), (512, 128));
    }
}
