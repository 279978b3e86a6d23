//! The controllers: each looks at one workload, compares what is with what was asked for, and takes
//! the next steps, as Kubernetes' own do.
//!
//! Invariants: a controller sees of pods only what the API shows ([`super::pod::Published`]); it is
//! run again after every change of a pod that it owns.

mod daemon_set;
mod deployment;
mod job;
mod rollout;
mod sets;
mod stateful_set;
mod template;

use std::sync::Arc;

use super::pod::{Owner, PodId};
use super::resource::Resource;
use super::spec::{Template, Workload};
use super::store::Name;
use super::world::{Action, World};

pub(super) use self::daemon_set::DaemonSets;
pub(super) use self::deployment::Deployments;
pub(super) use self::job::{CronJobs, Jobs};
pub(super) use self::rollout::Rollouts;
pub(super) use self::stateful_set::StatefulSets;

/// Pods of one owner, counted as the controllers do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    /// Neither ended nor being deleted.
    active: u32,
    ready: u32,
    available: u32,
    terminating: u32,
    /// When the next ready pod becomes available.
    next_available: Option<i64>,
}

// === impl World ===

impl World {
    /// Creates or changes a workload, as `kubectl apply` does.
    pub(super) fn apply(&mut self, workload: Workload) {
        match workload {
            Workload::Deployment(spec) => self.apply_deployment(spec),
            Workload::StatefulSet(spec) => self.apply_stateful_set(spec),
            Workload::DaemonSet(spec) => self.apply_daemon_set(spec),
            Workload::Job(spec) => self.apply_job(spec, None),
            Workload::CronJob(spec) => self.apply_cron_job(spec),
            Workload::Rollout(spec) => self.apply_rollout(spec),
            Workload::Pod(spec) => self.apply_pod(spec),
        }
    }

    /// Changes the template of a workload; tells whether there is one.
    pub(super) fn edit_template(
        &mut self,
        resource: Resource,
        name: &Name,
        edit: impl FnOnce(&mut Template),
    ) -> bool {
        let programs = self.programs.clone();
        let edit = |template: &mut Template| {
            edit(template);
            template::run_known(&programs, template);
        };
        match resource {
            Resource::Deployments => self.edit_deployment(name, |spec| edit(&mut spec.template)),
            Resource::StatefulSets => self.edit_stateful_set(name, |spec| edit(&mut spec.template)),
            Resource::DaemonSets => self.edit_daemon_set(name, |spec| edit(&mut spec.template)),
            Resource::Rollouts => self.edit_rollout(name, |spec| edit(&mut spec.template)),
            _ => false,
        }
    }

    /// Asks for so many pods; tells whether there is such a workload.
    pub(super) fn scale(&mut self, resource: Resource, name: &Name, replicas: u32) -> bool {
        match resource {
            Resource::Deployments => self.edit_deployment(name, |spec| spec.replicas = replicas),
            Resource::StatefulSets => self.edit_stateful_set(name, |spec| spec.replicas = replicas),
            Resource::Rollouts => self.edit_rollout(name, |spec| spec.replicas = replicas),
            _ => false,
        }
    }

    /// Deletes a workload and what it owns, in the background as `kubectl delete` does.
    pub(super) fn delete(&mut self, resource: Resource, name: &Name) -> bool {
        let owners = match resource {
            Resource::Deployments => self.forget_deployment(name),
            Resource::StatefulSets => self.forget_stateful_set(name),
            Resource::DaemonSets => self.forget_daemon_set(name),
            Resource::Jobs => self.forget_job(name),
            Resource::CronJobs => self.forget_cron_job(name),
            Resource::Rollouts => self.forget_rollout(name),
            _ => return false,
        };
        for uid in owners {
            for pod in self.pods_of(&uid) {
                self.delete_pod(pod, None);
            }
        }
        self.store.remove(resource, &name.0, &name.1)
    }

    /// A pod of this owner has changed.
    pub(super) fn owner_changed(&mut self, owner: &Owner, namespace: &Arc<str>) {
        match owner.kind {
            Resource::ReplicaSets => {
                // A ReplicaSet's name is its owner's with a hash that has no dash.
                let Some((above, _)) = owner.name.rsplit_once('-') else { return };
                let name: Name = (namespace.clone(), above.into());
                let kind = match self.rollouts.contains_key(&name) {
                    true => Resource::Rollouts,
                    false => Resource::Deployments,
                };
                self.reconcile_soon(kind, &name);
            }
            kind => self.reconcile_soon(kind, &(namespace.clone(), owner.name.clone())),
        }
    }

    /// All pods of an owner, oldest first.
    fn pods_of(&self, uid: &str) -> Vec<PodId> {
        self.owned.get(uid).into_iter().flatten().copied().collect()
    }

    fn counts(&self, uid: &str, min_ready_seconds: u32) -> Counts {
        let mut counts = Counts::default();
        for id in self.owned.get(uid).into_iter().flatten() {
            let Some(pod) = self.pods.get(id) else { continue };
            if pod.deletion.is_some() {
                counts.terminating += 1;
                continue;
            }
            if !pod.published.active() {
                continue;
            }
            counts.active += 1;
            let Some(since) = pod.published.ready_since else { continue };
            counts.ready += 1;
            let available = since + i64::from(min_ready_seconds) * crate::time::SECOND;
            if available <= self.now {
                counts.available += 1;
            } else {
                let next = counts.next_available.map_or(available, |next| next.min(available));
                counts.next_available = Some(next);
            }
        }
        counts
    }

    /// Looks again when the next pod becomes available.
    fn reconcile_when_available(&mut self, resource: Resource, name: &Name, counts: &Counts) {
        if let Some(at) = counts.next_available {
            self.plan_at(at, Action::Reconcile(resource, name.clone()));
        }
    }
}
