//! What the engine decides without llama.cpp, so that it is tested without it: settings, chats, text, logs.

#![deny(unsafe_code)]

pub mod cancel;
pub mod chat;
pub mod error;
pub mod load_log;
pub mod log;
pub mod logprobs;
pub mod machine;
pub mod sampling;
pub mod select;
pub mod settings;
pub mod state;
pub mod text;
pub mod value;
