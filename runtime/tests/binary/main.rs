//! The binary itself, as the kubelet runs it: what keeps it from starting, and the whole life of a cluster of processes on loopback, with a pretend API
//! server and name server.

mod life;
mod pipeline;
mod refusals;
