//! The only way out of a network of its own: a proxy that runs on our side, in the process that
//! watches over the run, and so outlives a restart of the server.
//!
//! It serves the listeners that the sandbox handed out: the first takes CONNECT and plain `http://`
//! requests (RFC 9110, 9.3.6 and 7.1) for listed hosts, the others are bridges to a port of this
//! machine's loopback. It never looks into what is carried.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UnixListener, lookup_host};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::hosts::{HostList, Refusal};
use super::network::take_over;

/// The longest head of a request.
const HEAD: usize = 64 * 1024;
const HEADERS: usize = 128;
/// For a head to arrive, and for a host to answer a connection.
const PATIENCE: Duration = Duration::from_secs(30);
/// Connections of one run at the same time; more have to wait.
const MOST: usize = 512;
/// Headers that are for a proxy, or that would keep a connection open for another host.
const NOT_PASSED_ON: [&str; 6] = [
    "connection",
    "proxy-connection",
    "proxy-authorization",
    "keep-alive",
    "upgrade",
    "host",
];

/// Takes the listeners from whoever connects first, and serves them until it is dropped.
pub(super) async fn serve(socket: UnixListener, hosts: HostList, bridges: Vec<u16>) {
    let listeners = match receive(&socket).await {
        Ok(listeners) => listeners,
        Err(error) => {
            tracing::error!(%error, "the sandbox handed over no network");
            return;
        }
    };
    let mut tasks = JoinSet::new();
    for (place, listener) in listeners.into_iter().enumerate() {
        let listener = match listen(listener) {
            Ok(listener) => listener,
            Err(error) => {
                tracing::error!(%error, "a listener of the sandbox cannot be used");
                continue;
            }
        };
        match place
            .checked_sub(1)
            .map(|place| bridges.get(place).copied())
        {
            None => drop(tasks.spawn(accept(listener, Way::Listed(hosts.clone())))),
            Some(Some(port)) => drop(tasks.spawn(accept(listener, Way::Bridge(port)))),
            Some(None) => {}
        }
    }
    while tasks.join_next().await.is_some() {}
}

async fn receive(socket: &UnixListener) -> io::Result<Vec<OwnedFd>> {
    let (stream, _) = socket.accept().await?;
    stream
        .async_io(Interest::READABLE, || take_over(&stream))
        .await
}

fn listen(listener: OwnedFd) -> io::Result<TcpListener> {
    let listener = std::net::TcpListener::from(listener);
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// Where a listener leads.
#[derive(Clone)]
enum Way {
    Listed(HostList),
    Bridge(u16),
}

async fn accept(listener: TcpListener, way: Way) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept(), if connections.len() < MOST => match accepted {
                Ok((stream, _)) => drop(connections.spawn(carry(stream, way.clone()))),
                Err(error) => {
                    // Out of descriptors, most likely: going on at once would only spin.
                    tracing::warn!(%error, "the sandbox's proxy cannot accept");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
        }
    }
}

async fn carry(mut stream: TcpStream, way: Way) {
    let carried = match way {
        Way::Listed(hosts) => to_listed(&mut stream, &hosts).await,
        Way::Bridge(port) => to_loopback(&mut stream, port).await,
    };
    if let Err(error) = carried {
        tracing::debug!(%error, "a connection out of the sandbox broke off");
    }
}

async fn to_loopback(stream: &mut TcpStream, port: u16) -> io::Result<()> {
    let mut there = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    copy_bidirectional(stream, &mut there).await.map(drop)
}

async fn to_listed(stream: &mut TcpStream, hosts: &HostList) -> io::Result<()> {
    let Ok(request) = timeout(PATIENCE, read_request(stream)).await else {
        return Ok(());
    };
    let outcome = match request {
        Ok(request) => match connect(&request, hosts).await {
            Ok(there) => Ok((request, there)),
            Err(trouble) => Err(trouble),
        },
        Err(trouble) => Err(trouble),
    };
    let (request, mut there) = match outcome {
        Ok(connected) => connected,
        Err(trouble) => return answer(stream, &trouble).await,
    };
    if request.tunnel {
        stream
            .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
            .await?;
    }
    there.write_all(&request.forward).await?;
    copy_bidirectional(stream, &mut there).await.map(drop)
}

