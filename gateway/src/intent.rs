//! Reading what the operator wants of the gateway. The API server checks none of it, so it is checked here.

use holdfast_api::AffinitySourceType;
pub use holdfast_api::GatewayIntent as Intent;
use thiserror::Error;

/// Why an intent cannot be followed.
#[derive(Debug, Error)]
pub enum IntentError {
    /// Not the JSON that it should be.
    #[error("failed to read the intent: {0}")]
    Json(#[from] serde_json::Error),
    /// A cookie name that no client would send back.
    #[error("failed to read the intent: {field} is `{value}`, right is a cookie name: letters, digits and !#$%&'*+-.^_`|~")]
    CookieName {
        /// The field.
        field: &'static str,
        /// What it holds.
        value: String,
    },
    /// Port zero.
    #[error("failed to read the intent: adminPort is `0`, right is 1 to 65535")]
    AdminPort,
}

/// Reads an intent.
///
/// # Errors
/// Names the field and what is right.
pub fn parse(text: &str) -> Result<Intent, IntentError> {
    let intent: Intent = serde_json::from_str(text)?;
    check_name("cookie", &intent.cookie)?;
    for source in &intent.sources {
        let AffinitySourceType::Cookie = source.type_;
        check_name("sources[].name", &source.name)?;
    }
    if intent.admin_port == 0 { Err(IntentError::AdminPort) } else { Ok(intent) }
}

/// RFC 6265, section 4.1.1: a cookie name is a token.
fn check_name(field: &'static str, name: &str) -> Result<(), IntentError> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if !name.is_empty() && name.bytes().all(token) { Ok(()) } else { Err(IntentError::CookieName { field, value: name.to_owned() }) }
}

#[cfg(test)]
mod tests {
    use holdfast_api::AffinitySource;

    use super::*;

    #[test]
    fn the_operators_example_is_read() {
        let text = r#"{"generation": 3, "cookie": "holdfast-route", "sources": [{"type":"Cookie","name":"sessionid"}], "adminPort": 4001, "later": 1}"#;
        let intent = parse(text).expect("right");
        assert_eq!(intent.generation, 3);
        assert_eq!(intent.sources, [AffinitySource { type_: AffinitySourceType::Cookie, name: "sessionid".to_owned() }]);
        assert_eq!(intent.admin_port, 4001);
    }

    #[test]
    fn a_wrong_intent_names_the_field() {
        let cases = [
            (r#"{"generation": 3, "cookie": "a b", "adminPort": 4001}"#, "cookie is `a b`"),
            (r#"{"generation": 3, "cookie": "", "adminPort": 4001}"#, "cookie is ``"),
            (r#"{"generation": 3, "cookie": "r", "adminPort": 0}"#, "adminPort"),
            (r#"{"generation": 3, "adminPort": 4001}"#, "cookie"),
            (
                r#"{"generation": 3, "cookie": "r", "adminPort": 4001, "sources": [{"type":"Cookie","name":"a;b"}]}"#,
                "sources[].name is `a;b`",
            ),
            (r#"{"generation": 3, "cookie": "r", "adminPort": 4001, "sources": [{"type":"Moon","name":"a"}]}"#, "Moon"),
        ];
        for (text, expected) in cases {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
