//! What llama.cpp logs: kept for the engine that loads on this thread, dropped otherwise.
//!
//! llama.cpp has one log callback for the process and calls it on the thread that works, so each thread keeps its own
//! text. With the environment variable `LLAMA_RS_LOG` everything goes to standard error besides.

use std::cell::RefCell;
use std::sync::OnceLock;

const KEPT_BYTES: usize = 256 * 1024;
const ERROR_LEVELS: std::ops::RangeInclusive<u32> = 3..=4;
const CONTINUED_LEVEL: u32 = 5;

#[derive(Default)]
struct Kept {
    everything: Option<String>,
    errors: String,
    last_level: u32,
}

thread_local! {
    static KEPT: RefCell<Kept> = const { RefCell::new(Kept { everything: None, errors: String::new(), last_level: 0 }) };
}

/// Take a line from llama.cpp.
pub fn receive(level: u32, text: &str) {
    static TO_STANDARD_ERROR: OnceLock<bool> = OnceLock::new();
    if *TO_STANDARD_ERROR.get_or_init(|| std::env::var_os("LLAMA_RS_LOG").is_some()) {
        eprint!("{text}");
    }
    // a thread that ends has no variables any more; what is logged then is lost
    let _ = KEPT.try_with(|kept| {
        if let Ok(mut kept) = kept.try_borrow_mut() {
            kept.add(level, text);
        }
    });
}

impl Kept {
    fn add(&mut self, level: u32, text: &str) {
        if level != CONTINUED_LEVEL {
            self.last_level = level;
        }
        if ERROR_LEVELS.contains(&self.last_level) {
            append(&mut self.errors, text);
        }
        if let Some(everything) = &mut self.everything {
            append(everything, text);
        }
    }
}

fn append(target: &mut String, text: &str) {
    let room = KEPT_BYTES.saturating_sub(target.len());
    let end = (0..=room.min(text.len())).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
    target.push_str(&text[..end]);
}

/// Keep all that is logged on this thread until `take`.
pub fn begin() {
    KEPT.with_borrow_mut(|kept| {
        *kept = Kept { everything: Some(String::new()), ..Kept::default() };
    });
}

/// Return what was logged since `begin`.
pub fn take() -> String {
    KEPT.with_borrow_mut(|kept| kept.everything.take().unwrap_or_default())
}

/// Return the warnings and errors since the last call, in one line; empty when there were none.
pub fn take_errors() -> String {
    let text = KEPT.with_borrow_mut(|kept| std::mem::take(&mut kept.errors));
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}

/// A message with the reason that llama.cpp logged, if any.
pub fn join(message: &str, reason: &str) -> String {
    if reason.is_empty() {
        message.to_owned()
    } else {
        format!("{message}: {reason}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_kept_apart_with_their_continuations() {
        begin();
        receive(2, "hello\n");
        receive(4, "it ");
        receive(5, "broke\n");
        receive(2, "bye\n");
        assert_eq!(take_errors(), "it broke");
        assert_eq!(take(), "hello\nit broke\nbye\n");
        assert_eq!(take_errors(), "");
    }

    #[test]
    fn a_long_log_is_cut_at_a_character() {
        begin();
        receive(2, &"x".repeat(KEPT_BYTES - 1));
        receive(2, "é");
        assert_eq!(take().len(), KEPT_BYTES - 1);
    }
}