/// What somebody inside wants.
#[derive(Debug, PartialEq, Eq)]
struct Request {
    host: String,
    port: u16,
    /// CONNECT: what follows is none of ours.
    tunnel: bool,
    /// What the host gets first.
    forward: Vec<u8>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("this proxy did not understand the request: {0}")]
    Request(&'static str),
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("{host}:{port} cannot be reached: {source}")]
    Unreachable {
        host: String,
        port: u16,
        source: io::Error,
    },
    #[error("the request broke off: {0}")]
    Broken(#[from] io::Error),
}

async fn read_request(stream: &mut TcpStream) -> Result<Request, Trouble> {
    let mut head = Vec::with_capacity(4096);
    loop {
        if let Some(request) = parse(&head)? {
            return Ok(request);
        }
        if head.len() >= HEAD {
            return Err(Trouble::Request("its head is too long"));
        }
        if stream.read_buf(&mut head).await? == 0 {
            return Err(Trouble::Request("it has no end"));
        }
    }
}

/// `None` while the head is not there in full.
fn parse(bytes: &[u8]) -> Result<Option<Request>, Trouble> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    let length = match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(Trouble::Request("it is not HTTP")),
    };
    let (method, target) = (
        parsed.method.unwrap_or_default(),
        parsed.path.unwrap_or_default(),
    );
    let rest = bytes.get(length..).unwrap_or_default();
    if method == "CONNECT" {
        let (host, port) = authority(target, None)?;
        let forward = rest.to_vec();
        return Ok(Some(Request {
            host,
            port,
            tunnel: true,
            forward,
        }));
    }
    let target = target
        .get(..7)
        .filter(|scheme| scheme.eq_ignore_ascii_case("http://"))
        .and_then(|_| target.get(7..))
        .ok_or(Trouble::Request("only CONNECT and http:// are served here"))?;
    let split = target.find(['/', '?']).unwrap_or(target.len());
    let (place, path) = target.split_at(split);
    let (host, port) = authority(place, Some(80))?;
    let slash = if path.starts_with('/') { "" } else { "/" };
    let mut forward =
        format!("{method} {slash}{path} HTTP/1.1\r\nHost: {place}\r\nConnection: close\r\n")
            .into_bytes();
    for header in parsed.headers.iter() {
        if !NOT_PASSED_ON
            .iter()
            .any(|name| header.name.eq_ignore_ascii_case(name))
        {
            forward.extend_from_slice(header.name.as_bytes());
            forward.extend_from_slice(b": ");
            forward.extend_from_slice(header.value);
            forward.extend_from_slice(b"\r\n");
        }
    }
    forward.extend_from_slice(b"\r\n");
    forward.extend_from_slice(rest);
    Ok(Some(Request {
        host,
        port,
        tunnel: false,
        forward,
    }))
}

fn authority(text: &str, default: Option<u16>) -> Result<(String, u16), Trouble> {
    let wrong = || Trouble::Request("it names no host and port");
    let ends_in_address = text.ends_with(']');
    let (host, port) = match text.rsplit_once(':').filter(|_| !ends_in_address) {
        Some((host, port)) => (host, port.parse().map_err(|_| wrong())?),
        None => (text, default.ok_or_else(wrong)?),
    };
    if host.is_empty() || host.contains('@') {
        return Err(wrong());
    }
    Ok((host.to_owned(), port))
}

/// The name is looked up once, and what was looked at is what is connected to.
async fn connect(request: &Request, hosts: &HostList) -> Result<TcpStream, Trouble> {
    let Request { host, port, .. } = request;
    let unreachable = |source| Trouble::Unreachable {
        host: host.clone(),
        port: *port,
        source,
    };
    hosts.admits(host, *port)?;
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let found: Vec<SocketAddr> = lookup_host((bare, *port))
        .await
        .map_err(unreachable)?
        .collect();
    let mut trouble = unreachable(io::Error::other("its name has no address"));
    for address in found {
        if let Err(refusal) = hosts.admits_address(host, address.ip(), *port) {
            trouble = refusal.into();
            continue;
        }
        match timeout(PATIENCE, TcpStream::connect(address)).await {
            Ok(Ok(there)) => return Ok(there),
            Ok(Err(error)) => trouble = unreachable(error),
            Err(_) => trouble = unreachable(io::ErrorKind::TimedOut.into()),
        }
    }
    Err(trouble)
}

