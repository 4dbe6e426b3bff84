//! A front door with users, and one client who may be none of them: without a password of theirs in what it sends it is told errors, nothing is done for it, and it
//! takes little memory; with one it is served as any.

#![no_main]

use holdfast_fuzz::{count_replies, each_reply, grown, pieces, talk};
use libfuzzer_sys::fuzz_target;

/// Two users, and the passwords of both.
const USERS: &[u8] = b"default:9dca666eb54730714630d1519264a7bf1eeaad00b8f2edc90d3ecbfad928d163
shop:481fd32833966be5ea069e1ee38aab255d779d5510123c244d08de4194bbbee6";
const PASSWORDS: [&[u8]; 2] = [b"correct-horse", b"battery-staple"];

/// The most that somebody unknown may take here, in bytes; somebody known as much as at a door without users.
const MOST_OF_STRANGER: usize = 1 << 20;
const MOST: usize = 64 << 20;

fuzz_target!(|input: &[u8]| {
    let (talk, taken) = grown(|| talk(pieces(input), Some(USERS)));
    let has = |word: &[u8]| input.windows(word.len()).any(|part| part == word);
    // A typed line may have it with backslashes.
    let may_be_known = PASSWORDS.iter().any(|password| has(password)) || has(b"\\");
    let most = if may_be_known { MOST } else { MOST_OF_STRANGER };
    assert!(taken - talk.replies.capacity() <= most, "{} bytes arrived, {taken} were taken", input.len());
    count_replies(&talk.replies);
    if !may_be_known {
        assert_eq!(talk.keys, 0, "something was done for somebody unknown");
        // Beside errors there are only the answers to `QUIT` and `RESET`.
        each_reply(&talk.replies, |first| assert!(matches!(first, b'-' | b'+'), "{:?}", String::from_utf8_lossy(&talk.replies)));
    }
});
