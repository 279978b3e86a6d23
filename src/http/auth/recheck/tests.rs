use super::*;
use crate::http::auth::double::{Double, Script};
use crate::http::auth::{Gate, Reviewer};
use crate::telemetry::Metrics;

struct Scene {
    gate: Gate,
    double: Arc<Double>,
    stop: CancellationToken,
}

#[allow(clippy::disallowed_methods, reason = "the token ends the task")]
fn scene() -> Scene {
    let double = Arc::new(Double::with_people());
    let reviewer: Arc<dyn Reviewer> = Arc::clone(&double) as _;
    let metrics = Arc::new(Metrics::noop());
    let gate = Gate::tokens(reviewer, None, Duration::from_secs(30), metrics).unwrap();
    let stop = CancellationToken::new();
    let (rechecks, token) = (gate.rechecks().unwrap(), stop.clone());
    tokio::spawn(async move { rechecks.run(token).await });
    Scene { gate, double, stop }
}

impl Scene {
    async fn open(&self, token: &str) -> Standing {
        let value = format!("Bearer {token}").parse().unwrap();
        let headers = http::HeaderMap::from_iter([(http::header::AUTHORIZATION, value)]);
        let caller = self.gate.authenticate(&headers, None).await.unwrap();
        let proof = self.gate.authorize(&caller, "shop").await.unwrap();
        self.gate.watch(&proof)
    }

    fn change(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.double.0.lock());
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn rest(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn a_right_that_was_taken_away_ends_its_streams_within_thirty_seconds() {
    let scene = scene();
    // At any moment between two re-checks, and with slow answers.
    for (moment, takes) in [(0, 0), (1, 0), (7, 0), (19, 0), (20, 0), (33, 0), (5, 1900)] {
        *scene.double.0.lock() = std::mem::take(&mut *Double::with_people().0.lock());
        rest(60).await;
        let mut standing = scene.open("dev-token").await;
        rest(moment).await;
        scene.change(|script| {
            script.takes = Duration::from_millis(takes);
            script.rights.clear();
        });
        let taken = Instant::now();
        assert_eq!(standing.ended().await, End::Revoked);
        let took = taken.elapsed();
        assert!(took <= Duration::from_secs(30), "after {moment} s: {took:?}");
        assert_eq!(standing.end(), Some(End::Revoked));
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_no_longer_valid_ends_its_streams_as_expired() {
    let scene = scene();
    let mut standing = scene.open("dev-token").await;
    scene.change(|script| script.tokens.clear());
    let began = Instant::now();
    assert_eq!(standing.ended().await, End::Expired);
    assert!(began.elapsed() <= Duration::from_secs(30));
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_just_started_ends_nothing() {
    let scene = scene();
    let mut standing = scene.open("dev-token").await;
    rest(15).await;
    // It refuses everybody, and says that it is not ready.
    scene.change(|script| {
        script.tokens.clear();
        script.unready = true;
    });
    let early = tokio::time::timeout(Duration::from_secs(60), standing.ended()).await;
    assert!(early.is_err());
    scene.change(|script| *script = std::mem::take(&mut *Double::with_people().0.lock()));
    let later = tokio::time::timeout(Duration::from_secs(120), standing.ended()).await;
    assert!(later.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_is_not_repeated_ends_nothing() {
    let scene = scene();
    let mut standing = scene.open("dev-token").await;
    rest(19).await;
    scene.change(|script| script.rights.clear());
    rest(3).await;
    scene.change(|script| {
        script.rights.insert(("dev", Some("shop")));
    });
    let ended = tokio::time::timeout(Duration::from_secs(120), standing.ended()).await;
    assert!(ended.is_err());
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_is_away_ends_nothing_but_the_right_goes_stale() {
    let scene = scene();
    let mut standing = scene.open("dev-token").await;
    scene.change(|script| script.away = true);
    let ended = tokio::time::timeout(Duration::from_secs(90), standing.ended()).await;
    assert!(ended.is_err());
    assert!(standing.is_stale());
    scene.change(|script| script.away = false);
    rest(5).await;
    assert!(!standing.is_stale());
}

#[tokio::test(start_paused = true)]
async fn many_streams_of_one_caller_cost_one_recheck() {
    let scene = scene();
    let mut standings = Vec::new();
    for _ in 0..200 {
        standings.push(scene.open("dev-token").await);
    }
    scene.change(|script| script.access_reviews = 0);
    rest(100).await;
    let reviews = scene.double.0.lock().access_reviews;
    assert!((4..=6).contains(&reviews), "{reviews}");
    assert!(standings.iter().all(|standing| standing.end().is_none()));
}

#[tokio::test(start_paused = true)]
async fn a_right_that_nobody_rests_on_is_forgotten() {
    let scene = scene();
    drop(scene.open("dev-token").await);
    rest(30).await;
    assert!(scene.gate.rechecks().unwrap().inner.agenda.lock().rights.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_right_that_is_given_again_holds_for_new_streams() {
    let scene = scene();
    let mut first = scene.open("dev-token").await;
    scene.change(|script| script.rights.clear());
    first.ended().await;
    scene.change(|script| {
        script.rights.insert(("dev", Some("shop")));
    });
    rest(6).await;
    let mut second = scene.open("dev-token").await;
    assert!(tokio::time::timeout(Duration::from_secs(60), second.ended()).await.is_err());
    assert_eq!(first.end(), Some(End::Revoked));
}

#[tokio::test(start_paused = true)]
async fn one_callers_end_is_not_anothers() {
    let scene = scene();
    let (mut dev, mut ops) = (scene.open("dev-token").await, scene.open("ops-token").await);
    scene.change(|script| {
        script.rights.remove(&("dev", Some("shop")));
    });
    dev.ended().await;
    assert!(tokio::time::timeout(Duration::from_secs(60), ops.ended()).await.is_err());
}
