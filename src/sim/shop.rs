//! The demo's shop: workloads that roll out, crash, recover and log all day.
//!
//! | workload | what it shows |
//! | --- | --- |
//! | `shop/web` | a healthy rollout, again and again |
//! | `shop/payments` | a new image that does not exist, then a rollback; old pods keep serving |
//! | `shop/checkout` | a crash loop with a stack trace, then the fix |
//! | `shop/search` | readiness that flaps, with a sidecar |
//! | `shop/catalog` | colours and JSON lines |
//! | `edge/gateway` | very many lines |
//! | `data/index`, `edge/node-agent`, `data/nightly-report` | the other kinds |
//!
//! Invariants: every Deployment has logged when the shop opens, and goes on within 3 s; at any moment
//! at least two Deployments have a finished rollout; every cycle is shorter than a minute.

mod lines;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::spec::{
    Container, CronJob, DaemonSet, Deployment, Exit, Make, Output, Program, Pull, Ready,
    StatefulSet, Template,
};
use super::store::Name;
use super::world::World;
use super::{Resource, Sim, SimOptions};
use crate::ids::ContainerKind;

/// One round of `web`: a rollout takes about a third of it.
const WEB_CYCLE: Duration = Duration::from_secs(45);
/// One round of `payments`: broken for most of it.
const PAYMENTS_CYCLE: Duration = Duration::from_secs(55);
/// One round of `checkout`.
const CHECKOUT_CYCLE: Duration = Duration::from_secs(58);
/// One round of the stateful `index` and the `node-agent`.
const OTHERS_CYCLE: Duration = Duration::from_secs(50);
/// Versions before a workload begins again with its first; more than the history of ReplicaSets, so
/// that each is a new revision, and few enough that a node's images stay few.
const VERSIONS: u64 = 40;

/// How long the shop has been open when somebody comes: its first rollouts are finished.
const OPEN_SINCE: Duration = Duration::from_secs(20);

/// Options for a cluster that shows much in little time, and whose time is `now` (nanoseconds) when
/// [`open`] returns. Seed and tasks are the caller's to set.
pub fn options(now: i64) -> SimOptions {
    SimOptions {
        start_time: now - OPEN_SINCE.as_nanos() as i64,
        backoff_base: Duration::from_secs(2),
        backoff_cap: Duration::from_secs(8),
        ..SimOptions::default()
    }
}

/// Opens the shop: applies its workloads, plans their day, and lives through its first seconds.
pub fn open(sim: &Sim) {
    for workload in [web(0), payments(), checkout(), search(), catalog(), gateway()] {
        sim.apply(workload);
    }
    sim.apply(index());
    sim.apply(node_agent());
    sim.apply(nightly_report());
    sim.script(Duration::from_secs(15), rounds(WEB_CYCLE, roll_web));
    sim.script(Duration::from_secs(8), rounds(PAYMENTS_CYCLE / 2, break_or_mend_payments));
    sim.script(Duration::from_secs(5), rounds(CHECKOUT_CYCLE / 2, break_or_mend_checkout));
    sim.script(Duration::from_secs(25), rounds(OTHERS_CYCLE, roll_others));
    sim.fast_forward(OPEN_SINCE);
}

/// A script that does its next step at a steady pace.
fn rounds(
    every: Duration,
    step: fn(&mut World, u64),
) -> impl FnMut(&mut World) -> Option<Duration> + Send {
    let mut number = 0;
    move |world| {
        number += 1;
        step(world, number);
        Some(every)
    }
}

fn roll_web(world: &mut World, number: u64) {
    world.edit_deployment(&name("shop", "web"), |spec| *spec = web(number));
}

