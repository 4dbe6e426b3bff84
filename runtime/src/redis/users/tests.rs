use super::*;

/// Of `secret` and of `other`.
const SECRET: &str = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
const OTHER: &str = "d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa";

async fn users(folder: &tempfile::TempDir, text: &str) -> Result<Users, UsersError> {
    let path = folder.path().join("users");
    std::fs::write(&path, text).expect("a file");
    Users::open(&path).await
}

#[tokio::test(start_paused = true)]
async fn a_user_has_one_of_several_passwords() {
    let folder = tempfile::tempdir().expect("a folder");
    let users =
        users(&folder, &format!("# shop\n\ndefault:{SECRET}\r\nshop:{SECRET}\nshop:{}", OTHER.to_uppercase())).await.expect("right");
    for (name, password, verdict) in [
        ("default", "secret", Verdict::Right),
        ("shop", "secret", Verdict::Right),
        ("shop", "other", Verdict::Right),
        ("default", "other", Verdict::Wrong),
        ("default", "", Verdict::Wrong),
        ("nobody", "secret", Verdict::Wrong),
        ("", "secret", Verdict::Wrong),
    ] {
        assert_eq!(users.check(name.as_bytes(), password.as_bytes()).await, verdict, "{name} {password}");
    }
    assert_eq!(users.check(b"\xff", b"secret").await, Verdict::Wrong);
    assert!(users.knows("shop") && !users.knows("nobody"));
    assert!(!format!("{users:?}").contains(&SECRET[..8]), "hashes are not for logs");
}

#[tokio::test]
async fn a_line_that_is_not_right_is_named_by_its_number_only() {
    let folder = tempfile::tempdir().expect("a folder");
    for (text, right) in [
        ("default:secret", "line 1 of "),
        (&format!("default:{SECRET}\nshop{SECRET}"), "line 2 of "),
        (&format!("a b:{SECRET}"), "line 1 of "),
        (&format!(":{SECRET}"), "line 1 of "),
        (&format!("default:+{}", &SECRET[1..]), "line 1 of "),
        ("# nobody", "names no user"),
    ] {
        let error = users(&folder, text).await.expect_err(text).to_string();
        assert!(error.contains(right) && !error.contains("secret") && !error.contains(&SECRET[2..]), "{error}");
    }
    let error = Users::open(&folder.path().join("none")).await.expect_err("no file").to_string();
    assert!(error.starts_with("failed to read the users from"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn guessing_is_slow_however_many_guess() {
    let folder = tempfile::tempdir().expect("a folder");
    let users = users(&folder, &format!("default:{SECRET}")).await.expect("right");
    let begin = tokio::time::Instant::now();
    let guesses = (0..3 * GUESSES).map(|guess| {
        let users = users.clone();
        tokio::spawn(async move { users.check(b"default", guess.to_string().as_bytes()).await })
    });
    let guesses: Vec<_> = guesses.collect();
    // Time passes when all of them wait.
    sleep(Duration::from_millis(1)).await;
    assert_eq!(users.check(b"default", b"secret").await, Verdict::Right, "it waits for its turn");
    assert_eq!(begin.elapsed().as_secs(), 3);
    for guess in guesses {
        assert_eq!(guess.await.expect("no panic"), Verdict::Wrong);
    }
    let begin = tokio::time::Instant::now();
    assert_eq!(users.check(b"default", b"secret").await, Verdict::Right);
    assert!(begin.elapsed().is_zero(), "what is right is not slow");
}

#[tokio::test]
async fn a_new_file_is_used_and_one_that_is_not_right_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let users = users(&folder, &format!("default:{SECRET}\nshop:{SECRET}")).await.expect("right");
    let path = folder.path().join("users");
    assert!(users.refresh().await.is_none(), "it is the same");
    std::fs::write(&path, "default:hidden").expect("a file");
    assert!(users.refresh().await.is_none());
    assert!(users.is_right(b"default", b"secret"));
    std::fs::remove_file(&path).expect("a file");
    assert!(users.refresh().await.is_none());
    assert!(users.is_right(b"default", b"secret"));
    std::fs::write(&path, format!("default:{OTHER}")).expect("a file");
    assert!(users.refresh().await.is_some());
    assert!(users.is_right(b"default", b"other") && !users.is_right(b"default", b"secret") && !users.knows("shop"));
}
