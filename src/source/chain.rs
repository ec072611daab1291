//! The hashes by which a log file's content is known: chained over blocks of its decompressed bytes, and of its ends.
//!
//! ```text
//! h(-1) = 32 zero bytes
//! h(i)  = BLAKE3( h(i-1) || block i )      whole blocks of 16 MiB
//! rest  = BLAKE3( h(last whole block) || what is left of the last block )
//! ```
//!
//! So `rest` stands for everything before it, a block that changed is found, and a file that has grown goes on from its
//! last whole block.

use std::ops::Range;

/// Bytes of a block.
pub const BLOCK_BYTES: u64 = 16 << 20;

/// Bytes at the beginning and at the end of what was consumed that are hashed by themselves.
pub const END_BYTES: u64 = 64 << 10;

/// What a manifest keeps of a file's content; all hashes are BLAKE3 in hex.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hashes {
    /// Of the first 64 KiB.
    pub head: String,
    /// Of the last 64 KiB.
    pub tail: String,
    /// h(i) of each whole block.
    pub blocks: Vec<String>,
    pub rest: String,
}

/// Hashes the bytes of one file as they come, from its first one on or from the beginning of a block.
#[derive(Debug, Clone)]
pub struct Chain {
    blocks: Vec<blake3::Hash>,
    /// Of the block that is not whole yet.
    hasher: blake3::Hasher,
    bytes: u64,
    head: Vec<u8>,
    tail: Vec<u8>,
}

impl Default for Chain {
    fn default() -> Self {
        Chain { blocks: Vec::new(), hasher: next_block(None), bytes: 0, head: Vec::new(), tail: Vec::new() }
    }
}

fn next_block(last: Option<&blake3::Hash>) -> blake3::Hasher {
    let mut hasher = blake3::Hasher::new();
    hasher.update(last.map_or(&[0; 32], |hash| hash.as_bytes()));
    hasher
}

impl Chain {
    /// Goes on behind whole blocks, without having seen them; `None`: these are no hashes.
    pub fn behind(blocks: &[String]) -> Option<Chain> {
        let blocks = blocks.iter().map(blake3::Hash::from_hex).collect::<Result<Vec<_>, _>>().ok()?;
        Some(Chain { hasher: next_block(blocks.last()), bytes: blocks.len() as u64 * BLOCK_BYTES, blocks, ..Chain::default() })
    }

    /// The next bytes of the file.
    pub fn update(&mut self, mut bytes: &[u8]) {
        if self.bytes == self.head.len() as u64 {
            let room = (END_BYTES as usize).saturating_sub(self.head.len());
            self.head.extend_from_slice(&bytes[..room.min(bytes.len())]);
        }
        keep_last(&mut self.tail, bytes);
        while !bytes.is_empty() {
            let room = BLOCK_BYTES - self.bytes % BLOCK_BYTES;
            let (now, later) = bytes.split_at((room.min(bytes.len() as u64)) as usize);
            self.hasher.update(now);
            self.bytes += now.len() as u64;
            if self.bytes.is_multiple_of(BLOCK_BYTES) {
                self.blocks.push(self.hasher.finalize());
                self.hasher = next_block(self.blocks.last());
            }
            bytes = later;
        }
    }

    /// Gives the chain, which began behind whole blocks, what it cannot know of the bytes before: the last ones.
    pub fn preceded_by(&mut self, tail: &[u8]) {
        let seen = std::mem::take(&mut self.tail);
        keep_last(&mut self.tail, tail);
        keep_last(&mut self.tail, &seen);
    }

    /// Whether it began with the file's first byte.
    pub fn begins_file(&self) -> bool {
        self.bytes == 0 || !self.head.is_empty()
    }

    /// How far into the file it is.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The hashes through the bytes seen. `head` is that of the file's first bytes only where they were seen.
    pub fn hashes(&self) -> Hashes {
        Hashes {
            head: hash(&self.head),
            tail: hash(&self.tail),
            blocks: self.blocks.iter().map(|hash| hash.to_hex().to_string()).collect(),
            rest: self.rest(),
        }
    }

    fn rest(&self) -> String {
        self.hasher.finalize().to_hex().to_string()
    }
}

/// The hash of bytes, in hex.
pub fn hash(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

fn keep_last(tail: &mut Vec<u8>, bytes: &[u8]) {
    let most = END_BYTES as usize;
    let new = &bytes[bytes.len().saturating_sub(most)..];
    let excess = (tail.len() + new.len()).saturating_sub(most);
    tail.drain(..excess.min(tail.len()));
    tail.extend_from_slice(new);
}

/// A chain held against what it was once.
#[derive(Debug, Clone)]
pub struct Checked {
    pub chain: Chain,
    known: Option<Known>,
    /// How many of the known blocks were compared.
    compared: usize,
}

/// The blocks that a file had once, through `bytes`.
#[derive(Debug, Clone)]
pub struct Known {
    pub blocks: Vec<String>,
    pub rest: String,
    pub bytes: u64,
}

impl Known {
    /// `None`: they do not cover the bytes, as in a manifest of an older version.
    pub fn new(blocks: &[String], rest: &str, bytes: u64) -> Option<Known> {
        let whole = blocks.len() as u64 == bytes / BLOCK_BYTES && !rest.is_empty() && bytes > 0;
        whole.then(|| Known { blocks: blocks.to_vec(), rest: rest.to_string(), bytes })
    }
}

/// The first block that is not what it was, as a range of decompressed bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedBlock {
    pub number: u64,
    pub bytes: Range<u64>,
}

