//! Against a name server of our own on loopback, which answers from a table and can be told to fall silent.

use std::net::Ipv4Addr;
use std::sync::Arc;

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, SRV};
use hickory_resolver::proto::rr::{Name, Record};
use tokio::net::UdpSocket;

use super::*;
use crate::config::tests::settings;

#[derive(Default)]
struct Table {
    addresses: BTreeMap<String, Ipv4Addr>,
    silent: bool,
    asked: usize,
}

struct Server {
    table: Arc<Mutex<Table>>,
    peers: DnsPeers,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

const SERVICE: &str = "shop-members.ns.svc.cluster.test.";

impl Server {
    async fn start(addresses: &[(&str, [u8; 4])]) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
        let server = socket.local_addr().expect("bound");
        let table = Arc::new(Mutex::new(Table::default()));
        table.lock().expect("unpoisoned").addresses =
            addresses.iter().map(|(name, ip)| ((*name).to_owned(), Ipv4Addr::from(*ip))).collect();
        let task = tokio::spawn(answer(socket, table.clone()));
        let config = settings(&["--cluster-domain=cluster.test", &format!("--nameserver={server}")]).check().expect("right");
        let peers = DnsPeers::new(&config).expect("a resolver");
        Self { table, peers, task }
    }

    fn change(&self, change: impl FnOnce(&mut Table)) {
        change(&mut self.table.lock().expect("unpoisoned"));
    }
}

async fn answer(socket: UdpSocket, table: Arc<Mutex<Table>>) {
    let mut buffer = [0; 4096];
    loop {
        let (length, from) = socket.recv_from(&mut buffer).await.expect("loopback receives");
        let question = Message::from_vec(&buffer[..length]).expect("a question");
        let query = question.queries[0].clone();
        let mut reply = Message::response(question.metadata.id, question.metadata.op_code);
        reply.add_query(query.clone());
        {
            let mut table = table.lock().expect("unpoisoned");
            table.asked += 1;
            if table.silent {
                continue;
            }
            for (member, ip) in &table.addresses {
                let name = Name::from_ascii(format!("{member}.{SERVICE}")).expect("a name");
                let address = Record::from_rdata(name.clone(), 30, RData::A(A(*ip)));
                if query.query_type() == RecordType::SRV && query.name().to_ascii() == format!("_replication._tcp.{SERVICE}") {
                    reply.add_answer(Record::from_rdata(query.name().clone(), 30, RData::SRV(SRV::new(0, 33, 4000, name))));
                    reply.additionals.push(address);
                } else if query.query_type() == RecordType::A && *query.name() == name {
                    reply.add_answer(address);
                }
            }
        }
        if reply.answers.is_empty() {
            reply.metadata.response_code = ResponseCode::NXDomain;
        }
        socket.send_to(&reply.to_vec().expect("encodes"), from).await.expect("loopback sends");
    }
}

#[tokio::test]
async fn a_member_is_found_by_its_name() {
    let server = Server::start(&[("shop-0", [10, 0, 0, 5]), ("shop-1", [10, 0, 0, 7])]).await;
    assert_eq!(server.peers.resolve("shop-0").await.expect("found"), "10.0.0.5:4000".parse().expect("an address"));
    let error = server.peers.resolve("shop-2").await.expect_err("not there");
    assert!(error.to_string().contains("`shop-2`"), "{error}");
}

#[tokio::test]
async fn all_members_are_listed_and_strangers_are_left_out() {
    let server = Server::start(&[("shop-1", [10, 0, 0, 7]), ("shop-0", [10, 0, 0, 5]), ("other-3", [10, 0, 0, 9])]).await;
    let listed = server.peers.list().await.expect("an answer");
    assert_eq!(listed.iter().map(|member| member.name.as_str()).collect::<Vec<_>>(), ["shop-0", "shop-1"]);
    assert_eq!(listed[0].addr, Some("10.0.0.5:4000".parse().expect("an address")));
}

#[tokio::test]
async fn the_last_good_address_outlives_dns() {
    let server = Server::start(&[("shop-0", [10, 0, 0, 5])]).await;
    let addr = server.peers.resolve("shop-0").await.expect("found");
    server.change(|table| table.silent = true);
    server.peers.forget("shop-0");
    assert_eq!(server.peers.resolve("shop-0").await.expect("still known"), addr);
    server.change(|table| {
        table.silent = false;
        table.addresses.clear();
    });
    assert_eq!(server.peers.resolve("shop-0").await.expect("a vanished name removes nobody"), addr);
}

#[tokio::test]
async fn what_a_listing_showed_is_known_too() {
    let server = Server::start(&[("shop-0", [10, 0, 0, 5])]).await;
    server.peers.list().await.expect("an answer");
    server.change(|table| table.silent = true);
    assert_eq!(server.peers.resolve("shop-0").await.expect("known").port(), 4000);
}

#[tokio::test]
async fn a_recent_address_is_used_without_a_question() {
    let server = Server::start(&[("shop-0", [10, 0, 0, 5])]).await;
    server.peers.list().await.expect("an answer");
    server.change(|table| table.asked = 0);
    server.peers.resolve("shop-0").await.expect("known");
    assert_eq!(server.table.lock().expect("unpoisoned").asked, 0);
}

#[tokio::test]
async fn a_forgotten_address_is_asked_for_anew() {
    let server = Server::start(&[("shop-0", [10, 0, 0, 5])]).await;
    server.peers.resolve("shop-0").await.expect("found");
    server.change(|table| table.addresses = [("shop-0".to_owned(), Ipv4Addr::new(10, 0, 0, 6))].into());
    assert_eq!(server.peers.resolve("shop-0").await.expect("kept").ip().to_string(), "10.0.0.5");
    server.peers.forget("shop-0");
    assert_eq!(server.peers.resolve("shop-0").await.expect("anew").ip().to_string(), "10.0.0.6");
}

#[tokio::test]
async fn no_such_name_is_not_kept() {
    let server = Server::start(&[]).await;
    server.peers.resolve("shop-0").await.expect_err("not there yet");
    server.change(|table| table.addresses = [("shop-0".to_owned(), Ipv4Addr::new(10, 0, 0, 5))].into());
    server.peers.resolve("shop-0").await.expect("there now");
}

#[tokio::test]
async fn a_name_from_the_view_that_is_no_pod_is_never_asked_for() {
    let server = Server::start(&[]).await;
    server.peers.resolve("evil.example.org").await.expect_err("refused");
    assert_eq!(server.table.lock().expect("unpoisoned").asked, 0);
}
