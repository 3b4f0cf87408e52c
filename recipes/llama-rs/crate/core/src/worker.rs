//! The thread that owns the model and its sequence of tokens, and how work gets to it.

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use llama_rs_logic::cancel::{self, Command, Flag};
use llama_rs_logic::error::{Error, Result};

use crate::sequence::Sequence;

/// llama.cpp's grammar parser is recursive; the memory is only used as far as it is touched.
const STACK_BYTES: usize = 64 << 20;

/// Work for the thread.
pub type Job = Box<dyn FnOnce(&mut Sequence) + Send>;

/// A result that is still being worked on. Dropping it cancels the work.
pub struct Pending<T> {
    receiver: Receiver<Result<T>>,
    command: Arc<Command>,
}

impl<T> Pending<T> {
    /// A pending result with the sender that ends it.
    pub(crate) fn new() -> (Sender<Result<T>>, Arc<Command>, Self) {
        let (sender, receiver) = mpsc::channel();
        let command = Arc::new(Command::default());
        (sender, command.clone(), Self { receiver, command })
    }

    /// Wait at most this long; None when it takes longer.
    #[must_use]
    pub fn wait(&self, patience: Duration) -> Option<Result<T>> {
        match self.receiver.recv_timeout(patience) {
            Ok(result) => Some(result),
            Err(RecvTimeoutError::Timeout) => None,
            // the worker drops the sender without an answer only when it is gone
            Err(RecvTimeoutError::Disconnected) => Some(Err(Error::closed())),
        }
    }

    /// Ask the work to stop; its result, usually `Error::Cancelled`, still comes.
    pub fn cancel(&self) {
        self.command.cancel();
    }

    /// Say whether the worker has come to it.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.command.has_begun()
    }
}

impl<T> Drop for Pending<T> {
    fn drop(&mut self) {
        self.cancel();
    }
}

/// Start a thread that loads a model and works for it until the sender is gone.
///
/// `closing` stops whatever runs; `loaded` is told the outcome of `load`.
pub fn start(
    closing: Flag,
    load: impl FnOnce() -> Result<Sequence> + Send + 'static,
    loaded: Sender<Result<()>>,
    load_command: Arc<Command>,
) -> Result<(Sender<Job>, JoinHandle<()>)> {
    let (sender, jobs) = mpsc::channel::<Job>();
    let body = move || {
        cancel::watch_engine(closing);
        let sequence = run_guarded(&load_command, load);
        let (outcome, sequence) = match sequence {
            Ok(sequence) => (Ok(()), Some(sequence)),
            Err(error) => (Err(error), None),
        };
        let _ = loaded.send(outcome);
        if let Some(mut sequence) = sequence {
            for job in jobs {
                job(&mut sequence);
            }
        }
    };
    let thread = thread::Builder::new().name("llama-rs".into()).stack_size(STACK_BYTES).spawn(body);
    let thread = thread.map_err(|error| Error::Engine(format!("no thread for the model: {error}")))?;
    Ok((sender, thread))
}

/// Work on a sequence as one command that can be cancelled; a panic breaks the sequence, not the process.
pub fn work<T>(
    sequence: &mut Sequence,
    command: &Arc<Command>,
    closing: &Flag,
    job: impl FnOnce(&mut Sequence) -> Result<T>,
) -> Result<T> {
    if closing.load(Ordering::Relaxed) {
        return Err(Error::closed());
    }
    if let Some(reason) = &sequence.broken {
        return Err(Error::Engine(format!("the engine is broken, load the model again: {reason}")));
    }
    let result = run_guarded(command, || Ok(catch_panic(|| job(sequence))));
    let result = result.and_then(|caught| {
        caught.unwrap_or_else(|reason| {
            sequence.broken = Some(reason.clone());
            Err(Error::Engine(format!("the engine broke: {reason}")))
        })
    });
    match result {
        Err(Error::Cancelled) if closing.load(Ordering::Relaxed) => Err(Error::closed()),
        result => result,
    }
}

fn run_guarded<T>(command: &Arc<Command>, job: impl FnOnce() -> Result<T>) -> Result<T> {
    let _guard = cancel::watch_command(command.clone());
    if cancel::is_requested() {
        return Err(Error::Cancelled);
    }
    catch_panic(job).unwrap_or_else(|reason| Err(Error::Engine(format!("the engine broke: {reason}"))))
}

fn catch_panic<T>(job: impl FnOnce() -> T) -> std::result::Result<T, String> {
    catch_unwind(AssertUnwindSafe(job)).map_err(|payload| {
        let text = payload.downcast_ref::<&str>().map(ToString::to_string);
        text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic".to_owned())
    })
}
