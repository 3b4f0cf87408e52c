//! The largest of many logits, without an array of llama.cpp's structures for the whole vocabulary.

/// Blocks are long enough to be worth a vectorised pass and short enough to search through.
const BLOCK: usize = 1024;
const LANES: usize = 16;

/// The largest number of a block; a loop that the compiler turns into vector instructions.
fn find_max(block: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let chunks = block.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane = if value > *lane { value } else { *lane };
        }
    }
    lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |max, &value| if value > max { value } else { max })
}

/// The index of the first largest logit; 0 when there is none.
pub fn arg_max(logits: &[f32]) -> usize {
    let mut best = (f32::NEG_INFINITY, 0);
    for (index, block) in logits.chunks(BLOCK).enumerate() {
        let max = find_max(block);
        if max > best.0 {
            best = (max, index * BLOCK);
        }
    }
    let (max, start) = best;
    let end = logits.len().min(start + BLOCK);
    let is_max = |value: &f32| *value >= max;
    logits[start..end].iter().position(is_max).map_or(0, |index| start + index)
}

/// A logit with its token.
pub type Candidate = (f32, i32);

/// Put the `count` largest logits into `heap`, the largest first.
///
/// Equal logits come out in the order that llama.cpp's sampler has them in: it calls `std::partial_sort`, so this is
/// the heap of libstdc++, step by step, but read from the plain logits and skipping blocks without anything large.
pub fn select_top(logits: &[f32], count: usize, heap: &mut Vec<Candidate>) {
    let count = count.min(logits.len());
    heap.clear();
    heap.extend(logits[..count].iter().enumerate().map(|(token, &logit)| (logit, token as i32)));
    if count == 0 {
        return;
    }
    for parent in (0..count / 2).rev() {
        let value = heap[parent];
        sift(heap, parent, count, value);
    }
    for (index, block) in logits[count..].chunks(LANES * 4).enumerate() {
        if find_max(block) <= heap[0].0 {
            continue;
        }
        let start = count + index * LANES * 4;
        for (offset, &logit) in block.iter().enumerate() {
            if logit > heap[0].0 {
                sift(heap, 0, count, (logit, (start + offset) as i32));
            }
        }
    }
    for last in (1..count).rev() {
        let value = heap[last];
        heap[last] = heap[0];
        sift(heap, 0, last, value);
    }
}

/// Put a value into the hole of a heap whose root is the smallest: down to a leaf first, then up to its place.
fn sift(heap: &mut [Candidate], top: usize, length: usize, value: Candidate) {
    let mut hole = top;
    let mut child = top;
    while child < (length - 1) / 2 {
        child = 2 * (child + 1);
        if heap[child].0 > heap[child - 1].0 {
            child -= 1;
        }
        heap[hole] = heap[child];
        hole = child;
    }
    if length % 2 == 0 && child == (length.wrapping_sub(2)) / 2 {
        child = 2 * (child + 1);
        heap[hole] = heap[child - 1];
        hole = child - 1;
    }
    while hole > top {
        let parent = (hole - 1) / 2;
        if heap[parent].0 <= value.0 {
            break;
        }
        heap[hole] = heap[parent];
        hole = parent;
    }
    heap[hole] = value;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that look random and, with few `values`, repeat.
    fn make_logits(length: usize, values: u64) -> Vec<f32> {
        let mut state = 88_172_645_463_325_252_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        (0..length).map(|_| (next() % values) as f32 / 7.0 - 20.0).collect()
    }

    #[test]
    fn the_first_largest_is_found() {
        for length in [1, 2, 15, 16, 17, 1023, 1024, 1025, 5000] {
            for values in [1, 3, 1 << 20] {
                let logits = make_logits(length, values);
                let max = logits.iter().copied().fold(f32::MIN, f32::max);
                let first = logits.iter().position(|value| value.to_bits() == max.to_bits());
                assert_eq!(Some(arg_max(&logits)), first, "{length} {values}");
            }
        }
        assert_eq!(arg_max(&[]), 0);
        assert_eq!(arg_max(&[f32::NEG_INFINITY; 20]), 0);
        assert_eq!(arg_max(&[f32::NAN, 1.0]), 1);
    }

    #[test]
    fn the_largest_are_selected_in_order() {
        let mut heap = Vec::new();
        for length in [1, 2, 40, 41, 500, 5000] {
            for count in [1, 2, 3, 40, 128] {
                let logits = make_logits(length, 1 << 40);
                select_top(&logits, count, &mut heap);
                let mut sorted: Vec<Candidate> = logits.iter().copied().zip(0..).collect();
                sorted.sort_by(|left, right| right.0.total_cmp(&left.0));
                sorted.truncate(count);
                assert_eq!(
                    heap.iter().map(|item| item.0).collect::<Vec<_>>(),
                    sorted.iter().map(|item| item.0).collect::<Vec<_>>()
                );
                assert!(heap.iter().all(|&(logit, token)| logits[token as usize].to_bits() == logit.to_bits()));
            }
        }
        select_top(&[], 5, &mut heap);
        assert!(heap.is_empty());
    }

    #[test]
    fn equal_logits_are_all_different_tokens() {
        let mut heap = Vec::new();
        select_top(&make_logits(1000, 4), 100, &mut heap);
        let mut tokens: Vec<i32> = heap.iter().map(|item| item.1).collect();
        tokens.sort_unstable();
        tokens.dedup();
        assert_eq!(tokens.len(), 100);
    }
}
