//! A completion in one loop: reuse what is cached, decode the rest of the prompt, then token after token.

use std::time::Instant;

use llama_cpp_2::token::LlamaToken;
use llama_rs_logic::cancel;
use llama_rs_logic::error::{Error, Result};
use llama_rs_logic::logprobs::{self, TokenLogprobs};
use llama_rs_logic::select::Candidate;
use llama_rs_logic::text::Text;

use crate::choose::Chooser;
use crate::sequence::{to_ms, Sequence};
use crate::vocabulary::append_piece;

/// When a completion ends, and what is said about it.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many tokens at most; None until the context is full.
    pub max_tokens: Option<usize>,
    /// Byte strings that end the text.
    pub stop: Vec<Vec<u8>>,
    /// How many alternatives to each token; None without logarithms of probabilities.
    pub logprobs: Option<usize>,
    /// How many tokens are sent at once; None for all of them in the last part.
    pub group: Option<usize>,
}

/// Why a completion ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// A token that ends generation, or a stop string.
    Stop,
    /// As many tokens as were asked for, or as the context has room for.
    Length,
}

/// Counts and durations of a completion.
#[derive(Clone, Copy, Debug)]
pub struct Timings {
    /// Tokens of the prompt that were in the context already.
    pub cache_n: usize,
    /// Tokens of the prompt that were decoded.
    pub prompt_n: usize,
    /// Milliseconds for those.
    pub prompt_ms: f64,
    /// Tokens of the completion.
    pub predicted_n: usize,
    /// Milliseconds from the end of the prompt to that of the completion.
    pub predicted_ms: f64,
    /// Milliseconds from the call to the first token, also those that it waited for other calls.
    pub first_token_ms: f64,
    /// Milliseconds that loading the model took.
    pub load_ms: f64,
}

/// A part of a completion.
#[derive(Clone, Debug, Default)]
pub struct Part {
    /// Whole characters; may end before the part's last token.
    pub text: String,
    /// The tokens, without the one that ended the generation.
    pub tokens: Vec<i32>,
    /// One for each token, if asked for.
    pub logprobs: Option<Vec<TokenLogprobs>>,
    /// Set in the last part.
    pub end: Option<(FinishReason, Timings)>,
}

/// A completion that is ready to run.
pub struct Completion {
    pub prompt: Vec<i32>,
    pub chooser: Chooser,
    pub options: Options,
    pub called: Instant,
}

impl Completion {
    /// Run to the end; `send` takes the parts and returns false when nobody wants more.
    pub fn run(self, sequence: &mut Sequence, send: impl FnMut(Part) -> bool) -> Result<()> {
        let started = Instant::now();
        let cache_n = self.fill_context(sequence)?;
        let prompted = Instant::now();
        let timings = Timings {
            cache_n,
            prompt_n: self.prompt.len() - cache_n,
            prompt_ms: to_ms(prompted - started),
            predicted_n: 0,
            predicted_ms: 0.0,
            first_token_ms: 0.0,
            load_ms: sequence.load_ms,
        };
        let room = sequence.context()?.n_ctx() - self.prompt.len();
        let most = self.options.max_tokens.map_or(room, |most| most.min(room));
        let part = self
            .options
            .logprobs
            .map_or_else(Part::default, |_| Part { logprobs: Some(Vec::new()), ..Part::default() });
        let text = Text::new(&self.options.stop);
        let state = Run {
            completion: self,
            prompted,
            timings,
            most,
            part,
            text,
            send,
            sent: false,
            bytes: 0,
            heap: Vec::new(),
        };
        state.generate(sequence)
    }

    /// Bring the prompt into the context; returns how many of its tokens were there.
    fn fill_context(&self, sequence: &mut Sequence) -> Result<usize> {
        if self.prompt.is_empty() {
            return Err(Error::value("the prompt has no tokens"));
        }
        let n_ctx = sequence.context()?.n_ctx();
        if self.prompt.len() >= n_ctx {
            let length = self.prompt.len();
            return Err(Error::value(format!("the prompt has {length} tokens, and the context has room for {n_ctx}")));
        }
        let common = sequence.tokens().iter().zip(&self.prompt).take_while(|(left, right)| left == right).count();
        // the last token is decoded in any case, for its logits
        sequence.keep(common.min(self.prompt.len() - 1))?;
        let cache_n = sequence.tokens().len();
        sequence.eval(&self.prompt[cache_n..])?;
        Ok(cache_n)
    }
}

/// A completion in the middle of its tokens.
struct Run<Send> {
    completion: Completion,
    prompted: Instant,
    timings: Timings,
    most: usize,
    part: Part,
    text: Text,
    send: Send,
    /// Whether a part was sent: the first text is sent at once.
    sent: bool,
    /// The length of the completion so far.
    bytes: usize,
    heap: Vec<Candidate>,
}

impl<Send: FnMut(Part) -> bool> Run<Send> {
    fn generate(mut self, sequence: &mut Sequence) -> Result<()> {
        loop {
            let token = self.completion.chooser.choose(sequence.last_logits()?)?;
            if self.timings.predicted_n == 0 {
                self.timings.first_token_ms = to_ms(self.completion.called.elapsed());
            }
            if sequence.model.vocab().is_eog(LlamaToken(token)) {
                return self.finish(FinishReason::Stop);
            }
            if self.take(sequence, token)? {
                return self.finish(FinishReason::Stop);
            }
            if self.timings.predicted_n >= self.most {
                return self.finish(FinishReason::Length);
            }
            if !self.send_group() || cancel::is_requested() {
                return Err(Error::Cancelled);
            }
            sequence.eval(&[token])?;
        }
    }

    /// Add a token to the part; true when it completes a stop string.
    fn take(&mut self, sequence: &Sequence, token: i32) -> Result<bool> {
        let mut piece = Vec::new();
        append_piece(&sequence.model, token, &mut piece, false);
        if let (Some(list), Some(count)) = (&mut self.part.logprobs, self.completion.options.logprobs) {
            list.push(logprobs::compute(sequence.last_logits()?, token, count, self.bytes, &mut self.heap));
        }
        self.bytes += piece.len();
        self.part.tokens.push(token);
        self.timings.predicted_n += 1;
        Ok(self.text.push(&piece))
    }

    /// Send the part if it is due: the first text alone, then whenever there are enough tokens.
    fn send_group(&mut self) -> bool {
        let Some(group) = self.completion.options.group else { return true };
        if !self.text.is_ready() || (self.sent && self.part.tokens.len() < group) {
            return true;
        }
        self.sent = true;
        let empty = Part { logprobs: self.part.logprobs.as_ref().map(|_| Vec::new()), ..Part::default() };
        let part = std::mem::replace(&mut self.part, empty);
        (self.send)(Part { text: self.text.take(), ..part })
    }

    fn finish(mut self, reason: FinishReason) -> Result<()> {
        self.text.finish();
        let timings = Timings { predicted_ms: to_ms(self.prompted.elapsed()), ..self.timings };
        let part = Part { text: self.text.take(), end: Some((reason, timings)), ..self.part };
        if (self.send)(part) {
            Ok(())
        } else {
            Err(Error::Cancelled)
        }
    }
}
