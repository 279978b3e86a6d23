//! Who somebody is and what they may do: the table behind TokenReview and SubjectAccessReview.

use std::collections::HashMap;

use serde_json::{Value, json};

/// The API server's own audience, for tokens that name none.
const OWN_AUDIENCE: &str = "https://kubernetes.default.svc.cluster.local";

/// Whom a token stands for.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// The user's name, such as `system:serviceaccount:ci:deployer`.
    pub user: String,
    /// Groups, beside `system:authenticated`, which everybody has.
    pub groups: Vec<String>,
    /// Whom the token is for; empty means the API server only.
    pub audiences: Vec<String>,
}

/// Whom a rule is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// One user.
    User(String),
    /// Everybody in a group.
    Group(String),
}

/// One right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Whose.
    pub subject: Subject,
    /// Verbs; `*` is any.
    pub verbs: Vec<String>,
    /// Resource with subresource, such as `pods/log`; `*` is any.
    pub resource: String,
    /// In which namespace; `None` is everywhere.
    pub namespace: Option<String>,
    /// For which object; `None` is any.
    pub name: Option<String>,
}

/// The table.
#[derive(Debug, Default)]
pub(super) struct Reviews {
    pub tokens: HashMap<String, Identity>,
    pub rules: Vec<Rule>,
}

// === impl Rule ===

impl Rule {
    /// The right to a verb on a resource in one namespace.
    pub fn new(subject: Subject, verb: &str, resource: &str, namespace: Option<&str>) -> Self {
        Rule {
            subject,
            verbs: vec![verb.to_owned()],
            resource: resource.to_owned(),
            namespace: namespace.map(str::to_owned),
            name: None,
        }
    }

    fn allows(&self, user: &str, groups: &[&str], asked: &Value) -> bool {
        let text = |key: &str| asked[key].as_str().unwrap_or_default();
        let whose = match &self.subject {
            Subject::User(name) => name == user,
            Subject::Group(name) => groups.contains(&name.as_str()),
        };
        let resource = match text("subresource") {
            "" => text("resource").to_owned(),
            sub => format!("{}/{sub}", text("resource")),
        };
        whose
            && self.verbs.iter().any(|verb| verb == "*" || verb == text("verb"))
            && (self.resource == "*" || self.resource == resource)
            && self.namespace.as_deref().is_none_or(|namespace| namespace == text("namespace"))
            && self.name.as_deref().is_none_or(|name| name == text("name"))
    }
}

// === impl Reviews ===

impl Reviews {
    /// Answers a TokenReview.
    pub(super) fn review_token(&self, request: &Value) -> Value {
        let spec = &request["spec"];
        let asked: Vec<&str> =
            spec["audiences"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let known = self.tokens.get(spec["token"].as_str().unwrap_or_default());
        let status = match known {
            // Who is not known is not called so: the field is left out.
            None => json!({"user": {}, "error": "[invalid bearer token]"}),
            Some(identity) => {
                let own = [OWN_AUDIENCE.to_owned()];
                let has =
                    if identity.audiences.is_empty() { &own[..] } else { &identity.audiences };
                let wanted = if asked.is_empty() { vec![OWN_AUDIENCE] } else { asked };
                let both: Vec<&str> = wanted
                    .into_iter()
                    .filter(|audience| has.iter().any(|one| one == audience))
                    .collect();
                if both.is_empty() {
                    json!({
                        "user": {},
                        "error": "[invalid bearer token, token audiences do not match]",
                    })
                } else {
                    let mut groups = identity.groups.clone();
                    groups.push("system:authenticated".to_owned());
                    json!({
                        "authenticated": true, "audiences": both,
                        "user": {
                            "username": identity.user, "uid": format!("uid:{}", identity.user),
                            "groups": groups,
                        },
                    })
                }
            }
        };
        json!({
            "kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "metadata": {},
            "spec": spec, "status": status,
        })
    }

    /// Answers a SubjectAccessReview.
    pub(super) fn review_access(&self, request: &Value) -> Value {
        let spec = &request["spec"];
        let user = spec["user"].as_str().unwrap_or_default();
        let groups: Vec<&str> =
            spec["groups"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let asked = &spec["resourceAttributes"];
        let allowed = self.rules.iter().any(|rule| rule.allows(user, &groups, asked));
        json!({
            "kind": "SubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "metadata": {},
            "spec": spec,
            "status": if allowed {
                json!({"allowed": true, "reason": "RBAC: allowed by the simulation's table"})
            } else {
                json!({"allowed": false})
            },
        })
    }
}
