//! The service ends or is killed while pods write, with a store and without one, and its disk is full.
//! Nothing of the cluster is disturbed: these run side by side.

use std::process::Command;
use std::time::Duration;

use rollcast::time;

use crate::cluster::{ctl, eventually, namespace, run};
use crate::faults::{STEADY, Scene, long, seconds, whole};
use crate::oracle::Rules;
use crate::service::Service;

/// Its history is in files: whoever comes back goes on as if it had never been away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_ends_goes_on_from_its_store() {
    restarted("store-ended", "-TERM", true, whole()).await;
}

/// What a client was sent last may not have reached the files: it is sent again, under the same keys.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_is_killed_goes_on_from_its_store() {
    restarted("store-killed", "-KILL", true, Rules { killed: true, ..whole() }).await;
}

/// Rows 34 and 35: its history is gone with it. Whoever comes back loses nothing all the same, for the
/// logs still have it; what was said twice is known by its key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_without_a_store_that_ends_costs_no_line() {
    let rules = Rules { doubtful: &["server_restart"], ..whole() };
    restarted("unstored-ended", "-TERM", false, rules).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_without_a_store_that_is_killed_costs_no_line() {
    let rules = Rules { doubtful: &["server_restart"], ..whole() };
    restarted("unstored-killed", "-KILL", false, rules).await;
}

