//! `store` of `sidegate.yaml` as written.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::document::decode::{FromNode, Spanned, document, not_one_of, one_of};
use crate::document::problem::{ProblemCode, Problems, Reported};
use crate::document::scalars::{Size, Timeout};
use crate::document::secret::{EnvString, SecretDocument};
use crate::document::suggestion::closest;
use crate::document::yaml::{Node, Value};

/// Where state is kept that replicas share: `memory`, `{ memory: { size: … } }`, or `{ redis: { url: … } }`.
#[derive(Debug, Clone)]
pub enum StoreDocument {
    /// In this process, with so much room.
    Memory(Option<MemoryDocument>),
    /// In a Redis.
    Redis(Box<RedisDocument>),
}

document! {
    /// Where state is kept that replicas share: exactly one of these.
    pub struct StoreOptionsDocument [whole] {
        /// The memory of this process, with its room.
        memory: Option<MemoryDocument>,
        /// A Redis that all replicas share.
        redis: Option<RedisDocument>,
    }

    /// The memory of this process.
    pub struct MemoryDocument {
        /// The most that responses to requests with an idempotency key may take, with 512 bytes for each. Default 256MiB, at
        /// least 1MiB.
        size: Spanned<Size>,
    }

    /// A Redis.
    pub struct RedisDocument {
        /// `redis://host:6379`, `rediss://…` for TLS, `unix:/path`, `redis+cluster://host:6379,host:6379` or
        /// `redis+sentinel://host:26379,host:26379/NAME`. One with a password comes from a variable.
        url: Spanned<EnvString>,
        /// As whom it is spoken to.
        username: Option<Spanned<String>>,
        /// What proves it.
        password: Option<SecretDocument>,
        /// The CAs of the server as PEM. Default: those of the system.
        ca_file: Option<Spanned<String>>,
        /// The certificate chain that is shown to the server, as PEM.
        client_certificate: Option<Spanned<String>>,
        /// Its private key as PEM.
        client_key: Option<Spanned<String>>,
        /// How long an operation may take. Default 250ms, at most 10s.
        timeout: Option<Spanned<Timeout>>,
        /// What the name of every key begins with. Default `sidegate`.
        prefix: Option<Spanned<String>>,
    }
}

impl FromNode for StoreDocument {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Self, Reported> {
        match node.value {
            Value::Mapping(_) => {
                let StoreOptionsDocument { memory, redis } = FromNode::from_node(node, problems)?;
                match (memory, redis) {
                    (Some(memory), None) => Ok(Self::Memory(Some(memory))),
                    (None, Some(redis)) => Ok(Self::Redis(Box::new(redis))),
                    (memory, redis) => {
                        let found = usize::from(memory.is_some()) + usize::from(redis.is_some());
                        let help = "write `store: memory`, or `store: { redis: { url: … } }`";
                        Err(not_one_of(&node.span, &["memory", "redis"], found, help, problems))
                    }
                }
            }
            // It may have a password, which is not to be shown again.
            Value::Text(ref text) if text.contains("://") || text.starts_with("unix:") => {
                let help = match text.contains('@') {
                    true => "write `store: { redis: { url: { env: NAME } } }`, with the URL in that variable",
                    false => "write `store: { redis: { url: … } }`",
                };
                let message = "the URL of a Redis does not stand alone here";
                Err(problems.add(&node.span, ProblemCode::WrongType, message, help))
            }
            Value::Text(ref text) if text == "redis" => {
                let help = "write `store: { redis: { url: redis://host:6379 } }`";
                let message = "`redis` needs the URL of the Redis";
                Err(problems.add(&node.span, ProblemCode::MissingField, message, help))
            }
            Value::Text(ref text) if closest(text, ["memory"]).is_none() => {
                let help = "write `store: memory`, or `store: { redis: { url: … } }`";
                let message = format!("unknown word `{text}`");
                Err(problems.add(&node.span, ProblemCode::UnknownWord, message, help))
            }
            _ => one_of(node, &[("memory", ())], problems).map(|()| Self::Memory(None)),
        }
    }
}

impl JsonSchema for StoreDocument {
    fn schema_name() -> Cow<'static, str> {
        "Store".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let options = generator.subschema_for::<StoreOptionsDocument>();
        json_schema!({
            "description": "Where state is kept that replicas share: `memory`, `{ memory: { size: … } }`, or `{ redis: { url: … } }`.",
            "anyOf": [{ "const": "memory" }, options]
        })
    }
}
