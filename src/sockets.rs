//! Whose sockets are on a port, and who is at the other end of a connection within this machine, as far as this system lets us see.

use std::net::{Ipv4Addr, SocketAddrV4};

/// States in the tables: the one of a listener, and the one of a connection that is over and belongs to nobody.
const LISTEN: &str = "0A";
const TIME_WAIT: &str = "06";

/// A socket on a port of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Socket {
    local: String,
    remote: String,
    inode: String,
    uid: u32,
    listens: bool,
}

/// Who listens on `port`, in words.
pub fn holder(port: u16) -> Option<String> {
    listeners(port).find_map(|socket| owner_of(&socket.inode)).map(named)
}

/// The process that listens on `port`.
pub fn listening_process(port: u16) -> Option<u32> {
    listeners(port).find_map(|socket| owner_of(&socket.inode))
}

/// The user who listens on `port` with a process that cannot be seen from here.
pub fn hidden_listener(port: u16) -> Option<u32> {
    listeners(port).find(|socket| owner_of(&socket.inode).is_none()).map(|socket| socket.uid)
}

/// Whose outgoing connection has `port`, in words that go on: ` of curl (pid 7)`, or nothing where that cannot be seen.
pub fn connection(port: u16) -> Option<String> {
    let sockets: Vec<Socket> = on(port).filter(|socket| !socket.listens).collect();
    let owner = sockets.iter().find_map(|socket| owner_of(&socket.inode));
    let owner = owner.map_or_else(String::new, |pid| format!(" of {}", named(pid)));
    (!sockets.is_empty()).then_some(owner)
}

/// The user who connected from `peer` to `local`, both on this machine.
pub fn user_of(peer: SocketAddrV4, local: SocketAddrV4) -> Option<u32> {
    in_tables(|table| user_in(table, peer, local)).next()
}

fn user_in(table: &str, peer: SocketAddrV4, local: SocketAddrV4) -> Option<u32> {
    let ends = |spelled: fn(SocketAddrV4) -> String| (spelled(peer), spelled(local));
    let (plain, mapped) = (ends(spelled), ends(spelled_in_v6));
    let is_it = |socket: &Socket| {
        let has = |(from, to): &(String, String)| socket.local == *from && socket.remote == *to;
        // One that was closed belongs to no process any more, and is shown as the first user's.
        socket.inode != "0" && (has(&plain) || has(&mapped))
    };
    sockets(table).find(is_it).map(|socket| socket.uid)
}

/// An address as the table of IPv4 has it: the address as a number of this machine, and the port.
fn spelled(address: SocketAddrV4) -> String {
    format!("{}:{:04X}", word(*address.ip()), address.port())
}

/// The same in the table of IPv6, for a program that knows only that.
fn spelled_in_v6(address: SocketAddrV4) -> String {
    let mark = word(Ipv4Addr::new(0, 0, 0xff, 0xff));
    format!("{:016X}{mark}{}:{:04X}", 0, word(*address.ip()), address.port())
}

fn word(address: Ipv4Addr) -> String {
    format!("{:08X}", u32::from_ne_bytes(address.octets()))
}

fn listeners(port: u16) -> impl Iterator<Item = Socket> {
    on(port).filter(|socket| socket.listens)
}

fn on(port: u16) -> impl Iterator<Item = Socket> {
    in_tables(move |table| sockets_on(table, port).collect::<Vec<_>>())
}

fn in_tables<I: IntoIterator>(look: impl Fn(&str) -> I) -> impl Iterator<Item = I::Item> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].into_iter();
    tables.filter_map(|table| std::fs::read_to_string(table).ok()).flat_map(move |table| look(&table))
}

/// Sockets on `port`, out of a table in the format of `/proc/net/tcp`.
fn sockets_on(table: &str, port: u16) -> impl Iterator<Item = Socket> {
    let suffix = format!(":{port:04X}");
    sockets(table).filter(move |socket| socket.local.ends_with(&suffix))
}

