//! The text of a completion as it grows: whole characters, and nothing of a stop string.

/// Turns bytes that come in pieces into text.
///
/// Bytes of a character that is not complete wait for the next piece; bytes that can never be a character become
/// U+FFFD, one for each maximal part, as Python's `errors="replace"` does it.
#[derive(Default)]
struct Decoder {
    waiting: Vec<u8>,
}

impl Decoder {
    fn push(&mut self, bytes: &[u8], text: &mut String) {
        self.waiting.extend_from_slice(bytes);
        let mut start = 0;
        loop {
            match std::str::from_utf8(&self.waiting[start..]) {
                Ok(valid) => {
                    text.push_str(valid);
                    start = self.waiting.len();
                    break;
                }
                Err(error) => {
                    let end = start + error.valid_up_to();
                    // the part before the error is valid, so nothing is replaced here
                    text.push_str(&String::from_utf8_lossy(&self.waiting[start..end]));
                    start = end;
                    let Some(length) = error.error_len() else { break };
                    text.push(char::REPLACEMENT_CHARACTER);
                    start += length;
                }
            }
        }
        self.waiting.drain(..start);
    }

    fn finish(&mut self, text: &mut String) {
        if !self.waiting.is_empty() {
            text.push(char::REPLACEMENT_CHARACTER);
            self.waiting.clear();
        }
    }
}

/// The text that may be shown so far.
pub struct Text {
    stops: Vec<Vec<u8>>,
    /// Bytes that are not shown yet, because they may begin a stop string.
    held: Vec<u8>,
    decoder: Decoder,
    ready: String,
}

impl Text {
    /// Text that ends before the first of these byte strings; empty ones are ignored.
    pub fn new(stops: &[Vec<u8>]) -> Self {
        let stops = stops.iter().filter(|stop| !stop.is_empty()).cloned().collect();
        Self { stops, held: Vec::new(), decoder: Decoder::default(), ready: String::new() }
    }

    /// Add the bytes of a token; true when they complete a stop string, before which the text then ends.
    pub fn push(&mut self, bytes: &[u8]) -> bool {
        if self.stops.is_empty() {
            self.decoder.push(bytes, &mut self.ready);
            return false;
        }
        self.held.extend_from_slice(bytes);
        let stop = self.stops.iter().filter_map(|stop| find(&self.held, stop)).min();
        let end = stop.unwrap_or_else(|| self.held.len() - self.count_held());
        self.decoder.push(&self.held[..end], &mut self.ready);
        self.held.drain(..end);
        if stop.is_some() {
            self.held.clear();
        }
        stop.is_some()
    }

    /// How many of the last bytes are the beginning of a stop string.
    fn count_held(&self) -> usize {
        let begins = |stop: &Vec<u8>| {
            let longest = (stop.len() - 1).min(self.held.len());
            (1..=longest).rev().find(|&length| self.held.ends_with(&stop[..length])).unwrap_or(0)
        };
        self.stops.iter().map(begins).max().unwrap_or(0)
    }

    /// Say whether there is text that was not taken.
    pub fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Take the text that may be shown.
    pub fn take(&mut self) -> String {
        std::mem::take(&mut self.ready)
    }

    /// Show what was held, since no more comes.
    pub fn finish(&mut self) {
        let held = std::mem::take(&mut self.held);
        self.decoder.push(&held, &mut self.ready);
        self.decoder.finish(&mut self.ready);
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(pieces: &[&[u8]]) -> Vec<String> {
        let mut text = Text::new(&[]);
        let mut shown: Vec<String> = pieces
            .iter()
            .map(|piece| {
                text.push(piece);
                text.take()
            })
            .collect();
        text.finish();
        shown.push(text.take());
        shown
    }

    #[test]
    fn characters_are_whole() {
        assert_eq!(decode(&[b"a\xe2", b"\x82", b"\xacb"]), ["a", "", "€b", ""]);
        assert_eq!(decode(&["😀".as_bytes()]), ["😀", ""]);
    }

    #[test]
    fn bytes_that_are_no_character_are_replaced() {
        assert_eq!(decode(&[b"a\xffb", b"\xe2\x82"]), ["a\u{fffd}b", "", "\u{fffd}"]);
        assert_eq!(decode(&[b"\xe2\x82", b"x"]), ["", "\u{fffd}x", ""]);
        assert_eq!(decode(&[b"\xf0\x9f\x98", b"\xff"]), ["", "\u{fffd}\u{fffd}", ""]);
    }

    fn run(stops: &[&str], pieces: &[&str]) -> (String, bool) {
        let mut text = Text::new(&stops.iter().map(|stop| stop.as_bytes().to_vec()).collect::<Vec<_>>());
        let stopped = pieces.iter().any(|piece| text.push(piece.as_bytes()));
        text.finish();
        (text.take(), stopped)
    }

    #[test]
    fn text_ends_before_a_stop_string() {
        assert_eq!(run(&["\n\n"], &["a\n", "b\n", "\nc"]), ("a\nb".into(), true));
        assert_eq!(run(&["bc", "abcd"], &["xabcd"]), ("x".into(), true));
        assert_eq!(run(&["END"], &["E", "N", "ENDE"]), ("EN".into(), true));
        assert_eq!(run(&["END"], &["E", "N"]), ("EN".into(), false));
        assert_eq!(run(&[""], &["a"]), ("a".into(), false));
        assert_eq!(run(&["é"], &["aé"]), ("a".into(), true));
    }

    #[test]
    fn what_may_begin_a_stop_string_is_held_back() {
        let mut text = Text::new(&[b"stop".to_vec()]);
        assert!(!text.push(b"go st"));
        assert_eq!(text.take(), "go ");
        assert!(!text.push(b"ore"));
        assert_eq!(text.take(), "store");
    }
}
