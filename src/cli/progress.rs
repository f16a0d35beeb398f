//! Progress bars on long work: on a terminal they are drawn, elsewhere they are silent.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

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
    bar.with_style(style).with_message(what)
}