fn sockets(table: &str) -> impl Iterator<Item = Socket> {
    table.lines().skip(1).filter_map(socket)
}

fn socket(line: &str) -> Option<Socket> {
    let mut fields = line.split_whitespace().skip(1).map(str::to_owned);
    let (local, remote, state) = (fields.next()?, fields.next()?, fields.next()?);
    let mut fields = fields.skip(3);
    let (uid, inode) = (fields.next()?.parse().ok()?, fields.nth(1)?);
    (state != TIME_WAIT).then(|| Socket { local, remote, inode, uid, listens: state == LISTEN })
}

fn owner_of(inode: &str) -> Option<u32> {
    let link = format!("socket:[{inode}]");
    std::fs::read_dir("/proc").ok()?.flatten().find_map(|process| {
        let pid: u32 = process.file_name().to_str()?.parse().ok()?;
        let files = std::fs::read_dir(process.path().join("fd")).ok()?;
        files
            .flatten()
            .any(|file| {
                std::fs::read_link(file.path()).is_ok_and(|target| target.as_os_str() == link.as_str())
            })
            .then_some(pid)
    })
}

/// A process with its name.
pub fn named(pid: u32) -> String {
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    format!("{} (pid {pid})", name.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sockets_of_the_port_count_and_listeners_are_told_from_connections() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
             0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     7        0 111 1 0 100 0 0 10 0\n   \
             1: 0100007F:1F90 0100007F:C000 01 00000000:00000000 00:00000000 00000000     0        0 222 1 0 100 0 0 10 0\n   \
             2: 0100007F:1F90 0100007F:C000 06 00000000:00000000 00:00000000 00000000     0        0 0 1 0 100 0 0 10 0\n   \
             3: 0100007F:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 333 1 0 100 0 0 10 0\n";
        let found: Vec<_> =
            sockets_on(table, 8080).map(|socket| (socket.inode, socket.uid, socket.listens)).collect();
        assert_eq!(found, [("111".to_owned(), 7, true), ("222".to_owned(), 0, false)]);
    }

    #[test]
    fn a_listener_that_can_be_seen_is_not_hidden() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        if cfg!(target_os = "linux") {
            assert_eq!((listening_process(port), hidden_listener(port)), (Some(std::process::id()), None));
        }
    }

    #[test]
    fn who_connected_is_known_by_both_ends() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let here = listener.local_addr().unwrap();
        let mapped: std::net::SocketAddr = format!("[::ffff:127.0.0.1]:{}", here.port()).parse().unwrap();
        for address in [here, mapped] {
            let connected = std::net::TcpStream::connect(address).unwrap();
            let (accepted, peer) = listener.accept().unwrap();
            let std::net::SocketAddr::V4(peer) = peer else { panic!("{peer}") };
            let std::net::SocketAddr::V4(here) = here else { panic!("{here}") };
            if cfg!(target_os = "linux") {
                assert_eq!(user_of(peer, here), Some(nix::unistd::geteuid().as_raw()), "{address}");
                let other = SocketAddrV4::new(*here.ip(), here.port() ^ 1);
                assert_eq!(user_of(peer, other), None);
            }
            drop(connected);
            assert_ne!(accepted.peer_addr().unwrap(), here.into());
        }
    }

    #[test]
    fn a_connection_that_is_over_is_nobody_s() {
        let [peer, local] = [49152, 8080].map(|port| SocketAddrV4::new(Ipv4Addr::LOCALHOST, port));
        let table = |inode: &str| {
            let (from, to) = (spelled(peer), spelled(local));
            format!("sl\n 0: {from} {to} 01 0:0 00:0 0 {} 0 {inode} 1 0 100 0 0 10 0\n", 1000)
        };
        assert_eq!(user_in(&table("7"), peer, local), Some(1000));
        assert_eq!(user_in(&table("0"), peer, local), None);
    }
}
