//! How a token is chosen: the settings and their ranges.

use crate::error::{Error, Result};

/// Deeper brackets than this would let llama.cpp's recursive parser run out of stack.
const DEEPEST_GRAMMAR: usize = 512;
const LONGEST_GRAMMAR: usize = 4 << 20;

/// The settings of llama.cpp's samplers, by the names that `llama_cpp` has for them.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Sampling {
    pub temperature: f64,
    pub top_k: i64,
    pub top_p: f64,
    pub min_p: f64,
    pub typical_p: f64,
    pub repeat_penalty: f64,
    pub frequency_penalty: f64,
    pub presence_penalty: f64,
    pub penalty_last_n: i64,
    pub mirostat_mode: i64,
    pub mirostat_tau: f64,
    pub mirostat_eta: f64,
    pub seed: u32,
    pub logit_bias: Vec<(i32, f32)>,
    pub grammar: Option<String>,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            temperature: 0.8,
            top_k: 40,
            top_p: 0.95,
            min_p: 0.05,
            typical_p: 1.0,
            repeat_penalty: 1.0,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            penalty_last_n: 64,
            mirostat_mode: 0,
            mirostat_tau: 5.0,
            mirostat_eta: 0.1,
            seed: u32::MAX,
            logit_bias: Vec::new(),
            grammar: None,
        }
    }
}

impl Sampling {
    /// Refuse what llama.cpp would take for something else or stop the process for.
    pub fn check(&self, n_vocab: i32) -> Result<()> {
        self.check_numbers()?;
        if !(0..=2).contains(&self.mirostat_mode) {
            return Err(Error::value(format!("mirostat_mode must be 0, 1 or 2, and is {}", self.mirostat_mode)));
        }
        if self.repeat_penalty <= 0.0 {
            return Err(Error::value(format!("repeat_penalty must be above 0, and is {}", self.repeat_penalty)));
        }
        for (token, bias) in &self.logit_bias {
            if !(0..n_vocab).contains(token) {
                return Err(Error::value(format!("logit_bias has the token {token}; the vocabulary has {n_vocab}")));
            }
            if bias.is_nan() {
                return Err(Error::value(format!("logit_bias has no number for the token {token}")));
            }
        }
        self.grammar.as_deref().map_or(Ok(()), check_grammar)
    }

    fn check_numbers(&self) -> Result<()> {
        let numbers = [
            ("temperature", self.temperature),
            ("top_p", self.top_p),
            ("min_p", self.min_p),
            ("typical_p", self.typical_p),
            ("repeat_penalty", self.repeat_penalty),
            ("frequency_penalty", self.frequency_penalty),
            ("presence_penalty", self.presence_penalty),
            ("mirostat_tau", self.mirostat_tau),
            ("mirostat_eta", self.mirostat_eta),
        ];
        match numbers.iter().find(|(_, number)| !(*number as f32).is_finite()) {
            Some((name, number)) => Err(Error::value(format!("{name} must be a finite number, and is {number}"))),
            None => Ok(()),
        }
    }

    /// Say whether the penalties change nothing.
    pub fn has_no_penalties(&self) -> bool {
        let is_neutral = |number: f64, neutral: f32| (number as f32 - neutral).abs() < f32::MIN_POSITIVE;
        self.penalty_last_n <= 0
            || (is_neutral(self.repeat_penalty, 1.0)
                && is_neutral(self.frequency_penalty, 0.0)
                && is_neutral(self.presence_penalty, 0.0))
    }

    /// Say whether the logits go to the last samplers as the model gave them.
    pub fn leaves_logits(&self) -> bool {
        self.has_no_penalties() && self.logit_bias.is_empty() && self.grammar.is_none()
    }
}

fn check_grammar(grammar: &str) -> Result<()> {
    if grammar.contains('\0') {
        return Err(Error::value("the grammar has a zero byte"));
    }
    if grammar.len() > LONGEST_GRAMMAR {
        return Err(Error::value(format!("the grammar has {} bytes; {LONGEST_GRAMMAR} is the most", grammar.len())));
    }
    let mut depth = 0_usize;
    for byte in grammar.bytes() {
        match byte {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEEPEST_GRAMMAR {
            return Err(Error::value(format!("the grammar has more than {DEEPEST_GRAMMAR} open brackets")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut Sampling)) -> String {
        let mut sampling = Sampling::default();
        change(&mut sampling);
        sampling.check(10).unwrap_err().to_string()
    }

    #[test]
    fn the_defaults_are_fine() {
        assert_eq!(Sampling::default().check(10), Ok(()));
        assert!(Sampling::default().leaves_logits());
    }

    #[test]
    fn bad_values_are_named() {
        assert!(refused(|sampling| sampling.temperature = f64::NAN).contains("temperature"));
        assert!(refused(|sampling| sampling.top_p = f64::INFINITY).contains("top_p"));
        assert!(refused(|sampling| sampling.repeat_penalty = 0.0).contains("repeat_penalty"));
        assert!(refused(|sampling| sampling.mirostat_mode = 3).contains("mirostat_mode"));
        assert!(refused(|sampling| sampling.logit_bias = vec![(10, 1.0)]).contains("logit_bias"));
        assert!(refused(|sampling| sampling.logit_bias = vec![(1, f32::NAN)]).contains("logit_bias"));
        assert!(refused(|sampling| sampling.grammar = Some("(".repeat(1000))).contains("brackets"));
        assert!(refused(|sampling| sampling.grammar = Some("root ::= \"\0\"".into())).contains("zero byte"));
    }

    #[test]
    fn penalties_without_effect_are_recognised() {
        let none = Sampling { repeat_penalty: 1.3, penalty_last_n: 0, ..Sampling::default() };
        let some = Sampling { presence_penalty: 0.1, ..Sampling::default() };
        assert!(none.leaves_logits() && !some.leaves_logits());
    }
}
