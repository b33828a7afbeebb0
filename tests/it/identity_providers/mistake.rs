//! A mistake of the page: what differs from the recipe, and the reason of the rejection.
//!
//! The first cell of its row has what differs, each part as words and a piece of code:
//!
//! | words | code |
//! | --- | --- |
//! | token | members of the claims, in place of those of the recipe |
//! | token without | the name of a claim |
//! | header | members of the token's header |
//! | opaque token | the whole token |
//! | policy | a field of the policy that has a line of its own |
//! | policy without | the name of such a field |
//! | request | method and path |
//! | request with | a header |
//! | secret | what the token is signed with |
//! | key set with | members of each key that the issuer publishes |
//! | key server responds | a status |
//!
//! A piece of code without words before it continues the part before it.

use serde_json::Value;

/// A row of the table of mistakes.
#[derive(Debug, PartialEq)]
pub(super) struct Mistake {
    /// The line in the page.
    pub(super) line: usize,
    pub(super) changes: Vec<Change>,
    pub(super) reason: String,
}

/// What differs from a recipe.
#[derive(Debug, PartialEq)]
pub(super) enum Change {
    Claims(Value),
    NoClaim(String),
    Header(Value),
    Opaque(String),
    /// A field of the policy, and its value.
    Policy(String, String),
    NoField(String),
    Request(String),
    RequestHeader(String),
    Secret(String),
    Keys(Keys),
}

/// What an issuer publishes.
#[derive(Debug, PartialEq)]
pub(super) enum Keys {
    /// Its keys, with other members.
    With(Value),
    /// A status in place of them.
    Status(u16),
}

impl Mistake {
    pub(super) fn parse(line: usize, row: &str) -> Result<Self, String> {
        let cells: Vec<&str> = row.trim().trim_matches('|').split(" | ").map(str::trim).collect();
        let [what, reason, remedy] = cells[..] else {
            return Err(format!("a mistake has three cells, not {}", cells.len()));
        };
        let reason = reason.strip_prefix('`').and_then(|rest| rest.strip_suffix('`'));
        let reason = reason.ok_or("the second cell is one reason, in backticks")?;
        if remedy.is_empty() {
            return Err("the third cell says what to do".to_owned());
        }
        Ok(Self {
            line,
            changes: changes(what)?,
            reason: reason.to_owned(),
        })
    }
}

fn changes(cell: &str) -> Result<Vec<Change>, String> {
    let pieces: Vec<&str> = cell.split('`').collect();
    // Words and code take turns, and nothing stands after the last code.
    let [parts @ .., ""] = &pieces[..] else {
        return Err(format!("`{cell}` does not end with code"));
    };
    let mut found = Vec::new();
    let mut words = "";
    for part in parts.chunks(2) {
        let [before, code] = part else {
            return Err(format!("`{cell}` has words without code"));
        };
        let before = before.trim_matches([' ', ',']);
        if !before.is_empty() {
            words = before;
        }
        found.push(change(words, code)?);
    }
    match found.is_empty() {
        true => Err("nothing differs".to_owned()),
        false => Ok(found),
    }
}

fn change(words: &str, code: &str) -> Result<Change, String> {
    let members = || {
        let object = serde_json::from_str(&format!("{{ {code} }}"));
        object.map_err(|error| format!("`{code}` is not members of an object: {error}"))
    };
    let text = code.to_owned();
    Ok(match words {
        "token" => Change::Claims(members()?),
        "token without" => Change::NoClaim(text),
        "header" => Change::Header(members()?),
        "opaque token" => Change::Opaque(text),
        "policy" => {
            let field = code.split_once(": ").ok_or("a field is `name: value`")?;
            Change::Policy(field.0.to_owned(), field.1.to_owned())
        }
        "policy without" => Change::NoField(text),
        "request" => Change::Request(text),
        "request with" => Change::RequestHeader(text),
        "secret" => Change::Secret(text),
        "key set with" => Change::Keys(Keys::With(members()?)),
        "key server responds" => {
            let status = code.parse().map_err(|_| format!("`{code}` is not a status"))?;
            Change::Keys(Keys::Status(status))
        }
        _ => return Err(format!("`{words}` says nothing that this test can change")),
    })
}

#[test]
fn mistake_is_read_from_its_row() {
    let row = "| policy without `x`, token `\"a\": 1`, `\"b\": [\"c\"]`, token without `d` | `role_missing` | Do e |";
    let mistake = Mistake::parse(7, row).unwrap();
    let claims = |text: &str| Change::Claims(serde_json::from_str(text).unwrap());
    let want = [
        Change::NoField("x".to_owned()),
        claims(r#"{ "a": 1 }"#),
        claims(r#"{ "b": ["c"] }"#),
        Change::NoClaim("d".to_owned()),
    ];
    assert_eq!((mistake.line, mistake.reason.as_str()), (7, "role_missing"));
    assert_eq!(mistake.changes, want);
    for (cell, want) in [
        (
            "policy `issuer: https://a/`",
            Change::Policy("issuer".to_owned(), "https://a/".to_owned()),
        ),
        ("request with `a: b`", Change::RequestHeader("a: b".to_owned())),
        ("key server responds `403`", Change::Keys(Keys::Status(403))),
    ] {
        assert_eq!(changes(cell), Ok(vec![want]), "{cell}");
    }
}

#[test]
fn row_that_no_test_could_run_is_a_fault() {
    for row in [
        "| a user logs in twice | `role_missing` | Do e |",
        "| token `\"a\": 1` and so on | `role_missing` | Do e |",
        "| tokens `\"a\": 1` | `role_missing` | Do e |",
        "| token `a: 1` | `role_missing` | Do e |",
        "| token `\"a\": 1` | role_missing | Do e |",
        "| token `\"a\": 1` | `role_missing` | |",
        "| token `\"a\": 1` | `role_missing` |",
        "| policy `issuer` | `role_missing` | Do e |",
    ] {
        assert!(Mistake::parse(1, row).is_err(), "{row}");
    }
}
