//! How much memory a process uses, by proc_pid_status(5).

/// Resident memory before and after a run, and the most there ever was, in KiB.
pub(crate) struct Memory {
    before: u64,
    after: u64,
    peak: u64,
}

impl Memory {
    pub(crate) fn of(pid: u32) -> Self {
        let before = field(pid, "VmRSS:");
        Self {
            before,
            after: before,
            peak: before,
        }
    }

    pub(crate) fn now(self, pid: u32) -> Self {
        Self {
            after: field(pid, "VmRSS:"),
            peak: field(pid, "VmHWM:"),
            ..self
        }
    }
}

impl std::fmt::Display for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mib = |kib: u64| kib.div_ceil(1_024);
        let text = format!(
            "{} -> {}, peak {}",
            mib(self.before),
            mib(self.after),
            mib(self.peak)
        );
        write!(f, "{text:>18}")
    }
}

fn field(pid: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or_default()
}
