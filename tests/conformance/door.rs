//! Where a suite finds its server: an address that leads to members. With several of them, each new connection goes to the next one.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

/// To whom the doors lead, and whose turn is next; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Turns(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    servers: Vec<SocketAddr>,
    next: usize,
}

impl Turns {
    /// Leads to these from now on. Open connections stay where they are.
    pub(crate) fn set(&self, servers: Vec<SocketAddr>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).servers = servers;
    }

    /// All of them, beginning with the one whose turn it is.
    fn next(&self) -> Vec<SocketAddr> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut servers = state.servers.clone();
        if !servers.is_empty() {
            let first = state.next % servers.len();
            servers.rotate_left(first);
        }
        state.next = state.next.wrapping_add(1);
        servers
    }
}

/// Lets connections through until the listener fails.
pub(crate) async fn open(door: TcpListener, turns: Turns) {
    while let Ok((from, _)) = door.accept().await {
        tokio::spawn(pass(from, turns.next()));
    }
}

async fn pass(mut from: TcpStream, servers: Vec<SocketAddr>) {
    for server in servers {
        // Nobody behind it: the next one.
        let Ok(mut to) = TcpStream::connect(server).await else { continue };
        if from.set_nodelay(true).is_ok() && to.set_nodelay(true).is_ok() {
            // How it ends, the two ends see for themselves.
            drop(copy_bidirectional(&mut from, &mut to).await);
        }
        return;
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    /// A server that says one letter to everybody.
    async fn server(letter: u8) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                drop(tokio::io::AsyncWriteExt::write_all(&mut stream, &[letter]).await);
            }
        });
        address
    }

    async fn said(door: SocketAddr) -> String {
        let mut text = String::new();
        TcpStream::connect(door).await.unwrap().read_to_string(&mut text).await.unwrap();
        text
    }

    #[tokio::test]
    async fn each_connection_goes_to_the_next_member_that_is_there() {
        let turns = Turns::default();
        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        turns.set(vec![server(b'a').await, gone, server(b'c').await]);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let door = listener.local_addr().unwrap();
        tokio::spawn(open(listener, turns.clone()));
        let mut heard = String::new();
        for _ in 0..4 {
            heard += &said(door).await;
        }
        assert_eq!(heard, "acca");
        turns.set(Vec::new());
        assert_eq!(said(door).await, "");
    }
}