impl Checked {
    pub fn new(chain: Chain, known: Option<Known>) -> Checked {
        let compared = chain.blocks.len();
        Checked { chain, known, compared }
    }

    /// The next bytes; an error names the first block, completed by them, that is not what it was.
    pub fn update(&mut self, bytes: &[u8]) -> Result<(), ChangedBlock> {
        let through = self.known.as_ref().map_or(0, |known| known.bytes);
        let left = through.saturating_sub(self.chain.bytes).min(bytes.len() as u64) as usize;
        let (known, new) = bytes.split_at(left);
        if left > 0 {
            self.chain.update(known);
            self.compare()?;
        }
        self.chain.update(new);
        Ok(())
    }

    /// Compares what is complete and was not compared yet.
    fn compare(&mut self) -> Result<(), ChangedBlock> {
        let Some(known) = &self.known else { return Ok(()) };
        let whole = self.chain.blocks.len().min(known.blocks.len());
        for number in self.compared..whole {
            if self.chain.blocks[number].to_hex().as_str() != known.blocks[number] {
                return Err(known.block(number as u64));
            }
        }
        self.compared = whole;
        if self.chain.bytes == known.bytes && self.chain.rest() != known.rest {
            return Err(known.block(known.blocks.len() as u64));
        }
        Ok(())
    }

    /// How far what was known goes; 0 where nothing was.
    pub fn known_bytes(&self) -> u64 {
        self.known.as_ref().map_or(0, |known| known.bytes)
    }

    /// Whether all that was known has been seen (and was the same).
    pub fn is_through(&self) -> bool {
        self.known.as_ref().is_none_or(|known| self.chain.bytes >= known.bytes)
    }
}

impl Known {
    /// The first block in which a chain through the same bytes differs.
    pub fn differs(&self, chain: &Chain) -> Option<ChangedBlock> {
        let number = self.blocks.iter().zip(&chain.blocks).position(|(known, now)| now.to_hex().as_str() != known);
        let number = number.or_else(|| (chain.rest() != self.rest).then_some(self.blocks.len()));
        number.map(|number| self.block(number as u64))
    }

    fn block(&self, number: u64) -> ChangedBlock {
        let from = number * BLOCK_BYTES;
        ChangedBlock { number, bytes: from..(from + BLOCK_BYTES).min(self.bytes).max(from) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(len: usize) -> Vec<u8> {
        (0..len).map(|i| (i * 31 % 251) as u8).collect()
    }

    /// The definition, word by word.
    fn by_definition(bytes: &[u8]) -> Hashes {
        let (mut blocks, mut last) = (Vec::new(), [0u8; 32]);
        let mut parts = bytes.chunks_exact(BLOCK_BYTES as usize);
        for block in &mut parts {
            last = *blake3::hash(&[&last[..], block].concat()).as_bytes();
            blocks.push(blake3::Hash::from(last).to_hex().to_string());
        }
        let ends = END_BYTES as usize;
        Hashes {
            head: hash(&bytes[..ends.min(bytes.len())]),
            tail: hash(&bytes[bytes.len().saturating_sub(ends)..]),
            blocks,
            rest: hash(&[&last[..], parts.remainder()].concat()),
        }
    }

    #[test]
    fn a_chain_is_what_its_definition_says_however_the_bytes_come() {
        let block = BLOCK_BYTES as usize;
        let whole = bytes(2 * block + 70_000);
        for end in [0, 1, 65_535, 65_536, 65_537, block - 1, block, block + 1, 2 * block, whole.len()] {
            for piece in [whole.len(), 1_000_003, 65_536] {
                let mut chain = Chain::default();
                whole[..end].chunks(piece).for_each(|bytes| chain.update(bytes));
                assert_eq!(chain.hashes(), by_definition(&whole[..end]), "{end} bytes in pieces of {piece}");
            }
        }
    }

    #[test]
    fn a_chain_goes_on_behind_whole_blocks() {
        let block = BLOCK_BYTES as usize;
        let whole = bytes(block + 100);
        let expected = by_definition(&whole);
        let mut chain = Chain::behind(&expected.blocks).unwrap();
        chain.update(&whole[block..]);
        chain.preceded_by(&whole[block - END_BYTES as usize..block]);
        assert_eq!(Hashes { head: expected.head.clone(), ..chain.hashes() }, expected);
        assert!(Chain::behind(&["no hash".into()]).is_none());
    }

    #[test]
    fn the_first_block_that_changed_is_named() {
        let block = BLOCK_BYTES as usize;
        let whole = bytes(2 * block + 100);
        let hashes = by_definition(&whole);
        let known = || Known::new(&hashes.blocks, &hashes.rest, whole.len() as u64);
        for (at, number) in [(0, 0), (block - 1, 0), (block, 1), (2 * block + 99, 2)] {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            let mut checked = Checked::new(Chain::default(), known());
            let found = changed.chunks(300_000).try_for_each(|piece| checked.update(piece)).unwrap_err();
            assert_eq!(found.number, number);
            assert!(found.bytes.contains(&(at as u64)), "{found:?}");
        }
        let mut grown = whole.clone();
        grown.extend(bytes(BLOCK_BYTES as usize));
        let mut checked = Checked::new(Chain::default(), known());
        grown.chunks(300_000).try_for_each(|piece| checked.update(piece)).unwrap();
        assert!(checked.is_through());
        assert_eq!(checked.chain.hashes(), by_definition(&grown));
    }
}
