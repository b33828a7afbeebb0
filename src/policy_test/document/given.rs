//! What is so while the requests of a test arrive, as written.

use crate::document::collections::List;
use crate::document::decode::{Spanned, document, string_enum};

document! {
    /// What is so while the requests of a test arrive. An error where the policies have nothing that depends on it.
    #[schemars(extend("minProperties" = 1))]
    pub struct GivenDocument [whole] {
        /// Issuers without keys: those that could not be fetched, or of a key file that has none.
        #[schemars(extend("examples" = [["https://idp.example.com"]]))]
        no_keys: Option<List<Spanned<String>>>,
        /// What is revoked.
        #[schemars(extend("examples" = [[{ "subject": "user-7" }]]))]
        revoked: Option<Spanned<List<RevokedDocument>>>,
        /// The state of the store for revocations, quotas and idempotency keys.
        store: Option<Spanned<StoreState>>,
    }

    /// Tokens that are revoked: exactly one of `jti`, `subject` and `tenant`.
    #[schemars(extend("oneOf" = [{ "required": ["jti"] }, { "required": ["subject"] }, { "required": ["tenant"] }]))]
    pub struct RevokedDocument [whole] {
        /// The token with this `jti`.
        #[schemars(extend("examples" = ["token-1"]))]
        jti: Option<Spanned<String>>,
        /// All tokens of this subject.
        #[schemars(extend("examples" = ["user-7"]))]
        subject: Option<Spanned<String>>,
        /// All tokens of this tenant.
        #[schemars(extend("examples" = ["00000000-0000-4000-a000-000000000001"]))]
        tenant: Option<Spanned<String>>,
        /// Only tokens of this issuer.
        #[schemars(extend("examples" = ["https://idp.example.com"]))]
        issuer: Option<Spanned<String>>,
    }
}

impl GivenDocument {
    /// Returns whether it says nothing.
    pub const fn is_empty(&self) -> bool {
        self.no_keys.is_none() && self.revoked.is_none() && self.store.is_none()
    }
}

string_enum! {
    /// The state of the store.
    pub enum StoreState {
        /// It cannot be reached, and no list of revocations was ever read.
        Down = "down",
    }
}
