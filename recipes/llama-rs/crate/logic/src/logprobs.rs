//! The logarithms of probabilities, from the logits as the model gave them.

use crate::select::{select_top, Candidate};

/// How probable a token was, and what else was.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenLogprobs {
    /// Of the token itself.
    pub logprob: f32,
    /// The most probable tokens, the most probable first; of equal ones the larger id first.
    pub top: Vec<(i32, f32)>,
    /// Where the token's first byte stands in the completion.
    pub offset: usize,
}

/// Compute the natural logarithm of the softmax for a token and the `count` most probable ones.
pub fn compute(logits: &[f32], token: i32, count: usize, offset: usize, heap: &mut Vec<Candidate>) -> TokenLogprobs {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let max = if max.is_finite() { max } else { 0.0 };
    let sum: f64 = logits.iter().map(|logit| f64::from((logit - max).exp())).sum();
    let log_sum = sum.ln() as f32;
    select_top(logits, count, heap);
    heap.sort_by(|left, right| right.0.total_cmp(&left.0).then(right.1.cmp(&left.1)));
    TokenLogprobs {
        logprob: logits[token as usize] - max - log_sum,
        top: heap.iter().map(|&(logit, token)| (token, logit - max - log_sum)).collect(),
        offset,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_are_those_of_the_softmax() {
        let logits = [1.0, 3.0, 2.0, 3.0];
        let found = compute(&logits, 2, 3, 5, &mut Vec::new());
        let sum: f32 = logits.iter().map(|logit: &f32| logit.exp()).sum();
        assert!((found.logprob - (2.0_f32.exp() / sum).ln()).abs() < 1e-6);
        assert_eq!(found.top.iter().map(|item| item.0).collect::<Vec<_>>(), [3, 1, 2]);
        assert_eq!(found.offset, 5);
    }

    #[test]
    fn more_than_the_vocabulary_is_all_of_it() {
        assert_eq!(compute(&[0.0, 0.0], 0, 10, 0, &mut Vec::new()).top.len(), 2);
    }
}
