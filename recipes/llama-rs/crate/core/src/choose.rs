//! Choose a token from the logits, by the shortest way that gives what llama.cpp's whole chain would give.

use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::sampling::LlamaSampler;
use llama_cpp_2::token::data::LlamaTokenData;
use llama_cpp_2::token::data_array::LlamaTokenDataArray;
use llama_cpp_2::token::logit_bias::LlamaLogitBias;
use llama_cpp_2::token::LlamaToken;
use llama_rs_logic::error::{Error, Result};
use llama_rs_logic::log::{self, join};
use llama_rs_logic::sampling::Sampling;
use llama_rs_logic::select::{arg_max, select_top, Candidate};

/// Up to here llama.cpp's sampler `top_k` sorts by a heap, which `select_top` does the same way.
const MOST_SELECTED: i64 = 128;
/// How many tokens mirostat 1 estimates from; `llama_cpp` has the same.
const MIROSTAT_TOKENS: i32 = 100;
const MIN_KEEP: usize = 1;

/// Chooses token after token; keeps what its samplers remember, and its buffers.
pub struct Chooser {
    way: Way,
    array: LlamaTokenDataArray,
}

enum Way {
    /// The largest logit.
    Greedy,
    /// The `count` largest logits, then the rest of the chain on those.
    Selected { count: usize, chain: LlamaSampler, heap: Vec<Candidate> },
    /// All of the vocabulary: what changes logits, then what chooses.
    Whole { change: LlamaSampler, choose: LlamaSampler, has_grammar: bool },
}

impl Chooser {
    /// Make the samplers of these settings.
    pub fn new(model: &LlamaModel, sampling: &Sampling, n_ctx: usize) -> Result<Self> {
        let n_vocab = model.vocab().n_tokens();
        sampling.check(n_vocab)?;
        let way = if sampling.leaves_logits() && sampling.temperature == 0.0 {
            Way::Greedy
        } else if can_select(sampling) {
            let chain = LlamaSampler::chain(make_last(sampling), true);
            Way::Selected { count: sampling.top_k as usize, chain, heap: Vec::new() }
        } else {
            Way::Whole {
                change: LlamaSampler::chain(make_first(model, sampling, n_ctx)?, true),
                choose: LlamaSampler::chain(make_choosing(sampling, n_vocab), true),
                has_grammar: sampling.grammar.is_some(),
            }
        };
        Ok(Self { way, array: LlamaTokenDataArray::new(Vec::new(), false) })
    }

    /// Choose a token and remember it.
    pub fn choose(&mut self, logits: &[f32]) -> Result<i32> {
        let array = &mut self.array;
        match &mut self.way {
            Way::Greedy => Ok(arg_max(logits) as i32),
            Way::Selected { count, chain, heap } => {
                select_top(logits, *count, heap);
                fill(array, heap.iter().copied(), true);
                chain.apply(array);
                let token = get_selected(array)?;
                chain.accept(token);
                Ok(token.0)
            }
            Way::Whole { change, choose, has_grammar } => {
                // llama.cpp sorts without a defined order for what is no number
                if logits.iter().fold(false, |found, logit| found | logit.is_nan()) {
                    return Err(Error::engine("the model returned logits that are no numbers"));
                }
                fill(array, logits.iter().copied().zip(0..), false);
                change.apply(array);
                if *has_grammar {
                    check_allowed(array)?;
                }
                choose.apply(array);
                let token = get_selected(array)?;
                change.accept(token);
                choose.accept(token);
                Ok(token.0)
            }
        }
    }
}

fn fill(array: &mut LlamaTokenDataArray, candidates: impl Iterator<Item = Candidate>, sorted: bool) {
    array.data.clear();
    array.data.extend(candidates.map(|(logit, token)| LlamaTokenData::new(LlamaToken(token), logit, 0.0)));
    array.selected = None;
    array.sorted = sorted;
}

