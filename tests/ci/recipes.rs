//! The recipes of `docs/ci.md`, run as their CI systems run them: what stands in the document is what runs,
//! but for the names of the server and the workload.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::faults::{Asked, Faults, reply};
use crate::rollouts::acts;
use crate::shells::{Ended, Shell, shells};
use crate::stage::{Stage, TOKENS};
use crate::{Cell, check, root};

/// In place of kubectl: what it is given to apply is told to the test, which changes the cluster.
const KUBECTL: &str = "#!/bin/sh\n\
    case $1 in\n\
    annotate) for last do :; done; printf '%s\\n' \"$last\" ;;\n\
    apply) read -r annotation; curl -fsS --data \"$annotation\" \"$CONTROL\" ;;\n\
    *) exit 1 ;;\n\
    esac\n";

/// What a recipe is tried with: the status that `ci.sh` gives, and that of curl alone.
const OUTCOMES: [(&str, i32, i32); 3] = [("succeeds", 0, 0), ("fails", 1, 1), ("superseded", 4, 1)];

/// One recipe.
#[derive(Clone, Debug)]
struct Recipe {
    name: String,
    /// What the shell is given before the script.
    options: &'static [&'static str],
    /// One after the other, each only if the one before went well.
    steps: Vec<String>,
    variables: Vec<(String, String)>,
    /// The deploy is somebody else's: of this id.
    deploy: Option<String>,
}

/// A fenced block: the heading above it, its language and its text.
struct Block {
    heading: String,
    language: String,
    text: String,
}

fn blocks(document: &str) -> Vec<Block> {
    let (mut heading, mut blocks) = (String::new(), Vec::new());
    let mut lines = document.lines();
    while let Some(line) = lines.next() {
        if let Some(title) = line.strip_prefix("## ") {
            heading = title.to_owned();
        }
        let Some(language) = line.strip_prefix("```") else { continue };
        let text: String = lines
            .by_ref()
            .take_while(|line| *line != "```")
            .flat_map(|line| [line, "\n"])
            .collect();
        blocks.push(Block { heading: heading.clone(), language: language.to_owned(), text });
    }
    blocks
}

fn recipes() -> Vec<Recipe> {
    let document = std::fs::read_to_string(root().join("docs/ci.md")).unwrap();
    blocks(&document).iter().map(recipe).collect()
}

/// The recipe of curl alone for another Deployment, whose deploy has been made.
pub fn alone(name: &str, id: &str) -> String {
    let document = std::fs::read_to_string(root().join("docs/ci.md")).unwrap();
    let blocks = blocks(&document);
    let is = |block: &&Block| block.heading == "Plain shell" && !block.text.contains("ci.sh");
    let block = blocks.iter().find(is).expect("there is a recipe without ci.sh");
    let lines = block.text.lines().filter(|line| !line.contains("kubectl"));
    let line = |line: &str| match line.starts_with("id=") {
        true => format!("id={id}\n"),
        false => line.replace("deployment/web", &format!("deployment/{name}")) + "\n",
    };
    lines.map(line).collect()
}

fn recipe(block: &Block) -> Recipe {
    let Block { heading, language, text } = block;
    let yaml = || serde_saphyr::from_str::<Value>(text).unwrap();
    let plain = |name: &str, options: &'static [&'static str], steps: Vec<String>| Recipe {
        name: name.to_owned(),
        options,
        steps,
        variables: Vec::new(),
        deploy: None,
    };
    match (heading.as_str(), language.as_str()) {
        ("Plain shell", "sh") => {
            let name = if text.contains("ci.sh") { "shell with ci.sh" } else { "shell with curl" };
            plain(name, &[], vec![text.clone()])
        }
        ("GitHub Actions", "yaml") => github(&yaml()),
        ("GitLab CI", "yaml") => {
            let recipe = plain("GitLab CI", &["-e"], vec![joined(&yaml()["deploy"]["script"])]);
            with(recipe, &[("CI_JOB_ID", "4711")])
        }
        ("Buildkite", "yaml") => {
            let script = joined(&yaml()["steps"][0]["command"]).replace("$$", "$");
            with(plain("Buildkite", &["-e"], vec![script]), &[("BUILDKITE_JOB_ID", "0190-a")])
        }
        ("Jenkins", "groovy") => {
            let (_, rest) = text.split_once("sh '''\n").unwrap();
            let (script, _) = rest.split_once("'''").unwrap();
            with(
                plain("Jenkins", &["-xe"], vec![script.to_owned()]),
                &[("BUILD_TAG", "jenkins-web-7")],
            )
        }
        ("Argo CD", "yaml") => argo(&yaml()),
        other => panic!("nobody knows how to run {other:?}"),
    }
}

