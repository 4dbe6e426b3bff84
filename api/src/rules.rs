//! CEL rules that occur more than once. Their messages name the field and what is right, from where to where; the API server's own message about
//! a bound knows only the bound that was crossed.

use kube::core::{Message, Rule};

/// A whole number from `min` to `max`. The message leaves out what came instead: the API server estimates a number's text as unbounded, and
/// refuses the rule.
pub(crate) fn integer(field: &str, min: u32, max: u32) -> Rule {
    Rule::new(format!("self >= {min} && self <= {max}")).message(Message::Message(format!("{field} must be {min} to {max}")))
}

/// A duration from `min` to `max`; `also` goes on with the sentence.
pub(crate) fn duration(field: &str, min: &str, max: &str, also: &str) -> Rule {
    Rule::new(format!("duration(self) >= duration('{min}') && duration(self) <= duration('{max}')"))
        .message(Message::Expression(format!("'{field} must be {min} to {max}{also}, not ' + self")))
}

/// An amount of memory from `min` to `max`.
pub(crate) fn byte_size(field: &str, min: &str, max: &str) -> Rule {
    Rule::new(format!(
        "quantity(string(self)).compareTo(quantity('{min}')) >= 0 && quantity(string(self)).compareTo(quantity('{max}')) <= 0"
    ))
    .message(Message::Expression(format!("'{field} must be {min} to {max}, not ' + string(self)")))
}
