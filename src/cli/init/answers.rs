//! What a policy is made from: flags, and answers on a terminal to the questions that are left.

use std::io::{self, BufRead, Write};

use clap::ValueEnum;

use super::flags::Init;
use super::provider::{Idp, Organizations};

/// How often a question is repeated that got no usable answer.
const ATTEMPTS: usize = 3;

/// What a policy is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answers {
    pub(super) service: String,
    pub(super) upstream: String,
    pub(super) prefix: Option<String>,
    pub(super) idp: Idp,
    /// The `iss` of the tokens; empty without an identity provider.
    pub(super) issuer: String,
    /// The organizations, where the issuer is a pattern.
    pub(super) organizations: Option<Organizations>,
    pub(super) audience: Vec<String>,
}

/// What is missing, and where.
#[derive(Debug)]
pub(super) enum Missing {
    /// These flags, and no terminal to ask on.
    Flags(Vec<&'static str>),
    /// Input on the terminal.
    Answer(String),
}

impl Answers {
    /// Takes what flags say, and asks for the rest where that is possible.
    pub(super) fn of<R: BufRead, W: Write>(flags: Init, prompt: Option<&mut Prompt<R, W>>) -> Result<Self, Missing> {
        let asks = prompt.is_some();
        let mut form = Form {
            prompt,
            missing: Vec::new(),
        };
        let service = form.text(flags.service, "--service", "Name of the service, such as orders-svc")?;
        let upstream = form.text(
            flags.upstream,
            "--upstream",
            "URL of the service, such as http://127.0.0.1:3000",
        )?;
        let prefix = match flags.prefix {
            None if asks => form.optional("Path in front of all routes, such as /orders (empty for all paths)")?,
            given => given,
        };
        let idp = form.idp(flags.idp)?;
        let mut organizations = None;
        let issuer = match (flags.issuer, idp) {
            (Some(issuer), Some(_)) => issuer,
            (None, Some(idp)) => {
                let mut parts = Vec::new();
                for part in idp.parts() {
                    let given = match part.flag {
                        "--domain" => flags.domain.clone(),
                        "--realm" => flags.realm.clone(),
                        "--tenant" => flags.tenant.clone(),
                        "--pool" => flags.pool.clone(),
                        _ => None,
                    };
                    parts.push(form.text(given, part.flag, part.question)?);
                }
                organizations = Organizations::of(idp, &parts);
                idp.issuer(&parts)
            }
            (_, None) => String::new(),
        };
        let mut audience = flags.audience;
        if let Some(question) = idp.and_then(Idp::audience_question).filter(|_| audience.is_empty()) {
            audience.push(form.text(None, "--audience", question)?);
        }
        if let Some(question) = idp
            .and_then(Idp::optional_audience_question)
            .filter(|_| audience.is_empty())
        {
            audience.extend(form.optional(question)?.filter(|answer| !answer.is_empty()));
        }
        match (form.missing, idp) {
            (missing, Some(idp)) if missing.is_empty() => Ok(Self {
                service,
                upstream,
                prefix: prefix.filter(|prefix| !prefix.is_empty()),
                idp,
                issuer,
                organizations,
                audience,
            }),
            (missing, _) => Err(Missing::Flags(missing)),
        }
    }
}

/// The questions, and the flags that are missing where no terminal is connected.
struct Form<'p, R, W> {
    prompt: Option<&'p mut Prompt<R, W>>,
    missing: Vec<&'static str>,
}

