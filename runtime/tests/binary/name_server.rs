//! A pretend name server for the headless Service: each member has an address of its own in 127.0.0.0/8.

use std::net::{Ipv4Addr, SocketAddr};

use hickory_resolver::proto::op::Message;
use hickory_resolver::proto::rr::rdata::{A, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::net::UdpSocket;
use tokio::task::AbortHandle;

const SERVICE: &str = "shop-members.ns.svc.cluster.test.";

pub(crate) struct NameServer {
    pub(crate) addr: SocketAddr,
    task: AbortHandle,
}

impl NameServer {
    pub(crate) async fn start(members: Vec<(String, Ipv4Addr)>, port: u16) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
        let addr = socket.local_addr().expect("bound");
        let task = tokio::spawn(async move {
            let mut buffer = [0; 4096];
            loop {
                let (length, from) = socket.recv_from(&mut buffer).await.expect("loopback receives");
                let reply = answer(&Message::from_vec(&buffer[..length]).expect("a question"), &members, port);
                socket.send_to(&reply.to_vec().expect("encodes"), from).await.expect("loopback sends");
            }
        });
        Self { addr, task: task.abort_handle() }
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn answer(question: &Message, members: &[(String, Ipv4Addr)], port: u16) -> Message {
    let query = question.queries[0].clone();
    let mut reply = Message::response(question.metadata.id, question.metadata.op_code);
    for (member, ip) in members {
        let name = Name::from_ascii(format!("{member}.{SERVICE}")).expect("a name");
        let address = Record::from_rdata(name.clone(), 1, RData::A(A(*ip)));
        if query.query_type() == RecordType::SRV {
            reply.add_answer(Record::from_rdata(query.name().clone(), 1, RData::SRV(SRV::new(0, 1, port, name))));
            reply.additionals.push(address);
        } else if *query.name() == name && query.query_type() == RecordType::A {
            reply.add_answer(address);
        }
    }
    reply.add_query(query);
    reply
}