async fn answer(stream: &mut TcpStream, trouble: &Trouble) -> io::Result<()> {
    let status = match trouble {
        Trouble::Request(_) => "400 Bad Request",
        Trouble::Refused(_) => "403 Forbidden",
        Trouble::Unreachable { .. } => "502 Bad Gateway",
        Trouble::Broken(_) => return Ok(()),
    };
    tracing::info!(%trouble, "a story was not let out");
    let text = format!("huskies: {trouble}\n");
    let length = text.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(text: &str) -> Request {
        parse(text.as_bytes()).unwrap().unwrap()
    }

    #[test]
    fn a_request_for_a_tunnel_names_host_and_port() {
        let tunnel = request("CONNECT example.com:443 HTTP/1.1\r\nHost: other\r\n\r\nrest");
        assert_eq!(
            (tunnel.host.as_str(), tunnel.port, tunnel.tunnel),
            ("example.com", 443, true)
        );
        assert_eq!(tunnel.forward, b"rest");
        assert_eq!(request("CONNECT [::1]:9 HTTP/1.1\r\n\r\n").host, "[::1]");
    }

    #[test]
    fn a_plain_request_is_for_the_host_in_its_target_whatever_its_headers_say() {
        let plain = request(
            "GET http://example.com:81?q HTTP/1.1\r\nHost: evil\r\nConnection: keep-alive\r\nAccept: */*\r\nProxy-Authorization: x\r\n\r\n",
        );
        assert_eq!((plain.host.as_str(), plain.port), ("example.com", 81));
        assert_eq!(
            String::from_utf8(plain.forward).unwrap(),
            "GET /?q HTTP/1.1\r\nHost: example.com:81\r\nConnection: close\r\nAccept: */*\r\n\r\n"
        );
    }

    #[test]
    fn what_is_no_request_to_a_proxy_is_refused() {
        for text in [
            "GET / HTTP/1.1\r\n\r\n",
            "CONNECT example.com HTTP/1.1\r\n\r\n",
            "CONNECT :443 HTTP/1.1\r\n\r\n",
            "GET https://example.com/ HTTP/1.1\r\n\r\n",
            "GET http://user@example.com/ HTTP/1.1\r\n\r\n",
            "\u{16}\u{3}\u{1}",
        ] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(parse(b"CONNECT example.com:443 HT").unwrap().is_none());
    }

    /// A proxy for these hosts, and what it answers to `request`.
    async fn ask(hosts: &[&str], request: &str) -> String {
        let hosts: Vec<String> = hosts.iter().map(|&host| host.to_owned()).collect();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(
            listener,
            Way::Listed(HostList::parse(&hosts).unwrap()),
        ));
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    /// A host that answers one connection; its port, and what it was told.
    async fn host() -> (u16, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut heard = [0; 4096];
            let length = stream.read(&mut heard).await.unwrap();
            stream.write_all(b"hello from the host").await.unwrap();
            String::from_utf8_lossy(&heard[..length]).into_owned()
        });
        (port, heard)
    }

    #[tokio::test]
    async fn a_listed_host_is_reached_by_a_tunnel_and_by_a_plain_request() {
        let (port, heard) = host().await;
        let listed = format!("127.0.0.1:{port}");
        let answer = ask(
            &[&listed],
            &format!("CONNECT {listed} HTTP/1.1\r\n\r\nsecret words"),
        )
        .await;
        assert!(answer.ends_with("\r\n\r\nhello from the host"), "{answer}");
        assert_eq!(heard.await.unwrap(), "secret words");
        let (port, heard) = host().await;
        let listed = format!("127.0.0.1:{port}");
        let answer = ask(
            &[&listed],
            &format!("GET http://{listed}/a HTTP/1.1\r\n\r\n"),
        )
        .await;
        assert_eq!(answer, "hello from the host");
        assert!(heard.await.unwrap().starts_with("GET /a HTTP/1.1\r\n"));
    }

    #[tokio::test]
    async fn an_unlisted_host_and_a_listed_name_of_a_neighbour_are_refused() {
        let answer = ask(
            &["listed.example"],
            "CONNECT other.example:443 HTTP/1.1\r\n\r\n",
        )
        .await;
        assert!(
            answer.starts_with("HTTP/1.1 403 ") && answer.contains("not on the list"),
            "{answer}"
        );
        let answer = ask(&["localhost:9"], "CONNECT localhost:9 HTTP/1.1\r\n\r\n").await;
        assert!(
            answer.starts_with("HTTP/1.1 403 ") && answer.contains("no public address"),
            "{answer}"
        );
    }
}
