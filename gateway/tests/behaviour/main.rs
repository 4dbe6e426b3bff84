//! The gateway's behaviour, tested in one process with real sockets on loopback addresses: members that die, refuse, hang, drain and come back,
//! clients that count what they lose. One binary, because linking is dear.

mod affinity;
mod api_server;
mod churn;
mod client;
mod control;
mod http;
mod in_flight;
mod member;
mod odd_members;
mod refusals;
mod shutdown;
mod streams;
mod watches;
mod world;
