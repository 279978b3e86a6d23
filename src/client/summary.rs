//! The summary of a job as Markdown: how each rollout ended, and what shows it.
//!
//! What holds here: nothing a pod, a controller or an image's name says is Markdown or HTML. Pure.

use std::fmt::Write as _;

use super::event::Ended;
use super::exit::{End, Exit};
use super::view::{View, headline, reason};
use crate::wire::{push_plain, span};

/// Bytes of a summary; GitHub takes 1 MiB of all steps of a job together.
const MOST_BYTES: usize = 256 << 10;

// Writes into a String cannot fail, so their results are dropped throughout.

/// Writes the summary.
pub(super) fn markdown(view: &View) -> String {
    let mut out =
        String::from("### Rollouts\n\n| workload | outcome | revision | images | ready | took |\n");
    out.push_str("| --- | --- | --- | --- | --- | --- |\n");
    for facts in view.facts() {
        let Some(end) = facts.end else { continue };
        let verdict = verdict(end);
        let mark = if end.exit() == Exit::Succeeded { "✅" } else { "❌" };
        let images = facts.rollout.map(|rollout| {
            let images = rollout.changed().into_iter().map(|image| escaped(&image.to));
            images.collect::<Vec<_>>().join("<br>")
        });
        let ready = verdict.map(|ended| format!("{}/{}", ended.ready, ended.desired));
        let took = verdict.and_then(|ended| ended.duration_ms).map(|took| span(took / 1000));
        let _ = writeln!(
            out,
            "| {} | {mark} {} | {} | {} | {} | {} |",
            escaped(&facts.workload.to_string()),
            headline(end).to_lowercase(),
            verdict.and_then(|ended| ended.revision.as_deref()).map(escaped).unwrap_or_default(),
            images.unwrap_or_default(),
            ready.unwrap_or_default(),
            took.unwrap_or_default(),
        );
    }
    for facts in view.facts() {
        let Some(end) = facts.end.filter(|end| end.exit() != Exit::Succeeded) else { continue };
        let why = reason(end);
        if !why.is_empty() {
            let _ =
                writeln!(out, "\n**{}**: {}", escaped(&facts.workload.to_string()), escaped(&why));
        }
        if let Some(ended) = verdict(end) {
            evidence(&mut out, ended);
        }
        if out.len() > MOST_BYTES {
            out.push_str("\n… and more, which is in the log.\n");
            break;
        }
    }
    out
}

fn verdict(end: &End) -> Option<&Ended> {
    match end {
        End::Verdict(ended) => Some(ended),
        _ => None,
    }
}

fn evidence(out: &mut String, ended: &Ended) {
    if !ended.events.is_empty() {
        out.push('\n');
    }
    for event in &ended.events {
        let (reason, object) = (escaped(&event.reason), escaped(&event.object.name));
        let _ = writeln!(out, "- {reason} {object}: {}", escaped(&event.message));
    }
    for pod in ended.pods.iter().filter(|pod| !pod.lines.is_empty()) {
        let container = pod.container.as_deref().map(|name| format!("/{name}")).unwrap_or_default();
        let place = escaped(&format!("{}{container}", pod.pod));
        let _ = write!(out, "\n<details open><summary>last lines of {place}</summary>\n\n<pre>");
        for line in &pod.lines {
            // An empty line would end the block of HTML, and what follows would be Markdown.
            let text = html(line);
            let _ = writeln!(out, "{}", if text.trim().is_empty() { "&#8203;" } else { &text });
        }
        out.push_str("</pre>\n\n</details>\n");
    }
}

/// Words in a line or a cell of Markdown.
fn escaped(words: &str) -> String {
    let mut out = String::new();
    for letter in html(words).chars() {
        match letter {
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '(' | ')' | '#' | '+' | '!' | '|'
            | '~' | '@' | ':' | '$' | '.' => {
                // By number: it is neither Markdown, nor a link to a page, of which GitHub makes one of
                // `www.` and what follows, too. An address of mail it still knows by itself.
                let _ = write!(out, "&#{};", letter as u32);
            }
            '\t' => out.push(' '),
            letter => out.push(letter),
        }
    }
    out
}

/// Words in HTML, in one line.
fn html(words: &str) -> String {
    let mut plain = Vec::new();
    push_plain(&mut plain, words);
    let plain = String::from_utf8_lossy(&plain);
    plain.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::super::chase::Told;
    use super::super::event::Blocked;
    use super::super::view::Mode;
    use super::*;
    use crate::ids::{Kind, WorkloadId};

    #[test]
    fn nothing_that_is_said_is_markdown_or_html() {
        let workload = WorkloadId::new("shop", Kind::Deployment, "web");
        let mut view = View::new(Mode::Lines, false, std::slice::from_ref(&workload), 0);
        let hostile =
            "</pre><script>x</script> | **b** [l](http://e) @team www.evil.example `c` ``` \n# h";
        let pod = Blocked {
            pod: "web-1".to_owned(),
            lines: vec![hostile.to_owned(), String::new(), "# no heading".to_owned()],
            ..Blocked::default()
        };
        let ended = Ended {
            outcome: "failed".to_owned(),
            message: hostile.to_owned(),
            revision: Some(hostile.to_owned()),
            duration_ms: Some(108_000),
            pods: vec![pod],
            ..Ended::default()
        };
        view.step(0, &Told::End(End::Verdict(Box::new(ended))), 0);
        let text = markdown(&view);
        assert!(text.contains("| shop/deployment/web | ❌ failed |"), "{text}");
        assert!(text.contains("1m48s"));
        assert!(!text.contains("<script>"), "{text}");
        // What is preformatted is HTML to its end, and no Markdown; all around it is.
        let (before, rest) = text.split_once("<pre>").unwrap();
        let outside = format!("{before}{}", rest.split_once("</pre>").unwrap().1);
        for raw in ["**b**", "[l](", "://", "@team", "www.", "`c`"] {
            assert!(!outside.contains(raw) && rest.contains(raw), "{raw}: {text}");
        }
        for shown in ["&#64;team", "www&#46;evil&#46;example"] {
            assert!(outside.contains(shown), "{shown}: {text}");
        }
        assert_eq!(text.matches("</pre>").count(), 1, "{text}");
        let inside = text.split("<pre>").nth(1).unwrap().split("</pre>").next().unwrap();
        assert!(!inside.contains("\n\n"), "{inside}");
        assert!(text.lines().all(|line| !line.starts_with("# h")), "{text}");
    }
}
