//! A llama.cpp model with its context behind one worker thread: what `llama_rs._native` is made of, without Python.
//!
//! [`Engine`] is the door: it sends work to the thread that owns the model and gives back a [`Pending`] result or a
//! [`Stream`] of parts. Everything unsafe stands in `raw`.

#![deny(unsafe_code)]

mod choose;
mod completion;
mod engine;
mod load;
mod raw;
mod sequence;
mod vocabulary;
mod worker;

pub use completion::{FinishReason, Options, Part, Timings};
pub use engine::{Engine, Stream};
pub use llama_rs_logic::chat::{render_chat, Clock};
pub use llama_rs_logic::error::{Error, Result};
pub use llama_rs_logic::load_log::LoadFacts;
pub use llama_rs_logic::logprobs::TokenLogprobs;
pub use llama_rs_logic::sampling::{self, Sampling};
pub use llama_rs_logic::settings::{self, ContextSettings, ModelSettings};
pub use llama_rs_logic::value::Value;
pub use load::Loaded;
pub use raw::system_info;
pub use sequence::Bench;
pub use vocabulary::Description;
pub use worker::Pending;
