//! The lines about one workload. Watches have no order among each other, so whom a pod or an event
//! concerns may be known only later: what may belong to the workload is kept, and looked through at the end.

use std::collections::HashSet;

use super::{BadLine, Received};
use crate::cluster::types::ObjectMeta;
use crate::ids::{Kind, WorkloadId};
use crate::watch::pod::controller;
use crate::watch::problem::Resource;
use crate::watch::tables::Object;

/// Uids of other workloads' objects that are remembered; without them more is kept for longer.
const FOREIGN: usize = 100_000;
/// Owners of owners: a CronJob's Job's pod.
const DEPTH: usize = 3;

/// What was received about one workload, as lines.
pub struct Gathered {
    workload: WorkloadId,
    lines: Vec<(Option<Mark>, String)>,
    bytes: usize,
    /// What certainly belongs to others.
    foreign: HashSet<String>,
}

/// What is known of a line's object.
#[derive(Debug)]
struct Mark {
    watch: Resource,
    name: String,
    uid: String,
    /// What controls it, or what an event is about.
    of: Option<Named>,
}

#[derive(Debug)]
struct Named {
    kind: String,
    name: String,
    uid: String,
}

// === impl Gathered ===

impl Gathered {
    /// Bytes of lines that are kept; a rollout of a thousand pods takes a tenth of it.
    pub const MOST_BYTES: usize = 128 << 20;

    /// Nothing yet.
    pub fn new(workload: WorkloadId) -> Gathered {
        Gathered { workload, lines: Vec::new(), bytes: 0, foreign: HashSet::new() }
    }

    /// Whether it holds as much as it may.
    pub fn is_full(&self) -> bool {
        self.bytes >= Gathered::MOST_BYTES
    }

    /// Keeps what was received, unless it is certainly about something else.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn take(&mut self, received: &Received) -> Result<(), BadLine> {
        let mark = received.object().map(|object| Mark::new(received.watch, object));
        if let Some(mark) = &mark
            && self.is_foreign(mark)
        {
            if self.foreign.len() < FOREIGN && mark.watch != Resource::Events {
                self.foreign.insert(mark.uid.clone());
            }
            return Ok(());
        }
        if self.is_full() {
            return Ok(());
        }
        let line = received.write()?;
        self.bytes += line.len() + size_of::<(Option<Mark>, String)>();
        self.lines.push((mark, line));
        Ok(())
    }

    /// The lines about the workload and what belongs to it, and those about no object.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        let ours = self.ours();
        let wanted =
            move |mark: &Option<Mark>| mark.as_ref().is_none_or(|mark| self.concerns(mark, &ours));
        self.lines.iter().filter(move |(mark, _)| wanted(mark)).map(|(_, line)| &**line)
    }

    fn is_foreign(&self, mark: &Mark) -> bool {
        if self.is_it(mark) {
            return false;
        }
        let Some(of) = &mark.of else { return true };
        let is = |kind: &str| of.kind.eq_ignore_ascii_case(kind);
        if is(self.workload.kind.as_str()) {
            return *of.name != *self.workload.name;
        }
        let leads = match self.workload.kind {
            Kind::Deployment | Kind::Rollout => is("ReplicaSet"),
            Kind::CronJob => is("Job"),
            _ => false,
        };
        let event = mark.watch == Resource::Events && (leads || is("Pod"));
        !(leads || event) || self.foreign.contains(&of.uid)
    }

    /// Whether it is the workload itself.
    fn is_it(&self, mark: &Mark) -> bool {
        let kind = match mark.watch {
            Resource::Deployments => Kind::Deployment,
            Resource::StatefulSets => Kind::StatefulSet,
            Resource::DaemonSets => Kind::DaemonSet,
            Resource::CronJobs => Kind::CronJob,
            Resource::Rollouts => Kind::Rollout,
            Resource::Jobs => Kind::Job,
            Resource::Pods => Kind::Pod,
            Resource::ReplicaSets | Resource::ControllerRevisions | Resource::Events => {
                return false;
            }
        };
        kind == self.workload.kind && *mark.name == *self.workload.name
    }

    fn concerns(&self, mark: &Mark, ours: &HashSet<&str>) -> bool {
        self.is_it(mark)
            || mark.of.as_ref().is_some_and(|of| {
                let same = of.kind.eq_ignore_ascii_case(self.workload.kind.as_str())
                    && *of.name == *self.workload.name;
                same || ours.contains(&*of.uid)
            })
    }

    /// Uids of the workload and all that belongs to it.
    fn ours(&self) -> HashSet<&str> {
        let mut ours = HashSet::new();
        for _ in 0..DEPTH {
            let marks = self.lines.iter().filter_map(|(mark, _)| mark.as_ref());
            for mark in marks.filter(|mark| mark.watch != Resource::Events) {
                if self.concerns(mark, &ours) {
                    ours.insert(&*mark.uid);
                }
            }
        }
        ours
    }
}

// === impl Mark ===

