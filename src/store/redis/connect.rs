//! Opens connections: to one server, to the one that sentinels name, or to a cluster.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{MultipleNodeRoutingInfo, ResponsePolicy, RoutingInfo};
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, FromRedisValue,
    IntoConnectionInfo, Pipeline, RedisConnectionInfo, RedisError, RedisFuture, RedisResult, TlsCertificates, Value,
};

use crate::config::store::RedisConfig;
use crate::config::store::url::{Address, HostPort, Servers};
use crate::document::tls_material::CaBundle;

/// How long one server may take to be connected to. Requests do not wait for that.
const CONNECT: Duration = Duration::from_secs(1);

/// How long it may take in all: sentinels and nodes come one after the other.
const CONNECT_ALL: Duration = Duration::from_secs(5);

/// The pauses between attempts to connect.
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(50);
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The most questions that wait to be written to a connection.
const WAITING: usize = 1024;

/// How often a cluster is asked again, for a slot that has moved, and the milliseconds between.
const CLUSTER_RETRIES: u32 = 3;
const CLUSTER_PAUSE: (u64, u64) = (10, 100);

/// A connection that many use at a time.
#[derive(Clone)]
pub(super) enum Connection {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Connection {
    pub(super) const fn is_cluster(&self) -> bool {
        matches!(self, Self::Cluster(_))
    }

    /// Sends a command and reads the reply.
    pub(super) async fn query<T: FromRedisValue>(&mut self, command: &Cmd) -> RedisResult<T> {
        command.query_async(self).await
    }

    /// Whether any node of a cluster answers.
    pub(super) async fn any_answers(&mut self) -> RedisResult<()> {
        let nodes = (MultipleNodeRoutingInfo::AllMasters, Some(ResponsePolicy::OneSucceeded));
        match self {
            Self::Cluster(cluster) => {
                let command = redis::cmd("PING");
                cluster.route_command(command, RoutingInfo::MultiNode(nodes)).await?;
            }
            Self::One(_) => {
                self.query::<Value>(&redis::cmd("PING")).await?;
            }
        }
        Ok(())
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::One(one) => one.req_packed_command(command),
            Self::Cluster(cluster) => cluster.req_packed_command(command),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        commands: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::One(one) => one.req_packed_commands(commands, offset, count),
            Self::Cluster(cluster) => cluster.req_packed_commands(commands, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::One(one) => one.get_db(),
            Self::Cluster(cluster) => cluster.get_db(),
        }
    }
}

/// What it takes to connect.
#[derive(Debug)]
pub(super) struct Connector {
    config: RedisConfig,
    /// How often sentinels were asked.
    asked: AtomicUsize,
}

impl Connector {
    /// Checks all that can be checked without connecting.
    pub(super) fn new(config: RedisConfig) -> Result<Self, String> {
        let connector = Self {
            config,
            asked: AtomicUsize::new(0),
        };
        let checked = match &connector.config.servers {
            Servers::One { address, database } => connector.client(address, *database, connector.who()).map(drop),
            Servers::Cluster(nodes) => connector.cluster(nodes, CONNECT).map(drop),
            Servers::Sentinel {
                sentinels, database, ..
            } => sentinels.iter().try_for_each(|sentinel| {
                let address = Address::Tcp(sentinel.clone());
                connector.client(&address, *database, connector.who()).map(drop)
            }),
        };
        match checked {
            Ok(()) => Ok(connector),
            Err(error) => Err(format!("Redis cannot be spoken to: {error}")),
        }
    }

    /// What is shown to operators.
    pub(super) fn servers(&self) -> String {
        self.config.servers.to_string()
    }

    /// Opens a connection, on which a reply may take so long.
    pub(super) async fn connect(&self, answer: Duration) -> RedisResult<Connection> {
        tokio::time::timeout(CONNECT_ALL, self.open(answer))
            .await
            .unwrap_or_else(|_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()))
    }

    async fn open(&self, answer: Duration) -> RedisResult<Connection> {
        match &self.config.servers {
            Servers::One { address, database } => self.one(address, *database, answer).await,
            Servers::Cluster(nodes) => {
                let cluster = self.cluster(nodes, answer)?.get_async_connection().await?;
                Ok(Connection::Cluster(cluster))
            }
            Servers::Sentinel {
                sentinels,
                master,
                database,
            } => {
                let address = Address::Tcp(self.find(sentinels, master).await?);
                self.one(&address, *database, answer).await
            }
        }
    }

    async fn one(&self, address: &Address, database: u16, answer: Duration) -> RedisResult<Connection> {
        let client = self.client(address, database, self.who())?;
        opened(client, answer).await.map(Connection::One)
    }

