//! What a document says that its commands print, and what they print.

/// Stands for any text in a line, and alone in a line for any number of lines.
const ANY: &str = "…";

/// Whether the lines of a document are the output of its commands.
pub(super) fn matches(documented: &[&str], printed: &[&str]) -> bool {
    match documented.split_first() {
        None => printed.is_empty(),
        Some((&ANY, rest)) => (0..=printed.len()).any(|skipped| matches(rest, &printed[skipped..])),
        Some((line, rest)) => {
            let next = printed.split_first();
            next.is_some_and(|(first, others)| line_matches(line.trim_end(), first.trim_end()) && matches(rest, others))
        }
    }
}

fn line_matches(documented: &str, printed: &str) -> bool {
    let Some((start, rest)) = documented.split_once(ANY) else {
        return documented == printed;
    };
    let Some(mut printed) = printed.strip_prefix(start) else {
        return false;
    };
    let mut pieces: Vec<&str> = rest.split(ANY).collect();
    let end = pieces.pop().unwrap_or_default();
    for piece in pieces {
        let Some((_, behind)) = printed.split_once(piece) else {
            return false;
        };
        printed = behind;
    }
    printed.ends_with(end)
}

#[test]
fn output_matches_where_each_line_does() {
    for (documented, printed, expected) in [
        ("a\nb", "a\nb", true),
        ("a", "a\nb", false),
        ("a\nb", "a", false),
        ("a\n…", "a", true),
        ("a\n…\nd", "a\nb\nc\nd", true),
        ("a\n…\nd", "a\nb\nc", false),
        ("id: …", "id: 17", true),
        ("id: …, …!", "id: 17, 18!", true),
        ("id: …, …!", "id: 17!", false),
        ("…b", "b", true),
        ("a…a", "a", false),
        ("a  ", "a", true),
    ] {
        let lines = |text: &'static str| text.lines().collect::<Vec<_>>();
        assert_eq!(
            matches(&lines(documented), &lines(printed)),
            expected,
            "{documented:?} {printed:?}"
        );
    }
}
