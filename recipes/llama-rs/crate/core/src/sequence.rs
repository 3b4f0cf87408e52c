//! The model's context as the worker sees it: which tokens it holds, and what can be asked about them.

use std::sync::Arc;

use llama_cpp_2::model::LlamaModel;
use llama_rs_logic::error::{Error, Result};
use llama_rs_logic::log::{self, join};
use llama_rs_logic::sampling::Sampling;
use llama_rs_logic::settings::ContextSettings;
use llama_rs_logic::{cancel, state};

use crate::choose::Chooser;
use crate::raw::{Context, DecodeError, ModelFacts, Outputs};
use crate::vocabulary::check_tokens;

mod bench;
mod embedding;
mod saved;

pub use bench::Bench;

/// A model with its context; lives on the worker's thread.
pub struct Sequence {
    pub model: Arc<LlamaModel>,
    pub load_ms: f64,
    /// Why nothing works any more, after a panic.
    pub broken: Option<String>,
    context: Option<Context>,
    facts: ModelFacts,
    settings: ContextSettings,
    is_causal: bool,
    fingerprint: u64,
    /// The tokens whose keys and values are in the context's memory.
    tokens: Vec<i32>,
    /// With `logits_all`: the logits of the positions from `first_kept` on.
    kept_logits: Vec<f32>,
    first_kept: usize,
    /// Whether the context's last batch ended with the last of `tokens`, so that its logits are there.
    has_logits: bool,
    sampler: Option<(Sampling, Chooser)>,
}

impl Sequence {
    /// The empty sequence of a model and, unless only the vocabulary was loaded, its context.
    pub fn new(
        model: Arc<LlamaModel>,
        context: Option<Context>,
        facts: ModelFacts,
        settings: ContextSettings,
        is_causal: bool,
    ) -> Self {
        let mut sequence = Self {
            model,
            load_ms: 0.0,
            broken: None,
            context,
            facts,
            settings,
            is_causal,
            fingerprint: 0,
            tokens: Vec::new(),
            kept_logits: Vec::new(),
            first_kept: 0,
            has_logits: false,
            sampler: None,
        };
        sequence.fingerprint = sequence.identify();
        sequence
    }

    /// A number that is the same for contexts that can take each other's states.
    fn identify(&self) -> u64 {
        let settings = &self.settings;
        let n_ctx = self.context.as_ref().map_or(0, Context::n_ctx);
        let identity = (self.model.n_params(), self.model.size(), self.n_vocab(), n_ctx);
        let types = [settings.type_k, settings.type_v].map(|kind| kind.map(|kind| kind.0));
        let flash_attn = settings.flash_attn.map_or(-1, i32::from);
        let kinds = (types[0], types[1], flash_attn, settings.swa_full, settings.embedding);
        state::hash(format!("{identity:?}{kinds:?}").as_bytes())
    }

    /// The context, which a model without weights does not have.
    pub fn context(&mut self) -> Result<&mut Context> {
        self.context.as_mut().ok_or_else(|| Error::engine("the model was loaded with vocab_only, so it has no context"))
    }

    pub fn n_vocab(&self) -> i32 {
        self.model.vocab().n_tokens()
    }

    pub fn tokens(&self) -> &[i32] {
        &self.tokens
    }

    /// The numbers of threads for one token and for batches.
    pub fn n_threads(&self) -> (i32, i32) {
        self.context.as_ref().map_or((0, 0), Context::n_threads)
    }

    pub fn set_threads(&mut self, n_threads: i64, n_threads_batch: i64) -> Result<()> {
        let settings = ContextSettings { n_threads, n_threads_batch, ..self.settings.clone() };
        settings.check_bounds()?;
        self.context()?.set_threads(&settings)?;
        self.settings = settings;
        Ok(())
    }

    /// Forget all tokens, and with them how far a sampler had come.
    pub fn reset(&mut self) -> Result<()> {
        // llama.cpp keeps the state of a recurrent model in the data itself
        let data = self.facts.is_recurrent || self.facts.is_hybrid;
        self.context()?.clear(data);
        self.sampler = None;
        self.forget_from(0);
        Ok(())
    }

    fn forget_from(&mut self, length: usize) {
        self.has_logits = self.has_logits && length == self.tokens.len();
        self.tokens.truncate(length);
        self.first_kept = self.first_kept.min(length);
        let kept = (length - self.first_kept) * self.n_vocab().max(0) as usize;
        self.kept_logits.truncate(kept);
    }

    /// Forget the tokens from a position on; all of them where the memory cannot forget a part.
    pub fn keep(&mut self, length: usize) -> Result<()> {
        if length >= self.tokens.len() {
            return Ok(());
        }
        let n_swa = self.facts.n_swa.max(0) as usize;
        let context = self.context()?;
        // a sliding window may have lost the keys that the tokens before `length` saw
        let is_whole = |context: &Context| n_swa == 0 || context.positions().0 <= length.saturating_sub(n_swa) as i32;
        if length == 0 || !context.remove_from(length) || !is_whole(context) {
            let sampler = self.sampler.take();
            self.reset()?;
            self.sampler = sampler;
            return Ok(());
        }
        self.forget_from(length);
        Ok(())
    }

    /// Forget the tokens from a position on, and how far a sampler had come.
    pub fn truncate(&mut self, length: usize) -> Result<()> {
        if length > self.tokens.len() {
            let present = self.tokens.len();
            return Err(Error::value(format!("the context has {present} tokens, and cannot be truncated to {length}")));
        }
        let tokens = self.tokens[..length].to_vec();
        self.sampler = None;
        self.keep(length)?;
        // a memory that cannot forget a part computes the rest anew
        if self.tokens.len() < length {
            self.eval(&tokens[self.tokens.len()..])
        } else {
            Ok(())
        }
    }

