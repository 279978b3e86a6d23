//! The shells of this machine, and scripts that run in them.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A shell, and where its commands are found.
#[derive(Clone, Debug)]
pub struct Shell {
    pub name: &'static str,
    program: Vec<PathBuf>,
    path: String,
}

/// A script that runs.
pub struct Job {
    child: Child,
    folder: TempDir,
    began: Instant,
}

/// A script that ran.
pub struct Ended {
    pub status: Option<i32>,
    pub out: String,
    pub err: String,
    pub took: Duration,
    /// What it left behind in its folder for files in between.
    pub left: Vec<String>,
}

fn found(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// Those that are here, and busybox with nothing but its own commands and curl.
pub fn shells() -> &'static [Shell] {
    static SHELLS: OnceLock<Vec<Shell>> = OnceLock::new();
    SHELLS.get_or_init(|| {
        let path = std::env::var("PATH").unwrap();
        let mut shells = Vec::new();
        for name in ["dash", "bash"] {
            let program = found(name).map(|file| vec![file]);
            shells.extend(program.map(|program| Shell { name, program, path: path.clone() }));
        }
        if let Some(busybox) = found("busybox") {
            let path = applets(&busybox);
            shells.push(Shell { name: "busybox", program: vec![busybox, "sh".into()], path });
        }
        assert!(!shells.is_empty(), "no shell is here: tests/setup shells");
        if shells.len() < 3 {
            eprintln!("not all of dash, bash and busybox are here: tests/setup shells");
        }
        shells
    })
}

/// A folder with the commands of busybox, and curl.
fn applets(busybox: &Path) -> String {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("busybox");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let install = Command::new(busybox).args(["--install", "-s"]).arg(&folder).status();
    assert!(install.unwrap().success());
    let curl = found("curl").expect("curl is missing: tests/setup shells");
    std::os::unix::fs::symlink(curl, folder.join("curl")).unwrap();
    folder.to_str().unwrap().to_owned()
}

// === impl Shell ===

impl Shell {
    /// As it is written in a line for a shell.
    pub fn words(&self) -> String {
        self.program.iter().map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" ")
    }

    /// Starts a script file.
    pub fn start(&self, file: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Job {
        let file = file.to_str().unwrap();
        self.run(&[&[file], arguments].concat(), variables, None, &BTreeMap::new())
    }

    /// Starts the shell itself with arguments, a text on its standard input, and files in its folder;
    /// those in `bin/` are commands.
    pub fn run(
        &self,
        arguments: &[&str],
        variables: &[(&str, &str)],
        input: Option<&str>,
        files: &BTreeMap<&str, String>,
    ) -> Job {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["tmp", "bin"] {
            std::fs::create_dir(at(name)).unwrap();
        }
        for (name, text) in files {
            std::fs::write(at(name), text).unwrap();
            std::fs::set_permissions(at(name), std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        let stdin = match input {
            Some(text) => {
                std::fs::write(at("in"), text).unwrap();
                Stdio::from(File::open(at("in")).unwrap())
            }
            None => Stdio::null(),
        };
        // As CI systems start jobs. Whoever runs these tests in the background has signals ignored, and a
        // shell cannot hear what was ignored when it began (POSIX, `trap`).
        let mut command = Command::new("/usr/bin/env");
        command.arg("--default-signal=HUP,INT,QUIT,PIPE,TERM");
        command.args(&self.program).args(arguments).env_clear();
        command.env("PATH", format!("{}:{}", at("bin").display(), self.path));
        command.env("TMPDIR", at("tmp")).env("HOME", folder.path()).current_dir(folder.path());
        command.envs(variables.iter().copied()).stdin(stdin);
        command.stdout(File::create(at("out")).unwrap()).stderr(File::create(at("err")).unwrap());
        Job { child: command.spawn().unwrap(), folder, began: Instant::now() }
    }
}

// === impl Job ===

impl Job {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// Whether it ended. Until somebody looks, its number is still taken.
    pub fn is_over(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// All that stands in its files in between.
    pub fn left_text(&self) -> String {
        let mut open = vec![self.folder.path().join("tmp")];
        let mut text = String::new();
        while let Some(path) = open.pop() {
            if path.is_dir() {
                open.extend(std::fs::read_dir(path).unwrap().map(|file| file.unwrap().path()));
            } else {
                // It may be gone by now.
                text += &String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default());
            }
        }
        text
    }

    /// Waits for its end; one that takes longer than anything may is killed and has no status.
    pub async fn end(mut self) -> Ended {
        const LONGEST: Duration = Duration::from_secs(120);
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status.code();
            }
            if self.began.elapsed() > LONGEST {
                self.child.kill().unwrap();
                self.child.wait().unwrap();
                break None;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        let took = self.began.elapsed();
        let read = |name: &str| {
            let bytes = std::fs::read(self.folder.path().join(name)).unwrap();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let left = std::fs::read_dir(self.folder.path().join("tmp")).unwrap();
        let left =
            left.map(|file| file.unwrap().file_name().to_string_lossy().into_owned()).collect();
        Ended { status, out: read("out"), err: read("err"), took, left }
    }
}

// === impl Ended ===

impl Ended {
    /// What was wrong about it beside its status: files that were left, or words that are missing.
    pub fn complaint(&self, words: &[&str]) -> Option<String> {
        let said = format!("{}\n{}", self.out, self.err);
        let missing: Vec<_> = words.iter().filter(|word| !said.contains(**word)).collect();
        let mut complaints = Vec::new();
        if !missing.is_empty() {
            complaints.push(format!("does not say {missing:?}:\n{said}"));
        }
        if !self.left.is_empty() {
            complaints.push(format!("leaves {:?} behind", self.left));
        }
        (!complaints.is_empty()).then(|| complaints.join("; "))
    }
}
