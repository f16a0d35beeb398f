//! Progress bars on long work: on a terminal they are drawn, elsewhere they are silent. Whoever
//! lets go of one clears it, on an error too.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};

/// A bar of known length, in `unit`.
pub fn bar(length: u64, unit: &str, what: &'static str) -> ProgressBar {
    let template = format!("{{msg}} {{wide_bar}} {{human_pos}}/{{human_len}} {unit} {{eta}}");
    styled(ProgressBar::new(length), &template, what)
}

/// A bar in bytes.
pub fn bytes(length: u64, what: &'static str) -> ProgressBar {
    styled(
        ProgressBar::new(length),
        "{msg} {wide_bar} {bytes}/{total_bytes} {eta}",
        what,
    )
}

/// A spinner for work of unknown length.
pub fn spinner(what: &'static str) -> ProgressBar {
    let spinner = styled(
        ProgressBar::new_spinner(),
        "{spinner} {msg} {human_pos}",
        what,
    );
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
}

fn styled(bar: ProgressBar, template: &str, what: &'static str) -> ProgressBar {
    let style =
        ProgressStyle::with_template(template).expect("the templates of this file are valid");
    bar.with_style(style)
        .with_message(what)
        .with_finish(ProgressFinish::AndClear)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex, PoisonError};

    use indicatif::{ProgressDrawTarget, TermLike};

    use super::*;

    /// What stands on the screen: the last line that was written and not cleared.
    #[derive(Clone, Debug, Default)]
    struct Line(Arc<Mutex<String>>);

    impl Line {
        fn now(&self) -> String {
            let line = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            line.clone()
        }

        fn change(&self, change: impl FnOnce(&mut String)) -> io::Result<()> {
            change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
            Ok(())
        }
    }

    impl TermLike for Line {
        fn width(&self) -> u16 {
            80
        }

        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn write_line(&self, text: &str) -> io::Result<()> {
            self.change(|line| line.push_str(text))
        }

        fn write_str(&self, text: &str) -> io::Result<()> {
            self.change(|line| line.push_str(text))
        }

        fn clear_line(&self) -> io::Result<()> {
            self.change(String::clear)
        }

        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn bar_that_is_let_go_of_on_an_error_leaves_nothing_behind() {
        for bar in [bar(10, "entries", "reading"), bytes(10, "reading")] {
            let line = Line::default();
            let target = ProgressDrawTarget::term_like(Box::new(line.clone()));
            bar.set_draw_target(target);
            bar.tick();
            assert!(line.now().contains("reading"), "{}", line.now());
            // As on an error: nobody says that it has ended.
            drop(bar);
            assert_eq!(line.now().trim(), "");
        }
    }
}
