//! A pretend name server for the headless Service. Each member may have one of its own, so that it is led to others on other ways.

use std::net::{Ipv4Addr, SocketAddr};

use hickory_resolver::proto::op::Message;
use hickory_resolver::proto::rr::rdata::{A, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::net::UdpSocket;
use tokio::task::AbortHandle;

use crate::api_server::NAMESPACE;

/// The headless Service.
pub const SERVICE: &str = "shop-members";

/// The domain of the pretend Kubernetes.
pub const DOMAIN: &str = "cluster.test";

/// It ends when it is dropped.
#[derive(Debug)]
pub struct NameServer {
    /// Where it listens.
    pub address: SocketAddr,
    task: AbortHandle,
}

impl NameServer {
    /// Answers with these addresses, all of them with the same port.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start(members: Vec<(String, Ipv4Addr)>, port: u16) -> anyhow::Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0").await?;
        let address = socket.local_addr()?;
        let task = tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                // What is no question gets no answer.
                let Some(reply) = answer(&buffer[..length], &members, port) else { continue };
                if socket.send_to(&reply, from).await.is_err() {
                    continue;
                }
            }
        });
        Ok(Self { address, task: task.abort_handle() })
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn answer(question: &[u8], members: &[(String, Ipv4Addr)], port: u16) -> Option<Vec<u8>> {
    let question = Message::from_vec(question).ok()?;
    let query = question.queries.first()?.clone();
    let mut reply = Message::response(question.metadata.id, question.metadata.op_code);
    for (member, ip) in members {
        let name = Name::from_ascii(format!("{member}.{SERVICE}.{NAMESPACE}.svc.{DOMAIN}.")).ok()?;
        let address = Record::from_rdata(name.clone(), 1, RData::A(A(*ip)));
        if query.query_type() == RecordType::SRV {
            reply.add_answer(Record::from_rdata(query.name().clone(), 1, RData::SRV(SRV::new(0, 1, port, name))));
            reply.additionals.push(address);
        } else if *query.name() == name && query.query_type() == RecordType::A {
            reply.add_answer(address);
        }
    }
    reply.add_query(query);
    reply.to_vec().ok()
}
