//! How errors are written into the log.

/// An error with its causes, in one line. Causes that a message repeats already, as kube's do, are left out.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source()).map(ToString::to_string);
    causes.fold(error.to_string(), |line, cause| if line.contains(&cause) { line } else { format!("{line}: {cause}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("failed to read the lease")]
    struct Outer(#[source] Repeating);

    #[derive(Debug, thiserror::Error)]
    #[error("service error: {0}")]
    struct Repeating(#[source] std::io::Error);

    #[test]
    fn every_cause_is_named_once() {
        let error = Outer(Repeating(std::io::Error::other("connection refused")));
        assert_eq!(chain(&error), "failed to read the lease: service error: connection refused");
    }
}
