//! Embeddings: each input alone in an empty context.

use llama_rs_logic::error::{Error, Result};
use llama_rs_logic::{cancel, log};

use super::{explain, Sequence};
use crate::raw::Outputs;
use crate::vocabulary::check_tokens;

const POOLING_NONE: i32 = llama_cpp_sys_2::LLAMA_POOLING_TYPE_NONE;
const POOLING_RANK: i32 = llama_cpp_sys_2::LLAMA_POOLING_TYPE_RANK;

impl Sequence {
    /// Compute embeddings: one row a token without pooling, one row otherwise.
    pub fn embed(&mut self, inputs: &[Vec<i32>]) -> Result<Vec<Vec<Vec<f32>>>> {
        if !self.settings.embedding {
            return Err(Error::engine("the model was not loaded with embedding=True"));
        }
        let size = self.batch_size()?;
        for input in inputs {
            check_tokens(input, self.n_vocab())?;
            if input.is_empty() || input.len() > size {
                return Err(Error::value(format!(
                    "an input has {} tokens; from 1 to {size} are possible",
                    input.len()
                )));
            }
        }
        let rows = inputs.iter().map(|input| self.embed_one(input)).collect();
        self.reset()?;
        rows
    }

    fn embed_one(&mut self, input: &[i32]) -> Result<Vec<Vec<f32>>> {
        self.reset()?;
        self.context()?.set_embeddings(true);
        self.decode_unkept(input)?;
        let pooling = self.context()?.pooling_type();
        let length =
            if pooling == POOLING_RANK { self.facts.n_cls_out as usize } else { self.facts.n_embd_out as usize };
        let context = self.context()?;
        let rows: Option<Vec<_>> = if pooling == POOLING_NONE {
            (0..input.len()).map(|index| context.token_embedding(index as i32, length).map(<[f32]>::to_vec)).collect()
        } else {
            context.pooled_embedding(length).map(|row| vec![row.to_vec()])
        };
        rows.ok_or_else(|| Error::engine("llama.cpp returned no embeddings"))
    }

    /// Decode a whole input without taking its tokens into the context's list.
    fn decode_unkept(&mut self, input: &[i32]) -> Result<()> {
        if cancel::is_requested() {
            return Err(Error::Cancelled);
        }
        log::take_errors();
        let decoded = self.context()?.decode(input, 0, Outputs::All);
        decoded.map_err(|error| explain(&error, &log::take_errors()))
    }
}
