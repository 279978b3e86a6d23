//! What goes wrong, and when: rules that match requests and spoil their answers.
//!
//! Invariants: a rule is asked in the order in which rules were added, the first that matches acts;
//! probability comes from the simulation's seed.

use std::time::Duration;

use tokio::time::Instant;

use super::resource::Resource;

/// What kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RequestKind {
    /// A list of objects.
    List,
    /// A watch.
    Watch,
    /// One object.
    Get,
    /// A log, followed or not.
    Log,
    /// A TokenReview.
    TokenReview,
    /// A SubjectAccessReview.
    AccessReview,
    /// Which kinds a group has.
    Discovery,
    /// `/version`, `/readyz` and the like.
    Other,
}

/// What a request asks for, as faults and counters see it.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Its kind.
    pub kind: RequestKind,
    /// The objects it is about; logs are about pods.
    pub resource: Option<Resource>,
    /// The namespace, if it names one.
    pub namespace: Option<String>,
    /// The object, if it names one.
    pub name: Option<String>,
    /// A log's container, if it names one.
    pub container: Option<String>,
    /// The node of a log's pod, once it has one.
    pub node: Option<String>,
    /// A log that stays open.
    pub follow: bool,
}

/// Which requests a fault is for; what is `None` matches any.
#[derive(Clone, Debug, Default)]
pub struct Match {
    /// Only this kind.
    pub kind: Option<RequestKind>,
    /// Only about these objects.
    pub resource: Option<Resource>,
    /// Only in this namespace.
    pub namespace: Option<String>,
    /// Only for objects whose name begins so.
    pub name: Option<String>,
    /// Only for this container.
    pub container: Option<String>,
    /// Only for logs of pods on this node.
    pub node: Option<String>,
    /// Only follows, or only other reads.
    pub follow: Option<bool>,
}

/// What is done to an answer.
#[derive(Clone, Debug)]
pub enum Effect {
    /// The connection breaks after so many bytes of the body.
    Cut(u64),
    /// The body ends cleanly after so many bytes, wherever that is.
    End(u64),
    /// Nothing more comes after so many bytes; the connection stays.
    Hang(u64),
    /// Nothing comes for this time from the beginning on, then everything that was held up.
    Stall(Duration),
    /// After so many bytes this text comes, then the clean end: how the kubelet tells its errors.
    InBand(u64, String),
    /// So many bytes at a time, with a pause before each.
    Drip(usize, Duration),
    /// The answer begins only after this time.
    Delay(Duration),
    /// `429 Too Many Requests` with `Retry-After` in seconds.
    TooMany(u32),
    /// A server error with a Status object: 500, 502, 503, 504 and the like.
    Status(u16, String),
    /// `403 Forbidden`, as for an account without rights.
    Forbidden,
    /// A watch's version is too old: `410 Gone` as status, or inline after the headers.
    Expired {
        /// As an `ERROR` event in a `200` answer.
        inline: bool,
    },
}

/// A fault.
#[derive(Clone, Debug)]
pub struct Fault {
    /// For which requests.
    pub on: Match,
    /// What it does.
    pub effect: Effect,
    /// Matching requests that pass before it acts.
    pub after: u64,
    /// How often it acts; `None` is always.
    pub times: Option<u64>,
    /// How long it stands; `None` is until it is removed.
    pub lasts: Option<Duration>,
    /// How likely it acts on a matching request, 0 to 1.
    pub probability: f64,
}

/// Names a fault, to remove it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultId(u64);

/// All faults that stand.
#[derive(Debug)]
pub(super) struct Faults {
    standing: Vec<(FaultId, Fault, Option<Instant>)>,
    next: u64,
    rng: fastrand::Rng,
    /// Until then every connection is refused.
    pub refused_until: Option<Instant>,
}

// === impl Fault ===

impl Fault {
    /// A fault that acts always.
    pub fn new(on: Match, effect: Effect) -> Self {
        Fault { on, effect, after: 0, times: None, lasts: None, probability: 1.0 }
    }

