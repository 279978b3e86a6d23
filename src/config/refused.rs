//! Refusals name what set the value: the flag, or the variable, which stands in a manifest that its
//! reader may never have seen a flag of.

use std::error::Error as _;
use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::effective::variable;
use super::{ConfigError, Effective};

/// What clap says of a value that it refused, in our words; `None` if it refused something else.
/// `args` is the command line.
pub(super) fn value(error: &clap::Error, args: &[OsString]) -> Option<ConfigError> {
    if !matches!(error.kind(), ErrorKind::ValueValidation | ErrorKind::InvalidValue) {
        return None;
    }
    let told = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let value = told(ContextKind::InvalidValue)?.to_owned();
    // Shown with its value's name: `--heartbeat <DURATION>`.
    let flag = told(ContextKind::InvalidArg)?.split(' ').next()?;
    let typed = args.iter().any(|arg| {
        let arg = arg.to_string_lossy();
        arg.strip_prefix(flag).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    });
    let reason = match (error.source(), error.get(ContextKind::ValidValue)) {
        (Some(source), _) => source.to_string(),
        (None, Some(ContextValue::Strings(words))) => format!("expected {}", words.join(" or ")),
        _ => return None,
    };
    let option = if typed { flag.to_owned() } else { variable(flag.strip_prefix("--")?) };
    Some(ConfigError::Invalid { option: option.into(), value, reason })
}

/// The same refusal, with variables named where they set the value.
pub(super) fn by_source(error: ConfigError, effective: &Effective) -> ConfigError {
    let pair = |text: String| match text.split_once(' ') {
        Some((flag, value)) => match effective.spelt(flag) {
            spelt if spelt == flag => text,
            spelt => format!("{spelt}={value}"),
        },
        None => text,
    };
    match error {
        ConfigError::Bounds { option, value, least, most } => {
            ConfigError::Bounds { option: effective.spelt(&option).into(), value, least, most }
        }
        ConfigError::Invalid { option, value, reason } => {
            ConfigError::Invalid { option: effective.spelt(&option).into(), value, reason }
        }
        ConfigError::Contradiction { first, second, advice } => {
            ConfigError::Contradiction { first: pair(first), second: pair(second), advice }
        }
        other @ ConfigError::Environment { .. } => other,
    }
}
