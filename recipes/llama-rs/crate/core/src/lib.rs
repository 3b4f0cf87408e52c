//! A llama.cpp model with its context behind one worker thread: what `llama_rs._native` is made of, without Python.
//!
//! [`Engine`] is the door: it sends work to the thread that owns the model and gives back a [`Pending`] result or a
//! [`Stream`] of parts. Everything unsafe stands in `raw`.

#![deny(unsafe_code)]

mod cancel;
mod chat;
mod choose;
mod completion;
mod engine;
mod error;
mod load;
mod load_log;
mod log;
mod logprobs;
mod machine;
mod raw;
mod sampling;
mod select;
mod sequence;
mod settings;
mod state;
mod text;
mod vocabulary;
mod worker;

pub use chat::{render_chat, Clock};
pub use completion::{FinishReason, Options, Part, Timings};
pub use engine::{Engine, Loaded, Stream};
pub use error::{Error, Result};
pub use load_log::LoadFacts;
pub use logprobs::TokenLogprobs;
pub use raw::system_info;
pub use sampling::Sampling;
pub use sequence::Bench;
pub use settings::{ContextSettings, ModelSettings, Override};
pub use vocabulary::Description;
pub use worker::Pending;
