//! Who listens where, by the kernel's own tables.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener};
use std::path::Path;

use super::text;
use crate::balance::free_port;
use crate::world::World;

/// A TCP socket that listens.
type Listener = (IpAddr, u16);

/// Every TCP socket on which `pid` listens.
pub(crate) fn listeners(pid: u32) -> Vec<Listener> {
    let process = Path::new("/proc").join(pid.to_string());
    // Tables of the process's own network, by inode.
    let all: HashMap<u64, Listener> = ["net/tcp", "net/tcp6"]
        .into_iter()
        .map(|table| fs::read_to_string(process.join(table)).expect("the kernel's table"))
        .flat_map(|table| table.lines().skip(1).filter_map(listening).collect::<Vec<_>>())
        .collect();
    let open = fs::read_dir(process.join("fd")).expect("its open files").flatten();
    let inodes: HashSet<u64> = open
        .filter_map(|file| {
            let target = fs::read_link(file.path()).ok()?;
            target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
        })
        .collect();
    inodes.iter().filter_map(|inode| all.get(inode)).copied().collect()
}

/// Inode and address of a line, if it is about a socket that listens.
fn listening(line: &str) -> Option<(u64, Listener)> {
    const LISTEN: &str = "0A";
    let parts: Vec<&str> = line.split_whitespace().collect();
    let (address, port) = parts[1].split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let inode = parts[9].parse().ok()?;
    (parts[3] == LISTEN).then(|| (inode, (address_of(address), port)))
}

/// An address as the kernel writes it: words of 32 bits, each in the machine's own order.
fn address_of(hex: &str) -> IpAddr {
    let words = hex.as_bytes().chunks(8).map(|word| std::str::from_utf8(word).expect("ASCII"));
    let bytes: Vec<u8> =
        words.flat_map(|word| u32::from_str_radix(word, 16).expect("a word").to_ne_bytes()).collect();
    let four = <[u8; 4]>::try_from(bytes.as_slice()).map(|four| Ipv4Addr::from(four).into());
    four.unwrap_or_else(|_| {
        Ipv6Addr::from(<[u8; 16]>::try_from(bytes.as_slice()).expect("16 bytes")).to_canonical()
    })
}

/// Those that others than this machine can reach.
pub(crate) fn exposed(listeners: &[Listener]) -> Vec<Listener> {
    listeners.iter().filter(|(address, _)| !address.is_loopback()).copied().collect()
}

pub(crate) fn everything_listens_on_loopback_only(world: &mut World) {
    let metrics = free_port();
    world.replace_service(|service| {
        service.args(["--metrics", &format!("127.0.0.1:{metrics}")]);
    });
    // With work under way: what is opened only then is seen as well.
    let table = world.table(100);
    world.classify(&["--mode", "max", "-o", "loopback.jsonl", &table]).expect_code(0);

    let mut nodes = world.node_pids();
    assert_eq!(nodes.len(), 3);
    for pid in nodes.drain(..) {
        assert_eq!(listeners(pid), [], "node {pid} has its sockets");
    }
    let status = world.classify(&["cluster", "status", "--json"]).expect_code(0).json();
    for node in status["nodes"].as_array().expect("nodes") {
        for url in ["ingress_url", "admin_url"] {
            assert!(text(&node[url]).starts_with("http://127.0.0.1:"), "{node:#}");
        }
    }
    let guard = u32::try_from(status["guard"]["pid"].as_u64().expect("a guard")).expect("a pid");
    // Ingress, admin API, and the port for other nodes, of three nodes.
    assert_eq!((listeners(guard).len(), exposed(&listeners(guard))), (9, vec![]));
    let service = world.service_pid().expect("the service");
    let mut ports: Vec<u16> = listeners(service).iter().map(|(_, port)| *port).collect();
    ports.sort_unstable();
    let mut expected = [world.service_port(), metrics];
    expected.sort_unstable();
    assert_eq!(ports, expected, "what the service listens on");
    assert_eq!(exposed(&listeners(service)), []);

    // What is open to others is seen.
    let ourselves = || exposed(&listeners(std::process::id()));
    for wildcard in ["0.0.0.0:0", "[::]:0"] {
        let open = TcpListener::bind(wildcard).expect("a port");
        let at = open.local_addr().expect("an address");
        let at = (at.ip(), at.port());
        assert!(ourselves().contains(&at), "{wildcard} is not seen: {:?}", ourselves());
        drop(open);
        assert!(!ourselves().contains(&at), "{wildcard} is closed again");
    }
}
