//! Who somebody is, and what they may do: TokenReview and SubjectAccessReview.

use std::collections::BTreeMap;

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, PostParams};

use super::{Cluster, Error};

/// An authenticated user, with everything that an access review needs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The user name, such as `system:serviceaccount:ci:deployer`.
    pub user: String,
    /// Its uid; may be empty.
    pub uid: String,
    /// Its groups.
    pub groups: Vec<String>,
    /// What the authenticator said besides; authorizers may depend on it, so all of it is passed on.
    pub extra: BTreeMap<String, Vec<String>>,
}

/// What somebody wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Access<'a> {
    /// `get`, `list`, `watch`.
    pub verb: &'a str,
    /// The API group; empty for core.
    pub group: &'a str,
    /// The resource in the plural.
    pub resource: &'a str,
    /// A subresource, such as `log`.
    pub subresource: Option<&'a str>,
    /// `None` is all namespaces.
    pub namespace: Option<&'a str>,
    /// `None` is all names.
    pub name: Option<&'a str>,
}

impl Cluster {
    /// Asks the API server whose token this is. `None` means that it is nobody's, or is not meant
    /// for us: with audiences given, the answer must name one of them (an answer that names none is
    /// a token for the API server alone).
    ///
    /// # Errors
    ///
    /// The review could not be made: the caller must refuse, with 503, never let pass.
    pub async fn review_token(
        &self,
        token: &str,
        audiences: &[String],
    ) -> Result<Option<Identity>, Error> {
        let review = TokenReview {
            metadata: ObjectMeta::default(),
            spec: TokenReviewSpec {
                token: token.to_owned(),
                audiences: (!audiences.is_empty()).then(|| audiences.to_vec()),
            },
            status: None,
        };
        let api: Api<TokenReview> = Api::all(self.shared.watch.clone());
        let params = PostParams::default();
        let request = api.create(&params, &review);
        let answer = self.asked("create tokenreviews.authentication.k8s.io", request).await?;
        Ok(answer.status.and_then(|status| identity(status, audiences)))
    }

    /// Asks the API server whether somebody may do something.
    ///
    /// # Errors
    ///
    /// The review could not be made: the caller must refuse, never let pass.
    pub async fn review_access(&self, who: &Identity, access: &Access<'_>) -> Result<bool, Error> {
        let owned = |word: &str| Some(word.to_owned());
        let review = SubjectAccessReview {
            metadata: ObjectMeta::default(),
            spec: SubjectAccessReviewSpec {
                user: owned(&who.user),
                uid: (!who.uid.is_empty()).then(|| who.uid.clone()),
                groups: Some(who.groups.clone()),
                extra: Some(who.extra.clone()),
                resource_attributes: Some(ResourceAttributes {
                    verb: owned(access.verb),
                    group: owned(access.group),
                    resource: owned(access.resource),
                    subresource: access.subresource.map(str::to_owned),
                    namespace: access.namespace.map(str::to_owned),
                    name: access.name.map(str::to_owned),
                    ..ResourceAttributes::default()
                }),
                non_resource_attributes: None,
            },
            status: None,
        };
        let api: Api<SubjectAccessReview> = Api::all(self.shared.watch.clone());
        let params = PostParams::default();
        let request = api.create(&params, &review);
        let answer =
            self.asked("create subjectaccessreviews.authorization.k8s.io", request).await?;
        // `denied` goes before `allowed`: an authorizer may veto what another one allows.
        let allowed = |status: k8s_openapi::api::authorization::v1::SubjectAccessReviewStatus| {
            status.allowed && status.denied != Some(true)
        };
        Ok(answer.status.is_some_and(allowed))
    }
}

/// Reads the answer to a token review.
fn identity(status: TokenReviewStatus, audiences: &[String]) -> Option<Identity> {
    if status.authenticated != Some(true) || status.error.is_some_and(|error| !error.is_empty()) {
        return None;
    }
    let granted = status.audiences.unwrap_or_default();
    let meant_for_us =
        audiences.is_empty() || audiences.iter().any(|audience| granted.contains(audience));
    if !meant_for_us {
        return None;
    }
    let user = status.user?;
    let name = user.username.filter(|name| !name.is_empty())?;
    Some(Identity {
        user: name,
        uid: user.uid.unwrap_or_default(),
        groups: user.groups.unwrap_or_default(),
        extra: user.extra.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::authentication::v1::UserInfo;

    use super::*;

    fn status(audiences: &[&str]) -> TokenReviewStatus {
        TokenReviewStatus {
            authenticated: Some(true),
            audiences: Some(audiences.iter().map(|word| word.to_string()).collect()),
            error: None,
            user: Some(UserInfo { username: Some("jane".to_owned()), ..UserInfo::default() }),
        }
    }

    #[test]
    fn a_token_for_another_audience_is_nobodys() {
        let ours = ["rollcast".to_owned()];
        assert!(identity(status(&["rollcast", "other"]), &ours).is_some());
        assert!(identity(status(&["other"]), &ours).is_none());
        assert!(identity(status(&[]), &ours).is_none(), "valid for the API server only");
        assert!(identity(status(&["https://kubernetes.default.svc"]), &[]).is_some());
    }

    #[test]
    fn what_is_not_authenticated_or_has_no_name_is_nobodys() {
        let refused = TokenReviewStatus { authenticated: Some(false), ..status(&["rollcast"]) };
        assert!(identity(refused, &[]).is_none());
        let nameless = TokenReviewStatus { user: Some(UserInfo::default()), ..status(&[]) };
        assert!(identity(nameless, &[]).is_none());
    }
}
