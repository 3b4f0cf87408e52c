//! Whether the work of this thread should stop.
//!
//! llama.cpp asks its abort callback on the thread that called it, so a thread's own variable is enough and no pointer
//! has to be kept alive for it.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

/// Set by the one who waits for the one who works.
pub type Flag = Arc<AtomicBool>;

/// One command, as both sides see it.
#[derive(Default)]
pub struct Command {
    is_cancelled: AtomicBool,
    has_begun: AtomicBool,
}

impl Command {
    /// Ask the command to stop, or not to begin.
    pub fn cancel(&self) {
        self.is_cancelled.store(true, Ordering::Relaxed);
    }

    /// Say whether the worker has come to the command.
    pub fn has_begun(&self) -> bool {
        self.has_begun.load(Ordering::Relaxed)
    }
}

struct Watched {
    command: Option<Arc<Command>>,
    engine: Option<Flag>,
}

thread_local! {
    static WATCHED: RefCell<Watched> = const { RefCell::new(Watched { command: None, engine: None }) };
}

/// Watch the flag of the engine for as long as the thread lives.
pub fn watch_engine(flag: Flag) {
    WATCHED.with_borrow_mut(|watched| watched.engine = Some(flag));
}

/// Begin a command and watch it until the guard is dropped.
pub fn watch_command(command: Arc<Command>) -> CommandGuard {
    command.has_begun.store(true, Ordering::Relaxed);
    WATCHED.with_borrow_mut(|watched| watched.command = Some(command));
    CommandGuard
}

/// Ends what `watch_command` began, also when the command panics.
pub struct CommandGuard;

impl Drop for CommandGuard {
    fn drop(&mut self) {
        WATCHED.with_borrow_mut(|watched| watched.command = None);
    }
}

/// Say whether the current command, or the engine as a whole, should stop.
pub fn is_requested() -> bool {
    let ask = |watched: &Watched| {
        let command = watched.command.as_ref().is_some_and(|command| command.is_cancelled.load(Ordering::Relaxed));
        command || watched.engine.as_ref().is_some_and(|engine| engine.load(Ordering::Relaxed))
    };
    WATCHED.with(|watched| watched.try_borrow().is_ok_and(|watched| ask(&watched)))
}
