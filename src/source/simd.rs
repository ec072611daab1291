//! Two questions about bytes, answered many bytes at a time: does a text go on with these bytes, and where does a
//! JSON string stop being plain. What the processor can is asked once; [`Portable`] is for all of them.

/// How to look at bytes. All levels give the same answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Portable,
}

impl Level {
    /// The best one that this processor has.
    pub fn detect() -> Level {
        #[cfg(target_arch = "x86_64")]
        if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("bmi1") {
            return Level::Avx2;
        }
        Level::Portable
    }
}

/// Bytes to be compared with, prepared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Literal {
    bytes: Box<[u8]>,
    /// Its first 32 bytes; behind its end, zeros.
    head: [u8; 32],
    /// A bit for each byte of `head` that counts.
    mask: u32,
}

impl Literal {
    pub fn new(bytes: &[u8]) -> Literal {
        let len = bytes.len().min(32);
        let mut head = [0; 32];
        head[..len].copy_from_slice(&bytes[..len]);
        let mask = if len == 32 { u32::MAX } else { (1 << len) - 1 };
        Literal { bytes: bytes.into(), head, mask }
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn len(&self) -> usize {
        self.bytes.len()
    }
}

pub trait Look {
    /// Whether `text[at..]` begins with the literal.
    fn goes_on_with(text: &[u8], at: usize, literal: &Literal) -> bool;

    /// The first place from `at` on of a quote, a backslash or a control character (below 0x20); the text's length where
    /// there is none.
    fn plain_end(text: &[u8], at: usize) -> usize;
}

/// Eight bytes at a time, on every processor.
pub struct Portable;

impl Look for Portable {
    #[inline(always)]
    fn goes_on_with(text: &[u8], at: usize, literal: &Literal) -> bool {
        text.get(at..).is_some_and(|rest| rest.starts_with(&literal.bytes))
    }

    #[inline(always)]
    fn plain_end(text: &[u8], mut at: usize) -> usize {
        const ONES: u64 = 0x0101_0101_0101_0101;
        const TOPS: u64 = 0x8080_8080_8080_8080;
        // a byte is 0 exactly where the high bit of (x - 1) & !x is set first (Mycroft's test)
        let zero = |x: u64| x.wrapping_sub(ONES) & !x;
        while let Some(eight) = text.get(at..at + 8).and_then(|eight| eight.first_chunk::<8>()) {
            let word = u64::from_le_bytes(*eight);
            let control = word.wrapping_sub(ONES * 0x20) & !word;
            let stop = (zero(word ^ (ONES * b'"' as u64)) | zero(word ^ (ONES * b'\\' as u64)) | control) & TOPS;
            if stop != 0 {
                return at + (stop.trailing_zeros() / 8) as usize;
            }
            at += 8;
        }
        while text.get(at).is_some_and(|b| !matches!(b, b'"' | b'\\' | 0..0x20)) {
            at += 1;
        }
        at
    }
}

/// 32 bytes at a time. Only to be used below a function that has the target feature.
#[cfg(target_arch = "x86_64")]
pub struct Avx2;

#[cfg(target_arch = "x86_64")]
impl Look for Avx2 {
    #[inline(always)]
    fn goes_on_with(text: &[u8], at: usize, literal: &Literal) -> bool {
        let Some(block) = text.get(at..at + 32).and_then(|block| block.first_chunk::<32>()) else {
            return Portable::goes_on_with(text, at, literal);
        };
        // SAFETY: whoever uses `Avx2` has asked for the feature; both blocks have 32 bytes
        let same = unsafe { avx2::same(block, &literal.head) };
        let same = same & literal.mask == literal.mask;
        if literal.bytes.len() <= 32 { same } else { same && text[at + 32..].starts_with(&literal.bytes[32..]) }
    }

    #[inline(always)]
    fn plain_end(text: &[u8], mut at: usize) -> usize {
        while let Some(block) = text.get(at..at + 32).and_then(|block| block.first_chunk::<32>()) {
            // SAFETY: whoever uses `Avx2` has asked for the feature; the block has 32 bytes
            let stop = unsafe { avx2::stops(block) };
            if stop != 0 {
                return at + stop.trailing_zeros() as usize;
            }
            at += 32;
        }
        Portable::plain_end(text, at)
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::{
        __m256i, _mm256_cmpeq_epi8, _mm256_loadu_si256, _mm256_min_epu8, _mm256_movemask_epi8, _mm256_or_si256, _mm256_set1_epi8,
    };

    /// SAFETY: the processor has AVX2.
    #[inline(always)]
    unsafe fn load(block: &[u8; 32]) -> __m256i {
        // SAFETY: the block has 32 bytes, and the load needs no alignment
        unsafe { _mm256_loadu_si256(block.as_ptr().cast()) }
    }

    /// A bit for each byte that is the same in both.
    ///
    /// SAFETY: the processor has AVX2.
    #[inline(always)]
    pub unsafe fn same(a: &[u8; 32], b: &[u8; 32]) -> u32 {
        // SAFETY: as the caller says
        unsafe { _mm256_movemask_epi8(_mm256_cmpeq_epi8(load(a), load(b))) as u32 }
    }

    /// A bit for each quote, backslash and control character.
    ///
    /// SAFETY: the processor has AVX2.
    #[inline(always)]
    pub unsafe fn stops(block: &[u8; 32]) -> u32 {
        // SAFETY: as the caller says
        unsafe {
            let bytes = load(block);
            let quotes = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(b'"' as i8));
            let backslashes = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(b'\\' as i8));
            let controls = _mm256_cmpeq_epi8(_mm256_min_epu8(bytes, _mm256_set1_epi8(0x1f)), bytes);
            _mm256_movemask_epi8(_mm256_or_si256(_mm256_or_si256(quotes, backslashes), controls)) as u32
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn all_levels_agree(text: &[u8], literal: &Literal) {
        for at in 0..=text.len() {
            let plain_end = (at..text.len()).find(|i| matches!(text[*i], b'"' | b'\\' | 0..0x20)).unwrap_or(text.len());
            let goes_on = text[at..].starts_with(literal.bytes());
            assert_eq!(Portable::plain_end(text, at), plain_end, "{text:?} from {at}");
            assert_eq!(Portable::goes_on_with(text, at, literal), goes_on);
            #[cfg(target_arch = "x86_64")]
            if Level::detect() == Level::Avx2 {
                assert_eq!(Avx2::plain_end(text, at), plain_end, "{text:?} from {at}");
                assert_eq!(Avx2::goes_on_with(text, at, literal), goes_on, "{text:?} from {at}: {literal:?}");
            }
        }
    }

    #[test]
    fn every_level_gives_the_answers_of_a_byte_by_byte_look() {
        let mut random = Random(1);
        let mut random = |n: usize| random.below(n);
        for _ in 0..400 {
            let text: Vec<u8> = (0..random(150))
                .map(|_| match random(40) {
                    0 => b'"',
                    1 => b'\\',
                    2 => random(32) as u8,
                    3 => 0x20,
                    4 => 128 + random(128) as u8,
                    _ => b'a' + random(2) as u8,
                })
                .collect();
            let from = random(text.len() + 1);
            let mut literal = text[from..(from + random(70)).min(text.len())].to_vec();
            if random(3) == 0 {
                literal.push(b'x');
            }
            all_levels_agree(&text, &Literal::new(&literal));
        }
    }
}
