//! A balancer between the nodes and several services, by connection.

use std::net::TcpListener;

use tokio::task::{JoinHandle, JoinSet};

/// Listens on `port` and passes connections on to the services on the ports `to`, to each in turn, until it is aborted.
pub(crate) async fn balance(port: u16, to: [u16; 2]) -> JoinHandle<()> {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.expect("the service's port");
    tokio::spawn(async move {
        let mut connections = JoinSet::new();
        for turn in (0..2).cycle() {
            let Ok((mut from, _)) = listener.accept().await else { return };
            connections.spawn(async move {
                if let Ok(mut to) = tokio::net::TcpStream::connect(("127.0.0.1", to[turn])).await {
                    let _ends_when_it_ends = tokio::io::copy_bidirectional(&mut from, &mut to).await;
                }
            });
        }
    })
}

/// A port nobody listens on.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}
