//! The command line as `--help` describes it.

use clap::{Arg, Command, CommandFactory};

use super::{code, table};
use sidegate::cli::Cli;

/// A heading for each command, with its usage and its options.
pub(super) fn render() -> String {
    let mut cli = Cli::command();
    cli.build();
    let mut text = String::new();
    commands(&cli, &mut text);
    text
}

fn commands(parent: &Command, text: &mut String) {
    for command in parent.get_subcommands().filter(|command| command.get_name() != "help") {
        *text += &section(command);
        commands(command, text);
    }
}

fn section(command: &Command) -> String {
    let mut command = command.clone();
    let name = command.get_bin_name().unwrap_or_default().to_owned();
    let usage = command.render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").trim();
    let about = sentence(&command.get_about().map(ToString::to_string).unwrap_or_default());
    let rows: Vec<_> = command
        .get_arguments()
        .filter(|option| is_own(option))
        .map(row)
        .collect();
    let options = match rows.is_empty() {
        true => String::new(),
        false => table(&["option", "meaning", "default", "variable"], rows) + "\n",
    };
    format!("### `{name}`\n\n{about}\n\n```text\n{usage}\n```\n\n{options}")
}

/// Whether an option belongs to this command: every command has `--help` and `--version`.
fn is_own(option: &Arg) -> bool {
    !matches!(option.get_id().as_str(), "help" | "version") && !option.is_hide_set()
}

fn row(option: &Arg) -> Vec<String> {
    let names = [
        option.get_short().map(|short| format!("-{short}")),
        option.get_long().map(|long| format!("--{long}")),
    ];
    let names: Vec<_> = names.into_iter().flatten().collect();
    let value = option.get_value_names().unwrap_or_default();
    let value: Vec<_> = value.iter().map(ToString::to_string).collect();
    let takes_value = option.get_action().takes_values();
    let shown = match (names.is_empty(), takes_value) {
        (true, _) => value.join(" "),
        (false, true) => format!("{} {}", names.join(", "), value.join(" ")),
        (false, false) => names.join(", "),
    };
    let help = option
        .get_long_help()
        .or(option.get_help())
        .map(ToString::to_string)
        .unwrap_or_default();
    // A default that depends on something is a part of the help.
    let (help, described) = match help.split_once("[default: ") {
        Some((help, default)) => (help.trim().to_owned(), default.trim_end_matches(']').to_owned()),
        None => (help, String::new()),
    };
    let values: Vec<_> = option
        .get_default_values()
        .iter()
        .map(|value| code(&value.to_string_lossy()))
        .collect();
    let default = match values.is_empty() {
        true => described,
        false if takes_value => values.join(" "),
        false => String::new(),
    };
    let variable = option
        .get_env()
        .map(|name| code(&name.to_string_lossy()))
        .unwrap_or_default();
    vec![code(&shown), sentence(&with_values(option, &help)), default, variable]
}

/// The help of an option, with the words that it takes.
fn with_values(option: &Arg, help: &str) -> String {
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    let words: Vec<_> = option
        .get_possible_values()
        .iter()
        .filter(|_| option.get_action().takes_values())
        .map(|word| code(word.get_name()))
        .collect();
    match words.is_empty() {
        true => help,
        false => format!("{}: {}", help.trim_end_matches('.'), words.join(", ")),
    }
}

fn sentence(text: &str) -> String {
    let text = text.trim_end_matches('.');
    match text.is_empty() {
        true => String::new(),
        false => format!("{text}."),
    }
}
