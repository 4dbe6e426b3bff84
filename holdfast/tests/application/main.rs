//! A real application, the one of `examples/cart`, on three members in this process, over real HTTP and with the real tower-sessions.

#[path = "../../examples/cart/app.rs"]
mod app;
mod changes;
mod events;
mod failure;
mod locks;
mod sessions;
mod world;