fn with(mut recipe: Recipe, variables: &[(&str, &str)]) -> Recipe {
    recipe
        .variables
        .extend(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    recipe
}

/// The commands of a list, each a line.
fn joined(list: &Value) -> String {
    let lines = list.as_array().unwrap().iter();
    lines.map(|line| line.as_str().unwrap().to_owned() + "\n").collect()
}

/// Each step is a script of its own, with the variables of the job and its own.
fn github(workflow: &Value) -> Recipe {
    let job = &workflow["jobs"]["deploy"];
    let mut variables = Vec::new();
    let mut steps = Vec::new();
    let mut take = |from: &Value| {
        for (name, value) in from.as_object().into_iter().flatten() {
            let value = value.as_str().unwrap();
            let value = value
                .replace("${{ github.run_id }}", "99")
                .replace("${{ github.run_attempt }}", "1");
            variables.push((name.clone(), value));
        }
    };
    take(&job["env"]);
    for step in job["steps"].as_array().unwrap() {
        take(&step["env"]);
        steps.extend(step["run"].as_str().map(str::to_owned));
    }
    assert_eq!(steps.len(), 2, "{workflow}");
    Recipe { name: "GitHub Actions".to_owned(), options: &["-e"], steps, variables, deploy: None }
}

fn argo(job: &Value) -> Recipe {
    let container = &job["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["command"], serde_json::json!(["sh", "-euc"]));
    let variables: Vec<(String, String)> = container["env"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| {
            (it["name"].as_str().unwrap().to_owned(), it["value"].as_str().unwrap().to_owned())
        })
        .collect();
    let id = variables.iter().find(|(name, _)| name == "DEPLOY_ID").unwrap().1.clone();
    let steps = vec![container["args"][0].as_str().unwrap().to_owned()];
    let name = "Argo CD".to_owned();
    Recipe { name, options: &["-eu"], steps, variables, deploy: Some(id) }
}

// === impl Recipe ===

impl Recipe {
    /// Runs it for a Deployment of this name; `control` is where the stand-in for kubectl tells what it
    /// was given.
    async fn run(&self, shell: &Shell, server: &str, name: &str, control: &str) -> Ended {
        let folder = tempfile::tempdir().unwrap();
        let token_file = folder.path().join("token");
        std::fs::write(&token_file, TOKENS[0]).unwrap();
        let token_file = token_file.to_str().unwrap();
        let by_file = self.variables.iter().any(|(name, _)| name == "ROLLCAST_TOKEN_FILE");
        let token = if by_file {
            ("ROLLCAST_TOKEN_FILE", token_file)
        } else {
            ("ROLLCAST_TOKEN", TOKENS[0])
        };
        let own = self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let ours = [("ROLLCAST_SERVER", server), ("CONTROL", control), token];
        let variables: Vec<_> = own.chain(ours).collect();
        let mut last = None;
        for step in &self.steps {
            let step = step.replace("deployment/web", &format!("deployment/{name}"));
            let files = BTreeMap::from([("script", step), ("bin/kubectl", KUBECTL.to_owned())]);
            let arguments = [self.options, &["./script"]].concat();
            let ended = shell.run(&arguments, &variables, None, &files).end().await;
            let goes_on = ended.status == Some(0);
            last = Some(ended);
            if !goes_on {
                break;
            }
        }
        last.unwrap()
    }

    fn wanted(&self, with_script: i32, with_curl: i32) -> i32 {
        if self.name.ends_with("curl") { with_curl } else { with_script }
    }
}

/// Where the stand-in for kubectl applies something: `/OUTCOME/NAME`.
async fn control(stage: Arc<Stage>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let stage = stage.clone();
            tokio::spawn(async move {
                let mut request = String::new();
                while !request.contains("rollcast.dev/deploy=") {
                    let mut bytes = [0; 4096];
                    let read = socket.read(&mut bytes).await.unwrap();
                    assert!(read > 0, "not what is applied: {request}");
                    request += std::str::from_utf8(&bytes[..read]).unwrap();
                }
                let mut parts = request.split(' ').nth(1).unwrap().split('/').skip(1);
                let (outcome, name) = (parts.next().unwrap(), parts.next().unwrap());
                let id = request.rsplit_once("rollcast.dev/deploy=").unwrap().1.trim();
                deploy(&stage, outcome, name, id);
                let _ = socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
            });
        }
    });
    format!("http://{address}")
}

