//! Which workload an object belongs to: the top-most owner that rollcast follows.

use std::sync::Arc;

use super::intern::Words;
use super::pod::{Owner, controller};
use crate::cluster::types;
use crate::ids::Kind;

/// What the direct controller of a pod says about its workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Belongs {
    /// To this workload of the pod's namespace.
    To(Kind, Arc<str>),
    /// To nothing that is followed: the pod stands for itself.
    Itself,
    /// Its controller is of a kind that is watched, but is not known yet.
    Unknown,
}

impl Owner {
    /// The controller of an object.
    pub(super) fn of(meta: &types::ObjectMeta, words: &mut Words) -> Option<Owner> {
        let owner = controller(meta)?;
        let group = owner.api_version.rsplit_once('/').map_or("", |(group, _)| group);
        Some(Owner {
            group: words.word(group),
            kind: words.word(&owner.kind),
            name: words.word(&owner.name),
            uid: words.word(&owner.uid),
        })
    }

    /// The workload that this owner is, if it is one.
    pub(super) fn workload(&self) -> Option<Kind> {
        match (&*self.group, &*self.kind) {
            ("apps", "Deployment") => Some(Kind::Deployment),
            ("apps", "StatefulSet") => Some(Kind::StatefulSet),
            ("apps", "DaemonSet") => Some(Kind::DaemonSet),
            ("batch", "Job") => Some(Kind::Job),
            ("batch", "CronJob") => Some(Kind::CronJob),
            ("argoproj.io", "Rollout") => Some(Kind::Rollout),
            _ => None,
        }
    }

    /// Whether it stands between pods and workloads: it may have an owner itself.
    pub(super) fn is_middle(&self) -> bool {
        matches!((&*self.group, &*self.kind), ("apps", "ReplicaSet") | ("batch", "Job"))
    }

    /// What follows for a pod with this controller. `above` looks the controller up: `None` if it is
    /// not known, else its own controller, if any.
    pub(super) fn belongs(&self, above: Option<Option<&Owner>>) -> Belongs {
        if !self.is_middle() {
            return match self.workload() {
                Some(kind) => Belongs::To(kind, Arc::clone(&self.name)),
                None => Belongs::Itself,
            };
        }
        let Some(above) = above else { return Belongs::Unknown };
        match above.and_then(|above| Some((above.workload()?, above))) {
            Some((kind, above)) => Belongs::To(kind, Arc::clone(&above.name)),
            None => self.alone(),
        }
    }

    /// What a controller is when nothing is known, or nothing stands, above it.
    pub(super) fn alone(&self) -> Belongs {
        match self.workload() {
            Some(kind) => Belongs::To(kind, Arc::clone(&self.name)),
            None => Belongs::Itself,
        }
    }
}

/// The controller of a pod.
pub(super) fn of_pod(pod: &types::Pod, words: &mut Words) -> Option<Owner> {
    Owner::of(&pod.metadata, words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(group: &str, kind: &str, name: &str) -> Owner {
        Owner { group: group.into(), kind: kind.into(), name: name.into(), uid: "u".into() }
    }

    #[test]
    fn the_top_most_owner_decides() {
        let set = owner("apps", "ReplicaSet", "web-6c9f");
        let deployment = owner("apps", "Deployment", "web");
        let to = |kind, name: &str| Belongs::To(kind, name.into());
        assert_eq!(set.belongs(Some(Some(&deployment))), to(Kind::Deployment, "web"));
        assert_eq!(set.belongs(Some(None)), Belongs::Itself, "a bare replica set");
        assert_eq!(set.belongs(None), Belongs::Unknown);
        let rollout = owner("argoproj.io", "Rollout", "web");
        assert_eq!(set.belongs(Some(Some(&rollout))), to(Kind::Rollout, "web"));
        let experiment = owner("argoproj.io", "Experiment", "web");
        assert_eq!(set.belongs(Some(Some(&experiment))), Belongs::Itself);

        let job = owner("batch", "Job", "backup-1");
        let cron = owner("batch", "CronJob", "backup");
        assert_eq!(job.belongs(Some(Some(&cron))), to(Kind::CronJob, "backup"));
        assert_eq!(job.belongs(Some(None)), to(Kind::Job, "backup-1"));
        let workflow = owner("argoproj.io", "Workflow", "x");
        assert_eq!(job.belongs(Some(Some(&workflow))), to(Kind::Job, "backup-1"));
        assert_eq!(owner("apps", "DaemonSet", "log").belongs(None), to(Kind::DaemonSet, "log"));
        assert_eq!(owner("", "Node", "n").belongs(None), Belongs::Itself);
        assert_eq!(owner("other.io", "StatefulSet", "db").belongs(None), Belongs::Itself);
    }
}
