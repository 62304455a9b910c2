//! Real faults: processes that are killed, a machine that boots in between, disks that are full or
//! read-only, a store that is damaged or held by somebody else. Each has one answer, and nothing is
//! lost or doubled by it. What happens to the server alone at each of its steps is in `crash`.

mod disk;
mod processes;
mod store;
