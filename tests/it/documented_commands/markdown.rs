//! Markdown as far as it matters here: fenced blocks, headings and links.

use std::fs;

/// What marks a command that does not run in this test, before the reason.
pub(crate) const MARK: &str = "# not run in CI:";

/// A Markdown file of the checkout.
pub(crate) struct Document {
    /// Its path in the checkout.
    pub(crate) path: String,
    pub(crate) lines: Vec<String>,
    pub(crate) blocks: Vec<Block>,
}

/// A fenced block.
pub(crate) struct Block {
    /// The number of its opening fence, from 1 on.
    pub(crate) line: usize,
    /// What stands behind the fence, and its first word.
    pub(crate) info: String,
    pub(crate) language: String,
    pub(crate) lines: Vec<String>,
    /// Whether only blank lines stand between this block and the one before it.
    pub(crate) follows: bool,
}

impl Document {
    pub(crate) fn read(path: &str) -> Self {
        let text = fs::read_to_string(super::root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        Self::parse(path, &text)
    }

    pub(crate) fn parse(path: &str, text: &str) -> Self {
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let mut blocks = Vec::new();
        let mut open: Option<(String, Block)> = None;
        let mut follows = false;
        for (at, line) in lines.iter().enumerate() {
            let fence: String = line.trim_start().chars().take_while(|sign| *sign == '`').collect();
            match &mut open {
                None if fence.len() >= 3 => {
                    assert!(
                        line.starts_with('`'),
                        "{path}:{}: an indented block is not supported",
                        at + 1
                    );
                    open = Some((fence.clone(), Block::new(at + 1, &line[fence.len()..], follows)));
                }
                None => follows &= line.trim().is_empty(),
                Some((opening, _)) if line.trim_end() == opening => {
                    blocks.extend(open.take().map(|(_, block)| block));
                    follows = true;
                }
                Some((_, block)) => block.lines.push(line.clone()),
            }
        }
        assert!(open.is_none(), "{path}: the last block has no end");
        Self {
            path: path.to_owned(),
            lines,
            blocks,
        }
    }

    /// The lines that are not in a block, with their numbers.
    pub(crate) fn prose(&self) -> impl Iterator<Item = (usize, &str)> {
        let in_block = |number: usize| {
            let ends = |block: &Block| block.line..=block.line + block.lines.len() + 1;
            self.blocks.iter().any(|block| ends(block).contains(&number))
        };
        let numbered = self.lines.iter().enumerate().map(|(at, line)| (at + 1, line.as_str()));
        numbered.filter(move |(number, _)| !in_block(*number))
    }
}

impl Block {
    fn new(line: usize, info: &str, follows: bool) -> Self {
        let info = info.trim().to_owned();
        let language = info.split_whitespace().next().unwrap_or_default().to_owned();
        Self {
            line,
            info,
            language,
            lines: Vec::new(),
            follows,
        }
    }

    fn is_marked(&self) -> bool {
        self.lines.first().is_some_and(|line| line.starts_with(MARK))
    }

    /// The lines of a block of commands that run here, with a blank one in place of each other one; nothing if the
    /// block has no line that runs.
    pub(crate) fn commands(&self) -> Vec<&str> {
        if self.language != "sh" || self.is_marked() {
            return Vec::new();
        }
        let runs = |line: &&str| !line.contains(MARK) && !is_make(line);
        let lines: Vec<&str> = self
            .lines
            .iter()
            .map(|line| Some(line.as_str()).filter(runs).unwrap_or(""))
            .collect();
        let is_command = |line: &&str| !line.trim().is_empty() && !line.starts_with('#');
        if lines.iter().any(is_command) {
            lines
        } else {
            Vec::new()
        }
    }

    /// The lines of a block of commands that call `make`, with their numbers and whether they are marked.
    pub(crate) fn make_lines(&self) -> impl Iterator<Item = (usize, &str, bool)> {
        let lines = self
            .lines
            .iter()
            .enumerate()
            .filter(|(_, line)| self.language == "sh" && is_make(line));
        lines.map(|(at, line)| {
            (
                self.line + 1 + at,
                line.as_str(),
                self.is_marked() || line.contains(MARK),
            )
        })
    }

    /// The status that the last command ends with.
    pub(crate) fn status(&self) -> i32 {
        let word = self.info.split_whitespace().find_map(|word| word.strip_prefix("exit="));
        word.map_or(0, |status| status.parse().unwrap())
    }

    /// The file that the block has the content of: its first line is a comment with this path alone.
    pub(crate) fn file(&self) -> Option<&str> {
        if ["sh", "text", "json"].contains(&self.language.as_str()) {
            return None;
        }
        let path = self.lines.first()?.strip_prefix("# ")?;
        let is_sign = |sign: char| sign.is_ascii_alphanumeric() || "._-/".contains(sign);
        let (stem, ending) = path.rsplit_once('.')?;
        let is_file = path.chars().all(is_sign) && !stem.is_empty() && !ending.is_empty() && !ending.contains('/');
        is_file.then_some(path)
    }
}

fn is_make(line: &str) -> bool {
    line.split_whitespace().next() == Some("make")
}

/// The targets in a line such as `make bench CASES=rs256   # an hour`, before the first value.
pub(crate) fn make_targets(line: &str) -> impl Iterator<Item = &str> {
    let words = line.split('#').next().unwrap_or_default().split_whitespace().skip(1);
    words
        .take_while(|word| !word.contains('='))
        .filter(|word| !word.starts_with('-'))
}

#[test]
fn blocks_of_a_document_are_found_with_their_lines() {
    let text = "# T\n```sh\na\n```\n\n```text\nb\n```\nwords\n````yaml\n# p/q.yaml\n```\n````\n";
    let document = Document::parse("x.md", text);
    let seen: Vec<_> = document
        .blocks
        .iter()
        .map(|block| (block.line, &*block.language, block.follows))
        .collect();
    assert_eq!(seen, [(2, "sh", false), (6, "text", true), (10, "yaml", false)]);
    assert_eq!(document.blocks[2].file(), Some("p/q.yaml"));
    let prose: Vec<_> = document.prose().collect();
    assert_eq!(prose, [(1, "# T"), (5, ""), (9, "words")]);
}

#[test]
fn commands_that_are_marked_do_not_run() {
    for (text, commands) in [
        ("a # b\nc", &["a # b", "c"][..]),
        ("# not run in CI: it needs a cluster\na", &[]),
        ("a # not run in CI: it needs a cluster\nb", &["", "b"]),
        ("make test\na", &["", "a"]),
        ("make test", &[]),
        ("# a comment", &[]),
    ] {
        let document = Document::parse("x.md", &format!("```sh\n{text}\n```\n"));
        assert_eq!(document.blocks[0].commands(), commands, "{text}");
    }
}

#[test]
fn targets_of_make_are_the_words_before_values() {
    let found: Vec<_> = make_targets("make -s lint doc CASES='a b'  # an hour").collect();
    assert_eq!(found, ["lint", "doc"]);
}
