//! The file formats: their schemas, their readers, and documents that have every field in each of its forms.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, OnceLock},
};

use jsonschema::Validator;
use serde_json::{Value, json};
use sidegate::{
    config::ServerConfig,
    document::{
        environment::Environment,
        problem::{Problem, Problems, SourceFile},
        yaml::{Node, Value as Yaml},
    },
    policy::{Policy, compile, identity::Identity},
    policy_test,
};
use tempfile::TempDir;

use crate::harness::{
    SECRET,
    certificates::pki,
    issuer::{Key, key_set},
};

pub(crate) const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// One of the formats, with its schema and its reader.
pub(crate) struct Format {
    pub(crate) name: &'static str,
    pub(crate) schema: Value,
    pub(crate) validator: Validator,
    read: fn(SourceFile) -> Result<Meaning, Vec<Problem>>,
}

/// What a document means, in every detail, without the places in its file.
#[derive(Debug, PartialEq)]
pub(crate) enum Meaning {
    Policy(Box<Policy>),
    /// As the program shows it.
    Config(String),
    /// As the program shows it. What the names in tests mean is for their policies to say.
    Test(String),
}

impl Format {
    pub(crate) fn policy() -> Self {
        Self::new("policy", |source| {
            let mut policy = compile::parse(&Arc::new(source), &Everything)?;
            // The order of identity headers means nothing.
            let mut headers = policy.identity.headers().to_vec();
            headers.sort_by(|one, other| one.name.as_str().cmp(other.name.as_str()));
            policy.identity = Identity::new(headers, &[]);
            Ok(Meaning::Policy(Box::new(policy)))
        })
    }

    pub(crate) fn config() -> Self {
        Self::new("config", |source| {
            ServerConfig::parse(source, folder()).map(|config| Meaning::Config(without_places(&format!("{config:?}"))))
        })
    }

    pub(crate) fn test() -> Self {
        Self::new("test", |source| {
            let document = policy_test::compile::read(&Arc::new(source))?;
            Ok(Meaning::Test(format!("{document:?}")))
        })
    }

    /// The formats that a process reads.
    pub(crate) fn both() -> [Self; 2] {
        [Self::policy(), Self::config()]
    }

    pub(crate) fn all() -> [Self; 3] {
        [Self::policy(), Self::config(), Self::test()]
    }

    fn new(name: &'static str, read: fn(SourceFile) -> Result<Meaning, Vec<Problem>>) -> Self {
        let schema = serde_json::from_str(&printed(name)).unwrap();
        Self {
            name,
            validator: jsonschema::validator_for(&schema).unwrap(),
            schema,
            read,
        }
    }

    /// What a document means, or what is wrong with it.
    pub(crate) fn read(&self, document: &Value) -> Result<Meaning, Vec<Problem>> {
        (self.read)(SourceFile::new("file.yaml", format!("{document:#}")))
    }

    /// The errors of a text.
    pub(crate) fn errors(&self, text: impl Into<String>) -> Vec<Problem> {
        let problems = (self.read)(SourceFile::new("file.yaml", text))
            .err()
            .unwrap_or_default();
        problems.into_iter().filter(Problem::is_error).collect()
    }

    /// Documents that have every field in each of its forms, and that are accepted. They are short: each is read often.
    pub(crate) fn complete(&self) -> Vec<Value> {
        let folder = match self.name {
            "policy" => "policies",
            "config" => "configs",
            _ => "tests",
        };
        let mut found = Vec::new();
        yaml_files(&Path::new(ROOT).join("tests/it/schema").join(folder), &mut found);
        found.sort();
        found.iter().map(|path| as_json(path)).collect()
    }

