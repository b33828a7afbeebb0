//! What a Redis does in one step. A script that runs twice, because a reply was lost, has the same effect as
//! one run; only `spend` takes one more.

use std::sync::LazyLock;
use std::time::Duration;

use redis::Cmd;

/// The longest that a key is kept. Redis counts in milliseconds since the epoch.
const LONGEST: Duration = Duration::from_hours(24 * 365 * 100);

/// A script, which a server knows by its digest once it has seen it.
#[derive(Debug)]
pub(super) struct Script {
    text: &'static str,
    digest: String,
}

impl Script {
    fn new(text: &'static str) -> Self {
        let digest = redis::Script::new(text).get_hash().to_owned();
        Self { text, digest }
    }

    /// The command for a server that knows it.
    pub(super) fn by_digest(&self, keys: &[&str], arguments: &[&[u8]]) -> Cmd {
        command("EVALSHA", &self.digest, keys, arguments)
    }

    /// The command for a server that does not.
    pub(super) fn by_text(&self, keys: &[&str], arguments: &[&[u8]]) -> Cmd {
        command("EVAL", self.text, keys, arguments)
    }
}

fn command(name: &str, script: &str, keys: &[&str], arguments: &[&[u8]]) -> Cmd {
    let mut command = redis::cmd(name);
    command.arg(script).arg(keys.len()).arg(keys).arg(arguments);
    command
}

/// Returns a time as an argument, in milliseconds. Redis takes no time of zero.
pub(super) fn millis(time: Duration) -> Vec<u8> {
    time.min(LONGEST).as_millis().max(1).to_string().into_bytes()
}

/// Claims a key. Returns nothing if the claim is granted, now or to the same attempt before. Otherwise returns
/// the beginning of the value, which is all of a claim, and its length. Arguments: claim, milliseconds.
pub(super) static CLAIM: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.call('EXISTS', KEYS[1]) == 1 then
  local found = redis.call('GETRANGE', KEYS[1], 0, 32)
  if found ~= ARGV[1] then return {found, redis.call('STRLEN', KEYS[1])} end
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return false",
    )
});

/// Sets the key where nothing is, since a server may have lost it, or in place of the claim. Returns 1, also if
/// the response of the same owner is stored, and 0 if another owner has the key.
macro_rules! set_unless_of_another {
    ($value:literal) => {
        concat!(
            "local found = redis.call('GETRANGE', KEYS[1], 0, 48)
if found == ARGV[1] or redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('SET', KEYS[1], ",
            $value,
            ", 'PX', ARGV[2])
  return 1
end
if string.sub(found, 1, 1) == 'b' and string.sub(found, 34) == string.sub(ARGV[1], 2) then return 1 end
return 0"
        )
    };
}

/// Prolongs a claim, or makes it again. Arguments: claim, milliseconds.
pub(super) static RENEW: LazyLock<Script> = LazyLock::new(|| Script::new(set_unless_of_another!("ARGV[1]")));

/// Puts a response in the place of a claim. Arguments: claim, milliseconds, what is stored.
pub(super) static COMPLETE: LazyLock<Script> = LazyLock::new(|| Script::new(set_unless_of_another!("ARGV[3]")));

/// All that is under a key.
pub(super) static READ: LazyLock<Script> = LazyLock::new(|| Script::new("return redis.call('GET', KEYS[1])"));

/// What every script here needs, without changing anything.
pub(super) static PROBE: LazyLock<Script> =
    LazyLock::new(|| Script::new("redis.call('TIME') return redis.call('EXISTS', KEYS[1])"));

/// Takes a claim away. Argument: claim.
pub(super) static RELEASE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.call('GETRANGE', KEYS[1], 0, 32) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1",
    )
});

/// `Rate::spend`, by the clock of the server. Arguments: the interval of one request and of all, in
/// microseconds. Answers whether one was left, and the debt. All numbers are whole and below 2^53,
/// which Lua's are exact up to; its own way to write them is not.
pub(super) static SPEND: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local found = redis.call('GET', KEYS[1])
if found and not string.match(found, '^%d+$') then return redis.error_reply('ERR this is not a bucket') end
local debt = math.min(math.max(tonumber(found or '0') - now, 0), tonumber(ARGV[2]))
local after = debt + ARGV[1]
if after > tonumber(ARGV[2]) then return {0, debt} end
redis.call('SET', KEYS[1], string.format('%.0f', now + after), 'PX', string.format('%.0f', math.ceil(after / 1000)))
return {1, after}",
    )
});

/// Adds revocations, and forgets those that are over. Keys: set, log, count. Arguments: the most revocations
/// that the set may have, the length of the log, an existing revocation that they replace, and for each its
/// expiry and its text. Returns 1 if there was room for all, and 2 if some have expired by the clock of the
/// server. The first step takes no memory, and Redis does not stop a script that has begun: a full Redis still
/// takes revocations.
pub(super) static REVOKE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
if ARGV[3] ~= ARGV[5] then redis.call('ZREM', KEYS[1], ARGV[3]) end
local answer = 1
local room = tonumber(ARGV[1]) - redis.call('ZCARD', KEYS[1])
for at = 4, #ARGV, 2 do
  if tonumber(ARGV[at]) <= now then
    answer = 2
  elseif not redis.call('ZSCORE', KEYS[1], ARGV[at + 1]) then
    if room < 1 then return 0 end
    room = room - 1
    local count = redis.call('INCR', KEYS[3])
    redis.call('ZADD', KEYS[1], ARGV[at], ARGV[at + 1])
    redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[2], '*', 'n', count, 'r', ARGV[at + 1])
  end
end
return answer",
    )
});
