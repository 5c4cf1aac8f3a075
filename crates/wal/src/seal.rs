//! The seal: the object that ends a log.
//!
//! A seal is exactly [`SEAL_BYTES`] long and every segment is longer, so a listing alone, which
//! names sizes, tells which is which. Layout: magic (8 bytes), who sealed (UTF-8, filled up with
//! zeros to 48 bytes), XXH3-64 of what is before it (8 bytes, little endian).

use bytes::Bytes;
use twox_hash::XxHash3_64;

pub(crate) const SEAL_BYTES: u64 = 64;

const MAGIC: &[u8; 8] = b"LLWALFIN";
const NAME_BYTES: usize = 48;

/// A seal by `sealer`: a few words for people, cut to what fits.
pub(crate) fn encode(sealer: &str) -> Bytes {
    let mut cut = sealer.len().min(NAME_BYTES);
    while !sealer.is_char_boundary(cut) {
        cut -= 1;
    }
    let mut bytes = Vec::with_capacity(SEAL_BYTES as usize);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&sealer.as_bytes()[..cut]);
    bytes.resize(MAGIC.len() + NAME_BYTES, 0);
    bytes.extend_from_slice(&XxHash3_64::oneshot(&bytes).to_le_bytes());
    bytes.into()
}

/// Who sealed, when `bytes` are a seal.
pub(crate) fn decode(bytes: &[u8]) -> Option<String> {
    let (content, checksum) = bytes.split_at_checked(MAGIC.len() + NAME_BYTES)?;
    let name = content.strip_prefix(MAGIC)?;
    if checksum != XxHash3_64::oneshot(content).to_le_bytes() {
        return None;
    }
    let end = name.iter().position(|b| *b == 0).unwrap_or(name.len());
    String::from_utf8(name[..end].to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_names_its_sealer_and_every_flipped_bit_is_found() {
        for name in ["", "recovery", &"ä".repeat(40)] {
            let seal = encode(name);
            assert_eq!(seal.len() as u64, SEAL_BYTES);
            assert!(name.starts_with(&decode(&seal).unwrap()));
            for bit in 0..seal.len() * 8 {
                let mut broken = seal.to_vec();
                broken[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(decode(&broken), None, "bit {bit}");
            }
        }
        assert_eq!(decode(b"short"), None);
    }
}