fn deploy(stage: &Arc<Stage>, outcome: &str, name: &str, id: &str) {
    let image = match outcome {
        "succeeds" => "shop/web:2",
        "superseded" => "shop/web:never",
        _ => "shop/web:none",
    };
    stage.deploy(name, id, image);
    if outcome == "superseded" {
        let (stage, name) = (stage.clone(), name.to_owned());
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(3)).await;
            stage.deploy(&name, "of-somebody-else", "shop/web:2");
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_recipe_is_red_and_green_as_the_rollout_is() {
    let recipes = recipes();
    assert_eq!(recipes.len(), 7, "{recipes:?}");
    let stage = Arc::new(Stage::open(&["--auth", "token"]).await);
    let control = control(stage.clone()).await;
    let mut names = Vec::new();
    let mut jobs: Vec<Pin<Box<dyn Future<Output = Cell> + Send>>> = Vec::new();
    for (at, recipe) in recipes.into_iter().enumerate() {
        for shell in shells() {
            for (outcome, with_script, with_curl) in OUTCOMES {
                let name = format!("{outcome}-{at}-{}", shell.name);
                names.push(name.clone());
                let (recipe, stage, control) = (recipe.clone(), stage.clone(), control.clone());
                jobs.push(Box::pin(async move {
                    if let Some(id) = &recipe.deploy {
                        deploy(&stage, outcome, &name, id);
                    }
                    let control = format!("{control}/{outcome}/{name}");
                    let ended = recipe.run(shell, &stage.url(), &name, &control).await;
                    let word = ["succeeded", "failed", "superseded"]
                        [OUTCOMES.iter().position(|it| it.0 == outcome).unwrap()];
                    let words = format!("RESULT outcome={word} rollout=shop/deployment/{name} ");
                    Cell {
                        row: format!("{}, {}", recipe.name, shell.name),
                        column: outcome,
                        wanted: recipe.wanted(with_script, with_curl),
                        came: ended.status,
                        complaint: ended.complaint(&[&words]),
                    }
                }));
            }
        }
    }
    stage.settle(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    check("recipes of docs/ci.md", jobs).await;
}

/// What stands before the script runs fails, too: nothing there, or a page to sign in in its place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_recipe_is_green_without_its_script() {
    let page = |_: &Asked| reply("200 OK", "Content-Type: text/html\r\n", "<html>Sign in</html>\n");
    let faults = Faults::start(page).await;
    let mut jobs: Vec<Pin<Box<dyn Future<Output = Cell> + Send>>> = Vec::new();
    for recipe in recipes().into_iter().filter(|recipe| !recipe.name.ends_with("curl")) {
        for shell in shells() {
            for (column, server, wanted) in
                [("away", "http://127.0.0.1:1".to_owned(), 7), ("a-page", faults.url(""), 1)]
            {
                let (recipe, control) = (recipe.clone(), faults.url("applied"));
                jobs.push(Box::pin(async move {
                    let ended = recipe.run(shell, &server, "web", &control).await;
                    Cell {
                        row: format!("{}, {}", recipe.name, shell.name),
                        column,
                        wanted,
                        came: ended.status,
                        complaint: None,
                    }
                }));
            }
        }
    }
    check("recipes without their script", jobs).await;
}

/// What is refused does not run: the deadline tells the two apart. And a page that refuses is not shown.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn curl_alone_calls_no_refusal_a_rollout_that_runs() {
    let answers = |asked: &Asked| match (asked.case.as_str(), asked.is_verdict) {
        ("applied", _) => reply("200 OK", "", ""),
        ("running", true) => {
            let text = "is still rolling out\nRUNNING rollout=shop/deployment/web ready=0/1\n";
            reply("429 Too Many Requests", "Retry-After: 1\r\n", text)
        }
        ("another", true) => {
            let text = "RUNNING rollout=shop/deployment/web-2 ready=0/1\n";
            reply("429 Too Many Requests", "Retry-After: 1\r\n", text)
        }
        _ => {
            let page = "<html>\n##vso[task.complete result=Succeeded;]\nSign in</html>\n";
            reply("401 Unauthorized", "Content-Type: text/html\r\n", page)
        }
    };
    let faults = Faults::start(answers).await;
    let recipe = recipes().into_iter().find(|recipe| recipe.name.ends_with("curl")).unwrap();
    // Nobody waits for half an hour.
    let step = recipe.steps[0].replace("+ 1800", "+ 3");
    assert_ne!(step, recipe.steps[0]);
    let recipe = Recipe { steps: vec![step], ..recipe };
    let mut jobs: Vec<Pin<Box<dyn Future<Output = Cell> + Send>>> = Vec::new();
    for shell in shells() {
        for (column, wanted) in [("refused", 5), ("running", 3), ("another", 5)] {
            let (recipe, server, control) =
                (recipe.clone(), faults.url(column), faults.url("applied"));
            jobs.push(Box::pin(async move {
                let ended = recipe.run(shell, &server, "web", &control).await;
                let shown = [&ended.out, &ended.err];
                Cell {
                    row: format!("{}, {}", recipe.name, shell.name),
                    column,
                    wanted,
                    came: ended.status,
                    complaint: shown.into_iter().find_map(|it| acts(it)),
                }
            }));
        }
    }
    check("curl alone and its deadline", jobs).await;
}
