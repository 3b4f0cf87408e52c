//! How fast the context is, without sampling.

use std::time::Instant;

use llama_rs_logic::error::{Error, Result};

use super::{to_ms, Sequence};

/// Milliseconds of one pass without sampling.
#[derive(Clone, Copy, Debug)]
pub struct Bench {
    /// For the prompt.
    pub prompt_ms: f64,
    /// For the tokens after it, one at a time.
    pub predicted_ms: f64,
}

impl Sequence {
    /// Time a prompt and single tokens, as llama-bench does: any tokens, no sampling, the context empty before.
    pub fn bench(&mut self, n_prompt: usize, n_gen: usize) -> Result<Bench> {
        let n_ctx = self.context()?.n_ctx();
        if n_prompt + n_gen > n_ctx {
            return Err(Error::value(format!("{n_prompt} + {n_gen} tokens do not fit into n_ctx = {n_ctx}")));
        }
        let n_vocab = self.n_vocab().max(1) as usize;
        // spread over the vocabulary, and the same in each run
        let token = |index: usize| (index.wrapping_mul(7919) % n_vocab) as i32;
        self.reset()?;
        let started = Instant::now();
        self.eval(&(0..n_prompt).map(token).collect::<Vec<_>>())?;
        let prompted = Instant::now();
        for index in 0..n_gen {
            self.eval(&[token(n_prompt + index)])?;
        }
        let prompt_ms = to_ms(prompted - started);
        let predicted_ms = to_ms(prompted.elapsed());
        self.reset()?;
        Ok(Bench { prompt_ms, predicted_ms })
    }
}