/// Ends a service by a signal, again and again, while pods write.
async fn restarted(name: &str, signal: &str, is_stored: bool, rules: Rules) {
    let Some(namespace) = namespace(name) else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let store = ["--store", "file", "--store-path", path.to_str().unwrap()];
    let store = if is_stored { &store[..] } else { &[] };
    let drain = ["--drain-delay", "0s", "--drain-window", "1s"];
    let options = [&["--namespace", &namespace.name], store, &drain].concat();
    let service = Service::open(name, &options).await;
    let mut scene = Scene::open(name, &namespace, service).await;
    scene.write(4, STEADY).await;
    // What a killed process had not stored yet may be all that was known of a pod that is as young: who
    // comes back is told so. These are older.
    tokio::time::sleep(Duration::from_secs(5)).await;
    for turn in 0..if long() { 8 } else { 2 } {
        scene.service.again(signal, Duration::from_millis(700 * turn)).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    let calm = time::now();
    tokio::time::sleep(Duration::from_secs(8)).await;
    scene.judge(rules, calm, None).await.holds("a service that was started again");
}

/// A file system in memory, of a size that can be changed. Dropping it takes it away.
struct Disc(tempfile::TempDir);

impl Disc {
    fn of(size: &str) -> Self {
        let disc = Disc(tempfile::tempdir().unwrap());
        disc.mount(&["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]);
        disc
    }

    fn grow(&self, size: &str) {
        self.mount(&["-o", &format!("remount,size={size}")]);
    }

    fn mount(&self, arguments: &[&str]) {
        run(Command::new("mount").args(arguments).arg(self.0.path()), None).unwrap();
    }
}

impl Drop for Disc {
    fn drop(&mut self) {
        // Lazily: after a failed test the service may still have files open.
        let _ = run(Command::new("umount").arg("-l").arg(self.0.path()), None);
    }
}

/// A disk in a file, which can break as disks do: ext4 then refuses every write (`errors=remount-ro`).
/// Dropping it takes it away.
struct Broken {
    image: tempfile::NamedTempFile,
    at: tempfile::TempDir,
}

impl Broken {
    fn new() -> Self {
        let disc = Broken {
            image: tempfile::NamedTempFile::new().unwrap(),
            at: tempfile::tempdir().unwrap(),
        };
        disc.image.as_file().set_len(256 << 20).unwrap();
        run(Command::new("mkfs.ext4").arg("-q").arg(disc.image.path()), None).unwrap();
        disc.mount();
        disc
    }

    fn mount(&self) {
        let options = ["-o", "loop,errors=remount-ro"];
        run(Command::new("mount").args(options).arg(self.image.path()).arg(self.at.path()), None)
            .unwrap();
    }

    /// From now on it is read-only, also for files that are open.
    fn breaks(&self) {
        run(Command::new("mount").args(["-o", "remount,abort"]).arg(self.at.path()), None).unwrap();
    }

    /// As an operator mends it: nobody may have files open.
    fn is_mended(&self) {
        run(Command::new("umount").arg(self.at.path()), None).unwrap();
        // Aborted, it needs its own journal replayed, which the next mount does.
        self.mount();
    }
}

impl Drop for Broken {
    fn drop(&mut self) {
        let _ = run(Command::new("umount").arg("-l").arg(self.at.path()), None);
    }
}

/// Row 38: the disk refuses every write from one moment to the next. Streams go on from memory, the state
/// is shown, and the next process goes on from what was stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_whose_disk_becomes_read_only_costs_no_stream_a_line() {
    let Some(namespace) = namespace("store-ro") else { return };
    if ctl(&["list"]).is_none() {
        return;
    }
    let disc = Broken::new();
    let path = disc.at.path().join("journal");
    let store = ["--store", "file", "--store-path", path.to_str().unwrap()];
    let drain = ["--drain-delay", "0s", "--drain-window", "1s"];
    let options = [&["--namespace", &namespace.name], &store[..], &drain].concat();
    let service = Service::open("store-ro", &options).await;
    let mut scene = Scene::open("store-ro", &namespace, service).await;
    scene.write(4, STEADY).await;
    tokio::time::sleep(seconds(4, 30)).await;
    disc.breaks();
    eventually("the store to fail", Duration::from_secs(30), async || {
        (scene.service.metric("rollcast_store_failing").await > 0.0).then_some(())
    })
    .await;
    tokio::time::sleep(seconds(4, 30)).await;
    assert!(scene.service.metric("rollcast_store_errors_total").await >= 1.0);
    assert!(scene.service.metric("rollcast_store_failing").await > 0.0, "nothing was mended yet");
    scene.service.end("-TERM").await;
    disc.is_mended();
    scene.service.start_again().await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let calm = time::now();
    tokio::time::sleep(Duration::from_secs(8)).await;
    assert_eq!(scene.service.metric("rollcast_store_failing").await, 0.0);
    let rules = Rules { killed: true, doubtful: &["server_restart"], ..whole() };
    scene.judge(rules, calm, None).await.holds("a disk that became read-only");
}

/// Streams matter more than history: they go on, the store's state is shown, and it recovers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_whose_disk_is_full_costs_no_stream_a_line() {
    let Some(namespace) = namespace("store-full") else { return };
    if ctl(&["list"]).is_none() {
        return;
    }
    let disc = Disc::of("1m");
    let path = disc.0.path().join("journal");
    let store = ["--store", "file", "--store-path", path.to_str().unwrap()];
    let drain = ["--drain-delay", "0s", "--drain-window", "1s"];
    let options = [&["--namespace", &namespace.name], &store[..], &drain].concat();
    let service = Service::open("store-full", &options).await;
    let mut scene = Scene::open("store-full", &namespace, service).await;
    scene.write(4, STEADY).await;
    let failing = async |service: &Service| service.metric("rollcast_store_failing").await > 0.0;
    // It frees its oldest segment and writes again: that it fails may last for less than a millisecond,
    // that it failed is counted.
    let failed = async |service: &Service| service.metric("rollcast_store_errors_total").await;
    eventually("the disk to be full", Duration::from_secs(30), async || {
        (failed(&scene.service).await > 0.0).then_some(())
    })
    .await;
    let errors = failed(&scene.service).await;
    tokio::time::sleep(seconds(8, 60)).await;
    let more = failed(&scene.service).await - errors;
    assert!(more >= 1.0, "it was not tried again");
    disc.grow("600m");
    eventually("the store to recover", Duration::from_secs(45), async || {
        (!failing(&scene.service).await).then_some(())
    })
    .await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    scene.service.again("-TERM", Duration::ZERO).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let calm = time::now();
    tokio::time::sleep(Duration::from_secs(8)).await;
    scene.judge(whole(), calm, None).await.holds("a disk that was full");
}
