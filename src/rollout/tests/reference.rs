//! What a rollout may come to, worked out anew from whole histories of objects as the API shows them: every
//! second is looked at, nothing is remembered cleverly, and no code is shared with the model. The model sees
//! the same through watches that lag, repeat themselves and lose what lies between two lists, and must agree.

use std::collections::{BTreeMap, VecDeque};

use super::cluster::{Ask, Cluster, Fate, History, KINDS, NEVER};
use super::*;
use crate::ids::Outcome;
use crate::rollout::{Course, Graces};
use crate::watch::Resource;

/// Seconds without progress that a rollout may take.
pub(super) const DEADLINE: i64 = 150;
/// Longest lag of a watch, and longest time that one is broken.
const LAG: i64 = 3;
const BROKEN: i64 = 5;
/// What is decided may be seen so much later than it was true.
const LATE: i64 = LAG + BROKEN + 2;

/// How the window of one rollout ends, and in which second.
#[derive(Clone, Debug, PartialEq)]
struct End {
    at: i64,
    outcome: &'static str,
    codes: Vec<&'static str>,
}

fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or(0)
}

/// Seconds since the begin of the world.
fn second(value: &Value) -> Option<i64> {
    let (nanos, _) = crate::time::parse_stamp(value.as_str()?.as_bytes())?;
    Some((nanos - BEGIN) / SECOND)
}

fn workload(objects: &[Value]) -> Option<&Value> {
    let roots = ["Deployment", "StatefulSet", "DaemonSet", "Job"];
    objects.iter().find(|object| roots.contains(&object["kind"].as_str().unwrap()))
}

/// Pods that are to stay, with the image that is asked for or without it.
fn pods(objects: &[Value], new: bool) -> Vec<&Value> {
    let image = &workload(objects).unwrap()["spec"]["template"]["spec"]["containers"][0]["image"];
    objects
        .iter()
        .filter(|object| object["kind"] == "Pod")
        .filter(|pod| pod["metadata"].get("deletionTimestamp").is_none())
        .filter(|pod| (pod["spec"]["containers"][0]["image"] == *image) == new)
        .collect()
}

fn condition<'a>(object: &'a Value, kind: &str) -> &'a Value {
    let all = object["status"]["conditions"].as_array();
    all.and_then(|all| all.iter().find(|it| it["type"] == kind)).unwrap_or(&Value::Null)
}

/// Whether a pod was restarted too often, and not without fault, or is held back for it; not one that has
/// held since.
fn loops(pod: &&Value, now: i64) -> bool {
    let container = &pod["status"]["containerStatuses"][0];
    let started = second(&container["state"]["running"]["startedAt"]);
    let ready = condition(pod, "Ready")["status"] == "True";
    if ready && started.is_some_and(|started| started + 10 <= now) {
        return false;
    }
    // The attempt that runs has its chance.
    let most = if started.is_some() { 4 } else { 3 };
    let ended = &container["lastState"]["terminated"]["exitCode"];
    let held = container["state"]["waiting"]["reason"] == "CrashLoopBackOff";
    number(&container["restartCount"]) >= most && (held || number(ended) != 0)
}

/// What is wrong with a pod, and from which second on that is a failure.
fn wrong(objects: &[Value], pod: &Value, looping: bool) -> Option<(&'static str, i64)> {
    let created = second(&pod["metadata"]["creationTimestamp"])?;
    let scheduled = condition(pod, "PodScheduled");
    if scheduled["status"] == "False" {
        return Some(("unschedulable", created + 120));
    }
    let node = second(&scheduled["lastTransitionTime"])?;
    let container = &pod["status"]["containerStatuses"][0];
    let waits = &container["state"]["waiting"];
    let says = |words: &str| waits["message"].as_str().is_some_and(|it| it.contains(words));
    match waits["reason"].as_str() {
        Some("ErrImagePull") if says("not found") => return Some(("image_not_found", node)),
        Some("ErrImagePull") => return Some(("image_denied", node + 60)),
        Some("CreateContainerConfigError") => return Some(("config_missing", node + 30)),
        Some("ContainerCreating") => {
            let is = |it: &&Value| it["involvedObject"]["uid"] == pod["metadata"]["uid"];
            let said = second(&objects.iter().find(is)?["firstTimestamp"])?;
            return Some(("volume_failed", said + 60));
        }
        _ => {}
    }
    let due = if looping { 0 } else { NEVER };
    (waits["reason"] == "CrashLoopBackOff").then_some(("crash_loop", due))
}