    /// Asks sentinels until one knows the name; another one first each time, for one may be behind.
    async fn find(&self, sentinels: &[HostPort], master: &str) -> RedisResult<HostPort> {
        let mut told = RedisError::from((ErrorKind::EmptySentinelList, "there are no sentinels"));
        let first = self.asked.fetch_add(1, Ordering::Relaxed) % sentinels.len().max(1);
        for sentinel in sentinels.iter().cycle().skip(first).take(sentinels.len()) {
            match self.ask(sentinel, master).await {
                Ok(Some((host, port))) => return Ok(HostPort { host, port }),
                Ok(None) => {
                    told = (
                        ErrorKind::MasterNameNotFoundBySentinel,
                        "sentinels do not know the name",
                    )
                        .into();
                }
                Err(error) => told = error,
            }
        }
        Err(told)
    }

    async fn ask(&self, sentinel: &HostPort, master: &str) -> RedisResult<Option<(String, u16)>> {
        let address = Address::Tcp(sentinel.clone());
        let mut command = redis::cmd("SENTINEL");
        command.arg("GET-MASTER-ADDR-BY-NAME").arg(master);
        let nobody = self.client(&address, 0, RedisConnectionInfo::default())?;
        let answer = command.query_async(&mut opened(nobody, CONNECT).await?).await;
        let wants_password = |error: &RedisError| error.code() == Some("NOAUTH");
        if !answer.as_ref().is_err_and(wants_password) {
            return answer;
        }
        let somebody = self.client(&address, 0, self.who())?;
        command.query_async(&mut opened(somebody, CONNECT).await?).await
    }

    fn client(&self, address: &Address, database: u16, who: RedisConnectionInfo) -> RedisResult<Client> {
        let info = self.info(address, who.set_db(database.into()))?;
        match (address, self.certificates()) {
            (Address::Tcp(_), Some(certificates)) => Client::build_with_tls(info, certificates),
            _ => Client::open(info),
        }
    }

    fn cluster(&self, nodes: &[HostPort], answer: Duration) -> RedisResult<ClusterClient> {
        let nodes = nodes
            .iter()
            .map(|node| self.info(&Address::Tcp(node.clone()), self.who()));
        let nodes: RedisResult<Vec<_>> = nodes.collect();
        let (shortest, longest) = CLUSTER_PAUSE;
        let builder = ClusterClientBuilder::new(nodes?)
            .retries(CLUSTER_RETRIES)
            .min_retry_wait(shortest)
            .max_retry_wait(longest)
            .connection_timeout(CONNECT)
            .response_timeout(answer)
            .tcp_settings(settings());
        match self.certificates() {
            Some(certificates) => builder.certs(certificates).build(),
            None => builder.build(),
        }
    }

    fn info(&self, address: &Address, who: RedisConnectionInfo) -> RedisResult<ConnectionInfo> {
        let address = match address {
            Address::Unix(path) => ConnectionAddr::Unix(path.clone()),
            Address::Tcp(HostPort { host, port }) => match self.config.tls {
                None => ConnectionAddr::Tcp(host.clone(), *port),
                Some(_) => ConnectionAddr::TcpTls {
                    host: host.clone(),
                    port: *port,
                    insecure: false,
                    tls_params: None,
                },
            },
        };
        let info = address.into_connection_info()?;
        Ok(info.set_redis_settings(who).set_tcp_settings(settings()))
    }

    fn who(&self) -> RedisConnectionInfo {
        let mut who = RedisConnectionInfo::default();
        if let Some(username) = &self.config.username {
            who = who.set_username(username);
        }
        if let Some(password) = &self.config.password {
            who = who.set_password(password.expose());
        }
        who
    }

    fn certificates(&self) -> Option<TlsCertificates> {
        let tls = self.config.tls.as_ref()?;
        Some(TlsCertificates {
            client_tls: tls.client.as_ref().map(|client| ClientTlsConfig {
                client_cert: client.chain_pem(),
                client_key: client.key_pem(),
            }),
            // Without CAs, the library takes those of the system.
            root_cert: tls.ca.as_ref().map(CaBundle::pem),
        })
    }
}

async fn opened(client: Client, answer: Duration) -> RedisResult<MultiplexedConnection> {
    let options = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT))
        .set_response_timeout(Some(answer))
        .set_pipeline_buffer_size(WAITING);
    client.get_multiplexed_async_connection_with_config(&options).await
}

/// A question is one small packet, and is not held back until there are more.
fn settings() -> TcpSettings {
    TcpSettings::default().set_nodelay(true)
}
