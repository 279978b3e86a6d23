use futures_util::FutureExt as _;
use http::StatusCode;

use super::*;
use crate::ids::Kind;
use crate::telemetry::Exposition;

fn limits(per_user: Option<usize>) -> (Limits, Exposition) {
    let (metrics, exposition) = Metrics::readable();
    (Limits::new(per_user, Arc::new(metrics)), exposition)
}

fn workload() -> Arc<WorkloadId> {
    Arc::new(WorkloadId::new("shop", Kind::Deployment, "web"))
}

fn enter(limits: &Limits, user: &str) -> Result<Place, Problem> {
    limits.enter(user, Some(&workload()), &Stall::default())
}

#[test]
fn a_user_at_the_limit_is_told_to_come_back_and_others_are_not_affected() {
    let (limits, exposition) = limits(Some(2));
    let first = enter(&limits, "ann").unwrap();
    let _second = enter(&limits, "ann").unwrap();
    let problem = enter(&limits, "ann").unwrap_err();
    assert_eq!(problem.kind().as_str(), "limited");
    assert!(problem.detail().contains("one user may have 2"), "{}", problem.detail());
    let answer = problem.into_response_for(None);
    assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(answer.headers().contains_key("retry-after"));
    let _other = enter(&limits, "bob").unwrap();
    drop(first);
    let _third = enter(&limits, "ann").unwrap();
    let series = "rollcast_limits_reached_total{limit=\"streams_per_user\"}";
    assert_eq!(exposition.value(series), Some(1.0));
}

#[test]
fn places_leave_nothing_behind() {
    let (limits, _) = limits(Some(5));
    let places: Vec<_> = (0..5).map(|_| enter(&limits, "ann").unwrap()).collect();
    assert_eq!(limits.open(), 5);
    drop(places);
    assert_eq!(limits.open(), 0);
    assert!(limits.inner.open.lock().users.is_empty());
}

#[test]
fn new_streams_are_refused_while_memory_is_short_and_open_ones_stay() {
    let (limits, exposition) = limits(None);
    let place = enter(&limits, "ann").unwrap();
    limits.set_pressure(Pressure::Tight);
    drop(enter(&limits, "ann").unwrap());
    limits.set_pressure(Pressure::Full);
    let problem = enter(&limits, "ann").unwrap_err();
    assert_eq!(problem.kind().as_str(), "limited");
    let answer = problem.into_response_for(None);
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers().contains_key("retry-after"));
    assert!(!place.leave().is_cancelled());
    limits.set_pressure(Pressure::Calm);
    drop(enter(&limits, "ann").unwrap());
    let series = "rollcast_limits_reached_total{limit=\"memory\"}";
    assert_eq!(exposition.value(series), Some(1.0));
}

#[tokio::test(start_paused = true)]
async fn those_furthest_behind_leave_first_and_who_does_not_is_cut() {
    let (limits, exposition) = limits(None);
    let places: Vec<_> = (0..40).map(|_| enter(&limits, "ann").unwrap()).collect();
    for (index, place) in places.iter().enumerate() {
        // The eighth and the ninth lag; all others are where the head is.
        place.at(if index == 8 || index == 9 { 10 } else { 100 });
    }
    let gone = |places: &[Place]| -> Vec<usize> {
        let gone = places.iter().enumerate().filter(|(_, place)| place.leave().is_cancelled());
        gone.map(|(index, _)| index).collect()
    };
    assert_eq!(limits.shed(|_| 100), 2);
    assert_eq!(gone(&places), [8, 9]);
    // Nobody lags any more among those that stay: the last that came.
    assert_eq!(limits.shed(|_| 100), 2);
    assert_eq!(gone(&places), [8, 9, 38, 39]);
    let cut = places[8].seat.stall.clone();
    assert!(cut.cut_asked().now_or_never().is_none(), "its goodbye has time");
    tokio::time::advance(GOODBYE).await;
    limits.shed(|_| 100);
    assert!(cut.cut_asked().now_or_never().is_some());
    assert!(!cut.is_set(), "it was cut, it did not stall");
    let series = "rollcast_limits_reached_total{limit=\"memory_shed\"}";
    assert_eq!(exposition.value(series), Some(6.0));
}

#[tokio::test(start_paused = true)]
async fn who_takes_nothing_is_cut_at_once() {
    let (limits, _) = limits(None);
    let (reads, stuck) = (Stall::default(), Stall::default());
    let places =
        [&reads, &stuck].map(|stall| limits.enter("ann", Some(&workload()), stall).unwrap());
    stuck.handed();
    tokio::time::advance(STUCK).await;
    limits.shed(|_| 0);
    limits.shed(|_| 0);
    assert!(places.iter().all(|place| place.leave().is_cancelled()));
    assert!(stuck.cut_asked().now_or_never().is_some());
    assert!(reads.cut_asked().now_or_never().is_none());
}