/// Whether all that is asked for is there and has held.
fn done(objects: &[Value], now: i64) -> bool {
    let web = workload(objects).unwrap();
    if web["kind"] == "Job" {
        return condition(web, "Complete")["status"] == "True";
    }
    if web["spec"]["paused"] == true {
        return false;
    }
    let (status, wanted) = (&web["status"], number(&web["spec"]["replicas"]));
    let is = |names: &[&str]| names.iter().all(|name| number(&status[*name]) == wanted);
    let counted = match web["kind"].as_str().unwrap() {
        "DaemonSet" => is(&["updatedNumberScheduled", "numberAvailable"]),
        _ => is(&["updatedReplicas", "replicas", "availableReplicas"]),
    };
    let held = |pod: &&Value| {
        let container = &pod["status"]["containerStatuses"][0];
        let probed = pod["spec"]["containers"][0].get("readinessProbe").is_some();
        let doubtful = !probed || number(&container["restartCount"]) > 0;
        let started = second(&container["state"]["running"]["startedAt"]);
        !doubtful || started.is_some_and(|started| started + 10 <= now)
    };
    number(&status["observedGeneration"]) >= number(&web["metadata"]["generation"])
        && counted
        && pods(objects, true).iter().all(held)
}

/// How far it is: more is better.
fn progress(objects: &[Value]) -> [usize; 3] {
    let new = pods(objects, true);
    let ready = new.iter().filter(|pod| condition(pod, "Ready")["status"] == "True").count();
    [new.len(), ready, 1_000 - pods(objects, false).len()]
}

/// What the rollout that was asked for in one second has come to before another.
fn reference(history: &History, from: i64, until: i64) -> Option<End> {
    let (mut best, mut since) = ([0; 3], from);
    for now in from + 1..until {
        let objects = &history[usize::try_from(now).unwrap()];
        let web = workload(objects)?;
        let job = web["kind"] == "Job";
        // Somebody's wish: nothing is decided meanwhile, and the time does not count.
        if web["spec"]["paused"] == true {
            since = now;
            continue;
        }
        let end = |outcome, codes: Vec<_>| Some(End { at: now, outcome, codes });
        if done(objects, now) {
            return end("succeeded", Vec::new());
        }
        if condition(web, "Failed")["status"] == "True" {
            return end("failed", vec!["job_failed"]);
        }
        let new = pods(objects, true);
        let looping = !job && new.iter().any(|pod| loops(pod, now));
        let causes: Vec<_> =
            new.into_iter().filter_map(|pod| wrong(objects, pod, looping)).collect();
        if causes.iter().any(|(_, due)| *due <= now) {
            return end("failed", causes.iter().map(|(code, _)| *code).collect());
        }
        let is = progress(objects);
        if (0..3).any(|at| is[at] > best[at]) {
            (0..3).for_each(|at| best[at] = best[at].max(is[at]));
            since = now;
        }
        // What is complete and only has to hold is not late.
        let settling = done(objects, now + 10);
        if !job && !settling && now >= since + DEADLINE {
            return end("timed_out", Vec::new());
        }
    }
    None
}

// === the model behind bad watches ===

/// One write, as a watch tells of it.
enum Told {
    Applied(Value),
    Deleted(Value),
}

#[derive(Default)]
struct Watch {
    queue: VecDeque<(i64, Told)>,
    last: Option<Value>,
    broken: i64,
}

/// The model, what its watches have still to tell, and the results that it told.
struct Behind {
    stage: Stage,
    watches: BTreeMap<&'static str, Watch>,
    random: fastrand::Rng,
    results: Vec<Arc<crate::ids::RolloutResult>>,
}

const WATCHES: [(&str, Resource); 8] = [
    ("Deployment", Resource::Deployments),
    ("StatefulSet", Resource::StatefulSets),
    ("DaemonSet", Resource::DaemonSets),
    ("Job", Resource::Jobs),
    ("ReplicaSet", Resource::ReplicaSets),
    ("ControllerRevision", Resource::ControllerRevisions),
    ("Pod", Resource::Pods),
    ("Event", Resource::Events),
];

fn uid(object: &Value) -> &str {
    object["metadata"]["uid"].as_str().unwrap()
}

impl Behind {
    fn new(seed: u64, graces: Graces) -> Behind {
        let stage = Stage { world: World::new(), model: Model::with(graces) };
        let watches = WATCHES.map(|(kind, _)| (kind, Watch::default())).into();
        let random = fastrand::Rng::with_seed(seed ^ 0x5eed);
        Behind { stage, watches, random, results: Vec::new() }
    }

