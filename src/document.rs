//! What YAML files share: YAML text to values that know their place, problems with their place, and
//! what a document refers to: variables, secrets, PEM.

pub mod collections;
pub mod decode;
pub mod environment;
pub mod masks;
pub mod pem;
pub mod problem;
pub mod references;
pub mod scalars;
pub mod secret;
pub mod suggestion;
pub mod tls_material;
pub mod yaml;

use problem::Problems;
use yaml::Node;

/// Reads a file with one YAML document. A file that is not YAML is one problem, and so is each tag.
pub fn read(problems: &mut Problems) -> Option<Node> {
    match yaml::parse(&problems.source().text) {
        Ok(parsed) => {
            for span in parsed.tags {
                let message = "this has a tag, a word that begins with `!`, and tags are not read";
                problems.add_with_help(&span, message, "leave the tag out");
            }
            Some(parsed.node)
        }
        Err(error) => {
            match error.help {
                Some(help) => problems.add_with_help(&error.span, error.message, help),
                None => problems.add(&error.span, error.message),
            };
            None
        }
    }
}