impl Mark {
    fn new(watch: Resource, object: &Object) -> Mark {
        let owned = |meta: &ObjectMeta| {
            let of = controller(meta).map(|owner| Named {
                kind: owner.kind.clone(),
                name: owner.name.clone(),
                uid: owner.uid.clone(),
            });
            (meta.name.clone(), of)
        };
        let (name, of) = match object {
            Object::Pod(object) => owned(&object.metadata),
            Object::Deployment(object) => owned(&object.metadata),
            Object::ReplicaSet(object) => owned(&object.metadata),
            Object::StatefulSet(object) => owned(&object.metadata),
            Object::DaemonSet(object) => owned(&object.metadata),
            Object::Job(object) => owned(&object.metadata),
            Object::CronJob(object) => owned(&object.metadata),
            Object::Rollout(object) => owned(&object.metadata),
            Object::ControllerRevision(object) => owned(&object.metadata),
            Object::Event(object) => {
                let about = object.involved_object.clone();
                let of = Named {
                    kind: about.kind.unwrap_or_default(),
                    name: about.name.unwrap_or_default(),
                    uid: about.uid.unwrap_or_default(),
                };
                (object.metadata.name.clone(), Some(of))
            }
        };
        let uid = object.uid().unwrap_or_default().into_owned();
        Mark { watch, name: name.unwrap_or_default(), uid, of }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn received(watch: &str, name: &str, owner: Option<(&str, &str)>) -> Received {
        let mut meta = json!({"namespace": "shop", "name": name, "uid": format!("uid-{name}")});
        if let Some((kind, name)) = owner {
            let uid = format!("uid-{name}");
            meta["ownerReferences"] = json!([{"apiVersion": "v1", "kind": kind, "name": name, "uid": uid, "controller": true}]);
        }
        of(watch, &json!({"metadata": meta}))
    }

    fn of(watch: &str, object: &Value) -> Received {
        let line = json!({"at": "2026-11-22T14:02:38Z", "watch": watch, "step": "applied", "object": object});
        Received::read(&line.to_string()).unwrap()
    }

    fn event(kind: &str, name: &str) -> Received {
        let about = json!({"kind": kind, "name": name, "uid": format!("uid-{name}")});
        of("events", &json!({"metadata": {"name": "e", "uid": "e"}, "involvedObject": about}))
    }

    /// Names of the objects whose lines are kept in the end, in the order in which they came.
    fn kept(kind: Kind, all: &[Received]) -> Vec<String> {
        let mut gathered = Gathered::new(WorkloadId::new("shop", kind, "web"));
        all.iter().for_each(|received| gathered.take(received).unwrap());
        let name = |line: &str| {
            let line: Value = serde_json::from_str(line).unwrap();
            let about = &line["object"]["involvedObject"]["name"];
            let name = if about.is_null() { &line["object"]["metadata"]["name"] } else { about };
            name.as_str().unwrap().to_owned()
        };
        gathered.lines().map(name).collect()
    }

    #[test]
    fn what_belongs_to_the_workload_is_kept_whatever_comes_first() {
        let replica_set =
            |name, owner| received("replicasets.apps", name, Some(("Deployment", owner)));
        let pod = |name, owner| received("pods", name, Some(("ReplicaSet", owner)));
        let all = [
            event("Pod", "web-a-1"),
            event("Pod", "wet-a-1"),
            pod("web-a-1", "web-a"),
            pod("wet-a-1", "wet-a"),
            replica_set("web-a", "web"),
            replica_set("wet-a", "wet"),
            pod("wet-a-2", "wet-a"),
            received("deployments.apps", "web", None),
            received("deployments.apps", "wet", None),
            received("statefulsets.apps", "web", None),
            received("pods", "web", None),
            event("ReplicaSet", "web-a"),
            event("Deployment", "web"),
            event("StatefulSet", "web"),
        ];
        let wanted = ["web-a-1", "web-a-1", "web-a", "web", "web-a", "web"];
        assert_eq!(kept(Kind::Deployment, &all), wanted);
    }

    #[test]
    fn jobs_of_a_cron_job_and_their_pods_are_kept() {
        let all = [
            received("pods", "web-1-x", Some(("Job", "web-1"))),
            received("pods", "other-x", Some(("Job", "other"))),
            received("jobs.batch", "web-1", Some(("CronJob", "web"))),
            received("jobs.batch", "other", None),
            received("cronjobs.batch", "web", None),
            event("Job", "web-1"),
        ];
        assert_eq!(kept(Kind::CronJob, &all), ["web-1-x", "web-1", "web", "web-1"]);
        let job = [
            received("jobs.batch", "web", None),
            received("pods", "web-x", Some(("Job", "web"))),
            event("Pod", "web-x"),
        ];
        assert_eq!(kept(Kind::Job, &job), ["web", "web-x", "web-x"]);
        assert_eq!(
            kept(Kind::Pod, &[received("pods", "web", None), event("Pod", "web")]),
            ["web", "web"]
        );
    }
}