    /// The world takes a second for each step, which here none does.
    fn at(&mut self, now: i64) {
        self.stage.world.now = BEGIN + (now - 1) * SECOND;
    }

    fn tell(&mut self, told: &Told, now: i64) {
        self.at(now);
        let entries = match told {
            Told::Applied(value) => self.stage.apply(value),
            Told::Deleted(value) => self.stage.delete(value),
        };
        self.hear(entries);
    }

    fn hear(&mut self, entries: Vec<Entry>) {
        for entry in entries {
            if let Entry::Result(result) = entry {
                self.results.push(result);
            }
        }
        for decision in self.stage.model.decisions() {
            let result = Arc::new(decision.draft.clone());
            assert!(self.stage.model.seal(&decision, &result));
            self.results.push(result);
        }
    }

    /// A second passes in the API: what it changed is queued, and a part of what is queued is told.
    fn pass(&mut self, before: &[Value], objects: &[Value], now: i64) {
        // A name is free only when who had it is gone.
        for object in before.iter().filter(|it| !objects.iter().any(|is| uid(is) == uid(it))) {
            self.queue(object, Told::Deleted(object.clone()), now);
        }
        for object in objects {
            let known = before.iter().find(|it| uid(it) == uid(object));
            if known != Some(object) {
                self.queue(object, Told::Applied(object.clone()), now);
            }
        }
        let mut order = WATCHES;
        self.random.shuffle(&mut order);
        for (kind, resource) in order {
            self.deliver(kind, resource, objects, now);
        }
        self.at(now);
        let changes = self.stage.world.wait(1);
        let entries = self.stage.feed(&changes);
        self.hear(entries);
        let ticked = self.stage.model.tick(BEGIN + now * SECOND);
        self.hear(ticked.into_iter().map(|(_, entry)| entry).collect());
    }

    fn queue(&mut self, object: &Value, told: Told, now: i64) {
        let kind = object["kind"].as_str().unwrap();
        self.watches.get_mut(kind).unwrap().queue.push_back((now, told));
    }

    fn deliver(&mut self, kind: &'static str, resource: Resource, objects: &[Value], now: i64) {
        let watch = self.watches.get_mut(kind).unwrap();
        if watch.broken > 0 {
            watch.broken -= 1;
            if watch.broken > 0 {
                return;
            }
            // What it would have told of is lost; all that is there now is listed.
            watch.queue.clear();
            watch.last = None;
            let listed: Vec<_> = objects.iter().filter(|object| object["kind"] == kind).collect();
            for object in &listed {
                self.tell(&Told::Applied((*object).clone()), now);
            }
            let uids: Vec<&str> = listed.iter().map(|object| uid(object)).collect();
            self.at(now);
            let changes = self.stage.world.relist(resource, &uids);
            let entries = self.stage.feed(&changes);
            self.hear(entries);
            return;
        }
        if self.random.u8(0..60) == 0 {
            watch.broken = self.random.i64(1..=BROKEN);
            return;
        }
        let oldest = watch.queue.front().map_or(now, |(at, _)| *at);
        if self.random.u8(0..10) < 3 && now - oldest < LAG {
            return;
        }
        let news = std::mem::take(&mut watch.queue);
        let again = watch.last.take().filter(|_| self.random.u8(0..5) == 0);
        if let Some((_, Told::Applied(last))) = news.back() {
            watch.last = Some(last.clone());
        }
        // A repetition comes before what is newer.
        let still = again.filter(|last| objects.iter().any(|object| uid(object) == uid(last)));
        if let Some(last) = still {
            self.tell(&Told::Applied(last), now);
        }
        for (_, told) in &news {
            self.tell(told, now);
        }
    }
}

// === what is tried ===

/// What may be asked for. What passes does so long before its grace is over, or long after.
fn fate(random: &mut fastrand::Rng, job: bool) -> Fate {
    let mut until = |grace: i64| match random.u8(0..3) {
        0 => random.i64(2..=(grace - LATE - 4).min(60)),
        1 => grace + 40,
        _ => NEVER,
    };
    let ends = [until(60), until(30), until(120), until(60)];
    match random.u8(0..10) {
        0 => Fate::NoImage,
        1 => Fate::Denied { until: ends[0] },
        2 => Fate::NoConfig { until: ends[1] },
        3 => Fate::Nowhere { until: ends[2] },
        4 | 5 => Fate::Crashes { times: [1, 2, 8, NEVER][random.usize(0..4)] },
        6 => Fate::NoVolume { until: ends[3] },
        7 if !job => Fate::NeverReady,
        _ => Fate::Good,
    }
}

