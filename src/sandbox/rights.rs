//! What the first process of a room gives up before the program starts, for itself and for all that
//! follow: limits, capabilities, the right to gain any, parts of the file system once more
//! (Landlock), and system calls that nobody there needs (seccomp).

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetStatus, Scope,
};
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit,
};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set,
    configure_capability_in_ambient_set, remove_capability_from_bounding_set, set_capabilities,
    set_no_new_privs,
};
use seccompiler::{
    SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter,
};

use super::confinement::{Confinement, Limits};

/// System calls that are refused: keys and kernel programs are not held by namespaces, io_uring and
/// userfaultfd are wide open doors to the kernel, and mounting is over.
const REFUSED: [libc::c_long; 30] = [
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_kexec_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_open_by_handle_at,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_setns,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_quotactl,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_reboot,
    libc::SYS_acct,
];
/// The only kinds of socket there are: local, IPv4, IPv6 and netlink (which programs ask for
/// addresses). The virtual machine's own (`AF_VSOCK`) is held by no network namespace.
const SOCKETS: [libc::c_int; 4] = [
    libc::AF_UNIX,
    libc::AF_INET,
    libc::AF_INET6,
    libc::AF_NETLINK,
];

/// Gives all of it up. The order matters: the first steps need rights that the last ones take.
pub(super) fn give_up(confinement: &Confinement) -> io::Result<()> {
    limit(&confinement.limits)?;
    drop_capabilities()?;
    set_no_new_privs(true)?;
    // Nobody inside reads this process's memory.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    restrict_files(confinement)?;
    filter_calls()
}

/// The limits of setrlimit(2). Only lowered: what the server itself has is the most.
fn limit(limits: &Limits) -> io::Result<()> {
    let set = |resource: Resource, wanted: u64| {
        let most = getrlimit(resource).maximum;
        let value = Some(most.map_or(wanted, |most| most.min(wanted)));
        setrlimit(
            resource,
            Rlimit {
                current: value,
                maximum: value,
            },
        )
    };
    set(Resource::Core, 0)?;
    set(Resource::Nofile, limits.open_files)?;
    set(Resource::Nproc, limits.processes)?;
    set(Resource::Fsize, limits.disk_bytes)?;
    set(Resource::Data, limits.memory_bytes)?;
    Ok(())
}

/// Lets the first process have what the watchman got with the user namespace: without being root
/// there, a new program keeps only ambient capabilities (capabilities(7)).
pub(super) fn keep_over_exec() -> io::Result<()> {
    let had = capabilities(None)?;
    let inheritable = had.permitted;
    set_capabilities(None, CapabilitySets { inheritable, ..had })?;
    for number in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        if inheritable.contains(capability) {
            configure_capability_in_ambient_set(capability, true)?;
        }
    }
    Ok(())
}

/// An empty bounding set: a program that is root, or set-user-ID, gains nothing (capabilities(7)).
fn drop_capabilities() -> io::Result<()> {
    for number in 0..u64::BITS {
        match remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << number)) {
            Ok(()) => {}
            // The kernel does not have that many.
            Err(rustix::io::Errno::INVAL) => break,
            Err(error) => return Err(error.into()),
        }
    }
    clear_ambient_capability_set()?;
    let none = CapabilitySet::empty();
    Ok(set_capabilities(
        None,
        CapabilitySets {
            effective: none,
            permitted: none,
            inheritable: none,
        },
    )?)
}

/// Whether this kernel has Landlock, with the scopes that hold abstract Unix sockets (Linux 6.12).
pub fn landlock_has_scopes() -> bool {
    let scoped = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .scope(Scope::AbstractUnixSocket);
    scoped.and_then(Ruleset::create).is_ok()
}

/// The same walls as the mounts, held by another part of the kernel; and no abstract socket and no
/// signal reaches out, also where the machine's network is shared.
fn restrict_files(confinement: &Confinement) -> io::Result<()> {
    let everything = AccessFs::from_all(ABI::V6);
    let restrict = || -> Result<RulesetStatus, Box<dyn std::error::Error>> {
        let ruleset = Ruleset::default()
            .handle_access(everything)?
            .scope(Scope::AbstractUnixSocket | Scope::Signal)?
            .create()?;
        let mut ruleset = ruleset.add_rule(PathBeneath::new(
            PathFd::new("/")?,
            AccessFs::from_read(ABI::V6),
        ))?;
        for path in writable(confinement) {
            if path.exists() {
                let rights = if path.is_dir() {
                    everything
                } else {
                    AccessFs::from_file(ABI::V6)
                };
                ruleset = ruleset.add_rule(PathBeneath::new(PathFd::new(&path)?, rights))?;
            }
        }
        Ok(ruleset.restrict_self()?.ruleset)
    };
    match restrict() {
        // Not there: the mounts hold alone, and `huskies doctor` says so.
        Ok(
            RulesetStatus::FullyEnforced
            | RulesetStatus::PartiallyEnforced
            | RulesetStatus::NotEnforced,
        ) => Ok(()),
        Err(error) => Err(io::Error::other(format!("Landlock: {error}"))),
    }
}

fn writable(confinement: &Confinement) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = ["/tmp", "/dev", "/proc"].map(PathBuf::from).into();
    paths.push(confinement.home.clone());
    paths.push(confinement.folder.clone());
    paths.extend(confinement.writable.iter().cloned());
    paths.extend(confinement.layered.iter().cloned());
    paths
}

fn filter_calls() -> io::Result<()> {
    let failed = |error: &dyn std::fmt::Display| io::Error::other(format!("seccomp: {error}"));
    let condition = |argument, operator, value| {
        SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)
            .map_err(|error| failed(&error))
    };
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        REFUSED.iter().map(|&call| (call, Vec::new())).collect();
    let others = SOCKETS
        .iter()
        .map(|&family| condition(0, SeccompCmpOp::Ne, u64::from(family.unsigned_abs())))
        .collect::<io::Result<Vec<_>>>()?;
    let others = SeccompRule::new(others).map_err(|error| failed(&error))?;
    rules.insert(libc::SYS_socket, vec![others]);
    // Pushing keystrokes into a terminal (ioctl_tty(2)).
    let pushing = condition(1, SeccompCmpOp::Eq, libc::TIOCSTI)?;
    let pushing = SeccompRule::new(vec![pushing]).map_err(|error| failed(&error))?;
    rules.insert(libc::SYS_ioctl, vec![pushing]);
    let refusal = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let architecture = std::env::consts::ARCH.try_into();
    let architecture = architecture.map_err(|error: seccompiler::BackendError| failed(&error))?;
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refusal, architecture);
    let program: seccompiler::BpfProgram = filter
        .and_then(TryInto::try_into)
        .map_err(|error| failed(&error))?;
    apply_filter(&program).map_err(|error| failed(&error))
}
