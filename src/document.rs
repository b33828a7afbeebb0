//! What YAML files share: YAML text to values that know their place, problems with their place, and
//! what a document refers to: variables, secrets, PEM.

mod aliases;
pub mod characters;
pub mod collections;
pub mod decode;
pub mod environment;
pub mod field_places;
pub mod key_reference;
mod levels;
pub mod masks;
pub mod measures;
pub mod networks;
pub mod patterns;
pub mod pem;
pub mod problem;
pub mod references;
pub mod scalars;
pub mod schema;
pub mod secret;
pub mod secret_bytes;
pub mod shapes;
mod shell_variable;
pub mod suggestion;
mod syntax;
pub mod test_file;
pub mod tls_material;
mod unknown_field;
pub mod yaml;

use problem::{ProblemCode, Problems};
use yaml::{Node, Value};

/// Reads a file with one YAML document. A file that is not YAML is one problem, and so is each tag.
pub fn read(problems: &mut Problems) -> Option<Node> {
    match yaml::parse(&problems.source().text) {
        Ok(parsed) => {
            for span in parsed.tags {
                let message = "the value has a tag, a word that begins with `!`, and tags are not read";
                let help = "leave the tag out; put text that begins with `!` in quotes";
                problems.add(&span, ProblemCode::UnsupportedYaml, message, help);
            }
            if parsed.node.value == Value::Null {
                let help = "write `version: 1` and the other fields, or leave the file out";
                problems.add(&(0..0), ProblemCode::EmptyValue, "the file has nothing in it", help);
                return None;
            }
            Some(parsed.node)
        }
        Err(error) => {
            let (span, fault) = syntax::explain(error, &problems.source().text);
            let quotes = fault.code == ProblemCode::YamlSyntax;
            let fault = match quotes && problems.source().hides(&span) {
                true => syntax::unexplained(),
                false => fault,
            };
            problems.add_fault(&span, &fault);
            None
        }
    }
}
