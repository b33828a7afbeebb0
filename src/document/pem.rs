//! Reads the blocks of a file with PEM (RFC 7468), and writes them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem;
use rustls::pki_types::pem::{PemObject, SectionKind};

use super::problem::{Fault, ProblemCode};

/// A file with PEM in it, and the name that messages have for it.
#[derive(Debug, Clone, Copy)]
pub struct PemFile<'f> {
    /// The name that the user gave.
    pub name: &'f str,
    /// What is in it.
    pub bytes: &'f [u8],
}

/// A block of a file.
#[derive(Clone, PartialEq, Eq)]
pub struct PemBlock {
    /// The words between `BEGIN` and the dashes.
    pub label: String,
    /// The content.
    pub der: Vec<u8>,
}

/// Without the content, which may be a private key.
impl std::fmt::Debug for PemBlock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PemBlock")
            .field("label", &self.label)
            .finish_non_exhaustive()
    }
}

/// A block that was begun in a file, and read to its end.
pub(super) struct Block {
    pub(super) number: usize,
    pub(super) label: String,
    /// Its kind and content; `None` where TLS has no use for its label.
    pub(super) content: Option<(SectionKind, Vec<u8>)>,
}

/// What is wrong with a block that cannot be decoded.
const NOT_BASE64: &str = "is cut off, or is not base64";

/// What mends most broken blocks.
pub(super) const REPLACE: &str = "write the file again, or take the block out";

impl PemFile<'_> {
    pub(super) fn fault(&self, code: ProblemCode, what: &str, help: &'static str) -> Fault {
        Fault::new(code, format!("the file `{}` {what}", self.name), help)
    }

    pub(super) fn block(&self, code: ProblemCode, number: usize, what: &str, help: &'static str) -> Fault {
        let message = format!("block {number} of the file `{}` {what}", self.name);
        Fault::new(code, message, help)
    }

    /// A block that is not PEM.
    fn broken(&self, number: usize, what: &str, help: &'static str) -> Fault {
        self.block(ProblemCode::InvalidPem, number, what, help)
    }

    /// Reads the only block of a file, such as a public key.
    pub fn only_block(&self) -> Result<PemBlock, Fault> {
        let blocks = self.blocks()?;
        let [block] = blocks.as_slice() else {
            let what = format!("has {} PEM blocks, and exactly one is needed", blocks.len());
            let help = "name a file with one `-----BEGIN PUBLIC KEY-----`, or with the one certificate of the signer";
            return Err(self.fault(ProblemCode::InvalidPem, &what, help));
        };
        let der = match &block.content {
            Some((_, der)) => der.clone(),
            // TLS has no use for this kind of block, so its reader leaves it out.
            None => match x509_parser::pem::parse_x509_pem(self.bytes) {
                Ok((_, pem)) => pem.contents,
                Err(_) => return Err(self.broken(block.number, NOT_BASE64, REPLACE)),
            },
        };
        Ok(PemBlock {
            label: block.label.clone(),
            der,
        })
    }

    /// All blocks that are begun. One that is not read to its end is a fault: what it holds would
    /// be left out without a word.
    pub(super) fn blocks(&self) -> Result<Vec<Block>, Fault> {
        const BEGIN: &[u8] = b"-----BEGIN ";
        let starts: Vec<usize> = memmem::find_iter(self.bytes, BEGIN).collect();
        let ends = starts.iter().skip(1).copied().chain([self.bytes.len()]);
        let spans = starts.iter().copied().zip(ends).enumerate();
        let blocks: Result<Vec<Block>, Fault> = spans
            .map(|(at, (start, end))| {
                let number = at + 1;
                let text = self.bytes.get(start..end).unwrap_or_default();
                let own_line = start == 0 || self.bytes.get(start - 1).is_some_and(|b| matches!(b, b'\n' | b'\r'));
                if !own_line {
                    let help = "begin each block at the start of a line: was a line end or an indentation lost?";
                    return Err(self.broken(number, "does not begin on a line of its own", help));
                }
                let label = label(text.get(BEGIN.len()..).unwrap_or_default());
                let broken = || self.broken(number, NOT_BASE64, REPLACE);
                let content = match <(SectionKind, Vec<u8>)>::from_pem_slice(text) {
                    Ok(content) => Some(content),
                    Err(rustls::pki_types::pem::Error::NoItemsFound) => None,
                    Err(_) => return Err(broken()),
                };
                let label = label.ok_or_else(broken)?;
                Ok(Block { number, label, content })
            })
            .collect();
        let blocks = blocks?;
        self.only_blocks()?;
        Ok(blocks)
    }

    /// Checks that nothing between blocks looks like a part of one: a damaged line would drop a block.
    fn only_blocks(&self) -> Result<(), Fault> {
        let mut inside = false;
        for (at, line) in self.bytes.split(|byte| matches!(byte, b'\n' | b'\r')).enumerate() {
            let begins = line.starts_with(b"-----BEGIN ");
            let ends = line.starts_with(b"-----END ");
            if begins || (inside && ends) {
                inside = begins;
            } else if !inside && is_part_of_block(line) {
                let what = format!("has a part of a block on line {} that belongs to none", at + 1);
                return Err(self.fault(ProblemCode::InvalidPem, &what, REPLACE));
            }
        }
        Ok(())
    }
}