/// One that crashes is not ready before it does.
fn ask(random: &mut fastrand::Rng, at: i64, fate: Fate) -> Ask {
    let probe = (random.bool() || matches!(fate, Fate::NeverReady))
        .then(|| if matches!(fate, Fate::Crashes { .. }) { 3 } else { random.i64(1..15) });
    Ask { at, fate, probe, back: false, paused: None }
}

/// A pause that begins with a change or after it.
fn pause(random: &mut fastrand::Rng, at: i64) -> Option<(i64, i64)> {
    let from = at + [0, random.i64(2..40)][random.usize(0..2)];
    (random.u8(0..4) == 0).then(|| (from, from + random.i64(LATE + 2..120)))
}

/// The first is there from the beginning and good, but for a Job. The last may go back to it.
fn asks(random: &mut fastrand::Rng, kind: Kind) -> Vec<Ask> {
    let job = kind == Kind::Job;
    let begins = fate(random, job);
    let mut second = ask(random, BEGUN + 10, begins);
    if job {
        return vec![Ask { probe: None, ..second }];
    }
    if kind == Kind::Deployment {
        second.paused = pause(random, second.at);
    }
    let first = ask(random, 0, Fate::Good);
    let goes_on = fate(random, job);
    let at = second.at + random.i64(20..150);
    let mut third = ask(random, at, goes_on);
    if random.u8(0..3) == 0 {
        third = Ask { fate: first.fate, probe: first.probe, back: true, ..third };
    }
    if random.bool() { vec![first, second, third] } else { vec![first, second] }
}

/// From then on the model says results.
const BEGUN: i64 = 60;
const SECONDS: i64 = 520;

fn outcome(course: &Course) -> Option<(&'static str, Option<&'static str>, i64)> {
    let result = course.before.as_ref().or(course.result.as_ref())?;
    let at = (result.time - BEGIN) / SECOND;
    Some((result.outcome.as_str(), result.reason.map(Reason::as_str), at))
}

/// Plays one story, and gives what the model said that it must not.
fn check(kind: Kind, seed: u64, graces: Graces) -> Vec<String> {
    let mut random = fastrand::Rng::with_seed(seed ^ ((kind as u64) << 32));
    let asks = asks(&mut random, kind);
    let (replicas, limit) = (random.usize(1..=3), random.i64(0..=2));
    let history = Cluster::new(kind, replicas, asks.clone(), limit).history(SECONDS);
    let mut behind = Behind::new(seed, graces);
    let mut before: &[Value] = &[];
    for (now, objects) in (0..).zip(&history) {
        behind.pass(before, objects, now);
        if now == BEGUN {
            behind.at(now + 1);
            let entries = behind.stage.feed(&[Change::Synced]);
            behind.hear(entries);
        }
        before = objects;
    }
    let story = format!("seed {seed}, {kind} of {replicas}, {asks:?}");
    let mut courses = behind.stage.model.rollouts(&id(kind, "web"));
    courses.reverse();
    let mut wrong = Vec::new();
    if courses.len() != asks.len() {
        wrong.push(format!("{story}: {} rollouts", courses.len()));
    }
    let first = usize::from(kind != Kind::Job);
    let pause = asks.iter().find_map(|ask| ask.paused);
    for (at, course) in courses.iter().enumerate().skip(first) {
        let next = asks.get(at + 1).map(|ask| ask.at);
        let expected = reference(&history, asks[at].at, next.unwrap_or(SECONDS));
        let said = outcome(course);
        if let Some(why) = disagree(expected.as_ref(), said, next, &asks[at], pause) {
            wrong.push(format!("{story}\n rollout {at}: {why}: {expected:?}, told {said:?}"));
        }
        // What came good after all is said so.
        let last = next.unwrap_or(SECONDS) - 1;
        let good = |at: i64| done(&history[usize::try_from(at).unwrap()], at);
        if (last - LATE..=last).all(good) && !course.succeeded() {
            wrong.push(format!("{story}\n rollout {at} is good in the end, told {said:?}"));
        }
    }
    for result in &behind.results {
        if result.outcome != Outcome::Succeeded && result.message.is_empty() {
            wrong.push(format!("{story}\n nothing to say: {result:?}"));
        }
    }
    if behind.results.len() > asks.len() {
        wrong.push(format!("{story}\n told more than once: {:?}", behind.results));
    }
    wrong
}

