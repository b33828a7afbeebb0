//! What is revoked in a test: tokens whenever they were issued and however long they are valid.

use crate::policy_test::credentials::Credentials;
use crate::revocation::{Revocation, RevocationList, Target};

impl Credentials {
    /// Returns what revokes the token, if it is revoked.
    pub fn revocation(&self) -> Option<Revocation> {
        let jti = self.revoked.clone()?;
        Some(all_tokens(Target::Jti(jti), None))
    }
}

/// Revokes all tokens of a target.
pub(super) fn all_tokens(target: Target, issuer: Option<String>) -> Revocation {
    let before = match target {
        Target::Jti(_) => None,
        Target::Subject(_) | Target::Tenant(_) => Some(i64::MAX),
    };
    Revocation {
        target,
        issuer,
        before,
        expires: i64::MAX,
    }
}

/// Makes a list of revocations.
pub fn list<'r>(revoked: impl IntoIterator<Item = &'r Revocation>) -> RevocationList {
    let mut list = RevocationList::default();
    for revocation in revoked {
        list.add(revocation);
    }
    list
}