/// Whether a line looks like a part of a block: a boundary, or base64 of the usual length.
fn is_part_of_block(line: &[u8]) -> bool {
    const USUAL: usize = 48;
    let base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    let line = line.trim_ascii();
    let names = |word| memmem::find(&line.to_ascii_uppercase(), word).is_some();
    let boundary = memmem::find(line, b"--").is_some() && (names(b"BEGIN") || names(b"END"));
    boundary || (line.len() >= USUAL && line.iter().all(base64))
}

fn label(text: &[u8]) -> Option<String> {
    let end = memmem::find(text, b"-----")?;
    let label = std::str::from_utf8(text.get(..end)?).ok()?;
    let plain = label.len() <= 64 && label.chars().all(|c| c.is_ascii_alphanumeric() || c == ' ');
    plain.then(|| label.to_owned())
}

/// Writes a block.
pub(super) fn encode(label: &str, der: &[u8]) -> Vec<u8> {
    let mut text = format!("-----BEGIN {label}-----\n").into_bytes();
    for line in STANDARD.encode(der).as_bytes().chunks(64) {
        text.extend_from_slice(line);
        text.push(b'\n');
    }
    text.extend(format!("-----END {label}-----\n").bytes());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(text: &str) -> Result<PemBlock, String> {
        let file = PemFile {
            name: "f",
            bytes: text.as_bytes(),
        };
        file.only_block().map_err(|fault| fault.message)
    }

    #[test]
    fn only_block_of_any_label_is_read_and_a_broken_or_second_one_is_a_fault() {
        let blocks = |count: usize| format!("the file `f` has {count} PEM blocks, and exactly one is needed");
        let block = |label: &str| String::from_utf8(encode(label, &[0x30, 0])).unwrap();
        for label in ["PUBLIC KEY", "RSA PUBLIC KEY", "EC PRIVATE KEY", "CERTIFICATE"] {
            let read = only(&format!("a comment\n{}", block(label))).unwrap();
            assert_eq!((read.label.as_str(), read.der.as_slice()), (label, &[0x30, 0][..]));
            assert_eq!(only(&block(label).repeat(2)), Err(blocks(2)));
            for (text, broken) in [("\n-----END", "\n----END"), ("MAA=", "M?A=")] {
                let message = only(&block(label).replace(text, broken)).unwrap_err();
                assert!(
                    message.starts_with("block 1 of the file `f` is cut off"),
                    "{label}: {message}"
                );
            }
        }
        assert_eq!(only(""), Err(blocks(0)));
    }
}
