//! How a token is chosen: the settings and their ranges.

use crate::error::{Error, Result};
use crate::value::{settings, Setting, Value};

/// Deeper brackets than this would let llama.cpp's recursive parser run out of stack.
const DEEPEST_GRAMMAR: usize = 512;
const LONGEST_GRAMMAR: usize = 4 << 20;

settings! {
    /// The settings of llama.cpp's samplers, by the names and with the defaults that `llama_cpp` has.
    Sampling {
        temperature: f64 = 0.8;
        top_k: i64 = 40;
        top_p: f64 = 0.95;
        min_p: f64 = 0.05;
        typical_p: f64 = 1.0;
        repeat_penalty: f64 = 1.0;
        frequency_penalty: f64 = 0.0;
        presence_penalty: f64 = 0.0;
        penalty_last_n: i64 = 64;
        mirostat_mode: i64 = 0, in 0..=2;
        mirostat_tau: f64 = 5.0;
        mirostat_eta: f64 = 0.1;
        seed: u32 = u32::MAX;
        logit_bias: Vec<(i32, f32)> = Vec::new();
        grammar: Option<String> = None;
    }
}

/// Read settings by their names; what is not named has its default.
pub fn read(given: &[(String, Value)]) -> Result<Sampling> {
    let mut sampling = Sampling::default();
    for (name, value) in given {
        if !sampling.set(name, value)? {
            return Err(Error::Type(format!("there is no setting {name} of the samplers")));
        }
    }
    Ok(sampling)
}

impl Setting for Vec<(i32, f32)> {
    type Bounds = ();

    fn read(name: &str, value: &Value) -> Result<Self> {
        let table = match value {
            Value::None => return Ok(Vec::new()),
            Value::Table(table) => table,
            _ => return Err(value.refuse(name, "a dict of token to number")),
        };
        let read = |(token, bias): &(Value, Value)| {
            // JSON has texts for keys
            let number = match token {
                Value::Text(text) => text.trim().parse().map_err(|_| token.refuse("a key of logit_bias", "a token"))?,
                _ => i64::read("a key of logit_bias", token)?,
            };
            let token = i32::try_from(number).map_err(|_| Error::value(format!("{name} has the token {number}")))?;
            Ok((token, f64::read("a value of logit_bias", bias)? as f32))
        };
        table.iter().map(read).collect()
    }

    fn check(&self, name: &str, _bounds: Option<()>) -> Result<()> {
        match self.iter().find(|(_, bias)| bias.is_nan()) {
            Some((token, _)) => Err(Error::value(format!("{name} has no number for the token {token}"))),
            None => Ok(()),
        }
    }
}

impl Sampling {
    /// Refuse what llama.cpp would take for something else or stop the process for.
    pub fn check(&self, n_vocab: i32) -> Result<()> {
        self.check_bounds()?;
        if self.repeat_penalty <= 0.0 {
            return Err(Error::value(format!("repeat_penalty must be above 0, and is {}", self.repeat_penalty)));
        }
        for (token, _) in &self.logit_bias {
            if !(0..n_vocab).contains(token) {
                return Err(Error::value(format!("logit_bias has the token {token}; the vocabulary has {n_vocab}")));
            }
        }
        self.grammar.as_deref().map_or(Ok(()), check_grammar)
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
    fn settings_are_read() {
        let biases = Value::Table(vec![(Value::Text("7".into()), Value::Int(1)), (Value::Int(8), Value::Float(0.5))]);
        let given = [("logit_bias".into(), biases), ("seed".into(), Value::Int(-1)), ("top_k".into(), Value::Int(5))];
        let read_all = read(&given).unwrap();
        assert_eq!((read_all.logit_bias, read_all.top_k), (vec![(7, 1.0), (8, 0.5)], 5));
        let refuse = |name: &str, value: Value| read(&[(name.into(), value)]).unwrap_err();
        let bias = |key: Value, value: Value| refuse("logit_bias", Value::Table(vec![(key, value)]));
        assert!(matches!(bias(Value::Text("x".into()), Value::Int(1)), Error::Type(_)));
        assert!(matches!(bias(Value::Int(1), Value::Text("x".into())), Error::Type(_)));
        assert!(matches!(bias(Value::Int(1 << 40), Value::Int(1)), Error::Value(_)));
        assert!(matches!(refuse("temperature", Value::None), Error::Type(_)));
        assert!(matches!(refuse("tfs_z", Value::Float(1.0)), Error::Type(_)));
    }

    #[test]
    fn penalties_without_effect_are_recognised() {
        let none = Sampling { repeat_penalty: 1.3, penalty_last_n: 0, ..Sampling::default() };
        let some = Sampling { presence_penalty: 0.1, ..Sampling::default() };
        assert!(none.leaves_logits() && !some.leaves_logits());
    }
}
