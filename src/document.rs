//! What all YAML files share: reading YAML, problems with their place, values with more than one
//! form, and what a file names: variables, secrets, PEM.

pub mod decode;
pub mod environment;
pub mod masks;
pub mod named;
pub mod problem;
pub mod secret;
pub mod tls_material;
pub mod yaml;