    /// The files of this format that are shipped.
    pub(crate) fn shipped(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let root = Path::new(ROOT);
        for folder in ["policies", "deploy"] {
            yaml_files(&root.join(folder), &mut found);
        }
        let is_test = |path: &PathBuf| {
            let below = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
            below.ends_with(".test.yaml") && below.contains("policies/")
        };
        let is_policy = |path: &PathBuf| path.parent().unwrap().ends_with("policies") && !is_test(path);
        let is_config = |path: &PathBuf| path.ends_with("sidegate.yaml");
        found.retain(|path| match self.name {
            "policy" => is_policy(path),
            "config" => is_config(path),
            _ => is_test(path),
        });
        found.sort();
        assert!(found.len() > 3 || self.name == "test", "{found:?}");
        found
    }
}

fn yaml_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            yaml_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            found.push(path);
        }
    }
}

/// A value as the program shows it, without places in files. `./policies` is the folder `policies`.
fn without_places(meaning: &str) -> String {
    let mut parts = meaning.split("Location {");
    let mut plain = parts.next().unwrap().to_owned();
    for part in parts {
        let (_, behind) = part.split_once("span: ").unwrap();
        plain.push_str(behind.split_once('}').unwrap().1);
    }
    plain.replace("/./", "/")
}

/// What `sidegate schema` prints.
pub(crate) fn printed(name: &str) -> String {
    let program = Command::new(env!("CARGO_BIN_EXE_sidegate"))
        .args(["schema", name])
        .output()
        .unwrap();
    String::from_utf8(program.stdout).unwrap()
}

/// The content of a file, by its name.
fn content(name: &str) -> Option<String> {
    static KEY: OnceLock<Key> = OnceLock::new();
    let key = || KEY.get_or_init(|| Key::new("RS256", "one"));
    let content = match name {
        "ca.pem" => pki().ca.clone(),
        "ca.crl" => pki().crl.clone(),
        "client.crt" => pki().scheduler.chain.clone(),
        "client.pem" => pki().scheduler.key.clone(),
        "rsa.pem" => key().public_pem.clone(),
        "jwks.json" => key_set(&[key()]),
        "token" | "first-key" | "redis-password" => format!("{SECRET} of {name}"),
        // The files of deploy/.
        name if name.contains("secret") || name.contains("_key") || name.contains("-key") => {
            format!("{SECRET} of {name}")
        }
        _ => return None,
    };
    Some(content)
}

/// The files and variables that the documents name.
struct Everything;

impl Environment for Everything {
    fn variable(&self, name: &str) -> Option<String> {
        let is_secret = ["SECRET", "KEY"].iter().any(|end| name.ends_with(end));
        is_secret.then(|| format!("{SECRET} of {name}"))
    }

    fn file(&self, path: &Path) -> io::Result<Vec<u8>> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        content(&name)
            .map(String::into_bytes)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

/// A folder with the files that the documents of `sidegate.yaml` name.
fn folder() -> &'static Path {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        for name in ["ca.pem", "client.crt", "client.pem", "redis-password"] {
            fs::write(folder.path().join(name), content(name).unwrap()).unwrap();
        }
        folder
    });
    folder.path()
}

/// A YAML file as JSON.
pub(crate) fn as_json(path: &Path) -> Value {
    parsed(&fs::read_to_string(path).unwrap()).unwrap_or_else(|| panic!("{} is not YAML", path.display()))
}

/// A text as JSON, if it is YAML in which no mapping has a key twice.
pub(crate) fn parsed(text: &str) -> Option<Value> {
    let source = SourceFile::new("file.yaml", text);
    let mut problems = Problems::of(Arc::new(source));
    let node = sidegate::document::read(&mut problems)?;
    (!problems.has_errors()).then(|| value(&node))?
}

fn value(node: &Node) -> Option<Value> {
    Some(match &node.value {
        Yaml::Null => Value::Null,
        Yaml::Bool(value) => json!(value),
        Yaml::Number(text) => serde_json::from_str(text).ok()?,
        Yaml::Text(text) => json!(text),
        Yaml::Sequence(items) => Value::Array(items.iter().map(value).collect::<Option<_>>()?),
        Yaml::Mapping(entries) => {
            let mut fields = serde_json::Map::new();
            for ((key, _), node) in entries {
                if fields.insert(key.clone(), value(node)?).is_some() {
                    return None;
                }
            }
            Value::Object(fields)
        }
    })
}
