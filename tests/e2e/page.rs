//! The page in a real browser: `web/test/e2e/service.mjs`, which follows one rollout.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::service::fetch;

/// A browser that has a workload open. Dropping it closes the browser.
pub struct Page {
    script: Child,
    said: BufReader<ChildStdout>,
}

/// What there is not of what a browser needs.
async fn missing(address: SocketAddr, web: &Path) -> Option<&'static str> {
    let chromium = std::env::var("CHROMIUM").unwrap_or_else(|_| "/usr/bin/chromium".to_owned());
    if !web.join("node_modules/playwright-core").is_dir() {
        Some("web/node_modules is missing: run npm ci in web")
    } else if !Path::new(&chromium).is_file() {
        Some("Chromium is missing: install Debian's package chromium, or set CHROMIUM")
    } else if !fetch(address, "/", &[]).await.1.contains("/assets/") {
        Some("the program has no page in it: make build, and set ROLLCAST_BIN")
    } else {
        None
    }
}

// === impl Page ===

impl Page {
    /// Signs in and opens the workload, up to where its next rollout may begin. Nothing if there is
    /// no browser.
    ///
    /// # Panics
    /// If the page does not come so far, or if there is no browser though it is required.
    pub async fn open(address: SocketAddr, token: &str, workload: &str) -> Option<Self> {
        let web = Path::new(env!("CARGO_MANIFEST_DIR")).join("web");
        if let Some(why) = missing(address, &web).await {
            let required = std::env::var("ROLLCAST_E2E_PAGE").or(std::env::var("ROLLCAST_E2E"));
            assert!(required.as_deref() != Ok("required"), "{why}");
            // Past the test harness, which shows what a test prints only if it fails.
            let _ = writeln!(std::io::stderr(), "skipped: the page in a browser: {why}");
            return None;
        }
        let mut command = Command::new("node");
        command.current_dir(web).arg("test/e2e/service.mjs").stdin(Stdio::null());
        command.env("ROLLCAST_URL", format!("http://{address}")).env("ROLLCAST_TOKEN", token);
        command.env("ROLLCAST_WORKLOAD", workload).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut script = command.spawn().unwrap();
        let said = BufReader::new(script.stdout.take().unwrap());
        let mut page = Page { script, said };
        let mut first = String::new();
        page.said.read_line(&mut first).unwrap();
        if first != "live\n" {
            page.rolled_out();
            panic!("the page ended before the rollout: {first}");
        }
        Some(page)
    }

    /// Waits until the page has shown the rollout from its begin to its end; the script has limits.
    ///
    /// # Panics
    /// If it has not, with what it said.
    pub fn rolled_out(mut self) {
        let mut text = String::new();
        self.said.read_to_string(&mut text).unwrap();
        self.script.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        assert!(self.script.wait().unwrap().success(), "{text}");
        eprintln!("the page: {text}");
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // The browser ends with the script: it hangs on a pipe between them.
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}
