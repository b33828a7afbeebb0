//! The refresh tokens that are in force: each is good for one use, for a week, and only in this process.
//!
//! What is kept is a digest of the token, never the token.

use std::collections::{BTreeMap, HashMap};

use aws_lc_rs::digest::{SHA256, digest};

use super::users::User;

/// How long a refresh token may wait for its use, in seconds.
pub(super) const LIFETIME_SECONDS: i64 = 7 * 24 * 3600;

/// How many refresh tokens are kept; the oldest make room for new ones.
const CAPACITY: usize = 10_000;

type Digest = [u8; 32];

/// What a refresh token stands for.
#[derive(Debug)]
struct Grant {
    user: User,
    expires_at: i64,
    issue: u64,
}

/// The refresh tokens in force.
#[derive(Debug, Default)]
pub(super) struct RefreshTokens {
    grants: HashMap<Digest, Grant>,
    // INVARIANT: holds the digest of every grant under its `issue`, and nothing else; oldest first.
    issues: BTreeMap<u64, Digest>,
    next_issue: u64,
}

impl RefreshTokens {
    /// Puts a refresh token for `user` into force.
    pub(super) fn put_in_force(&mut self, token: &str, user: User, now: i64) {
        self.make_room();
        self.keep(token_digest(token), user, now);
    }

    /// Takes `token` out of force and returns its user, unless it is unknown, used or expired.
    pub(super) fn redeem(&mut self, token: &str, now: i64) -> Option<User> {
        let grant = self.grants.remove(&token_digest(token))?;
        self.issues.remove(&grant.issue);
        (now < grant.expires_at).then_some(grant.user)
    }

    fn make_room(&mut self) {
        while self.grants.len() >= CAPACITY {
            let Some((_, oldest)) = self.issues.pop_first() else {
                return;
            };
            self.grants.remove(&oldest);
        }
    }

    fn keep(&mut self, digest: Digest, user: User, now: i64) {
        let issue = self.next_issue;
        let expires_at = now.saturating_add(LIFETIME_SECONDS);
        self.next_issue += 1;
        self.issues.insert(issue, digest);
        self.grants.insert(
            digest,
            Grant {
                user,
                expires_at,
                issue,
            },
        );
    }
}

fn token_digest(token: &str) -> Digest {
    let mut bytes = Digest::default();
    for (byte, digested) in bytes.iter_mut().zip(digest(&SHA256, token.as_bytes()).as_ref()) {
        *byte = *digested;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::super::users::{Account, Tenant};
    use super::*;

    const NOW: i64 = 1_771_934_400;
    const USER: User = User {
        tenant: Tenant::Hub,
        account: Account::User,
    };

    #[test]
    fn a_token_lives_for_seven_days() {
        for (later, user) in [
            (0, Some(USER)),
            (LIFETIME_SECONDS - 1, Some(USER)),
            (LIFETIME_SECONDS, None),
            (LIFETIME_SECONDS + 1, None),
        ] {
            let mut tokens = RefreshTokens::default();
            tokens.put_in_force("a", USER, NOW);
            assert_eq!(tokens.redeem("a", NOW + later), user, "{later} s later");
        }
    }

    #[test]
    fn a_token_is_good_once() {
        let mut tokens = RefreshTokens::default();
        tokens.put_in_force("a", USER, NOW);
        assert_eq!(tokens.redeem("a", NOW), Some(USER));
        assert_eq!(tokens.redeem("a", NOW), None);
        assert_eq!(tokens.redeem("", NOW), None);
        assert!(tokens.grants.is_empty() && tokens.issues.is_empty());
    }

    #[test]
    fn the_oldest_makes_room() {
        let mut tokens = RefreshTokens::default();
        let issued: Vec<_> = (0..=CAPACITY).map(|at| at.to_string()).collect();
        for token in &issued {
            tokens.put_in_force(token, USER, NOW);
        }
        assert_eq!((tokens.grants.len(), tokens.issues.len()), (CAPACITY, CAPACITY));
        assert_eq!(tokens.redeem(&issued[0], NOW), None);
        assert_eq!(tokens.redeem(&issued[1], NOW), Some(USER));
        assert_eq!(tokens.redeem(&issued[CAPACITY], NOW), Some(USER));
    }
}
