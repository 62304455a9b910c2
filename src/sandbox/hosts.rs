//! Which hosts a story may talk to, and which addresses never: pure rules for the proxy.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A host without a port may be asked for these.
const WEB: [u16; 2] = [80, 443];

/// What the configuration lists: `example.com`, `*.example.com`, `example.com:8443`, `10.0.0.7`,
/// `127.0.0.1:5432`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostRule {
    host: Host,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    Name(String),
    /// Every name that ends in this, which begins with a dot.
    Below(String),
    Address(IpAddr),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no host: write `example.com`, `*.example.com`, an address, each with `:port` if it is not 80 or 443"
)]
pub struct NoHost(String);

impl FromStr for HostRule {
    type Err = NoHost;

    fn from_str(text: &str) -> Result<Self, NoHost> {
        let wrong = || NoHost(text.to_owned());
        if let Ok(address) = text.parse() {
            let host = Host::Address(address);
            return Ok(Self { host, port: None });
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = bare.parse() {
            let host = Host::Address(address);
            return Ok(Self { host, port });
        }
        let (name, below) = match host.strip_prefix("*.") {
            Some(name) => (name, true),
            None => (host, false),
        };
        let name = normal(name)
            .filter(|name| is_name(name))
            .ok_or_else(wrong)?;
        let host = if below {
            Host::Below(format!(".{name}"))
        } else {
            Host::Name(name)
        };
        Ok(Self { host, port })
    }
}

/// Lower case, without the dot that may end a name.
fn normal(name: &str) -> Option<String> {
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    (!name.is_empty()).then_some(name)
}

fn is_name(name: &str) -> bool {
    name.len() <= 253
        && name.split('.').all(|part| {
            let fits = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'_';
            (1..=63).contains(&part.len()) && part.bytes().all(fits)
        })
}

/// The list of one run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostList(Vec<HostRule>);

/// Why a connection is refused, for whoever asked for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error(
        "{host}:{port} is not on the list of hosts (walls.hosts in the server's configuration)"
    )]
    NotListed { host: String, port: u16 },
    #[error(
        "{host} leads to {address}, which is no public address and is not listed itself (walls.hosts)"
    )]
    NotPublic { host: String, address: IpAddr },
}

impl HostList {
    pub fn parse(hosts: &[String]) -> Result<Self, NoHost> {
        let rules: Result<_, _> = hosts.iter().map(|host| host.parse()).collect();
        Ok(Self(rules?))
    }

    /// Whether this host may be asked for at all, before its name is looked up.
    pub(super) fn admits(&self, host: &str, port: u16) -> Result<(), Refusal> {
        let wanted = normal(host.trim_start_matches('[').trim_end_matches(']')).unwrap_or_default();
        let address: Option<IpAddr> = wanted.parse().ok();
        let names = |rule: &HostRule| match (&rule.host, address) {
            (Host::Address(listed), Some(address)) => *listed == address,
            (Host::Name(name), None) => *name == wanted,
            (Host::Below(end), None) => wanted.ends_with(end),
            (Host::Address(_), None) | (Host::Name(_) | Host::Below(_), Some(_)) => false,
        };
        if self
            .0
            .iter()
            .any(|rule| rule.admits_port(port) && names(rule))
        {
            Ok(())
        } else {
            let host = host.to_owned();
            Err(Refusal::NotListed { host, port })
        }
    }

    /// Whether this address may be connected to, which a name led to: a listed name must not become
    /// a way to the machine's neighbours, whatever its owner's name server answers.
    pub(super) fn admits_address(
        &self,
        host: &str,
        address: IpAddr,
        port: u16,
    ) -> Result<(), Refusal> {
        let listed = self
            .0
            .iter()
            .any(|rule| rule.admits_port(port) && rule.host == Host::Address(address));
        if listed || is_public(address) {
            Ok(())
        } else {
            let host = host.to_owned();
            Err(Refusal::NotPublic { host, address })
        }
    }