impl<R: BufRead, W: Write> Form<'_, R, W> {
    /// A text that is needed.
    fn text(&mut self, given: Option<String>, flag: &'static str, question: &str) -> Result<String, Missing> {
        if let Some(given) = given {
            return Ok(given);
        }
        let Some(prompt) = &mut self.prompt else {
            self.missing.push(flag);
            return Ok(String::new());
        };
        for _ in 0..ATTEMPTS {
            let answer = prompt.ask(question)?;
            if !answer.is_empty() {
                return Ok(answer);
            }
        }
        Err(Missing::Answer(format!("no input: write `{flag}` on the command line")))
    }

    fn optional(&mut self, question: &str) -> Result<Option<String>, Missing> {
        self.prompt.as_mut().map(|prompt| prompt.ask(question)).transpose()
    }

    fn idp(&mut self, given: Option<Idp>) -> Result<Option<Idp>, Missing> {
        if given.is_some() {
            return Ok(given);
        }
        let names: Vec<_> = Idp::value_variants()
            .iter()
            .filter_map(ValueEnum::to_possible_value)
            .collect();
        let names: Vec<_> = names.iter().map(clap::builder::PossibleValue::get_name).collect();
        let question = format!("Identity provider, one of {}", names.join(", "));
        for _ in 0..ATTEMPTS {
            let answer = self.text(None, "--idp", &question)?;
            if self.prompt.is_none() {
                return Ok(None);
            }
            if let Ok(idp) = Idp::from_str(&answer, true) {
                return Ok(Some(idp));
            }
        }
        Err(Missing::Answer(
            "unknown identity provider: write `--idp` on the command line".to_owned(),
        ))
    }
}

/// Questions and answers, a line each.
pub(super) struct Prompt<R, W> {
    input: R,
    output: W,
}

impl<R: BufRead, W: Write> Prompt<R, W> {
    pub(super) fn new(input: R, output: W) -> Self {
        Self { input, output }
    }

    /// Asks one question. The end of the input is an error, so that nothing is asked for ever.
    fn ask(&mut self, question: &str) -> Result<String, Missing> {
        let failed = |error: io::Error| Missing::Answer(format!("the terminal cannot be read: {error}"));
        write!(self.output, "{question}: ")
            .and_then(|()| self.output.flush())
            .map_err(failed)?;
        let mut line = String::new();
        match self.input.read_line(&mut line).map_err(failed)? {
            0 => Err(Missing::Answer("the input ended before the last question".to_owned())),
            _ => Ok(line.trim().to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(flags: Init, lines: &str) -> (Result<Answers, Missing>, String) {
        let mut output = Vec::new();
        let answers = Answers::of(flags, Some(&mut Prompt::new(lines.as_bytes(), &mut output)));
        (answers, String::from_utf8(output).unwrap())
    }

    #[test]
    fn questions_fill_in_what_flags_leave_out() {
        let (answers, asked) = answered(
            Init::default(),
            "orders-svc\nhttp://127.0.0.1:3000\n\nokay\nKeycloak\nid.example.com\nshop\norders\n",
        );
        let answers = answers.unwrap();
        assert_eq!(answers.idp, Idp::Keycloak);
        assert_eq!(answers.issuer, "https://id.example.com/realms/shop");
        assert_eq!((answers.prefix, answers.audience), (None, vec!["orders".to_owned()]));
        assert_eq!(asked.matches("Identity provider").count(), 2, "{asked}");
        let flags = Init {
            service: Some("a".into()),
            upstream: Some("unix:/a".into()),
            idp: Some(Idp::None),
            ..Init::default()
        };
        let (answers, asked) = answered(flags, "/a\n");
        assert_eq!(answers.unwrap().prefix.as_deref(), Some("/a"));
        assert_eq!(asked.matches(": ").count(), 1, "{asked}");
    }

    #[test]
    fn end_of_input_ends_the_questions() {
        for lines in ["", "orders\n", "\n\n\n", "a\nhttp://a\n\nx\nx\nx\n"] {
            let (answers, _) = answered(Init::default(), lines);
            assert!(matches!(answers, Err(Missing::Answer(_))), "{lines:?}");
        }
    }

    #[test]
    fn without_a_terminal_every_missing_flag_is_named() {
        let missing = |flags: Init| match Answers::of(flags, None::<&mut Prompt<&[u8], Vec<u8>>>) {
            Err(Missing::Flags(flags)) => flags,
            other => panic!("{other:?}"),
        };
        assert_eq!(missing(Init::default()), ["--service", "--upstream", "--idp"]);
        let with = |idp| Init {
            idp: Some(idp),
            service: Some("a".into()),
            ..Init::default()
        };
        assert_eq!(
            missing(with(Idp::Keycloak)),
            ["--upstream", "--domain", "--realm", "--audience"]
        );
        assert_eq!(missing(with(Idp::Cognito)), ["--upstream", "--pool"]);
        assert_eq!(missing(with(Idp::None)), ["--upstream"]);
    }
}