/// llama.cpp ends the process when a grammar is told of a token that it does not allow.
fn check_allowed(array: &LlamaTokenDataArray) -> Result<()> {
    if array.data.iter().any(|candidate| candidate.logit() > f32::NEG_INFINITY) {
        return Ok(());
    }
    Err(Error::engine("the grammar allows none of the vocabulary's tokens here"))
}

fn get_selected(array: &LlamaTokenDataArray) -> Result<LlamaToken> {
    let candidate = array.selected.and_then(|index| array.data.get(index));
    let candidate = candidate.ok_or_else(|| Error::engine("llama.cpp's samplers chose no token"))?;
    if candidate.logit() > f32::NEG_INFINITY {
        return Ok(candidate.id());
    }
    Err(Error::engine("logit_bias and grammar leave no token to choose"))
}

/// The samplers after `top_k` see the same candidates when those are selected beforehand, if none before it changes logits.
fn can_select(sampling: &Sampling) -> bool {
    sampling.leaves_logits()
        && sampling.temperature > 0.0
        && sampling.mirostat_mode == 0
        && sampling.typical_p as f32 >= 1.0
        && (1..=MOST_SELECTED).contains(&sampling.top_k)
}

fn make_first(model: &LlamaModel, sampling: &Sampling, n_ctx: usize) -> Result<Vec<LlamaSampler>> {
    let n_vocab = model.vocab().n_tokens();
    let mut samplers = Vec::new();
    if !sampling.logit_bias.is_empty() {
        let biases = sampling.logit_bias.iter().map(|&(token, bias)| LlamaLogitBias::new(LlamaToken(token), bias));
        samplers.push(LlamaSampler::logit_bias(n_vocab, &biases.collect::<Vec<_>>()));
    }
    if !sampling.has_no_penalties() {
        // a completion has no more tokens than the context, and llama.cpp allocates what it is told
        let last_n = sampling.penalty_last_n.min(n_ctx as i64) as i32;
        let (frequency, presence) = (sampling.frequency_penalty as f32, sampling.presence_penalty as f32);
        samplers.push(LlamaSampler::penalties(n_vocab, last_n, sampling.repeat_penalty as f32, frequency, presence));
    }
    if let Some(grammar) = &sampling.grammar {
        samplers.push(make_grammar(model, grammar)?);
    }
    Ok(samplers)
}

fn make_grammar(model: &LlamaModel, grammar: &str) -> Result<LlamaSampler> {
    log::take_errors();
    LlamaSampler::grammar(model, grammar, "root")
        .map_err(|_| Error::value(join("the grammar cannot be used", &log::take_errors())))
}

fn make_choosing(sampling: &Sampling, n_vocab: i32) -> Vec<LlamaSampler> {
    let seed = sampling.seed;
    let (tau, eta) = (sampling.mirostat_tau as f32, sampling.mirostat_eta as f32);
    if sampling.temperature < 0.0 {
        return vec![LlamaSampler::dist(seed)];
    }
    if sampling.temperature == 0.0 {
        return vec![LlamaSampler::greedy()];
    }
    match sampling.mirostat_mode {
        1 => vec![LlamaSampler::mirostat(n_vocab, seed, tau, eta, MIROSTAT_TOKENS)],
        2 => vec![LlamaSampler::mirostat_v2(seed, tau, eta)],
        _ => {
            let top_k = sampling.top_k.clamp(0, i64::from(n_vocab)) as i32;
            let mut samplers = vec![LlamaSampler::top_k(top_k)];
            samplers.extend(make_last(sampling));
            samplers
        }
    }
}

fn make_last(sampling: &Sampling) -> [LlamaSampler; 5] {
    [
        LlamaSampler::typical(sampling.typical_p as f32, MIN_KEEP),
        LlamaSampler::top_p(sampling.top_p as f32, MIN_KEEP),
        LlamaSampler::min_p(sampling.min_p as f32, MIN_KEEP),
        LlamaSampler::temp(sampling.temperature as f32),
        LlamaSampler::dist(sampling.seed),
    ]
}
