//! Rollouts that get well again: by a rollback, in time, or after they were called failed.

use std::time::Duration;

use serde_json::json;

use crate::cluster::{eventually, namespace};
use crate::outcomes::{
    Case, GRACES, STAYS, apply, ask, deployment, good, judge, keep, one, path, play, restless,
    tcp_probe,
};
use crate::service::{Service, fetch};

/// The old template again while the new one is stuck: that one is superseded, the rollback succeeds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollback_in_the_middle_supersedes_and_succeeds() {
    let Some(shop) = namespace("rollback") else { return };
    shop.apply(&deployment("web", 2, good()));
    shop.rolled_out("web");
    let service =
        Service::open("rollback", &[&["--namespace", &*shop.name], &GRACES[..]].concat()).await;
    let stuck = one(STAYS, |app| app["readinessProbe"] = tcp_probe());
    let case = Case {
        workload: "deployment/web",
        before: None,
        then: vec![deployment("web", 2, stuck), deployment("web", 2, good())],
        outcome: "superseded",
        reason: None,
        says: "a newer change began",
        line: None,
    };
    let heard = play(service.address, &shop.name, &case).await;
    let mut table = judge(service.address, &shop.name, &case, &heard, None).await;
    let back =
        Case { then: vec![deployment("web", 2, good())], outcome: "succeeded", says: "", ..case };
    let heard = ask(service.address, &shop.name, &back).await;
    table = format!("{table}\n{}", judge(service.address, &shop.name, &back, &heard, None).await);
    // The revision is a new one, though its pods are of the old template.
    let result = &heard.events.last().unwrap().data;
    assert_eq!(result["revision"], "3", "{result}");
    eprintln!("{table}");
    keep("rollback", &table);
}

/// Within its grace, which is longer here than in the other tests (`truths.md` 13).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_comes_eight_seconds_late_fails_nothing() {
    let Some(shop) = namespace("secret") else { return };
    shop.apply(&deployment("web", 1, good()));
    shop.rolled_out("web");
    let service =
        Service::open("secret", &[&["--namespace", &*shop.name], &GRACES[..]].concat()).await;
    let waits = one(STAYS, |app| app["envFrom"] = json!([{"secretRef": {"name": "database"}}]));
    let mut web = deployment("web", 1, waits);
    web["metadata"]["annotations"] = json!({"rollcast.dev/grace-config": "60s"});
    let case = Case {
        workload: "deployment/web",
        before: None,
        then: vec![web],
        outcome: "succeeded",
        reason: None,
        says: "",
        line: None,
    };
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "database"},
        "stringData": {"PASSWORD": "x"},
    });
    let late = async {
        tokio::time::sleep(Duration::from_secs(8)).await;
        apply(&shop.name, &secret).await;
    };
    let (heard, ()) = tokio::join!(play(service.address, &shop.name, &case), late);
    let missed = heard.events.iter().filter(|event| event.name == "rollout").any(|event| {
        let reasons = event.data["reasons"].as_array().unwrap();
        reasons.iter().any(|reason| reason["code"] == "config_missing")
    });
    assert!(missed, "the Secret was missed before it came");
    let line = judge(service.address, &shop.name, &case, &heard, None).await;
    eprintln!("{line}");
    keep("secret", &line);
}

/// A crash loop that waited for its database: called failed, and said to have recovered when it was right
/// after all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_loop_that_gets_well_after_its_failure_is_said_to_have_recovered() {
    let Some(shop) = namespace("recovers") else { return };
    shop.apply(&deployment("web", 1, good()));
    shop.rolled_out("web");
    let service =
        Service::open("recovers", &[&["--namespace", &*shop.name], &GRACES[..]].concat()).await;
    // A variable that is not set stays as it is written, which the writer refuses.
    let waits = restless(one("--rate 2 --hold --crash-after $(AFTER)", |app| {
        let key = json!({"name": "database", "key": "after", "optional": true});
        let after = json!({"name": "AFTER", "valueFrom": {"configMapKeyRef": key}});
        app["env"].as_array_mut().unwrap().push(after);
    }));
    let case = Case {
        workload: "deployment/web",
        before: None,
        then: vec![deployment("web", 1, waits)],
        outcome: "failed",
        reason: Some("crash_loop"),
        says: "container app exits with code 2",
        line: None,
    };
    let heard = play(service.address, &shop.name, &case).await;
    let line = judge(service.address, &shop.name, &case, &heard, None).await;
    eprintln!("{line}");
    keep("recovers", &line);
    shop.apply(&json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "database"},
        "data": {"after": "1000000000"},
    }));
    let verdict = path(&shop.name, "deployment/web", "verdict");
    eventually("the rollout to recover", Duration::from_secs(120), async || {
        (fetch(service.address, &verdict, &[]).await.0 == 200).then_some(())
    })
    .await;
    let (_, rollout) = service.json(&path(&shop.name, "deployment/web", "rollout"), &[]).await;
    assert_eq!((&rollout["phase"], &rollout["recovered"]), (&"complete".into(), &true.into()));
    assert_eq!(rollout["result"]["outcome"], "succeeded", "{rollout}");
}
