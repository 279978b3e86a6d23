//! The truth on the real cluster: the log files that containers left on their nodes, rotated ones kept
//! by hard link before the kubelet packs and deletes them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rollcast::time::parse_stamp;
use tokio::task::JoinHandle;

use crate::cluster::Namespace;
use crate::oracle::{AttemptId, Truth, cri_text};

/// Where the kubelets of the test cluster keep container logs, a folder for each node.
const LOGS: &str = "/var/log/rollcast";

/// The kubelet looks every three seconds whether a file is too big, and packs it the next time.
const LOOK: Duration = Duration::from_millis(100);

/// Keeps every log file of a namespace. Dropping it removes what it kept.
pub struct Disk {
    kept: PathBuf,
    files: Arc<Mutex<Files>>,
    watcher: JoinHandle<()>,
    namespace: String,
}

/// Kept files by device-wide number: of which attempt they are.
type Files = HashMap<u64, (AttemptId, PathBuf)>;

// === impl Disk ===

impl Disk {
    /// Watches a namespace's logs from now on.
    pub fn watch(namespace: &Namespace) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        // On the same disk, or there would be no hard links.
        let kept = Path::new(LOGS).join(format!("kept-{}-{count}", std::process::id()));
        std::fs::create_dir_all(&kept).unwrap();
        let files = Arc::new(Mutex::new(Files::new()));
        let (name, folder, noted) = (namespace.name.clone(), kept.clone(), files.clone());
        let watcher = tokio::spawn(async move {
            loop {
                keep(&name, &folder, &mut noted.lock());
                tokio::time::sleep(LOOK).await;
            }
        });
        Disk { kept, files, watcher, namespace: namespace.name.clone() }
    }

    /// What was written so far. `given` names the lines that the kubelet served to anybody, where that
    /// was recorded; what is not among them it withheld.
    pub fn truth(&self, given: Option<&Given>) -> Truth {
        let mut files = self.files.lock();
        keep(&self.namespace, &self.kept, &mut files);
        let mut parts: BTreeMap<AttemptId, Vec<(i64, Vec<u8>)>> = BTreeMap::new();
        for (id, path) in files.values() {
            let bytes = std::fs::read(path).unwrap();
            let first = bytes.split(|byte| *byte == b' ').next().and_then(parse_stamp);
            // Files of one attempt follow each other in time.
            let first = first.map_or(i64::MAX, |(time, _)| time);
            parts.entry(id.clone()).or_default().push((first, bytes));
        }
        let running = self.running();
        let mut truth = Truth::default();
        for (id, mut parts) in parts {
            parts.sort_by_key(|(first, _)| *first);
            let (mut served, mut torn) = (Vec::new(), Vec::new());
            for (_, bytes) in &parts {
                if served.last().is_some_and(|last| *last != b'\n') {
                    torn.push((memchr::memchr_iter(b'\n', &served).count(), bytes));
                }
                cri_text(bytes, &mut served);
            }
            let ended = !running.contains(&id);
            truth.add(id.clone(), &served, ended);
            for (at, rest) in torn {
                truth.tear(&id, at, rest);
            }
            if let Some(given) = given
                && let Some(attempt) = truth.attempts.get_mut(&id)
            {
                let given = given.get(&(id.pod.clone(), id.container.clone()));
                attempt.withhold(|numbered| given.is_none_or(|given| !given.contains(numbered)));
            }
        }
        truth
    }

    /// The attempts that run now, by the API.
    fn running(&self) -> HashSet<AttemptId> {
        let arguments = ["-n", &self.namespace, "get", "pods", "-o", "json"];
        let text = crate::cluster::attempt(&arguments, None).unwrap();
        let list: serde_json::Value = serde_json::from_str(&text).unwrap();
        let mut running = HashSet::new();
        for pod in list["items"].as_array().unwrap() {
            for status in pod["status"]["containerStatuses"].as_array().into_iter().flatten() {
                if status["state"]["running"].is_null() {
                    continue;
                }
                let word = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
                running.insert(AttemptId {
                    pod: word(&pod["metadata"]["name"]),
                    uid: word(&pod["metadata"]["uid"]),
                    container: word(&status["name"]),
                    attempt: status["restartCount"].as_u64().unwrap() as u32 + 1,
                });
            }
        }
        running
    }
}

/// Numbered lines that were served, by pod and container: source, stream and number.
pub type Given = HashMap<(String, String), HashSet<(String, char, u64)>>;

impl Drop for Disk {
    fn drop(&mut self) {
        self.watcher.abort();
        let _ = std::fs::remove_dir_all(&self.kept);
    }
}

/// Links every log file of the namespace that is not known yet.
fn keep(namespace: &str, kept: &Path, files: &mut Files) {
    for node in ["node-1", "node-2"] {
        for pod in folder(&Path::new(LOGS).join(node)) {
            let name = pod.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let mut words = name.splitn(3, '_');
            let (of, pod_name, uid) = (words.next(), words.next(), words.next());
            let (Some(pod_name), Some(uid)) = (pod_name, uid) else { continue };
            if of != Some(namespace) {
                continue;
            }
            // That of a static pod is a hash without dashes, and is told of with its namespace.
            let own = format!("{uid}-{namespace}");
            let uid = if uid.contains('-') { uid } else { &own };
            for container in folder(&pod) {
                for file in folder(&container) {
                    keep_file(&file, &container, (pod_name, uid), kept, files);
                }
            }
        }
    }
}

fn keep_file(
    file: &Path,
    container: &Path,
    (pod, uid): (&str, &str),
    kept: &Path,
    files: &mut Files,
) -> Option<()> {
    let name = file.file_name()?.to_string_lossy().into_owned();
    // `0.log`, `0.log.20261124-135000`; packed ones hold what was kept already.
    if name.ends_with(".gz") || name.ends_with(".tmp") {
        return None;
    }
    let restarts: u32 = name.split_once(".log")?.0.parse().ok()?;
    let number = std::fs::metadata(file).ok()?.ino();
    if files.contains_key(&number) {
        return None;
    }
    let link = kept.join(number.to_string());
    std::fs::hard_link(file, &link).ok()?;
    let id = AttemptId {
        pod: pod.to_owned(),
        uid: uid.to_owned(),
        container: container.file_name()?.to_string_lossy().into_owned(),
        attempt: restarts + 1,
    };
    files.insert(number, (id, link));
    Some(())
}

/// What is in a folder; nothing if it is gone meanwhile.
fn folder(path: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(path).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
}
