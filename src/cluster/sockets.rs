//! Whose sockets are on a port, as far as this system lets us see.

/// States in the tables: the one of a listener, and the one of a connection that is over and belongs to nobody.
const LISTEN: &str = "0A";
const TIME_WAIT: &str = "06";

/// A socket on a port of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Socket {
    inode: String,
    uid: u32,
    listens: bool,
}

/// Who listens on `port`, in words.
pub(super) fn holder(port: u16) -> Option<String> {
    listeners(port).find_map(|socket| owner_of(&socket.inode)).map(named)
}

/// The process that listens on `port`.
pub(super) fn listening_process(port: u16) -> Option<u32> {
    listeners(port).find_map(|socket| owner_of(&socket.inode))
}

/// The user who listens on `port` with a process that cannot be seen from here.
pub(super) fn hidden_listener(port: u16) -> Option<u32> {
    listeners(port).find(|socket| owner_of(&socket.inode).is_none()).map(|socket| socket.uid)
}

/// Whose outgoing connection has `port`, in words that go on: ` of curl (pid 7)`, or nothing where that cannot be seen.
pub(super) fn connection(port: u16) -> Option<String> {
    let sockets: Vec<Socket> = on(port).filter(|socket| !socket.listens).collect();
    let owner = sockets.iter().find_map(|socket| owner_of(&socket.inode));
    let owner = owner.map_or_else(String::new, |pid| format!(" of {}", named(pid)));
    (!sockets.is_empty()).then_some(owner)
}

fn listeners(port: u16) -> impl Iterator<Item = Socket> {
    on(port).filter(|socket| socket.listens)
}

fn on(port: u16) -> impl Iterator<Item = Socket> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].into_iter();
    tables
        .filter_map(|table| std::fs::read_to_string(table).ok())
        .flat_map(move |table| sockets(&table, port))
}

/// Sockets on `port`, out of a table in the format of `/proc/net/tcp`.
fn sockets(table: &str, port: u16) -> Vec<Socket> {
    let suffix = format!(":{port:04X}");
    let socket = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let state = *fields.get(3)?;
        let uid = fields.get(7)?.parse().ok()?;
        let socket = Socket { inode: (*fields.get(9)?).to_owned(), uid, listens: state == LISTEN };
        (fields.get(1)?.ends_with(&suffix) && state != TIME_WAIT).then_some(socket)
    };
    table.lines().skip(1).filter_map(socket).collect()
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
pub(super) fn named(pid: u32) -> String {
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
        let socket = |inode: &str, uid, listens| Socket { inode: inode.into(), uid, listens };
        assert_eq!(sockets(table, 8080), [socket("111", 7, true), socket("222", 0, false)]);
    }

    #[test]
    fn a_listener_that_can_be_seen_is_not_hidden() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        if cfg!(target_os = "linux") {
            assert_eq!((listening_process(port), hidden_listener(port)), (Some(std::process::id()), None));
        }
    }
}
