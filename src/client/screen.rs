//! Writes what is drawn: lines, and below them, on a terminal, the block in place of the one before.
//!
//! What holds here: between two writes the cursor stands at the start of the line below the block, so
//! that whoever ends us leaves a clean terminal; nothing is written but what was drawn and the codes to
//! replace it. A reader that is gone is no error: how the rollout ends is told by the exit status, too.

use std::io;

use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, timeout_at};

/// Where lines and the block go.
#[derive(Debug)]
pub(super) struct Screen<W> {
    out: W,
    /// Cells of each line of the block that stands there.
    drawn: Vec<usize>,
    block: Vec<String>,
    broken: bool,
}

// === impl Screen ===

impl<W: AsyncWrite + Unpin> Screen<W> {
    pub(super) fn new(out: W) -> Self {
        Screen { out, drawn: Vec::new(), block: Vec::new(), broken: false }
    }

    /// Writes the lines above the block, and the block anew. `width` is that of the terminal now. Who has
    /// not read it by `until` is taken for gone.
    pub(super) async fn draw(
        &mut self,
        lines: &str,
        block: Vec<String>,
        width: usize,
        until: Instant,
    ) {
        if lines.is_empty() && block == self.block {
            return;
        }
        let mut bytes = String::new();
        let rows: usize = self.drawn.iter().map(|cells| cells.div_ceil(width.max(1)).max(1)).sum();
        if rows > 0 {
            // Up to the block's first line, and everything below it away.
            bytes.push_str(&format!("\r\x1b[{rows}A\x1b[J"));
        }
        bytes.push_str(lines);
        for line in &block {
            bytes.push_str(line);
            bytes.push('\n');
        }
        self.drawn = block.iter().map(|line| cells(line)).collect();
        self.block = block;
        if timeout_at(until, self.write(bytes.as_bytes())).await.is_err() {
            self.broken = true;
        }
    }

    async fn write(&mut self, bytes: &[u8]) {
        if self.broken {
            return;
        }
        let written: io::Result<()> = async {
            self.out.write_all(bytes).await?;
            self.out.flush().await
        }
        .await;
        self.broken = written.is_err();
    }
}

/// Cells that a drawn line takes: its codes for colours take none.
fn cells(line: &str) -> usize {
    let mut cells = 0;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\x1b' => drop(letters.by_ref().find(|end| *end == 'm')),
            letter => cells += unicode_width::UnicodeWidthChar::width(letter).unwrap_or(0),
        }
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|line| (*line).to_owned()).collect()
    }

    fn soon() -> Instant {
        Instant::now() + std::time::Duration::from_secs(1)
    }

    #[tokio::test]
    async fn the_block_is_replaced_and_lines_go_above_it() {
        let mut screen = Screen::new(Vec::new());
        screen.draw("", block(&["a", "\x1b[1mb\x1b[0m"]), 80, soon()).await;
        screen.draw("", block(&["a", "\x1b[1mb\x1b[0m"]), 80, soon()).await;
        screen.draw("line\n", block(&["c"]), 80, soon()).await;
        screen.draw("end\n", Vec::new(), 80, soon()).await;
        let text = String::from_utf8(screen.out).unwrap();
        let expected = "a\n\x1b[1mb\x1b[0m\n\r\x1b[2A\x1b[Jline\nc\n\r\x1b[1A\x1b[Jend\n";
        assert_eq!(text, expected);
    }

    #[tokio::test]
    async fn a_terminal_that_became_narrower_has_wrapped_the_block() {
        let mut screen = Screen::new(Vec::new());
        screen.draw("", block(&["0123456789", ""]), 80, soon()).await;
        screen.draw("", Vec::new(), 4, soon()).await;
        assert!(String::from_utf8(screen.out).unwrap().ends_with("\r\x1b[4A\x1b[J"));
    }

    #[tokio::test]
    async fn a_reader_that_is_gone_is_no_error() {
        let (near, far) = tokio::io::duplex(16);
        drop(far);
        let mut screen = Screen::new(near);
        for _ in 0..3 {
            screen.draw("a line that nobody reads\n", Vec::new(), 80, soon()).await;
        }
        assert!(screen.broken);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_reads_no_more_is_not_waited_for_for_ever() {
        let (near, _far) = tokio::io::duplex(16);
        let mut screen = Screen::new(near);
        screen.draw("more than a pipe of sixteen bytes holds\n", Vec::new(), 80, soon()).await;
        assert!(screen.broken);
    }
}
