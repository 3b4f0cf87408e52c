//! Text to tokens and back, and what a model says about itself. Only reads the model, from any thread.

use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;
use llama_rs_logic::error::{Error, Result};

use crate::raw::{self, ModelFacts};

const NO_VOCABULARY: u32 = llama_cpp_sys_2::LLAMA_VOCAB_TYPE_NONE;
const LARGEST_TEXT: usize = i32::MAX as usize;

/// What a model is; ids are -1 where the vocabulary has no such token.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Description {
    pub n_vocab: i32,
    pub n_embd: i32,
    pub n_ctx_train: u32,
    pub n_layer: u32,
    pub n_params: u64,
    pub size: u64,
    pub vocab_type: u32,
    pub add_bos: bool,
    pub add_eos: bool,
    /// Names and ids of the tokens with a meaning.
    pub special: [(&'static str, i32); 9],
}

impl Description {
    /// Describe a model.
    pub(crate) fn read(model: &LlamaModel, facts: &ModelFacts) -> Self {
        let vocab = model.vocab();
        Self {
            n_vocab: vocab.n_tokens(),
            n_embd: model.n_embd(),
            n_ctx_train: model.n_ctx_train(),
            n_layer: model.n_layer(),
            n_params: model.n_params(),
            size: model.size(),
            vocab_type: facts.vocab_type,
            add_bos: vocab.should_add_bos(),
            add_eos: vocab.should_add_eos(),
            special: [
                ("bos", vocab.bos().0),
                ("eos", vocab.eos().0),
                ("eot", vocab.eot().0),
                ("sep", vocab.sep().0),
                ("nl", vocab.nl().0),
                ("pad", vocab.pad().0),
                ("fim_pre", vocab.fim_pre().0),
                ("fim_suf", vocab.fim_suf().0),
                ("fim_mid", vocab.fim_mid().0),
            ],
        }
    }

    /// The id of a special token.
    #[must_use]
    pub fn special_token(&self, name: &str) -> i32 {
        self.special.iter().find(|(known, _)| *known == name).map_or(-1, |(_, id)| *id)
    }
}

/// Read the file's metadata, as far as it is text.
pub fn read_metadata(model: &LlamaModel) -> Vec<(String, String)> {
    let read = |index| Some((model.meta_key_by_index(index).ok()?, model.meta_val_str_by_index(index).ok()?));
    (0..model.meta_count()).filter_map(read).collect()
}

/// Refuse tokens that the vocabulary does not have.
pub fn check_tokens(tokens: &[i32], n_vocab: i32) -> Result<()> {
    match tokens.iter().find(|token| !(0..n_vocab).contains(token)) {
        Some(token) => Err(Error::value(format!("the token {token} is not in the vocabulary of {n_vocab} tokens"))),
        None => Ok(()),
    }
}

fn check_vocabulary(model: &LlamaModel) -> Result<()> {
    if raw::read_facts(model).vocab_type == NO_VOCABULARY {
        return Err(Error::value("the model has no vocabulary"));
    }
    Ok(())
}

/// Turn text into tokens.
pub fn tokenize(model: &LlamaModel, text: &[u8], add_special: bool, parse_special: bool) -> Result<Vec<i32>> {
    check_vocabulary(model)?;
    if text.len() > LARGEST_TEXT {
        return Err(Error::value(format!("a text of {} bytes is too long to tokenize", text.len())));
    }
    let tokens = model.vocab().tokenize(text, add_special, parse_special);
    Ok(tokens.into_iter().map(|token| token.0).collect())
}

/// Join the pieces of tokens. `remove_special` leaves out the first and last token where the tokenizer would add them.
pub fn detokenize(model: &LlamaModel, tokens: &[i32], remove_special: bool, unparse_special: bool) -> Result<Vec<u8>> {
    check_vocabulary(model)?;
    let vocab = model.vocab();
    check_tokens(tokens, vocab.n_tokens())?;
    let mut tokens = tokens;
    if remove_special && vocab.should_add_bos() && tokens.first() == Some(&vocab.bos().0) {
        tokens = &tokens[1..];
    }
    if remove_special && vocab.should_add_eos() && tokens.last() == Some(&vocab.eos().0) {
        tokens = &tokens[..tokens.len() - 1];
    }
    let mut text = Vec::with_capacity(tokens.len() * 4);
    for &token in tokens {
        append_piece(model, token, &mut text, unparse_special);
    }
    Ok(text)
}

/// Append the bytes of a token that is known to be in the vocabulary.
pub fn append_piece(model: &LlamaModel, token: i32, text: &mut Vec<u8>, special: bool) {
    model.vocab().token_to_piece_into(LlamaToken(token), text, special, None);
}