    /// It acts so often only.
    #[must_use]
    pub fn times(self, times: u64) -> Self {
        Fault { times: Some(times), ..self }
    }

    /// It stands for this time only.
    #[must_use]
    pub fn lasts(self, time: Duration) -> Self {
        Fault { lasts: Some(time), ..self }
    }

    /// It lets so many matching requests pass first.
    #[must_use]
    pub fn after(self, requests: u64) -> Self {
        Fault { after: requests, ..self }
    }

    /// It acts by chance.
    #[must_use]
    pub fn probability(self, probability: f64) -> Self {
        Fault { probability, ..self }
    }
}

// === impl Match ===

impl Match {
    /// Every request.
    pub fn any() -> Self {
        Match::default()
    }

    /// Every request of a kind.
    pub fn kind(kind: RequestKind) -> Self {
        Match { kind: Some(kind), ..Match::default() }
    }

    /// Followed logs of pods whose name begins so; an empty name is all.
    pub fn follow(pod: &str) -> Self {
        let name = Some(pod.to_owned());
        Match { kind: Some(RequestKind::Log), follow: Some(true), name, ..Match::default() }
    }

    /// Lists of these objects.
    pub fn list(resource: Resource) -> Self {
        Match { resource: Some(resource), ..Match::kind(RequestKind::List) }
    }

    /// Watches of these objects.
    pub fn watch(resource: Resource) -> Self {
        Match { resource: Some(resource), ..Match::kind(RequestKind::Watch) }
    }

    pub(super) fn matches(&self, ask: &Ask) -> bool {
        fn same<T: PartialEq>(wanted: &Option<T>, is: &Option<T>) -> bool {
            wanted.is_none() || wanted == is
        }
        let begins =
            |wanted: &str| ask.name.as_deref().is_some_and(|name| name.starts_with(wanted));
        self.kind.is_none_or(|kind| kind == ask.kind)
            && same(&self.resource, &ask.resource)
            && same(&self.namespace, &ask.namespace)
            && self.name.as_deref().is_none_or(begins)
            && same(&self.container, &ask.container)
            && same(&self.node, &ask.node)
            && self.follow.is_none_or(|follow| follow == ask.follow)
    }
}

// === impl Faults ===

impl Faults {
    pub(super) fn new(seed: u64) -> Self {
        // A stream of its own, so that a fault more does not change what the pods do.
        let rng = fastrand::Rng::with_seed(seed ^ 0x6661_756c_7473);
        Faults { standing: Vec::new(), next: 0, rng, refused_until: None }
    }

    pub(super) fn add(&mut self, fault: Fault) -> FaultId {
        self.next += 1;
        let until = fault.lasts.map(|time| Instant::now() + time);
        self.standing.push((FaultId(self.next), fault, until));
        FaultId(self.next)
    }

    pub(super) fn remove(&mut self, id: FaultId) {
        self.standing.retain(|(one, ..)| *one != id);
    }

    pub(super) fn clear(&mut self) {
        self.standing.clear();
        self.refused_until = None;
    }

    /// A seed for what happens by chance within one answer.
    pub(super) fn seed(&mut self) -> u64 {
        self.rng.u64(..)
    }

    /// What is done to this request's answer, if anything.
    pub(super) fn decide(&mut self, ask: &Ask) -> Option<Effect> {
        let now = Instant::now();
        self.standing.retain(|(_, fault, until)| {
            fault.times != Some(0) && until.is_none_or(|until| until > now)
        });
        for (_, fault, _) in &mut self.standing {
            if !fault.on.matches(ask) {
                continue;
            }
            if fault.after > 0 {
                fault.after -= 1;
                continue;
            }
            if fault.probability < 1.0 && self.rng.f64() >= fault.probability {
                continue;
            }
            if let Some(times) = &mut fault.times {
                *times -= 1;
            }
            return Some(fault.effect.clone());
        }
        None
    }

    pub(super) fn refuses(&self) -> bool {
        self.refused_until.is_some_and(|until| until > Instant::now())
    }
}