fn break_or_mend_payments(world: &mut World, number: u64) {
    let bad = number % 2 == 1;
    let (image, cause) = if bad {
        let message = "rpc error: code = NotFound desc = failed to pull and unpack image \
                       \"registry.example.org/shop/payments:2.5.0-rc1\": not found";
        let program = Program { pull: Pull::Fails { message: message.to_owned() }, ..idle() };
        world.programs.insert(PAYMENTS_BAD.to_owned(), Arc::new(program));
        (PAYMENTS_BAD, "release 2.5.0-rc1")
    } else {
        (PAYMENTS_GOOD, "roll back to 2.4.3")
    };
    set_image(world, &name("shop", "payments"), image, cause);
}

fn break_or_mend_checkout(world: &mut World, number: u64) {
    let round = number / 2 % VERSIONS;
    if number % 2 == 1 {
        let image = format!("registry.example.org/shop/checkout:3.{round}.0");
        let program = Program {
            // It dies before its probe can pass.
            ready: Ready::After(Duration::from_secs(4)),
            exit: Exit::After(Duration::from_millis(2_100), 1),
            output: vec![Output::Script(lines::checkout_crash(&format!("3.{round}.0")))],
            ..idle()
        };
        world.programs.insert(image.clone(), Arc::new(program));
        set_image(world, &name("shop", "checkout"), &image, "charge in the customer's currency");
    } else {
        let image = format!("registry.example.org/shop/checkout:3.{round}.1");
        world.programs.insert(image.clone(), Arc::new(checkout_program()));
        set_image(world, &name("shop", "checkout"), &image, "mount the secret that 3.x needs");
    }
}

fn roll_others(world: &mut World, number: u64) {
    let round = number % VERSIONS;
    let image = |name: &str| format!("registry.example.org/shop/{name}:0.14.{round}");
    let set = |template: &mut Template, image: String| template.containers[0].image = image;
    if number % 2 == 1 {
        let name = name("data", "index");
        world.edit_template(Resource::StatefulSets, &name, |it| set(it, image("index")));
    } else {
        let name = name("edge", "node-agent");
        world.edit_template(Resource::DaemonSets, &name, |it| set(it, image("node-agent")));
    }
}

fn set_image(world: &mut World, name: &Name, image: &str, cause: &str) {
    let cause = BTreeMap::from([(CHANGE_CAUSE.to_owned(), cause.to_owned())]);
    world.edit_template(Resource::Deployments, name, |template| {
        template.containers[0].image = image.to_owned();
    });
    world.edit_deployment(name, |spec| spec.annotations = cause);
}

/// kubectl's annotation for why a revision is there.
const CHANGE_CAUSE: &str = "kubernetes.io/change-cause";
const PAYMENTS_GOOD: &str = "registry.example.org/shop/payments:2.4.3";
const PAYMENTS_BAD: &str = "registry.example.org/shop/payments:2.5.0-rc1";

fn name(namespace: &str, name: &str) -> Name {
    (namespace.into(), name.into())
}

/// Starts fast, so that the shop is open soon.
fn idle() -> Program {
    Program {
        pull: Pull::Arrives(Duration::from_millis(250)),
        start_after: Duration::from_millis(150),
        stop_after: Duration::from_millis(400),
        farewell: Some("received SIGTERM, closing connections".to_owned()),
        ..Program::default()
    }
}

fn program(ready_ms: u64, rate: f64, make: Make) -> Program {
    Program {
        ready: Ready::After(Duration::from_millis(ready_ms)),
        output: vec![Output::Made { rate, lines: None, make }],
        ..idle()
    }
}

fn deployment(
    (namespace, name): (&str, &str),
    replicas: u32,
    image: &str,
    cause: &str,
    app: Program,
) -> Deployment {
    let mut template = Template::new([Container::new("app", image, app)]);
    template.labels.insert("team".to_owned(), format!("team-{namespace}"));
    let annotations = BTreeMap::from([(CHANGE_CAUSE.to_owned(), cause.to_owned())]);
    Deployment { annotations, ..Deployment::new(namespace, name, replicas, template) }
}