    /// Ports of this machine's loopback that are listed: inside, the same port leads there.
    pub(super) fn bridges(&self) -> Vec<u16> {
        let bridge = |rule: &HostRule| match rule.host {
            Host::Address(address) if address == IpAddr::V4(Ipv4Addr::LOCALHOST) => rule.port,
            Host::Address(_) | Host::Name(_) | Host::Below(_) => None,
        };
        let mut ports: Vec<u16> = self.0.iter().filter_map(bridge).collect();
        ports.sort_unstable();
        ports.dedup();
        ports
    }
}

impl HostRule {
    fn admits_port(&self, port: u16) -> bool {
        self.port
            .map_or(WEB.contains(&port), |listed| listed == port)
    }
}

/// Reachable by everybody, by the registries of special addresses (RFC 6890 and its successors at
/// IANA). What maps another address in is judged by that one.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => embedded(address).map_or_else(
            || {
                // Global unicast, without documentation and protocol assignments.
                let [first, second, ..] = address.segments();
                first & 0xe000 == 0x2000
                    && !(first == 0x2001 && (second < 0x200 || second == 0xdb8))
                    && first != 0x3fff
            },
            is_public_v4,
        ),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 198 && (18..20).contains(&b))
        || (a == 192 && b == 0 && c == 0))
}

/// An IPv4 address inside of an IPv6 one: mapped, compatible, NAT64 (RFC 6052), 6to4 (RFC 3056).
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let parts = address.segments();
    let from = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        Ipv4Addr::new(a, b, c, d)
    };
    match parts {
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0x64, 0xff9b, 0 | 1, .., high, low]
        | [0x2002, high, low, ..] => Some(from(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(hosts: &[&str]) -> HostList {
        let hosts: Vec<String> = hosts.iter().map(|&host| host.to_owned()).collect();
        HostList::parse(&hosts).unwrap()
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in [
            "",
            "a b",
            "http://example.com",
            "*",
            "*.",
            "a..b",
            "example.com:",
            "a:99999",
            "a/b",
            "*a.com",
        ] {
            assert!(text.parse::<HostRule>().is_err(), "{text}");
        }
    }

    #[test]
    fn only_listed_names_and_ports_are_admitted() {
        let list = list(&[
            "example.com",
            "*.Example.org",
            "other.net:8443",
            "10.1.2.3",
            "[::1]:9",
        ]);
        for (host, port) in [
            ("example.com", 443),
            ("EXAMPLE.com.", 80),
            ("a.b.example.org", 443),
            ("other.net", 8443),
            ("10.1.2.3", 443),
            ("[::1]", 9),
        ] {
            assert_eq!(list.admits(host, port), Ok(()), "{host}:{port}");
        }
        for (host, port) in [
            ("example.com", 22),
            ("notexample.com", 443),
            ("example.org", 443),
            ("evilexample.org", 443),
            ("example.com.evil.net", 443),
            ("other.net", 443),
            ("10.1.2.4", 443),
            ("93.184.215.14", 443),
            ("", 443),
        ] {
            assert!(list.admits(host, port).is_err(), "{host}:{port}");
        }
    }

    #[test]
    fn a_listed_name_leads_to_no_neighbour() {
        let list = list(&["example.com", "192.168.7.7"]);
        for address in [
            "127.0.0.1",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "192.0.0.1",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "64:ff9b::a00:1",
            "64:ff9b:1::a00:1",
            "2002:7f00:1::1",
            "2001:db8::1",
            "2001::1",
        ] {
            let address: IpAddr = address.parse().unwrap();
            assert!(
                list.admits_address("example.com", address, 443).is_err(),
                "{address}"
            );
        }
        for address in [
            "93.184.215.14",
            "2606:2800:21f::1",
            "192.168.7.7",
            "::ffff:93.184.215.14",
        ] {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(
                list.admits_address("example.com", address, 443),
                Ok(()),
                "{address}"
            );
        }
    }

    #[test]
    fn a_listed_port_of_the_loopback_is_bridged() {
        assert_eq!(
            list(&["127.0.0.1:80", "127.0.0.1", "a.com:90", "127.0.0.1:80"]).bridges(),
            [80]
        );
    }
}
