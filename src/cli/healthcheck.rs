//! `sidegate healthcheck`, for images without a shell.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use clap::Args;

use super::Exit;
use super::output::{could_not_run, print_line};
use super::run::ServerOptions;

/// How long a response may take.
const TIME: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
pub(super) struct Healthcheck {
    #[command(flatten)]
    options: ServerOptions,
}

impl Healthcheck {
    pub(super) fn execute(self) -> Exit {
        let address = match self.options.load() {
            Ok(config) => loopback(config.admin),
            Err(error) => return could_not_run(error),
        };
        match status_line(address) {
            Ok(line) if line.split(' ').nth(1) == Some("200") => {
                print_line("ready");
                Exit::Fine
            }
            Ok(line) => {
                print_line(format!("not ready: {}", line.trim_end()));
                Exit::No
            }
            Err(error) => {
                print_line(format!("not ready: {address}: {error}"));
                Exit::No
            }
        }
    }
}

/// A process that listens everywhere is asked on this machine.
fn loopback(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

fn status_line(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, TIME)?;
    stream.set_read_timeout(Some(TIME))?;
    stream.write_all(format!("GET /readyz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").as_bytes())?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    Ok(line)
}
