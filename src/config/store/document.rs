//! `store` of `sidegate.yaml` as written.

use std::borrow::Cow;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::config::document::forms::{KeyPrefix, RedisAddress, redis_dependencies};
use crate::document::decode::{FromNode, Spanned, document, not_one_of, one_of};
use crate::document::patterns::{periods, sizes};
use crate::document::problem::{ProblemCode, Problems, Reported};
use crate::document::scalars::{Size, Timeout};
use crate::document::schema::words_schema;
use crate::document::secret::{EnvString, EnvText, SecretDocument};
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
    /// Where shared state is stored: exactly one of `memory` and `redis`.
    #[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
    pub struct StoreOptionsDocument [whole] {
        /// The memory of this process, with its size. Replicas then share nothing, and a restart forgets everything.
        #[schemars(extend("examples" = [{ "size": "256MiB" }]))]
        memory: Option<MemoryDocument>,
        /// A Redis, version 6.2 or newer, that all replicas share.
        #[schemars(extend("examples" = [{ "url": "redis://127.0.0.1:6379" }]))]
        redis: Option<RedisDocument>,
    }

    /// The memory of this process.
    pub struct MemoryDocument {
        /// The most bytes for responses to requests with an idempotency key, 512 bytes for each included; at least
        /// `1MiB`. `store: memory` means `256MiB`.
        #[schemars(extend(
            "pattern" = sizes(&(1 << 20..=u64::MAX)),
            "minimum" = 1 << 20,
            "examples" = ["256MiB"]
        ))]
        size: Spanned<Size>,
    }

    /// A Redis, version 6.2 or newer.
    #[schemars(extend("dependentSchemas" = redis_dependencies()))]
    pub struct RedisDocument {
        /// `redis://host:6379/0`, `unix:/path`, `redis+cluster://host:6379,host:6379` or
        /// `redis+sentinel://host:26379,host:26379/NAME`; `rediss` in place of `redis` for TLS. A text, or
        /// `{ env: NAME }`: only a URL in a variable may have a password.
        #[schemars(with = "EnvText<RedisAddress>")]
        url: Spanned<EnvString>,
        /// The name of the user. Needs a password. Without it, the default user of the Redis.
        #[schemars(extend("examples" = ["sidegate"]))]
        username: Option<Spanned<String>>,
        /// The password: `{ env: NAME }` or `{ file: PATH }`. Without it, no login.
        #[schemars(extend("examples" = [{ "file": "/run/secrets/redis_password" }]))]
        password: Option<SecretDocument>,
        /// A PEM file with the CAs of the server, for `rediss` URLs. Without it, Sidegate trusts the CAs of the system.
        /// This file and the next two are read at the start only.
        #[schemars(extend("examples" = ["tls/redis-ca.crt"]))]
        ca_file: Option<Spanned<String>>,
        /// A PEM file with the client certificate chain that Sidegate presents to the server. Needs `client_key`.
        #[schemars(extend("examples" = ["tls/redis-client.crt"]))]
        client_certificate: Option<Spanned<String>>,
        /// A PEM file with the private key of `client_certificate`.
        #[schemars(extend("examples" = ["tls/redis-client.key"]))]
        client_key: Option<Spanned<String>>,
        /// The longest time for one operation, at most `10s`: a request waits for it.
        #[schemars(extend(
            "default" = "250ms",
            "pattern" = periods(Duration::from_millis(1)..=Duration::from_secs(10))
        ))]
        timeout: Option<Spanned<Timeout>>,
        /// The beginning of the names of all keys. Replicas with the same prefix share their state.
        #[schemars(with = "Option<KeyPrefix>", extend("default" = "sidegate"))]
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
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Store".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let meaning =
            "The memory of this process, `256MiB`. Replicas then share nothing, and a restart forgets everything.";
        let options = generator.subschema_for::<StoreOptionsDocument>();
        json_schema!({ "anyOf": [words_schema("", &[("memory", meaning)]), options] })
    }
}
