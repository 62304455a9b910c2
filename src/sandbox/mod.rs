//! The walls around everything that runs on a story's tree: agents, gates, set-up, teardown and the
//! hooks that run in them.
//!
//! ```text
//! server or supervisor                      confine (outer)                 PID 1 (inner)
//! Walls ─▶ Confinement ─▶ Enclosure::wrap ─▶ namespaces, network, limits ─▶ a root from an allow list,
//!                         │ proxy ◀──── the sandbox's listener ───┘          no rights ─▶ the program
//!                         └ growth of the disk, cgroups
//! ```
//!
//! One binary and no installation: the hidden subcommand `huskies confine` builds the room and becomes
//! its watchman. Inside there is what the allow list names ([`places`]) and nothing else; a network
//! namespace with a loopback of its own, whose only way out is a proxy on our side with a list of
//! hosts (`proxy`); a PID namespace, so that nothing outlives its end. Landlock and seccomp come on
//! top (`rights`), cgroups where they can be written to (`groups`).
//!
//! Not for: deciding what a story may need (the executor asks git), and not a wall against the
//! machine's owner: what the server's configuration opens is open.

mod confinement;
mod enclosure;
mod groups;
mod growth;
mod hosts;
mod inner;
mod mounts;
mod network;
mod outer;
pub mod places;
pub mod probe;
mod proxy;
mod rights;
mod root;
mod walls;

pub use confinement::{Confinement, Limits, Network, Room};
pub use enclosure::{COULD_NOT_BUILD, Enclosure, SANDBOX_COMPLAINT};
pub use groups::mechanism;
pub use hosts::{HostList, HostRule};
pub use inner::run as run_inner;
pub use outer::run as run_outer;
pub use rights::landlock_has_scopes;
pub use walls::{Stay, Walls};
