//! A network namespace of its own: a loopback that works, and listeners on it that somebody outside
//! serves.
//!
//! A socket belongs to the network namespace that it was made in, whoever holds it. So the listener
//! is made inside and handed out over a Unix socket: nothing of ours has to run inside, where a
//! story could end it, and no socket of ours is visible there.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socket_with,
};

/// Where the proxy is inside: a port that nobody has, below those that are given out at random.
pub(super) const PROXY_PORT: u16 = 17128;
/// How many listeners can be handed over.
pub(super) const MOST_LISTENERS: usize = 64;

/// Switches the loopback on (rtnetlink(7)): RTM_NEWLINK for interface 1 with IFF_UP.
pub(super) fn raise_loopback() -> io::Result<()> {
    let link = socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        None,
    )?;
    let mut request = Vec::with_capacity(32);
    // struct nlmsghdr: length, type RTM_NEWLINK, flags NLM_F_REQUEST | NLM_F_ACK, sequence, port.
    request.extend(32_u32.to_ne_bytes());
    request.extend(16_u16.to_ne_bytes());
    request.extend(5_u16.to_ne_bytes());
    request.extend([0; 8]);
    // struct ifinfomsg: family, type, index 1, flags IFF_UP, the flags that change.
    request.extend([0; 4]);
    request.extend(1_i32.to_ne_bytes());
    request.extend(1_u32.to_ne_bytes());
    request.extend(1_u32.to_ne_bytes());
    rustix::net::send(&link, &request, SendFlags::empty())?;
    let mut answer = [0_u8; 256];
    let (length, _) = rustix::net::recv(&link, &mut answer, RecvFlags::empty())?;
    // struct nlmsgerr behind the header: a negative errno, or 0.
    let code = answer.get(16..20).filter(|_| length >= 20);
    let code = code
        .and_then(|bytes| bytes.try_into().ok())
        .map(i32::from_ne_bytes);
    match code {
        Some(0) => Ok(()),
        Some(code) => Err(io::Error::from_raw_os_error(-code)),
        None => Err(io::Error::other(
            "the kernel's answer about the loopback is too short",
        )),
    }
}

/// Makes a listener for each port and hands them to whoever listens at `socket`, in this order.
pub(super) fn hand_over(socket: &Path, ports: &[u16]) -> io::Result<()> {
    let listen = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port));
    let listeners: Vec<TcpListener> = ports.iter().map(listen).collect::<Result<_, _>>()?;
    let borrowed: Vec<_> = listeners.iter().map(AsFd::as_fd).collect();
    let (_folder, short) = short(socket)?;
    let stream = UnixStream::connect(short)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_LISTENERS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&borrowed)) {
        return Err(io::Error::other("too many ports lead out of the sandbox"));
    }
    sendmsg(
        &stream,
        &[IoSlice::new(b"l")],
        &mut control,
        SendFlags::NOSIGNAL,
    )?;
    Ok(())
}

/// Takes what [`hand_over`] sent.
pub(super) fn take_over(stream: impl AsFd) -> io::Result<Vec<OwnedFd>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_LISTENERS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    recvmsg(
        stream,
        &mut [IoSliceMut::new(&mut byte)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    let mut taken = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(listeners) = message {
            taken.extend(listeners);
        }
    }
    Ok(taken)
}

/// A socket's path through its opened folder: an address holds 108 bytes (unix(7)), a path may be
/// longer. Usable while the folder is open.
pub(super) fn short(socket: &Path) -> io::Result<(File, std::path::PathBuf)> {
    use std::os::fd::AsRawFd;
    let folder = File::open(socket.parent().unwrap_or(socket))?;
    let name = socket.file_name().unwrap_or_default();
    let short = Path::new("/proc/self/fd")
        .join(folder.as_raw_fd().to_string())
        .join(name);
    Ok((folder, short))
}
