//! The bytes of a saved state: a header of our own before llama.cpp's data.
//!
//! llama.cpp trusts what it is given, so nothing reaches it that this file has not written: the header has the length
//! and a hash of the data and says which model it belongs to.

use crate::error::{Error, Result};

const MAGIC: &[u8; 8] = b"llamars\x01";
const HEADER: usize = 8 + 8 + 8 + 8;

/// Put the header before the data; `model` tells models apart.
pub fn pack(data: &[u8], model: u64) -> Result<Vec<u8>> {
    let mut packed = Vec::new();
    let size = HEADER + data.len();
    packed.try_reserve_exact(size).map_err(|_| Error::Memory(format!("a state of {size} bytes")))?;
    packed.extend_from_slice(MAGIC);
    for number in [model, data.len() as u64, hash(data)] {
        packed.extend_from_slice(&number.to_le_bytes());
    }
    packed.extend_from_slice(data);
    Ok(packed)
}

/// Return the data behind the header.
pub fn unpack(packed: &[u8], model: u64) -> Result<&[u8]> {
    let number = |index: usize| {
        let start = 8 + 8 * index;
        let bytes = packed.get(start..start + 8)?;
        Some(u64::from_le_bytes(bytes.try_into().ok()?))
    };
    if packed.len() < HEADER || !packed.starts_with(MAGIC) {
        return Err(Error::value("this is not a state that save_state returned"));
    }
    if number(0) != Some(model) {
        return Err(Error::value("the state was saved from another model or with other settings of the context"));
    }
    let data = &packed[HEADER..];
    if number(1) != Some(data.len() as u64) || number(2) != Some(hash(data)) {
        return Err(Error::value("the state is damaged"));
    }
    Ok(data)
}

/// A hash against accidents, eight bytes at a time because states have many megabytes.
pub fn hash(data: &[u8]) -> u64 {
    const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;
    let mix = |sum: u64, word: u64| (sum.rotate_left(23) ^ word).wrapping_mul(FACTOR);
    let words = data.chunks_exact(8);
    let rest = words.remainder().iter().fold(1, |word, byte| (word << 8) | u64::from(*byte));
    let sum = words.fold(FACTOR, |sum, word| mix(sum, u64::from_le_bytes(word.try_into().unwrap_or_default())));
    let sum = mix(mix(sum, rest), data.len() as u64);
    sum ^ (sum >> 29)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_packed_comes_back() {
        let data: Vec<u8> = (0..=255).collect();
        let packed = pack(&data, 7).unwrap();
        assert_eq!(unpack(&packed, 7).unwrap(), data);
        assert!(unpack(&packed, 8).is_err());
    }

    #[test]
    fn damage_is_noticed() {
        let packed = pack(b"some bytes of a state", 7).unwrap();
        for index in 0..packed.len() {
            let mut damaged = packed.clone();
            damaged[index] ^= 4;
            assert!(unpack(&damaged, 7).is_err(), "{index}");
            assert!(unpack(&packed[..index], 7).is_err(), "{index}");
        }
        assert!(unpack(&[], 7).is_err());
    }
}
