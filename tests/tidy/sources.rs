//! The Rust files of the package.

use std::path::Path;

/// One file.
pub struct Source {
    /// Relative to the package.
    pub path: String,
    pub text: String,
}

/// All Rust files below a folder, sorted.
pub fn rust_files(folder: &Path) -> Vec<Source> {
    let mut sources = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            sources.push(Source { path: super::relative(&path), text });
        }
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    sources
}

// === impl Source ===

impl Source {
    pub fn sample(path: &str, text: &str) -> Self {
        Source { path: path.to_owned(), text: text.to_owned() }
    }

    /// A file that holds nothing but tests.
    pub fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.contains("/tests/")
    }

    /// Lines up to the module of tests.
    pub fn lines_without_tests(&self) -> usize {
        if self.is_test() {
            return 0;
        }
        let lines: Vec<_> = self.text.lines().collect();
        let tests = lines.windows(2).position(|pair| {
            pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod ") && pair[1].ends_with('{')
        });
        tests.unwrap_or(lines.len())
    }

    /// The text without comments, so that links in documents are not taken for code.
    pub fn code(&self) -> String {
        let lines = self.text.lines().map(|line| match line.find("//") {
            // Not the slashes of a URL in a string.
            Some(at) if !line[..at].ends_with(':') => &line[..at],
            _ => line,
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}
