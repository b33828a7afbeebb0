//! A name server (RFC 1035) that knows what a test tells it, on port 53 of a network namespace.

use std::{
    collections::HashMap,
    net::{IpAddr, UdpSocket},
    sync::Arc,
    thread,
};

use parking_lot::Mutex;

const A: u16 = 1;
const AAAA: u16 = 28;
const NO_SUCH_NAME: u8 = 3;

type Names = Mutex<HashMap<String, Vec<IpAddr>>>;

/// A running name server. It ends with the process.
pub(crate) struct NameServer(Arc<Names>);

impl NameServer {
    /// Knows no name.
    pub(super) fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:53").unwrap();
        let names = Arc::<Names>::default();
        let shared = names.clone();
        thread::spawn(move || {
            let mut query = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut query) {
                if let Some(response) = answer(&query[..length], &shared.lock()) {
                    socket.send_to(&response, from).unwrap();
                }
            }
        });
        Self(names)
    }

    /// Gives a name these addresses, in place of all that it had.
    pub(crate) fn set(&self, name: &str, addresses: Vec<IpAddr>) {
        self.0.lock().insert(name.to_owned(), addresses);
    }
}

/// The response to a query with one question.
fn answer(query: &[u8], names: &HashMap<String, Vec<IpAddr>>) -> Option<Vec<u8>> {
    let mut labels = Vec::new();
    let mut at = 12;
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(query.get(at..at + length)?).to_ascii_lowercase());
        at += length;
    }
    let kind = u16::from_be_bytes([*query.get(at)?, *query.get(at + 1)?]);
    let question = query.get(12..at + 4)?;
    let known = names.get(&labels.join("."));
    let fits = |address: &&IpAddr| kind == if address.is_ipv4() { A } else { AAAA };
    let found: Vec<_> = known.into_iter().flatten().filter(fits).collect();
    let code = if known.is_some() { 0 } else { NO_SUCH_NAME };
    let count = u8::try_from(found.len()).unwrap();
    let mut response = query[..2].to_vec();
    // A response with authority and recursion, to one question.
    response.extend([0x85, 0x80 | code, 0, 1, 0, count, 0, 0, 0, 0]);
    response.extend(question);
    for address in found {
        // The name of the question, class IN, no time to live.
        response.extend([0xc0, 12, 0, u8::try_from(kind).unwrap(), 0, 1, 0, 0, 0, 0]);
        let bytes = match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        response.extend([0, u8::try_from(bytes.len()).unwrap()]);
        response.extend(bytes);
    }
    Some(response)
}