fn web(number: u64) -> Deployment {
    let version = format!("1.9.{}", number % VERSIONS);
    let image = format!("registry.example.org/shop/web:{version}");
    let cause = lines::WEB_CHANGES[number as usize % lines::WEB_CHANGES.len()];
    let mut app = program(2_500, 12.0, lines::web());
    app.output.push(Output::Script(lines::web_start(&version)));
    let mut spec = deployment(("shop", "web"), 4, &image, cause, app);
    if number > 0 {
        // The first pods have nothing to wait for: the shop is to open soon.
        let migrate = Program {
            output: vec![Output::Script(lines::migrate())],
            exit: Exit::After(Duration::from_millis(1_500), 0),
            ..idle()
        };
        let init = Container::new("migrate", &image, migrate).of_kind(ContainerKind::Init);
        spec.template.containers.push(init);
    }
    spec
}

fn payments() -> Deployment {
    let app = program(800, 4.0, lines::payments());
    let spec = deployment(("shop", "payments"), 3, PAYMENTS_GOOD, "release 2.4.3", app);
    Deployment { progress_deadline_seconds: 18, ..spec }
}

fn checkout_program() -> Program {
    program(1_200, 6.0, lines::checkout())
}

fn checkout() -> Deployment {
    let image = "registry.example.org/shop/checkout:2.19.4";
    deployment(("shop", "checkout"), 3, image, "release 2.19.4", checkout_program())
}

fn search() -> Deployment {
    let flaps = Ready::Flaps {
        after: Duration::from_millis(900),
        up: Duration::from_secs(11),
        down: Duration::from_secs(5),
    };
    let app = Program { ready: flaps, ..program(0, 8.0, lines::search()) };
    let image = "registry.example.org/shop/search:4.2.1";
    let mut spec = deployment(("shop", "search"), 2, image, "release 4.2.1", app);
    let proxy = Program { ready: Ready::NoProbe, ..program(0, 0.5, lines::proxy()) };
    let sidecar = Container::new("mesh-proxy", "registry.example.org/mesh/proxy:1.31.0", proxy);
    spec.template.containers.push(sidecar.of_kind(ContainerKind::Sidecar));
    spec
}

fn catalog() -> Deployment {
    let app = program(500, 5.0, lines::catalog());
    let image = "registry.example.org/shop/catalog:7.0.3";
    deployment(("shop", "catalog"), 2, image, "release 7.0.3", app)
}

fn gateway() -> Deployment {
    let app = program(400, 250.0, lines::gateway());
    let image = "registry.example.org/edge/gateway:5.8.0";
    deployment(("edge", "gateway"), 2, image, "tune keep-alive", app)
}

fn index() -> StatefulSet {
    let app = program(900, 2.0, lines::index());
    let image = "registry.example.org/shop/index:0.14.0";
    StatefulSet {
        namespace: "data".to_owned(),
        name: "index".to_owned(),
        replicas: 3,
        partition: 0,
        on_delete: false,
        template: Template::new([Container::new("app", image, app)]),
    }
}

fn node_agent() -> DaemonSet {
    let app = program(600, 1.0, lines::agent());
    let image = "registry.example.org/shop/node-agent:0.14.0";
    DaemonSet {
        namespace: "edge".to_owned(),
        name: "node-agent".to_owned(),
        template: Template::new([Container::new("agent", image, app)]),
    }
}

fn nightly_report() -> CronJob {
    let app = Program {
        exit: Exit::After(Duration::from_secs(9), 0),
        output: vec![Output::Script(lines::report())],
        ..idle()
    };
    let image = "registry.example.org/shop/report:1.4.0";
    CronJob {
        namespace: "data".to_owned(),
        name: "nightly-report".to_owned(),
        // A night of the shop lasts 40 s.
        schedule: "* * * * *".to_owned(),
        every: Duration::from_secs(40),
        history: 3,
        template: Template::new([Container::new("report", image, app)]),
    }
}