    /// Decode tokens after those in the context and keep the logits of the last one, or of all with `logits_all`.
    pub fn eval(&mut self, tokens: &[i32]) -> Result<()> {
        self.check_room(tokens)?;
        self.context()?.set_embeddings(false);
        let outputs = if self.settings.logits_all { Outputs::All } else { Outputs::Last };
        let size = self.batch_size()?;
        let count = tokens.len().div_ceil(size);
        for (index, chunk) in tokens.chunks(size).enumerate() {
            let is_last = index + 1 == count;
            self.decode(chunk, if is_last || outputs == Outputs::All { outputs } else { Outputs::None })?;
        }
        Ok(())
    }

    fn check_room(&mut self, tokens: &[i32]) -> Result<()> {
        check_tokens(tokens, self.n_vocab())?;
        let present = self.tokens.len();
        let n_ctx = self.context()?.n_ctx();
        if present + tokens.len() > n_ctx {
            return Err(Error::value(format!(
                "{} tokens after the {present} in the context do not fit into n_ctx = {n_ctx}",
                tokens.len()
            )));
        }
        if self.facts.has_encoder && self.facts.has_decoder {
            return Err(Error::engine("models with an encoder before the decoder are not supported"));
        }
        Ok(())
    }

    /// How many tokens go into one call of llama.cpp, which asserts that attention without causality sees them at once.
    fn batch_size(&mut self) -> Result<usize> {
        let is_causal = self.is_causal;
        let context = self.context()?;
        let size = if is_causal && context.has_memory() { context.n_batch() } else { context.n_ubatch() };
        Ok(size.clamp(1, context.n_batch().max(1)))
    }

    fn decode(&mut self, tokens: &[i32], outputs: Outputs) -> Result<()> {
        if cancel::is_requested() {
            return Err(Error::Cancelled);
        }
        let start = self.tokens.len();
        self.has_logits = false;
        log::take_errors();
        match self.context()?.decode(tokens, start, outputs) {
            Ok(()) => {
                self.tokens.extend_from_slice(tokens);
                self.has_logits = outputs != Outputs::None;
                self.keep_logits(tokens.len())
            }
            Err(error) => {
                let reason = log::take_errors();
                self.take_back(start)?;
                Err(explain(&error, &reason))
            }
        }
    }

    /// Remove the part of a batch that was computed before it failed, so that memory and `tokens` agree again.
    fn take_back(&mut self, start: usize) -> Result<()> {
        if start == 0 || !self.context()?.remove_from(start) {
            self.reset()?;
        }
        Ok(())
    }

    fn keep_logits(&mut self, count: usize) -> Result<()> {
        if !self.settings.logits_all {
            self.first_kept = self.tokens.len();
            return Ok(());
        }
        let wanted = count * self.n_vocab() as usize;
        self.kept_logits.try_reserve(wanted).map_err(|_| Error::Memory(format!("{wanted} logits")))?;
        let Some(context) = &self.context else { return Ok(()) };
        for index in 0..count {
            let row = context.logits(index as i32).ok_or_else(|| Error::engine("llama.cpp returned no logits"))?;
            self.kept_logits.extend_from_slice(row);
        }
        Ok(())
    }

    /// The logits after the last token.
    pub fn last_logits(&self) -> Result<&[f32]> {
        let context = self.context.as_ref().filter(|_| self.has_logits);
        let logits = context.and_then(|context| context.logits(-1));
        logits.ok_or_else(|| Error::value("there are no logits after the last token; eval a token first"))
    }

    /// The logits after a position; a negative one counts from the end.
    pub fn logits(&self, position: i64) -> Result<&[f32]> {
        let length = self.tokens.len() as i64;
        let index = if position < 0 { length + position } else { position };
        if !(0..length).contains(&index) {
            return Err(Error::value(format!("the context has {length} tokens, and none at position {position}")));
        }
        if index == length - 1 && self.has_logits {
            return self.last_logits();
        }
        let n_vocab = self.n_vocab() as usize;
        let row = (index as usize).checked_sub(self.first_kept).map(|row| row * n_vocab);
        let logits = row.and_then(|row| self.kept_logits.get(row..row + n_vocab));
        logits.ok_or_else(|| Error::value(format!("the logits of position {position} were not kept; see logits_all")))
    }

    /// Choose a token after the last one; the sampler goes on while the settings are the same.
    pub fn sample(&mut self, sampling: Sampling) -> Result<i32> {
        let mut chooser = match self.sampler.take() {
            Some((known, chooser)) if known == sampling => chooser,
            _ => {
                let n_ctx = self.context()?.n_ctx();
                Chooser::new(&self.model, &sampling, n_ctx)?
            }
        };
        let token = chooser.choose(self.last_logits()?)?;
        self.sampler = Some((sampling, chooser));
        Ok(token)
    }
}

/// A duration in milliseconds.
pub fn to_ms(duration: std::time::Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn explain(error: &DecodeError, reason: &str) -> Error {
    match error {
        DecodeError::Aborted => Error::Cancelled,
        DecodeError::NoRoom => Error::engine(join("the context's memory has no room for the tokens", reason)),
        DecodeError::Refused(code) => Error::engine(join(&format!("llama.cpp could not decode (code {code})"), reason)),
    }
}
