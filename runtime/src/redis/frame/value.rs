//! A reply, and how RESP2 and RESP3 write it.

use bytes::{BufMut, Bytes, BytesMut};
use holdfast_core::Score;

/// The version of the protocol that a connection speaks, chosen by `HELLO`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// The one that every connection begins with.
    #[default]
    Resp2,
    /// With maps, sets and a null of its own.
    Resp3,
}

/// A reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// A short text of our own, such as `OK`.
    Status(&'static str),
    /// A short text of a script.
    Line(Bytes),
    /// Its first word is the kind of the error, `ERR` if there is nothing to tell apart.
    Error(Bytes),
    /// A number.
    Int(i64),
    /// Any bytes.
    Bulk(Bytes),
    /// Nothing there.
    Null,
    /// Values in order.
    Array(Vec<Value>),
    /// Values without order; an array in RESP2.
    Set(Vec<Value>),
    /// Pairs; an array of twice the length in RESP2.
    Map(Vec<(Value, Value)>),
    /// Text for people; a bulk in RESP2.
    Text(String),
    /// A number with a point; a bulk in RESP2.
    Double(Score),
    /// Pairs in order: an array of two for each; without these in RESP2.
    Pairs(Vec<(Value, Value)>),
    /// No list; the null of RESP2 for lists.
    NullArray,
    /// What nobody has asked for: an array in RESP2.
    Push(Vec<Value>),
    /// Several replies to one command.
    Several(Vec<Value>),
}

impl Value {
    /// `+OK`.
    pub(crate) const OK: Value = Value::Status("OK");

    /// No reply at all.
    pub(crate) const NOTHING: Value = Value::Several(Vec::new());

    /// Bytes of our own.
    pub(crate) const fn fixed(text: &'static str) -> Value {
        Value::Bulk(Bytes::from_static(text.as_bytes()))
    }

    /// A bulk, or null.
    pub(crate) fn bulk_or_null(bytes: Option<Bytes>) -> Value {
        bytes.map_or(Value::Null, Value::Bulk)
    }

    /// About how much memory it takes, in bytes.
    pub(crate) fn size(&self) -> usize {
        let all = |values: &[Value]| values.iter().map(Value::size).sum::<usize>();
        let content = match self {
            Value::Error(bytes) | Value::Bulk(bytes) | Value::Line(bytes) => bytes.len(),
            Value::Text(text) => text.len(),
            Value::Array(values) | Value::Set(values) | Value::Push(values) | Value::Several(values) => all(values),
            Value::Map(pairs) | Value::Pairs(pairs) => pairs.iter().map(|(first, second)| first.size() + second.size()).sum(),
            Value::Status(_) | Value::Int(_) | Value::Null | Value::NullArray | Value::Double(_) => 0,
        };
        size_of::<Value>() + content
    }

    /// Appends it to `out`.
    pub(crate) fn encode(&self, protocol: Protocol, out: &mut BytesMut) {
        match self {
            Value::Status(text) => {
                out.put_u8(b'+');
                line(out, text.as_bytes());
            }
            Value::Error(text) => {
                out.put_u8(b'-');
                // As in Redis, a line end at the end goes.
                let end = text.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')).map_or(0, |last| last + 1);
                one_line(out, &text[..end]);
            }
            Value::Line(text) => {
                out.put_u8(b'+');
                one_line(out, text);
            }
            Value::Int(number) => {
                out.put_u8(b':');
                if *number < 0 {
                    out.put_u8(b'-');
                }
                digits(out, number.unsigned_abs());
                out.put_slice(b"\r\n");
            }
            Value::Bulk(bytes) => {
                header(out, b'$', bytes.len());
                line(out, bytes);
            }
            Value::Null => out.put_slice(match protocol {
                Protocol::Resp2 => b"$-1\r\n",
                Protocol::Resp3 => b"_\r\n",
            }),
            Value::Array(values) => {
                header(out, b'*', values.len());
                values.iter().for_each(|value| value.encode(protocol, out));
            }
            Value::Set(values) => {
                header(out, if protocol == Protocol::Resp3 { b'~' } else { b'*' }, values.len());
                values.iter().for_each(|value| value.encode(protocol, out));
            }
            Value::Map(pairs) => {
                match protocol {
                    Protocol::Resp2 => header(out, b'*', pairs.len() * 2),
                    Protocol::Resp3 => header(out, b'%', pairs.len()),
                }
                for (key, value) in pairs {
                    key.encode(protocol, out);
                    value.encode(protocol, out);
                }
            }
            Value::Double(number) => {
                let text = double(number.get());
                match protocol {
                    Protocol::Resp2 => {
                        header(out, b'$', text.len());
                        line(out, text.as_bytes());
                    }
                    Protocol::Resp3 => {
                        out.put_u8(b',');
                        line(out, text.as_bytes());
                    }
                }
            }
            Value::Pairs(pairs) => {
                header(out, b'*', if protocol == Protocol::Resp3 { pairs.len() } else { pairs.len() * 2 });
                for (first, second) in pairs {
                    if protocol == Protocol::Resp3 {
                        header(out, b'*', 2);
                    }
                    first.encode(protocol, out);
                    second.encode(protocol, out);
                }
            }
            Value::NullArray => out.put_slice(match protocol {
                Protocol::Resp2 => b"*-1\r\n",
                Protocol::Resp3 => b"_\r\n",
            }),
            Value::Push(values) => {
                header(out, if protocol == Protocol::Resp3 { b'>' } else { b'*' }, values.len());
                values.iter().for_each(|value| value.encode(protocol, out));
            }
            Value::Several(values) => values.iter().for_each(|value| value.encode(protocol, out)),
            Value::Text(text) => match protocol {
                Protocol::Resp2 => {
                    header(out, b'$', text.len());
                    line(out, text.as_bytes());
                }
                Protocol::Resp3 => {
                    header(out, b'=', text.len() + 4);
                    out.put_slice(b"txt:");
                    line(out, text.as_bytes());
                }
            },
        }
    }
}

