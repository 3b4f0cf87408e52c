//! How a model and its context are made; llama.cpp stops the process for some bad values, so all are checked first.

use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::machine;

const LARGEST_COUNT: i64 = 1 << 30;
/// `GGML_MAX_N_THREADS`, which is also the length of a pool's mask of CPUs.
const MOST_THREADS: i64 = 512;
/// What a key or a text may have in `llama_model_kv_override`, without the byte that ends it.
const LONGEST_OVERRIDE: usize = 127;
/// The numbers of the types that llama.cpp keeps keys and values in: F32, F16 and BF16.
pub const PLAIN_TYPES: [i64; 3] = [0, 1, 30];
/// `Q4_0`, `Q4_1`, `Q5_0`, `Q5_1`, `Q8_0` and `IQ4_NL`.
pub const QUANTIZED_TYPES: [i64; 6] = [2, 3, 6, 7, 8, 20];

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

/// How the file is loaded.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools, missing_docs)]
pub struct ModelSettings {
    pub path: PathBuf,
    pub vocab_only: bool,
    pub use_mmap: bool,
    pub use_mlock: bool,
    pub check_tensors: bool,
    pub use_extra_bufts: bool,
    pub kv_overrides: Vec<(String, Override)>,
}

/// How the context is made; the names are those of llama.cpp and of `_native.pyi`.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools, missing_docs)]
pub struct ContextSettings {
    pub n_ctx: i64,
    pub n_batch: i64,
    pub n_ubatch: i64,
    pub n_threads: i64,
    pub n_threads_batch: i64,
    pub rope_scaling_type: i64,
    pub pooling_type: i64,
    pub attention_type: i64,
    pub rope_freq_base: f64,
    pub rope_freq_scale: f64,
    pub yarn_ext_factor: f64,
    pub yarn_attn_factor: f64,
    pub yarn_beta_fast: f64,
    pub yarn_beta_slow: f64,
    pub yarn_orig_ctx: i64,
    pub type_k: Option<i64>,
    pub type_v: Option<i64>,
    pub flash_attn: i64,
    pub embedding: bool,
    pub logits_all: bool,
    pub offload_kqv: bool,
    pub op_offload: Option<bool>,
    pub swa_full: Option<bool>,
    pub no_perf: bool,
    pub cpus: Vec<i64>,
    pub poll: Option<i64>,
}

impl ModelSettings {
    /// Refuse what llama.cpp's structure cannot hold.
    pub fn check(&self) -> Result<()> {
        if self.path.as_os_str().as_encoded_bytes().contains(&0) {
            return Err(Error::value("the path of the model has a zero byte"));
        }
        for (key, value) in &self.kv_overrides {
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

impl ContextSettings {
    /// Refuse values that llama.cpp would stop the process for, or take for something else.
    pub fn check(&self) -> Result<()> {
        check_range("n_ctx", self.n_ctx, 0, LARGEST_COUNT)?;
        check_range("n_batch", self.n_batch, 1, LARGEST_COUNT)?;
        check_range("n_ubatch", self.n_ubatch, 0, LARGEST_COUNT)?;
        check_threads(self.n_threads, self.n_threads_batch)?;
        check_range("rope_scaling_type", self.rope_scaling_type, -1, 3)?;
        check_range("pooling_type", self.pooling_type, -1, 4)?;
        check_range("attention_type", self.attention_type, -1, 1)?;
        check_range("yarn_orig_ctx", self.yarn_orig_ctx, 0, LARGEST_COUNT)?;
        check_range("flash_attn", self.flash_attn, -1, 1)?;
        if let Some(poll) = self.poll {
            check_range("poll", poll, 0, 100)?;
        }
        self.check_numbers()?;
        self.check_types()?;
        self.check_cpus()
    }

    fn check_numbers(&self) -> Result<()> {
        let numbers = [
            ("rope_freq_base", self.rope_freq_base),
            ("rope_freq_scale", self.rope_freq_scale),
            ("yarn_ext_factor", self.yarn_ext_factor),
            ("yarn_attn_factor", self.yarn_attn_factor),
            ("yarn_beta_fast", self.yarn_beta_fast),
            ("yarn_beta_slow", self.yarn_beta_slow),
        ];
        for (name, number) in numbers {
            if !(number as f32).is_finite() {
                return Err(Error::value(format!("{name} must be a finite number, and is {number}")));
            }
        }
        if self.rope_freq_base < 0.0 || self.rope_freq_scale < 0.0 {
            return Err(Error::value("rope_freq_base and rope_freq_scale must not be negative"));
        }
        Ok(())
    }

    fn check_types(&self) -> Result<()> {
        for (name, number) in [("type_k", self.type_k), ("type_v", self.type_v)] {
            if let Some(number) = number.filter(|number| !is_known_type(*number)) {
                return Err(Error::value(format!(
                    "{name} must be one of {PLAIN_TYPES:?} or, quantized, {QUANTIZED_TYPES:?}, and is {number}"
                )));
            }
        }
        if self.flash_attn == 0 && self.type_v.is_some_and(|number| QUANTIZED_TYPES.contains(&number)) {
            return Err(Error::value("a quantized type_v needs flash_attn"));
        }
        Ok(())
    }

    fn check_cpus(&self) -> Result<()> {
        let allowed = machine::allowed_cpus();
        for &cpu in &self.cpus {
            check_range("cpus", cpu, 0, MOST_THREADS - 1)?;
            if allowed.as_ref().is_some_and(|allowed| !allowed.contains(&(cpu as usize))) {
                return Err(Error::value(format!("cpus has {cpu}, which this process may not use")));
            }
        }
        Ok(())
    }
}

fn is_known_type(number: i64) -> bool {
    PLAIN_TYPES.contains(&number) || QUANTIZED_TYPES.contains(&number)
}

/// Refuse numbers of threads that ggml cannot have.
pub fn check_threads(n_threads: i64, n_threads_batch: i64) -> Result<()> {
    check_range("n_threads", n_threads, 1, MOST_THREADS)?;
    check_range("n_threads_batch", n_threads_batch, 1, MOST_THREADS)
}

fn check_range(name: &str, number: i64, least: i64, most: i64) -> Result<()> {
    if (least..=most).contains(&number) {
        return Ok(());
    }
    Err(Error::value(format!("{name} must be from {least} to {most}, and is {number}")))
}
