//! Errors as the API server tells them: `Status` objects with its own words.

use http::{HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};

use super::body::Body;
use super::json_response;
use crate::sim::faults::{Ask, Effect, RequestKind};
use crate::sim::resource::Resource;

/// An error as it is answered.
#[derive(Debug)]
pub(super) struct Failure {
    code: u16,
    reason: &'static str,
    message: String,
    details: Value,
    retry_after: Option<u32>,
}

/// The error that a fault makes of an answer, if it does.
pub(super) fn of_effect(effect: &Effect, ask: &Ask) -> Option<Failure> {
    match effect {
        Effect::TooMany(seconds) => Some(Failure {
            retry_after: Some(*seconds),
            details: json!({"retryAfterSeconds": seconds}),
            ..Failure::new(429, "TooManyRequests", "too many requests, please try again later")
        }),
        Effect::Status(code, message) => {
            let reason = match code {
                403 => "Forbidden",
                404 => "NotFound",
                500 => "InternalError",
                503 => "ServiceUnavailable",
                504 => "Timeout",
                _ => "",
            };
            Some(Failure::new(*code, reason, message))
        }
        Effect::Forbidden => Some(Failure::forbidden(ask)),
        Effect::Expired { inline: false } => Some(Failure::expired(0, 0)),
        _ => None,
    }
}

// === impl Failure ===

impl Failure {
    fn new(code: u16, reason: &'static str, message: &str) -> Self {
        let message = message.to_owned();
        Failure { code, reason, message, details: Value::Null, retry_after: None }
    }

    pub(super) fn bad_request(message: String) -> Self {
        Failure::new(400, "BadRequest", &message)
    }

    /// One field of an object of options is wrong: `why` begins with `Invalid value` or `Forbidden`.
    /// `object` names the options' kind, and their group or the pod they are for.
    pub(super) fn invalid((kind, object): (&str, Value), field: &str, why: &str) -> Self {
        let dot = object["group"].as_str().map(|group| format!(".{group}")).unwrap_or_default();
        let name = object["name"].as_str().unwrap_or_default();
        let message = format!("{kind}{dot} \"{name}\" is invalid: {field}: {why}");
        let forbidden = why.starts_with("Forbidden");
        let reason = if forbidden { "FieldValueForbidden" } else { "FieldValueInvalid" };
        let mut details = object;
        details["kind"] = kind.into();
        details["causes"] = json!([{"field": field, "message": why, "reason": reason}]);
        Failure { details, ..Failure::new(422, "Invalid", &message) }
    }

    /// A version that is no number; the API server takes it for its own fault.
    pub(super) fn bad_version(text: &str) -> Self {
        let why = format!("strconv.ParseUint: parsing \"{text}\": invalid syntax");
        Failure::new(500, "", &format!("resourceVersion: Invalid value: \"{text}\": {why}"))
    }

    /// A number that is none.
    pub(super) fn no_number(text: &str) -> Self {
        Failure::bad_request(format!("strconv.ParseInt: parsing \"{text}\": invalid syntax"))
    }

    pub(super) fn internal(message: &str) -> Self {
        Failure::new(500, "InternalError", message)
    }

    pub(super) fn no_such_path() -> Self {
        let message = "the server could not find the requested resource";
        Failure { details: json!({}), ..Failure::new(404, "NotFound", message) }
    }

    pub(super) fn not_found(resource: Resource, name: &str) -> Self {
        let (plural, group) = (resource.plural(), resource.group());
        let dot = if group.is_empty() { "" } else { "." };
        let message = format!("{plural}{dot}{group} \"{name}\" not found");
        let mut details = json!({"name": name, "kind": plural});
        if !group.is_empty() {
            details["group"] = group.into();
        }
        Failure { details, ..Failure::new(404, "NotFound", &message) }
    }

    pub(super) fn expired(asked: u64, oldest: u64) -> Self {
        Failure::new(410, "Expired", &format!("too old resource version: {asked} ({oldest})"))
    }

    pub(super) fn continue_expired() -> Self {
        Failure::new(
            410,
            "Expired",
            "The provided continue parameter is too old to display a consistent list result. You \
             can start a new list without the continue parameter.",
        )
    }

    fn forbidden(ask: &Ask) -> Self {
        let verb = match ask.kind {
            RequestKind::List => "list",
            RequestKind::Watch => "watch",
            RequestKind::TokenReview | RequestKind::AccessReview => "create",
            _ => "get",
        };
        let (resource, group) = match (ask.kind, ask.resource) {
            (RequestKind::TokenReview, _) => ("tokenreviews", "authentication.k8s.io"),
            (RequestKind::AccessReview, _) => ("subjectaccessreviews", "authorization.k8s.io"),
            (_, Some(resource)) => (resource.plural(), resource.group()),
            (_, None) => ("", ""),
        };
        let log = if ask.kind == RequestKind::Log { "/log" } else { "" };
        let subject = match &ask.name {
            Some(name) => format!("{resource} \"{name}\""),
            None if group.is_empty() => resource.to_owned(),
            None => format!("{resource}.{group}"),
        };
        let place = match &ask.namespace {
            Some(namespace) => format!("in the namespace \"{namespace}\""),
            None => "at the cluster scope".to_owned(),
        };
        let message = format!(
            "{subject} is forbidden: User \"system:serviceaccount:rollcast:rollcast\" cannot {verb} \
             resource \"{resource}{log}\" in API group \"{group}\" {place}"
        );
        let details = json!({"kind": resource, "group": group});
        Failure { details, ..Failure::new(403, "Forbidden", &message) }
    }

    /// The Status object.
    pub(super) fn status(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "code": self.code,
        });
        if !self.reason.is_empty() {
            status["reason"] = self.reason.into();
        }
        if !self.details.is_null() {
            status["details"] = self.details.clone();
        }
        status
    }

    pub(super) fn into_response(self) -> Response<Body> {
        let code = StatusCode::from_u16(self.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = json_response(code, &self.status());
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