/// As C's `%.17g` writes it, which Redis uses; whole numbers without a point.
pub(crate) fn double(number: f64) -> String {
    if number.is_infinite() {
        return if number > 0.0 { "inf".into() } else { "-inf".into() };
    }
    if number == number.trunc() && number.abs() < 1e17 {
        // With the sign of a zero.
        return format!("{number:.0}");
    }
    // Seventeen digits, of which those at the end that are zeros are left out.
    let scientific = format!("{number:.16e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trim = |text: &str| text.trim_end_matches('0').trim_end_matches('.').to_owned();
    if (-4..17).contains(&exponent) {
        let digits = usize::try_from(16 - exponent).unwrap_or(0);
        let text = format!("{number:.digits$}");
        return if text.contains('.') { trim(&text) } else { text };
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", trim(mantissa), exponent.abs())
}

/// What clients have sent is repeated in it, and a line end would begin another reply.
fn one_line(out: &mut BytesMut, text: &[u8]) {
    out.extend(text.iter().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte }));
    out.put_slice(b"\r\n");
}

fn line(out: &mut BytesMut, bytes: &[u8]) {
    out.reserve(bytes.len() + 2);
    out.put_slice(bytes);
    out.put_slice(b"\r\n");
}

fn header(out: &mut BytesMut, kind: u8, length: usize) {
    out.put_u8(kind);
    digits(out, length as u64);
    out.put_slice(b"\r\n");
}

/// Every reply has a number in it: `write!` would cost several times as much.
fn digits(out: &mut BytesMut, mut number: u64) {
    let mut text = [0; 20];
    let mut at = text.len();
    loop {
        at -= 1;
        text[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.put_slice(&text[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(value: &Value, protocol: Protocol) -> String {
        let mut out = BytesMut::new();
        value.encode(protocol, &mut out);
        String::from_utf8(out.to_vec()).expect("only text is encoded here")
    }

    #[test]
    fn each_kind_is_written_as_its_protocol_asks() {
        let map = Value::Map(vec![(Value::fixed("a"), Value::Null)]);
        for (value, resp2, resp3) in [
            (Value::OK, "+OK\r\n", "+OK\r\n"),
            (Value::Error(Bytes::from_static(b"ERR no")), "-ERR no\r\n", "-ERR no\r\n"),
            (Value::Int(0), ":0\r\n", ":0\r\n"),
            (Value::Int(i64::MIN), ":-9223372036854775808\r\n", ":-9223372036854775808\r\n"),
            (Value::fixed(""), "$0\r\n\r\n", "$0\r\n\r\n"),
            (Value::Null, "$-1\r\n", "_\r\n"),
            (Value::Array(vec![Value::Int(1), Value::Null]), "*2\r\n:1\r\n$-1\r\n", "*2\r\n:1\r\n_\r\n"),
            (Value::Set(vec![Value::Int(12)]), "*1\r\n:12\r\n", "~1\r\n:12\r\n"),
            (map, "*2\r\n$1\r\na\r\n$-1\r\n", "%1\r\n$1\r\na\r\n_\r\n"),
            (Value::Text("hi".into()), "$2\r\nhi\r\n", "=6\r\ntxt:hi\r\n"),
        ] {
            assert_eq!(encoded(&value, Protocol::Resp2), resp2);
            assert_eq!(encoded(&value, Protocol::Resp3), resp3);
        }
    }

    #[test]
    fn an_error_stays_one_line_whatever_it_repeats() {
        let value = Value::Error(Bytes::from_static(b"ERR unknown command 'a\r\n+OK'"));
        assert_eq!(encoded(&value, Protocol::Resp2), "-ERR unknown command 'a  +OK'\r\n");
    }
}
