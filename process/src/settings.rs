//! Settings from environment variables (and flags, for people), read by clap. A wrong one ends the process with one log line that names the
//! variable, its value and what is right, instead of clap's page of usage.

use clap::error::{ContextKind, ContextValue, Error, ErrorKind};
use clap::{Args, Command, Parser};

/// Reads the settings of this process. Asked for help or the version, prints it and exits with 0; at a wrong setting it logs one line and exits
/// with 1.
#[must_use]
pub fn parse<T: Parser>(name: &str) -> T {
    T::try_parse().unwrap_or_else(|error| {
        if error.use_stderr() {
            crate::fail(name, anyhow::Error::msg(explain(T::command(), &error)));
        }
        error.exit()
    })
}

/// Reads settings from the environment alone: the arguments of this process are somebody else's.
///
/// # Errors
/// One line that names the variable, its value and what is right.
pub fn from_env<T: Args>() -> anyhow::Result<T> {
    let command = T::augment_args(Command::new("holdfast"));
    let read = command.clone().try_get_matches_from(["holdfast"]).and_then(|matches| T::from_arg_matches(&matches));
    read.map_err(|error| anyhow::Error::msg(explain(command, &error)))
}

/// One line for a clap error.
fn explain(mut command: Command, error: &Error) -> String {
    // Only a built command knows how it shows its arguments.
    command.build();
    let text = |kind| error.get(kind).map(|value| names(value).join(", ")).unwrap_or_default();
    let settings = error.get(ContextKind::InvalidArg).map(names).unwrap_or_default();
    let settings: Vec<String> = settings.iter().map(|shown| variable_of(&command, shown)).collect();
    let settings = settings.join(", ");
    match error.kind() {
        ErrorKind::MissingRequiredArgument => format!("{settings}: not set, but needed"),
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            let right = match (text(ContextKind::ValidValue), std::error::Error::source(error)) {
                (_, Some(source)) => format!(": {source}"),
                (valid, None) if !valid.is_empty() => format!("; right is one of {valid}"),
                _ => String::new(),
            };
            format!("{settings}: `{}` is not right{right}", text(ContextKind::InvalidValue))
        }
        // Wrong flags and sub-commands: a person is typing, and clap's first line says it.
        _ => error.to_string().lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned(),
    }
}

fn names(value: &ContextValue) -> Vec<String> {
    match value {
        ContextValue::String(one) => vec![one.clone()],
        ContextValue::Strings(many) => many.clone(),
        other => vec![other.to_string()],
    }
}

/// The environment variable behind an argument as clap shows it (`--copies <N>`), or that text itself.
fn variable_of(command: &Command, shown: &str) -> String {
    std::iter::once(command)
        .chain(command.get_subcommands())
        .flat_map(Command::get_arguments)
        .find(|argument| argument.to_string() == shown)
        .and_then(|argument| argument.get_env())
        .map_or_else(|| shown.to_owned(), |name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[derive(Debug, Parser)]
    struct Settings {
        #[arg(long, env = "HOLDFAST_TEST_COPIES", value_parser = clap::value_parser!(u8).range(1..=7))]
        copies: u8,
        #[arg(long, env = "HOLDFAST_TEST_CLUSTER")]
        cluster: String,
        #[command(flatten)]
        log: crate::LogOptions,
    }

    fn refused(arguments: &[&str]) -> String {
        let error = Settings::try_parse_from(std::iter::once(&"test").chain(arguments)).expect_err("wrong");
        explain(Settings::command(), &error)
    }

    #[test]
    fn a_wrong_value_names_the_variable_the_value_and_the_range() {
        let line = refused(&["--cluster=shop", "--copies=9"]);
        assert!(line.starts_with("HOLDFAST_TEST_COPIES: `9` is not right"), "{line}");
        assert!(line.contains("1..=7"), "{line}");
    }

    #[test]
    fn a_wrong_choice_names_the_right_ones() {
        let line = refused(&["--cluster=shop", "--copies=1", "--log-format=xml"]);
        assert_eq!(line, "HOLDFAST_LOG_FORMAT: `xml` is not right; right is one of json, text");
    }

    #[test]
    fn missing_settings_are_named_together() {
        assert_eq!(refused(&[]), "HOLDFAST_TEST_COPIES, HOLDFAST_TEST_CLUSTER: not set, but needed");
    }

    #[test]
    fn a_wrong_flag_is_one_line() {
        let line = refused(&["--nonsense"]);
        assert!(line.contains("--nonsense") && !line.contains('\n'), "{line}");
    }
}
