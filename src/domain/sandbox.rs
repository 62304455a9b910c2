//! Whether there is a sandbox: the server's configuration says so, reports show it.

use serde::Deserialize;

/// On unless the server's configuration turns it off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sandbox {
    #[default]
    On,
    Off,
}