/// Why what was told is not what may be told.
fn disagree(
    expected: Option<&End>,
    said: Option<(&'static str, Option<&'static str>, i64)>,
    next: Option<i64>,
    ask: &Ask,
    pause: Option<(i64, i64)>,
) -> Option<&'static str> {
    let until = next.unwrap_or(SECONDS);
    // What was decided before the pause was seen, and what was not decided any more.
    if let Some((from, _)) = pause {
        let shortly = |at: i64| (from..=from + LATE).contains(&at);
        if said.is_some_and(|(_, _, when)| shortly(when))
            || expected.is_some_and(|end| shortly(end.at + LATE))
        {
            return None;
        }
    }
    let Some(expected) = expected else {
        // What fell due just after the next began may have been said before that was seen.
        let before = said.is_some_and(|(_, _, when)| when >= until);
        let wanted = next.map(|_| "superseded");
        let agreed = before || said.map(|(outcome, _, _)| outcome) == wanted;
        return (!agreed).then_some("it has no end");
    };
    let Some((outcome, reason, when)) = said else {
        return (expected.at + LATE < until).then_some("nothing was told");
    };
    // It ended so shortly before the next began that it may not be seen.
    if outcome == "superseded" && expected.at + LATE >= until {
        return None;
    }
    if outcome != expected.outcome {
        return Some("another outcome");
    }
    // A probe is believed while nothing is known of a restart; and from which second on a rollout stood
    // still, a replica that sees it late knows from pods alone.
    let crashes = matches!(ask.fate, Fate::Crashes { .. }) && ask.probe.is_some();
    let early = match outcome {
        "succeeded" if crashes => 10,
        "timed_out" => 5,
        _ => 1,
    };
    if !(expected.at - early..=expected.at + LATE).contains(&when) {
        return Some("at another time");
    }
    let known = reason.is_some_and(|reason| expected.codes.contains(&reason));
    (outcome == "failed" && !known).then_some("another reason")
}

/// A story of all kinds costs a tenth of a second, and what is rare is in none of the first twenty.
fn seeds() -> u64 {
    let asked = std::env::var("ROLLCAST_TEST_SEEDS").ok().and_then(|text| text.parse().ok());
    asked.unwrap_or(0).max(100)
}

fn graces() -> Graces {
    Graces { readiness: DEADLINE * SECOND, ..Graces::default() }
}

/// Whatever the watches lose, repeat and bring in whatever order.
#[test]
fn the_model_and_the_reference_agree_on_random_rollouts() {
    let all = (0..seeds()).flat_map(|seed| KINDS.map(|kind| check(kind, seed, graces())));
    let wrong: Vec<String> = all.flatten().collect();
    assert!(wrong.is_empty(), "{}\n{} in all", wrong.join("\n"), wrong.len());
}

/// So that agreement means something: a model that is off by a little is caught.
#[test]
fn a_model_that_errs_is_caught() {
    let right = graces();
    for (what, wrong) in [
        ("settle", Graces { settle: 0, ..right }),
        ("config", Graces { config: 60 * SECOND, ..right }),
        ("pull", Graces { pull: 30 * SECOND, ..right }),
        ("unschedulable", Graces { unschedulable: 60 * SECOND, ..right }),
        ("readiness", Graces { readiness: 2 * DEADLINE * SECOND, ..right }),
        ("restarts", Graces { restarts: 5, ..right }),
    ] {
        let caught = |seed| KINDS.iter().any(|kind| !check(*kind, seed, wrong).is_empty());
        assert!((0..40).any(caught), "{what}");
    }
}

/// All ends occur.
#[test]
fn random_rollouts_end_in_every_way() {
    let mut ends: BTreeMap<&str, usize> = BTreeMap::new();
    for seed in 0..40 {
        for kind in KINDS {
            let mut random = fastrand::Rng::with_seed(seed ^ ((kind as u64) << 32));
            let asks = asks(&mut random, kind);
            let (replicas, limit) = (random.usize(1..=3), random.i64(0..=2));
            let last = asks.last().unwrap().at;
            let history = Cluster::new(kind, replicas, asks, limit).history(SECONDS);
            let end = reference(&history, last, SECONDS);
            let words = end.map_or(vec!["open"], |end| [&[end.outcome], &end.codes[..]].concat());
            words.into_iter().for_each(|word| *ends.entry(word).or_default() += 1);
        }
    }
    for word in [
        "succeeded",
        "failed",
        "timed_out",
        "image_not_found",
        "image_denied",
        "config_missing",
        "unschedulable",
        "volume_failed",
        "crash_loop",
        "job_failed",
    ] {
        assert!(ends.contains_key(word), "{word}: {ends:?}");
    }
}
