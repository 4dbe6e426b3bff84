//! `ACL`: who the client is. What users there are is in a Secret, and all may do the same.

use super::Plan;
use super::args::Refusal;
use super::client::Action;
use super::introspection::help;
use super::table::Spec;

pub(super) const COMMANDS: &[Spec] = &[Spec::server("acl", -2, |args| Err(Refusal::arity(args.name)))
    .with(&[Spec::server("acl|whoami", 2, |_| Ok(Plan::Client(Action::WhoAmI))), Spec::server("acl|help", 2, |_| Ok(help("ACL", HELP)))])];

const HELP: &[&str] = &["WHOAMI", "    Return the current connection username."];
