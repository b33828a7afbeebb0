//! A test file as written. What it means is decided in `suite.rs`.
//!
//! Comments of fields and words are the descriptions of the JSON Schema, and of the tables in `docs/policy-testing.md`.

use crate::document::collections::{List, Map};
use crate::document::decode::{Spanned, document};
use crate::document::schema::Version;

mod callers;
mod claims;
mod expectations;
mod given;
mod headers;
mod matrix;
mod merged;
mod moments;
mod requests;

pub use callers::{
    BoundDocument, CallerDocument, CallerNames, CertificateDocument, CorruptionDocument, PlaceDocument,
    PlaceNameDocument, TextsDocument,
};
pub use claims::{ClaimDocument, ClaimsDocument, without_null};
pub use expectations::{
    BodyExpectation, DETAILS, DetailsDocument, ExpectDocument, ExpectedDocument, ExpectedHeaders, HeaderExpectation,
    ResponseDocument,
};
pub use given::{GivenDocument, RevokedDocument, StoreState};
pub use headers::HeadersDocument;
pub use matrix::{MatrixDocument, RowDocument};
pub use merged::Merged;
pub use moments::{MomentDocument, relative};
pub use requests::{
    BodyDocument, ClientAddress, RequestDocument, RequestLine, RequestOptionsDocument, Scheme, SizedBodyDocument,
};

document! {
    /// Tests of policies: who calls, and what becomes of requests. Sidegate decides them without a network, and reads
    /// neither variables nor secrets. At most 2 MiB and 50 000 values.
    #[schemars(extend("anyOf" = [{ "required": ["matrix"] }, { "required": ["tests"] }]))]
    pub struct PolicyTestDocument {
        /// The version of the file format. The only version is 1.
        #[schemars(with = "Version")]
        version: Spanned<u32>,
        /// The callers, by names of your choice.
        #[schemars(extend("examples" = [{ "anonymous": {}, "member": { "token": { "sub": "user-7" } } }]))]
        callers: Map<CallerDocument>,
        /// The policies: a file, a folder of them, or a `sidegate.yaml`, by default the folder of this file. A relative path
        /// starts there. The limits, `trusted_proxies`, `client_ca` and `errors` that decide are those of the `sidegate.yaml` which is
        /// named here, or which is beside the policies and names their folder; otherwise the defaults.
        #[schemars(extend("examples" = ["wallet.yaml", "sidegate.yaml"]))]
        policies: Option<Spanned<String>>,
        /// The time of all requests, so that no test depends on the day: as in `2026-03-01T12:00:00Z`, or in seconds since
        /// the epoch.
        #[schemars(extend("default" = "2026-03-01T12:00:00Z"))]
        at: Option<Spanned<MomentDocument>>,
        /// The host of requests that name none.
        #[schemars(extend("default" = "localhost", "examples" = ["api.example.com"]))]
        host: Option<Spanned<String>>,
        /// A table of callers and requests. Each cell is a test.
        #[schemars(extend("examples" = [{ "callers": ["anonymous", "member"], "GET /orders": ["credential_missing", "allow"] }]))]
        matrix: Option<MatrixDocument>,
        /// Tests with names.
        tests: Option<List<TestDocument>>,
    }

    /// A test: one request or several, who sends them, and what becomes of them.
    #[schemars(extend("oneOf" = [{ "required": ["request"] }, { "required": ["requests"] }]))]
    pub struct TestDocument {
        /// What the test shows, once in a file.
        #[schemars(extend("examples" = ["a token is good for its own tenant"]))]
        name: Spanned<String>,
        /// What becomes of the requests: an outcome or its details if `caller` says who sends them, and otherwise a mapping
        /// with an outcome for each caller. `"*"` stands for all callers of the file that the mapping does not name.
        #[schemars(extend("examples" = [{ "member": "allow", "*": "deny" }]))]
        expect: ExpectDocument,
        /// The request that callers send.
        #[schemars(extend("examples" = ["GET /orders/{id}"]))]
        request: Option<RequestDocument>,
        /// The requests. The same is expected of all of them.
        #[schemars(extend("examples" = [["GET /orders", "POST /orders"]]))]
        requests: Option<List<RequestDocument>>,
        /// The caller, or a list of callers.
        #[schemars(extend("examples" = ["member"]))]
        caller: Option<CallerNames>,
        /// What is so while the requests arrive.
        #[schemars(extend("examples" = [{ "no_keys": ["https://idp.example.com"] }]))]
        given: Option<Spanned<GivenDocument>>,
    }
}
