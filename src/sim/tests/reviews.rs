//! Tokens and rights.

use super::*;

#[tokio::test(start_paused = true)]
async fn reviews_follow_the_table_and_a_revoked_right_is_gone() {
    use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
    use k8s_openapi::api::authorization::v1 as authorization;
    use kube::api::PostParams;

    let sim = sim();
    sim.add_token(
        "t0ken",
        Identity {
            user: "alice".to_owned(),
            groups: vec!["devs".to_owned()],
            audiences: vec!["rollcast".to_owned()],
        },
    );
    let rule = Rule::new(Subject::Group("devs".to_owned()), "get", "pods/log", Some("shop"));
    sim.add_rule(rule.clone());
    let tokens: Api<TokenReview> = Api::all(sim.client());
    let review = async |token: &str, audiences: &[&str]| {
        let spec = TokenReviewSpec {
            token: token.to_owned(),
            audiences: Some(audiences.iter().map(|one| (*one).to_owned()).collect()),
        };
        let review = TokenReview { spec, ..TokenReview::default() };
        tokens.create(&PostParams::default(), &review).await.unwrap().status.unwrap()
    };
    let status = review("t0ken", &["rollcast"]).await;
    assert_eq!(status.authenticated, Some(true));
    assert_eq!(status.audiences, Some(vec!["rollcast".to_owned()]));
    let groups = status.user.unwrap().groups.unwrap();
    assert_eq!(groups, ["devs", "system:authenticated"]);
    assert_eq!(review("t0ken", &["other"]).await.authenticated, None);
    assert_eq!(review("wrong", &["rollcast"]).await.authenticated, None);

    let accesses: Api<authorization::SubjectAccessReview> = Api::all(sim.client());
    let allowed = async |namespace: &str| {
        let spec = authorization::SubjectAccessReviewSpec {
            user: Some("alice".to_owned()),
            groups: Some(groups.clone()),
            resource_attributes: Some(authorization::ResourceAttributes {
                namespace: Some(namespace.to_owned()),
                verb: Some("get".to_owned()),
                resource: Some("pods".to_owned()),
                subresource: Some("log".to_owned()),
                ..Default::default()
            }),
            ..Default::default()
        };
        let review = authorization::SubjectAccessReview { spec, ..Default::default() };
        accesses.create(&PostParams::default(), &review).await.unwrap().status.unwrap().allowed
    };
    assert!(allowed("shop").await && !allowed("data").await);
    sim.remove_rule(&rule);
    assert!(!allowed("shop").await);
}
