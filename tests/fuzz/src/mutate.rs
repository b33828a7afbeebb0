//! Mutations that know what a request looks like: lines come, go, and come twice. What is between
//! the line ends is left to libFuzzer and its dictionary.

/// Lines that a request may have, and some that it may not.
const LINES: [&str; 40] = [
    "GET / HTTP/1.1",
    "GET /wallet/v1/open/a HTTP/1.1",
    "GET /wallet/v1/open/admin/a HTTP/1.1",
    "PUT /wallet/v1/jobs/run HTTP/1.1",
    "POST /wallet/v1/jobs/run HTTP/1.1",
    "HEAD /x/a/y HTTP/1.1",
    "POST /x/a HTTP/1.1",
    "GET /lenient/a//b HTTP/1.1",
    "",
    "Host: h",
    "Host: a.example",
    "Host: h:80, i",
    "Authorization: Bearer $TOKEN",
    "x-internal-api-key: $KEY",
    "X_Internal.Api-Key: $KEY",
    "x-tenant-id: $TENANT",
    "X.Tenant_Id: $TENANT",
    "x-auth-method: jwt",
    "x.user-id: me",
    "HTTP_X_USER_ID: me",
    "Content-Length: 0",
    "Content-Length: 2",
    "Content_Length: 9",
    "Transfer-Encoding: chunked",
    "Transfer.Encoding: chunked",
    "Content-Type: application/json",
    "Expect: 100-continue",
    "Connection: close",
    "Connection: keep-alive, x-auth-method, x-user-id",
    "Connection: upgrade",
    "Upgrade: websocket",
    "Upgrade: h2c",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "TE: trailers",
    "x_forwarded.proto: https",
    "x-original-url: /",
    "Cookie: a=b",
    "{}",
    "2\r\n{}",
    "0\r\n",
];

/// Changes one line of an input, behind the two bytes that are not part of the request.
pub fn lines(input: &[u8], seed: u32) -> Vec<u8> {
    let mut dice = Dice(seed | 1);
    let (manners, bytes) = input.split_at(input.len().min(2));
    let mut lines: Vec<_> = bytes.split_inclusive(|&byte| byte == b'\n').collect();
    let at = dice.below(lines.len() + 1);
    let new = LINES.get(dice.below(LINES.len())).map(|line| format!("{line}\r\n"));
    let new = new.unwrap_or_default();
    match dice.below(5) {
        0 if at < lines.len() => drop(lines.remove(at)),
        1 if at < lines.len() => lines.insert(at, lines[at]),
        2 if at < lines.len() => lines[at] = new.as_bytes(),
        _ => lines.insert(at, new.as_bytes()),
    }
    [manners, &lines.concat()].concat()
}

/// Numbers that follow from a seed (xorshift).
struct Dice(u32);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        for (left, shift) in [(true, 13), (false, 17), (true, 5)] {
            self.0 ^= if left { self.0 << shift } else { self.0 >> shift };
        }
        self.0 as usize % limit.max(1)
    }
}
