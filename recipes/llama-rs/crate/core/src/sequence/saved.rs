//! The context's state as bytes, and back.

use llama_rs_logic::error::{Error, Result};
use llama_rs_logic::log::{self, join};
use llama_rs_logic::state;

use super::Sequence;
use crate::vocabulary::check_tokens;

impl Sequence {
    /// The state of the context's memory.
    pub fn save_state(&mut self) -> Result<Vec<u8>> {
        log::take_errors();
        let data = self.context()?.read_state()?;
        let data = data.ok_or_else(|| Error::engine(join("llama.cpp saved no state", &log::take_errors())))?;
        state::pack(&data, self.fingerprint)
    }

    /// Put a saved state back, which was the one after `tokens`.
    pub fn load_state(&mut self, packed: &[u8], tokens: &[i32]) -> Result<()> {
        check_tokens(tokens, self.n_vocab())?;
        let data = state::unpack(packed, self.fingerprint)?;
        log::take_errors();
        self.reset()?;
        let context = self.context()?;
        if !context.write_state(data) {
            self.reset()?;
            return Err(Error::engine(join("llama.cpp did not take the state", &log::take_errors())));
        }
        let last = context.positions().1;
        if context.has_memory() && last + 1 != tokens.len() as i32 {
            self.reset()?;
            let message = format!("the state is that of {} tokens, and input_ids has {}", last + 1, tokens.len());
            return Err(Error::value(message));
        }
        self.tokens = tokens.to_vec();
        self.first_kept = tokens.len();
        Ok(())
    }
}
