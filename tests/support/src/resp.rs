//! Requests in the form that Redis libraries send, byte by byte.

/// Appends a request.
pub fn push_request(out: &mut Vec<u8>, words: &[&[u8]]) {
    // Writing to memory cannot fail.
    let number = |out: &mut Vec<u8>, mark: u8, number: usize| {
        out.push(mark);
        out.extend_from_slice(number.to_string().as_bytes());
        out.extend_from_slice(b"\r\n");
    };
    number(out, b'*', words.len());
    for word in words {
        number(out, b'$', word.len());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

/// A request by itself.
#[must_use]
pub fn request(words: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    push_request(&mut out, words);
    out
}
