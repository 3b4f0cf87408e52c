//! What can go wrong, sorted by the exception that Python raises for it.

use std::fmt;

/// The result of everything here.
pub type Result<T> = std::result::Result<T, Error>;

/// An error with a message for the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// An argument is bad, or the engine is closed.
    Value(String),
    /// An argument has the wrong type.
    Type(String),
    /// A file is not there.
    NotFound(String),
    /// A file may not be read.
    Permission(String),
    /// A file cannot be read for another reason.
    Io(String),
    /// There is not enough memory.
    Memory(String),
    /// llama.cpp refused something.
    Engine(String),
    /// The caller asked to stop.
    Cancelled,
}

impl Error {
    /// What every call says after `close`.
    #[must_use]
    pub fn closed() -> Self {
        Self::Value("the model is closed".into())
    }

    /// A bad argument.
    pub fn value(message: impl Into<String>) -> Self {
        Self::Value(message.into())
    }

    /// A refusal of llama.cpp.
    pub fn engine(message: impl Into<String>) -> Self {
        Self::Engine(message.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(message)
            | Self::Type(message)
            | Self::NotFound(message)
            | Self::Permission(message)
            | Self::Io(message)
            | Self::Memory(message)
            | Self::Engine(message) => formatter.write_str(message),
            Self::Cancelled => formatter.write_str("the call was cancelled"),
        }
    }
}

impl std::error::Error for Error {}
