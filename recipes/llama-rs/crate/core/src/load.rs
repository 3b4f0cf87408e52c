//! Load a model and make its context, with a reason when it does not work.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use llama_cpp_2::model::LlamaModel;
use llama_rs_logic::error::{Error, Result};
use llama_rs_logic::load_log::LoadFacts;
use llama_rs_logic::log::{self, join};
use llama_rs_logic::settings::{CacheType, ContextSettings, ModelSettings};
use llama_rs_logic::{cancel, machine};

use crate::raw::{self, Context, ModelFacts};
use crate::sequence::{to_ms, Sequence};
use crate::vocabulary::{read_metadata, Description};

const MAGIC: &[u8; 4] = b"GGUF";

/// What is known once a model is loaded and does not change.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Loaded {
    pub description: Description,
    pub metadata: Vec<(String, String)>,
    pub log: String,
    pub facts: LoadFacts,
    pub load_ms: f64,
    /// None without a context: `n_ctx`, `n_batch`, `n_ubatch`, `n_seq_max`, and the pooling type.
    pub sizes: Option<([usize; 4], i32)>,
}

/// Load a model and, unless only the vocabulary is wanted, make its context.
pub fn load(path: &Path, settings: &ModelSettings, context: ContextSettings) -> Result<(Sequence, Loaded)> {
    check_file(path)?;
    raw::start_backend()?;
    log::begin();
    let started = Instant::now();
    let made = make(path, settings, context);
    let text = log::take();
    let (mut sequence, metadata) =
        made.map_err(|error| if cancel::is_requested() { Error::Cancelled } else { error })?;
    sequence.load_ms = to_ms(started.elapsed());
    let loaded = Loaded {
        description: Description::read(&sequence.model, &raw::read_facts(&sequence.model)),
        metadata,
        facts: LoadFacts::read(&text),
        log: text,
        load_ms: sequence.load_ms,
        sizes: sequence.context().ok().map(|context| {
            ([context.n_ctx(), context.n_batch(), context.n_ubatch(), context.n_seq_max()], context.pooling_type())
        }),
    };
    Ok((sequence, loaded))
}

fn make(path: &Path, settings: &ModelSettings, context: ContextSettings) -> Result<(Sequence, Vec<(String, String)>)> {
    let refused = || Error::engine(join(&format!("llama.cpp cannot load {}", path.display()), &log::take_errors()));
    let model = raw::load_model(path, settings)?.ok_or_else(refused)?;
    let model = Arc::new(model);
    let facts = raw::read_facts(&model);
    let metadata = read_metadata(&model);
    let is_causal = context.attention_type != 1 && find(&metadata, "attention.causal") != Some("false");
    let made = if settings.vocab_only { None } else { Some(make_context(&model, &facts, &metadata, &context)?) };
    Ok((Sequence::new(model, made, facts, context, is_causal), metadata))
}

fn make_context(
    model: &Arc<LlamaModel>,
    facts: &ModelFacts,
    metadata: &[(String, String)],
    settings: &ContextSettings,
) -> Result<Context> {
    check_memory(model, facts, metadata, settings)?;
    let context = Context::new(model, settings)?;
    context.ok_or_else(|| Error::engine(join("llama.cpp cannot make the context", &log::take_errors())))
}

/// Refuse what llama.cpp cannot load, in the words of the file system.
fn check_file(path: &Path) -> Result<()> {
    let explain = |error: std::io::Error| {
        let message = format!("{}: {error}", path.display());
        match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => Error::NotFound(message),
            ErrorKind::PermissionDenied => Error::Permission(message),
            _ => Error::Io(message),
        }
    };
    // opening a pipe would wait for somebody to write into it
    if !fs::metadata(path).map_err(explain)?.is_file() {
        return Err(Error::Io(format!("{} is not a file", path.display())));
    }
    let mut magic = [0; 4];
    let read = File::open(path).map_err(explain)?.read(&mut magic).map_err(explain)?;
    if read < magic.len() || &magic != MAGIC {
        return Err(Error::engine(format!("{} is not a GGUF file", path.display())));
    }
    Ok(())
}

/// The value of the model's architecture for a key, such as `attention.causal`.
fn find<'a>(metadata: &'a [(String, String)], key: &str) -> Option<&'a str> {
    let get = |wanted: &str| metadata.iter().find(|(known, _)| known == wanted).map(|(_, value)| value.as_str());
    get(&format!("{}.{key}", get("general.architecture")?))
}

/// Refuse a context whose keys and values alone are more than the machine's memory: the allocation might succeed, and
/// the process be ended later.
fn check_memory(
    model: &LlamaModel,
    facts: &ModelFacts,
    metadata: &[(String, String)],
    settings: &ContextSettings,
) -> Result<()> {
    // models that keep a part of the positions, or another kind of state, need less than this
    let is_plain = !facts.is_recurrent && !facts.is_hybrid && facts.n_swa <= 0;
    let Some(available) = machine::physical_memory().filter(|_| is_plain) else { return Ok(()) };
    let number = |key: &str| find(metadata, key).and_then(|text| text.parse::<f64>().ok());
    let head = f64::from(model.n_embd()) / f64::from(model.n_head().max(1));
    let (key_length, value_length) = (number("attention.key_length"), number("attention.value_length"));
    let n_ctx = if settings.n_ctx == 0 { f64::from(model.n_ctx_train()) } else { settings.n_ctx as f64 };
    let cells = n_ctx * f64::from(model.n_layer()) * f64::from(facts.n_head_kv.max(0));
    let bytes = cells
        * (key_length.unwrap_or(head) * bytes_of(settings.type_k)
            + value_length.unwrap_or(head) * bytes_of(settings.type_v));
    if bytes <= available as f64 {
        return Ok(());
    }
    let gib = |bytes: f64| bytes / f64::from(1 << 30);
    Err(Error::engine(format!(
        "a context of {n_ctx} tokens needs about {:.1} GiB for its keys and values, and this machine has {:.1} GiB",
        gib(bytes),
        gib(available as f64)
    )))
}

/// The bytes of one number, at least.
fn bytes_of(kind: Option<CacheType>) -> f64 {
    match kind.map(|kind| kind.0) {
        Some(0) => 4.0,
        None | Some(1 | 30) => 2.0,
        _ => 0.5,
    }
}
